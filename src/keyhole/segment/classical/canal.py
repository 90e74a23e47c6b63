"""The vertebral canal of a CT: its line, and the axes of the body along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.errors import NotInScan
from keyhole.geometry import Points
from keyhole.segment.classical._kernels import best_path, canal_score

RAYS = 24
"""Rays per voxel [bare-ct-prototype]."""

REACH = 22.0
"""Length, mm, within which a ray must meet bone [bare-ct-prototype]."""

ALONG = 10.0
"""Length, mm, of the average along the body axis [bare-ct-prototype]."""

LEAST = 0.18
"""Score that a section must exceed to lengthen the canal's path [keyhole-choice]."""

FAINT = 0.8
"""Factor on that score in osteoporotic bone [keyhole-choice]."""

BEND, LEAN = 0.04, 0.12
"""Price of a step forward or back, and of a step aside, of the canal's path per squared voxel [keyhole-choice]."""

COLUMN = 40.0
"""Length, mm, along the body axis over which bone in front of the canal is averaged [keyhole-choice]."""

DENSE = 0.30
"""Mean share of bone in front of the canal, over its whole width, that counts as certain [keyhole-choice]."""

WIDTH = 0.35
"""Sd of the canal's place across the body, as a share of the body's half width [keyhole-choice]."""

GOOD, POOR = (60.0, 100.0), (45.0, 60.0)
"""HU from which, and over which, the front of the canal counts as bone: usual bone, and osteoporotic
[keyhole-choice]."""

SHORTEST = 90.0
"""Length, mm, of canal below which no lumbar spine is looked for [keyhole-choice]."""


def canal_path(
    hu: NDArray[np.int16], bone: NDArray[np.bool_], body: NDArray[np.bool_], step: float, *, is_poor: bool = False
) -> Points:
    """(n, 3) voxel indices along the canal, from the feet up, on a coarse grid near L, P, S with voxels of `step` mm.

    May be short or empty: `check_length` judges. With `is_poor` bone may be as thin as soft tissue.
    """
    turn = np.arange(RAYS) * 2 * np.pi / RAYS
    order = np.argsort(np.arange(RAYS) % 4 * RAYS + np.arange(RAYS), kind="stable")
    rays = np.stack([np.cos(turn), np.sin(turn)], axis=1)[order]
    across = rays * (-1, 1)
    mirror = ((rays[None] - across[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    score = canal_score(hu, bone, _front(hu, step, POOR if is_poor else GOOD), step, rays, mirror, REACH)
    score *= _central(body) * _watery(hu)
    size = max(1, round(ALONG / step))
    ndimage.uniform_filter1d(score, size, axis=2, output=score, mode="nearest")
    path = best_path(score, LEAST * (FAINT if is_poor else 1.0), BEND, LEAN)
    return path[np.argsort(path[:, 2], kind="stable")].astype(np.float64)


def check_length(path: Points, step: float) -> None:
    """Refuse a canal shorter than `SHORTEST` mm."""
    length = len(path) * step
    if not length >= SHORTEST:
        raise NotInScan(
            f"no lumbar spine was found: {length:.0f} mm of a vertebral canal are in view, "
            f"at least {SHORTEST:.0f} mm are needed"
        )


def _front(hu: NDArray[np.int16], step: float, density: tuple[float, float]) -> NDArray[np.float32]:
    """How sure a vertebral body lies 8 to 34 mm in front of each voxel, 0 to 1: dense over its whole width."""
    dense = np.clip((hu.astype(np.float32) - density[0]) / density[1], 0.0, 1.0)
    ndimage.uniform_filter1d(dense, max(1, round(COLUMN / step)), axis=2, output=dense, mode="nearest")
    ndimage.uniform_filter1d(dense, max(1, round(5.0 / step)), axis=0, output=dense, mode="constant")
    size, middle = max(1, round(26.0 / step)), round(21.0 / step)
    ndimage.uniform_filter1d(dense, size, axis=1, output=dense, mode="constant")
    ahead = np.zeros_like(dense)
    ahead[:, middle:] = dense[:, : dense.shape[1] - middle]
    ndimage.minimum_filter1d(ahead, 2 * round(9.0 / step) + 1, axis=0, output=ahead, mode="constant")
    return np.asarray(np.clip(ahead / DENSE, 0.0, 1.0), dtype=np.float32)


def _central(body: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Weight (i, 1, k) of being far from the body's middle in each section: hips hold marrow, no canal."""
    across = body.sum(axis=1).astype(np.float64)
    place = np.arange(len(body))[:, None]
    mass = np.maximum(across.sum(axis=0), 1.0)
    middle = (place * across).sum(axis=0) / mass
    half = np.maximum(np.sqrt(((place - middle) ** 2 * across).sum(axis=0) / mass) * 1.9, 10.0)
    weight = np.exp(-0.5 * ((place - middle) / half / WIDTH) ** 2)
    return np.asarray(weight, dtype=np.float32)[:, None, :]


def _watery(hu: NDArray[np.int16]) -> NDArray[np.float32]:
    """Weight of each voxel's own density: the sac and its fat are darker than disc, and than marrow in bone."""
    near = ndimage.uniform_filter(hu.astype(np.float32), 3, mode="nearest")
    return np.asarray(np.clip((110.0 - near) / 60.0, 0.25, 1.0), dtype=np.float32)
