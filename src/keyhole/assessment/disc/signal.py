"""Signal of a disc on a T2-weighted image against that of the cerebrospinal fluid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.assessment.disc.ring import DiscFrame
from keyhole.assessment.model import Measurement, Shape
from keyhole.geometry import Grid, LabelMap, Points, Volume, bounding_box, distance_field
from keyhole.terms import in_key

INSET = 1.5
"""Mm inside the label's boundary from which signal is read: nearer, voxels hold other tissue too [keyhole-choice]."""

SLAB = 5.0
"""Half width, mm, of the midsagittal slab in which signal is read, as DSI2 reads the midsagittal slice [dsi2]."""

BRIGHT = 80.0
"""Percentile of the sac's signal that counts as that of the fluid: the roots in it are darker [keyhole-choice]."""

STRETCH = 25.0
"""Mm above and below the disc's centre in which the sac's signal is read [keyhole-choice]."""

ENOUGH = 60.0
"""Least volume, mm³, from which a signal is read [keyhole-choice]."""

ROUNDING, BLUR = 0.2, 0.03
"""Sd of the inset in voxels, and share of the ratio by which an image's blur lets neighbours in; from simulation
[keyhole-choice]."""

_GRAIN = 4.0  # mm: neighbouring voxels of a T2 image share their noise

THIN = "the disc is too thin here: less than {least:.0f} mm³ of it lie {inset:.1f} mm inside its label"
NO_FLUID = "less than {least:.0f} mm³ of the sac lie {inset:.1f} mm inside its label beside the disc"
UNSEEN = "the T2-weighted image does not show the disc and the sac beside it"


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """Points (n, 3) LPS mm inside a structure and how deep each lies, mm; the volume that one stands for, mm³."""

    points: Points
    deep: NDArray[np.float64]
    voxel: float

    def inside(self, inset: float) -> Points:
        return self.points[self.deep >= inset]


def disc_signal_ratio(
    level: str, labels: LabelMap, frame: DiscFrame, image: Volume, *, sac: str, sd: float
) -> Measurement | str:
    """Mean T2 signal of the disc's inside / signal of the cerebrospinal fluid beside it; a reason where unknown.

    After DSI2 [dsi2]: of the disc, everything at least 1.5 mm (and half a voxel of the image) inside its label and
    within 5 mm of the midsagittal plane; of the fluid, the 80th percentile of the sac's signal, likewise inset and in
    the same slab, within 25 mm of the disc. It is not a Pfirrmann grade. The sd holds the image's noise and the
    difference that an inset deeper or shallower by half of `sd` makes: errors of an outline half average out.

    Parameters
    ----------
    labels : a crop that holds the disc and the sac beside it.
    image : T2-weighted, on its own grid.
    sac : key of the sac or canal whose fluid is read.
    sd : sd of the labels' boundaries, mm.
    """
    key = f"disc/{in_key(level)}"
    disc = _region(labels, key, frame, 15.0, without=f"{key}/herniation")
    fluid = _region(labels, sac, frame, STRETCH)
    coarse = _half_voxel(image.grid, frame)
    inset = max(INSET, coarse)
    value = _ratio(disc, fluid, image, inset)
    if isinstance(value, str):
        return value
    step = float(np.hypot(sd / 2, ROUNDING * labels.grid.spacing.max()))
    others = [_ratio(disc, fluid, image, max(0.5, inset + way * step)) for way in (-1, 1)]
    moved = [abs(other - value) for other in others if not isinstance(other, str)]
    noise = _noise(image, disc.inside(inset), frame, disc.voxel) * value
    spread = float(np.sqrt(noise**2 + (BLUR * value) ** 2 + max(moved, default=0.0) ** 2))
    method = (
        f"mean T2 signal {inset:.1f} mm inside the disc's label, within {SLAB:.0f} mm of the midsagittal plane / "
        f"{BRIGHT:.0f}th percentile in {sac}"
    )
    notes = ("signal depends on the coil and the sequence: compare it within one scan; it is not a Pfirrmann grade",)
    shapes = (_outline(disc.inside(inset), frame),)
    return Measurement("disc signal ratio", level, value, spread, "1", "dsi2", method, notes, shapes=shapes)


def _region(labels: LabelMap, key: str, frame: DiscFrame, reach: float, without: str = "") -> _Region:
    """What of `key` lies in the slab and within `reach` mm of the disc's middle plane, with its depth in the label.

    The part `without` counts for the depth alone.
    """
    mask = labels.mask(key)
    box = bounding_box(mask, 2)
    if box is None:
        return _Region(np.empty((0, 3)), np.empty(0), 1.0)
    grid = labels.grid.crop(box)
    field = distance_field(mask[box], grid.patient_from_index)
    index = np.argwhere(mask[box] & ~labels.mask(without, box=box) if without else mask[box])
    points = grid.centres(index)
    local = frame.local(points)
    kept = (np.abs(local[:, 0]) <= SLAB) & (np.abs(local[:, 2]) <= reach) & (np.abs(local[:, 1]) <= 50.0)
    half = float(grid.spacing.max()) / 2  # fields are between voxel centres; the surface lies half a voxel nearer
    deep = -np.asarray(field.array[tuple(index[kept].T)], dtype=np.float64) - half
    return _Region(points[kept], deep, grid.voxel_volume)


def _half_voxel(grid: Grid, frame: DiscFrame) -> float:
    """Half the extent, mm, of the image's voxel in the midsagittal plane, where tissues change."""
    steps = np.abs(frame.axes[1:] @ grid.patient_from_index.matrix[:3, :3])
    return float(steps.max()) / 2


def _ratio(disc: _Region, fluid: _Region, image: Volume, inset: float) -> float | str:
    parts = disc.inside(inset), fluid.inside(inset)
    if not len(parts[0]) * disc.voxel >= ENOUGH:
        return THIN.format(least=ENOUGH, inset=inset)
    if not len(parts[1]) * fluid.voxel >= ENOUGH:
        return NO_FLUID.format(least=ENOUGH, inset=inset)
    if not all(image.grid.contains(points).all() for points in parts):
        return UNSEEN
    seen, bright = _values(image, parts[0]), _values(image, parts[1])
    if not (np.isfinite(seen).all() and np.isfinite(bright).all() and np.percentile(bright, BRIGHT) > 0):
        return UNSEEN
    return float(np.mean(seen) / np.percentile(bright, BRIGHT))


def _values(image: Volume, points: Points) -> NDArray[np.float64]:
    index = np.rint(image.grid.index(points)).astype(np.int64)
    i, j, k = np.clip(index, 0, np.array(image.array.shape) - 1).T
    return np.asarray(image.array[i, j, k], dtype=np.float64)


def _noise(image: Volume, points: Points, frame: DiscFrame, voxel: float) -> float:
    """Sd of the mean signal at `points` that the image's noise brings, as a share of it.

    From differences to a little beside, across the slab, along which a disc hardly changes.
    """
    aside = points + 1.5 * float(image.grid.spacing.min()) * frame.axes[0]
    seen, other = _values(image, points), _values(image, aside)
    grains = max(1.0, len(points) * voxel / _GRAIN**3)
    return float(np.std(seen - other) / np.sqrt(2.0 * grains)) / max(float(np.mean(seen)), 1e-6)


def _outline(points: Points, frame: DiscFrame) -> Shape:
    """The region's outline in the midsagittal plane."""
    local = frame.local(points)
    ticks = np.round(local[:, 1])
    rows = [(tick, local[ticks == tick, 2]) for tick in np.unique(ticks)]
    top = [(0.0, tick, heights.max()) for tick, heights in rows]
    floor = [(0.0, tick, heights.min()) for tick, heights in rows[::-1]]
    return Shape(frame.patient(np.array(top + floor)), is_closed=True)
