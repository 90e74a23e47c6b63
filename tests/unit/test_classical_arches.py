"""What parts the arches of a bare CT: the discs' planes drawn out backwards, cortices that touch, the canal's wall."""

from types import SimpleNamespace

import numpy as np
import pytest

from keyhole.segment.classical import posterior
from keyhole.segment.classical._kernels import grown
from keyhole.segment.classical.endplates import flat
from keyhole.segment.classical.frame import BACK, FRONT, HALF, front_wall


def turn(degrees):
    """Turn about left, then superior; columns are left, posterior, up."""
    a, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ x


def lordosis(laid):
    """Three discs that fan out by 12 degrees each, at stations 40, 75, 110 of a canal 30 mm behind them."""
    gaps = []
    for n, tilt in enumerate((-12.0, 0.0, 12.0)):
        s = np.radians(tilt)
        axes = np.array([[1, 0, 0], [0, np.cos(s), np.sin(s)], [0, -np.sin(s), np.cos(s)]])
        gaps.append(flat(laid @ np.array([0.0, 0.0, -35.0 * n]), axes @ laid.T))
    return SimpleNamespace(stations=(40.0, 75.0, 110.0), gaps=tuple(gaps))


@pytest.mark.parametrize("laid", [turn((0.0, 0.0)), turn((25.0, -40.0)), np.diag([-1.0, 1.0, 1.0])])
def test_stations_follow_the_discs_planes_backwards(laid):
    stack = lordosis(laid)
    rear = np.array([[0.0, 60.0, -60.0 * np.tan(np.radians(12.0)) - 0.01], [5.0, 60.0, -35.0], [0.0, 60.0, -22.25]])
    found = posterior.stations(rear @ laid.T, stack)
    assert found[0] == pytest.approx(40.0, abs=0.1)  # on the first plane, though 13 mm lower than its disc
    assert found[1] == pytest.approx(75.0, abs=0.1)
    assert 40.0 < found[2] < 75.0
    above, below = posterior.stations(np.array([[0.0, 0.0, 10.0], [0.0, 0.0, -80.0]]) @ laid.T, stack)
    assert above == pytest.approx(40.0 - 10.0 * np.cos(np.radians(12.0)))
    assert below == pytest.approx(110.0 + 10.0 * np.cos(np.radians(12.0)))


def test_two_bones_whose_cortices_touch_are_parted_there():
    hu = np.full((24, 24, 61), -50, dtype=np.int16)
    for low, high in ((4, 42), (42, 57)):  # the first one's seed lies far from the joint, the second one's near
        hu[4:20, 4:20, low:high] = 620
        hu[6:18, 6:18, low + 2 : high - 2] = 180
    solid = hu > 100
    label = np.zeros(hu.shape, dtype=np.uint16)
    label[10:14, 10:14, 8:10], label[10:14, 10:14, 46:48] = 1, 2
    cost = posterior.price(hu, solid, 1.0)
    distance = np.where(label > 0, 0, np.iinfo(np.int32).max).astype(np.int32)
    grown(label, cost, distance, posterior.FAR)
    inner = (slice(6, 18), slice(6, 18))
    assert (label[(*inner, slice(8, 40))] == 1).mean() > 0.99
    assert (label[(*inner, slice(44, 55))] == 2).all()


@pytest.mark.parametrize(("marrow", "noise"), [(190.0, 20.0), (60.0, 20.0), (60.0, 55.0)])
def test_the_canals_front_wall_is_found_in_thin_and_noisy_bone(marrow, noise):
    true = 8.0 + 2.0 * np.sin(np.arange(160) / 30.0)
    deep = np.arange(-FRONT, BACK + 1.0)
    depth = -deep[None] - true[:, None]  # into the body
    section = np.where(depth > 0, marrow, 20.0) + 180.0 * np.exp(-0.5 * ((depth - 0.4) / 0.9) ** 2)
    copy = np.repeat(section[:, None].astype(np.float32), 2 * HALF + 1, axis=1)
    copy += np.random.default_rng(4).normal(0, noise, copy.shape).astype(np.float32)
    for one in (copy, copy[:, ::-1]):
        off = front_wall(one) - true
        assert -1.1 < np.median(off) < 0  # blur moves the steepest slope of a shell outwards, everywhere alike
        assert np.percentile(np.abs(off - np.median(off)), 95) < 0.7
