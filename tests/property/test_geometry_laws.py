"""Laws that hold for every pose, spacing and handedness."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from keyhole.geometry import PATIENT, Frame, Grid, Transform, Tube, affine, distance_field

seeds = st.integers(0, 2**32 - 1)


def rigid(rng: np.random.Generator, target: Frame, source: Frame) -> Transform:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
    matrix[:3, 3] = rng.uniform(-300, 300, 3)
    return Transform(target, source, matrix)


def oblique(rng: np.random.Generator, shape: tuple[int, int, int]) -> Grid:
    """A grid in a random pose, anisotropic, left- or right-handed."""
    matrix = rigid(rng, PATIENT, PATIENT).matrix.copy()
    matrix[:3, :3] *= rng.uniform(0.4, 4, 3) * rng.choice([-1, 1], 3)
    return Grid(shape, affine(matrix))


@given(seeds)
def test_a_chain_maps_points_as_its_links_do_one_after_the_other(seed):
    rng = np.random.default_rng(seed)
    tracker, tool = Frame("tracker"), Frame("tool")
    patient_from_tracker, tracker_from_tool = rigid(rng, PATIENT, tracker), rigid(rng, tracker, tool)
    points = rng.uniform(-100, 100, (5, 3))
    chained = (patient_from_tracker @ tracker_from_tool).apply(points)
    np.testing.assert_allclose(chained, patient_from_tracker.apply(tracker_from_tool.apply(points)), atol=1e-9)


@given(seeds)
def test_the_inverse_brings_every_point_back(seed):
    rng = np.random.default_rng(seed)
    grid = oblique(rng, (4, 5, 6))
    index = rng.uniform(-5, 10, (7, 3))
    np.testing.assert_allclose(grid.index(grid.centres(index)), index, atol=1e-8)


@settings(max_examples=25)
@given(seeds)
def test_a_distance_field_is_exact_on_any_oblique_anisotropic_flipped_grid(seed):
    rng = np.random.default_rng(seed)
    grid = oblique(rng, (7, 8, 6))
    mask = rng.random(grid.shape) < 0.1
    mask[0, 0, 0], mask[-1, -1, -1] = True, False
    index = np.argwhere(np.ones(grid.shape, bool))
    points = grid.centres(index)
    inside = mask.ravel()
    outward = cKDTree(points[inside]).query(points)[0]
    inward = cKDTree(points[~inside]).query(points)[0]
    field = distance_field(mask, grid.patient_from_index).array.ravel()
    np.testing.assert_allclose(field, outward - inward, atol=1e-4)


@given(seeds)
def test_the_gap_of_a_tube_moves_with_the_patient(seed):
    rng = np.random.default_rng(seed)
    move = rigid(rng, PATIENT, PATIENT)
    start, stop = rng.uniform(-50, 50, (2, 3))
    points = rng.uniform(-80, 80, (20, 3))
    moved = Tube(move.apply(start), move.apply(stop), 4.0).gap(move.apply(points))
    np.testing.assert_allclose(moved, Tube(start, stop, 4.0).gap(points), atol=1e-9)


@given(seeds)
def test_spacing_volume_and_half_diagonal_do_not_depend_on_the_pose(seed):
    rng = np.random.default_rng(seed)
    spacing = rng.uniform(0.3, 4, 3)
    turned = rigid(rng, PATIENT, PATIENT).matrix @ np.diag([*spacing, 1])
    grid = Grid((3, 3, 3), affine(turned))
    np.testing.assert_allclose(grid.spacing, spacing)
    np.testing.assert_allclose(grid.voxel_volume, spacing.prod())
    np.testing.assert_allclose(grid.half_diagonal, np.linalg.norm(spacing) / 2)
