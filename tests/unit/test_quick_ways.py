"""Quick ways of computing give what the plain ones give."""

import numpy as np
from scipy import ndimage

from keyhole.anatomy.endplates import Axes, Solid
from keyhole.anatomy.parts import has_ring, ring_of
from keyhole.geometry import Grid, Volume, affine
from keyhole.geometry.resample import _index_from_index, _sample, resample, resampled_whole


def _image():
    rng = np.random.default_rng(4)
    array = rng.normal(0, 900, (9, 12, 7)).astype(np.float32)
    array[3, 4, 2] = np.nan
    at = np.diag([2.0, 1.4, 3.0, 1.0])
    at[:3, 3] = (-4.0, 7.0, 1.0)
    return Volume(array, affine(at))


def test_an_image_on_a_grid_along_its_axes_is_what_the_general_way_gives():
    image = _image()
    at = np.diag([-0.9, 0.7, 1.0, 1.0])
    at[:3, 3] = (16.0, 4.0, -2.0)
    grid = Grid((24, 30, 25), affine(at))
    plain = np.empty(grid.shape, dtype=np.float32)
    _sample(image.array, _index_from_index(image.grid, grid), plain, np.float32(-5), False)
    assert np.isnan(plain).any()
    assert np.array_equal(resample(image, grid, fill=-5).array, plain, equal_nan=True)
    whole = resampled_whole(image, grid, -5)
    assert np.array_equal(whole, np.rint(np.where(np.isnan(plain), -5, plain)).astype(np.int16))


def test_whole_numbers_on_a_turned_grid_are_the_rounded_ones():
    image = _image()
    at = np.array([[0, -0.9, 0, 14], [0.8, 0, 0.1, 5], [0, 0, 1.1, 0], [0, 0, 0, 1]])
    grid = Grid((14, 12, 10), affine(at))
    plain = resample(image, grid, fill=-5).array
    assert np.array_equal(resampled_whole(image, grid, -5), np.rint(np.nan_to_num(plain, nan=-5)).astype(np.int16))


def test_a_body_on_a_lattice_is_what_scipy_gives():
    rng = np.random.default_rng(1)
    share = ndimage.gaussian_filter((rng.random((20, 24, 18)) > 0.5).astype(np.float32), 1.0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn[0] *= np.linalg.det(turn)
    grid = Grid(share.shape, affine(np.eye(4)))
    at = Axes(np.array([9.0, 11.0, 8.0]), turn[1], turn[2])
    steps, counts, low = np.array([1.0, 1.0, 0.5]), np.array([26, 25, 60]), np.full(3, -14.0)
    found = Solid(share, grid, grid, grid).on(at, low, steps, counts)
    plain = ndimage.affine_transform(
        share, at.matrix.T * steps, grid.index(at.points(low)), tuple(counts), order=1, mode="constant", cval=0.0
    )
    assert 0 < np.count_nonzero(plain) < plain.size
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-6)


def test_a_ring_is_seen_where_it_is_measured():
    i, j, k = np.indices((60, 70, 30)) - np.array([30, 20, 15])[:, None, None, None]
    body = (np.hypot(i, j) < 18) & (np.abs(k) < 12)
    arch = (np.abs(np.hypot(i, j - 27) - 14) < 4) & (np.abs(k) < 8)
    at = affine(np.eye(4))
    for bone in (body, body | arch):
        assert has_ring(bone, at) == (ring_of(bone, at) is not None)
    assert has_ring(body | arch, at)
