"""The exhaustive search of one approach: every dock, direction and radius of its catalogue entry."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points, Volume, distance_field
from keyhole.plan.approaches import Approach
from keyhole.plan.arrays import Engine, engine
from keyhole.plan.corridor import BLOCKED, OUTSIDE, UNSEEN, gaps
from keyhole.plan.harm.inside import bundle
from keyhole.plan.reach import aim
from keyhole.plan.site import DANGER, EPIDURAL, Site, around, hard_keys, in_front
from keyhole.plan.targets import Targets, directions, footprint, lattice
from keyhole.terms import belongs

DOCK_STEP, ANGLE_STEP = 2.0, 2.0
"""Resolution of the search: docks mm, directions degrees [keyhole-choice]."""

LONGEST = 220.0
"""No tube is longer, mm [keyhole-choice]."""

SIGHT = 20.0
"""Nerves, vessels and organs farther than this from a tube are as good as out of sight, mm [keyhole-choice]."""

LIFT = 100.0
"""Lifts the gaps of blocked instruments above 0, mm, so that the least blocked can be aimed at."""

COMPILED = engine()

MARGINS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Margins at which feasible corridors are counted, mm: a curve, not a gate."""


Swept = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]
"""Gap (dock, direction, radius), length and verdict (dock, direction) of every shaft."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The corridors of one approach that touch nothing hard, and what became of the others.

    Arrays of equal length: `entry`, `dock`, `target` (n, 3) LPS mm, `radius`, the shaft's and the instrument's `gap`,
    the shaft's gap to nerve, vessel and organ (`danger`, at most `SIGHT`), `reach` share, `volume` and `bone` mL in the
    tube, `facet` % of the more affected facet side. `tier` 1 aims at the doorway because the target itself needs
    retraction. `miss`: where tubes are clear but no instrument reaches anything, dock and target of its least blocked
    line. `is_short`: none is clear by the fields, which are bounds; these lack at most half a voxel's diagonal and may
    be clear voxel by voxel.
    """

    approach: Approach
    entry: Points
    dock: Points
    target: Points
    radius: Points
    gap: Points
    instrument_gap: Points
    danger: Points
    reach: Points
    volume: Points
    bone: Points
    facet: Points
    tier: NDArray[np.int32]
    searched: int
    feasible: tuple[int, ...]
    verdicts: dict[str, int]
    fields: tuple[Volume, Volume]
    caveats: tuple[str, ...]
    miss: tuple[Points, Points] | None = None
    missed: tuple[Points, float] | None = None  # skin entry and radius of the tube that stands at the dock of `miss`
    is_short: bool = False

    def __len__(self) -> int:
        return len(self.radius)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """What one approach is searched in: docks, directions (local and LPS), fields of tube and instrument."""

    site: Site
    docks: Points
    local: Points
    out: Points
    tube: Volume
    instrument: Volume


def space(
    site: Site, approach: Approach, steps: tuple[float, float] = (DOCK_STEP, ANGLE_STEP)
) -> tuple[Space, tuple[str, ...]]:
    """Docks, directions and fields of `approach` at the level of `site`, with caveats of its docking place."""
    core, part = site.core, surroundings(site, approach)
    mask, caveats = footprint(core, approach)
    keys = hard_keys(site, approach)
    without = tuple(k for k in keys if not belongs(k, EPIDURAL))
    local = directions(approach, steps[1])
    made = Space(
        part,
        lattice(core, mask & ~core.mask(*keys), steps[0]),
        local,
        site.frame.turn(local),
        part.field(part.mask(*keys)),
        core.field(core.mask(*without)),
    )
    return made, caveats


def surroundings(site: Site, approach: Approach) -> Site:
    """The part of `site` that the tubes of `approach` can run through."""
    rise = [np.sin(np.deg2rad(angle)) * LONGEST * 0.7 for angle in approach.tilt]
    anterior = -30.0 if approach.azimuth[1] < 45.0 else -50.0 - in_front(approach.azimuth[1])
    low = (min(-45.0, approach.entry_lateral[0] - 45.0), anterior, min(-45.0, rise[0] - 25.0))
    return site.part(low, (approach.entry_lateral[1] + 25.0, 1e3, max(45.0, rise[1] + 25.0)))


def _pairs(
    field: Volume, docks: Points, targets: Points, radius: float, judge: Engine = COMPILED
) -> NDArray[np.float32]:
    """Gap of the instrument from every dock to every target, (dock, target) mm."""
    n, m = len(docks), len(targets)
    start, stop = np.repeat(docks, m, axis=0), np.tile(targets, (n, 1))
    return judge.gaps(field, start, stop, radius, floor=-radius).reshape(n, m).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Aimed:
    """Of each shaft: whether any target is reached, its tier, share, target, and the instrument's gaps."""

    reached: NDArray[np.bool_]
    tier: NDArray[np.int32]
    share: Points
    target: Points
    gap: Points


def aimed(
    approach: Approach,
    targets: Targets,
    room: Space,
    shafts: NDArray[np.int32],
    judge: Engine = COMPILED,
    *,
    slack: float = 0.0,
) -> Aimed:
    """The target of each shaft: tissue to treat, or the doorway to it where none of the tissue can be touched.

    An instrument that lacks no more than `slack` mm is let through.
    """
    points, door, radius = targets.points, targets.doorway, approach.instrument_radius
    everything = np.concatenate([points, door])
    wide = _pairs(room.instrument, room.docks, everything, radius, judge)
    sight = wide > -radius
    n = len(points)
    free = wide + np.float32(slack)
    share, first = aim(approach, shafts, room.docks, room.out, points, (free[:, :n], sight[:, :n]))
    _, second = aim(approach, shafts, room.docks, room.out, door, (free[:, n:], sight[:, n:]))
    reached = (first >= 0) | (second >= 0)
    at = np.where(first >= 0, first, n + second)
    tier = np.where(first >= 0, 0, 1).astype(np.int32)
    dock, at = shafts[:, 0], np.where(reached, at, 0)
    none = np.zeros(len(shafts))
    if not len(everything):
        return Aimed(reached, tier, none, np.zeros((len(shafts), 3)), none)
    return Aimed(reached, tier, share.astype(np.float64), everything[at], wide[dock, at].astype(np.float64))


def search(
    site: Site,
    approach: Approach,
    targets: Targets,
    *,
    steps: tuple[float, float] = (DOCK_STEP, ANGLE_STEP),
    backend: str = "cpu",
    close: bool = False,
) -> Found:
    """Every corridor of `approach` at the level and side of `site` that touches nothing hard.

    Two segments: the tube, a capsule from the skin to its dock inside the approach's footprint, and the instrument from
    the dock to a target. The tube's gap is that to the nearest voxel box along the wall's normal; corridors that leave
    the scan or the seen body are counted as unseen, never as clear.

    Parameters
    ----------
    steps : of the lattice of docks, mm, and of the directions, degrees.
    backend : what judges the corridors, one of `arrays.BACKENDS`; the answers are the same.
    close : where none is clear, give those that are nearly so (`Found.is_short`), to be recounted exactly.
    """
    judge = engine(backend)
    room, caveats = space(site, approach, steps)
    swept = _swept(judge, approach, room)
    found, lengths, _ = swept
    shafts = np.argwhere(found >= 0).astype(np.int32)
    shot = aimed(approach, targets, room, shafts, judge)
    kept = _kept(site, approach, room, shafts[shot.reached], _only(shot), swept, caveats)
    kept = replace(kept, verdicts=kept.verdicts | {"unreached": int((~shot.reached).sum())})
    if shot.reached.any():
        return kept
    least = _miss(approach, targets, room, shafts)
    if least is not None:
        (i, j, k), target = shafts[least[0]], least[1]
        entry = room.docks[i] + float(lengths[i, j]) * room.out[j]
        kept = replace(kept, miss=(room.docks[i], target), missed=(entry, approach.radii[k]))
    return _nearly(site, approach, targets, room, judge, kept) if close else kept


def _swept(judge: Engine, approach: Approach, room: Space, floor: float | None = None) -> Swept:
    """Gap, length and verdict of every shaft; see `corridor.sweep`."""
    return judge.sweep(
        room.tube,
        room.site.body,
        room.docks,
        room.out,
        approach.radii,
        lateral=(room.site.frame.local(room.docks)[:, 0], room.local[:, 0].copy()),
        entry=approach.entry_lateral,
        longest=LONGEST,
        floor=floor,
    )


def _nearly(site: Site, approach: Approach, targets: Targets, room: Space, judge: Engine, none: Found) -> Found:
    """The shafts that lack no more than half a voxel's diagonal by the fields; `none` where there is none of them.

    Between two walls the field's interpolation is lower than the distance to either, so that its bound may refuse what
    is clear voxel by voxel.
    """
    slack = site.labels.grid.half_diagonal
    swept = _swept(judge, approach, room, 0.0)
    shafts = np.argwhere(swept[0] >= -slack).astype(np.int32)
    shot = aimed(approach, targets, room, shafts, judge, slack=slack)
    kept = _kept(site, approach, room, shafts[shot.reached], _only(shot), swept, none.caveats)
    if not len(kept):
        return none
    return replace(kept, verdicts=none.verdicts, miss=none.miss, missed=none.missed, is_short=True)


def _miss(approach: Approach, targets: Targets, room: Space, shafts: NDArray[np.int32]) -> tuple[int, Points] | None:
    """Shaft and target of the line that the instrument is least kept from; None if no target is within reach."""
    points = np.concatenate([targets.points, targets.doorway])
    if not len(shafts) or not len(points):
        return None
    wide = _pairs(room.instrument, room.docks, points, approach.instrument_radius)
    lifted = np.nan_to_num((wide + LIFT) / LIFT, nan=-1.0).astype(np.float32)
    _, at = aim(approach, shafts, room.docks, room.out, points, (lifted, np.ones(wide.shape, dtype=np.bool_)))
    if not (at >= 0).any():
        return None
    gap = np.where(at >= 0, wide[shafts[:, 0], np.maximum(at, 0)], -np.inf)
    best = int(np.argmax(np.round(gap, 3)))
    return best, points[at[best]]


def _only(shot: Aimed) -> Aimed:
    """The shafts that reach a target."""
    r = shot.reached
    return Aimed(r, shot.tier[r], shot.share[r], shot.target[r], shot.gap[r])


def _kept(
    site: Site,
    approach: Approach,
    room: Space,
    shafts: NDArray[np.int32],
    shot: Aimed,
    swept: Swept,
    caveats: tuple[str, ...],
) -> Found:
    """The shafts that also keep the approach's bounds on bone and facet, with what ranks them."""
    found, lengths, verdicts = swept
    i, j, k = shafts.T
    dock, radius = room.docks[i], np.array(approach.radii)[k]
    entry = dock + lengths[i, j][:, None].astype(np.float64) * room.out[j]
    volume, bone, facet = bundle(site, approach, entry, dock, radius)
    kept = (bone <= approach.max_bone) & (facet <= approach.max_facet)
    gap = found[i, j, k].astype(np.float64)
    counts = {
        "blocked": int((verdicts == BLOCKED).sum()),
        "unseen": int((verdicts == UNSEEN).sum()),
        "outside": int((verdicts == OUTSIDE).sum()),
        "too much bone": int((~kept).sum()),
    }
    least = [np.maximum(m - approach.instrument_allowance, 0.0) for m in MARGINS]
    feasible = tuple(int((kept & (gap >= m) & (shot.gap >= n)).sum()) for m, n in zip(MARGINS, least, strict=True))
    danger = _danger(room, entry[kept], dock[kept], radius[kept])
    return Found(
        approach, entry[kept], dock[kept], shot.target[kept], radius[kept], gap[kept], shot.gap[kept], danger,
        shot.share[kept], volume[kept], bone[kept], facet[kept], shot.tier[kept],
        int(found.size), feasible, counts, (room.tube, room.instrument), caveats,
    )  # fmt: skip


def _danger(room: Space, entry: Points, dock: Points, radius: Points) -> Points:
    """The gap of each tube to nerve, vessel or organ, at most `SIGHT` mm, in the part that the tubes run through."""
    least = np.full(len(entry), SIGHT)
    kinds = room.site.of_kind(*DANGER)
    if not len(entry) or not kinds:
        return least
    labels, reach = room.site.labels, SIGHT + float(radius.max()) + room.site.labels.grid.half_diagonal
    index, pad = labels.grid.index(np.concatenate([entry, dock])), reach / labels.grid.spacing
    near = labels.crop(around(labels, labels.grid.centres(np.concatenate([index - pad, index + pad]))))
    mask = near.mask(*kinds)
    if not mask.any():
        return least
    field = distance_field(mask, near.patient_from_index, signed=False)
    for r in np.unique(radius):
        same = radius == r
        out = entry[same] - dock[same]
        tip = dock[same] + r * out / np.linalg.norm(out, axis=1)[:, None]
        least[same] = np.minimum(gaps(field, entry[same], tip, float(r)), SIGHT)
    return least
