"""Openings of skin and fascia: where tubes cross them, how long and how large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import LabelMap, Plane, Points, Tube
from keyhole.geometry.shapes import fit_plane
from keyhole.plan.harm.inside import sunflower
from keyhole.terms import Tissue, tissue

RAYS, STEP = 120, 0.5
"""Rays of a tube that look for a layer, and their sampling, mm."""

BEFORE = 15.0
"""How far outside the skin entry the rays begin, mm: a bulge of the skin there is not missed."""

FIRM = 2.0
"""Muscle that is at least this thick along a ray is muscle, not a speck of a threshold, mm [keyhole-choice]."""

STEEPEST = 0.5
"""Least cosine between tube and the layer's normal: flatter than 60 degrees voxel steps decide [keyhole-choice]."""

STRAY = 2.0
"""Points of a layer this near to its plane are never left out, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """The openings of one layer: summed greatest lengths, mm, united area, mm², their sd, and how many.

    Lengths and areas are nan where the layer was not found; `at` (n, 3) holds where the axes cross it.
    """

    layer: str
    length: float
    length_sd: float
    area: float
    area_sd: float
    count: int
    at: Points


def opening(labels: LabelMap, tubes: Sequence[Tube], layer: str, across: Points, sd: float) -> Opening:
    """The openings that `tubes` make in "skin" or "fascia".

    Parallel rays run down each tube from outside. Skin is where a ray enters the labelled body; fascia where it enters
    the first muscle, since no label has the fascia itself. The opening is the tube's section with the plane through
    these points: area pi r² / c and length 2 r / c, c the cosine between axis and the plane's normal. Of the second
    tube counts what lies outside the first. The sd is that of a plane tilted by the boundary's `sd` (mm) at the rim.

    Parameters
    ----------
    across : (3,) a direction that fixes how rays turn about the axis, so that a moved patient has the same rays.
    """
    found: list[tuple[float, float, float, float, Points]] = []
    for n, tube in enumerate(tubes):
        one = _one(labels, tube, layer, across, sd, tubes[:n])
        if one is not None:
            found.append(one)
    if not found:
        return Opening(layer, np.nan, np.nan, np.nan, np.nan, 0, np.empty((0, 3)))
    numbers = np.array([row[:4] for row in found])
    length, area = numbers[:, 0].sum(), numbers[:, 2].sum()
    length_sd, area_sd = np.sqrt((numbers[:, [1, 3]] ** 2).sum(axis=0))
    return Opening(
        layer, float(length), float(length_sd), float(area), float(area_sd), len(found),
        np.stack([row[4] for row in found]),
    )  # fmt: skip


def _one(
    labels: LabelMap, tube: Tube, layer: str, across: Points, sd: float, before: Sequence[Tube]
) -> tuple[float, float, float, float, Points] | None:
    out = (tube.start - tube.stop) / tube.length
    points = _crossed(labels, tube, layer, out, across)
    if len(points) < RAYS // 4:
        return None
    plane, rough = _surface(points, out)
    cosine = min(max(float(plane.normal @ out), STEEPEST), 1.0)  # parallel unit vectors may round to more than 1
    apart = np.min([np.inf * np.ones(len(points)), *(other.gap(points) for other in before)], axis=0)
    share = float((apart > 0).sum()) / RAYS
    if share <= 0:
        return None
    lean = np.arctan2(np.hypot(sd, rough), tube.radius)
    doubt = float(np.hypot(np.tan(np.arccos(cosine)) * lean, 1 / np.cos(lean) - 1))
    length, area = 2 * tube.radius / cosine, share * np.pi * tube.radius**2 / cosine
    return length, length * doubt, float(area), float(area * doubt), plane.foot(points.mean(axis=0))


def _surface(points: Points, out: Points) -> tuple[Plane, float]:
    """The plane of the most of `points` (n, 3), and how far they stray from it, mm (root mean square).

    Points off by more than `STRAY` mm and twice the median are left out three times over: beside the midline some rays
    pass the muscle and meet another one farther on.
    """
    plane = fit_plane(points, out)
    for _ in range(3):
        apart = np.abs(plane.height(points))
        near = apart <= max(STRAY, 2 * float(np.median(apart)))
        if near.all() or near.sum() < len(points) // 2:
            break
        points = points[near]
        plane = fit_plane(points, out)
    return plane, float(np.sqrt(np.mean(plane.height(points) ** 2)))


def _crossed(labels: LabelMap, tube: Tube, layer: str, out: Points, across: Points) -> Points:
    """Where the rays of `tube` enter `layer` (n, 3) LPS mm; rays that do not meet it are left out."""
    one = np.cross(out, across)
    one /= np.linalg.norm(one)
    disc = sunflower(RAYS) * tube.radius
    begin = tube.start + BEFORE * out + disc[:, :1] * np.cross(one, out) + disc[:, 1:] * one
    steps = np.arange(0.0, tube.length + BEFORE, STEP)
    ways = begin[:, None] - steps[:, None] * out
    inside = _of_layer(labels, ways, layer)
    firm = max(1, round((FIRM if layer == "fascia" else STEP) / STEP))
    lasting = inside.copy()
    for n in range(1, firm):
        lasting[:, :-n] &= inside[:, n:]
        lasting[:, -n:] = False
    hit = lasting.any(axis=1)
    return np.asarray(ways[hit, lasting[hit].argmax(axis=1)])


def _of_layer(labels: LabelMap, points: Points, layer: str) -> NDArray[np.bool_]:
    """Whether each of `points` (..., 3) lies in the body ("skin") or in muscle ("fascia")."""
    kinds = [key for key in labels.keys if layer == "skin" or tissue(key) is Tissue.MUSCLE]
    wanted = np.zeros(int(max(labels.structures, default=0)) + 1, dtype=np.bool_)
    wanted[list(labels.labels_of(*kinds))] = True
    index = np.rint(labels.grid.index(points)).astype(np.int64)
    within = ((index >= 0) & (index < labels.array.shape)).all(axis=-1)
    found = np.zeros(within.shape, dtype=np.bool_)
    found[within] = wanted[labels.array[tuple(index[within].T)]]
    return found
