"""Laws of the phantom: it moves with its pose, mirrors, and does not depend on the grid."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.anatomy.phantom import PhantomParameters, findings, phantom
from keyhole.geometry import Grid, Transform, affine
from keyhole.geometry.transform import INDEX, PATIENT
from keyhole.terms import sides_swapped


def pose(matrix):
    return Transform(PATIENT, INDEX, matrix)


def motion(seed):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = rng.uniform(-300, 300, 3)
    return matrix


def grid(low, high, step, matrix=None):
    step = np.broadcast_to(step, 3)
    local = np.diag([*step, 1.0])
    local[:3, 3] = low
    shape = np.ceil((np.array(high, dtype=float) - low) / step).astype(int)
    return Grid(tuple(int(n) for n in shape), affine(local if matrix is None else matrix @ local))


LOW, HIGH = (-60.7, -40.3, -75.2), (60, 80, 35)  # no voxel on the midline, where left and right tie


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_turning_and_shifting_the_patient_moves_every_label_and_image(seed):
    moved, wanted = motion(seed), PhantomParameters(seed=seed)
    one, two = phantom(wanted, pose(np.eye(4))), phantom(wanted, pose(moved))
    here, there = grid(LOW, HIGH, 2.5), grid(LOW, HIGH, 2.5, moved)
    a, b = one.labels_on(here), two.labels_on(there)
    assert (a.array == b.array).mean() > 0.9999
    assert a.structures == b.structures
    assert np.abs(one.ct_on(here).array.astype(float) - two.ct_on(there).array).mean() < 0.5


TO_THE_LEFT = ("lateral slip", "coronal disc wedge", "herniation offset")
"""Measures that are positive to the left."""


@pytest.mark.slow
def test_the_truth_does_not_depend_on_the_pose():
    wanted = PhantomParameters(seed=2)
    one, two = (findings(phantom(wanted, pose(m)), ("L4/L5",)) for m in (np.eye(4), motion(7)))
    assert one == two


@pytest.mark.slow
def test_a_mirrored_patient_has_mirrored_labels_with_sides_swapped_and_the_same_truth():
    plain, other = (
        phantom(PhantomParameters(seed=3, side="left", is_mirrored=m), pose(motion(1))) for m in (False, True)
    )
    mirror = motion(1) @ np.diag([-1.0, 1, 1, 1])
    a, b = plain.labels_on(grid(LOW, HIGH, 2.5, motion(1))), other.labels_on(grid(LOW, HIGH, 2.5, mirror))
    names = [np.array(["", *(m.structures[n] for n in sorted(m.structures))])[m.array] for m in (a, b)]
    swapped = np.array([sides_swapped(key) for key in names[0].ravel()]).reshape(names[0].shape)
    assert (swapped == names[1]).mean() > 0.9999
    other_side = {"left": "right", "right": "left", None: None}
    values = [{(f.name, f.level, f.side): f.value for f in findings(one, ("L4/L5",))} for one in (plain, other)]
    for (name, level, side), value in values[0].items():
        sign = -1 if name in TO_THE_LEFT else 1
        assert values[1].pop((name, level, other_side[side])) == pytest.approx(sign * value), (name, level, side)
    assert not values[1]


def test_the_same_seed_with_left_and_right_disease_is_one_anatomy_with_the_fragment_mirrored():
    left, right = (phantom(PhantomParameters(seed=4, side=s), pose(np.eye(4))) for s in ("left", "right"))
    assert left.size == right.size
    where = grid((-20, 5, -75), (20, 40, -30), 1.0)
    fragments = [
        where.centres(np.argwhere(one.labels_on(where).mask("disc/L4-L5/herniation"))).mean(axis=0)
        for one in (left, right)
    ]
    np.testing.assert_allclose(fragments[0] * (-1, 1, 1), fragments[1], atol=0.1)


@pytest.mark.parametrize("step", [(0.9, 1.7, 2.3), pytest.param((2.6, 0.8, 1.1), marks=pytest.mark.slow)])
def test_an_oblique_anisotropic_grid_holds_the_same_volumes(step):
    one = phantom(PhantomParameters(seed=1, pathologies=()), pose(motion(5)))
    fine, oblique = grid(LOW, HIGH, 1.0, motion(5)), grid(LOW, HIGH, step, motion(5))
    a, b = one.labels_on(fine), one.labels_on(oblique)
    for key in ("vertebra/L3/body", "disc/L3-L4", "vertebra/L4", "canal/dural_sac"):
        volumes = [m.mask(key).sum() * m.grid.voxel_volume for m in (a, b)]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.02)


def test_thick_slices_hold_the_mean_of_what_they_span():
    one = phantom(PhantomParameters(seed=1), pose(np.eye(4)))
    thick = one.ct_on(grid((-30, -20, -16), (30, 20, 16), (1, 1, 4))).array.astype(float)
    thin = one.ct_on(grid((-30, -20, -17.5), (30, 20, 14.5), 1.0)).array.astype(float)
    mean = thin.reshape(60, 40, 8, 4).mean(axis=3)
    assert np.abs(mean - thick).mean() < 35
    assert np.corrcoef(mean.ravel(), thick.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("spacing", [4.0, (2.0, 3.0, 6.0)])
def test_the_default_grid_holds_the_whole_cross_section(spacing):
    one = phantom(PhantomParameters(seed=6))
    labels = one.labels_on(one.grid(spacing))
    np.testing.assert_allclose(labels.grid.spacing, np.broadcast_to(spacing, 3))
    air = labels.array == 0
    assert air[0].all()
    assert air[-1].all()
    assert air[:, 0].all()
    assert air[:, -1].all()
    low = labels.grid.centres([[0, 0, 0]])[0, 2]
    assert one.patient_from_phantom.apply(one.spine.places["S1"].at(0, 0, 15))[2] - low > 60
