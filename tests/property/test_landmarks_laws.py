"""Frames and endplates: unbiased below the voxel, and they move, turn and mirror with the patient."""

import itertools
from functools import cache

import numpy as np
import pytest
from analytic_spine import anatomy, moved, stack, voxelise
from scipy.spatial.transform import Rotation

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.errors import NotInScan
from keyhole.geometry import LabelMap, affine

SMALL = stack(names=("L4", "L5", "S1"), angles=(10.0, 14.0), slips=(3.0, -1.0))
POSES = range(5)


@cache
def posed(seed):
    spine = moved(SMALL, seed)
    labels = voxelise(spine)
    return spine, labels, vertebrae(labels)


def endplates(seed):
    spine, _, found = posed(seed)
    for body in spine.bodies:
        for sense in (1, -1):
            plate = found[body.name].superior if sense > 0 else found[body.name].inferior
            if plate is not None:
                yield spine, body, sense, plate


@pytest.mark.slow
def test_endplate_planes_are_unbiased_below_the_voxel():
    heights, tilts = [], []
    for seed in POSES:
        for spine, body, sense, plate in endplates(seed):
            point, normal = body.plane(sense)
            normal = spine.turned(normal)
            back = np.cross(normal, spine.turned(body.rows[0]))
            heights.append((plate.plane.point - spine.posed(point)) @ normal * sense)
            tilts.append(np.degrees(np.arctan2(plate.plane.normal @ back, plate.plane.normal @ normal)))
    assert len(heights) == 5 * len(POSES)
    assert abs(np.mean(heights)) < 0.05
    assert np.abs(heights).max() < 0.2
    assert abs(np.mean(tilts)) < 0.1
    assert np.abs(tilts).max() < 0.8


@pytest.mark.slow
def test_corners_lie_on_the_plane_where_the_wall_meets_it():
    off = []
    for seed in POSES:
        for spine, body, sense, plate in endplates(seed):
            for back, corner in ((1, plate.posterior), (-1, plate.anterior)):
                assert abs(plate.plane.height(corner)) < 1e-9
                off.append(np.linalg.norm(corner - spine.posed(body.corner(sense, back))))
            assert abs(plate.width - 48.0) < 1.0
    assert np.mean(off) < 0.35
    assert np.max(off) < 0.9


@pytest.mark.parametrize("seed", POSES)
def test_the_frame_is_that_of_the_body(seed):
    spine, _, found = posed(seed)
    for body in spine.bodies:
        one = found[body.name]
        assert one.complete
        left, posterior, up = spine.turned(body.rows)
        assert one.left @ left > np.cos(np.radians(2))
        assert one.posterior @ posterior > np.cos(np.radians(3))
        assert one.up @ up > np.cos(np.radians(3))  # S1 leans by half its wedge, having one endplate
    assert found["S1"].inferior is None


def test_the_frames_mirror_with_the_patient():
    spine = moved(SMALL, 1)
    plain, turned_over = vertebrae(voxelise(spine)), vertebrae(voxelise(spine, mirror=True))
    flip = np.array([-1.0, 1.0, 1.0])
    for name, one in plain.items():
        other = turned_over[name]
        assert np.allclose(other.centre, one.centre * flip, atol=1e-6)
        assert np.allclose(other.up, one.up * flip, atol=1e-3)
        assert np.allclose(other.posterior, one.posterior * flip, atol=1e-3)
        assert np.allclose(other.left, -one.left * flip, atol=1e-3)  # left stays the patient's left


def test_the_order_and_sense_of_the_array_axes_mean_nothing():
    _, labels, found = posed(2)
    matrix = labels.patient_from_index.matrix
    flipped = matrix @ np.array([[0, -1, 0, labels.array.shape[0] - 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    array = np.ascontiguousarray(np.transpose(labels.array, (1, 0, 2))[:, ::-1])
    again = vertebrae(LabelMap(array, affine(flipped), labels.structures))
    for name, one in found.items():
        assert np.allclose(again[name].up, one.up, atol=5e-3)
        assert np.allclose(again[name].superior.centre, one.superior.centre, atol=0.15)


def test_an_oblique_anisotropic_label_map_gives_the_same_frames():
    axes = Rotation.from_rotvec([0.3, -0.2, 0.4]).as_matrix()
    spine = moved(SMALL, 3)
    found = vertebrae(voxelise(spine, (0.8, 1.0, 2.0), axes=axes))
    for body in spine.bodies:
        point, normal = body.plane(1)
        plane = found[body.name].superior.plane
        assert abs((plane.point - spine.posed(point)) @ spine.turned(normal)) < 0.35
        assert plane.normal @ spine.turned(normal) > np.cos(np.radians(2))


def test_without_arch_and_canal_the_front_is_told_by_lordosis_and_said_so():
    spine = stack(names=("L2", "L3", "L4", "L5"), angles=(14.0, 14.0, 14.0), slips=(0.0, 0.0, 0.0))
    labels = voxelise(moved(spine, 4))
    bodies = {n: key for n, key in labels.structures.items() if key.endswith("/body")}
    array = np.where(np.isin(labels.array, list(bodies)), labels.array, 0)
    whole, alone = vertebrae(labels), vertebrae(LabelMap(array, labels.patient_from_index, bodies))
    for name, one in alone.items():
        assert one.posterior @ whole[name].posterior > np.cos(np.radians(8))
        assert any("lordotic" in caveat for caveat in one.caveats)


def test_a_body_cut_by_the_field_of_view_is_not_whole():
    _, labels, found = posed(0)
    up = labels.patient_from_index.matrix[2, 2] > 0
    middle = round(float(labels.grid.index(found["L4"].centre)[2]))
    side = slice(0, middle) if up else slice(middle, labels.array.shape[2])
    cut = vertebrae(labels.crop((slice(0, labels.array.shape[0]), slice(0, labels.array.shape[1]), side)))
    assert not cut["L4"].complete
    assert cut["L4"].superior is None
    assert cut["L4"].caveats
    assert cut["L5"].complete


def test_a_remnant_of_a_body_is_left_out():
    _, labels, found = posed(0)
    top = round(float(labels.grid.index(found["L4"].inferior.centre)[2]))
    kept = labels.crop((*(slice(0, n) for n in labels.array.shape[:2]), slice(0, top + 3)))
    assert "L4" not in vertebrae(kept)


def test_a_single_vertebra_takes_its_up_from_the_scan_and_says_so():
    _, labels, whole = posed(0)
    alone = {n: key for n, key in labels.structures.items() if "L5" in key or key.startswith("canal")}
    array = np.where(np.isin(labels.array, list(alone)), labels.array, 0)
    found = vertebrae(LabelMap(array, labels.patient_from_index, alone))["L5"]
    assert found.up @ whole["L5"].up > np.cos(np.radians(2))
    assert any("alone" in caveat for caveat in found.caveats)


def test_no_vertebra_gives_no_frame_and_no_line():
    empty = LabelMap(np.zeros((5, 5, 5), np.uint8), affine(np.eye(4)), {1: "disc/L4-L5"})
    assert vertebrae(empty) == {}
    assert canal_line(empty, {}).shape == (0, 3)


def test_label_noise_widens_the_endplates_sd():
    _, labels, sharp = posed(0)
    blunt = anatomy(labels, sd=0.5).vertebrae
    for name, one in sharp.items():
        assert 0.3 < blunt[name].superior.sd < 0.55 > one.superior.sd
        assert blunt[name].superior.tilt_sd > one.superior.tilt_sd


def test_a_plane_along_the_slices_keeps_the_rounding_of_a_whole_voxel():
    straight = stack(names=("L4", "L5"), angles=(0.0,), slips=(0.0,), wedge=0.0, lean=0.0)
    along = vertebrae(voxelise(straight))["L4"].superior.sd
    oblique = vertebrae(voxelise(moved(straight, 1)))["L4"].superior.sd
    assert 0.2 < along < 0.35
    assert oblique < 0.1


@pytest.mark.parametrize("seed", POSES)
def test_the_canal_line_runs_along_the_middle_of_the_canal(seed):
    spine, labels, found = posed(seed)
    line = canal_line(labels, found)
    path = spine.posed(spine.path)
    gap = np.full(len(line), np.inf)
    for a, b in itertools.pairwise(path):
        share = np.clip((line - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        gap = np.minimum(gap, np.linalg.norm(line - a - share[:, None] * (b - a), axis=1))
    assert gap.max() < 1.5  # smoothed over the path's kinks
    assert np.sqrt((gap**2).mean()) < 0.7
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    assert np.allclose(steps, 1.0, atol=0.05)
    assert (line[0] - line[-1]) @ found["L4"].up > 60


def test_a_level_that_is_not_in_view_is_named():
    with pytest.raises(NotInScan, match="L3"):
        anatomy(posed(0)[1]).pair("L3/L4")
