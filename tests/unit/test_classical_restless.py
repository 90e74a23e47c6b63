"""Discs that lie too far apart, or elsewhere at a second look, name nothing."""

import numpy as np
import pytest

from keyhole.segment.classical.confidence import FARTHEST, SHAKEN, misplaced, restless
from keyhole.segment.classical.scene import DiscPlane

NAMES = ("T12", "L1", "L2", "L3", "L4", "L5", "S1")


def planes(*steps):
    """Discs so many mm apart, the highest first."""
    down = np.concatenate([[0.0], np.cumsum(steps)])
    at = [np.array([3.0, 40.0, -z]) for z in down]
    up = np.array([0.0, 0.0, 1.0])
    pairs = zip(NAMES, NAMES[1:], at, down, strict=False)
    return [DiscPlane(a, b, float(s), centre, up, 5.0, 5.0, 0.8, {}) for a, b, centre, s in pairs]


def test_discs_farther_apart_than_a_lumbar_vertebra_is_high_name_nothing():
    said = misplaced(planes(FARTHEST - 2, FARTHEST - 1, FARTHEST + 1, FARTHEST - 2))
    assert said is not None
    assert said.startswith("L3: its discs lie 49 mm apart")
    assert "a disc was missed" in said


@pytest.mark.parametrize("step", [FARTHEST - 0.5, 30.0])
def test_a_tall_or_a_small_spine_is_no_reason_to_refuse(step):
    assert misplaced(planes(step, step, step, step)) is None


def test_two_discs_that_move_are_named_with_how_far():
    said = restless({"L2/L3": 0.5, "L3/L4": SHAKEN + 8, "L5/S1": SHAKEN + 1})
    assert said is not None
    assert "L3/L4, L5/S1" in said
    assert "14 mm" in said


def test_one_disc_that_moves_is_a_warning_elsewhere_and_no_refusal():
    assert restless({"L2/L3": SHAKEN + 8, "L3/L4": SHAKEN, "L5/S1": 0.0}) is None
