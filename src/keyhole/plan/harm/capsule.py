"""The capsules of the facet joints, modelled: the soft cover of each joint, from the labels of its two processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.geometry import Points, Tube, bounding_box
from keyhole.plan.harm.midline import Extent
from keyhole.plan.harm.recount import boundary_sd
from keyhole.plan.site import Site, facet_keys
from keyhole.terms import SIDES, Tissue, tissue

REACH = 2.5
"""The capsule lies within this of both processes of its joint, mm, and half a voxel's edge more [keyhole-choice]."""

PARTS = 2
"""Points per voxel edge that stand for the capsule's volume."""

HARD = (Tissue.BONE, Tissue.FLAVUM, Tissue.NERVE, Tissue.DISC)


@dataclass(frozen=True, slots=True, eq=False)
class Capsule:
    """The cover of one facet joint: points (n, 3) LPS mm that share its volume evenly; none where it is not known."""

    name: str
    side: str
    points: Points
    sd: float
    caveats: tuple[str, ...]


def capsules(site: Site) -> tuple[Capsule, ...]:
    """The capsules of both facet joints of the level.

    What is neither bone, flavum nor canal and lies within `REACH` mm of both articular processes: the joint's cover
    behind and beside it and what the labels leave between them. In front the flavum stands for the capsule.
    """
    return tuple(_capsule(site, side) for side in SIDES)


def _capsule(site: Site, side: str) -> Capsule:
    name = f"facet capsule {site.frame.level} {side}"
    keys = facet_keys(site, side)
    parts = [site.mask(key) for key in keys]
    box = bounding_box(parts[0] | parts[1], int(np.ceil(REACH / site.labels.grid.spacing.min())) + 2)
    if box is None or not all(part.any() for part in parts):
        return Capsule(name, side, np.empty((0, 3)), 0.0, (f"{name}: not placed, both processes are not labelled",))
    index = np.argwhere(_near_both(site, [part[box] for part in parts], box)) + [s.start for s in box]
    steps = (np.arange(PARTS) + 0.5) / PARTS - 0.5
    shifts = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 1, 3)
    points = site.labels.grid.centres((index[None] + shifts).reshape(-1, 3))
    sd = boundary_sd(site, *keys)
    missing = () if len(points) else (f"{name}: the labels leave no room for it",)
    return Capsule(name, side, points, sd, missing or (f"{name} is modelled: what covers the joint in the labels",))


def _near_both(site: Site, parts: Sequence[np.ndarray], box: tuple[slice, ...]) -> np.ndarray:
    from keyhole.geometry import distance_field  # noqa: PLC0415  (heavy import)

    part = site.labels.crop((box[0], box[1], box[2]))
    reach = REACH + float(part.grid.spacing.mean()) / 2
    soft = [n for n, key in part.structures.items() if tissue(key) not in HARD]
    inside = np.isin(part.array, soft)
    for mask in parts:
        inside &= distance_field(mask, part.patient_from_index, signed=False).array <= reach
    return np.asarray(inside)


def share(capsule: Capsule, tubes: Sequence[Tube], extent: Extent | None, site: Site) -> float:
    """Share of the capsule inside the union of `tubes` and of what is laid open, 0 to 1."""
    gaps = _gaps(capsule, tubes, extent, site)
    return float(np.mean(gaps <= 0)) if len(gaps) else 0.0


def gap(capsule: Capsule, tubes: Sequence[Tube], extent: Extent | None, site: Site) -> float | None:
    """Least distance of the capsule from the walls of `tubes` and of what is laid open, mm, negative inside."""
    gaps = _gaps(capsule, tubes, extent, site)
    return float(gaps.min()) if len(gaps) else None


def _gaps(capsule: Capsule, tubes: Sequence[Tube], extent: Extent | None, site: Site) -> Points:
    if not len(capsule.points):
        return np.empty(0)
    gaps = [tube.gap(capsule.points) for tube in tubes]
    if extent is not None:
        gaps.append(extent.gap(site.frame.local(capsule.points)))
    return np.asarray(np.min(gaps, axis=0)) if gaps else np.empty(0)
