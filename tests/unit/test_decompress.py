"""Decompression: how little has to go, what it changes, and what it never does."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plan_anatomy import back
from scipy import ndimage
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))
from least_oracle import cropped, exhaustive, programme

from keyhole.errors import InvalidInput
from keyhole.plan.approaches import catalogue
from keyhole.plan.decompress import Goal, canal, decompress, decompression, laid_open
from keyhole.plan.decompress.least import least
from keyhole.plan.decompress.problem import NONE, Problem
from keyhole.plan.site import site
from keyhole.terms import belongs, sides_swapped

TUBE = "tubular-paramedian"
FREE = ("canal/dural_sac", "canal/epidural")


def docked(patient, side="left", *, approach=TUBE, goal=None, at=(11.13, 44.21, 1.07), **options):
    """The removal through a tube that leans outwards by 14 degrees, docked on the back of the arch."""
    place = site(patient, "L4/L5", side)
    found = canal(patient, place)
    out = place.frame.turn([0.24, 0.97, 0.0])
    ask = {} if goal is None else {"goal": goal}
    tip = place.frame.patient(np.array(at, dtype=float))
    return found, decompress(found, catalogue()[approach], tip, out, 9.0, **ask, **options), (tip, out)


@pytest.fixture(scope="module")
def narrow():
    return back(herniation=None)


@pytest.fixture(scope="module")
def removal(narrow):
    return docked(narrow)


def sum_of(found, keys):
    return sum(v for k, v in found.volumes.items() if belongs(k, *keys))


def test_the_area_after_is_what_counting_the_written_labels_finds(removal):
    found, made, _ = removal
    grid, at = made.labels.grid, found.at
    ticks = np.arange(-20, 20.01, 0.2)
    points = at.plane.point + ticks[:, None, None] * at.left + ticks[None, :, None] * at.back
    index = np.moveaxis(grid.index(points), -1, 0)

    def area(labels, *keys):
        free = np.isin(labels.array, [n for n, k in labels.structures.items() if belongs(k, *keys)]).astype(float)
        return ndimage.map_coordinates(free, index, order=1).sum() * 0.04

    before, after = found.site.labels, made.labels
    for labels, measured in ((before, made.before.area.value), (after, made.after.area.value)):
        assert 0.99 * area(labels, *FREE) <= measured <= 1.01 * area(labels, *FREE, "root")  # roots inside it count
    gained = area(after, *FREE) - area(before, *FREE)
    assert made.after.area.value - made.before.area.value == pytest.approx(gained, rel=0.05)
    assert gained > 0


def test_the_volumes_are_the_voxels_that_changed_their_label(removal):
    found, made, _ = removal
    before, after = found.site.labels, made.labels
    changed = before.array != after.array
    each = before.grid.voxel_volume / 1000
    assert changed.sum() * each == pytest.approx(sum(made.volumes.values()))
    for key, volume in made.volumes.items():
        label = next(n for n, k in before.structures.items() if k == key)
        assert (changed & (before.array == label)).sum() * each == pytest.approx(volume)
    assert {after.structures[n] for n in np.unique(after.array[changed])} <= {"canal/epidural", "tissue/fat"}


def test_nothing_is_taken_of_nerves_vessels_disc_or_bone_that_the_approach_may_not_cut(removal):
    _, made, _ = removal
    allowed = (*catalogue()[TUBE].soft_bone("L4/L5", "left"), "canal/flavum", "disc/L4-L5/herniation")
    assert all(belongs(key, *allowed) for key in made.volumes)
    assert made.mask.any()


def test_what_is_taken_hangs_together_with_the_tube_through_taken_or_free_space(removal):
    found, made, (tip, out) = removal
    labels = found.site.labels
    solid = [
        n for n, k in labels.structures.items() if belongs(k, "vertebra", "disc", "canal/flavum", "canal/dural_sac")
    ]
    room = ~np.isin(labels.array, solid) | made.mask
    index = np.argwhere(np.ones(room.shape, dtype=bool))
    way = labels.grid.centres(index) - tip
    deep = way @ out
    tube = np.zeros(room.shape, dtype=bool)
    near = (np.linalg.norm(way - deep[:, None] * out, axis=1) <= 9.0) & (deep >= 0)
    tube[tuple(index[near].T)] = True
    parts, _ = ndimage.label(room | tube, structure=np.ones((3, 3, 3)))
    assert np.isin(parts[made.mask], np.unique(parts[tube])).all()


def test_no_crumb_of_bone_or_flavum_is_left_hanging_in_the_air(removal):
    found, made, _ = removal

    def crumbs(labels):
        solid = [n for n, k in labels.structures.items() if belongs(k, "vertebra", "disc", "canal/flavum")]
        parts, _ = ndimage.label(np.isin(labels.array, solid))
        return int((np.bincount(parts.ravel())[1:] < 20).sum())

    assert crumbs(made.labels) <= crumbs(found.site.labels)


def test_a_larger_goal_never_takes_less_and_a_reached_goal_is_kept(narrow):
    amounts = [docked(narrow, goal=Goal("share", share), with_bone=False)[1] for share in (5.0, 15.0, 25.0)]
    taken = [sum(one.volumes.values()) for one in amounts]
    assert taken[0] < taken[1] < taken[2]
    for one in amounts:
        assert one.reached
        assert one.after.area.value >= 0.99 * one.wanted
        assert one.least[1] >= 0.99 * one.wanted


def test_a_goal_in_square_millimetres_is_the_same_goal(narrow):
    share = docked(narrow, goal=Goal("share", 15.0), with_bone=False)[1]
    area = docked(narrow, goal=Goal("area", share.wanted), with_bone=False)[1]
    assert np.array_equal(share.mask, area.mask)


def test_a_goal_beyond_the_reach_is_said_with_what_stays_and_why(narrow):
    _, made, _ = docked(narrow, goal=Goal("share", 200.0), with_bone=False)
    record = decompression(made, "L4/L5")
    assert record.is_least == made.taken.exact
    assert not made.reached
    assert any("short of the goal" in said for said in record.canal_area_after.caveats)
    flavum = next(one for one in made.left if one.key == "canal/flavum/L4-L5")
    assert flavum.volume > 0.05
    assert all("mL" in reason for reason in flavum.reasons)


def test_a_fragment_is_drawn_out_or_stays_with_a_reason_and_none_of_it_is_lost():
    found, made, _ = docked(back(herniation="left"), at=(11, 40, 1), with_bone=False)
    reached = made.volumes.get("disc/L4-L5/herniation", 0.0)
    stays = sum(one.volume for one in made.left if one.key.endswith("herniation"))
    whole = found.site.volume("disc/L4-L5/herniation")
    assert reached + stays == pytest.approx(whole, abs=0.01)
    assert whole > 0


def test_a_root_is_freed_of_what_lies_within_the_room_asked_for(narrow):
    found, made, _ = docked(narrow, goal=Goal("root", 2.0, length=8.0), with_bone=False)
    labels = made.labels
    root = np.isin(labels.array, [n for n, k in labels.structures.items() if k == "root/L5/left"])
    near = ndimage.distance_transform_edt(~root, sampling=labels.grid.spacing) <= 2.0
    height = np.zeros(root.shape)
    index = np.argwhere(np.ones(root.shape, dtype=bool))
    height[tuple(index.T)] = np.abs(found.at.plane.height(labels.grid.centres(index)))
    soft = [n for n, k in labels.structures.items()
            if belongs(k, "canal/flavum", *catalogue()[TUBE].soft_bone("L4/L5", "left"))]  # fmt: skip
    touching = near & (height <= 8.0) & np.isin(labels.array, soft)
    assert made.reached == (not touching.any())


def same(one, two, rename=lambda key: key):
    assert {rename(k) for k in one.volumes} == set(two.volumes)
    for key, volume in one.volumes.items():
        assert two.volumes[rename(key)] == pytest.approx(volume, rel=0.03, abs=0.01)
    assert two.after.area.value == pytest.approx(one.after.area.value, rel=0.01)


@pytest.mark.parametrize("flip", [False, True], ids=["moved", "mirrored and moved"])
def test_a_removal_moves_turns_and_mirrors_with_the_patient(removal, flip):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [25, -40, 130], degrees=True).as_matrix()
    motion[:3, 3] = [31.5, -220.25, 555.125]
    moved = docked(back(motion=motion, flip=flip, herniation=None), "right" if flip else "left")[1]
    same(removal[1], moved, sides_swapped if flip else (lambda key: key))
    for name in ("recess", "foramen", "pars"):
        mine, yours = getattr(removal[1].after, name), getattr(moved.after, name)
        for side in ("left", "right"):
            other = sides_swapped(side) if flip else side
            assert (mine[side].value is None) == (yours[other].value is None)


@pytest.mark.slow
def test_an_oblique_anisotropic_grid_takes_about_as_much(removal):
    tilted = docked(back(spacing=(1.2, 1.7, 1.4), turn=(12, -9), herniation=None), with_bone=False)[1]
    mine, yours = sum(removal[1].volumes.values()), sum(tilted.volumes.values())
    assert yours == pytest.approx(mine, rel=0.25)
    assert tilted.after.area.value == pytest.approx(removal[1].after.area.value, rel=0.05)


def test_the_open_operation_needs_no_more_than_the_tube(narrow, removal):
    made = laid_open(removal[0], catalogue()["open-midline"], (22.0, 20.0))
    assert sum(made.volumes.values()) <= 1.05 * sum(removal[1].volumes.values()) or not removal[1].reached


def chance_problem(seed, places=9):
    """A problem of two planes whose bites lie in a row of columns, with ways that overlap."""
    rng = np.random.default_rng(seed)
    n = places + 8
    rows = [
        np.unique(np.concatenate([[i], rng.integers(places, n, 3), rng.integers(0, places, 1)])) for i in range(places)
    ]
    start = np.concatenate([[0], np.cumsum([len(row) for row in rows]), np.full(8, sum(len(row) for row in rows))])
    inner = np.full((n, 2), NONE)
    for i in range(3, places):
        inner[i] = np.sort(rng.choice(i, 2, replace=False))
    gain = np.where(np.arange(n)[:, None] < places, rng.uniform(0.5, 4.0, (n, 2)), 0.0)
    empty = np.zeros(0, dtype=np.int64)
    return Problem(rng.uniform(1.0, 8.0, n), gain, np.arange(n) < 3, inner, start.astype(np.int64),
                   np.concatenate(rows).astype(np.int64), np.zeros(2), empty)  # fmt: skip


@pytest.mark.parametrize("whole", [0, 20_000], ids=["searched", "settled"])
def test_the_least_removal_is_the_best_of_all_sets_of_places(whole):
    over = []
    for seed in range(8):
        problem = chance_problem(seed)
        goals = np.outer((0.3, 0.7, 0.95), problem.attainable)
        for goal, best in zip(goals, exhaustive(problem, goals), strict=True):
            found = least(replace(problem, deficit=goal), whole=whole)
            assert (found.gain >= goal - 1e-3).all()
            assert found.exact == (whole > 0)
            over.append(found.cost / best - 1)
    assert np.min(over) >= -1e-9  # nothing beats the exhaustive solution: both solve the same problem
    assert np.max(over) < 1e-9


def test_an_integer_programme_finds_no_less_either():
    for seed in range(2):
        problem = chance_problem(seed, places=20)
        goal = 0.6 * problem.attainable
        best, bound = programme(problem, goal, 20.0)
        assert best == pytest.approx(bound, rel=1e-4)
        assert least(replace(problem, deficit=goal)).cost == pytest.approx(best, rel=1e-4)


def test_a_goal_that_no_set_of_places_reaches_takes_all_that_opens_and_no_more():
    problem = chance_problem(3)
    found = least(replace(problem, deficit=np.full(2, 1e3)))
    assert found.exact
    assert found.gain == pytest.approx(problem.attainable)


def test_what_must_go_in_any_case_goes_and_counts():
    problem = chance_problem(5)
    problem = replace(problem, deficit=0.5 * problem.attainable)
    free, way = least(problem), problem.bites[: problem.start[1]]
    bound = least(replace(problem, forced=way))
    assert bound.exact
    assert bound.removed[way].all()
    assert free.cost - 1e-9 <= bound.cost <= free.cost + problem.cost[way].sum() + 1e-9


@pytest.mark.parametrize("whole", [0, 20_000], ids=["searched", "settled"])
def test_a_crop_of_a_real_corridor_is_solved_like_the_exhaustive_solution(removal, whole):
    small = cropped(removal[1].problem, 12)
    goals = np.outer((0.4, 0.8), small.attainable)
    for goal, best in zip(goals, exhaustive(small, goals), strict=True):
        assert least(replace(small, deficit=goal), whole=whole).cost == pytest.approx(best)


def test_a_whole_corridor_is_hardly_improved_by_a_longer_search_and_not_said_to_be_exact(removal):
    taken, longer = removal[1].taken, least(removal[1].problem, starts=24)
    assert not taken.exact
    assert 0.95 <= longer.cost / taken.cost <= 1 + 1e-9


def test_goals_that_mean_nothing_are_refused():
    for wrong in (("girth", 50.0), ("share", -1.0), ("share", float("nan"))):
        with pytest.raises(InvalidInput):
            Goal(*wrong)
    with pytest.raises(InvalidInput, match="length"):
        Goal(length=99.0)
