"""Tables into the registry: what is taken, what is refused and in which row, on SQLite and PostgreSQL."""

import csv
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import func, select

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.registry.database import open_registry
from keyhole.registry.models import Audit, Batch, Episode, Measure, Patient, Procedure, Response
from keyhole.registry.tables import Asked, Text, import_file, import_files, parse_plan, table_plan
from keyhole.registry.tables.load import KEPT

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ABORT, SKIP = Asked("clerk", AT), Asked("clerk", AT, on_error="skip")
WIDE = "episode,patient,surgery_date,operation,miss,sex,age,odi_0,odi_12m,complication,reoperated,reoperation_days"
GOOD = "E1,P1,2024-05-01,discectomy,1,F,44,48,12,0,0,"


@pytest.fixture
def registry(registry_url):
    with open_registry(registry_url) as opened:
        yield opened


@pytest.fixture
def file(tmp_path):
    def write(*lines, name="table.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes("\n".join([*lines, ""]).encode(encoding))
        return path

    return write


def _counts(registry):
    with registry.reading() as session:
        return {
            kind.__tablename__: session.scalar(select(func.count()).select_from(kind))
            for kind in (Patient, Episode, Procedure, Response, Batch, Audit)
        }


def _wide(**changed):
    cells = dict(zip(WIDE.split(","), GOOD.split(","), strict=True)) | changed
    return ",".join(cells.values())


def test_a_row_of_the_analysis_table_becomes_patient_episode_operation_and_answers(registry, file):
    found = import_file(registry, file(WIDE, GOOD), ABORT)
    assert (found.kept, found.rows, found.skipped) == (True, 1, 0)
    with registry.reading() as session:
        patient, episode, procedure = (session.scalars(select(kind)).one() for kind in (Patient, Episode, Procedure))
        assert (patient.pseudonym, patient.sex) == ("P1", "F")
        assert (episode.code, episode.surgery_date, episode.age) == ("E1", date(2024, 5, 1), 44)
        assert (procedure.operation, procedure.is_miss, procedure.approach) == ("discectomy", True, "")
        answers = {(r.instrument, r.visit, r.date): r.value for r in session.scalars(select(Response))}
        assert answers == {
            ("odi", "baseline", date(2024, 5, 1)): 48,
            ("odi", "12m", date(2025, 5, 1)): 12,
        }
        batch = session.scalars(select(Batch)).one()
        assert (batch.file, batch.sha256, batch.rows, batch.skipped) == ("table.csv", found.sha256, 1, 0)
        lines = {a.entity: a.after for a in session.scalars(select(Audit)) if a.batch_id == batch.id}
        assert lines["responses"] == {"file": "table.csv", "sha256": found.sha256, "rows": 2}


WRONG = (
    ({"surgery_date": "2024-02-30"}, "surgery_date", "a day, YYYY-MM-DD"),
    ({"surgery_date": "2027-01-01"}, "surgery_date", "a day up to 2026-03-01"),
    ({"surgery_date": "01.05.2024"}, "surgery_date", "a day, YYYY-MM-DD"),
    ({"odi_0": "101"}, "odi_0", "a number from 0 to 100"),
    ({"odi_0": "nine"}, "odi_0", "a number"),
    ({"odi_12m": "-1"}, "odi_12m", "a number from 0 to 100"),
    ({"odi_12m": "inf"}, "odi_12m", "a number"),
    ({"odi_12m": "1_0"}, "odi_12m", "a number"),
    ({"age": "130"}, "age", "from 0 to 120"),
    ({"sex": "W"}, "sex", "one of F, M, X"),
    ({"operation": "kyphoplasty"}, "operation", "one of discectomy"),
    ({"miss": "2"}, "miss", "1 or 0"),
    ({"episode": "E 1"}, "episode", "a code without blanks"),
    ({"patient": ""}, "patient", "a code without blanks"),
    ({"reoperated": "1"}, "reoperation_days", "the days to the reoperation"),
    ({"reoperation_days": "30"}, "reoperation_days", "no reoperation"),
    ({"surgery_date": "2025-09-01"}, "odi_12m", "a day up to 2026-03-01"),
    ({"episode": "E0"}, "episode", "not recorded yet"),
    ({"patient": "P0", "sex": "M"}, "sex", "F, as recorded of the patient P0"),
    ({"patient": "P0"}, "surgery_date", "once: E0"),
)


def test_what_cannot_be_is_refused_with_its_row_and_the_rest_is_skipped_or_aborted(registry, file):
    rows = [_wide(**({"episode": f"E{n}", "patient": f"P{n}"} | wrong[0])) for n, wrong in enumerate(WRONG, start=1)]
    path = file(WIDE, _wide(episode="E0", patient="P0"), *rows, _wide(episode="E99", patient="P99"))
    found = import_file(registry, path, ABORT)
    assert (found.kept, found.rows, found.skipped) == (False, len(WRONG) + 2, len(WRONG))
    assert set(_counts(registry).values()) == {0}
    assert len(found.problems) == min(KEPT, len(WRONG))
    for row, ((_, field, expected), problem) in enumerate(zip(WRONG, found.problems, strict=False), start=3):
        assert (problem.row, problem.field) == (row, field)
        assert expected in problem.expected
    assert import_file(registry, path, SKIP).put["episodes"] == 2
    assert _counts(registry)["episodes"] == 2


def test_every_problem_of_every_row_is_in_the_report_also_after_an_abort(registry, file, tmp_path):
    path = file(WIDE, _wide(odi_0="101", age="x"), GOOD, _wide(episode="E1", patient="P2"), "E3,P3")
    found = import_files(registry, [path], ABORT, report=tmp_path / "report.csv")[0]
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["row"], row["field"]) for row in rows] == [
        ("2", "age"), ("2", "odi_0"), ("4", "episode"), ("5", "the row"),
    ]  # fmt: skip
    assert rows[3] == {"row": "5", "field": "the row", "found": "2 cells", "expected": rows[3]["expected"]}
    assert found.wrong == {"age": 1, "odi_0": 1, "episode": 1, "the row": 1}
    assert found.skipped == 3


def test_a_dry_run_says_what_would_be_and_changes_nothing(registry, file):
    found = import_file(registry, file(WIDE, GOOD), Asked("clerk", AT, dry_run=True))
    assert (found.kept, found.batch, found.put["responses"]) == (False, None, 2)
    assert set(_counts(registry).values()) == {0}


def test_the_same_file_again_is_refused_and_with_again_adds_nothing(registry, file):
    path = file(WIDE, GOOD)
    import_file(registry, path, ABORT)
    before = _counts(registry)
    with pytest.raises(InvalidInput, match=r"as table.csv \(import 1, the same SHA-256\); nothing was added"):
        import_file(registry, path.rename(path.with_name("renamed.csv")), ABORT)
    assert _counts(registry) == before
    found = import_file(registry, path.with_name("renamed.csv"), Asked("clerk", AT, on_error="skip", again=True))
    assert (found.rows, found.skipped, found.put) == (1, 1, {})
    after = _counts(registry)
    assert {k: v for k, v in after.items() if k != "batches"} == {k: v for k, v in before.items() if k != "batches"}


def test_duplicates_are_found_across_blocks_of_the_file(registry, file, monkeypatch):
    monkeypatch.setattr(
        "keyhole.registry.tables.load.header_and_blocks",
        lambda path, text: __import__("keyhole.registry.tables.rows", fromlist=["x"]).header_and_blocks(path, text, 2),
    )
    lines = [_wide(episode=f"E{n}", patient=f"P{n}") for n in range(5)]
    found = import_file(registry, file(WIDE, *lines, lines[0], lines[3]), SKIP)
    assert [(p.row, p.field) for p in found.problems] == [(7, "episode"), (8, "episode")]


NO_TABLES = (
    (b"", "empty; expected a first row"),
    (b"\n", "row 1: empty"),
    (b"\0\0\0", "row 1: found a NUL byte"),
    (b"a,b,a\n", "the column 'a' is there twice"),
    (b"a,,c\n", "column 2 has no name"),
    (b"\xff\xfea\0", "mark of UTF-16 text, expected utf-8"),
    (b"episode;patient;odi_0\n", "apart by ';', say --separator"),
    (b"patient,operation,miss,odi_0,weight\n", "nearly Keyhole's analysis table, but the column 'weight'"),
    (b"some,thing,else\n", "none of the tables that Keyhole knows"),
    (b"\x89PNG\r\n\x1a\n\0\0", "row 1: found byte 0x89"),
    (WIDE.encode() + b'\n"E1,P1\n' + b"x\n" * 60, "row 2: a quoted cell begins here that does not end"),
)


def test_what_is_no_table_is_refused_whole_in_one_sentence(registry, tmp_path):
    path = tmp_path / "file.csv"
    for content, expected in NO_TABLES:
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match="file.csv") as refused:
            import_file(registry, path, SKIP)
        assert expected in str(refused.value)
    assert set(_counts(registry).values()) == {0}


def test_strange_bytes_and_nul_belong_to_their_row_and_a_mark_at_the_start_to_nobody(registry, tmp_path):
    path = tmp_path / "file.csv"
    header = WIDE.replace("sex", "centre")
    row = GOOD.replace(",F,", ",Köln,")
    other = row.replace("E1,P1", "E2,P2")
    third = row.replace("E1,P1", "E3,P3")
    path.write_bytes(
        b"\xef\xbb\xbf" + f"{header}\n{row}\n".encode() + f"{other}\n".encode("latin-1") + third.encode() + b"\0\n"
    )
    found = import_file(registry, path, SKIP)
    assert [(p.row, p.found) for p in found.problems] == [(3, "byte 0xF6"), (4, "a NUL byte")]
    with pytest.raises(UnreadableFile, match="mark of UTF-8 text, expected latin-1"):
        import_files(registry, [path], SKIP, text=Text(encoding="latin-1"))


def test_an_encoding_that_is_named_is_read(registry, file):
    path = file(WIDE.replace("sex", "centre"), GOOD.replace(",F,", ",Köln,"), encoding="latin-1")
    assert not import_file(registry, path, ABORT).kept
    import_files(registry, [path], ABORT, text=Text(encoding="latin-1"))
    with registry.reading() as session:
        assert session.scalars(select(Episode.centre)).all() == ["Köln"]


def test_semicolons_and_decimal_commas_are_asked_for_never_guessed(registry, file):
    path = file(WIDE.replace(",", ";"), GOOD.replace(",", ";").replace(";44;", ";44,5;"))
    with pytest.raises(InvalidInput, match="--separator"):
        import_file(registry, path, ABORT)
    found = import_files(registry, [path], ABORT, text=Text(separator=";"))[0]
    assert found.problems[0].expected.endswith('with a decimal point (or say decimal = ",")')
    assert import_files(registry, [path], ABORT, text=Text(separator=";"), decimal=",")[0].kept
    with registry.reading() as session:
        assert session.scalars(select(Episode.age)).one() == 44.5


MAPPING = {
    "title": "the hospital's own table",
    "format": "wide",
    "separator": ";",
    "decimal": ",",
    "date": "%d.%m.%Y",
    "ignore": ["remark"],
    "columns": {
        "Fall": "episodes.code",
        "Patient": "patients.pseudonym",
        "OP": {"field": "episodes.surgery_date"},
        "Art": {"field": "procedures.operation", "values": {"BSV": "discectomy"}},
        "Zugang": {"field": "procedures.is_miss", "values": {"klein": "1", "offen": "0"}},
        "Blut": {"field": "procedures.blood_loss_ml", "unit": "L"},
        "ODI50": {"instrument": "odi", "visit": "12m", "on": "am", "factor": 2},
    },
    "constants": {"episodes.centre": "Nord"},
}


def test_a_mapping_translates_words_days_units_and_fills_constants(registry, file):
    lines = ("Fall;Patient;OP;Art;Zugang;Blut;ODI50;am;remark", "F1;X;03.04.2024;BSV;klein;0,15;11;05.04.2025;-")
    assert import_file(registry, file(*lines), ABORT, plan=parse_plan(MAPPING, "m.toml")).kept
    with registry.reading() as session:
        procedure, response = session.scalars(select(Procedure)).one(), session.scalars(select(Response)).one()
        assert (procedure.operation, procedure.is_miss, procedure.blood_loss_ml) == ("discectomy", True, 150)
        assert (response.value, response.visit, response.date) == (22, "12m", date(2025, 4, 5))
        assert session.scalars(select(Episode.centre)).one() == "Nord"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"format": "tall"}, 'expected format = "wide"'),
        ({"colums": {}}, "'colums' is not known"),
        ({"missing": "x"}, "missing must be a list of texts"),
        ({"constants": 5}, "constants must be a table"),
        ({"columns": MAPPING["columns"] | {"b": {"field": "episodes.bmi", "values": 3}}}, "values must be a table"),
        ({"columns": MAPPING["columns"] | {"b": {"field": "episodes.bmi", "factor": 0}}}, "factor must be a number"),
        ({"decimal": ";"}, 'expected decimal = "." or ","'),
        ({"separator": ";;"}, "separator must be one character"),
        ({"columns": {"a": "episodes.weight"}}, "there is no field 'episodes.weight'"),
        ({"columns": {"a": "episodes.code"}}, "nothing fills patients.pseudonym"),
        ({"columns": MAPPING["columns"] | {"b": "episodes.code"}}, "episodes.code is filled twice"),
        ({"columns": MAPPING["columns"] | {"b": "complications.code"}}, "no field of such a row"),
        ({"columns": MAPPING["columns"] | {"b": {"instrument": "odi", "visit": "3m"}}}, "on which day"),
        ({"columns": MAPPING["columns"] | {"b": {"instrument": "odi", "visit": "5m"}}}, "visit must be one of"),
        ({"columns": MAPPING["columns"] | {"b": {"field": "episodes.bmi", "unit": "lb"}}}, "cannot be read in 'lb'"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_in_one_sentence(changed, expected):
    with pytest.raises(InvalidInput, match=r"^m\.toml|^episodes") as refused:
        parse_plan(MAPPING | changed, "m.toml")
    assert expected in str(refused.value)


def test_columns_that_the_mapping_does_not_know_or_the_file_lacks_are_refused(registry, file):
    plan = parse_plan(MAPPING, "m.toml")
    with pytest.raises(InvalidInput, match="does not know the column 'extra'"):
        import_file(registry, file("Fall;Patient;OP;Art;Zugang;Blut;ODI50;am;extra", ""), ABORT, plan=plan)
    with pytest.raises(InvalidInput, match="column 'am' of the mapping is not in the file"):
        import_file(registry, file("Fall;Patient;OP;Art;Zugang;Blut;ODI50"), ABORT, plan=plan)


ANSWERS = "episode,instrument,visit,date,value,items"


@pytest.fixture
def filled(registry, file):
    import_file(registry, file(WIDE, GOOD, name="first.csv"), ABORT)
    return registry


def test_answers_come_one_a_row_and_their_visit_from_the_day(filled, file):
    path = file(ANSWERS, "E1,nrs-leg,,2024-06-10,3,", 'E1,odi,3m,2024-08-01,,"[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"')
    assert import_file(filled, path, ABORT).put == {"responses": 2}
    with filled.reading() as session:
        found = {(r.instrument, r.visit): r.value for r in session.scalars(select(Response))}
    assert found["nrs-leg", "6w"] == 3
    assert found["odi", "3m"] == 20


WRONG_ANSWERS = (
    ("E9,odi,12m,2025-05-01,20,", "episode", "an episode of the registry"),
    ("E1,odi,6m,2024-04-01,20,", "date", "a day after the operation on 2024-05-01"),
    ("E1,odi,baseline,2024-05-02,20,", "date", "a day up to the operation"),
    ("E1,odi,12m,2026-04-01,20,", "date", "a day up to 2026-03-01"),
    ("E1,odi,,2024-05-03,20,", "visit", "a visit, or a day in the window of one"),
    ("E1,odi,6m,,20,", "date", "the day of the answer"),
    ("E1,nrs-leg,6m,2024-11-01,11,", "value", "between 0 and 10"),
    ("E1,oddi,6m,2024-11-01,11,", "instrument", "one of odi"),
    ("E1,odi,6m,2024-11-01,,", "value", "a score, or the answers"),
    ('E1,odi,6m,2024-11-01,50,"[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"', "value", "20.0, to which the items come"),
    ('E1,odi,6m,2024-11-01,50,"[1, NaN]"', "items", "a JSON list of numbers"),
    ("E1,odi,12m,2025-05-01,20,", "instrument", "a record that E1 has not yet"),
)


def test_answers_that_cannot_be_are_refused(filled, file):
    found = import_file(filled, file(ANSWERS, *(row for row, _, _ in WRONG_ANSWERS)), ABORT)
    assert [(p.row, p.field) for p in found.problems] == [(n, w[1]) for n, w in enumerate(WRONG_ANSWERS, start=2)]
    for (_, _, expected), problem in zip(WRONG_ANSWERS, found.problems, strict=True):
        assert expected in problem.expected
    assert not found.kept


WRONG_RECORDS = (
    ("patients", "P1,F,1980", "pseudonym", "a patient who is not recorded yet"),
    ("episodes", "E2,P9,,,,2024-06-01,,,,,,,", "patient", "a patient of the registry"),
    ("complications", "E1,dural-tear,2024-04-30,,", "date", "a day since the operation on 2024-05-01"),
    ("complications", "E1,durotomy,2024-05-30,,", "code", "one of death"),
    ("complications", "E1,dural-tear,2024-05-30,IX,", "grade", "one of I, II"),
    ("reoperations", "E1,2024-05-30,recurrence,L3/L5", "level", "levels such as L4/L5"),
    ("procedures", "E1,fusion,open-tlif,1,L4/L5,,,,,", "is_miss", "0, for the approach is open-tlif"),
    ("measures", "E1,slip,L4/L5,,5,-1,%,2024-05-30", "sd", "a number of at least 0"),
)


def test_records_of_the_other_tables_are_checked_alike(filled, file):
    for table, row, field, expected in WRONG_RECORDS:
        header = ",".join(column.name for column in table_plan(table).columns)
        found = import_file(filled, file(header, row), ABORT)
        assert [(p.row, p.field) for p in found.problems] == [(2, field)]
        assert expected in found.problems[0].expected
        assert not found.kept


def test_nothing_happens_to_a_patient_after_death(filled, file):
    assert import_file(filled, file("episode,code,date", "E1,death,2024-07-01", name="deaths.csv"), ABORT).kept
    found = import_file(filled, file(ANSWERS, "E1,odi,6m,2024-11-01,20,"), ABORT)
    assert "death on 2024-07-01" in found.problems[0].expected


def test_an_event_of_which_the_table_says_nothing_is_not_taken_for_none(registry, file):
    rows = [_wide(complication=""), _wide(episode="E2", patient="P2", odi_12m="")]
    import_file(registry, file(WIDE, *rows), ABORT)
    with registry.reading() as session:
        asked = {(m.name, m.value) for m in session.scalars(select(Measure)) if m.name == "asked: complication"}
    assert asked == {("asked: complication", 0.0), ("asked: complication", 1.0)}


def test_who_imports_must_be_named():
    with pytest.raises(InvalidInput, match="who imports must be named"):
        Asked(" ", AT)


def test_a_file_that_is_not_there_is_refused(registry, tmp_path):
    with pytest.raises((UnreadableFile, OSError)):
        import_file(registry, tmp_path / "none.csv", ABORT)


def test_an_answer_without_a_day_is_never_put_after_the_last_on_which_the_patient_was_seen(registry, file):
    header = "episode,patient,surgery_date,operation,miss,odi_6m,followup_days"
    row = "E{n},P{n},2024-05-01,discectomy,1,20,{seen}"
    found = import_file(registry, file(header, *(row.format(n=n, seen=s) for n, s in enumerate((400, 150, 90)))), SKIP)
    assert [(p.row, p.field) for p in found.problems] == [(4, "odi_6m")]
    assert "last seen 90 days after the operation" in found.problems[0].expected
    with registry.reading() as session:
        days = sorted((r.date - date(2024, 5, 1)).days for r in session.scalars(select(Response)))
    assert days == [150, 183]
