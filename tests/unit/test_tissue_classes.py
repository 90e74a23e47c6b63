"""The body in an image: skin where it ends, none where the image ends, no table, gas inside."""

import numpy as np
import pytest
from scipy import ndimage

from keyhole.anatomy.tissue import CLASSES, SKIN, body_in, class_free, near_outside, on_grid
from keyhole.geometry import Grid, Volume, affine

GRID = Grid((100, 90, 60), affine(np.eye(4)))
X, Y, Z = np.indices(GRID.shape)


def scan(fov=45.0):
    """A cylinder of soft tissue with a fat coat, a bowel with gas, on a table behind it."""
    far = np.hypot((X - 50) / 1.1, Y - 42)
    hu = np.full(GRID.shape, -1000, dtype=np.int16)
    hu[far < 34] = -100
    hu[far < 26] = 50
    hu[np.hypot(X - 50, Y - 30) < 6] = -900
    hu[(Y > 82) & (Y < 85)] = 100
    hu[np.hypot(X - 50, Y - 45) > fov * 1.2] = -2000
    return hu


def test_the_body_is_the_patient_without_table_and_with_bowel_gas():
    body = body_in(scan(), GRID, 2, hounsfield=True)
    assert not body.mask[:, 83].any()
    assert body.mask[50, 30, 30]
    assert abs(int(body.mask[:, :, 30].sum()) - np.pi * 34 * 34 * 1.1) < 60


def test_skin_is_the_outermost_two_millimetres_and_not_the_end_of_the_scan():
    body = body_in(scan(), GRID, 2, hounsfield=True)
    column = body.skin[50, :, 30]
    assert np.flatnonzero(column).min() == np.flatnonzero(body.mask[50, :, 30]).min()
    assert np.flatnonzero(column[:45]).size == SKIN
    assert not body.skin[50, 42, 0]
    assert body.caveats == ()


def test_a_body_cut_by_the_field_of_view_has_no_skin_there_and_says_so():
    hu = scan()[30:]
    grid = GRID.crop((slice(30, 100), slice(0, 90), slice(0, 60)))
    body = body_in(hu, grid, 2, hounsfield=True)
    assert not body.skin[0, 42, 30]
    assert "cut by the field of view (right)" in body.caveats[0]


def test_classes_follow_hounsfield_units_and_keep_labels():
    hu = scan()
    labels = np.zeros(GRID.shape, dtype=np.uint16)
    labels[48:53, 48:53] = 77
    body = body_in(hu, GRID, 2, hounsfield=True)
    class_free(labels, hu, body.mask, body.skin, np.arange(1, 6, dtype=np.uint16))
    names = dict(enumerate(CLASSES, 1)) | {0: "nothing", 77: "label"}
    assert [names[labels[i, j, 30]] for i, j in ((50, 30), (50, 12), (60, 42), (50, 9), (2, 2), (50, 50))] == [
        "tissue/gas",
        "tissue/fat",
        "tissue/muscle",
        "tissue/skin",
        "nothing",
        "label",
    ]


def test_an_image_is_unseen_outside_itself():
    image = Volume(np.full((10, 10, 10), 40, dtype=np.int32), affine(np.diag([3.0, 3.0, 3.0, 1.0])))
    values = on_grid(image, Grid((40, 30, 30), affine(np.eye(4))))
    assert values[5, 5, 5] == 40
    assert values[35, 5, 5] == np.iinfo(np.int16).min
    assert values[28, 28, 28] == 40


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 1.1)])
def test_skin_is_what_lies_within_its_depth_of_the_outside_as_an_exact_distance_field_says(spacing):
    import edt

    rng = np.random.default_rng(3)
    unseen, mask = (ndimage.gaussian_filter(rng.normal(size=(40, 45, 50)), 4) > cut for cut in (0.04, 0.0))
    mask &= ~unseen
    depth = edt.edt(np.ascontiguousarray(mask | unseen), anisotropy=spacing)
    found = near_outside(mask, unseen, np.array(spacing), 2.0)
    np.testing.assert_array_equal(found, mask & (depth <= 2.0))
    assert found.any()
