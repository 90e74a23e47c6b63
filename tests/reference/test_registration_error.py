"""Target registration error in closed form against registrations that are simulated with a Kabsch of our own."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.errors import InvalidInput
from keyhole.plan.doubt import fiducial_error, target_rms

N = 20_000


def registered(fiducials, errors, targets):
    """Where least-squares registrations to `fiducials` + `errors` (n, k, 3) put `targets`, less where they are."""
    moving = fiducials + errors
    centre, middle = fiducials.mean(axis=0), moving.mean(axis=1, keepdims=True)
    spread = np.einsum("ka,nkb->nab", fiducials - centre, moving - middle)
    u, _, vt = np.linalg.svd(spread)
    sign = np.sign(np.linalg.det(np.einsum("nab,nbc->nac", u, vt)))
    vt[:, 2] *= sign[:, None]
    turn = np.einsum("nba,ncb->nac", vt, u)
    return np.einsum("nab,tb->nta", turn, targets - centre) + middle - targets


def scene(seed):
    rng = np.random.default_rng(seed)
    pose = Rotation.random(random_state=rng).as_matrix()
    size = rng.uniform(8, 40, 3) if seed % 2 else np.array([45.0, 14, 4])
    fiducials = rng.normal(0, size, (4 + seed, 3)) @ pose.T + rng.uniform(-300, 300, 3)
    targets = fiducials.mean(axis=0) + rng.normal(0, 40, (5, 3)) @ pose.T
    return rng, fiducials, targets


@pytest.mark.parametrize("seed", range(4))
def test_rms_is_within_two_percent_of_simulated_registrations(seed):
    rng, fiducials, targets = scene(seed)
    found = registered(fiducials, rng.normal(0, 0.4 / np.sqrt(3), (N, len(fiducials), 3)), targets)
    rms = np.sqrt((found**2).sum(axis=2).mean(axis=0))
    error = fiducial_error(fiducials, 0.4)
    for at, target in enumerate(targets):
        assert error.rms(target) == pytest.approx(rms[at], rel=0.02)
        assert error.rms(target) == pytest.approx(target_rms(fiducials, 0.4, target), rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_whole_covariance_holds_for_unequal_anisotropic_fiducials(seed):
    rng, fiducials, targets = scene(seed)
    roots = rng.normal(0, 0.25, (len(fiducials), 3, 3)) * rng.uniform(0.3, 2.0, (len(fiducials), 1, 1))
    errors = np.einsum("kab,nkb->nka", roots, rng.standard_normal((N, len(fiducials), 3)))
    found = registered(fiducials, errors, targets)
    error = fiducial_error(fiducials, np.einsum("kab,kcb->kac", roots, roots))
    for at, target in enumerate(targets):
        expected, simulated = error.at(target), np.cov(found[:, at].T)
        assert np.abs(expected - simulated).max() < 0.05 * np.trace(simulated)
        assert np.sqrt(np.trace(expected)) == pytest.approx(np.sqrt(np.trace(simulated)), rel=0.02)


def test_it_moves_and_mirrors_with_the_patient():
    """The trap of a widely used implementation: its result hangs on where the origin lies."""
    rng, fiducials, targets = scene(2)
    plain = fiducial_error(fiducials, 0.5)
    for mirror in (1.0, -1.0):
        turn = Rotation.random(random_state=rng).as_matrix() @ np.diag([mirror, 1, 1])
        shift = rng.uniform(-1700, 1700, 3)
        moved = fiducial_error(fiducials @ turn.T + shift, 0.5)
        for target in targets:
            assert moved.at(turn @ target + shift) == pytest.approx(turn @ plain.at(target) @ turn.T, abs=1e-9)


def test_fiducials_that_fix_no_rotation_are_refused():
    line = np.linspace([0, 0, 0], [60, 10, 5], 5)
    for wrong in (line, line[:2], np.full((4, 3), np.nan), np.zeros((4, 2))):
        with pytest.raises(InvalidInput, match="fiducials"):
            fiducial_error(wrong, 0.5)
    with pytest.raises(InvalidInput, match="localisation"):
        fiducial_error([[0, 0, 0], [50, 0, 0], [0, 50, 0]], -1.0)
