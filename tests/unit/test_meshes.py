"""Surfaces: where they lie, which way they face, and the files that hold them."""

import json
import struct

import numpy as np
import pytest
from report_case import STILL, Pose, anatomy
from scipy.spatial.transform import Rotation

from keyhole.geometry import LabelMap, affine
from keyhole.report.glb import GLTF_FROM_LPS, glb
from keyhole.report.meshes import drawn, parts, surface

CENTRE, RADIUS = np.array([12.0, -7.0, 30.0]), 15.0


def ball(matrix) -> LabelMap:
    """A ball of disc on the grid that `matrix` (4, 4) maps to the patient."""
    at = affine(matrix)
    shape = (48, 56, 40)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    inside = np.linalg.norm(at.apply(index) - CENTRE, axis=-1) <= RADIUS
    return LabelMap(inside.astype(np.uint8), at, {1: "disc/L4-L5"})


def grids():
    """Plain, mirrored, and oblique anisotropic grids around the ball."""
    for turn in (np.eye(3), np.diag([-1.0, 1, 1]), Rotation.from_rotvec([0.4, -0.7, 0.3]).as_matrix()):
        matrix = np.eye(4)
        matrix[:3, :3] = turn @ np.diag([1.0, 0.8, 1.2])
        matrix[:3, 3] = CENTRE - matrix[:3, :3] @ np.array([24, 28, 20])
        yield matrix


def signed_volume(points, faces) -> float:
    a, b, c = (points[faces[:, n]].astype(float) for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("matrix", list(grids()), ids=["plain", "mirrored", "oblique"])
def test_a_surface_lies_where_the_voxels_are_and_faces_outward_on_any_grid(matrix):
    labels = ball(matrix)
    made = surface("disc/L4-L5", labels, labels.array > 0, 2000)
    away = np.linalg.norm(made.points - CENTRE, axis=1)
    assert abs(away - RADIUS).max() < 1.2
    assert signed_volume(made.points - CENTRE, made.faces) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.03)


def test_every_second_voxel_gives_the_same_surface():
    labels = ball(next(grids()))
    made = surface("disc/L4-L5", labels, labels.array[::2, ::2, ::2] > 0, 2000, stride=2)
    assert abs(made.points.mean(axis=0) - CENTRE).max() < 0.6
    assert signed_volume(made.points - CENTRE, made.faces) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.06)


def test_a_structure_cut_by_the_scan_is_closed_there():
    labels = ball(next(grids()))
    half = labels.crop((slice(0, 24), slice(0, 56), slice(0, 40)))
    made = surface("disc/L4-L5", half, half.array > 0, 4000)
    assert signed_volume(made.points - CENTRE, made.faces) == pytest.approx(2 / 3 * np.pi * RADIUS**3, rel=0.08)


def test_a_single_voxel_still_has_a_surface_and_nothing_has_none():
    labels = LabelMap(np.zeros((9, 9, 9), np.uint8), affine(np.eye(4)), {1: "disc/L4-L5"})
    mask = np.zeros((9, 9, 9), bool)
    assert surface("disc/L4-L5", labels, mask, 100) is None
    mask[4, 4, 4] = True
    assert len(surface("disc/L4-L5", labels, mask, 100).faces) >= 8


def test_a_vertebra_is_one_surface_beside_its_facets():
    names = drawn(anatomy().labels)
    assert names["vertebra/L4"][0].name == "vertebra"
    assert names["vertebra/L4/facet"][0].name == "facet"
    assert not any(key.startswith("tissue/") for key in names)


def read_glb(data: bytes):
    magic, version, total = struct.unpack("<III", data[:12])
    assert (magic, version, total) == (0x46546C67, 2, len(data))
    length, kind = struct.unpack("<II", data[12:20])
    assert kind == 0x4E4F534A
    document = json.loads(data[20 : 20 + length])
    start = 20 + length
    size, kind = struct.unpack("<II", data[start : start + 8])
    assert kind == 0x004E4942
    assert size == document["buffers"][0]["byteLength"] == len(data) - start - 8
    return document, data[start + 8 :]


def test_a_glb_parses_and_its_bounds_are_those_of_the_structure():
    labels = ball(next(grids()))
    made = surface("disc/L4-L5", labels, labels.array > 0, 2000)
    document, binary = read_glb(glb(made, "#56b4e9"))
    place, _, index = document["accessors"]
    view = document["bufferViews"][0]
    points = np.frombuffer(binary, "<f4", place["count"] * 3, view["byteOffset"]).reshape(-1, 3)
    assert place["min"] == pytest.approx(points.min(axis=0), abs=1e-5)
    centre = GLTF_FROM_LPS @ CENTRE  # left, up, anterior
    assert (np.array(place["min"]) + np.array(place["max"])) / 2 == pytest.approx(centre, abs=0.5)
    faces = np.frombuffer(binary, "<u4", index["count"], document["bufferViews"][2]["byteOffset"])
    assert faces.max() == place["count"] - 1
    assert document["nodes"][0]["name"] == "disc/L4-L5"
    assert document["nodes"][0]["scale"] == [0.001] * 3


def test_the_patients_left_is_the_positive_x_of_the_file():
    left = {p.surface.key: p.surface.points[:, 0].mean() for p in parts(anatomy().labels)}
    assert left["root/L4/left"] > 10 > -10 > left["root/L4/right"]
    assert pytest.approx([1, 0, 0]) == GLTF_FROM_LPS @ [1, 0, 0]
    assert pytest.approx([0, 1, 0]) == GLTF_FROM_LPS @ [0, 0, 1]
    assert pytest.approx([0, 0, 1]) == GLTF_FROM_LPS @ [0, -1, 0]


def test_surfaces_move_with_the_patient():
    turn = Rotation.from_rotvec([0.2, 0.3, -0.4]).as_matrix()
    shift = np.array([30.0, -80, 12])
    still = {p.surface.key: p.surface.points.mean(axis=0) for p in parts(anatomy(STILL).labels)}
    moved = {p.surface.key: p.surface.points.mean(axis=0) for p in parts(anatomy(Pose(turn, shift)).labels)}
    for key in ("vertebra/L4", "disc/L4-L5", "root/L4/left"):
        assert moved[key] == pytest.approx(turn @ still[key] + shift, abs=0.3)
