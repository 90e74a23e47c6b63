"""Frames, grids, label maps, shapes: one fact each."""

import numpy as np
import pytest

from keyhole.errors import FrameMismatch, InvalidInput
from keyhole.geometry import (
    INDEX,
    PATIENT,
    Frame,
    Grid,
    LabelMap,
    Plane,
    Transform,
    Tube,
    Volume,
    affine,
    bounding_box,
    distance_field,
    fit_plane,
    unit,
)


def test_a_chain_of_transforms_whose_frames_do_not_meet_is_refused():
    tracker, tool = Frame("tracker"), Frame("tool")
    patient_from_tracker = Transform(PATIENT, tracker, np.eye(4))
    tool_from_patient = Transform(tool, PATIENT, np.eye(4))
    assert (tool_from_patient @ patient_from_tracker).source == tracker
    with pytest.raises(FrameMismatch, match="cannot chain"):
        patient_from_tracker @ tool_from_patient


def test_frames_of_the_same_name_but_another_uid_do_not_chain():
    first, second = Frame("scan", "1.2"), Frame("scan", "1.3")
    with pytest.raises(FrameMismatch):
        Transform(PATIENT, first, np.eye(4)) @ Transform(second, INDEX, np.eye(4))


@pytest.mark.parametrize(
    "matrix",
    [np.eye(3), np.diag([1.0, 1, 0, 1]), np.diag([1.0, 1, np.nan, 1]), np.vstack([np.eye(4)[:3], [0, 0, 1, 1]])],
    ids=["3x3", "singular", "nan", "projective"],
)
def test_a_matrix_that_is_no_invertible_affine_is_refused(matrix):
    with pytest.raises(InvalidInput, match="matrix must be"):
        affine(matrix)


def test_a_transform_cannot_be_changed_after_it_was_made():
    matrix = np.eye(4)
    made = affine(matrix)
    matrix[0, 3] = 5
    assert made.matrix[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        made.matrix[0, 3] = 1


def test_a_volume_is_read_only_and_needs_three_axes():
    volume = Volume(np.zeros((2, 2, 2)), affine(np.eye(4)))
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    with pytest.raises(InvalidInput, match="three axes"):
        Volume(np.zeros((2, 2, 2, 2)), affine(np.eye(4)))


def test_a_volume_in_another_frame_than_the_patient_is_refused():
    with pytest.raises(FrameMismatch):
        Volume(np.zeros((2, 2, 2)), Transform(Frame("tracker"), INDEX, np.eye(4)))


def test_a_label_map_of_floats_or_with_two_labels_of_one_name_is_refused():
    with pytest.raises(InvalidInput, match="integers"):
        LabelMap(np.zeros((2, 2, 2)), affine(np.eye(4)))
    with pytest.raises(InvalidInput, match="key of its own"):
        LabelMap(np.zeros((2, 2, 2), np.uint8), affine(np.eye(4)), {1: "sacrum", 2: "sacrum"})


def test_a_whole_is_the_union_of_its_parts_and_of_nothing_that_only_begins_alike():
    array = np.arange(5, dtype=np.uint8).reshape(5, 1, 1)
    names = {1: "vertebra/L1/body", 2: "vertebra/L1/lamina/left", 3: "vertebra/L10", 4: "sacrum"}
    labels = LabelMap(array, affine(np.eye(4)), names)
    assert labels.mask("vertebra/L1").ravel().tolist() == [False, True, True, False, False]
    assert labels.mask("vertebra/L1/lamina", "sacrum").ravel().tolist() == [False, False, True, False, True]
    assert not labels.mask("organ").any()


def test_a_crop_keeps_every_voxel_where_it_was():
    rng = np.random.default_rng(3)
    matrix = np.eye(4)
    matrix[:3] = rng.normal(size=(3, 4))
    volume = Volume(rng.normal(size=(6, 7, 8)), affine(matrix))
    part = volume.crop((slice(1, 4), slice(2, 7), slice(3, 5)))
    assert part.array[1, 2, 1] == volume.array[2, 4, 4]
    np.testing.assert_allclose(part.grid.centres((1, 2, 1)), volume.grid.centres((2, 4, 4)), atol=1e-12)


def test_nan_is_in_no_grid_and_the_border_is_half_a_voxel_outside_the_last_centre():
    grid = Grid((3, 3, 3), affine(np.diag([2.0, 2, 2, 1])))
    points = [[4.99, 0, 0], [5.01, 0, 0], [np.nan, 0, 0], [-0.99, 0, 0]]
    assert grid.contains(points).tolist() == [True, False, False, True]


def test_the_box_around_nothing_is_none():
    mask = np.zeros((4, 5, 6), bool)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = True
    assert bounding_box(mask, 2) == (slice(0, 4), slice(0, 5), slice(1, 6))


def test_a_plane_fitted_to_points_passes_through_them_and_faces_the_asked_side():
    rng = np.random.default_rng(1)
    normal = unit([1.0, -2, 3])
    basis = np.linalg.svd(normal[None])[2][1:]
    points = rng.normal(size=(40, 2)) @ basis * 10 + [5, 6, 7]
    plane = fit_plane(points, toward=-normal)
    assert plane.normal @ normal == pytest.approx(-1)
    assert np.abs(plane.height(points)).max() < 1e-9
    assert np.abs(plane.height(plane.foot([[9.0, 9, 9]]))).max() < 1e-12


def test_a_zero_direction_and_too_few_points_are_refused():
    with pytest.raises(InvalidInput, match="direction"):
        Plane(np.zeros(3), np.zeros(3))
    with pytest.raises(InvalidInput, match="three finite points"):
        fit_plane(np.zeros((2, 3)), [0, 0, 1])


def test_the_gap_of_a_tube_is_measured_from_its_wall_and_its_round_ends():
    tube = Tube(np.zeros(3), np.array([0.0, 0, 10]), 2.0)
    np.testing.assert_allclose(tube.gap([[5, 0, 5], [0, 0, 15], [1, 0, 5], [0, 3, -4]]), [3, 3, -1, 3])
    assert Tube(np.ones(3), np.ones(3), 3.0).gap([[1.0, 1, 5]]) == pytest.approx(1)


def test_the_volume_of_a_tube_agrees_with_counting_voxels():
    tube = Tube(np.array([3.0, 4, 5]), np.array([20.0, 15, 25]), 4.0)
    step = 0.5
    axis = np.arange(-2, 32, step)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    assert (tube.gap(points) <= 0).sum() * step**3 == pytest.approx(tube.volume, rel=0.005)


def test_a_tube_without_radius_or_with_a_nan_end_is_refused():
    for radius, end in ((0.0, 1.0), (np.nan, 1.0), (2.0, np.nan)):
        with pytest.raises(InvalidInput, match="radius"):
            Tube(np.zeros(3), np.array([end, 0, 0]), radius)


def test_the_distance_to_an_absent_structure_is_infinite():
    field = distance_field(np.zeros((3, 3, 3), bool), affine(np.eye(4)))
    assert np.isinf(field.array).all()


def test_a_distance_field_on_a_sheared_grid_is_refused():
    matrix = np.eye(4)
    matrix[0, 2] = 0.2
    with pytest.raises(InvalidInput, match="orthogonal"):
        distance_field(np.ones((3, 3, 3), bool), affine(matrix))
