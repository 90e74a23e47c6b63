"""The level gate: confirmation is bound to the labels, and a renaming reaches every name at once."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from block_spine import Spine, ct_of, painted
from click.testing import CliRunner
from import_files import scan, tree

from keyhole.anatomy import gate, intake
from keyhole.anatomy.gate import confirm, rename, state
from keyhole.anatomy.intake import import_case
from keyhole.anatomy.model import Structure
from keyhole.casefile import CaseRecord, EvidenceEntry, LabelsRecord, sha256
from keyhole.cli.main import main
from keyhole.errors import InvalidInput
from keyhole.geometry import Volume
from keyhole.imaging import ImageRecord, ScanImage, read_labelmap, write_nifti
from keyhole.terms import Origin, counted_anew, lineage, lineage_of, renamed_key, renamed_text

AT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """What is derived from the labels is tested where it is made; the modality that it was asked with is kept."""
    told = []

    def unchanged(labels, structures, _image, modality, _tell):
        told.append(modality)
        made = {
            key: Structure(key, Origin.DERIVED, "cut from L5", 1.0, ("L5: a caveat",)) if "L5" in key else one
            for key, one in structures.items()
        }
        return labels, made, ("L5: cut by the field of view",)

    monkeypatch.setattr(intake, "_completed", unchanged)
    monkeypatch.setattr(intake, "on_keyhole_grid", lambda labels, _where: (labels, ()))
    return told


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, labels = tmp_path_factory.mktemp("scan"), painted(Spine(), (3.5, 3.5, 3.5))
    write_nifti(labels, folder / "seg.nii.gz")
    write_nifti(ct_of(labels), folder / "ct.nii.gz")
    return folder / "ct.nii.gz", folder / "seg.nii.gz"


@pytest.fixture
def made(tmp_path, files):
    return import_case(tmp_path / "case", [files[0]], labels=files[1])


def told(made):
    return state(made.read(CaseRecord), made.read(LabelsRecord))


# --- names


def test_counting_runs_upwards_and_keeps_gaps():
    names = counted_anew(["T11", "T12", "L1", "L3", "L5", "S1"], "L6")
    assert [names[n] for n in ("L5", "L3", "L1", "T12", "T11")] == ["L6", "L4", "L2", "L1", "T12"]
    names = counted_anew(["T12", "L1", "L5"], "L4", "T13")
    assert [names[n] for n in ("L5", "L1", "T12")] == ["L4", "T13", "T12"]
    assert lineage_of(["T13", "L1"])[-2:] == ("T13", "L1")
    assert lineage_of(["T11", "L1", "L5"])[-6:] == ("T11", "L1", "L2", "L3", "L4", "L5")
    assert lineage("L6")[-1] == "L6"


def test_counting_back_gives_the_old_names():
    for last in ("T12", "T13"):
        there = counted_anew(["T10", "T11", "T12", "L1", "L5"], "L6", last)
        back = counted_anew([there[n] for n in ("T10", "T11", "T12", "L1", "L5")], "L5")
        assert [back[there[n]] for n in ("T10", "L1", "L5")] == ["T10", "L1", "L5"]


@pytest.mark.parametrize(
    ("names", "lowest", "last"),
    [
        (["L5"], "S1", "T12"),
        (["L5"], "L5", "T9"),
        (["T12"], "L5", "T12"),
        (["C1", "T12", "L5"], "L4", "T11"),
        ([], "L5", "T12"),
    ],
)
def test_counts_that_cannot_be_are_refused(names, lowest, last):
    with pytest.raises(InvalidInput):
        counted_anew(names, lowest, last)


@pytest.mark.parametrize(
    ("key", "new"),
    [
        ("vertebra/L4/facet/inferior/left", "vertebra/L5/facet/inferior/left"),
        ("disc/L4-L5/herniation", "disc/L5-L6/herniation"),
        ("disc/L5-S1", "disc/L6-S1"),
        ("disc/T12-L1", "disc/L1-L2"),
        ("canal/flavum/L3-L4", "canal/flavum/L4-L5"),
        ("foramen/L5-S1/right", "foramen/L6-S1/right"),
        ("root/S1/left", "root/S1/left"),
        ("root/L5/left", "root/L6/left"),
        ("rib/12/left", "rib/L1/left"),
        ("rib/11/right", "rib/12/right"),
        ("sacrum", "sacrum"),
        ("muscle/psoas/left", "muscle/psoas/left"),
    ],
)
def test_every_kind_of_key_is_renamed(key, new):
    names = counted_anew(["T11", "T12", "L1", "L5"], "L6")
    assert renamed_key(key, names) == new
    assert renamed_key(new, {b: a for a, b in names.items()}) == key


def test_sentences_are_renamed_but_not_weightings():
    names = {"L4": "L5", "L5": "L6", "T2": "T3"}
    assert renamed_text("L4/L5: cut; disc/L4-L5, T2-weighted, L40", names) == "L5/L6: cut; disc/L5-L6, T2-weighted, L40"


# --- confirmation


def test_a_confirmation_keeps_who_when_why_and_on_what(made):
    record = confirm(made, "L5", " Dr  A ", note="ribs counted", at=AT)
    said = record.confirmation
    assert (said.by, said.at, said.note, said.lowest_lumbar) == ("Dr A", "2026-01-31T12:30:00Z", "ribs counted", "L5")
    assert said.labels == gate.labels_digest(made.read(LabelsRecord))
    assert record.level_history[0].finding == "L5 confirmed as the lowest lumbar vertebra by Dr A (ribs counted)"
    assert told(made).confirmation == said
    assert gate.caveats(told(made)) == ()


def test_without_confirmation_every_result_says_so(made):
    assert gate.caveats(told(made)) == (
        "levels not confirmed: they are numbered by names in the label file (Keyhole); not confirmed by a person",
    )


def test_the_time_is_now_in_utc(made):
    at = confirm(made, "L5", "Dr A").confirmation.at
    assert abs(datetime.fromisoformat(at) - datetime.now(UTC)).total_seconds() < 120


def test_changed_labels_are_not_confirmed(made):
    path = made.path / "labels.nii.gz"
    labels = read_labelmap(path)
    write_nifti(labels.crop((slice(0, 20), slice(0, 20), slice(0, 20))), path)
    with pytest.raises(InvalidInput, match="has changed since"):
        confirm(made, "L5", "Dr A")
    with pytest.raises(InvalidInput, match="has changed since"):
        rename(made, "L6", "Dr A")


def test_names_changed_by_hand_void_the_confirmation(made):
    confirm(made, "L5", "Dr A")
    known = made.read(LabelsRecord)
    swapped = {
        n: e.model_copy(update={"key": renamed_key(e.key, {"L4": "L3", "L3": "L4"})})
        for n, e in known.structures.items()
    }
    made.write(known.model_copy(update={"structures": swapped}))
    assert told(made).confirmation is None
    assert gate.caveats(told(made))[0].startswith(gate.NOT_CONFIRMED)


def test_a_confirmation_without_its_labels_counts_for_none(made):
    record = confirm(made, "L5", "Dr A")
    old = record.confirmation.model_copy(update={"labels": None, "at": None})
    made.write(record.model_copy(update={"confirmation": old}))
    assert told(made).confirmation is None


def test_the_same_labels_again_keep_the_confirmation_and_other_labels_drop_it_aloud(tmp_path, made, files):
    confirm(made, "L5", "Dr A", at=AT)
    again = import_case(made.path, [], labels=files[1])
    assert told(again).confirmation.by == "Dr A"
    other = painted(Spine(organs=False), (3.5, 3.5, 3.5))
    write_nifti(other, tmp_path / "other.nii.gz")
    record = import_case(made.path, [], labels=tmp_path / "other.nii.gz").read(CaseRecord)
    assert record.confirmation is None
    assert "the levels were confirmed by Dr A on other labels; confirm them again" in record.caveats
    assert [act.act for act in record.level_history] == ["confirmed", "dropped"]


def test_a_wrong_word_on_the_levels_names_the_way_to_rename_them(made):
    with pytest.raises(InvalidInput, match="keyhole levels case --lowest-lumbar L6 --by NAME"):
        confirm(made, "L6", "Dr A")


# --- renaming


def results(case):
    for name in ("findings.json", "plan.json", "levels.png"):
        (case.path / name).write_text("{}")
    (case.path / "report").mkdir()
    (case.path / "report" / "index.html").write_text("old")


def test_a_renaming_reaches_every_name_and_no_voxel(made):
    before, old = made.read(LabelsRecord), read_labelmap(made.path / "labels.nii.gz")
    record = rename(made, "L6", "Dr B", note="counted from C2", at=AT)
    known, new = made.read(LabelsRecord), read_labelmap(made.path / "labels.nii.gz")
    np.testing.assert_array_equal(new.array, old.array)
    assert new.structures == {n: e.key for n, e in known.structures.items()}
    names = counted_anew(["T11", "T12", "L1", "L5"], "L6")
    for n, entry in before.structures.items():
        assert known.structures[n].key == renamed_key(entry.key, names)
    entry = next(e for e in known.structures.values() if e.key == "vertebra/L6/body")
    assert entry.caveats == ("L6: a caveat",)
    assert entry.source == "cut from L6"
    assert "L6: cut by the field of view" in record.caveats
    assert "L6: cut by the field of view" in known.caveats
    assert known.provenance.parameters["labels_sha256"] == sha256(made.path / "labels.nii.gz")
    assert "L2, L3, L4, L5, L6" in {q.name: q.value for q in known.quality}["whole lumbar vertebrae"]


def test_a_renaming_keeps_its_history_and_drops_the_confirmation(made):
    confirm(made, "L5", "Dr A", at=AT)
    results(made)
    record = rename(made, "L6", "Dr B", note="counted from C2", at=AT)
    assert record.confirmation is None
    assert told(made).confirmation is None
    assert [act.act for act in record.level_history] == ["confirmed", "renamed"]
    said = "levels renamed by Dr B: the lowest lumbar vertebra L5 is now L6 (counted from C2)"
    assert record.level_history[1].finding == said
    assert record.numbering == f"names in the label file (Keyhole); {said}; not confirmed by a person"
    assert said in record.caveats
    moved = [p for p in tree(made.path) if p.startswith("earlier/")]
    assert {p.split("/", 2)[2] for p in moved} == {"findings.json", "plan.json", "levels.png", "report/index.html"}
    assert confirm(made, "L6", "Dr C").numbering.endswith("; L6 confirmed as the lowest lumbar vertebra by Dr C")


def test_what_spoke_for_the_old_names_speaks_against_the_new_ones(made):
    known = made.read(LabelsRecord)
    own = EvidenceEntry(kind="ribs", finding="twelve ribs were counted down to T12", supports=True)
    made.write(known.model_copy(update={"evidence": (own, *known.evidence)}))
    rename(made, "L6", "Dr B")
    found = made.read(LabelsRecord).evidence
    assert (found[0].kind, found[0].supports) == ("user", True)
    earlier = next(e for e in found if e.finding.startswith("by the names before"))
    assert earlier.supports is False
    assert {e.kind for e in found if e.supports is False} == {"ribs", "sacrum", "count"}
    assert any("against the names of the levels" in text for text in gate.caveats(told(made)))
    rename(made, "L5", "Dr B")
    assert not [e for e in made.read(LabelsRecord).evidence if e.supports is False]


def test_there_and_back_gives_the_same_labels_byte_for_byte(made):
    before = sha256(made.path / "labels.nii.gz")
    confirm(made, "L5", "Dr A", at=AT)
    rename(made, "L4", "Dr B", last_thoracic="T13")
    assert sha256(made.path / "labels.nii.gz") != before
    assert "vertebra/T13/body" in read_labelmap(made.path / "labels.nii.gz").keys
    rename(made, "L5", "Dr B")
    assert sha256(made.path / "labels.nii.gz") == before
    assert told(made).confirmation is None


def test_a_second_renaming_replaces_the_sentence_of_the_first(made):
    rename(made, "L6", "Dr B", at=AT)
    record = rename(made, "L4", "Dr C", at=AT)
    assert record.numbering.count("renamed") == 1
    assert sum(c.startswith("levels renamed by") for c in record.caveats) == 1
    assert [act.by for act in record.level_history] == ["Dr B", "Dr C"]


def test_importing_the_labels_again_undoes_a_renaming_aloud(made, files):
    rename(made, "L6", "Dr B")
    record = import_case(made.path, [], labels=files[1]).read(CaseRecord)
    assert "the renaming of the levels by Dr B is undone: the labels were imported again" in record.caveats
    assert [act.act for act in record.level_history] == ["renamed", "dropped"]
    assert "vertebra/L5/body" in read_labelmap(made.path / "labels.nii.gz").keys


@pytest.mark.parametrize(
    ("lowest", "by", "text"),
    [("L5", "Dr A", "already"), ("L6", " ", "name of the person"), ("X9", "Dr A", "written like")],
)
def test_a_renaming_that_says_nothing_is_refused_and_changes_nothing(made, lowest, by, text):
    before = tree(made.path)
    with pytest.raises(InvalidInput, match=text):
        rename(made, lowest, by)
    assert tree(made.path) == before


def test_a_failed_write_leaves_the_names_as_they_were(made, monkeypatch):
    before = tree(made.path)

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gate, "write_nifti", full)
    with pytest.raises(OSError, match="as it was"):
        rename(made, "L6", "Dr A")
    assert tree(made.path) == before


# --- quality at import


def test_import_keeps_the_quality_and_warns_of_what_acts(made):
    record = made.read(CaseRecord)
    image = ImageRecord.model_validate_json((made.path / "images/ct.json").read_bytes())
    assert {i.name: i.verdict for i in image.quality}["largest voxel side"] == "limited"
    assert any(c.startswith("largest voxel side: ") for c in record.caveats)
    assert {i.name for i in made.read(LabelsRecord).quality} >= {"whole lumbar vertebrae", "left and right"}


@pytest.mark.parametrize(("offset", "asked_with"), [(0, "CT"), (1024, "")])
def test_values_that_are_no_hounsfield_units_give_no_tissue_classes(
    tmp_path, files, asked, monkeypatch, offset, asked_with
):
    labels = read_labelmap(files[1])
    ct = ct_of(labels)
    array = np.array(ct.array)
    array[:6] = array[-6:] = -1000
    image = ScanImage(Volume(array + np.int16(offset), ct.patient_from_index), "CT", "ct", "ct.nii.gz")
    monkeypatch.setattr(intake, "read_image", lambda *_args, **_more: image)
    record = import_case(tmp_path / "told", [files[0]], labels=files[1]).read(CaseRecord)
    assert asked[-1] == asked_with
    assert any("no tissue class" in c for c in record.caveats) == bool(offset)


# --- commands


def run(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


def test_confirm_without_a_name_shows_what_to_look_at(made):
    shown = run("confirm", made.path)
    assert shown.exit_code == 0, shown.output
    assert "NOT CONFIRMED" in shown.output
    assert "the lowest labelled rib joins T12" in shown.output
    assert (made.path / "levels.png").read_bytes()[:4] == b"\x89PNG"
    assert str(made.path / "levels.png") in shown.output
    assert made.read(CaseRecord).confirmation is None


def test_levels_and_confirm_from_the_command_line(made):
    done = run("levels", made.path, "--lowest-lumbar", "L6", "--by", "Dr B", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["lowest_lumbar"] == "L6"
    assert said["confirmation"] is None
    assert said["history"][0]["by"] == "Dr B"
    assert len(said["against"]) == 3
    sure = run("confirm", made.path, "--lowest-lumbar", "L6", "--by", "Dr C", "--note", "spine film")
    assert sure.exit_code == 0
    assert "against it: the sacrum begins" in sure.output
    assert "confirmed by Dr C" in run("levels", made.path).output


@pytest.mark.parametrize(
    ("command", "args"),
    [("levels", ["--lowest-lumbar", "L6"]), ("levels", ["--by", "me"]), ("confirm", ["--by", "me"])],
)
def test_half_an_order_is_a_usage_error(made, command, args):
    assert run(command, made.path, *args).exit_code == 2
    assert made.read(CaseRecord).level_history == ()


def test_quality_from_the_command_line(made):
    shown = run("quality", made.path)
    assert shown.exit_code == 0
    assert "largest voxel side" in shown.output
    assert "whole lumbar vertebrae" in shown.output
    said = json.loads(run("quality", made.path, "--json").output)
    assert set(said) == {"ct", "labels"}
    assert {"name", "value", "unit", "verdict", "consequence"} == set(said["ct"][0])


def test_a_case_without_labels_has_quality_but_no_levels(tmp_path):
    image, _ = scan(tmp_path / "in")
    import_case(tmp_path / "bare", [image])
    assert run("quality", tmp_path / "bare").exit_code == 0
    for command in ("levels", "confirm"):
        refused = run(command, tmp_path / "bare")
        assert refused.exit_code == 1
        assert "has no labels.json yet" in refused.output
