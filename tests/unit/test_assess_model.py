"""Measurements and grades as values."""

import numpy as np
import pytest

from keyhole.anatomy.model import Endplate
from keyhole.assessment.alignment.slip import MEYERDING, meyerding, slip, slip_ratio
from keyhole.assessment.canal.grades import VERBIEST, verbiest
from keyhole.assessment.disc.heights import disc_height
from keyhole.assessment.model import Finding, Grade, Measurement, entry, probabilities
from keyhole.errors import InvalidInput
from keyhole.geometry import Plane

UP = np.array([0.0, 0.0, 1.0])


def plate(height=0.0, forward=0.0, depth=34.0, sd=0.1):
    """A level endplate, `forward` mm to the front."""
    at = np.array([0.0, -forward, height])
    half, side = np.array([0.0, depth / 2, 0.0]), np.array([24.0, 0.0, 0.0])
    return Endplate(Plane(at, UP), at - half, at + half, at + side, at - side, sd, 0.2)


def ratio(percent, sd=0.0):
    return Measurement("slip ratio", "L4/L5", percent, sd, "%", "koslosky2020", "test")


def test_a_measure_without_a_value_needs_a_reason():
    with pytest.raises(InvalidInput, match="caveat"):
        Measurement("slip", "L4/L5", None, None, "mm", "keyhole", "test")


@pytest.mark.parametrize(("value", "sd"), [(np.nan, 1.0), (1.0, np.inf), (1.0, -1.0), (1.0, None)])
def test_a_measure_refuses_what_is_no_number(value, sd):
    with pytest.raises(InvalidInput):
        Measurement("slip", "L4/L5", value, sd, "mm", "keyhole", "test")


def test_a_measure_refuses_an_unknown_source():
    with pytest.raises(InvalidInput, match="no source"):
        Measurement("slip", "L4/L5", 1.0, 1.0, "mm", "nobody1900", "test")


def test_probabilities_sum_to_one_and_follow_the_value():
    chances = probabilities(11.0, 0.5, (10.0, 12.0), ("low", "middle", "high"))
    assert sum(chances.values()) == pytest.approx(1.0, abs=1e-5)
    assert chances["middle"] == pytest.approx(0.9545, abs=1e-3)
    assert chances["low"] == pytest.approx(chances["high"])


def test_without_error_a_value_on_a_limit_is_above_it():
    assert probabilities(10.0, 0.0, (10.0,), ("below", "above")) == {"below": 0.0, "above": 1.0}


def test_limits_must_ascend():
    with pytest.raises(InvalidInput, match="ascending"):
        probabilities(1.0, 1.0, (2.0, 1.0), ("a", "b", "c"))


@pytest.mark.parametrize(
    ("percent", "grade"),
    [
        (-12.0, "retrolisthesis"),
        (-5.0, "none"),
        (5.0, "none"),
        (10.0, "I"),
        (24.9, "I"),
        (25.4, "II"),
        (60.0, "III"),
        (99.0, "IV"),
        (104.0, "V"),
    ],
)
def test_meyerding_grades_as_published_and_gives_gaps_to_the_higher_grade(percent, grade):
    found = meyerding(ratio(percent), plate())
    assert found.likeliest == grade
    assert found.probability[grade] == 1.0


def test_a_slip_near_a_limit_is_a_matter_of_chance():
    found = meyerding(ratio(25.0, 3.0), plate())
    assert found.probability["I"] == pytest.approx(0.5, abs=0.01)
    assert found.probability["II"] == pytest.approx(0.5, abs=0.01)
    assert set(found.probability) == set(MEYERDING)


def test_slip_is_anterior_positive_along_the_lower_endplate():
    upper, lower = plate(height=10.0, forward=6.8), plate()
    found = slip("L4/L5", upper, lower, 0.3)
    assert found.value == pytest.approx(6.8)
    assert found.sd == pytest.approx(np.hypot(0.3 * np.sqrt(2), 10 * np.radians(0.2)))
    share = slip_ratio(found, lower, 0.3)
    assert share.value == pytest.approx(20.0)
    assert slip("L4/L5", plate(10.0, -4.0), lower, 0.3).value == pytest.approx(-4.0)


def test_disc_height_is_the_distance_of_the_planes():
    found = disc_height("L4/L5", plate(height=9.0, forward=4.0), plate())
    assert found.value == pytest.approx(9.0)
    assert found.sd > 0.1 * np.sqrt(2)


@pytest.mark.parametrize(
    ("mm", "name"), [(8.0, VERBIEST[0]), (11.0, VERBIEST[1]), (12.5, VERBIEST[2]), (13.5, VERBIEST[3])]
)
def test_verbiest_leaves_the_gap_of_its_source_unclassified(mm, name):
    chord = Measurement("canal AP diameter", "L4/L5", mm, 0.1, "mm", "keyhole", "test")
    assert verbiest(chord, is_bony=True).likeliest == name
    assert verbiest(chord, is_bony=True).caveats == ()
    assert "bony canal" in verbiest(chord, is_bony=False).caveats[0]


def test_what_is_unknown_is_not_graded():
    unknown = Measurement("canal AP diameter", "L4/L5", None, None, "mm", "keyhole", "test", ("cut",))
    assert verbiest(unknown, is_bony=True) is None
    assert meyerding(Measurement("slip ratio", "L4/L5", None, None, "%", "keyhole", "test", ("cut",)), plate()) is None
    assert slip_ratio(unknown, plate(), 0.3).value is None
    row = entry(Finding(unknown))
    assert (row.value, row.sd, row.grade, row.grade_probability) == (None, None, None, None)


def test_an_entry_carries_grade_source_and_every_caveat_once():
    row = entry(Finding(ratio(30.0, 1.0), Grade({"I": 0.1, "II": 0.9}, "verbiest1977", ("a",)), ("a", "b")))
    assert row.grade == "II"
    assert row.grade_probability == {"I": 0.1, "II": 0.9}
    assert row.source == "verbiest1977"
    assert row.caveats == ("a", "b")
