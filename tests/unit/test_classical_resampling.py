"""A scan brought to a grid of its own axes, plane by plane, against one sample at a time."""

import numpy as np
import pytest
from scipy import ndimage

from keyhole.segment.classical._kernels import resampled
from keyhole.segment.classical._resampling import along_axes
from keyhole.segment.classical.scene import UNSEEN

ONTO = {
    "finer, axes exchanged, one flipped": (1, [[0, 1.2, 0, 3], [-0.9, 0, 0, 39], [0, 0, 0.7, -0.3], [0, 0, 0, 1]]),
    "coarser, axes exchanged, one flipped": (2, [[2.1, 0, 0, 0.5], [0, 0, 2.2, 0.4], [0, -2, 0, 48], [0, 0, 0, 1]]),
}


def scan():
    rng = np.random.default_rng(4)
    soft = ndimage.gaussian_filter(rng.normal(0, 3000, (45, 40, 50)), 1)
    return np.asfortranarray(np.clip(soft, -1200, 3000).astype(np.int16))


@pytest.mark.parametrize("name", ONTO)
def test_planes_give_what_single_samples_give(name):
    part, matrix = ONTO[name]
    shape = (30, 24, 20) if part == 2 else (40, 35, 60)
    one = np.empty(shape, dtype=np.int16)
    resampled(np.ascontiguousarray(scan()), np.array(matrix, dtype=float), one, part)
    many = along_axes(scan(), np.array(matrix, dtype=float), shape, part)
    seen = (one != UNSEEN) & (many != UNSEEN)
    assert seen.mean() > 0.2
    assert ((one != UNSEEN) != (many != UNSEEN)).mean() < 0.005  # at the scan's very rim each has its own rule
    assert np.abs(one[seen].astype(int) - many[seen]).max() <= 1


def test_no_voxel_that_an_unmeasured_one_takes_part_in_is_seen():
    array = scan()
    array[:7, 12:] = -2000
    matrix = np.diag([1.3, 1.1, 0.9, 1.0])
    shape = (34, 36, 50)
    found = along_axes(array, matrix, shape, 1)
    index = np.rint(np.argwhere(found != UNSEEN) * np.diag(matrix)[:3]).astype(int)
    inner = ndimage.binary_erosion(array == -2000, np.ones((3, 3, 3)))
    assert not inner[tuple(np.minimum(index, np.array(array.shape) - 1).T)].any()
    assert (found[20:, :, 5:40] != UNSEEN).all()


def test_turned_axes_are_left_to_the_other_way():
    matrix = np.eye(4)
    matrix[0, 1] = 0.1
    assert along_axes(scan(), matrix, (10, 10, 10), 1) is None
