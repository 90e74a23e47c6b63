"""What pictures sample from an image is what scipy's splines say."""

import numpy as np
import pytest

from keyhole.geometry import Volume, affine
from keyhole.report import sampling


@pytest.fixture(scope="module")
def image():
    array = np.random.default_rng(7).integers(-900, 1500, (21, 18, 15)).astype(np.int16)
    return Volume(array, affine(np.diag([1.0, 1.0, 1.0, 1.0])))


@pytest.fixture(scope="module")
def index():
    """Between the voxels, on them, and beyond the edge."""
    made = np.random.default_rng(8).uniform(-3.0, 24.0, (30, 40, 3))
    made[:3] = np.rint(made[:3])
    return made


def test_linear_samples_are_scipys(image, index):
    from scipy.ndimage import map_coordinates

    told = map_coordinates(image.array, np.moveaxis(index, -1, 0), output=np.float32, order=1, mode="nearest")
    assert np.abs(sampling.linear(image.array, index) - told).max() < 1e-3


def test_smooth_samples_are_scipys_cubic_spline(image, index):
    from scipy.ndimage import map_coordinates

    told = map_coordinates(image.array.astype(np.float32), np.moveaxis(index, -1, 0), order=3, mode="nearest")
    assert np.abs(sampling.smooth(image, index) - told).max() < 1e-2


def test_a_wide_image_is_sampled_linearly(image, index, monkeypatch):
    monkeypatch.setattr(sampling, "WIDE", 100)
    assert np.array_equal(sampling.smooth(image, index), sampling.linear(image.array, index))


def test_nearest_voxels_and_what_lies_beyond(image, index):
    voxel = np.rint(index).astype(int)
    inside = ((voxel >= 0) & (voxel < image.array.shape)).all(axis=-1)
    found = sampling.nearest(image.array, index, -1000)
    assert (found[~inside] == -1000).all()
    assert np.array_equal(found[inside], image.array[tuple(voxel[inside].T)])
    assert np.array_equal(sampling.held(image.array.shape, index), image.grid.contains(index))


def test_a_png_holds_opacity_only_where_something_is_seen_through():
    from keyhole.report import svg

    samples = np.full((3, 4, 2), 255, dtype=np.uint8)
    opaque = svg.png(samples)
    samples[1, 1, 1] = 0
    assert (opaque[25], svg.png(samples)[25]) == (0, 4)  # the colour type: grey, grey with opacity
