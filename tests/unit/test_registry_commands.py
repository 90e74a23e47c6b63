"""The commands of a registry, as a first-time user meets them."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from report_case import findings, plan

from keyhole.casefile import Case, CaseRecord, Patient, provenance
from keyhole.cli.main import main
from registry_databases import ready_url


@pytest.fixture(autouse=True)
def _within(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("KEYHOLE_REGISTRY", "KEYHOLE_ACTOR", "KEYHOLE_IDENTITY_KEY"):
        monkeypatch.delenv(name, raising=False)


def run(*words, status=0, text=None):
    done = CliRunner().invoke(main, ["registry", *words], input=text)
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output
    return done.output


def as_json(*words, **more):
    found = json.loads(run(*words, "--json", **more))
    assert found.pop("research_use").startswith("Research use only")
    return found


def a_case(folder, sex="F"):
    folder.mkdir()
    about = CaseRecord(
        id="made-up",
        patient=Patient(age=54, sex=sex, height_cm=168, weight_kg=70, asa=2),
        numbering="counted",
        provenance=provenance({}),
    )
    (folder / "case.json").write_text(about.model_dump_json(by_alias=True))
    made = Case(folder)
    made.write(findings({}))
    made.write(plan({}))
    return made


def test_a_follow_up_by_commands_alone():
    run("init")
    run("record", "patient", "--pseudonym", "P1", "--sex", "F", "--birth-year", "1971", "--by", "ann")
    run("record", "episode", "--code", "E1", "--patient", "P1")
    out = run("record", "response", "--episode", "E1", "--instrument", "odi", "--date", "2026-01-02", "--value", "52")
    assert out == "response 1 recorded: episode E1, instrument odi, visit baseline, date 2026-01-02, value 52\n"
    run(
        "record", "operation", "--episode", "E1", "--date", "2026-01-10", "--operation", "discectomy",
        "--levels", "L4/L5", "--approach", "tubular-paramedian", "--side", "left", "--minutes", "60",
        "--smoker", "no", "--age", "54",
    )  # fmt: skip
    out = run(
        "record", "response", "--episode", "E1", "--instrument", "odi", "--date", "2026-02-20", "--answers",
        "2,2,2,2,2,2,2,-,2,0", "--today", "2026-03-01",
    )  # fmt: skip
    assert "visit 6w" in out
    assert "value 35.6" in out
    assert "note: 1 of 10 items left out" in out
    due = as_json("due", "--today", "2026-03-01")
    assert (due["due"], due["overdue"]) == (0, 1)
    assert due["visits"][0] == {
        "episode": "E1", "patient": "P1", "centre": None, "visit": "6w", "status": "overdue", "days": 8,
        "target": "2026-02-21", "closes": "2026-03-21", "is_open": True, "missing": ["nrs-back", "nrs-leg", "eq5d-5l"],
    }  # fmt: skip
    assert "overdue by 8 days" in run("due", "--today", "2026-03-01")
    run("correct", "response", "2", "--set", "value=40", "--reason", "second look")
    told = run("history", "response", "3")
    assert "value: 35.5" in told
    assert "-> 40.0" in told
    assert "because: second look" in told
    assert [one["action"] for one in as_json("history", "response", "3")["history"]] == ["insert", "void", "update"]
    run("void", "episode", "E1", "--reason", "wrong clinic")
    counts = as_json("status")["counts"]
    assert counts["responses"] == {"records": 0, "voided": 3}
    assert counts["patients"] == {"records": 1, "voided": 0}


def test_an_operation_is_taken_from_the_case_folder_with_its_files(tmp_path):
    case = a_case(tmp_path / "case")
    run("init")
    run("record", "patient", "--pseudonym", "P1", "--sex", "F")
    words = ("record", "operation", "--case", "case", "--episode", "E1", "--patient", "P1", "--date", "2026-01-10")
    assert "operation: expected what was done" in run(*words, status=1)
    assert as_json("status")["counts"]["episodes"]["records"] == 0
    made = as_json(*words, "--operation", "discectomy", "--minutes", "70")
    episode, procedure, *snapshots = made["recorded"]
    assert (episode["age"], episode["asa"], episode["bmi"], episode["case_id"]) == (54.0, 2, 24.8, "made-up")
    assert (procedure["approach"], procedure["is_miss"], procedure["levels"], procedure["side"]) == (
        "transforaminal-endoscopic", True, "L4/L5", "left",
    )  # fmt: skip
    assert [one["kind"] for one in snapshots] == ["plan", "findings"]
    assert snapshots[0]["sha256"] == case.digest("plan.json")["plan.json"]
    assert made["caveats"] == [
        "the approach is the plan's first, transforaminal-endoscopic: say --approach if another was used"
    ]
    assert "all of it is kept already" in run("record", "snapshot", "--episode", "E1", "--case", "case")
    (tmp_path / "case" / "findings.json").write_text(
        json.dumps({"provenance": {"inputs": {"plan.json": "0" * 64}}, "findings": []})
    )
    assert "findings.json belongs to an earlier plan and was not kept" in run(
        "record", "snapshot", "--episode", "E1", "--case", "case"
    )


def test_the_snapshot_kept_is_the_file_byte_for_byte(tmp_path):
    import hashlib

    from sqlalchemy import select

    from keyhole.registry.database import open_registry
    from keyhole.registry.models import Snapshot

    a_case(tmp_path / "case")
    run("init")
    run("record", "patient", "--pseudonym", "P1")
    run(
        "record", "operation", "--case", "case", "--episode", "E1", "--patient", "P1", "--date", "2026-01-10",
        "--operation", "discectomy", "--approach", "open-microdiscectomy",
    )  # fmt: skip
    with open_registry("registry.db") as registry, registry.reading() as session:
        kept = session.scalars(select(Snapshot).where(Snapshot.kind == "plan")).one()
    text = json.dumps(kept.content, indent=1, ensure_ascii=False) + "\n"
    assert hashlib.sha256(text.encode()).hexdigest() == kept.sha256


def test_a_case_that_is_another_patients_and_a_second_day_are_refused(tmp_path):
    a_case(tmp_path / "case", sex="M")
    run("init")
    run("record", "patient", "--pseudonym", "P1", "--sex", "F")
    words = ["record", "operation", "--episode", "E1", "--patient", "P1", "--operation", "discectomy"]
    told = run(*words, "--case", "case", "--date", "2026-01-10", status=1)
    assert "case: the case is of a patient of sex M, P1 has F" in told
    run(*words, "--approach", "open-microdiscectomy", "--date", "2026-01-10", "--age", "54", "--smoker", "yes")
    words[5] = "P2"
    for more, sentence in [
        (["--date", "2026-01-11"], "surgery_date: E1 has 2026-01-10 already, got 2026-01-11: use `correct`"),
        (["--age", "60"], "age: E1 has 54.0 already, got 60"),
    ]:
        told = run("record", "operation", "--episode", "E1", "--operation", "fusion", "--is-miss", "1", *more, status=1)
        assert sentence in told
    assert "patient: E1 is an episode of P1, got P2" in run(*words, status=1)
    same = ("--age", "54.0", "--smoker", "1", "--date", "2026-01-10", "--patient", "P1")
    run("record", "operation", "--episode", "E1", "--operation", "fusion", "--is-miss", "0", *same)


def test_identities_by_commands(tmp_path):
    told = run("init", "--identities", "encrypted", "--key", "own.key")
    assert "keep a copy apart" in told
    assert "the key lies beside the registry" in told
    assert stat.S_IMODE(Path("own.key").stat().st_mode) == 0o600
    who = json.dumps({"name": "Ann Beispiel"})
    patient = ("record", "patient", "--pseudonym")
    run(*patient, "P1", "--identity", "-", "--key", "own.key", text=who)
    assert "Ann Beispiel" in run("identity", "P1", "--key", "own.key")
    assert as_json("identity", "P1", "--key", "own.key")["identity"] == {"name": "Ann Beispiel"}
    assert "--key, or set KEYHOLE_IDENTITY_KEY" in run("identity", "P1", status=1)
    assert "expected a readable JSON file" in run(*patient, "P2", "--identity", "none", "--key", "own.key", status=1)
    assert "expected a JSON object" in run(*patient, "P2", "--identity", "-", "--key", "own.key", status=1, text="[1]")
    assert as_json("status")["counts"]["patients"]["records"] == 1
    for words in (("status",), ("history", "patient", "P1"), ("due",)):
        assert "Beispiel" not in run(*words) + run(*words, "--json")
    assert "reason: expected why" in run("identity", "P1", "--forget", status=1)
    assert "has been erased" in run("identity", "P1", "--forget", "--reason", "asked")
    assert "no identity is kept of 'P1'" in run("identity", "P1", "--key", "own.key", status=1)


def test_a_key_is_not_left_behind_where_no_registry_was_made(tmp_path):
    run("init")
    run("init", "--identities", "encrypted", "--key", "own.key", status=1)
    assert not Path("own.key").exists()
    run("init", "other.db", "--key", "own.key", status=2)


def test_versions_are_changed_and_said():
    run("init")
    assert run("migrate") == "registry.db: version 0002 already\n"
    assert as_json("migrate", "--to", "0001") == {"registry": "registry.db", "before": "0002", "after": "0001"}
    assert "run `keyhole registry migrate` first" in run("due", status=1)
    assert run("migrate") == "registry.db: version 0001 -> 0002\n"
    assert "version: must be one of 0001, 0002 or head" in run("migrate", "--to", "base", status=1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("due", "-r", "none.db"), "none.db is not a registry: there is no such file"),
        (("due", "-r", "mysql://me:secret@x/y"), "a registry is a SQLite file or postgresql://..., got mysql://"),
        (("record", "response", "--episode", "E9"), "instrument: expected one of odi"),
        (("record", "response", "--answers", "a,b"), "answers: expected numbers with commas between them"),
        (("record", "operation"), "episode: expected the code of the episode, got nothing"),
        (("record", "operation", "--episode", "E1", "--case", "none"), "none is not a case folder"),
        (("record", "snapshot", "--episode", "E1", "--case", "none"), "none is not a case folder"),
        (("record", "patient", "--pseudonym", "P", "--identity", "-"), "keeps no identities"),
        (("correct", "patient", "P9", "--set", "sex=F", "--reason", "x"), "patient: there is no patient 'P9'"),
        (("correct", "patient", "P9", "--set", "sex", "--reason", "x"), "set: expected FIELD=VALUE, got 'sex'"),
        (("history", "response", "x"), "response: expected the number of the record"),
        (("void", "episode", "E9", "--reason", "x"), "episode: there is no episode 'E9'"),
        (("identity", "P1"), "keeps no identities"),
        (("status", "--by", "x"), "No such option"),
    ],
)
def test_what_goes_wrong_is_one_sentence(words, sentence, tmp_path):
    ready_url("sqlite", tmp_path)
    done = CliRunner().invoke(main, ["registry", *words])
    assert done.exit_code == (2 if "option" in sentence else 1), done.output
    assert sentence in done.output
    assert "secret" not in done.output
    assert len([line for line in done.output.splitlines() if line.startswith("Error")]) == 1


def test_the_registry_is_the_first_word_or_an_option_or_a_variable(monkeypatch):
    run("init", "one.db")
    run("record", "patient", "one.db", "--pseudonym", "P1")
    run("record", "patient", "--registry", "one.db", "--pseudonym", "P2")
    monkeypatch.setenv("KEYHOLE_REGISTRY", "one.db")
    run("record", "patient", "--pseudonym", "P3")
    for words in (("status", "one.db"), ("status", "-r", "one.db"), ("status",)):
        assert as_json(*words)["counts"]["patients"]["records"] == 3
    assert "0 due, 0 overdue" in run("due", "one.db")


def test_the_history_of_an_imported_record_begins_with_the_file(tmp_path):
    run("init")
    Path("patients.csv").write_text("pseudonym,sex\nP1,F\n")
    run("import", "registry.db", "patients.csv", "--by", "ann")
    run("correct", "patient", "P1", "--set", "sex=M", "--reason", "misread", "--by", "bob")
    first, second = as_json("history", "patient", "P1")["history"]
    assert (first["by"], first["file"], first["action"]) == ("ann", "patients.csv", "insert")
    assert (second["by"], second["before"], second["after"]) == (
        "bob", {"sex": "F", "version": 1}, {"sex": "M", "version": 2},
    )  # fmt: skip
    assert "from patients.csv" in run("history", "patient", "P1")


def test_the_instruments_asked_for_can_be_ones_own():
    run("init", "--instruments", "odi,nrs-leg|vas-leg")
    run("record", "patient", "--pseudonym", "P1")
    run("record", "episode", "--code", "E1", "--patient", "P1", "--surgery-date", "2026-01-10")
    assert as_json("due", "--today", "2026-02-21")["visits"][0]["missing"] == ["odi", "nrs-leg"]
    assert "no instrument has the key 'ody'" in run("init", "other.db", "--instruments", "ody", status=1)
    assert not Path("other.db").exists()


def test_every_command_of_a_registry_has_help_for_itself_and_its_options():
    runner = CliRunner()
    for name in ("init", "record", "due", "correct", "void", "history", "identity", "status", "migrate"):
        assert runner.invoke(main, ["registry", name, "--help"]).exit_code == 0
    for name in ("patient", "episode", "operation", "response", "complication", "snapshot", "measure"):
        done = runner.invoke(main, ["registry", "record", name, "--help"])
        assert done.exit_code == 0
        assert "--json" in done.output
