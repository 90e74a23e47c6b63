"""Screws in painted vertebrae with round pedicles, and in two bones that only tell one thing."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from screw_world import pair

from keyhole.errors import InvalidInput
from keyhole.plan.screws import plan_screws


@pytest.fixture(scope="module")
def planned():
    return {(p.vertebra, p.side): p for p in plan_screws(pair(), ["L4"])}


def test_a_screw_runs_along_the_middle_of_its_pedicle(planned):
    screw = planned["L4", "left"].screw
    at = screw.entry + (20.0 - screw.entry[1]) / screw.way[1] * screw.way
    assert abs(at[0] - (20 + 18 / 32 * -6)) < 0.5
    assert abs(at[2] - 23) < 0.5


def test_a_pedicle_thinner_than_the_smallest_screw_gets_none_and_is_told_why():
    found = plan_screws(pair(width=4.0), ["L4"], sides=["left"])[0]
    assert found.screw is None
    assert "mm" in found.reason


def test_a_vertebra_that_screws_are_not_planned_in_is_refused():
    with pytest.raises(InvalidInput, match="T12"):
        plan_screws(pair(), ["T12"])


def test_a_moved_and_turned_patient_gets_the_same_screws_moved(planned):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    motion[:3, 3] = (120, -40, 300)
    moved = plan_screws(pair(motion=motion), ["L4"], sides=["left"])[0]
    still = planned["L4", "left"]
    assert moved.screw.radius == still.screw.radius
    np.testing.assert_allclose(moved.screw.entry, motion[:3, :3] @ still.screw.entry + motion[:3, 3], atol=1e-6)
    np.testing.assert_allclose(moved.screw.tip, motion[:3, :3] @ still.screw.tip + motion[:3, 3], atol=1e-6)
    assert moved.grades == pytest.approx(still.grades, abs=0.002)
