"""Realignment: imposed heights and angles are reached, in any pose, mirrored, oblique, several levels at once."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from analytic_spine import HALF_DEPTH, anatomy, moved, stack, voxelise
from scipy.spatial.transform import Rotation

from keyhole.assessment.disc.heights import disc_height, disc_wedge_angle
from keyhole.errors import InvalidInput
from keyhole.geometry import LabelMap, affine
from keyhole.plan.realign import (
    Goal,
    Seat,
    Way,
    after,
    beds,
    cages,
    contact,
    fit_cage,
    goal_of,
    measured_again,
    realign_levels,
)
from keyhole.plan.realign import moved as redrawn
from keyhole.plan.realign.motion import angles, facing, height_at, seat_point
from keyhole.plan.realign.seat import placed

NAMES = ("L4", "L5", "S1")
SPINE = stack(names=NAMES, disc=8.0, angles=(7.0, 12.0), wedge=4.0, slips=(4.0, 0.0))


@cache
def seen(seed=3):
    return anatomy(voxelise(moved(SPINE, seed, largest=15.0)))


def carried(found, matrix):
    """The same voxels in a patient who was moved by `matrix` (4, 4)."""
    labels = LabelMap(
        found.labels.array, affine(matrix @ found.labels.patient_from_index.matrix), found.labels.structures
    )
    return anatomy(labels)


def random_goals(n):
    rng = np.random.default_rng(5)
    for _ in range(n):
        yield Goal(
            "L4/L5",
            height=rng.uniform(7, 15),
            lordosis=rng.uniform(-4, 25),
            at=(rng.uniform(-8, 8), rng.uniform(-6, 6)),
            coronal=rng.uniform(-6, 6),
            reduction=rng.uniform(0, 1),
        )


def offset(pair):
    """How far the upper body stands behind the lower one along the disc's middle plane, mm."""
    over, under = facing(*pair)
    up = over.plane.normal + under.plane.normal
    up /= np.linalg.norm(up)
    back = pair[0].posterior + pair[1].posterior
    back -= (back @ up) * up
    return float((over.posterior - under.posterior) @ back / np.linalg.norm(back))


def test_every_imposed_height_angle_and_reduction_is_reached_by_the_endplate_planes():
    before = offset(seen().pair("L4/L5"))
    for goal in random_goals(8):
        result = realign_levels(seen(), [goal])
        pair = result.pair("L4/L5")
        over, under = facing(*pair)
        assert height_at(over, under, seat_point(under, goal.at)) == pytest.approx(goal.height, abs=1e-6)
        assert angles("L4/L5", *pair) == pytest.approx((goal.lordosis, goal.coronal), abs=1e-5)
        assert offset(pair) == pytest.approx((1 - goal.reduction) * before, abs=1e-6)


def test_a_motion_is_rigid_and_all_above_goes_along():
    result = realign_levels(seen(), [Goal("L5/S1", 11.0, 15.0)])
    turn = result.motions["L5"].matrix
    assert np.allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn[:3, :3]) == pytest.approx(1.0, abs=1e-9)
    assert np.allclose(result.motions["L4"].matrix, turn)
    assert np.allclose(result.motions["S1"].matrix, np.eye(4))
    assert angles("L4/L5", *result.pair("L4/L5")) == pytest.approx(angles("L4/L5", *seen().pair("L4/L5")), abs=1e-9)


def test_a_turn_has_no_part_about_the_discs_axis():
    result = realign_levels(seen(), [Goal("L4/L5", 12.0, 20.0, coronal=0.0)])
    vector = Rotation.from_matrix(result.motions["L4"].matrix[:3, :3]).as_rotvec()
    over, under = facing(*seen().pair("L4/L5"))
    up = over.plane.normal + under.plane.normal
    assert abs(vector @ up / np.linalg.norm(up)) < 0.002 * np.linalg.norm(vector) + 1e-3


def test_levels_set_at_once_are_levels_set_one_after_the_other():
    low, high = Goal("L5/S1", 11.0, 15.0, (1.0, 2.0)), Goal("L4/L5", 12.0, 5.0, (-3.0, 1.0))
    both = realign_levels(seen(), [high, low])
    first = realign_levels(seen(), [low])
    second = realign_levels(replace(seen(), vertebrae=first.vertebrae), [high])
    composed = second.motions["L4"].matrix @ first.motions["L4"].matrix
    assert np.allclose(both.motions["L4"].matrix, composed, atol=1e-7)
    assert [goal.level for goal in both.goals] == ["L4/L5", "L5/S1"]


def test_the_motion_moves_and_turns_with_the_patient():
    goal = Goal("L4/L5", 12.0, 14.0, (3.0, -2.0), coronal=2.0, reduction=0.5)
    moving = np.eye(4)
    moving[:3, :3] = Rotation.from_euler("xyz", (70, -35, 120), degrees=True).as_matrix()
    moving[:3, 3] = (210.0, -90.0, 40.0)
    still, gone = realign_levels(seen(), [goal]), realign_levels(carried(seen(), moving), [goal])
    expected = moving @ still.motions["L4"].matrix @ np.linalg.inv(moving)
    assert np.allclose(gone.motions["L4"].matrix[:3, :3], expected[:3, :3], atol=2e-4)
    centre = gone.anatomy.vertebrae["L4"].centre
    assert np.allclose(gone.motions["L4"].apply(centre), (expected @ [*centre, 1.0])[:3], atol=0.02)


def test_a_mirrored_patient_is_set_to_the_mirrored_goal():
    goal = Goal("L4/L5", 12.0, 14.0, (3.0, -2.0), coronal=2.0)
    twin = replace(goal, at=(-3.0, -2.0), coronal=-2.0)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    still, other = realign_levels(seen(), [goal]), realign_levels(carried(seen(), mirror), [twin])
    expected = mirror @ still.motions["L4"].matrix @ mirror
    assert np.allclose(other.motions["L4"].matrix, expected, atol=0.02)


def check_anew(found, goal):
    """Heights and angles measured by assessment on the moved label map against those imposed."""
    result = realign_levels(found, [goal])
    names = goal.level.split("/")
    relabelled, made = after(result, names)
    wanted = disc_height(goal.level, *facing(*result.pair(goal.level))).value
    again = measured_again(beds(found, goal.level), result, relabelled, goal.level)
    for pair in (relabelled.pair(goal.level), again):
        over, under = facing(*pair)
        assert abs(disc_height(goal.level, over, under).value - wanted) < 0.2
        assert abs(disc_wedge_angle(goal.level, pair[0], over, under).value - goal.lordosis) < 0.2
    return result, made


def test_measured_again_on_the_moved_label_map_heights_are_within_0_2_mm_and_angles_within_0_2_degrees():
    result, made = check_anew(seen(), Goal("L4/L5", 12.0, 15.0, (0.0, 0.0), coronal=0.0, reduction=1.0))
    for name in ("L4", "L5"):
        before = np.count_nonzero(seen().labels.mask(f"vertebra/{name}")) * seen().labels.grid.voxel_volume
        now = np.count_nonzero(made.labels.mask(f"vertebra/{name}")) * made.labels.grid.voxel_volume
        assert now == pytest.approx(before, rel=0.005)
    assert result.goals[0].reduction == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("goal", [Goal("L4/L5", 9.0, 2.0), Goal("L5/S1", 13.0, 20.0, (4.0, 3.0), coronal=3.0)])
def test_the_same_holds_on_an_oblique_anisotropic_grid(goal):
    axes = Rotation.from_euler("xyz", (18, -12, 25), degrees=True).as_matrix()
    check_anew(anatomy(voxelise(SPINE, (0.9, 1.0, 1.4), axes=axes)), goal)


def test_arches_that_would_overlap_are_told_by_name_and_volume():
    result = realign_levels(seen(), [Goal("L4/L5", 4.0, 45.0)])
    made = redrawn(result, NAMES)
    assert all({key.split("/")[1] for key in pair} == {"L4", "L5"} for pair in made.overlap)
    assert sum(made.overlap.values()) > 0.1
    nothing = redrawn(realign_levels(seen(), []), NAMES)
    assert nothing.overlap == {}
    assert nothing.opened == {}


def test_a_spine_that_does_not_move_keeps_its_labels():
    labels = seen().labels
    made = redrawn(realign_levels(seen(), []), NAMES).labels
    at = np.rint(labels.grid.index(made.grid.centres(np.argwhere(made.array)))).astype(int)
    assert (labels.array[tuple(at.T)] == made.array[made.array > 0]).all()
    for key in ("vertebra/L4/body", "vertebra/L5/posterior"):
        assert np.count_nonzero(made.mask(key)) == np.count_nonzero(labels.mask(key)), key


def seat_on(found, line="bullet", height=11.0, lordosis=8.0):
    bed = beds(found, "L4/L5")
    rows = cages()[line]
    sizes = [rows.cage(height, lordosis, length, width) for length in rows.lengths for width in rows.widths]
    upper, lower = found.pair("L4/L5")
    middle = facing(upper, lower)[1].centre
    start = middle + 60 * lower.left * (1 if line == "lateral" else 0.3) + 50 * lower.posterior * (line != "lateral")
    return bed, fit_cage(bed, "L4/L5", sizes, Way(start, middle, 9.0))


def test_a_cage_keeps_its_margin_and_its_contact_is_what_voxels_say():
    bed, seat = seat_on(seen())
    assert seat.fits
    assert (bed.margins(np.array([seat.at]), seat) >= 2.0 - 1e-6).all()
    result = realign_levels(seen(), [goal_of(seen(), seat)])
    upper, lower = contact(result, bed, seat)
    cage = placed(*facing(*result.pair("L4/L5")), seat)
    inside = 0.0
    for name in ("L4", "L5"):
        labels = seen().labels
        points = labels.grid.centres(np.argwhere(labels.mask(f"vertebra/{name}/body")))
        fine = np.concatenate([points + np.array(way) * 0.25 for way in itertools.product((-1, 1), repeat=3)])
        inside += np.count_nonzero(cage.holds(result.motions[name].apply(fine))) / 8 * labels.grid.voxel_volume / 1000
    assert upper.overlap + lower.overlap == pytest.approx(inside, abs=0.04)
    assert max(upper.overhang, lower.overhang) < 0.02
    assert min(upper.touching, lower.touching) > 0.9


def test_a_cage_stands_between_both_planes_at_its_height():
    _, seat = seat_on(seen(), "lateral", 12.0, 10.0)
    result = realign_levels(seen(), [goal_of(seen(), seat)])
    over, under = facing(*result.pair("L4/L5"))
    corners = placed(over, under, seat).outline()
    assert np.abs(under.plane.height(corners[:4])).max() < 0.01
    assert np.abs(over.plane.height(corners[4:])).max() < 0.01


def test_the_angle_of_an_oblique_cage_is_shared_between_side_and_front():
    cage = cages()["bullet"].cage(11.0, 12.0, 26.0, 10.0)
    for lean in (0.0, 35.0, 80.0):
        way = (np.sin(np.radians(lean)), -np.cos(np.radians(lean)))
        seat = Seat("L4/L5", cage, (0.0, 0.0), (float(way[0]), float(way[1])))
        share = np.tan(np.radians(seat.lordosis) / 2), np.tan(np.radians(seat.coronal) / 2)
        assert np.hypot(*share) == pytest.approx(np.tan(np.radians(6.0)))
        assert seat.lordosis == pytest.approx(
            2 * np.degrees(np.arctan(np.cos(np.radians(lean)) * np.tan(np.radians(6))))
        )


@pytest.mark.parametrize(
    "wrong", [{"height": 0.5}, {"lordosis": 70.0}, {"reduction": 1.5}, {"coronal": 90.0}, {"height": float("nan")}]
)
def test_goals_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(InvalidInput, match="L4/L5"):
        Goal(**({"level": "L4/L5", "height": 11.0, "lordosis": 8.0} | wrong))


def test_a_level_set_twice_is_refused():
    with pytest.raises(InvalidInput, match="once"):
        realign_levels(seen(), [Goal("L4/L5", 11.0, 8.0), Goal("L4/L5", 12.0, 8.0)])


def test_the_middle_of_the_endplate_is_where_a_seat_is_counted_from():
    _, under = facing(*seen().pair("L4/L5"))
    front = seat_point(under, (0.0, -HALF_DEPTH))
    assert (front - under.centre) @ (under.anterior - under.posterior) > 0
