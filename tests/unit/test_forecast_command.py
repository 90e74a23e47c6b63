"""`keyhole forecast` as a user runs it."""

import json

import pytest
from click.testing import CliRunner
from own_patients import table
from report_case import case

from keyhole.casefile import ForecastRecord, PlanRecord
from keyhole.cli.forecast import forecasted
from keyhole.cli.main import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return case(tmp_path_factory.mktemp("forecast") / "case")[0]


def run(*words, code=0):
    done = CliRunner().invoke(main, ["forecast", *(str(w) for w in words)])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stdout if code == 0 else done.output


def test_the_table_says_better_worse_no_difference_and_unknown(made):
    said = run(made.path)
    rows = {line.split("  ")[0]: line for line in said.splitlines() if "  " in line}
    assert "better" in rows["Length of stay (days)"]
    assert "worse" in rows["Recurrence (%)"]
    assert "× 1.95 [1.19, 3.19]" in rows["Recurrence (%)"]
    assert "no clear difference" in rows["Disability (ODI) (points of 100)"]
    assert "unknown" in rows["Nerve injury (%)"]
    assert "not calibrated here" in said
    assert "no systematic search" in said


def test_json_equals_the_file(made):
    assert json.loads(run(made.path, "--json")) == json.loads((made.path / "forecast.json").read_text())


def test_own_patients_have_a_column_of_their_weight(made, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(table(2000, stay=(6.0, 9.0)))
    said = run(made.path, "--cohort", path)
    assert "own patients: 1000 with a small opening, 1000 open (own.csv)" in said
    stay = next(line for line in said.splitlines() if line.startswith("Length of stay"))
    assert stay.rstrip().endswith("%")
    assert "differ from the literature by more than chance" in said


def test_columns_and_fields_can_be_listed_without_a_case():
    assert "blood_loss: mL" in run("--columns")
    assert "odi_MONTHS" in json.loads(run("--columns", "--json"))
    assert "Missing argument" in run(code=2)


def test_fields_of_the_patient_narrow_the_scores(made):
    wide, narrow = (
        next(r for r in json.loads(run(made.path, "--json", *words))["risks"] if r["model"] == "mfi-5")
        for words in ((), ("--set", "diabetes=true", "--set", "dependent=false"))
    )
    assert wide["high"] - wide["low"] == 5
    assert (narrow["low"], narrow["high"]) == (1, 4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--operation", "nose"), "no operation is called 'nose'"),
        (("--approach", "nose"), "has no nose that is feasible"),
        (("--set", "horoscope=1"), "no risk score has the field 'horoscope'"),
        (("--set", "diabetes=perhaps"), "diabetes must be true or false"),
    ],
)
def test_a_bad_request_is_one_sentence_and_leaves_the_forecast_as_it_was(made, words, sentence):
    run(made.path)
    before = (made.path / "forecast.json").read_bytes()
    said = run(made.path, *words, code=1)
    assert sentence in said
    assert said.startswith("Error: ")
    assert len(said.strip().splitlines()) == 1
    assert (made.path / "forecast.json").read_bytes() == before


def test_a_bad_cohort_is_one_sentence(made, tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(b"\xff\xfe\x00nonsense")
    assert "must be UTF-8 text" in run(made.path, "--cohort", path, code=1)


def test_where_no_forecast_can_be_made_an_earlier_one_goes_and_the_reason_is_said(tmp_path):
    own = case(tmp_path / "case")[0]
    assert forecasted(own)[0] == own.read(ForecastRecord)
    own.write(own.read(PlanRecord).model_copy(update={"candidates": (), "pareto": ()}))
    record, why = forecasted(own)
    assert record is None
    assert why.startswith("no forecast: the plan for L4/L5 left has no small opening")
    assert not (own.path / "forecast.json").exists()
