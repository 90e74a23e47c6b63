"""Breach probability against simulated executions."""

import numpy as np
import pytest

from keyhole.errors import InvalidInput
from keyhole.plan.uncertainty import ExecutionError, breach_probability, execution_error, total

RNG_SEED = 7


def simulated(cloud, start, stop, radius, error, sd, normal, n=20_000):
    """Share of executions, shifted with the error and the structure's own, in which the capsule touches the cloud."""
    rng = np.random.default_rng(RNG_SEED)
    shifts = rng.multivariate_normal(np.zeros(3), error.covariance, n) - rng.normal(0, sd, n)[:, None] * normal
    way = stop - start
    least = np.full(n, np.inf)
    for point in cloud:
        share = np.clip((point - start - shifts) @ way / (way @ way), 0, 1)
        least = np.minimum(least, np.linalg.norm(point - start - shifts - share[:, None] * way, axis=1))
    return (least < radius).mean()


@pytest.mark.parametrize(("gap", "sd", "rms"), [(0.2, 0.5, 2.0), (1.0, 1.0, 1.5), (2.0, 0.5, 2.0), (1.5, 0.0, 2.0)])
def test_beside_a_wall_the_closed_form_is_what_simulation_finds(gap, sd, rms):
    normal = np.array([0.6, 0.8, 0.0])
    side, up = np.array([-0.8, 0.6, 0.0]), np.array([0.0, 0.0, 1.0])
    wall = (3.0 + gap) * normal + np.arange(-8, 8.1, 0.2)[:, None] * side  # a row across; the tube is long
    error = execution_error(rms)
    expected = breach_probability(gap, normal, error, sd)
    assert 0.01 < expected < 0.5
    found = simulated(wall, -25 * up, 25 * up, 3.0, error, sd, normal)
    assert expected == pytest.approx(found, rel=0.1)


def test_an_anisotropic_error_counts_only_along_the_wall_normal():
    error = ExecutionError(np.diag([4.0, 0.25, 0.25]))
    assert breach_probability(1.0, np.array([1.0, 0, 0]), error, 0.0) == pytest.approx(0.3085, abs=1e-4)
    assert breach_probability(1.0, np.array([0, 1.0, 0]), error, 0.0) == pytest.approx(0.0228, abs=1e-4)


def test_beside_a_thin_nerve_the_flat_wall_overstates_but_never_understates():
    up = np.array([0.0, 0.0, 1.0])
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    cloud = [6.0, 0, 0] + 2.0 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    error = execution_error(2.0)
    expected = breach_probability(1.0, np.array([1.0, 0, 0]), error, 0.5)
    found = simulated(cloud, -25 * up, 25 * up, 3.0, error, 0.5, np.array([1.0, 0, 0]))
    assert found - 0.02 < expected < 1.6 * found


def test_a_certain_execution_touches_only_what_the_plan_touches():
    sure = execution_error(0.0, tracking=0.0)
    assert breach_probability(0.1, np.array([1.0, 0, 0]), sure, 0.0) == 0.0
    assert breach_probability(-0.1, np.array([1.0, 0, 0]), sure, 0.0) == 1.0


def test_the_rms_error_of_registration_is_shared_by_three_axes():
    assert np.trace(execution_error(1.5, tracking=0.0).covariance) == pytest.approx(1.5**2)


def test_an_impossible_registration_error_is_refused():
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="registration error"):
            execution_error(wrong)


def test_the_total_is_a_sum_that_ends_at_one():
    assert total([0.2, 0.3]) == pytest.approx(0.5)
    assert total([0.7, 0.6]) == 1.0
    assert total([]) == 0.0
