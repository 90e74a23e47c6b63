"""Laws of resampling: exact on ramps, the same for every pose, mirrored for a mirror, volumes kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from keyhole.errors import InvalidInput
from keyhole.geometry import Grid, LabelMap, Volume, affine
from keyhole.geometry.resample import keyhole_grid, labels_on_grid, reoriented, resample
from keyhole.terms import sides_swapped

seeds = st.integers(0, 2**32 - 1)
KEYS = {1: "vertebra/L4", 2: "muscle/psoas/left", 3: "muscle/psoas/right", 4: "canal/dural_sac"}


def pose(rng, spacing):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=rng.integers(2**31)).as_matrix() * spacing * rng.choice([-1, 1], 3)
    matrix[:3, 3] = rng.uniform(-300, 300, 3)
    return affine(matrix)


def straight(spacing, corner=(0, 0, 0)):
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = corner
    return affine(matrix)


def blobs(rng, shape):
    """Smooth random labels with thin and thick parts."""
    at = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    array = np.zeros(shape, dtype=np.uint8)
    for label in (2, 1, 3, 4):
        centre, size = rng.uniform(3, np.array(shape) - 4), rng.uniform(1.5, 5, 3)
        array[(((at - centre) / size) ** 2).sum(axis=-1) < 1] = label
    return array


@given(seeds)
@settings(max_examples=40)
def test_a_linear_ramp_is_reproduced_on_any_grid(seed):
    rng = np.random.default_rng(seed)
    source = Grid((9, 8, 7), pose(rng, rng.uniform(0.5, 4, 3)))
    slope, level = rng.normal(size=3), rng.normal()
    index = np.stack(np.meshgrid(*[np.arange(n) for n in source.shape], indexing="ij"), axis=-1)
    volume = Volume((source.centres(index) @ slope + level).astype(np.float64), source.patient_from_index)
    inner = source.centres(rng.uniform(0.5, 5.5, 3))
    matrix = pose(rng, rng.uniform(0.2, 1, 3)).matrix.copy()
    matrix[:3, 3] = inner
    grid = Grid((4, 5, 6), affine(matrix))
    found = resample(volume, grid).array
    at = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    points = grid.centres(at)
    where = source.index(points)
    inside = ((where >= 0) & (where <= np.array(source.shape) - 1)).all(axis=-1)
    np.testing.assert_allclose(found[inside], (points @ slope + level)[inside], rtol=1e-5, atol=2e-4)
    outside = ((where < -0.501) | (where > np.array(source.shape) - 0.499)).any(axis=-1)
    assert np.isnan(found[outside]).all()


@given(seeds)
@settings(max_examples=15)
def test_nearest_resampling_on_its_own_grid_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    volume = Volume(rng.integers(-1000, 1000, (5, 6, 7)).astype(np.int16), pose(rng, rng.uniform(0.5, 4, 3)))
    for order in (0, 1):
        np.testing.assert_array_equal(resample(volume, volume.grid, order).array, volume.array)


def test_an_unseen_voxel_makes_its_neighbourhood_unseen_and_no_more():
    array = np.ones((5, 5, 5), dtype=np.float32)
    array[2, 2, 2] = np.nan
    volume = Volume(array, straight((1, 1, 1)))
    shifted = resample(volume, Grid((4, 4, 4), straight((1, 1, 1), (0.5, 0.5, 0.5)))).array
    assert np.isnan(shifted).sum() == 8
    np.testing.assert_array_equal(np.isnan(resample(volume, volume.grid).array), np.isnan(array))
    with pytest.raises(InvalidInput, match="got order 3"):
        resample(volume, volume.grid, order=3)


@given(seeds)
@settings(max_examples=40)
def test_reorientation_loses_nothing_and_moves_nothing(seed):
    rng = np.random.default_rng(seed)
    labels = LabelMap(rng.integers(0, 5, (4, 5, 6)).astype(np.uint8), pose(rng, rng.uniform(0.5, 4, 3)), KEYS)
    found = reoriented(labels)
    index = np.argwhere(found.array >= 0)
    back = np.rint(labels.grid.index(found.grid.centres(index))).astype(int)
    np.testing.assert_array_equal(found.array[tuple(index.T)], labels.array[tuple(back.T)])
    np.testing.assert_allclose(labels.grid.centres(back), found.grid.centres(index), atol=1e-9)
    assert sorted(found.array.shape) == sorted(labels.array.shape)
    directions = found.patient_from_index.matrix[:3, :3] / found.grid.spacing
    assert np.trace(directions) >= 1 - 1e-9
    assert found.array.flags.c_contiguous


@given(seeds)
@settings(max_examples=40)
def test_keyholes_grid_is_isotropic_and_covers_the_labels_in_every_pose(seed):
    rng = np.random.default_rng(seed)
    grid = Grid((7, 9, 11), pose(rng, rng.uniform(0.3, 4, 3)))
    found = keyhole_grid(grid)
    assert found.is_isotropic
    np.testing.assert_allclose(found.spacing, 1.0, rtol=1e-9)
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * grid.shape - 0.5
    outermost = found.index(grid.centres(corners))
    assert (outermost >= -0.5 - 1e-4).all()
    assert (outermost <= np.array(found.shape) - 0.5 + 1e-4).all()
    np.testing.assert_allclose(found.centres((np.array(found.shape) - 1) / 2), grid.centres((3, 4, 5)), atol=1e-6)


@pytest.mark.parametrize(("side", "kept"), [(0.4, False), (0.5, True), (0.8, True), (1.0, True), (1.2, False)])
def test_isotropic_labels_between_half_and_one_mm_are_kept(side, kept):
    grid = Grid((8, 8, 8), straight((side, side, side)))
    assert (keyhole_grid(grid) is grid) is kept
    assert keyhole_grid(Grid((8, 8, 8), straight((0.7, 0.7, 0.9)))).spacing[0] == 1.0


def test_sheared_labels_and_turned_grids_are_refused():
    sheared = np.diag([2.0, 2, 2, 1])
    sheared[0, 1] = 0.3
    with pytest.raises(InvalidInput, match="must be perpendicular"):
        keyhole_grid(Grid((4, 4, 4), affine(sheared)))
    labels = LabelMap(np.ones((4, 4, 4), np.uint8), straight((2, 2, 2)), {1: "vertebra/L4"})
    with pytest.raises(InvalidInput, match="along their own axes"):
        labels_on_grid(labels, Grid((4, 4, 4), pose(np.random.default_rng(0), (1, 1, 1))))


@given(seeds)
@settings(max_examples=25)
def test_a_turned_patient_gives_the_same_voxels(seed):
    rng = np.random.default_rng(seed)
    spacing = rng.choice([1.5, 2.0, 3.0, 0.4, 0.9765625, 2.3], 3)
    array = blobs(rng, (14, 13, 12))
    here, there = LabelMap(array, straight(spacing), KEYS), LabelMap(array, pose(rng, spacing), KEYS)
    one, two = (labels_on_grid(m, keyhole_grid(m.grid)) for m in (here, there))
    np.testing.assert_array_equal(one.array, two.array)


@given(seeds)
@settings(max_examples=25)
def test_a_mirrored_map_gives_the_mirrored_result_with_sides_exchanged(seed):
    rng = np.random.default_rng(seed)
    spacing, axis = rng.choice([1.5, 2.0, 3.0, 0.4, 0.9765625, 2.3], 3), int(rng.integers(3))
    array = blobs(rng, (14, 13, 12))
    labels = LabelMap(array, straight(spacing), KEYS)
    mirror = LabelMap(np.flip(array, axis), straight(spacing), {n: sides_swapped(key) for n, key in KEYS.items()})
    one, two = (labels_on_grid(m, keyhole_grid(m.grid)) for m in (labels, mirror))
    np.testing.assert_array_equal(np.flip(one.array, axis), two.array)


@given(seeds)
@settings(max_examples=15)
def test_permuted_axes_give_the_permuted_result(seed):
    rng = np.random.default_rng(seed)
    spacing, order = rng.choice([1.5, 2.0, 3.0], 3), rng.permutation(3)
    array = blobs(rng, (14, 13, 12))
    labels = LabelMap(array, straight(spacing), KEYS)
    turned = LabelMap(array.transpose(order), straight(spacing[order]), KEYS)
    one, two = (labels_on_grid(m, keyhole_grid(m.grid)) for m in (labels, turned))
    np.testing.assert_array_equal(one.array.transpose(order), two.array)


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (0.9765625, 0.9765625, 2.0), (0.4, 0.4, 0.4)])
def test_volumes_survive_and_thin_structures_do_not_vanish(spacing):
    side = np.array([60, 60, 60])
    shape = np.ceil(side / spacing).astype(int)
    at = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1) * spacing
    array = np.zeros(shape, dtype=np.uint8)
    turned = at @ Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix()
    middle = turned - turned[tuple(shape // 2)]
    array[np.linalg.norm(middle, axis=-1) < 14] = 1
    array[np.hypot(middle[..., 0], middle[..., 1] - 20) < 3] = 4
    array[np.abs(middle[..., 0] - 22) < 2] = 2
    labels = LabelMap(array, straight(spacing), KEYS)
    found = labels_on_grid(labels, keyhole_grid(labels.grid))
    for label in (1, 2, 4):
        before = np.count_nonzero(labels.array == label) * labels.grid.voxel_volume
        after = np.count_nonzero(found.array == label) * found.grid.voxel_volume
        assert after == pytest.approx(before, rel=0.05), KEYS[label]


def test_smooth_labels_lie_closer_to_the_true_surface_than_copied_voxels():
    at = np.stack(np.meshgrid(*[np.arange(54) - 26.5] * 3, indexing="ij"), axis=-1)
    turned = at @ Rotation.from_euler("xyz", (20, 30, 40), degrees=True).as_matrix()
    truth = (np.abs(turned) < (16, 12, 9)).all(axis=-1)
    coarse = truth.reshape(18, 3, 18, 3, 18, 3).mean(axis=(1, 3, 5)) > 0.5
    labels = LabelMap(coarse.astype(np.uint8), straight((3, 3, 3)), {1: "vertebra/L4"})
    smooth = labels_on_grid(labels, keyhole_grid(labels.grid)).array > 0
    copied = np.kron(coarse, np.ones((3, 3, 3), dtype=bool))
    assert np.count_nonzero(smooth != truth) < 0.7 * np.count_nonzero(copied != truth)


def test_touching_structures_leave_no_hole_between_them():
    array = np.ones((12, 12, 12), dtype=np.uint8)
    array[6:] = 2
    array[:, 6:, :6] = 3
    array[:, :, 9:] = 4
    found = labels_on_grid(
        LabelMap(array, straight((3, 3, 3)), KEYS), keyhole_grid(Grid((12, 12, 12), straight((3, 3, 3))))
    )
    assert (found.array > 0).all()


def test_exact_twins_split_without_a_favourite():
    array = np.zeros((11, 8, 8), dtype=np.uint8)
    array[1:5], array[5:6, :, ::2], array[6:10] = 2, 1, 3
    array[5, :, 1::2] = 0
    labels = LabelMap(array, straight((2, 2, 2)), KEYS)
    found = labels_on_grid(labels, keyhole_grid(labels.grid)).array
    np.testing.assert_array_equal(found == 2, np.flip(found == 3, axis=0))


def test_labels_on_another_grid_remember_the_voxels_they_were_drawn_on():
    labels = LabelMap(np.ones((8, 9, 5), dtype=np.uint8), affine(np.diag([0.8, 0.8, 3.0, 1.0])), {1: "disc/L4-L5"})
    fine = labels_on_grid(labels, keyhole_grid(labels.grid))
    assert fine.drawn == (0.8, 0.8, 3.0)
    assert np.allclose(fine.drawn_grid.spacing, (0.8, 0.8, 3.0))
    assert np.allclose(fine.crop((slice(2, 5), slice(1, 4), slice(3, 9))).drawn_grid.spacing, (0.8, 0.8, 3.0))
    assert reoriented(fine).drawn == fine.drawn
    turned = LabelMap(fine.array, affine(fine.patient_from_index.matrix[:, [2, 1, 0, 3]]), fine.structures, fine.drawn)
    assert reoriented(turned).drawn == (3.0, 0.8, 0.8)
    assert labels.drawn_grid.is_same(labels.grid)
