"""How far the amounts of a plan would move if the labels' boundaries did: their sd, by shifted recounts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from keyhole.geometry import Points, Tube
from keyhole.plan.site import Mask, Site
from keyhole.terms import belongs

LEAST_VOXEL = 0.3
"""No boundary of a label is known better than this share of a voxel: rounding to voxels has an sd of 1 / sqrt(12)."""

PARTS = 3
"""Points per voxel edge in recounts: only their differences matter."""

Amounts = Mapping[str, float]


def boundary_sd(site: Site, *prefixes: str) -> float:
    """Positional sd of the boundaries of what lies at or below `prefixes`, mm: median, at least `LEAST_VOXEL`."""
    return median_sd(site, (key for key in site.labels.keys if belongs(key, *prefixes)))


def median_sd(site: Site, keys: Iterable[str]) -> float:
    """As `boundary_sd`, of the structures called `keys`."""
    known = [site.structures[key].sd for key in keys if key in site.structures]
    least = LEAST_VOXEL * float(site.labels.grid.voxel_volume ** (1 / 3))
    return max(float(np.median(known)) if known else 0.0, least)


def skin_sd(site: Site) -> float:
    """Positional sd of the skin, mm; where none is labelled, of the tissue classes whose outline stands for it."""
    return boundary_sd(site, "tissue/skin" if site.labels.labels_of("tissue/skin") else "tissue")


def recounts(ways: Points, sd: float, count: Callable[[Points], Amounts]) -> tuple[Amounts, ...]:
    """`count(way)` of mL by structure, unmoved and moved by -`sd` and +`sd` along each of `ways` (n, 3), LPS mm."""
    return tuple(count(way) for way in (np.zeros(3), *(sign * sd * way for way in ways for sign in (-1.0, 1.0))))


def spread(counted: Sequence[Amounts], amounts: Callable[[Amounts], Amounts]) -> dict[str, float]:
    """Sd of each of `amounts`, sums over mL by structure, from the `recounts` of a tube along three axes.

    A boundary that is off by `sd` along its normal changes what a tube holds as a shift of the tube along that normal
    does. So the tube is recounted moved by +-`sd` along its axis and in two directions across it. Per direction, the
    mean square of the two differences from the unmoved count; the root of their sum is the sd (a free shift of that sd
    per axis acts on a wall only along the wall's normal). Both signs are used, so a mirrored patient has the same sd.
    For a sum over structures, the larger of all boundaries off together and each structure off on its own.
    """
    base = dict.fromkeys((key for found in counted for key in amounts(found)), 0.0) | dict(amounts(counted[0]))
    together = _sd(base, [amounts(found) for found in counted[1:]])
    each = _sd({key: counted[0].get(key, 0.0) for found in counted for key in sorted(found)}, counted[1:])
    alone = dict.fromkeys(base, 0.0)
    for structure, sd in each.items():
        for key, value in amounts({structure: sd}).items():
            if key in alone:
                alone[key] += value**2
    return {key: max(together[key], float(np.sqrt(alone[key]))) for key in base}


def _sd(base: Amounts, moved: Sequence[Amounts]) -> dict[str, float]:
    return {key: float(np.sqrt(sum((m.get(key, 0.0) - value) ** 2 for m in moved) / 2)) for key, value in base.items()}


def along_and_across(site: Site, tube: Tube) -> Points:
    """(3, 3) unit vectors: along the axis of `tube`, and two ways across it that hang on the level's frame."""
    out = tube.start - tube.stop
    out /= np.linalg.norm(out)
    one = np.cross(out, site.frame.lateral)
    one /= np.linalg.norm(one)
    return np.stack([out, one, np.cross(out, one)])


def shifted(tube: Tube, way: Points) -> Tube:
    """`tube` moved by `way`, mm."""
    return Tube(tube.start + way, tube.stop + way, tube.radius)


def mask_recounts(site: Site, mask: Mask, sd: float) -> tuple[Amounts, ...]:
    """`recounts` of the structures in `mask`, moved along the level's axes; voxels are shared as boxes overlap."""
    labels = site.labels
    turn = labels.patient_from_index.inverse.turn
    room = int(np.ceil(sd / labels.grid.spacing.min())) + 1
    padded = np.pad(labels.array, room)
    at = np.ravel_multi_index(tuple((np.argwhere(mask) + room).T), padded.shape)
    steps = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    scale = labels.grid.voxel_volume / 1000

    def count(way: Points) -> Amounts:
        offset = turn(way)
        low = np.floor(offset)
        found = np.zeros(max(labels.structures, default=0) + 1)
        for corner in itertools.product((0, 1), repeat=3):
            share = float(np.prod(np.where(corner, offset - low, 1 - (offset - low))))
            if share > 0:
                near = padded.ravel()[at + int(steps @ (low + corner).astype(np.int64))]
                found += share * np.bincount(near, minlength=len(found))
        return {key: float(found[n]) * scale for n, key in labels.structures.items() if found[n]}

    return recounts(site.frame.axes, sd, count)
