"""Discs that are found elsewhere at a second look name nothing."""

from keyhole.segment.classical.confidence import SHAKEN, restless


def test_two_discs_that_move_are_named_with_how_far():
    said = restless({"L2/L3": 0.5, "L3/L4": SHAKEN + 8, "L5/S1": SHAKEN + 1})
    assert said is not None
    assert "L3/L4, L5/S1" in said
    assert "14 mm" in said


def test_one_disc_that_moves_is_a_warning_elsewhere_and_no_refusal():
    assert restless({"L2/L3": SHAKEN + 8, "L3/L4": SHAKEN, "L5/S1": 0.0}) is None
