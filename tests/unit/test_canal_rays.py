"""The bony canal on walls of known shape."""

import numpy as np
import pytest

from keyhole.anatomy.canal import bony_canal, within
from keyhole.anatomy.roots import tube
from keyhole.anatomy.spine import smooth_line
from keyhole.geometry import Grid, Tube, affine

GRID = Grid((60, 60, 90), affine(np.eye(4)))
X, Y, Z = np.indices(GRID.shape)
LINE = np.stack([np.full(80, 30.3), np.full(80, 29.6), np.arange(84.0, 4.0, -1.0)], axis=1)
BACK = np.tile([0.0, 1.0, 0.0], (80, 1))


def wall(*, windows):
    """A round canal of radius 9 mm; with `windows`, open to the left over 16 of every 36 mm, and behind too."""
    solid = np.hypot(X - 30, Y - 30) > 9
    if windows:
        gap = (Z % 36) < 16
        solid &= ~(gap & (X > 30) & (np.abs(Y - 30) < 5))
        solid &= ~(gap & (Y > 30) & (np.abs(X - 30) < 5))
    return solid


@pytest.mark.parametrize("windows", [False, True])
def test_a_round_canal_has_its_area_with_and_without_windows(windows):
    canal = bony_canal(wall(windows=windows), GRID, LINE, BACK)
    assert np.abs(canal.area[10:-10] / (np.pi * 81) - 1).max() < (0.06 if not windows else 0.15)


def test_the_filled_canal_is_the_hole():
    solid = wall(windows=False)
    box, mask = within(bony_canal(solid, GRID, LINE, BACK), GRID)
    inner = mask[:, :, 20:60] & ~solid[box][:, :, 20:60]
    assert inner.sum() / (~solid[box][:, :, 20:60]).sum() > 0.97


def test_an_off_centre_line_is_centred():
    shifted = LINE + np.array([3.0, -2.0, 0.0])
    canal = bony_canal(wall(windows=False), GRID, shifted, BACK)
    assert np.abs(canal.line[15:-15, :2] - 30).max() < 0.5


def test_a_smooth_line_keeps_a_straight_one_and_its_spacing():
    at = np.array([0.0, 7.0, 12.0, 30.0, 41.0])
    points = np.outer(at, [0.6, 0.0, -0.8]) + np.array([5, 6, 7])
    line = smooth_line(points, at)
    assert np.allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), 1.0, atol=1e-6)
    assert np.allclose(np.cross(line - points[0], [0.6, 0.0, -0.8]), 0, atol=1e-6)


def test_a_tube_is_the_capsule_around_its_path():
    path = np.array([[20.3, 30.1, 20.7], [40.2, 31.4, 60.6]])
    box, mask = tube(path, 4.0, GRID)
    gap = Tube(path[0], path[1], 4.0).gap(GRID.centres(np.stack([X, Y, Z], axis=-1)))
    assert (gap <= 0).sum() == (gap <= 0)[box].sum()
    assert (mask != (gap <= 0)[box]).mean() < 0.001
