"""Breach probabilities: against simulated executions, and what must hold wherever the patient lies."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.geometry import LabelMap, Tube, affine
from keyhole.plan.doubt import (
    ExecutionError,
    Wall,
    breach,
    breach_probability,
    cloud,
    default_budget,
    execution,
    execution_error,
    exposures,
    isotropic,
    kept_clearance,
    needed_accuracy,
    sensitivity,
    total,
    wall,
)
from keyhole.plan.doubt.judge import chances

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

NERVE = "root/L4/left"


def painted(shape, *, spacing=(0.8, 1.0, 1.3), turn=(0.0, 0.0, 0.0), motion=None, half=22.0):
    """`shape` (a function of points in the patient) on a grid turned by `turn`, in a patient moved by `motion`."""
    motion = np.eye(4) if motion is None else motion
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    n = np.ceil(half / np.array(spacing)).astype(int)
    local = np.eye(4)
    local[:3, :3] = axes * np.array(spacing)
    local[:3, 3] = -local[:3, :3] @ n
    index = np.stack(np.meshgrid(*[np.arange(2 * k + 1) for k in n], indexing="ij"), -1)
    mask = shape(index @ local[:3, :3].T + local[:3, 3])
    return LabelMap(mask.astype(np.uint16), affine(motion @ local), {1: NERVE})


def nerve(points, away=7.0, thick=2.0):
    """A nerve across the tube, `away` mm from its axis to the nerve's near side."""
    return np.hypot(points[..., 0] - away - thick, points[..., 2] - 4.0) <= thick


TUBE = Tube([0.0, 0, 60], [0, 0, 4], 4.0)
ERROR = ExecutionError(
    np.diag([1.2, 2.0, 0.6]), np.eye(3) * np.deg2rad(1.2) ** 2, centre=np.array([20.0, -30, 10])
) + ExecutionError(np.zeros((3, 3)), np.eye(3) * np.deg2rad(0.8) ** 2)


def probability(labels, tube=TUBE, error=ERROR, sd=0.6):
    return breach(wall(cloud(labels, [NERVE]).of(NERVE), tube), tube, error, sd)


def simulated(points, tube, error, sd, n=4_000):
    """Share of executions, turned and moved exactly, that bring a point within the radius of the axis."""
    rng = np.random.default_rng(7)
    both = rng.multivariate_normal(np.zeros(6), error.matrix, n)
    turn, shift = Rotation.from_rotvec(both[:, 3:]), both[:, :3] - rng.normal(0, sd, (n, 3))
    start = turn.apply(tube.start - error.centre) + error.centre + shift
    stop = turn.apply(tube.stop - error.centre) + error.centre + shift
    least, way = np.full(n, np.inf), stop - start
    square = (way**2).sum(axis=1)
    for point in points[np.argsort(tube.gap(points))[::2][:300]]:
        off = point - start
        share = np.clip(np.einsum("na,na->n", off, way) / square, 0, 1)
        off -= share[:, None] * way
        least = np.minimum(least, np.einsum("na,na->n", off, off))
    return float((least < tube.radius**2).mean())


@pytest.mark.slow
@pytest.mark.parametrize("away", [5.0, 6.5, 8.0])
def test_beside_a_nerve_that_crosses_it_is_what_simulation_finds(away):
    points = cloud(painted(lambda p: nerve(p, away)), [NERVE]).of(NERVE)
    expected = simulated(points, TUBE, ERROR, 0.6)
    found = breach(wall(points, TUBE), TUBE, ERROR, 0.6)
    assert found == pytest.approx(expected, rel=0.1, abs=0.006)


@pytest.mark.slow
def test_ahead_of_the_rounded_tip_it_is_what_simulation_finds():
    points = cloud(painted(lambda p: np.hypot(p[..., 0] - 1, p[..., 2] + 4.0) <= 2.0), [NERVE]).of(NERVE)
    assert breach(wall(points, TUBE), TUBE, ERROR, 0.6) == pytest.approx(simulated(points, TUBE, ERROR, 0.6), rel=0.1)


def test_the_flat_wall_overstates_beside_a_thin_nerve_and_understates_between_two():
    error = isotropic(2.5)
    thin = np.stack([np.full(60, 5.2), np.zeros(60), np.linspace(5, 50, 60)], axis=1)
    flat = breach_probability(1.2, np.array([1.0, 0, 0]), error, 0.0)
    alone = breach(wall(thin, TUBE), TUBE, error)
    both = breach(wall(np.concatenate([thin, thin * [-1, 1, 1]]), TUBE), TUBE, error)
    assert alone < 0.96 * flat
    assert both > 1.5 * flat
    assert both == pytest.approx(2 * alone, rel=0.1)


def test_beside_a_flat_wall_it_is_the_normal_distribution():
    y, z = np.meshgrid(np.arange(-30, 30.1, 0.8), np.arange(-20, 70, 0.8))
    points = np.stack([np.full(y.size, 6.0), y.ravel(), z.ravel()], axis=1)
    error = ExecutionError(np.diag([1.7, 0.3, 2.0]))
    flat = breach_probability(2.0, np.array([1.0, 0, 0]), error, 0.5)
    assert breach(wall(points, TUBE), TUBE, error, 0.5) == pytest.approx(flat, rel=0.03)  # the tube dips between points


def test_an_anisotropic_error_counts_only_along_the_wall_normal():
    error = ExecutionError(np.diag([4.0, 0.25, 0.25]))
    assert breach_probability(1.0, np.array([1.0, 0, 0]), error, 0.0) == pytest.approx(0.3085, abs=1e-4)
    assert breach_probability(1.0, np.array([0, 1.0, 0]), error, 0.0) == pytest.approx(0.0228, abs=1e-4)


def test_a_lean_about_the_tip_endangers_what_lies_far_up_the_shaft():
    lean = ExecutionError(np.eye(3) * 1e-6, np.eye(3) * np.deg2rad(2.0) ** 2, centre=np.array([0.0, 0, 0]))
    row = np.stack([np.full(51, 5.5), np.arange(-20, 20.1, 0.8), np.zeros(51)], axis=1)
    low, high = row + np.array([0, 0, 10.0]), row + np.array([0, 0, 55.0])
    assert breach(wall(low, TUBE), TUBE, lean) < 1e-5
    assert breach(wall(high, TUBE), TUBE, lean) == pytest.approx(0.2174, rel=0.03)  # Phi(-1.5 / (55 tan 2 deg))


def test_a_wall_along_the_whole_shaft_is_met_anywhere_when_the_tube_turns():
    y, z = np.meshgrid(np.arange(-12, 12.1, 1.0), np.arange(0, 61, 1.0))
    points = np.stack([np.full(y.size, 5.5), y.ravel(), z.ravel()], axis=1)
    error = ExecutionError(np.eye(3), np.eye(3) * np.deg2rad(3.0) ** 2, centre=np.array([0.0, 0, 30]))
    both = np.random.default_rng(4).normal(0, [1.0, np.deg2rad(3.0)], (40_000, 2))
    arm = np.where(both[:, 1] > 0, 30.0, 26.0)  # to either end of the shaft
    expected = (both[:, 0] + arm * np.abs(np.tan(both[:, 1])) > 1.5).mean()
    assert breach(wall(points, TUBE), TUBE, error) == pytest.approx(expected, rel=0.05)


def test_a_certain_execution_touches_only_what_the_plan_touches():
    sure = ExecutionError(np.zeros((3, 3)))
    for away, expected in ((4.1, 0.0), (3.9, 1.0)):
        points = np.array([[away, 0.0, 30.0]])
        assert breach(wall(points, TUBE), TUBE, sure) == expected
    assert breach(Wall(np.empty((0, 3)), np.empty(0), np.empty((0, 3))), TUBE, ERROR) == 0.0


def test_it_moves_with_the_patient_and_mirrors():
    plain = probability(painted(nerve))
    for mirror in (1.0, -1.0):
        motion = np.eye(4)
        motion[:3, :3] = Rotation.from_euler("xyz", [140, -35, 70], degrees=True).as_matrix() @ np.diag([mirror, 1, 1])
        motion[:3, 3] = [300, -900, 1200]
        turn = motion[:3, :3]

        def moved(point, turn=turn, shift=motion[:3, 3]):
            return turn @ point + shift

        tube = Tube(moved(TUBE.start), moved(TUBE.stop), TUBE.radius)
        error = ExecutionError(
            turn @ ERROR.covariance @ turn.T, turn @ ERROR.rotation @ turn.T,
            mirror * turn @ ERROR.cross @ turn.T, moved(ERROR.centre),
        )  # fmt: skip
        assert probability(painted(nerve, motion=motion), tube, error) == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize(
    ("spacing", "turn"),
    [((1.0, 1.0, 1.0), (20, 35, 50)), ((0.6, 0.9, 1.9), (-30, 15, 75)), ((2.4, 0.8, 0.8), (45, 45, 0))],
)
def test_on_an_oblique_anisotropic_grid_it_is_that_of_the_structure_grown_by_half_a_voxel(spacing, turn):
    found = probability(painted(nerve, spacing=spacing, turn=turn))
    fine = 0.4
    low, high = (
        probability(painted(lambda p, g=grown: nerve(p, 7.0 - g, 2.0 + g), spacing=(fine,) * 3, half=12))
        for grown in (-fine / 2, np.linalg.norm(spacing) / 2)
    )
    assert low <= found <= high


def test_walls_come_from_every_wanted_structure_and_know_what_lies_inside():
    array = np.zeros((20, 20, 20), dtype=np.uint16)
    array[2:18, 2:18, 2:10], array[2:18, 2:18, 10:18], array[0, 0, 0] = 1, 2, 3
    labels = LabelMap(array, affine(np.eye(4)), {1: NERVE, 2: "canal/dural_sac", 3: "vessel/aorta"})
    made = cloud(labels, [NERVE, "canal/dural_sac", "organ/colon"])
    assert made.keys == ("canal/dural_sac", NERVE)
    for key, low, high in ((NERVE, 1.5, 9.5), ("canal/dural_sac", 9.5, 17.5)):
        points = made.of(key)
        assert points[:, 2].min() == low
        assert points[:, 2].max() == high
        within = (points > [2, 2, low + 1]) & (points < [17, 17, high - 1])
        assert 20 < within.all(axis=1).sum() < 16 * 16 * 7 / 4
        corners = np.floor(points[points[:, 2] == low]) + 0.5
        assert len(np.unique(corners, axis=0)) == 17**2
    assert not len(made.of("vessel/aorta"))


@pytest.fixture(scope="module")
def shown():
    labels = painted(nerve)
    from keyhole.anatomy.model import Structure
    from keyhole.terms import Origin

    known = {NERVE: Structure(NERVE, Origin.MODELLED, "test", 0.9)}
    how = execution(default_budget(), labels, known, [NERVE], axes=np.eye(3), middle=np.zeros(3))
    return how, exposures(how, [(TUBE, np.zeros(3))], [NERVE])


def test_at_the_needed_accuracy_the_danger_is_five_percent(shown):
    how, seen = shown
    needed = needed_accuracy(how, seen, np.zeros(3))
    assert needed.assumed == pytest.approx(2.0)
    assert needed.perfect < 0.05
    error = how.error(np.zeros(3))
    for rms, within in ((needed.rms, True), (needed.rms + 0.05, False)):
        registration = execution_error(how.budget.without("registration"), np.zeros(3))
        scaled = ExecutionError(
            np.eye(3) * rms**2 / 3, np.eye(3) * (np.deg2rad(1.16) * rms / 2.0) ** 2, centre=np.zeros(3)
        )
        danger = breach(seen[0].near, TUBE, registration + scaled, how.own(NERVE))
        assert (danger <= 0.05) is within
    assert chances(seen)[0] == pytest.approx(breach(seen[0].near, TUBE, error, 0.9))


def test_no_structure_is_known_better_than_its_voxels(shown):
    how, seen = shown
    assert how.own(NERVE) == pytest.approx(0.9)
    assert how.own("never/labelled") == pytest.approx(0.3 * how.voxel)
    assert seen[0].own == how.own(NERVE)


def test_where_nothing_makes_it_safe_it_says_so():
    labels = painted(lambda p: nerve(p, 4.2))
    how = execution(default_budget(), labels, {}, [NERVE], axes=np.eye(3), middle=np.zeros(3))
    needed = needed_accuracy(how, exposures(how, [(TUBE, np.zeros(3))], [NERVE]), np.zeros(3))
    assert needed.rms is None
    assert needed.perfect > 0.05


def test_shares_sum_to_all_and_without_the_dominant_term_the_danger_falls_most(shown):
    how, seen = shown
    before = chances(seen)
    worst, shares = sensitivity(how, seen, before)
    assert worst == NERVE
    assert sum(s.share for s in shares) == pytest.approx(100)
    assert shares[0].term == "registration"
    assert [s.without for s in shares] == sorted(s.without for s in shares)
    assert shares[0].without < before[0]


def test_the_clearance_kept_in_95_percent_is_the_gap_less_1_645_sd_beside_one_wall(shown):
    how, seen = shown
    error = how.error(np.zeros(3))
    at = int(np.argmin(seen[0].near.gaps))
    sd = np.sqrt(error.along(seen[0].near.normals[at], seen[0].near.points[at]) + 0.9**2)
    assert kept_clearance(seen) == pytest.approx(seen[0].near.gaps[at] - 1.645 * sd, abs=0.12)
    assert kept_clearance(()) == np.inf


def test_the_total_is_a_sum_that_ends_at_one():
    assert total([0.2, 0.3]) == pytest.approx(0.5)
    assert total([0.7, 0.6]) == 1.0
    assert total([]) == 0.0


@pytest.mark.slow
def test_a_sample_of_the_benchmark_is_within_ten_percent_or_two_thousandths():
    import breach as bench

    rng = np.random.default_rng(20)
    for n in range(30):
        made = bench.scene(rng, bench.KINDS[n % len(bench.KINDS)])
        points = cloud(made.labels, [NERVE]).of(NERVE)
        found = breach(wall(points, made.tube), made.tube, made.error, made.sd)
        truth = bench.simulated(made, 20_000, n)
        noise = 3 * np.sqrt(truth * (1 - truth) / 20_000)
        assert abs(found - truth) <= max(0.1 * truth, 0.002) + noise, (n, made.kind, found, truth)
