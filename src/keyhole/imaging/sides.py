"""Left and right of a CT without labels: the liver, where it can be seen, and no guess where not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.casefile.models import QualityItem
from keyhole.geometry import Points, Volume
from keyhole.imaging.body import Body
from keyhole.imaging.sampling import steps_of, thinned

SIDES = "left and right"

SOFT = (15.0, 200.0)
"""HU of an organ, with contrast medium or without, after a light smoothing [keyhole-choice]."""

DEEP = 18.0
"""Depth, mm, inside soft tissue that hardly any organ but the liver reaches in an abdomen [keyhole-choice]."""

LEAST = 60.0
"""mL of such depth, and its least distance from the body's middle, mm, to be called the liver [keyhole-choice]."""

ASIDE = 30.0
_AHEAD = 4.0  # times as large as the next such piece


def liver_side(volume: Volume, body: Body) -> QualityItem:
    """On which side of the body, by the file's own left and right, the one deep even organ lies."""
    steps = np.array(steps_of(volume))
    coarse = ndimage.uniform_filter(np.nan_to_num(thinned(volume).astype(np.float32), nan=-1000.0), 3)
    soft = (coarse > SOFT[0]) & (coarse < SOFT[1]) & body.mask
    deep = np.asarray(ndimage.distance_transform_edt(soft, sampling=volume.grid.spacing * steps)) > DEEP
    pieces, n = ndimage.label(deep)
    unit = volume.grid.voxel_volume * float(np.prod(steps)) / 1000
    size = np.sort(np.bincount(pieces.ravel())[1:])[::-1] * unit if n else np.zeros(1)
    if size[0] < LEAST or (len(size) > 1 and size[0] < _AHEAD * size[1]):
        return _unknown("no single deep organ such as the liver is in view")
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    aside = float((_middle(volume, largest, steps) - _middle(volume, body.mask, steps))[0])
    if abs(aside) < ASIDE:
        return _unknown("the deepest organ in view lies in the middle")
    value = f"an organ like the liver {abs(aside):.0f} mm to the {'left' if aside > 0 else 'right'}"
    if aside < 0:
        return QualityItem(name=SIDES, value=value, verdict="good", consequence="as usual: nothing speaks for a mirror")
    text = "the file may be mirrored, or the patient has situs inversus: check the side before anything else"
    return QualityItem(name=SIDES, value=value, verdict="limited", consequence=text)


def _unknown(why: str) -> QualityItem:
    text = f"{why}: nothing in the image says whether the file is mirrored"
    return QualityItem(name=SIDES, value="not visible", verdict="unknown", consequence=text)


def _middle(volume: Volume, mask: NDArray[np.bool_], steps: NDArray[np.int_]) -> Points:
    return volume.grid.centres(np.argwhere(mask).mean(axis=0) * steps)
