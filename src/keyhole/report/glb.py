"""Surfaces as binary glTF 2.0.

Axes: x is the patient's left, y is up (cranial), z is anterior: glTF's own y-up, facing the viewer. Positions are mm in
patient space with the scan's origin; the node's scale of 0.001 makes them the metres that glTF expects.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled

GLTF_FROM_LPS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""(left, posterior, superior) to (left, superior, anterior); a rotation."""

_FLOAT, _UINT = 5126, 5125
_ARRAY, _ELEMENT = 34962, 34963


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A closed surface: `points` (n, 3) patient LPS mm, `faces` (m, 3) indices, counter-clockwise from outside."""

    key: str
    points: NDArray[np.float32]
    faces: NDArray[np.uint32]


def normals(points: Points, faces: NDArray[np.uint32]) -> NDArray[np.float32]:
    """(n, 3) unit normals at the vertices, the mean of the faces around weighted by area."""
    summed = np.zeros(points.shape, dtype=np.float64)
    _add_across(points, faces, summed)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    upright = np.where(length > 0, summed / np.where(length > 0, length, 1.0), (0.0, 0.0, 1.0))
    return upright.astype(np.float32)


@compiled()
def _add_across(points: Points, faces: NDArray[np.uint32], summed: Points) -> None:
    """Add to the three vertices of each face the vector across it, as long as twice its area."""
    for corner in range(3):
        for n in range(len(faces)):
            a, b, c = points[faces[n, 0]], points[faces[n, 1]], points[faces[n, 2]]
            ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
            vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
            at = faces[n, corner]
            summed[at, 0] += uy * vz - uz * vy
            summed[at, 1] += uz * vx - ux * vz
            summed[at, 2] += ux * vy - uy * vx


def glb(surface: Surface, colour: str, opacity: float = 1.0) -> bytes:
    """`surface` as the bytes of a .glb file, with its name, normals and `colour` ("#rrggbb")."""
    points = (surface.points.astype(np.float64) @ GLTF_FROM_LPS.T).astype(np.float32)
    faces = surface.faces.astype(np.uint32)
    chunks = [points.tobytes(), normals(points.astype(np.float64), faces).tobytes(), faces.tobytes()]
    document = _document(surface.key, points, faces, chunks, _material(colour, opacity))
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(chunks)
    head = struct.pack("<III", 0x46546C67, 2, 12 + 8 + len(text) + 8 + len(binary))
    return (
        head + struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    )


def linear_rgb(colour: str) -> tuple[float, float, float]:
    """The linear components that glTF wants, of an sRGB "#rrggbb"."""
    red, green, blue = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return _linear(red), _linear(green), _linear(blue)


def _linear(component: float) -> float:
    return round(component / 12.92 if component <= 0.04045 else ((component + 0.055) / 1.055) ** 2.4, 5)


def _material(colour: str, opacity: float) -> dict[str, object]:
    surface = {"baseColorFactor": [*linear_rgb(colour), opacity], "metallicFactor": 0.0, "roughnessFactor": 0.8}
    return {"pbrMetallicRoughness": surface, "alphaMode": "OPAQUE" if opacity >= 1 else "BLEND", "doubleSided": True}


def _document(
    key: str,
    points: NDArray[np.float32],
    faces: NDArray[np.uint32],
    chunks: list[bytes],
    material: dict[str, object],
) -> dict[str, object]:
    offsets = np.cumsum([0, *(len(chunk) for chunk in chunks)]).tolist()
    targets = (_ARRAY, _ARRAY, _ELEMENT)
    return {
        "asset": {"version": "2.0", "generator": "Keyhole", "copyright": "Research use only"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": key, "mesh": 0, "scale": [0.001, 0.001, 0.001]}],
        "meshes": [
            {
                "name": key,
                "primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1}, "indices": 2, "material": 0}],
            }
        ],
        "materials": [material],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": len(points),
                "type": "VEC3",
                "min": points.min(axis=0).astype(float).tolist(),
                "max": points.max(axis=0).astype(float).tolist(),
            },
            {"bufferView": 1, "componentType": _FLOAT, "count": len(points), "type": "VEC3"},
            {"bufferView": 2, "componentType": _UINT, "count": int(faces.size), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": offsets[n], "byteLength": len(chunk), "target": targets[n]}
            for n, chunk in enumerate(chunks)
        ],
        "buffers": [{"byteLength": offsets[-1]}],
    }
