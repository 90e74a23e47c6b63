"""The surgeon's page of what to expect: its numbers are those of the file, its plots those of the studies."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
from expected_case import case_record, known, outcome, record, with_outcomes
from own_patients import cohort
from page_reader import Page, barriers
from report_case import plan

from keyhole.casefile import CalibrationBin, CalibrationEntry, PoolEntry, StudyEntry, SynthesisEntry
from keyhole.forecast import forecast
from keyhole.report.decision import outlook_page, outlook_paper
from keyhole.report.outlook import outlook
from keyhole.report.outlook_forest import pool_of, pool_plot, syntheses_plot
from keyhole.report.outlook_sources import Sources, link
from keyhole.report.outlook_words import figure

SVG = "{http://www.w3.org/2000/svg}"


def made(found=None):
    return outlook(case_record(), found or record(), is_confirmed=False)


@pytest.fixture(scope="module")
def text():
    return outlook_page(made()).decode()


def part(found, key):
    return next(one for one in found.parts if one.key == key)


def words(plot):
    return [node.text for node in ET.fromstring(plot.svg).iter(f"{SVG}text")]


def test_the_page_is_well_formed_loads_nothing_and_keeps_nobody_out(text):
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "default-src 'none'" in text
    assert barriers(page) == []
    assert "object at 0x" not in text


def test_every_outcome_is_there_with_its_word_and_reason():
    found = made()
    assert [one.key for one in found.parts] == [one.key for one in record().outcomes]
    assert part(found, "recurrence").word == "worse"
    assert part(found, "odi").word == "no clear difference"
    assert part(found, "radiation").word == "unknown, points to worse"
    assert len(found.summary.rows) == len(record().outcomes)


def test_k_i2_both_intervals_and_designs_stand_with_the_pool():
    pool = outcome("blood-loss").answers[0].pool
    said = {line.term: line.said.text for line in part(made(), "blood-loss").answers[0].pool}
    assert said["k"] == "3"
    assert said["I²"] == f"{pool.i2:.1f} %"
    assert said["Hartung-Knapp"].startswith(f"−{-pool.hartung_knapp[0]:.1f} to ")
    assert said["Ordinary interval"].startswith(f"−{-pool.interval[0]:.1f} to ")
    assert said["Prediction interval"].startswith(f"−{-pool.prediction[0]:.1f} to ")
    assert "RCT" in said["Designs"]


@pytest.mark.parametrize("key", ["stay", "blood-loss", "operating-time", "dural-tear", "leg-pain"])
def test_a_plot_has_the_numbers_of_the_file(key):
    one = outcome(key)
    entry = one.answers[0].pool
    own = math.log if entry.measure in {"rr", "or"} else float
    found = pool_of(entry)
    assert found.estimate == own(entry.estimate)
    assert found.interval == tuple(map(own, entry.interval))
    assert found.hk == (None if entry.hartung_knapp is None else tuple(map(own, entry.hartung_knapp)))
    assert found.tau2 == entry.tau2
    for study, said in zip(found.studies, entry.studies, strict=True):
        assert study.effect == own(said.effect)
        assert study.interval == pytest.approx(tuple(map(own, said.interval)), rel=1e-4, abs=1e-4)
    shown = words(pool_plot(one, one.answers[0]))
    assert all(any(study.name[:20] in (w or "") for w in shown) for study in entry.studies)


def test_a_study_that_cannot_be_drawn_leaves_the_table_and_no_plot():
    study = StudyEntry(name="A", effect=0.5, interval=(0.0, 2.0), weight=100.0, design="RCT", address="PMC1")
    entry = PoolEntry(
        measure="rr", model="random effects, restricted maximum likelihood", k=1, estimate=0.5, interval=(0.0, 2.0),
        hartung_knapp=None, prediction=None, i2=None, tau2=0.0, designs=("RCT",), studies=(study,),
    )  # fmt: skip
    one = outcome("infection")
    answer = one.answers[0].model_copy(update={"pool": entry})
    changed = one.model_copy(update={"answers": (answer,)})
    assert pool_plot(changed, answer) is None
    shown = part(made(with_outcomes(changed)), "infection").answers[0]
    assert shown.plots == ()
    assert shown.studies.rows[0].cells[0].text.startswith("A [")


def synthesis(name, estimate, interval, measure="rr"):
    return SynthesisEntry(
        name=name, citation=name, address="", design="", studies=4, measure=measure, estimate=estimate,
        interval=interval, in_words="", word="unknown", why="made up",
    )  # fmt: skip


def test_syntheses_are_drawn_one_by_one_and_never_pooled():
    one = outcome("blood-loss")
    plot = syntheses_plot(one, one.answers[0])
    shapes = list(ET.fromstring(plot.svg).iter(f"{SVG}polygon"))
    assert len(shapes) == sum(s.interval is not None for s in one.answers[0].syntheses)
    assert not any("Pooled" in (w or "") for w in words(plot))


def test_a_synthesis_of_more_is_drawn_to_the_right_of_one_of_less_and_of_no_difference():
    answer = (
        outcome("recurrence")
        .answers[0]
        .model_copy(update={"syntheses": (synthesis("low", 0.5, (0.4, 0.7)), synthesis("high", 2.0, (1.5, 2.8)))})
    )
    root = ET.fromstring(syntheses_plot(outcome("recurrence"), answer).svg)
    low, high = (
        [float(corner.split(",")[0]) for corner in node.get("points").split()] for node in root.iter(f"{SVG}polygon")
    )
    none = next(float(n.get("x1")) for n in root.iter(f"{SVG}line") if n.get("x1") == n.get("x2"))
    assert max(low) < none < min(high)
    bad = answer.model_copy(update={"syntheses": (synthesis("zero", 0.5, (0.0, 2.0)),)})
    assert syntheses_plot(outcome("recurrence"), bad) is None


def test_sources_are_numbered_once_and_open_where_they_can_be():
    found = Sources()
    assert [found.cite("A", "doi:10.1/x"), found.cite("B", ""), found.cite("A again", "doi:10.1/x")] == [
        "[1]", "[2]", "[1]"]  # fmt: skip
    assert found.listed()[0] == (1, "A", "doi:10.1/x", "https://doi.org/10.1/x")
    assert link("PMC123") == "https://pmc.ncbi.nlm.nih.gov/articles/PMC123/"
    assert link("PMID 9") == "https://pubmed.ncbi.nlm.nih.gov/9/"
    assert link("javascript:alert(1)") == ""
    numbers = [n for n, *_ in made().sources]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_study_and_synthesis_is_among_the_sources():
    addresses = {address for _, _, address, _ in made().sources}
    for one in record().outcomes:
        for answer in one.answers:
            studies = () if answer.pool is None else answer.pool.studies
            assert {study.address for study in studies} <= addresses
            assert {told.address for told in answer.syntheses} <= addresses


def test_how_to_make_it_again_stands_on_the_page(text):
    assert "keyhole forecast CASE --operation discectomy --approach transforaminal-endoscopic" in text
    digest = record().provenance.inputs["studies.csv"]
    assert digest in text
    assert "Hartung-Knapp interval" in text


def test_nothing_unknown_becomes_a_number():
    row = next(r for r in made().summary.rows if r.cells[0].text.startswith("Nerve injury"))
    assert [cell.text for cell in row.cells[1:4]] == ["not known"] * 3
    assert not any(cell.known for cell in row.cells[1:4])
    assert figure(known(None), "risk").text == "not known"
    assert figure(known(0.0123, (0.001, 0.4)), "risk", unit="x").text == "1.2 [0.1, 40.0] %"
    assert figure(known(-2.0, (-3.0, 1.0)), "mean", signed=True, unit="days").text == "−2.0 [−3.0, 1.0] days"


def test_own_patients_show_how_much_they_weigh():
    found = forecast(plan({}), {}, operation="discectomy", cohort=cohort(200))
    said = made(found)
    stay = next(r for r in said.weighing.rows if r.cells[0].text == "Length of stay")
    assert stay.cells[1].text == "100"
    assert re.fullmatch(r"\d+ %", stay.cells[3].text)
    assert any(line.term == "Own patients" and "own.csv" in line.said.text for line in said.lines)
    assert "--cohort own.csv" in said.commands[0]


def test_a_recalibrated_score_shows_its_points():
    bins = (CalibrationBin(predicted=0.05, observed=0.08, interval=(0.04, 0.12), patients=90),)
    fit = CalibrationEntry(
        patients=90, events=7, in_the_large=known(-0.03, (-0.06, 0.0)), slope=known(0.8, (0.5, 1.1)),
        brier=known(0.07), intercept_after=0.1, slope_after=0.8, brier_after=known(0.06), bins=bins, drift_p=None,
        drift="not known: days of operation are missing",
    )  # fmt: skip
    risks = (record().risks[-1].model_copy(update={"calibration": fit}),)
    table = made(record().model_copy(update={"risks": risks})).calibrations[0].table
    cells = {row.cells[0].text: row.cells[1].text for row in table.rows}
    assert cells["Slope, before (1 is right)"] == "0.800 [0.500, 1.100]"
    assert cells["Predicted 5.0 %, 90 patients"] == "observed 8.0 % [4.0, 12.0]"


def test_the_plot_of_a_pool_says_the_word_of_that_pool_alone():
    one = outcome("blood-loss")
    assert one.word == "better"  # by published syntheses
    shown = words(pool_plot(one, one.answers[0]))
    assert "No clear difference: an interval holds no difference (3 studies); this pool alone" in shown


def test_planned_minus_open_that_is_not_the_difference_is_explained_below_the_summary():
    stay = outcome("stay")
    assert stay.planned.value - stay.open.value != pytest.approx(stay.difference.value, abs=0.1)
    assert "Length of stay: the pooled difference exceeds what the open operation takes here" in made().summary.foot


def test_the_source_of_the_technique_is_one_of_the_numbered_sources_and_can_be_opened():
    found = made()
    number = next(line.said.text for line in found.lines if line.term == "Studies call it")[-2]
    assert next(link for n, _, _, link in found.sources if str(n) == number).startswith("https://doi.org/")


def test_scores_name_what_is_not_known_and_the_range_that_it_leaves():
    title, lines = made().scores[0]
    said = {line.term: line.said.text for line in lines}
    assert title.startswith("Modified frailty index")
    assert said["This patient"].startswith("0 to 5 points")
    assert "diabetes" in said["Not known"]
    assert "literature, not calibrated here" in said["Standing"]


def test_unconfirmed_levels_are_a_warning():
    assert "Levels not confirmed" in made().warnings[0]
    assert outlook(case_record(), record(), is_confirmed=True).warnings == ()


def test_the_paper_is_the_same_twice():
    first = outlook_paper(made())
    assert first.startswith(b"%PDF-")
    assert first == outlook_paper(made())
