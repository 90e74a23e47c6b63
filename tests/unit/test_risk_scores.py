"""Published risk scores: their arithmetic, what is unknown, what is refused."""

import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from keyhole.cli.main import main
from keyhole.errors import InvalidInput
from keyhole.evidence import risk_models, source
from keyhole.forecast import Risk, fields, scores
from keyhole.forecast.risk import LABEL

NUMBERS = {"age": 54, "bmi": 24, "operating_hours": 2, "charlson_index": 0, "icd10_procedures": 3}


def healthy(**changes):
    """A patient of whom everything is known and nothing is present but a man of 54."""
    return dict.fromkeys(fields(), False) | {"sex": "M"} | NUMBERS | changes


def of(key, **changes):
    return next(found for found in scores(healthy(**changes)) if found.model.key == key)


def of_unknown(key, **known):
    return next(found for found in scores(known) if found.model.key == key)


def test_every_model_has_a_source_a_performance_and_an_outcome():
    for model in risk_models().values():
        assert source(model.source).text
        assert not model.bands_source or source(model.bands_source).text
        assert model.performance
        assert model.validation
        assert model.outcome


@pytest.mark.parametrize(("key", "most"), [("mfi-5", 5), ("charlson-2011", 24), ("premier-readmission", 40)])
def test_the_largest_sum_is_the_published_one(key, most):
    assert of_unknown(key).low == 0
    assert of_unknown(key).high == most


@pytest.mark.parametrize(
    ("key", "changes", "points"),
    [
        ("mfi-5", {}, 0),
        ("mfi-5", {"diabetes": True, "dependent": True}, 2),
        ("charlson", {"diabetes": True, "diabetes_complicated": True, "renal": True}, 4),
        ("charlson", {"cancer": True, "metastases": True}, 6),
        ("charlson-2011", {"diabetes": True, "myocardial_infarct": True}, 0),
        ("charlson-2011", {"liver_mild": True, "liver_severe": True, "aids": True}, 8),
        ("caprini", {"age": 40}, 0),
        ("caprini", {"age": 41}, 1),
        ("caprini", {"age": 60.9}, 1),
        ("caprini", {"age": 61}, 2),
        ("caprini", {"age": 75}, 3),
        ("caprini", {"age": 30, "bmi": 25.0}, 0),
        ("caprini", {"age": 30, "bmi": 25.1}, 1),
        ("caprini", {"age": 30, "major_surgery_45_min": True, "minor_surgery": True}, 2),
        ("caprini", {"age": 30, "pregnancy_or_postpartum": True}, 0),
        ("caprini", {"age": 30, "sex": "F", "pregnancy_or_postpartum": True}, 1),
        ("premier-readmission", {"operating_hours": 4.9}, 0),
        ("premier-readmission", {"operating_hours": 5, "sex": "F"}, 5),
    ],
)
def test_points_by_hand(key, changes, points):
    assert of(key, **changes).value == points


def test_the_infection_score_is_a_lower_limit_whatever_is_known():
    found = of("premier-infection", charlson_index=2, sex="F")
    assert found.low == 5 + 4 + 3 + 2
    assert found.value is None
    assert math.isinf(found.high)
    assert any("lower limit" in caveat for caveat in found.caveats)


def test_bands_are_named_where_the_range_allows_and_both_ends_else():
    assert of("mfi-5", diabetes=True).word.startswith("not frail")
    assert of("mfi-5", diabetes=True, dependent=True).word.startswith("mildly")
    partly = of_unknown("mfi-5", diabetes=True, dependent=True)
    assert partly.word == "mildly frail (0.3 to 0.5) to severely frail (above 0.5)"
    assert len(partly.unknown) == 3
    assert of_unknown("caprini", spinal_cord_injury_1_month=True).word == "highest"


def test_dural_tear_by_hand():
    assert of("dural-tear").low == pytest.approx(0.058)
    assert of("dural-tear").interval == pytest.approx((0.045, 0.0745), abs=1e-3)
    odds = 0.058 / 0.942 * 2.28 * 2.03
    found = of("dural-tear", revision=True, stenosis=True)
    assert found.low == found.high == pytest.approx(odds / (1 + odds))
    assert found.label == LABEL
    open_range = of_unknown("dural-tear", revision=True)
    assert open_range.low < open_range.high
    assert open_range.interval[0] < open_range.low < open_range.high < open_range.interval[1]
    assert open_range.unknown == ("stenosis", "diabetes")


@pytest.mark.parametrize(
    ("patient", "words"),
    [
        ({"smokes": True}, "no risk score has the field 'smokes'"),
        ({"diabetes": "yes"}, "diabetes must be true or false, got 'yes'"),
        ({"diabetes": 1}, "diabetes must be true or false, got 1"),
        ({"sex": "X"}, "sex must be F or M"),
        ({"age": 154}, "age must be a number from 0 to 120, got 154"),
        ({"age": True}, "age must be a number"),
        ({"bmi": math.nan}, "bmi must be a number"),
        ({"height_cm": 1.7, "weight_kg": 70}, "height_cm must be a number from 40 to 280"),
        ({"icd10_procedures": -1}, "icd10_procedures must be a number from 0"),
    ],
)
def test_what_cannot_be_of_a_patient_is_one_sentence(patient, words):
    with pytest.raises(InvalidInput) as told:
        scores(patient)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_height_and_weight_give_the_bmi():
    plain = healthy(height_cm=170, weight_kg=80, age=30)
    assert next(f for f in scores(plain | {"bmi": None}) if f.model.key == "caprini").value == 1
    assert next(f for f in scores(plain | {"bmi": 20}) if f.model.key == "caprini").value == 0


FLAGS = [field for field in fields() if field not in {*NUMBERS, "sex"}]


@given(st.sets(st.sampled_from(FLAGS)), st.sets(st.sampled_from(FLAGS)))
def test_knowing_more_never_widens_and_the_truth_lies_inside(true, hidden):
    whole = healthy(**dict.fromkeys(true, True))
    partly = {field: None if field in hidden else value for field, value in whole.items()}
    for exact, open_range in zip(scores(whole), scores(partly), strict=True):
        assert open_range.low <= exact.low + 1e-12
        assert exact.high <= open_range.high + 1e-12
        if isinstance(exact, Risk):
            assert open_range.interval[0] <= exact.interval[0] + 0.02
            assert 0 < exact.low < 1


@given(st.sets(st.sampled_from(FLAGS), min_size=1))
def test_more_disease_is_never_fewer_points(true):
    for less, more in zip(scores(healthy()), scores(healthy(**dict.fromkeys(true, True))), strict=True):
        assert more.low >= less.low


def test_the_command_says_points_unknowns_performance_and_label(tmp_path):
    path = tmp_path / "patient.json"
    path.write_text(json.dumps({"age": 70, "sex": "F", "diabetes": True, "stenosis": None}))
    done = CliRunner().invoke(main, ["evidence", "risk", "--patient", str(path), "--set", "revision=false"])
    assert done.exit_code == 0, done.output
    for words in ("1 to 5 points", "not known (4)", "performance:", LABEL, "at least", "95 % interval"):
        assert words in done.output
    plain = json.loads(CliRunner().invoke(main, ["evidence", "risk", "--set", "age=70", "--json"]).output)["scores"]
    assert {entry["label"] for entry in plain} == {LABEL}
    assert all(entry["address"] for entry in plain)
    listed = CliRunner().invoke(main, ["evidence", "risk", "--fields"]).output
    assert "operating_hours: 5 operating hours or more; operating time, each hour" in listed


@pytest.mark.parametrize(
    ("content", "words"),
    [("[1]", "one object of fields, got list"), ("{", "must be JSON"), ('{"age": "old"}', "age must be a number")],
)
def test_a_patient_file_that_cannot_be_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "patient.json"
    path.write_text(content)
    done = CliRunner().invoke(main, ["evidence", "risk", "--patient", str(path)])
    assert done.exit_code == 1
    assert words in done.output
    assert done.output.count("\n") == 1
