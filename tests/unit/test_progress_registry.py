"""What a registry holds of an operation, taken into its progress; the same from SQLite and PostgreSQL."""

import json

import pytest
from click.testing import CliRunner
from expected_case import case_record
from progress_case import START, rehab, today

from keyhole.casefile import Case
from keyhole.cli.main import main


def run(*words, code=0):
    done = CliRunner().invoke(main, [*map(str, words)])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stdout if code == 0 else done.output


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "case.json").write_text(case_record().model_dump_json(by_alias=True))
    Case(folder).write(rehab(start=None))
    return folder


def test_scores_readmissions_and_the_day_come_from_the_registry_and_void_ones_do_not(registry_url, case):
    told = ("-r", registry_url, "--by", "nurse", "--today", today(60))
    run("registry", "record", "patient", "--pseudonym", "P1", *told)
    run("registry", "record", "episode", "--code", "E1", "--patient", "P1", "--surgery-date", START, *told)
    answer = ("registry", "record", "response", "--episode", "E1", "--date", today(42), "--instrument")
    run(*answer, "odi", "--value", "24", *told)
    wrong = json.loads(run(*answer, "nrs-leg", "--value", "9", *told, "--json"))
    run("registry", "record", "readmission", "--episode", "E1", "--date", today(55), "--reason", "pain", *told)
    words = ("progress", case, "--registry", registry_url, "--episode", "E1", "--today", today(60), "--json")
    before = json.loads(run(*words))
    assert before["start"] == str(START)
    assert [one["outcome"] for one in before["courses"]] == ["odi", "leg-pain"]
    assert "back-in-hospital" in [one["rule"] for one in before["advice"]["reasons"]]
    number = next(str(one["id"]) for one in _records(wrong) if one.get("entity") == "response")
    run("registry", "void", "response", number, "--reason", "of another patient", *told[:4])
    assert [one["outcome"] for one in json.loads(run(*words))["courses"]] == ["odi"]


def _records(said):
    return said.get("recorded", [said])


def test_a_registry_or_operation_that_is_not_there_is_one_sentence(registry_url, case, tmp_path):
    said = run("progress", case, "--registry", registry_url, "--episode", "E9", code=1)
    assert "E9" in said
    assert "Traceback" not in said
    said = run("progress", case, "--registry", tmp_path / "none.db", "--episode", "E1", code=1)
    assert "none.db" in said
    assert not (tmp_path / "none.db").exists()
