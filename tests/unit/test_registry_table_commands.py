"""`keyhole registry import`, `export` and `fields` as a user types them."""

import json

import pytest
from click.testing import CliRunner

from keyhole.casefile.store import RESEARCH_USE
from keyhole.cli.main import main
from registry_databases import ready_url

HEADER = "Case;Patient;Day;Operation;Way;Before;ODI50_before"
MAPPING = """
title = "theatre list"
format = "wide"
separator = ";"
date = "%d.%m.%Y"
[columns]
Case = "episodes.code"
Patient = "patients.pseudonym"
Day = "episodes.surgery_date"
Operation = { field = "procedures.operation", values = { disc = "discectomy" } }
Way = { field = "procedures.is_miss", values = { small = "1", open = "0" } }
ODI50_before = { instrument = "odi", visit = "baseline", on = "Before", factor = 2 }
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ready_url("sqlite", tmp_path)
    (tmp_path / "registry.db").rename("r.db")
    (tmp_path / "m.toml").write_text(MAPPING, encoding="utf-8")
    good = [f"C{n};P{n};0{n}.02.2024;disc;small;01.01.2024;2{n}" for n in (1, 2)]
    (tmp_path / "list.csv").write_text("\n".join([HEADER, *good, "C3;P3;31.02.2024;disc;tiny;;60"]), encoding="utf-8")

    def invoke(*arguments):
        return CliRunner().invoke(main, ["registry", *arguments])

    return invoke


def test_a_file_with_a_wrong_row_changes_nothing_and_every_problem_is_told(run, tmp_path):
    found = run("import", "r.db", "list.csv", "--mapping", "m.toml", "--report", "wrong.csv", "--by", "clerk")
    assert found.exit_code == 1
    assert "list.csv: theatre list, 3 rows: 2 can be imported, 1 cannot be" in found.output
    assert "row 4, Way: found 'tiny', expected 1 or 0" in found.output
    assert "r.db: nothing was changed" in found.output
    told = (tmp_path / "wrong.csv").read_text(encoding="utf-8").splitlines()
    assert told[0] == "row,field,found,expected"
    assert len(told) == 4


def test_with_skip_the_other_rows_come_in_and_go_out_again(run, tmp_path):
    found = run("import", "r.db", "list.csv", "--mapping", "m.toml", "--on-error", "skip", "--json")
    content = json.loads(found.output)
    assert found.exit_code == 0
    assert content["research_use"] == RESEARCH_USE
    assert (content["rows"], content["skipped"], content["kept"]) == (3, 1, True)
    assert {problem["row"] for problem in content["problems"]} == {4}
    out = run("export", "r.db", "--out", "out", "--json")
    assert json.loads(out.output)["rows"] == {"analysis": 2}
    lines = (tmp_path / "out" / "analysis.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("C1,P1,,,2024-02-01,discectomy,1,")
    assert ",42," in lines[1]


def test_a_folder_of_tables_comes_in_together_or_not_at_all(run, tmp_path):
    run("import", "r.db", "list.csv", "--mapping", "m.toml", "--on-error", "skip")
    run("export", "r.db", "--out", "out", "--what", "tables")
    with (tmp_path / "out" / "responses.csv").open("a", encoding="utf-8") as stream:
        stream.write("C9,odi,12m,2025-02-01,3,\n")
    ready_url("sqlite", tmp_path)
    (tmp_path / "registry.db").rename("other.db")
    found = run("import", "other.db", "out", "--report", "wrong.csv")
    assert found.exit_code == 1
    assert "other.db: nothing was changed" in found.output
    assert "responses.csv,4,episode,'C9',an episode of the registry" in (tmp_path / "wrong.csv").read_text()
    assert json.loads(run("export", "other.db", "--out", "none", "--json").output)["rows"] == {"analysis": 0}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("import", "r.db", "list.csv"), "say --separator ';'"),
        (("import", "none.db", "list.csv"), "none.db is not a registry"),
        (("import", "r.db", "."), "holds none of the registry's tables"),
        (("import", "r.db", "list.csv", "--separator", "ab"), "separator must be one character"),
        (("import", "r.db", "list.csv", "--mapping", "list.csv"), "list.csv is no TOML file"),
        (("import", "r.db", "list.csv", "--encoding", "latin-99"), "no encoding is called 'latin-99'"),
        (("import", "r.db", "list.csv", "--mapping", "m.toml", "--report", "list.csv"), "give the report another name"),
        (("export", "r.db", "--out", "list.csv"), "list.csv is a file; expected a folder"),
        (("fields", "people"), "there is no table 'people'"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_status_1(run, arguments, expected):
    found = run(*arguments)
    assert found.exit_code == 1
    assert expected in found.output
    assert "Traceback" not in found.output


def test_fields_lists_what_a_mapping_can_fill(run):
    assert "responses.instrument" in run("fields").output
    rows = json.loads(run("fields", "patients", "--json").output)["fields"]
    assert [row["field"] for row in rows] == ["patients.pseudonym", "patients.sex", "patients.birth_year"]
