"""Sections, volumes and fat shares of muscles of known shape."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.anatomy.boxes import label_boxes
from keyhole.assessment.model import Measurement
from keyhole.assessment.muscle.fat import CLASSES, Reference, fat_share, multifidus_grade, reference
from keyhole.assessment.muscle.size import End, Slab, muscle, section, volume
from keyhole.geometry import Grid, LabelMap, Plane, Volume, affine

A, B = 18.0, 12.0  # mm, half axes of the muscle's section
KEY = "muscle/psoas/left"
UPRIGHT = np.eye(3)
TURNED = Rotation.from_rotvec((0.5, -0.3, 0.9)).as_matrix()


def oblique(axes=UPRIGHT, spacing=(1.0, 1.0, 1.0), half=(26.0, 22.0, 34.0)):
    """A grid along the columns of `axes`, about the origin."""
    step = np.array(spacing)
    shape = tuple(int(n) for n in np.ceil(2 * np.array(half) / step))
    matrix = np.eye(4)
    matrix[:3, :3] = axes * step
    matrix[:3, 3] = -axes @ (step * (np.array(shape) - 1) / 2)
    return Grid(shape, affine(matrix))


def cylinder(grid, axes=UPRIGHT, long=26.0):
    """Labels of an elliptical cylinder along the third column of `axes`, in fat."""
    local = grid.centres(np.moveaxis(np.indices(grid.shape), 0, -1)) @ axes
    inside = (local[..., 0] / A) ** 2 + (local[..., 1] / B) ** 2 <= 1
    inside &= np.abs(local[..., 2]) <= long
    array = np.where(inside, 1, 2).astype(np.uint8)
    return LabelMap(array, grid.patient_from_index, {1: KEY, 2: "tissue/fat"})


def made(grid, axes=UPRIGHT, sd=0.0, long=26.0):
    labels = cylinder(grid, axes, long)
    return labels, muscle(labels, label_boxes(labels), KEY, sd)


@pytest.mark.parametrize(
    ("axes", "spacing"), [(UPRIGHT, (1.0, 1.0, 1.0)), (TURNED, (1.0, 1.0, 1.0)), (UPRIGHT, (0.7, 1.0, 1.6))]
)
def test_a_section_has_the_area_of_an_ellipse_however_the_patient_lies(axes, spacing):
    _, one = made(oblique(TURNED.T, spacing, (34.0, 34.0, 34.0)), axes)
    cut = section(one, End(Plane(2.0 * axes[:, 2], axes[:, 2])), axes[:, 0])
    assert cut.area == pytest.approx(np.pi * A * B, rel=0.02)
    assert abs(cut.area - np.pi * A * B) < 3 * cut.sd
    assert np.abs((cut.outline - 2.0 * axes[:, 2]) @ axes[:, 2]).max() < 1e-6


def test_a_tilted_plane_cuts_a_longer_section():
    _, one = made(oblique())
    tilt = np.radians(30)
    cut = section(one, End(Plane(np.zeros(3), [0.0, np.sin(tilt), np.cos(tilt)])), UPRIGHT[:, 0])
    assert cut.area == pytest.approx(np.pi * A * B / np.cos(tilt), rel=0.02)


def test_a_mirrored_muscle_has_the_same_area_and_volume():
    matrix = np.diag([-1.0, 1.0, 1.0, 1.0])
    grid = oblique()
    mirrored = Grid(grid.shape, affine(matrix @ grid.patient_from_index.matrix))
    slab = Slab(End(Plane([0, 0, 15.0], [0, 0, 1.0])), End(Plane([0, 0, -12.0], [0, 0, 1.0])))
    found = [made(g)[1] for g in (grid, mirrored)]
    plane = Plane([0.0, 0.0, 3.0], [0.1, 0.0, 1.0]), Plane([0.0, 0.0, 3.0], [-0.1, 0.0, 1.0])
    areas = [section(one, End(at), UPRIGHT[:, 0]).area for one, at in zip(found, plane, strict=True)]
    assert areas[0] == pytest.approx(areas[1], rel=1e-3)
    assert volume(found[0], slab)[0] == pytest.approx(volume(found[1], slab)[0], rel=1e-3)


def test_a_slab_holds_the_volume_of_a_cylinder():
    _, one = made(oblique(TURNED.T, (0.8, 1.0, 1.3), (34.0, 34.0, 34.0)))
    slab = Slab(End(Plane([0, 0, 15.0], [0.1, 0, 1.0])), End(Plane([0, 0, -12.0], [0, 0.2, 1.0])))
    value, sd = volume(one, slab)
    assert value == pytest.approx(np.pi * A * B * 27.0 / 1000, rel=0.015)
    assert abs(value - np.pi * A * B * 0.027) < 3 * sd


def test_the_sd_of_an_area_grows_with_the_labels_doubt_as_swollen_labels_show():
    grid = oblique()
    cuts = [section(made(grid, sd=sd)[1], End(Plane(np.zeros(3), [0, 0, 1.0])), UPRIGHT[:, 0]) for sd in (0.0, 0.5)]
    perimeter = np.pi * (3 * (A + B) - np.sqrt((3 * A + B) * (A + 3 * B)))
    assert cuts[0].sd < 8
    assert 0.3 * 0.5 * perimeter < cuts[1].sd < 0.5 * perimeter


def test_a_muscle_at_the_edge_of_the_scan_is_not_measured():
    grid = oblique(half=(26.0, 8.0, 34.0))
    _, one = made(grid)
    plane = Plane(np.zeros(3), [0, 0, 1.0])
    image = Volume(np.zeros(grid.shape, dtype=np.int16), grid.patient_from_index)
    slab = Slab(End(Plane([0, 0, 15.0], [0, 0, 1.0])), End(Plane([0, 0, -12.0], [0, 0, 1.0])))
    answers = (
        section(one, End(plane), UPRIGHT[:, 0]),
        volume(one, slab),
        fat_share(one, plane, image, Reference(55.0, -100.0, hounsfield=True)),
    )
    assert all(isinstance(answer, str) and "cut by the field of view" in answer for answer in answers)


def test_a_muscle_that_does_not_reach_the_level_is_not_zero():
    _, one = made(oblique(half=(26.0, 22.0, 40.0)), long=20.0)
    assert section(one, End(Plane([0, 0, 30.0], [0, 0, 1.0])), UPRIGHT[:, 0]) == "it does not reach this level"
    assert muscle(cylinder(oblique()), label_boxes(cylinder(oblique())), "muscle/psoas/right", 0.0) is None


def painted(labels, share, noise, lean, fat):
    """An image of lean muscle with single voxels of fat, `share` of them, blurred as a scanner does."""
    rng = np.random.default_rng(11)
    is_fat = (labels.array == 2) | (rng.random(labels.array.shape) < share)
    values = np.where(is_fat, fat, lean) + noise * rng.standard_normal(labels.array.shape)
    return Volume(np.rint(values).astype(np.int16), labels.patient_from_index)


@pytest.mark.parametrize("noise", [5.0, 40.0])
@pytest.mark.parametrize("share", [0.1, 0.35])
def test_a_known_mixture_is_found_in_noise_that_misleads_counting(share, noise):
    labels, one = made(oblique())
    image = painted(labels, share, noise, 55.0, -100.0)
    plane = Plane(np.zeros(3), [0, 0, 1.0])
    found = fat_share(one, plane, image, Reference(55.0, -100.0, hounsfield=True))
    assert found.value == pytest.approx(100 * share, abs=3.0)
    assert abs(found.value - 100 * share) < 2.5 * found.sd


def test_the_references_are_read_from_the_image_and_t2_mixes_like_ct():
    labels, one = made(oblique())
    for lean, fat, is_ct in ((62.0, -104.0, True), (140.0, 640.0, False)):
        image = painted(labels, 0.25, 10.0, lean, fat)
        known = reference(image, labels, [one], hounsfield=is_ct)
        assert known.lean == pytest.approx(lean, abs=3)
        assert known.fat == pytest.approx(fat, abs=3)
        found = fat_share(one, Plane(np.zeros(3), [0, 0, 1.0]), image, known)
        assert found.value == pytest.approx(25.0, abs=2.5)


def test_without_fat_to_compare_with_the_share_is_unknown():
    labels, one = made(oblique())
    bare = LabelMap(np.where(labels.array == 2, 0, labels.array), labels.patient_from_index, {1: KEY})
    answer = reference(painted(labels, 0.2, 5.0, 55.0, -100.0), bare, [one], hounsfield=True)
    assert isinstance(answer, str)
    assert "fat" in answer


def test_the_grade_of_the_multifidus_is_a_probability():
    row = Measurement("multifidus fat share", "L4/L5", 22.0, 2.0, "%", "fat-hu", "mixture")
    grade = multifidus_grade(row)
    assert grade.probability[CLASSES[1]] == pytest.approx(0.841, abs=0.002)
    assert grade.source == "multifidus-fat"
