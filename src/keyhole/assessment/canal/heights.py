"""The heights at which the canal is measured: planes across the spine at a disc, at its facets, at the pedicles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keyhole.anatomy.boxes import union_box
from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.geometry import Box, LabelMap, Plane, Points
from keyhole.terms import SIDES, split

BELOW_S1 = 8.0
"""Depth, mm, below S1's endplate that stands for the height of pedicles, which S1 has not [keyhole-choice]."""

Boxes = Mapping[str, Box]


def facet_plane(labels: LabelMap, boxes: Boxes, level: str, pair: tuple[Vertebra, Vertebra]) -> Plane | None:
    """The axial plane through the middle of both facet joints of `level`; None where one of their four is missing.

    The middle is the mean of the centroids of the four articular processes, the normal the mean of both `up`.
    """
    above, below = split(level)
    ends = [(above, "inferior"), (below, "superior")]
    keys = [f"vertebra/{name}/facet/{kind}/{side}" for name, kind in ends for side in SIDES]
    middle = _middle(labels, boxes, keys)
    return None if middle is None else Plane(middle, pair[0].up + pair[1].up)


def pedicle_plane(labels: LabelMap, boxes: Boxes, vertebra: Vertebra) -> Plane | None:
    """The axial plane of `vertebra` through the middle of its pedicles; None where one is missing.

    S1 has no pedicle of its own: there it is the plane `BELOW_S1` mm below its endplate.
    """
    if vertebra.name == "S1":
        return None if vertebra.superior is None else below_endplate(vertebra.superior)
    keys = [f"vertebra/{vertebra.name}/pedicle/{side}" for side in SIDES]
    middle = _middle(labels, boxes, keys)
    return None if middle is None else Plane(middle, vertebra.up)


def below_endplate(top: Endplate) -> Plane:
    """The plane `BELOW_S1` mm below an endplate."""
    return Plane(top.centre - BELOW_S1 * top.plane.normal, top.plane.normal)


def _middle(labels: LabelMap, boxes: Boxes, keys: list[str]) -> Points | None:
    """The mean of the centroids of `keys`, (3,) LPS mm; None where one has no voxel."""
    found = [centroid(labels, boxes, key) for key in keys]
    held = [one for one in found if one is not None]
    return np.asarray(np.mean(held, axis=0)) if len(held) == len(keys) else None


def centroid(labels: LabelMap, boxes: Boxes, key: str) -> Points | None:
    """Centroid of the voxels of `key`, (3,) LPS mm; None where it has none."""
    box = union_box(boxes, key)
    if box is None:
        return None
    crop = labels.crop(box)
    index = np.argwhere(crop.mask(key))
    return np.asarray(crop.grid.centres(index).mean(axis=0)) if len(index) else None
