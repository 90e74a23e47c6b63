"""A full follow-up by commands alone: operation, scores at each visit (one worsening), advice, due, comparison."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from follow_up import START, answer, asked, follow_up, operate, run, sign
from page_reader import Page, barriers
from report_case import case as made_up

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("follow") / "case"
    made_up(folder)
    run("forecast", folder, "--operation", "discectomy")
    return folder


@pytest.fixture(scope="module")
def found(planned, tmp_path_factory):
    return follow_up(planned, tmp_path_factory.mktemp("registry"))


def rules(progress):
    return [one["rule"] for one in progress["advice"]["reasons"]]


def standings(progress, outcome="odi"):
    course = next(one for one in progress["courses"] if one["outcome"] == outcome)
    return [point["standing"] for point in course["points"]]


def test_at_two_weeks_every_criterion_is_met_and_the_next_phase_is_advised(found):
    assert found.two_weeks["advice"]["word"] == "advance"
    assert found.two_weeks["phase"]["next_name"]
    assert rules(found.two_weeks) == ["ready"]


def test_at_six_weeks_the_course_is_inside_and_the_phase_after_is_advised(found):
    held = found.visits["2026-02-16"]
    assert held["phase"]["number"] == 2
    assert held["advice"]["word"] == "advance"
    assert set(standings(held)) == {"inside"}


def test_at_three_months_what_nobody_measured_holds(found):
    held = found.visits["2026-04-07"]
    assert held["phase"]["number"] == 3
    assert held["advice"]["word"] == "hold"
    assert {"criterion-unknown", "warning-signs-unknown"} <= set(rules(held))
    assert set(standings(held)) == {"inside"}


def test_the_worsening_at_six_months_calls_the_clinic_and_says_why(found):
    worse = found.visits["2026-07-06"]
    assert worse["advice"]["word"] == "call"
    assert {"leg-pain-back", "disability-back"} <= set(rules(worse))
    assert standings(worse)[-1] == "worse"
    assert "CALL THE CLINIC" in found.shown
    assert "leg-pain-back" in found.shown


def test_the_page_shows_the_course_and_the_advice_and_keeps_nobody_out(found):
    text = (found.case / "report" / "progress.html").read_text()
    page = Page(text)
    assert page.open == []
    assert barriers(page) == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "Call the clinic" in text
    assert "leg-pain-back" in text
    assert "Not a medical device" in text


def test_what_was_not_asked_is_due_and_what_was_answered_is_not(found):
    missing = {one["visit"]: one["missing"] for one in found.due["visits"]}
    assert "odi" not in missing["6m"]
    assert any(name.startswith("eq5d") for name in missing["6m"])
    assert (found.due["due"], found.due["overdue"]) == (1, 2)


def test_the_episode_is_in_the_table_that_is_compared(found):
    header, row = (found.exported / "analysis.csv").read_text().splitlines()[:2]
    values = dict(zip(header.split(","), row.split(","), strict=True))
    assert (values["episode"], values["miss"], values["odi_6m"]) == ("E1", "1", "44")
    assert found.comparison["n"] == 401
    assert set(found.comparison["estimates"]) >= {"naive", "regression", "ipw", "aipw"}


def test_the_same_commands_write_the_same_bytes(found):
    page = found.case / "report" / "progress.html"
    words = ("progress", found.case, "--registry", found.registry, "--episode", "E1", "--today", "2026-07-06")
    run(*words)
    first = page.read_bytes()
    run(*words)
    assert page.read_bytes() == first


def test_an_operation_of_another_case_or_day_is_refused(found, planned, tmp_path):
    words = ("progress", found.case, "--registry", found.registry, "--today", "2026-07-06")
    assert "Error" in run(*words, "--episode", "E9", code=1)
    assert "go together" in run(*words, code=2)
    said = run(*words, "--episode", "E1", "--operated", "2026-01-06", code=1)
    assert START in said
    assert "Traceback" not in said
    other = tmp_path / "other.db"
    operate(planned, other)
    run("registry", "correct", "episode", "E1", "--set", "case_id=another", "--reason", "typed wrong", "-r", other,
        "--by", "nurse", "--today", "2026-01-06")  # fmt: skip
    assert "another" in run(*words[:2], "--registry", other, "--episode", "E1", "--today", "2026-07-06", code=1)


def test_a_reoperation_holds_until_the_programme_is_made_anew(planned, tmp_path):
    registry = tmp_path / "registry.db"
    sign(planned)
    operate(planned, registry)
    answer(registry, "2026-01-02")
    run("registry", "record", "reoperation", "--episode", "E1", "--date", "2026-02-01", "--reason", "recurrence",
        "-r", registry, "--by", "nurse", "--today", "2026-02-01")  # fmt: skip
    held = asked("progress", planned, "--registry", registry, "--episode", "E1", "--today", "2026-03-01")
    assert "operated-again" in rules(held)


def test_without_a_programme_one_sentence_names_the_command(planned, tmp_path):
    bare = tmp_path / "case"
    made_up(bare)
    said = run("progress", bare, "--today", "2026-02-01", code=1)
    assert "keyhole rehab" in said
    assert "Traceback" not in said
