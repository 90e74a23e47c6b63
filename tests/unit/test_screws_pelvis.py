"""S2-alar-iliac screws in a painted pelvis: where they run, what they keep, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from pelvis_world import ACROSS, NOTCH, START, hip
from scipy.spatial.transform import Rotation

from keyhole.errors import InvalidInput
from keyhole.geometry import LabelMap
from keyhole.plan.screws import plan_screws
from keyhole.plan.screws.place import ENTRY
from keyhole.plan.screws.told import check_pelvic


@pytest.fixture(scope="module")
def anatomy():
    return hip()


@pytest.fixture(scope="module")
def planned(anatomy):
    return plan_screws(anatomy, ["S2AI"], sides=["left"])[0]


def shaft(screw, step=0.5):
    """Points of the shaft but those beside the entry, (n, 3)."""
    way = (screw.tip - screw.entry) / np.linalg.norm(screw.tip - screw.entry)
    one = np.linalg.svd(way[None])[2][1]
    steps = np.arange(-screw.radius, screw.radius + 1e-9, step)
    u, v, t = (a.ravel() for a in np.meshgrid(steps, steps, np.arange(0, screw.length, step), indexing="ij"))
    past = np.maximum(0, t - (screw.length - screw.radius))
    inside = u**2 + v**2 + past**2 <= screw.radius**2
    points = (screw.entry + t[:, None] * way + u[:, None] * one + v[:, None] * np.cross(way, one))[inside]
    return points[np.linalg.norm(points - screw.entry, axis=1) > screw.radius + ENTRY + 1.5]


def test_it_runs_from_the_sacrum_across_the_joint_into_the_ilium(planned):
    screw = planned.screw
    assert planned.trajectory == "s2-alar-iliac"
    assert screw.length >= 60
    assert 15 <= screw.entry[0] <= 36
    assert planned.crossed["sacrum"] > 15 < planned.crossed["ilium"]
    assert sum(planned.crossed.values()) == pytest.approx(screw.length, abs=0.3)
    assert planned.crossed["joint"] == pytest.approx(3 / (screw.way @ ACROSS), abs=2.5)


def test_its_shaft_lies_in_both_bones_or_between_them(anatomy, planned):
    points = shaft(planned.screw)
    index = np.rint(anatomy.labels.grid.index(points)).astype(int)
    bony = anatomy.labels.array[tuple(index.T)] > 0
    across = (points - START) @ ACROSS
    between = (across > -9.0 - 3.0 - 1.5) & (across < -9.0 + 1.5)
    assert (bony | between).all()
    assert planned.clearance >= 0


def test_its_walls_are_those_of_the_plate(planned):
    screw = planned.screw
    down = planned.screw.tip[2] - screw.radius - NOTCH
    assert planned.walls["notch"] <= down + 0.8
    assert planned.corridor <= 18.0 + 0.8
    assert planned.corridor >= 2 * (screw.radius + planned.clearance) - 1e-6
    assert min(planned.walls.values()) == planned.clearance


def test_a_gap_that_is_no_joint_is_not_bridged():
    found = plan_screws(hip(gap=9.0), ["S2AI"], sides=["left"])[0]
    assert found.screw is None
    assert "stays in bone" in found.reason


def test_an_ilium_thinner_than_the_smallest_screw_gets_none():
    found = plan_screws(hip(half=3.0), ["S2AI"], sides=["left"])[0]
    assert found.screw is None


def test_what_is_not_labelled_is_refused_by_name(anatomy):
    assert "pelvis/right" in plan_screws(anatomy, ["S2AI"], sides=["right"])[0].reason
    upper = LabelMap(anatomy.labels.array, anatomy.labels.patient_from_index, {1: "vertebra/S1", 3: "pelvis/left"})
    assert "sacrum" in plan_screws(replace(anatomy, labels=upper), ["S2AI"], sides=["left"])[0].reason
    assert "S1" in plan_screws(replace(anatomy, vertebrae={}), ["S2AI"], sides=["left"])[0].reason


def test_a_pelvis_that_the_scan_cuts_is_refused_or_told():
    for keep in ((1, 60, 93), (2, 0, 25)):
        found = plan_screws(hip(keep=keep), ["S2AI"], sides=["left"])[0]
        assert found.screw is None
        assert "the scan ends" in found.reason
    near = plan_screws(hip(keep=(1, 36, 93)), ["S2AI"], sides=["left"])[0]
    assert any("the scan ends in its bones" in line for line in near.caveats)


def test_sizes_and_levels_that_do_not_go_with_it_are_refused(anatomy):
    with pytest.raises(InvalidInput, match="s2-alar-iliac"):
        plan_screws(anatomy, ["S2AI"], sizes="s2-alar-iliac")
    with pytest.raises(InvalidInput, match="L5/S1"):
        check_pelvic("L4/L5", "screws")
    with pytest.raises(InvalidInput, match="screws"):
        check_pelvic("L5/S1", "decompress")
    check_pelvic("L5/S1", "fuse")


@pytest.mark.slow
def test_a_moved_and_turned_patient_gets_the_same_screw_moved(planned):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    motion[:3, 3] = (120, -40, 300)
    moved = plan_screws(hip(motion=motion), ["S2AI"], sides=["left"])[0]
    np.testing.assert_allclose(moved.screw.entry, motion[:3, :3] @ planned.screw.entry + motion[:3, 3], atol=1e-6)
    np.testing.assert_allclose(moved.screw.tip, motion[:3, :3] @ planned.screw.tip + motion[:3, 3], atol=1e-6)
    assert moved.walls == pytest.approx(planned.walls, abs=1e-6)
    assert moved.grades == pytest.approx(planned.grades, abs=0.002)


@pytest.mark.slow
def test_a_mirrored_patient_gets_the_mirrored_screw(planned):
    other = plan_screws(hip(flip=True), ["S2AI"], sides=["right"])[0]
    np.testing.assert_allclose(other.screw.entry, planned.screw.entry * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(other.screw.tip, planned.screw.tip * [-1, 1, 1], atol=1e-6)
    assert other.walls == pytest.approx(planned.walls, abs=1e-6)
    assert other.grades == pytest.approx(planned.grades, abs=0.002)


@pytest.mark.slow
def test_an_oblique_anisotropic_grid_gives_a_screw_in_the_same_bone():
    found = plan_screws(hip(spacing=(1.2, 1.4, 1.6), turn=(18, -12, 25)), ["S2AI"], sides=["left"])[0]
    points = shaft(found.screw)
    across = (points - START) @ ACROSS
    assert (across < 9.0 + 0.8).all()
    assert (points[:, 2] > NOTCH - 0.8).all() | (across < -9).any()
    assert found.crossed["joint"] == pytest.approx(3 / (found.screw.way @ ACROSS), abs=2.5)
