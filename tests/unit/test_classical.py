"""Pieces of ct-classical on small synthetic scans: grids, names, rows of discs, bodies, growing through bone."""

import numpy as np
import pytest

from keyhole.errors import ImplausibleAnatomy, InvalidInput, NotInScan
from keyhole.geometry import Volume, affine
from keyhole.segment.classical import grid, numbering, planes
from keyhole.segment.classical._kernels import grown
from keyhole.segment.classical.body import Look, body, fill
from keyhole.segment.classical.bone import hysteresis, threshold
from keyhole.segment.classical.endplates import gap
from keyhole.segment.classical.method import ct_classical
from keyhole.segment.classical.numbering import Wings, last_rib, lumbosacral, named
from keyhole.segment.classical.posterior import sharpened
from keyhole.segment.classical.scene import UNSEEN

BARE, WINGED = Wings(0.02, 0.03, 0.1, 200.0), Wings(0.45, 0.5, 1.0, 60.0)


def turned(degrees):
    """A 4x4 turn about left, then superior."""
    a, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    out = np.eye(4)
    out[:3, :3] = z @ x
    return out


# --- grids ---


def test_what_was_not_measured_is_unseen():
    array = np.full((4, 4, 4), 40.0, dtype=np.float32)
    array[0], array[1] = np.nan, np.inf
    whole = grid.whole_numbers(Volume(array, affine(np.eye(4))))
    assert whole.dtype == np.int16
    assert (whole[:2] == UNSEEN).all()
    assert (whole[2:] == 40).all()


def test_a_sagittal_scan_is_worked_on_near_left_posterior_superior():
    matrix = np.array([[0, 0, -2.0, 0], [1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])
    work = grid.working_grid(Volume(np.zeros((30, 40, 10), np.int16), affine(matrix)).grid, 1.0)
    assert work.shape == (20, 30, 40)
    assert np.allclose(work.patient_from_index.matrix[:3, :3], np.eye(3))


def test_the_working_grid_shows_the_same_points_of_an_oblique_anisotropic_scan():
    matrix = turned((12.0, -8.0)) @ np.diag([0.8, 0.8, 2.5, 1.0])
    i, j, k = np.indices((50, 40, 16))
    points = np.stack([i, j, k], -1) @ matrix[:3, :3].T
    scan = Volume(np.rint(3 * points[..., 2] + 100).astype(np.int16), affine(matrix))
    work = grid.working_grid(scan.grid, 1.0)
    values = grid.on_grid(np.asarray(scan.array), scan.grid, work)
    inner = np.argwhere(values != UNSEEN)
    inner = inner[((inner > 2) & (inner < np.array(values.shape) - 3)).all(axis=1)]
    expected = 3 * work.centres(inner)[:, 2] + 100
    assert np.abs(values[tuple(inner.T)] - expected).max() <= 1.0


def test_a_scan_larger_than_any_patient_is_refused():
    huge = Volume(np.zeros((2, 2, 2), np.int16), affine(np.diag([2000.0, 2000.0, 2000.0, 1.0])))
    with pytest.raises(InvalidInput, match="a patient is smaller"):
        grid.working_grid(huge.grid, 1.0)


def test_noise_is_measured():
    rng = np.random.default_rng(1)
    array = rng.normal(50, 25, (60, 60, 20)).astype(np.int16)
    assert 23 < grid.noise(array) < 27


# --- bone ---


def test_the_threshold_rises_with_noise_within_its_limits():
    rng = np.random.default_rng(2)
    inside = np.ones((40, 40, 40), dtype=bool)
    found = [threshold(rng.normal(50, sd, inside.shape).astype(np.int16), inside) for sd in (5, 30, 60)]
    assert found[0] == 120.0
    assert found == sorted(found)
    assert found[2] <= 170.0


def test_faint_islands_are_no_bone():
    hu = np.zeros((20, 20, 20), dtype=np.int16)
    hu[2:8, 2:8, 2:8], hu[4, 4, 4], hu[12:18, 12:18, 12:18] = 150, 400, 150
    bone = hysteresis(hu, 120.0)
    assert bone[3, 3, 3]
    assert not bone[14, 14, 14]


def test_blurred_bone_ends_at_its_share_of_the_local_density_and_keeps_its_marrow():
    from scipy import ndimage

    hu = np.zeros((30, 30, 30), dtype=np.float32)
    hu[8:22, 8:22, 8:22] = 900
    hu[11:19, 11:19, 11:19] = 200
    hu = ndimage.gaussian_filter(hu, 1.0).astype(np.int16)
    local = ndimage.maximum_filter(hu, 5)
    found = sharpened(hu, hysteresis(hu, 120.0), local, 120.0, 0.5)
    assert found[15, 15, 15]
    assert 0.85 < found.sum() / 14**3 < 1.15
    assert (hu > 120).sum() / 14**3 > 1.2


def test_growing_stops_where_two_bones_meet_at_a_slow_gap():
    cost = np.full((21, 5, 5), 2, dtype=np.uint8)
    cost[13] = 90  # the joint lies nearer to the second seed's bone
    label = np.zeros(cost.shape, dtype=np.uint16)
    label[0, 2, 2], label[20, 2, 2] = 1, 2
    distance = np.full(cost.shape, np.iinfo(np.int32).max, dtype=np.int32)
    distance[label > 0] = 0
    grown(label, cost, distance, 10**6)
    assert (label[:13] == 1).all()
    assert (label[14:] == 2).all()


# --- discs ---


def column(gaps, density=160.0, noise=0.0):
    """A straight copy of a spine with discs at stations `gaps`, pedicles just below each."""
    from keyhole.segment.classical.frame import BACK, FRONT, HALF

    out = np.full((260, 2 * HALF + 1, FRONT + BACK + 1), 20.0, dtype=np.float32)
    body_ = out[:, HALF - 20 : HALF + 21, FRONT - 42 : FRONT - 8]
    body_[:] = density
    for s in gaps:
        body_[s - 6 : s - 3], body_[s - 3 : s + 4], body_[s + 4 : s + 7] = 400.0, 85.0, 400.0
        for side in (slice(HALF + 10, HALF + 20), slice(HALF - 20, HALF - 10)):
            out[s + 6 : s + 19, side, FRONT - 12 : FRONT + 4] = 500.0
    return out + np.random.default_rng(3).normal(0, noise, out.shape).astype(np.float32) * (noise > 0)


@pytest.mark.parametrize(("density", "noise"), [(160.0, 20.0), (60.0, 20.0), (160.0, 60.0)])
def test_discs_are_found_in_healthy_osteoporotic_and_noisy_bone(density, noise):
    true = [40, 72, 105, 139, 173, 206]
    found = planes.row(planes.signals(column(true, density, noise)))
    inner = [s for s in found if 35 < s < 215]
    assert len(inner) == len(true)
    assert np.abs(np.array(inner) - true).max() <= 2


def test_a_collapsed_disc_keeps_its_place_in_the_row():
    true = [40, 72, 105, 139, 173, 206]
    scan = column(true)
    from keyhole.segment.classical.frame import FRONT, HALF

    scan[133:146, HALF - 20 : HALF + 21, FRONT - 42 : FRONT - 8] = 160.0
    found = [s for s in planes.row(planes.signals(scan)) if 35 < s < 215]
    assert len(found) == len(true)
    assert abs(found[3] - 139) <= 4


# --- names ---


def test_names_are_counted_up_from_the_sacrum():
    names, evidence = named([BARE, BARE, WINGED], True, None)
    assert names == ("L3", "L4", "L5", "S1")
    assert [e.supports for e in evidence] == [True, None]


def test_names_are_counted_down_from_the_last_ribs():
    names, evidence = named([BARE, BARE, BARE], False, 0)
    assert names == ("T12", "L1", "L2", "L3")
    assert [e.supports for e in evidence] == [None, True]


def test_sacrum_and_ribs_that_agree_both_support_the_names():
    names, evidence = named([BARE] * 5 + [WINGED], True, 0)
    assert names == ("T12", "L1", "L2", "L3", "L4", "L5", "S1")
    assert all(e.supports for e in evidence)


@pytest.mark.parametrize(("discs", "rib"), [(7, 0), (5, 0), (6, 1)])
def test_sacrum_and_ribs_that_disagree_are_refused(discs, rib):
    with pytest.raises(ImplausibleAnatomy, match="transitional"):
        named([BARE] * (discs - 1) + [WINGED], True, rib)


def test_no_evidence_is_refused_instead_of_a_guess():
    with pytest.raises(NotInScan, match="neither the sacrum's wings"):
        named([BARE] * 4, False, None)


def test_six_vertebrae_below_the_ribs_without_a_sacrum_are_refused():
    with pytest.raises(ImplausibleAnatomy, match="6 vertebrae lie below the last ribs"):
        named([BARE] * 6, False, 0)


def test_the_last_ribs_need_both_sides_and_a_ribless_neighbour():
    assert last_rib({0: (95.0, 90.0), 1: (88.0, 84.0), 2: (44.0, 47.0)}) == 1
    assert last_rib({0: (95.0, 40.0), 1: (44.0, 47.0)}) is None
    assert last_rib({0: (95.0, 90.0), 1: (70.0, 47.0)}) is None
    assert last_rib({}) is None


def test_the_first_plane_with_wings_is_the_lumbosacral_one():
    assert lumbosacral([BARE, BARE, WINGED, WINGED], is_poor=False) == 2
    assert lumbosacral([BARE, Wings(0.6, 0.1, 0.5, 90.0)], is_poor=False) is None
    assert lumbosacral([BARE, Wings(0.5, float("nan"), 0.9, 90.0)], is_poor=False) is None


def test_the_shell_of_wings_counts_in_osteoporotic_bone_only_and_only_below_the_last_disc():
    shell = Wings(0.02, 0.02, 0.5, 60.0)
    assert lumbosacral([BARE, shell], is_poor=True) == 1
    assert lumbosacral([BARE, shell], is_poor=False) is None
    assert lumbosacral([BARE, shell, BARE], is_poor=True) is None
    assert lumbosacral([BARE, Wings(0.02, 0.02, 0.5, 20.0)], is_poor=True) is None
    assert numbering.UPWARD[:3] == ("S1", "L5", "L4")


# --- bodies ---


def wedge(matrix, spacing=1.0):
    """A scan (on `matrix`) of a wedge-shaped body: an elliptic cylinder between two tilted planes 28 mm apart."""
    n = np.array([96, 84, 72])
    at = matrix @ np.array(
        [[spacing, 0, 0, -48 * spacing], [0, spacing, 0, -42 * spacing], [0, 0, spacing, -36 * spacing], [0, 0, 0, 1]]
    )
    index = np.stack(np.indices(n), -1).reshape(-1, 3)
    local = index * spacing - np.array([48, 42, 36]) * spacing
    x, y, z = local.T
    slope = np.tan(np.radians(7.0))
    edge = np.minimum.reduce([14 - z + slope * y, 14 + z + slope * y, (1 - np.hypot(x / 24, y / 17)) * 19])
    hu = np.clip(edge + 0.5, 0, 1) * 230 + 40
    shell = np.clip(1.2 - np.abs(edge - 0.6), 0, 1) * 350
    true = (edge > 0).reshape(n)
    return Volume(np.rint(hu + shell).reshape(n).astype(np.int16), affine(at)), true


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [(0.0, 0.0), (15.0, -20.0)])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_wedge_shaped_body_is_filled_wherever_it_lies(degrees, side):
    matrix = turned(degrees) @ np.diag([side, 1.0, 1.0, 1.0])
    scan, true = wedge(matrix)
    rows = turned(degrees)[:3, :3]
    left, back, up = rows[:, 0], rows[:, 1], rows[:, 2]
    slope = np.radians(7.0)
    ends = []
    for sense in (1.0, -1.0):
        normal = np.cos(slope) * up - sense * np.sin(slope) * back
        rear = np.cos(slope) * back + sense * np.sin(slope) * up
        centre = sense * 18.0 * up
        ends.append(gap(np.asarray(scan.array), scan.grid, (centre, np.stack([left, rear, normal])), 4.0, 18.0, 0.0))
    found = body(np.asarray(scan.array), scan.grid, (ends[0], ends[1]), np.array([17.0, 17.0]), Look(140.0, 0.0))
    box, mask = fill(found, scan.grid)
    whole = np.zeros(true.shape, dtype=bool)
    whole[box] = mask
    assert 2 * (whole & true).sum() / (whole.sum() + true.sum()) > 0.95


# --- refusals ---


@pytest.mark.parametrize("value", [-1000, 40])
def test_a_scan_without_a_spine_is_refused(value):
    scan = Volume(np.full((60, 60, 60), value, dtype=np.int16), affine(np.diag([3.0, 3.0, 3.0, 1.0])))
    with pytest.raises(NotInScan, match="no lumbar spine was found"):
        ct_classical(scan)
