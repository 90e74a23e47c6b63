"""The measures in the report: the sheet, the pictures of where they were taken, the overview."""

import re

import numpy as np
import pytest
from report_case import STILL, Pose, anatomy, case
from report_measures import Made, entry_of, line, records, ring
from scipy.spatial.transform import Rotation
from test_report import parsed, table

from keyhole.casefile import FindingEntry, FindingsRecord, IndicatedEntry, Patient, provenance
from keyhole.report import callout
from keyhole.report.board import boards, norms_table
from keyhole.report.callout import Callout
from keyhole.report.content import Drawn, content
from keyhole.report.indicated import targets
from keyhole.report.norm import Band, bars, interval_words, published
from keyhole.report.overview import overview
from keyhole.report.page import page
from keyhole.report.painted import NEAR, galleries, simplified
from keyhole.report.planes import extra_panel, level_panels
from keyhole.report.roster import kind, place
from keyhole.report.scene import scene
from keyhole.report.tables import References
from keyhole.report.wording import Notes, runs
from keyhole.report.write import read

TURNED = Pose(
    Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix(), np.array([40.0, -25, 300]), (3.0, 2.4, 3.6), flipped=True
)


def finding(name="canal area", level="L4/L5", value: float | None = 120.0, sd: float | None = 10.0, **more):
    given = {"side": None, "unit": "mm2", "source": "keyhole", "method": "made up"} | more
    return FindingEntry(name=name, level=level, value=value, sd=sd, **given)


def board_of(findings, norms=lambda _: None, flagged=frozenset()):
    return boards(findings, norms, flagged, Notes(), References())[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A case with every measure at every level, indicated at L4/L5, and its page."""
    made, found = case(tmp_path_factory.mktemp("measures") / "made-up")
    inputs = made.digest("labels.nii.gz", "labels.json")
    findings, drawings = records(found, inputs)
    target = IndicatedEntry(
        rank=1, level="L4/L5", side="left", goals=("decompress",), score=2.0,
        reasons=("dural sac area 80.0 ± 8.0 mm²: below 111.09 mm² [lim2017]",), caveats=("complaint decides",),
    )  # fmt: skip
    made.write(findings.model_copy(update={"indicated": (target,)}))
    made.write(drawings)
    read_back = read(made)
    drawn = Drawn(
        overview=overview(found, findings.findings, ()),
        galleries=galleries(found, drawings.drawings, findings.findings, frozenset({"L4/L5"})),
    )
    return made, page(content(read_back, found, drawn, {}), scene([], found, read_back.plan)).decode()


def test_what_is_indicated_stands_on_top_with_its_reasons(written):
    _, words = parsed(written[1])
    assert words.index("What is indicated by the measures") < words.index("Corridors on slices")
    assert re.search(r"below 111.09 mm² \[\d+\]", words)


def test_the_sheet_holds_every_measure_with_its_interval(written):
    made, html = written
    _, words = parsed(html)
    for found in made.read(FindingsRecord).findings:
        assert f"{found.name[:1].upper()}{found.name[1:]}"[:30] in words or found.name in words
        assert found.value is None or interval_words(found) in words
    row = table(html, "board-level")["Disc height, mm"]
    assert "7.1 to 8.7" in " ".join(row)


def test_every_table_and_picture_is_told_to_those_who_do_not_see(written):
    reader, _ = parsed(written[1])
    assert all(a["role"] == "img" and a["aria-label"] for t, a in reader.tags if t == "svg")
    assert all(a.get("scope") in ("col", "row", "colgroup", "rowgroup") for t, a in reader.tags if t == "th")


def test_sheet_and_pictures_stay_light(written):
    html = written[1]
    section = html[html.index('<section id="measures">') :]
    assert len(section[: section.index("</section>")]) < 2_500_000


def test_an_unknown_value_says_why_and_is_no_number():
    made = board_of([finding(), finding(level="L3/L4", value=None, sd=None, caveats=("the canal is cut",))])
    (cell,) = made.blocks[0].rows[0].cells[0]
    assert (cell.said.text, cell.said.known, cell.why, cell.interval) == ("not known", False, "the canal is cut", "")
    assert len(cell.said.notes) == 1


def test_a_reason_that_a_level_shares_is_told_once_at_its_head():
    names = ("canal area", "disc volume", "slip", "foramen area")
    cut = [finding(name, "L3/L4", None, None, caveats=("L3 cut",)) for name in names]
    made = board_of([*cut, *(finding(name) for name in names)])
    assert made.missing == ("L3 cut", "")
    assert {cell.why for block in made.blocks for row in block.rows for cells in row.cells for cell in cells} == {""}


def test_measures_known_nowhere_are_told_in_one_line():
    made = board_of([finding(), *(finding(n, value=None, sd=None, caveats=("no T2",)) for n in ("CSF signal ratio",))])
    assert [(q.names, q.why.text) for q in made.blocks[0].silent] == [("CSF signal ratio", "no T2")]
    assert len(made.blocks[0].rows) == 1


def test_left_and_right_stand_in_their_own_cells():
    sides = [finding("foramen area", value=v, side=s) for v, s in ((90.0, "right"), (140.0, "left"))]
    cells = board_of(sides).blocks[0].rows[0].cells[0]
    assert [(cell.side, cell.said.text) for cell in cells] == [("left", "140"), ("right", "90")]


def test_levels_run_from_head_to_tail_and_the_flagged_one_is_marked():
    made = board_of([finding(level=level) for level in ("L5/S1", "T12/L1", "L4/L5")], flagged=frozenset({"L4/L5"}))
    assert [column.label for column in made.columns] == ["T12/L1", "L4/L5", "L5/S1"]
    assert made.flagged == (False, True, False)


def test_a_value_lies_where_it_should_on_its_band():
    band = Band(100.0, 200.0, "made up", "keyhole")
    low, inside, edge = bars([(finding(value=v), band) for v in (50.0, 150.0, 95.0)])
    assert low.outside
    assert low.value < low.band_low < inside.value < inside.band_high
    assert "below" in low.said
    assert not inside.outside
    assert not edge.outside  # the interval reaches into the norm
    assert "perhaps below" in edge.said
    assert inside.value - inside.low == pytest.approx(inside.high - inside.value, abs=1e-3)


def test_without_a_norm_there_is_no_band():
    assert bars([(finding(), None)]) == [None]
    open_band = Band(None, 3.0, "made up", "keyhole")
    (bar,) = bars([(finding("slip", value=5.0, sd=0.5, unit="mm"), open_band)])
    assert bar.band_low == 0.0
    assert bar.outside


def test_published_norms_are_those_of_the_structure_that_was_measured():
    norms = published(Patient(age=54, sex="F"))
    bony = finding(caveats=("flavum is not labelled: it is counted as free canal, so this is the bony canal",))
    assert norms(finding()) is None
    assert norms(bony).low == pytest.approx(147.12)
    told = norms_table([bony], norms, References())
    assert [text.text for text in told.rows[0].cells[:3]] == ["Canal area", "L4/L5", "≥ 147 mm²"]


def test_areas_have_no_interval_below_zero():
    assert interval_words(finding("herniation volume", value=0.01, sd=0.1, unit="mL")).startswith("0 to")
    assert interval_words(finding("slip", value=0.1, sd=1.0, unit="mm")).startswith("−1.5")


def test_a_readers_grade_is_shown_though_it_has_no_value():
    given = finding("Pfirrmann grade", value=None, sd=None, unit="1", grade="4", origin="reader")
    (cell,) = board_of([given]).blocks[0].rows[0].cells[0]
    assert (cell.said.text, cell.said.known) == ("4", True)


def test_names_fall_in_their_groups():
    assert place("canal area at the facets").title == place("canal area").title
    assert place("canal area") < place("canal area at the facets")
    assert place("something new").title == "Other"
    assert kind("lumbar lordosis", "L1/S1") == "whole"
    assert (kind("pelvic incidence", "S1"), kind("pedicle width", "L4")) == ("whole", "vertebra")
    assert kind("disc height", "L4/L5") == "level"


def test_sources_in_reasons_become_numbers():
    entry = IndicatedEntry(rank=1, level="L4/L5", side=None, goals=("fuse",), score=1.0, reasons=("slip [rai2019]",))
    made = FindingsRecord(findings=(), indicated=(entry,), provenance=provenance({}))
    (target,) = targets(made, Notes(), References())
    assert (target.reasons, target.goals, target.side) == (("slip [1]",), "fusion", "")


def test_runs_of_notes_are_drawn_together():
    assert [words for _, words in runs((1, 2, 4, 5, 6, 9))] == ["1", "2", "4–6", "9"]


@pytest.mark.parametrize("count", [1, 4, 9, 16])
def test_no_words_lie_over_others(count):
    rng = np.random.default_rng(count)
    asked = [Callout("canal 120 mm²" + "x" * int(n % 5), *rng.uniform(100, 300, 2), "#fff") for n in range(count)]
    placed = callout.arranged(asked, 400, 348)
    assert len(placed) == count
    for anchor in ("start", "end"):
        heights = sorted(one.y for one in placed if one.anchor == anchor)
        assert (np.diff(heights) >= callout.LINE - 1e-9).all()
    for one in placed:
        assert 20 < one.y < 348
        assert not abs(one.y - callout.SIZE / 2 - 174) < 10  # the letter at the edge


def test_long_words_of_both_columns_do_not_meet():
    long = "canal transverse diameter 22 mm"
    asked = [Callout(long, 150, 170, "#fff"), Callout(long, 250, 170, "#fff")]
    placed = callout.arranged(asked, 400, 348)
    assert len({one.y for one in placed}) == 2


def shown(pose, made=None):
    """The pictures of L4/L5 of the made-up patient, and all galleries."""
    found = anatomy(pose)
    findings, drawings = records(found, {})
    return found, galleries(found, drawings.drawings, findings.findings, frozenset({"L4/L5"}))


def test_shapes_are_painted_on_the_planes_that_hold_them():
    _, made = shown(STILL)
    level = next(one for one in made if one.title == "L4/L5")
    alts = {picture.title: picture.alt for picture in level.pictures}
    assert "disc height" in alts["Midsagittal"]
    assert "left foramen area" in alts["Left foramen"]
    assert "left foramen" not in alts["Right foramen"]
    assert "canal area 129 (114 to 144) mm²" in alts["Axial, the canal"]
    assert level.flagged
    assert level.is_first
    assert not level.missing
    body = next(one for one in made if one.title == "L4")
    assert any("pedicle width" in picture.alt for picture in body.pictures)
    assert body.is_first
    assert not next(one for one in made if one.title == "L3").is_first


def places(picture):
    """Ends of the painted lines of a picture, px."""
    return np.array(re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="2.1"', picture.svg), dtype=float)


@pytest.mark.parametrize("pose", [TURNED], ids=["turned"])
def test_pictures_of_measures_do_not_care_how_the_patient_lies(pose):
    still, turned = (next(g for g in shown(p)[1] if g.title == "L4/L5") for p in (STILL, pose))
    assert [p.title for p in still.pictures] == [p.title for p in turned.pictures]
    for one, other in zip(still.pictures, turned.pictures, strict=True):
        assert one.alt == other.alt
        assert places(one) == pytest.approx(places(other), abs=1.5)


def test_the_patients_left_is_at_the_right_of_axial_pictures():
    found = anatomy(STILL)
    panel = level_panels(found, found.pair("L4/L5"), {"left": [], "right": []})[0]
    left = panel.view.place(found.vertebrae["L4"].centre + 20 * found.vertebrae["L4"].left)
    assert left[0] > panel.view.width / 2
    assert panel.view.edges["right"] == "L"


def test_a_shape_off_every_plane_gets_its_own_and_lies_in_it():
    found = anatomy(TURNED)
    vertebra = found.vertebrae["L4"]
    tilt = vertebra.up + 0.5 * vertebra.posterior
    side = np.cross(tilt, vertebra.left)
    outline = ring(vertebra.centre + 9 * vertebra.up, vertebra.left, side / np.linalg.norm(side), 8, 6).points
    beside = level_panels(found, found.pair("L4/L5"), {"left": [], "right": []})[0]
    panel = extra_panel(beside, outline, "made-up area", "L4/L5")
    assert np.abs((outline - panel.view.centre) @ panel.view.normal).max() < 0.01
    assert panel.title.startswith("Axial")
    assert (panel.view.edges["left"], panel.view.edges["right"]) == ("R", "L")


def test_a_shape_farther_than_the_stated_distance_is_not_painted():
    found = anatomy(STILL)
    upper, lower = found.pair("L4/L5")
    middle = (upper.inferior.centre + lower.superior.centre) / 2
    high = (NEAR + 1) * upper.up
    entry = finding("something new", value=5.0, unit="mm")
    bent = line(middle - high, middle + high, middle + high + 9 * upper.left, middle + 9 * upper.posterior - high)
    (gallery,) = galleries(found, [entry_of(Made(entry, (bent,)))], [entry], frozenset())
    assert not any("something new" in picture.alt for picture in gallery.pictures)
    assert gallery.missing == "something new"


def test_the_overview_names_levels_and_marks_what_is_indicated():
    found = anatomy(STILL)
    findings, _ = records(found, {})
    entry = IndicatedEntry(rank=1, level="L4/L5", side="left", goals=("decompress",), score=1.0, reasons=("narrow",))
    made = FindingsRecord(findings=findings.findings, indicated=(entry,), provenance=provenance({}))
    sagittal, coronal = overview(found, made.findings, targets(made, Notes()))
    assert "1. L4/L5 left" in sagittal.alt
    assert "L3/S1 lordosis 47.2°" in sagittal.alt
    assert "L4/L5 slip 4.4 mm" in sagittal.alt
    assert "L3/L4 Cobb 6.4°" in coronal.alt
    for name in ("L3", "L4", "L5", "S1"):
        assert f">{name}</text>" in sagittal.svg
    x = float(re.search(r'<circle cx="([\d.]+)"', coronal.svg)[1])
    assert x > coronal.width / 2  # the ring of the left side is on the side of the L


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_an_outline_made_simpler_stays_within_the_tolerance_and_keeps_its_ends(is_closed):
    turns = np.linspace(0, 2 * np.pi, 181)
    wavy = (40 + 3 * np.sin(7 * turns))[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    whole = wavy if is_closed else wavy[:120]
    found = simplified(whole, 0.3)
    assert len(found) < len(whole) / 2
    assert np.array_equal(found[[0, -1]], whole[[0, -1]])
    start, chord = found[:-1], np.diff(found, axis=0)
    share = np.einsum("psk,sk->ps", whole[:, None] - start, chord) / (chord**2).sum(axis=1)
    away = whole[:, None] - start - np.clip(share, 0, 1)[..., None] * chord
    assert np.linalg.norm(away, axis=2).min(axis=1).max() <= 0.3 + 1e-9
