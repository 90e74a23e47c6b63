"""The numbered spine, and what the report says of levels and images."""

import re
from dataclasses import replace

import numpy as np
import pytest
from block_spine import ROW, Spine, ct_of, painted, turned

from keyhole.anatomy.row import seen_in
from keyhole.casefile import (
    CaseRecord,
    EvidenceEntry,
    LabelsRecord,
    LevelConfirmation,
    LevelState,
    PlanRecord,
    QualityItem,
    provenance,
)
from keyhole.errors import NotInScan
from keyhole.geometry import LabelMap
from keyhole.report import levels, standing
from keyhole.report.wording import Notes

STATE = LevelState(numbering="names in the label file; not confirmed by a person", against=("something",))


def words_of(picture):
    return list(re.findall(r"<text[^>]*>([^<]*)</text>", picture.svg))


def drawn(spine=None, image=True, **how):
    labels = painted(spine or Spine(), **({"spacing": (3.0, 3.0, 3.0)} | how))
    return levels.pictures(labels, ct_of(labels) if image else None, "CT" if image else "")


@pytest.mark.parametrize(
    "how",
    [{}, {"turn": turned((10, 5, 170)), "shift": (30, 20, -400)}, {"axes": turned((9, -9, 9)), "spacing": (2, 3, 4)}],
    ids=["straight", "prone and moved", "oblique and anisotropic"],
)
@pytest.mark.parametrize("image", [True, False])
def test_every_vertebra_is_named_and_every_edge_says_where_it_is(how, image):
    sagittal, coronal = drawn(image=image, **how)
    for picture in (sagittal, coronal):
        assert set(ROW) <= set(words_of(picture))
        assert "50 mm" in words_of(picture)
    assert {"A", "P", "H", "F", "S1"} <= set(words_of(sagittal))
    assert {"R", "L", "H", "F", "11", "12"} <= set(words_of(coronal))
    assert "R" not in words_of(sagittal)


def test_left_is_at_the_right_of_the_coronal_sheet_also_in_a_mirrored_patient():
    for spine in (Spine(touching=("left",)), Spine(touching=("left",), mirrored=True)):
        _, coronal = drawn(spine)
        x = {w: float(v) for v, w in re.findall(r'<text x="([0-9.]+)"[^>]*>([RL])</text>', coronal.svg)}
        assert x["R"] < 20 < x["L"]


def test_the_sheets_follow_a_curved_spine():
    labels = painted(Spine())
    seen = seen_in(labels)
    bend = [np.array([0.05 * n**2 * 10, 0.3 * n**2 * 3, 0.0]) for n in range(len(seen))]
    curved = [
        replace(one, body=one.body + b, whole=one.whole + b, canal=one.canal + b)
        for one, b in zip(seen, bend, strict=True)
    ]
    axes = levels.spine_axes(curved)
    sagittal, coronal = levels.sheets(curved, axes, np.empty((0, 3)))
    for sheet, places in (
        (sagittal, [one.canal for one in curved]),
        (coronal, [one.body + 0.35 * (one.canal - one.body) for one in curved]),
    ):
        points = sheet.points(2.0).reshape(-1, 3)
        for place in places:
            assert np.linalg.norm(points - place, axis=1).min() < 1.0
    flat = sagittal.points(2.0)
    assert np.ptp((flat @ axes.left)[:, 0]) > 3


def test_labels_without_a_lumbar_row_are_not_drawn():
    labels = painted(Spine(names=("T11", "T12")))
    with pytest.raises(NotInScan, match="nothing to draw"):
        levels.pictures(labels, None, "")


def test_a_lone_vertebra_is_drawn_too():
    labels = painted(Spine(names=("L5",), ribs=(), organs=False))
    assert "L5" in words_of(levels.pictures(labels, None, "")[0])
    whole = {n: k.replace("/body", "") for n, k in labels.structures.items() if k.endswith("body")}
    bare = LabelMap(np.where(np.isin(labels.array, list(whole)), labels.array, 0), labels.patient_from_index, whole)
    assert "L5" in words_of(levels.pictures(bare, None, "")[1])


def test_the_page_says_what_the_names_rest_on_and_is_the_same_each_time():
    found = [EvidenceEntry(kind="ribs", finding='a "rib" at #L1', supports=False, means="T13 [maybe]")]
    pictures = drawn(image=False, spacing=(4.0, 4.0, 4.0))
    first = levels.page(pictures, "case_1 $x$", STATE, found)
    assert first[:4] == b"\x89PNG"
    assert first == levels.page(pictures, "case_1 $x$", STATE, found)
    said = LevelConfirmation(lowest_lumbar="L5", by="Dr *A*", at="2026-01-31T12:00:00Z")
    assert levels.page(pictures, "case", STATE.model_copy(update={"confirmation": said}), ()) != first


# --- the report


def test_evidence_and_quality_become_tables():
    entry = EvidenceEntry(kind="count", finding="6 vertebrae", supports=False, means="L6")
    table = standing.evidence_table([entry])
    assert [cell.text for cell in table.rows[0].cells] == ["count", "against", "6 vertebrae: L6"]
    assert standing.evidence_table([]) is None
    items = (
        QualityItem(name="noise", value=12.34, unit="[hnsf'U]", verdict="good", consequence="sharp"),
        QualityItem(name="metal", value=None, verdict="unknown", consequence="not seen"),
    )
    table = standing.quality_table({"ct": items, "t2": ()})
    assert [row.cells[0].text for row in table.rows] == ["ct", "noise", "metal"]
    assert table.rows[1].cells[1].text == "12.3 HU"
    assert not table.rows[2].cells[1].known
    assert standing.quality_table({"t2": ()}) is None


def test_what_is_unusable_or_speaks_against_the_names_is_a_warning():
    entry = EvidenceEntry(kind="count", finding="6 vertebrae", supports=False, means="L6")
    labels = LabelsRecord(structures={}, evidence=(entry,), provenance=provenance({}))
    bad = QualityItem(name="Hounsfield units", value="none", verdict="unusable", consequence="convert it again")
    said = standing.warnings(labels, {"ct": (bad,)})
    assert "6 vertebrae: L6" in said[0]
    assert said[1] == "ct: Hounsfield units is unusable. Convert it again."


def test_a_confirmation_after_the_plan_takes_its_caveat_off_and_says_so():
    notes = Notes("levels not confirmed")
    assert notes.add(("levels not confirmed: by nobody", "cut"), "the plan") == (1,)
    assert [text for _, text, _ in notes.listed()] == ["cut"]
    made = PlanRecord(
        level="L4/L5", side="left", goal="decompress", candidates=(), open=None, rejected=(), searched=0, pareto=(),
        levels=STATE, provenance=provenance({}),
    )  # fmt: skip
    assert standing.made_before(None, made) == "the plan was made before the confirmation, on the same labels"
    said = LevelConfirmation(lowest_lumbar="L5", by="Dr A", at="2026-01-31T12:00:00Z", note="counted")
    sure = made.model_copy(update={"levels": STATE.model_copy(update={"confirmation": said})})
    assert standing.made_before(None, sure) == ""
    record = CaseRecord(id="one", numbering="n", confirmation=said, provenance=provenance({}))
    assert standing.confirmed(record).text == "by Dr A on 2026-01-31T12:00:00Z; lowest lumbar vertebra L5; counted"
    assert not standing.confirmed(record.model_copy(update={"confirmation": None})).known
