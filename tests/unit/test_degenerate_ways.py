"""Directions that could vanish: tubes straight from the side, heads in one line, entries in one place."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.plan.approaches import catalogue
from keyhole.plan.decompress.tool import across, through_tube
from keyhole.plan.frame import LevelFrame
from keyhole.plan.operation import small_operation
from keyhole.plan.screws import Screw, system
from keyhole.plan.screws.rod import incisions, rod

TURN = Rotation.from_euler("xyz", [20, -35, 110], degrees=True).as_matrix()
FLANK = [(1.0, 0.0, 0.0), (1.0, 0.0, 1e-9), (0.998, 0.05, 0.0), (0.996, 0.0, -0.08), (0.9, 0.3, 0.3), (0.0, 1.0, 0.0)]


def frame(turn, mirrored=False):
    left, posterior, up = np.eye(3) * [[-1 if mirrored else 1, 1, 1]] @ turn.T
    return LevelFrame("L4/L5", "right" if mirrored else "left", turn @ [3.0, 4, 5], left, posterior, up, 17.0)


@pytest.mark.parametrize("way", FLANK)
def test_a_tool_comes_from_within_the_bore_however_the_tube_lies(way):
    here, out = frame(TURN), frame(TURN).turn(np.array(way) / np.linalg.norm(way))
    dock = np.array([10.0, 20, 30])
    tool = through_tube(here, catalogue()["lateral-transpsoas"], dock, out, 11.0)
    offset = tool.starts - dock - 11.0 * out
    assert np.abs(offset @ out).max() < 1e-6
    np.testing.assert_allclose(
        np.linalg.norm(offset, axis=1), tool.slack * np.repeat([0, 0.5, 1], [1, 4, 8]), atol=1e-6
    )
    assert np.linalg.matrix_rank(offset, tol=0.1) == 2


@pytest.mark.parametrize("way", FLANK)
def test_the_places_of_a_tool_turn_and_mirror_with_the_patient(way):
    way = np.array(way) / np.linalg.norm(way)
    one, two = (at.axes @ np.stack(across(at, at.turn(way))).T for at in (frame(np.eye(3)), frame(TURN, mirrored=True)))
    np.testing.assert_allclose(one, two, atol=1e-9)


def screw(at, vertebra):
    entry = np.array(at, float)
    return Screw(vertebra, "left", "pedicle", entry, entry - [0, 40.0, 0], 3.25, system())


@pytest.mark.parametrize("along", [(1.0, 0.0, 0.0), (0.0, 0.0, -1.0)])
def test_three_heads_in_one_line_get_a_straight_rod(along):
    heads = [screw(n * 34 * np.array(along), name) for n, name in enumerate(("L3", "L4", "L5"))]
    found = rod(heads, np.array([0.0, 1, 0]))
    assert found.bend == np.inf
    assert max(found.residual) < 1e-6
    assert np.isnan(found.aside)


def test_two_entries_in_one_place_of_the_skin_share_one_cut_along_the_spine():
    place, up = np.array([30.0, 90, 5]), np.array([0, 0.6, 0.8])
    (found,) = incisions([("a", place, 15.0), ("b", place, 18.0)], up)
    assert found.through == ("a", "b")
    assert found.length == pytest.approx(np.linalg.norm(found.ends[1] - found.ends[0]))
    np.testing.assert_allclose(np.cross(found.ends[1] - found.ends[0], up), 0, atol=1e-9)


def test_a_screw_whose_bone_lies_under_the_skin_has_a_sleeve_of_no_length():
    made = screw((20, 38, 20), "L4")
    (sleeve,) = (p for p in small_operation(screws=[(made, made.entry)]).parts if p.kind == "sleeve")
    assert sleeve.tubes[0].length == 0
