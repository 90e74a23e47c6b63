"""The line along the middle of the canal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.model import Vertebra
from keyhole.geometry import LabelMap, Points
from keyhole.terms import rank

STEP = 1.0
"""Distance between points of the line, mm [keyhole-choice]."""

SMOOTH = 8.0
"""Sd of the Gaussian along the line, mm: enough that flavum, disc and the step of a slip do not make it waver
[keyhole-choice]."""

_FAR = 25.0  # mm from the first guess: what lies farther is no canal
_ENOUGH = 15.0  # mm², the least cross-section whose centroid counts
_TURNS = 3


def canal_line(labels: LabelMap, vertebrae: Mapping[str, Vertebra]) -> Points:
    """Points (n, 3) along the middle of the canal, cranial to caudal, LPS mm, `STEP` apart; empty without a canal.

    Centroids of the cross-sections of canal/*, across the line itself (three turns), smoothed by `SMOOTH` mm.
    """
    cloud = _cloud(labels)
    guess = _guess(vertebrae, cloud)
    if len(cloud) == 0 or len(guess) < 2:
        return np.empty((0, 3))
    line = _even(guess)
    for _ in range(_TURNS):
        line = _even(_centred(line, cloud, labels.grid.voxel_volume))
        if len(line) < 3:
            return np.empty((0, 3))
    return line


def _cloud(labels: LabelMap) -> Points:
    """Voxel centres of the canal, (n, 3) LPS mm."""
    box = union_box(label_boxes(labels), "canal")
    if box is None:
        return np.empty((0, 3))
    crop = labels.crop(box)
    return crop.grid.centres(np.argwhere(crop.mask("canal")))


def _guess(vertebrae: Mapping[str, Vertebra], cloud: Points) -> Points:
    """A first line: the canal's centroid beside each body, extended at both ends to where the canal stops."""
    middles = []
    for name in sorted(vertebrae, key=rank):
        one = vertebrae[name]
        offset = cloud - one.centre
        beside = (np.abs(offset @ one.up) < 4) & (offset @ one.posterior > 0) & ((offset**2).sum(axis=1) < 45**2)
        if beside.sum() > 10:
            middles.append(cloud[beside].mean(axis=0))
    if len(middles) == 0:
        return np.empty((0, 3))
    first, last = (vertebrae[name] for name in (min(vertebrae, key=rank), max(vertebrae, key=rank)))
    return np.array([middles[0] + 40 * first.up, *middles, middles[-1] - 40 * last.up])


def _even(points: Points) -> Points:
    """`points` as a cubic spline, resampled every `STEP` mm."""
    if len(points) < 2:
        return points
    gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    keep = np.concatenate([[True], gaps > 1e-6])
    path = np.concatenate([[0.0], np.cumsum(gaps[gaps > 1e-6])])
    curve = CubicSpline(path, points[keep], bc_type="natural")
    return np.asarray(curve(np.arange(0.0, path[-1], STEP)))


def _centred(line: Points, cloud: Points, voxel: float) -> Points:
    """The smoothed centroids of the parts of `cloud` that are nearest to each point of `line`."""
    distance, nearest = cKDTree(line).query(cloud, distance_upper_bound=_FAR)
    near = np.isfinite(distance)
    count = np.bincount(nearest[near], minlength=len(line))[: len(line)]
    sums = np.stack([np.bincount(nearest[near], cloud[near, a], len(line))[: len(line)] for a in range(3)], axis=1)
    inner = _whole(np.flatnonzero(count * voxel >= _ENOUGH * STEP), count)
    if len(inner) < 5:
        return np.empty((0, 3))
    first, last = inner[0], inner[-1]
    places = np.arange(first, last + 1)
    middle = np.stack([np.interp(places, inner, sums[inner, a] / count[inner]) for a in range(3)], axis=1)
    return _smoothed(middle)


def _whole(kept: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """`kept` without the sections at both ends that the field of view cuts slantwise: their centroids stray."""
    kept = kept[1:-1]  # the ends gather what lies beyond them
    for _ in range(2):
        while len(kept) > 10 and not 0.85 <= count[kept[0]] / np.median(count[kept[:10]]) <= 1.3:
            kept = kept[1:]
        kept = kept[::-1]
    return kept


def _smoothed(points: Points) -> Points:
    """A Gaussian along the line, with the line continued straight beyond its ends."""
    width = min(len(points) - 1, int(3 * SMOOTH / STEP))
    before = 2 * points[0] - points[1 : width + 1][::-1]
    after = 2 * points[-1] - points[-width - 1 : -1][::-1]
    longer = np.concatenate([before, points, after])
    return np.asarray(ndimage.gaussian_filter1d(longer, SMOOTH / STEP, axis=0)[width : width + len(points)])
