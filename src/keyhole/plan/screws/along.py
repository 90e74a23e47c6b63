"""What lies along a screw: bone density, the facet joint above, the skin behind it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.geometry import LabelMap, Points, Volume
from keyhole.plan.screws import _axes
from keyhole.plan.screws.bone import Bone, facet_keys
from keyhole.plan.screws.model import Screw

SAMPLE = 0.5
"""Along and across the screw, mm."""

FARTHEST = 250.0
"""Skin is looked for this far behind the entry, mm."""


def density(image: Volume | None, screw: Screw) -> tuple[float, float] | None:
    """Mean and sd of the image inside the shaft, HU; None without an image or where it does not hold the whole shaft.

    Samples every `SAMPLE` mm inside the cylinder from entry to tip, trilinear.
    """
    if image is None:
        return None
    across = np.eye(3)[int(np.argmin(np.abs(screw.way)))]
    one = np.cross(screw.way, across)
    one /= np.linalg.norm(one)
    two = np.cross(screw.way, one)
    steps = np.arange(-screw.radius, screw.radius + 1e-6, SAMPLE)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    inside = u**2 + v**2 <= screw.radius**2
    disc = u[inside, None] * one + v[inside, None] * two
    along = np.arange(SAMPLE / 2, screw.length, SAMPLE)
    points = (screw.entry + along[:, None, None] * screw.way + disc).reshape(-1, 3)
    values = _values(image, points)
    return None if np.isnan(values).any() else (float(values.mean()), float(values.std()))


def _values(image: Volume, points: Points) -> Points:
    """`image` at `points`, trilinear; nan outside."""
    from scipy.ndimage import map_coordinates  # noqa: PLC0415  (heavy import)

    index = image.grid.index(points)
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - 1, 0, image.grid.shape)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 2, low, image.grid.shape)
    part = image.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]].astype(np.float64)
    if not part.size:
        return np.full(len(points), np.nan)
    return np.asarray(map_coordinates(part, (index - low).T, order=1, mode="constant", cval=np.nan))


def facet(bone: Bone, labels: LabelMap, screw: Screw) -> tuple[int | None, float]:
    """Seo's grade of the facet joint above on the screw's side, and the % of its bone inside the shaft.

    0 no impingement, 1 the head touches the joint, 2 the shaft enters it [yson2013]. The joint is what `Bone.joints`
    holds; None and nan where its parts are not labelled.
    """
    joint = bone.joints[screw.side]
    if not len(joint):
        return None, float("nan")
    axes = np.ascontiguousarray(labels.patient_from_index.matrix[:3, :3])
    shaft, body = screw.shaft, screw.body
    in_shaft = float(_axes.gaps(joint, shaft.start, shaft.stop, axes).min()) < screw.radius
    in_head = float(np.linalg.norm(joint - body.start, axis=1).min()) < body.radius
    keys = facet_keys(bone.above, screw.vertebra, screw.side)
    part = labels.crop(_around(labels, joint))
    points = part.grid.centres(np.argwhere(part.mask(*keys)))
    share = 100.0 * float((shaft.axis_distance(points) < screw.radius).mean()) if len(points) else float("nan")
    return (2 if in_shaft else 1 if in_head else 0), share


def _around(labels: LabelMap, points: Points) -> tuple[slice, slice, slice]:
    """The box of `labels` around `points` that holds the whole of a facet joint."""
    index = labels.grid.index(points)
    room = 25.0 / labels.grid.spacing
    low = np.clip(np.floor(index.min(axis=0) - room), 0, labels.array.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + room) + 1, low, labels.array.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def skin(anatomy: Anatomy, screw: Screw) -> Points | None:
    """Where the axis behind the entry leaves the body, (3,) LPS mm; None where no skin is labelled or it is not met."""
    labels = anatomy.labels
    code = labels.labels_of("tissue/skin")
    if not code:
        return None
    steps = np.arange(0.0, FARTHEST, SAMPLE)
    points = screw.entry - steps[:, None] * screw.way
    index = np.rint(labels.grid.index(points)).astype(int)
    seen: NDArray[np.bool_] = np.asarray(((index >= 0) & (index < np.array(labels.array.shape))).all(axis=1))
    found = np.zeros(len(points), dtype=labels.array.dtype)
    found[seen] = labels.array[tuple(index[seen].T)]
    last = np.flatnonzero(np.isin(found, code))
    if not len(last) or not bool(np.all(seen[: int(last[-1]) + 1])):
        return None
    return np.asarray(points[int(last[-1])])
