"""Grades of readers and networks are read from every form of RSNA 2024 and a simple one, or refused with the row."""

import csv
import shutil

import pytest
from click.testing import CliRunner
from test_reading import case as made_case  # noqa: F401  (a fixture)
from test_reading import entries, put_labels

from keyhole.assessment import assess_case, export_findings, import_readings
from keyhole.assessment.readers.case import OTHER_NAMES
from keyhole.assessment.readers.readings import CONDITIONS, read_readings
from keyhole.casefile import Case, FindingsRecord, ReadingsRecord
from keyhole.cli.main import main
from keyhole.errors import InvalidInput, UnreadableFile

LONG = "study_id,condition,level,severity,reader,date\n"


@pytest.fixture
def table(tmp_path):
    def write(text, name="grades.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_long_form_gives_name_level_side_and_reader(table):
    one, two = read_readings(
        table(
            LONG
            + "1,left_subarticular_stenosis,L4/L5,Severe,Dr A,2026-01-05\n"
            + "1,spinal_canal_stenosis,l5_s1,Normal/Mild,Dr A,\n"
        )
    )
    assert (one.name, one.level, one.side, one.grade) == ("subarticular stenosis", "L4/L5", "left", "severe")
    assert (one.reader, one.date, one.row) == ("Dr A", "2026-01-05", 2)
    assert (two.name, two.level, two.side, two.grade) == ("spinal canal stenosis", "L5/S1", None, "normal/mild")


def test_the_wide_form_gives_a_grade_for_each_filled_cell(table):
    names = [f"{c}_{level}" for c in CONDITIONS for level in ("l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1")]
    rows = [["study_id", *names], ["7", *["Normal/Mild"] * 24, "Severe"], ["8", "Moderate", *[""] * 24]]
    path = table("\n".join(",".join(row) for row in rows))
    assert len(read_readings(path, study="7", reader="A")) == 25
    (one,) = read_readings(path, study="8", reader="A")
    assert (one.level, one.grade, one.row) == ("L1/L2", "moderate", 3)
    with pytest.raises(InvalidInput, match=r"2 studies \(7, 8, \.\.\)"):
        read_readings(path, reader="A")
    with pytest.raises(InvalidInput, match="no study 9"):
        read_readings(path, study="9", reader="A")


def test_a_networks_submission_keeps_its_probabilities(table):
    path = table("row_id,normal_mild,moderate,severe\n44036939_right_neural_foraminal_narrowing_l4_l5,0.2,0.3,0.5\n")
    (one,) = read_readings(path, reader="a network")
    assert (one.name, one.side, one.level, one.grade) == ("neural foraminal narrowing", "right", "L4/L5", "severe")
    assert one.probability == {"normal/mild": 0.2, "moderate": 0.3, "severe": 0.5}


def test_the_simple_form_takes_the_other_systems(table):
    text = "system;level;side;value\npfirrmann;L4/L5;;IV\nmodic;l5-s1;;2\nlee;L4/L5;left;3\nSchizas;L3/L4;;c\n"
    found = read_readings(table(text), reader="B")
    assert [(o.name, o.level, o.side, o.grade) for o in found] == [
        ("Pfirrmann grade", "L4/L5", None, "4"),
        ("Modic type", "L5/S1", None, "2"),
        ("Lee foraminal grade", "L4/L5", "left", "3"),
        ("Schizas grade", "L3/L4", None, "C"),
    ]


SIMPLE = "system,level,side,value\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LONG + "1,canal,l1_l2,Severe,A,\n", "row 2: a condition is one of spinal_canal_stenosis"),
        (LONG + "1,spinal_canal_stenosis,l1_l2,bad,A,\n", "row 2: a severity is one of normal_mild"),
        (LONG + "1,spinal_canal_stenosis,l6_s1,Severe,A,\n", "row 2: a level is one of l1_l2"),
        (LONG + "\n\n1,spinal_canal_stenosis,l1_l2,Severe,A,5.1.2026\n", "row 4: a date is written YYYY-MM-DD"),
        (LONG + "1,spinal_canal_stenosis,l1_l2,Severe,,\n", "row 2: nobody is named"),
        (LONG + "1,spinal_canal_stenosis,l1_l2\n", "row 2: 6 cells were expected, got 3"),
        (
            LONG + "1,spinal_canal_stenosis,l1_l2,Severe,A,\n" * 2,
            "row 3: spinal canal stenosis at L1/L2 by A is given twice",
        ),
        (LONG, "holds no grade"),
        (SIMPLE + "pfirrmann,L4/L5,,6\n", "row 2: a Pfirrmann grade is one of 1, 2, 3, 4, 5, got '6'"),
        (SIMPLE + "lee,L4/L5,,2\n", "row 2: a Lee foraminal grade needs a side"),
        (SIMPLE + "modic,L4/L5,left,2\n", "row 2: a Modic type has no side"),
        (SIMPLE + "modic,L3/S1,,2\n", "row 2: a level is two neighbouring vertebrae"),
        (SIMPLE + "goutallier,L4/L5,,2\n", "row 2: a system is one of schizas"),
        (SIMPLE + "schizas,L4/L5,up,C\n", "row 2: a side is left, right or empty"),
        ("row_id,normal_mild,moderate,severe\n1_x_l1_l2,1,0,0\n", "row 2: a row_id is"),
        ("row_id,normal_mild,moderate,severe\n1_spinal_canal_stenosis_l1_l2,1,1,0\n", "add up to 2"),
        ("row_id,normal_mild,moderate,severe\n1_spinal_canal_stenosis_l1_l2,nan,1,0\n", "probabilities must lie"),
        (
            "row_id,normal_mild,moderate,severe\n1_spinal_canal_stenosis_l1_l2,a,1,0\n",
            "moderate must be|normal_mild must be",
        ),
        ("a,b\n1,2\n", "none of the known forms"),
        ("study_id,spinal_canal_stenosis_l1_l2,extra\n1,Severe,2\n", "not known: extra"),
        ("level,level\n", "a name of its own"),
        ("", "is empty"),
        (b"\xff\xfe1\x00", "UTF-8"),
        ('a,"b\n', "not a CSV file"),
    ],
)
def test_a_wrong_table_is_refused_with_the_row_and_what_was_expected(table, text, sentence):
    with pytest.raises(InvalidInput, match=sentence) as caught:
        read_readings(table(text), reader=None if "nobody" in sentence else "A")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UnreadableFile, match="could not be read"):
        read_readings(tmp_path / "absent.csv")


@pytest.fixture
def case(made_case):  # noqa: F811
    assess_case(made_case)
    return made_case


def test_grades_join_the_findings_and_point_at_their_level(case, table):
    record, n = import_readings(case, table(LONG + "1,spinal_canal_stenosis,l4_l5,Severe,Dr A,\n"))
    assert (n, len(record.readings)) == (1, 1)
    found = case.read(FindingsRecord)
    (one,) = [f for f in found.findings if f.origin == "reader"]
    assert (one.grade, one.value, one.source) == ("severe", None, "rsna2024")
    assert "graded by Dr A, grades.csv row 2" in one.method
    assert any("graded by Dr A" in reason for reason in found.indicated[0].reasons)
    assert "readings.json" in found.provenance.inputs
    assert case.read(ReadingsRecord).provenance.inputs.keys() == {"grades.csv"}
    before = (case.path / "findings.json").read_bytes()
    assess_case(case)
    assert (case.path / "findings.json").read_bytes() == before  # measured again: the same, grades and all


def test_a_second_grade_of_the_same_reader_takes_the_place_of_the_first(case, table):
    line = "1,spinal_canal_stenosis,l4_l5,{},{},\n"
    import_readings(case, table(LONG + line.format("Severe", "A"), "one.csv"))
    record, _ = import_readings(
        case, table(LONG + line.format("Moderate", "A") + line.format("Severe", "B"), "two.csv")
    )
    assert [(o.reader, o.grade) for o in record.readings] == [("A", "moderate"), ("B", "severe")]
    assert record.provenance.inputs.keys() == {"one.csv", "two.csv"}


def test_a_wrong_table_leaves_the_case_as_it_was(case, table):
    before = {p.name: p.read_bytes() for p in case.path.iterdir() if p.is_file()}
    with pytest.raises(InvalidInput):
        import_readings(case, table(LONG + "1,spinal_canal_stenosis,l4_l5,Severe,A,\n1,x,l4_l5,Severe,A,\n"))
    assert {p.name: p.read_bytes() for p in case.path.iterdir() if p.is_file()} == before


def test_after_a_renaming_old_grades_are_left_out_with_a_reason(case, table):
    import_readings(case, table(LONG + "1,spinal_canal_stenosis,l4_l5,Severe,A,\n"))
    renamed = {n: e | {"key": e["key"].replace("L5", "L6")} for n, e in entries().items()}
    put_labels(case.path, renamed)
    found = assess_case(case)
    assert not [f for f in found.findings if f.origin == "reader"]
    assert OTHER_NAMES.format(then="L5", now="L6") in found.caveats


def test_a_grade_of_a_level_out_of_view_is_kept_and_proposes_nothing(case, table):
    import_readings(case, table(LONG + "1,spinal_canal_stenosis,l1_l2,Severe,A,\n"))
    found = case.read(FindingsRecord)
    assert [f.level for f in found.findings if f.origin == "reader"] == ["L1/L2"]
    assert not [e for e in found.indicated if e.level == "L1/L2"]
    assert any("L1/L2, which is not in view" in caveat for caveat in found.caveats)


def test_every_finding_is_a_row_of_the_table(case, table, tmp_path):
    import_readings(case, table(LONG + "1,spinal_canal_stenosis,l4_l5,Severe,=A(),\n"))
    n = export_findings(case, tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    record = case.read(FindingsRecord)
    assert len(rows) == n == len(record.findings)
    for row, one in zip(rows, record.findings, strict=True):
        assert (row["name"], row["level"], row["side"]) == (one.name, one.level or "", one.side or "")
        assert (float(row["value"]) if row["value"] else None) == one.value
        if one.value is not None:
            assert float(row["low90"]) == pytest.approx(one.value - 1.6449 * one.sd, abs=1e-3)
    reader = next(row for row in rows if row["origin"] == "reader")
    assert (reader["grade"], reader["value"], reader["levels_confirmed"]) == ("severe", "", "no")
    with pytest.raises(InvalidInput, match="is a folder"):
        export_findings(case, tmp_path)


def run(*words, code=0):
    done = CliRunner().invoke(main, [str(w) for w in words])
    assert done.exit_code == code, done.output
    return done.output


def test_the_commands_say_what_they_did_and_refuse_in_one_line(case, table, tmp_path):
    grades = table(LONG + "1,spinal_canal_stenosis,l4_l5,Severe,A,\n")
    assert "1 grades read" in run("findings", "import", case.path, grades)
    assert "points at: L4/L5" in run("findings", "import", case.path, grades)
    assert '"keyhole.readings/1"' in run("findings", "import", case.path, grades, "--json")
    assert "findings written to" in run("findings", "export", case.path, tmp_path / "out.csv")
    assert run("findings", "import", case.path, tmp_path / "none.csv", code=1).startswith("Error: ")
    assert "run `keyhole assess` first" in run("findings", "export", bare(case, tmp_path), tmp_path / "o.csv", code=1)


def bare(case, tmp_path):
    """The case before it was assessed."""
    copy = shutil.copytree(case.path, tmp_path / "bare")
    (copy / "findings.json").unlink()
    return Case(copy).path


def test_assess_is_readable_and_plan_takes_what_is_indicated(case, table, tmp_path):
    said = run("assess", case.path)
    assert "disc height" in said
    assert "Not measured:" in said
    assert max(len(line) for line in said.splitlines() if not line.startswith(("  !", "  L", "  T"))) < 150
    assert len(run("assess", case.path, "--all").splitlines()) >= len(said.splitlines())
    run("findings", "import", case.path, table(LONG + "1,left_subarticular_stenosis,l4_l5,Severe,A,\n"))
    assert "Points at" in run("assess", case.path)
    planned = CliRunner().invoke(main, ["plan", str(case.path), "--goal", "decompress"])
    assert "target: L4/L5 left, the first that is indicated" in planned.output
    assert "nothing is indicated for the goal fuse" in run("plan", case.path, "--goal", "fuse", code=1)
    assert "run `keyhole assess` first" in run("plan", bare(case, tmp_path), "--goal", "decompress", code=1)
    put_labels(case.path, entries(sd=0.4))
    assert "from another labels.json; run `keyhole assess` again" in run(
        "plan", case.path, "--goal", "decompress", code=1
    )
    run("assess", case.path, "--scheme", "verse", code=2)
