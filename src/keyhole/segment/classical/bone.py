"""Body and bone of a CT by thresholds."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.segment.classical.scene import UNSEEN

SOFT = (0, 120)
"""HU between which the mode of soft tissue lies [keyhole-choice]."""

LOW = (120.0, 170.0)
"""Limits, HU, of the lower threshold of bone [bare-ct-prototype]."""

STEP = 100.0
"""How far, HU, the upper threshold lies above the lower one [bare-ct-prototype]."""

POOR = 15.0, 45.0
"""In osteoporotic bone: how much lower the threshold lies, and the step to the upper one, HU [keyhole-choice]."""

SPREAD = 3.0
"""Robust sd of soft tissue above its mode from which bone begins [bare-ct-prototype]."""

SKIN = -300
"""HU above which a voxel may belong to the body [keyhole-choice]."""


def body_mask(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """The patient on a coarse grid: the largest thing denser than air that an opening leaves in one piece, filled."""
    dense = hu > SKIN
    half = dense[::2, ::2, ::2]
    ball = ndimage.generate_binary_structure(3, 1)
    opened = ndimage.binary_opening(np.pad(half, 2, mode="edge"), ball, iterations=2)[(slice(2, -2),) * 3]
    if not opened.any():
        return dense
    core = cc3d.largest_k(opened.astype(np.uint8), k=1, connectivity=6) > 0
    core = ndimage.binary_dilation(core, ball, iterations=2)
    for k in range(core.shape[2]):
        core[:, :, k] = ndimage.binary_fill_holes(core[:, :, k])
    fine = np.repeat(np.repeat(np.repeat(core, 2, 0), 2, 1), 2, 2)[tuple(slice(0, n) for n in hu.shape)]
    return np.asarray(fine & (hu != UNSEEN))


def threshold(hu: NDArray[np.int16], body: NDArray[np.bool_]) -> float:
    """HU from which a voxel counts as bone: soft tissue's mode and spread, within `LOW`."""
    held = hu[body & (hu > -200) & (hu < 400)]
    if not len(held):
        return LOW[0]
    count = np.bincount(held.astype(np.int64) + 200, minlength=600).astype(np.float64)
    smooth = ndimage.gaussian_filter1d(count, 5.0)
    inner = smooth[SOFT[0] + 200 : SOFT[1] + 200]
    mode = SOFT[0] + int(inner.argmax())
    near = held[np.abs(held - mode) < 100]
    spread = 1.4826 * float(np.median(np.abs(near - mode)))
    return float(np.clip(mode + SPREAD * spread, *LOW))


def hysteresis(
    hu: NDArray[np.int16], low: float, allowed: NDArray[np.bool_] | None = None, step: float = STEP
) -> NDArray[np.bool_]:
    """Voxels above `low` in one piece with voxels above `low` + `step`."""
    weak = hu > low
    if allowed is not None:
        weak &= allowed
    pieces = cc3d.connected_components(weak.astype(np.uint8), connectivity=18)
    strong = np.bincount(pieces[hu > low + step].ravel(), minlength=int(pieces.max()) + 1) > 0
    strong[0] = False
    return np.asarray(strong[pieces])
