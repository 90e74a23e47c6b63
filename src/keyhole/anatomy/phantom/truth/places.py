"""Where the parts of a phantom's bones lie, from its continuous surfaces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom import _field
from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.solids import Solid, box_of_rows
from keyhole.errors import InvalidInput
from keyhole.geometry import Points

GRID = 1.6  # mm between the points that probe a part


def solid_of(body: Phantom, key: str) -> tuple[Solid, int]:
    """The solid with the part `key`, and the part's number in it."""
    for solid in body.solids:
        keys = [one.key for one in solid.every]
        if key in keys:
            return solid, keys.index(key)
    raise InvalidInput(f"the phantom has no {key}")


def inside_part(body: Phantom, key: str) -> Points:
    """Points (n, 3), phantom frame, of a grid of `GRID` mm that lie in the part `key` of its solid."""
    solid, number = solid_of(body, key)
    b = box_of_rows(solid.every[number].rows)
    axes = [np.arange(b[n] + GRID / 2, b[n + 1], GRID) for n in (0, 2, 4)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return points[_is_part(body, solid, number, points)]


def _is_part(body: Phantom, solid: Solid, number: int, points: Points) -> NDArray[np.bool_]:
    rows = solid.rows()
    chosen = (np.arange(len(solid.every)) == number).astype(np.int64)
    boxes = np.array([[-1e6, 1e6, -1e6, 1e6, -1e6, 1e6]])
    found = _field.labels_at(np.ascontiguousarray(points), rows, np.array([[0, len(rows)]]), boxes, chosen, body.field)
    return np.asarray(found == 1)


def centroid(body: Phantom, key: str) -> Points:
    """Centroid (3,) of the part `key`, phantom frame."""
    return np.asarray(inside_part(body, key).mean(axis=0))
