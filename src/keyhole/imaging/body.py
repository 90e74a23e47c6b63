"""Where the patient lies in an image, coarsely, and whether the field of view holds all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Volume
from keyhole.imaging.sampling import COARSE, PADDING, long_axis, side_of, steps_of, thinned

AIR_BORDER = -300.0
"""HU above which a voxel may belong to the body [keyhole-choice]."""

OPEN = 0.02
"""Share of a face that the body may cover before it counts as cut there [keyhole-choice]."""

_TABLE = 6.0  # mm, radius of the opening that cuts the table off


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The patient on a coarse grid.

    `cut` are the sides at which the image cuts it, `unmeasured` the share of its surface beside unmeasured voxels.
    """

    mask: NDArray[np.bool_]
    cut: tuple[str, ...]
    unmeasured: float


def body_in(volume: Volume, *, is_hu: bool) -> Body:
    """The largest thing brighter than air, without the table; head and feet are never called cut."""
    coarse = thinned(volume)
    threshold = AIR_BORDER if is_hu else _mr_threshold(coarse)
    size = float(np.max(np.array(steps_of(volume)) * volume.grid.spacing))
    mask = _largest(coarse > threshold, max(1, round(_TABLE / max(size, COARSE))))
    skip = long_axis(volume)
    faces = [(axis, end) for axis in range(3) if axis != skip for end in (0, -1)]
    cut = [side_of(volume, axis, end) for axis, end in faces if float(mask.take(end, axis=axis).mean()) > OPEN]
    unseen = ~(coarse > PADDING) if is_hu else ~np.isfinite(coarse)  # nan too
    return Body(mask, tuple(sorted(set(cut))), _bordering(mask, np.asarray(unseen)))


def _mr_threshold(coarse: NDArray[np.generic]) -> float:
    values = np.asarray(coarse, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return np.inf
    low, high = np.percentile(values, (1, 95))
    return float(low + 0.1 * (high - low))


def _largest(dense: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """The largest piece of `dense` that an opening leaves, with what belongs to it."""
    opened = ndimage.binary_erosion(dense, iterations=radius, border_value=1)
    pieces, n = ndimage.label(opened)
    if not n:
        return dense
    core = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return np.asarray(ndimage.binary_dilation(core, iterations=radius + 1) & dense)


def _bordering(mask: NDArray[np.bool_], unseen: NDArray[np.bool_]) -> float:
    """Share of the surface of `mask` beside `unseen`."""
    if not unseen.any():
        return 0.0
    surface = mask & ~ndimage.binary_erosion(mask, border_value=1)
    return float((surface & ndimage.binary_dilation(unseen)).sum()) / max(int(surface.sum()), 1)
