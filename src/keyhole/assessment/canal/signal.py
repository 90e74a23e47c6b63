"""How bright the cerebrospinal fluid is on T2 where the sac is narrowest, against the pedicles above and below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from keyhole.assessment.canal.profile import COARSE, Profile
from keyhole.assessment.canal.section import CanalPlane, Section
from keyhole.assessment.model import Measurement, Shape
from keyhole.geometry import Points, Volume

BRIGHT = 90.0
"""Percentile of a section's signal that stands for its fluid [spinereports]."""

NAME = "CSF signal ratio"

_ACROSS = 5.0  # percentiles to both sides that give the density about BRIGHT
RATIO_SD = 0.005
"""Sd of the ratio besides voxels and edges: where the sections lie, and that noise raises a percentile unevenly;
from phantoms with noise, benchmarks/accuracy.py [keyhole-choice]."""

_LEAST = 20  # pixels of a section that must hold a value


@dataclass(frozen=True, slots=True)
class Bright:
    """The fluid's signal in a section and its sd, in the image's own units."""

    value: float
    sd: float


def csf_signal_ratio(level: str, image: Volume, found: Profile) -> Measurement | None:
    """Signal of the fluid in the narrowest section of the sac over the mean of those at the pedicles, on T2.

    The fluid of a section is the 90th percentile of the signal inside the sac; where the fluid is pressed out, the
    roots remain, which are darker. Neighbours near by cancel the coil's shading. None where the image does not show
    the three sections.

    References
    ----------
    [spinereports] the signal per slice; there over that of all fluid, here over the neighbours.
    """
    n = int(found.area.argmin())
    every = [_bright(image, found.planes[m], found.sections[m]) for m in (n, 0, -1)]
    held = [one for one in every if one is not None]
    if len(held) < 3:
        return None
    least, above, below = held
    mean = (above.value + below.value) / 2
    if not mean > 0:
        return None
    sd = float(np.hypot(np.hypot(least.sd, least.value / mean * np.hypot(above.sd, below.sd) / 2) / mean, RATIO_SD))
    outline = found.planes[n].points(found.sections[n].outline)
    method = "T2 signal, 90th percentile within the sac, of its narrowest section over the mean at the pedicles"
    value = float(least.value / mean)
    return Measurement(NAME, level, value, sd, "1", "spinereports", method, shapes=(Shape(outline, is_closed=True),))


def _bright(image: Volume, at: CanalPlane, cut: Section) -> Bright | None:
    """The fluid of one section; the sd is that of a percentile of the voxels, and of an edge moved by a pixel."""
    flat = np.stack(np.meshgrid(cut.ticks, cut.ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    values = _sampled(image, at.points(flat)).reshape(cut.share.shape)
    inside = cut.main >= 0.5
    held = values[inside & np.isfinite(values)]
    if len(held) < max(_LEAST, 0.9 * np.count_nonzero(inside)):
        return None
    low, middle, high = np.percentile(held, [BRIGHT - _ACROSS, BRIGHT, BRIGHT + _ACROSS])
    voxels = max(1.0, cut.area * _depth(image, at) / image.grid.voxel_volume)
    chance = BRIGHT / 100 * (1 - BRIGHT / 100)
    sampling = float(np.sqrt(chance / voxels) * (high - low) / (2 * _ACROSS / 100))
    edges = [values[ndimage.binary_dilation(inside)], values[ndimage.binary_erosion(inside)]]
    around = [float(np.nanpercentile(one, BRIGHT)) for one in edges if np.isfinite(one).any()]
    edge = float(np.ptp(around)) / 2 / COARSE if len(around) == 2 else 0.0
    return Bright(float(middle), float(np.hypot(sampling, edge / 2)))


def _depth(image: Volume, at: CanalPlane) -> float:
    """How far one layer of voxels reaches along the plane's normal, mm."""
    along = image.grid.index(at.plane.point + at.plane.normal) - image.grid.index(at.plane.point)
    return float(1.0 / np.linalg.norm(along))


def _sampled(image: Volume, points: Points) -> Points:
    """The image at `points` (n, 3), LPS mm, between its voxels; nan outside it."""
    index = image.grid.index(points)
    held = image.grid.contains(points)
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, image.array.shape)
    if not ((high > low).all() and held.any()):
        return np.full(len(points), np.nan)
    crop = image.array[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))].astype(np.float64)
    found = ndimage.map_coordinates(crop, (index - low).T, order=1, mode="nearest")
    return np.where(held, found, np.nan)
