"""The page of the course and the command that writes it."""

import json
import re
import xml.etree.ElementTree as ET
from importlib.resources import files

import pytest
from click.testing import CliRunner
from expected_case import case_record
from expected_case import record as forecast_record
from page_reader import Page, barriers
from progress_case import followed, ready, rehab, seen, today

from keyhole.casefile import Case
from keyhole.cli.main import main
from keyhole.report.progress import progress_page
from keyhole.report.progress.chart import course_svg, shown

SVG = "{http://www.w3.org/2000/svg}"


def worse():
    rows = [*ready(), seen("odi", 91, 14), seen("nrs-leg", 91, 1), seen("odi", 180, 60), seen("nrs-leg", 180, 7)]
    rows += [seen("tug", -5, 14), seen("tug", 175, 10), seen("nrs-back", 175, 3)]
    rows += [seen("steps", -day, 6000) for day in range(1, 6)] + [seen("steps", day, 5000) for day in range(170, 180)]
    rows += [seen("nrs-back", day, 3) for day in range(176, 181)]
    return followed(rows, 182, forecast=forecast_record())


@pytest.fixture(scope="module")
def text():
    return progress_page(case_record(), worse(), {"rehab.json": "0" * 64}).decode()


def test_the_page_is_well_formed_loads_nothing_and_keeps_nobody_out(text):
    page = Page(text)
    assert page.open == []
    assert barriers(page) == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "default-src 'none'" in text
    assert "object at 0x" not in text


def test_the_page_says_the_advice_every_rule_and_its_source(text):
    found = worse()
    assert "Call the clinic" in text
    for reason in found.advice.reasons:
        assert f'<span class="rule">{reason.rule}</span>' in text
    assert "research use only" in text.lower()
    assert len(re.findall(r"<li value=", text)) >= 3


def test_the_advice_is_a_word_for_each_case():
    advance = progress_page(case_record(), followed(ready()), {}).decode()
    assert "<h2>Advance</h2><p>to phase 2 of 3: Build up</p>" in advance
    hold = progress_page(case_record(), followed([]), {}).decode()
    assert "<h2>Hold</h2><p>stay in phase 1 of 3: Protect</p>" in hold


def test_the_chart_draws_a_value_outside_the_range_apart_and_says_it():
    course = worse().courses[0]
    drawn = ET.fromstring(course_svg(course, 182))
    said = [node.text for node in drawn.iter(f"{SVG}text")]
    assert {"48", "24", "14", "60", "today", "6 w", "3 m"} <= set(said)
    assert "worse than the range" in drawn.get("aria-label")
    assert len(list(drawn.iter(f"{SVG}circle"))) == 3
    assert any(node.get("fill") == "#b3261e" for node in drawn.iter(f"{SVG}polygon"))


def test_the_band_is_drawn_where_a_value_is_judged_by_it():
    """The polygon's upper edge at a published time is that time's upper end."""
    course = worse().courses[0]
    ends = [(day, band.high) for run in course.ranges for day, band in run]
    assert any(abs(day - 91.3) < 0.1 and abs(high - 39.1932) < 1e-3 for day, high in ends)
    assert all(band.low <= band.middle <= band.high for run in course.ranges for _, band in run)


def test_of_many_values_each_visit_and_the_last_are_told():
    rows = [seen("nrs-leg", day, 2) for day in range(20, 120)]
    points = followed(rows, 120).courses[0].points
    told = shown(points)
    assert len(points) == 100
    assert [one.day for one in told] == [42, 91, 119]


def test_the_same_progress_makes_the_same_bytes():
    assert progress_page(case_record(), worse(), {}) == progress_page(case_record(), worse(), {})


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "case.json").write_text(case_record().model_dump_json(by_alias=True))
    Case(folder).write(rehab())
    return folder


def run(*words, code=0):
    done = CliRunner().invoke(main, ["progress", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def test_the_command_prints_the_advice_and_writes_the_page(case, tmp_path):
    table = tmp_path / "seen.csv"
    rows = "".join(f"{one.instrument},{one.date},{one.value:g}\n" for one in ready())
    table.write_text(f"instrument,date,value\n{rows}")
    said = run(case, "--observations", table, "--today", today(30))
    assert "ADVANCE to Build up" in said
    assert "[ready; keyhole-choice]" in said
    assert "Not a medical device" in said
    held = json.loads(run(case, "--observations", table, "--today", today(30), "--json"))
    assert held["advice"]["word"] == "advance"
    assert set(held["provenance"]["inputs"]) == {"rehab.json", "seen.csv"}
    assert (case / "report" / "progress.html").is_file()


def test_a_wrong_table_is_one_sentence_and_writes_nothing(case, tmp_path):
    table = tmp_path / "seen.csv"
    table.write_text("instrument,date,value\nodi,2026-02-01,500\n")
    said = run(case, "--observations", table, "--today", today(30), code=1)
    assert "line 2" in said
    assert "Traceback" not in said
    assert not (case / "report").exists()


def test_a_clinics_own_rules_are_used_and_named(case, tmp_path):
    rules = files("keyhole.recovery.progress").joinpath("rules.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text(rules.replace('title = "Keyhole\'s rules of progress"', 'title = "Ours"'))
    assert json.loads(run(case, "--rules", own, "--today", today(30), "--json"))["rules"]["title"] == "Ours"
    own.write_text("title = 3")
    assert "own.toml" in run(case, "--rules", own, "--today", today(30), code=1)
