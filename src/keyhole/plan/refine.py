"""A corridor moved off the search's grid to where it is clearer, and nowhere worse.

A compass search: dock along the axes of the level's frame, direction by azimuth and tilt, from half the grid's step
down to `FINEST`. What is sought is the wider least gap of tube and instrument; docking place, envelope, skin, reach,
the tube's length and its gaps to nerves, vessels and organs bound every step. Of the steps the last is kept of which
the exact figures say that nothing got worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.geometry import Points
from keyhole.geometry._kernels import serial
from keyhole.plan.approaches import Approach
from keyhole.plan.candidate import Figures, figures, tubes
from keyhole.plan.clearance import Surfaces, clearances
from keyhole.plan.corridor import sweep
from keyhole.plan.doubt import ExecutionError
from keyhole.plan.search import LONGEST, Found, Space, aimed, surroundings
from keyhole.plan.setting import Setting
from keyhole.plan.site import DANGER, Mask, Site, hard_keys
from keyhole.plan.targets import Targets, footprint
from keyhole.terms import Tissue, tissue

FIRST, FINEST = 1.0, 0.1
"""Steps of the compass search, mm and degrees: half the grid's, down to what no hand can follow [keyhole-choice]."""

GAIN = 0.01
"""A step must widen the gap by this much, mm: rounding must not decide."""

CLOSE = 8.0
"""Nerves, vessels and organs farther from the tube than this do not bound its way, mm [keyhole-choice]."""

TRIED = 4
"""Steps, from the last back, whose figures are worked out exactly."""

TURNS = 60
"""No corridor takes more steps."""

COMPASS = np.concatenate([np.eye(5), -np.eye(5)])
"""Lateral, posterior, up (mm), azimuth and tilt (degrees), there and back."""


@dataclass(frozen=True, slots=True, eq=False)
class Nook:
    """Where one approach may move its tubes: the room of its search, its docking place, and what it must not near."""

    room: Space
    docking: Mask
    approach: Approach
    danger: Surfaces


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A tube on its way: `at` (5,) dock mm and angles degrees in the level's frame, and what is known of it."""

    at: Points
    entry: Points
    target: Points
    gap: float
    instrument_gap: float
    reach: float
    length: float
    tier: int

    @property
    def width(self) -> float:
        """The lesser gap of tube and instrument, mm."""
        return min(self.gap, self.instrument_gap)


def nook(site: Site, found: Found, walls: Surfaces) -> Nook:
    """The room in which the corridors of `found` may be moved; `walls` are the surfaces of what they may not touch."""
    core, empty = site.core, np.empty((0, 3))
    room = Space(surroundings(site, found.approach), empty, empty, empty, *found.fields)
    docking, _ = footprint(core, found.approach)
    danger = walls.only(k for k in walls.keys if tissue(k) in DANGER)
    return Nook(room, docking & ~core.mask(*hard_keys(site, found.approach)), found.approach, danger)


def angles(local: Points) -> Points:
    """Azimuth and tilt (..., 2), degrees, of directions `local` (..., 3) in the level's frame."""
    azimuth = np.arctan2(local[..., 0], local[..., 1])
    return np.asarray(np.rad2deg(np.stack([azimuth, np.arcsin(np.clip(local[..., 2], -1, 1))], axis=-1)))


def ways(at: Points) -> Points:
    """Unit vectors (n, 3) in the level's frame of azimuth and tilt `at` (n, 2), degrees."""
    a, e = np.deg2rad(at).T
    return np.stack([np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)], axis=1)


def is_docked(place: Nook, local: Points) -> Mask:
    """Which of `local` (n, 3), mm in the level's frame, lie in the docking place."""
    frame, grid = place.room.site.frame, place.room.instrument.grid
    nearest = np.rint(grid.index(frame.patient(local))).astype(np.int64)
    inside = np.asarray(((nearest >= 0) & (nearest < place.docking.shape)).all(axis=1))
    inside[inside] = place.docking[tuple(nearest[inside].T)]
    return inside


def _allowed(place: Nook, at: Points) -> Mask:
    """Which of `at` (n, 5) lie in the docking place and the envelope."""
    inside = is_docked(place, at[:, :3])
    bounds = np.array([place.approach.azimuth, place.approach.tilt])
    return np.asarray(inside & ((at[:, 3:] >= bounds[:, 0] - 1e-6) & (at[:, 3:] <= bounds[:, 1] + 1e-6)).all(axis=1))


def _swept(place: Nook, at: Points, radius: float) -> tuple[Points, Points]:
    """Gap (-inf where not clear) and length, mm, of the tubes at `at` (n, 5)."""
    room, approach = place.room, place.approach
    local = ways(at[:, 3:])
    docks = room.site.frame.patient(at[:, :3])
    gap, length, _ = sweep(
        room.tube,
        room.site.body,
        docks,
        room.site.frame.turn(local),
        (radius,),
        lateral=(at[:, 0].copy(), local[:, 0].copy()),
        entry=approach.entry_lateral,
        longest=LONGEST,
    )
    own = np.arange(len(at))
    return gap[own, own, 0].astype(np.float64), length[own, own].astype(np.float64)


def _looked(place: Nook, targets: Targets, at: Points, radius: float, swept: tuple[float, float]) -> Spot | None:
    """The tube at `at` (5,) with gap and length `swept`, aimed anew; None where it reaches nothing."""
    frame = place.room.site.frame
    dock, out = frame.patient(at[None, :3]), frame.turn(ways(at[None, 3:]))
    here = replace(place.room, docks=dock, out=out)
    which = place.approach.radii.index(radius)
    seen = aimed(place.approach, targets, here, np.array([[0, 0, which]], dtype=np.int32))
    if not seen.reached[0]:
        return None
    gap, length = swept
    return Spot(
        at, dock[0] + length * out[0], seen.target[0], gap, float(seen.gap[0]), float(seen.share[0]), length,
        int(seen.tier[0]),
    )  # fmt: skip


def _near(place: Nook, entry: Points, dock: Points, radius: float) -> dict[str, float]:
    """Gaps to nerves, vessels and organs within `CLOSE` mm of the tube."""
    tube, _ = tubes(entry, dock, dock, radius, radius)
    return {key: gap for key, (gap, _) in clearances(place.danger, tube, within=CLOSE).items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """The corridor that is moved: what no step may give up."""

    spot: Spot
    near: dict[str, float]
    radius: float

    def keeps(self, place: Nook, spot: Spot) -> bool:
        """Whether `spot` reaches as much, and comes no nearer to what must not be touched."""
        if spot.tier > self.spot.tier or spot.reach < self.spot.reach - 1e-6:
            return False
        near = _near(place, spot.entry, place.room.site.frame.patient(spot.at[:3]), self.radius)
        return all(gap >= self.near.get(key, CLOSE) - 1e-6 for key, gap in near.items())


def _step(place: Nook, targets: Targets, now: Spot, start: _Start, size: float) -> Spot | None:
    """The widest neighbour of `now`, `size` away, that gives up nothing of `start`; None if there is none."""
    trial = now.at + size * COMPASS
    trial = trial[_allowed(place, trial)]
    if not len(trial):
        return None
    gap, length = _swept(place, trial, start.radius)
    best = now
    for n in np.flatnonzero(length <= start.spot.length + 1e-3):
        if not gap[n] > best.width + GAIN:
            continue
        spot = _looked(place, targets, trial[n], start.radius, (float(gap[n]), float(length[n])))
        if spot is not None and spot.width > best.width + GAIN and start.keeps(place, spot):
            best = spot
    return None if best is now else best


def climb(place: Nook, found: Found, at: int, targets: Targets) -> list[Spot]:
    """The steps of the compass search from corridor `at` of `found`, ever wider; empty if it cannot be widened."""
    frame, radius = place.room.site.frame, float(found.radius[at])
    out = found.entry[at] - found.dock[at]
    length = float(np.linalg.norm(out))
    local = np.concatenate([frame.local(found.dock[at]), angles((out / length) @ frame.axes.T)])
    gaps = float(found.gap[at]), float(found.instrument_gap[at])
    now = Spot(local, found.entry[at], found.target[at], *gaps, float(found.reach[at]), length, int(found.tier[at]))
    start = _Start(now, _near(place, found.entry[at], found.dock[at], radius), radius)
    taken: list[Spot] = []
    size = FIRST
    while size >= FINEST and len(taken) < TURNS:
        further = _step(place, targets, now, start, size)
        if further is None:
            size /= 2
            continue
        now = further
        taken.append(now)
    return taken


def moved(found: Found, at: int, spot: Spot, site: Site) -> Found:
    """`found` with corridor `at` alone, at `spot`; what only the whole search knows of it is nan."""
    unknown = np.full(1, np.nan)
    return replace(
        found,
        entry=spot.entry[None],
        dock=site.frame.patient(spot.at[None, :3]),
        target=spot.target[None],
        radius=found.radius[at : at + 1],
        gap=np.array([spot.gap]),
        instrument_gap=np.array([spot.instrument_gap]),
        danger=unknown,
        reach=np.array([spot.reach]),
        volume=unknown,
        bone=unknown,
        facet=unknown,
        tier=np.array([spot.tier], dtype=np.int32),
    )


def no_worse(new: Figures, old: Figures) -> bool:
    """Whether `new` keeps every aim of `old`: clearance, breach, tissue, facet, reach; and widens its clearance."""
    bone = [sum(v for k, v in f.volumes.items() if tissue(k) is Tissue.BONE) for f in (new, old)]
    return (
        new.tier <= old.tier
        and new.reach >= old.reach - 1e-6
        and new.least > old.least + GAIN
        and new.danger <= old.danger + 1e-9
        and new.total <= old.total + 0.005
        and new.facet_share <= old.facet_share + 0.05
        and bone[0] <= max(bone[1], new.approach.max_bone) + 1e-9
    )


def refined(
    site: Site,
    found: Found,
    at: int,
    old: Figures,
    *,
    walls: Surfaces,
    error: ExecutionError,
    targets: Targets,
    place: Nook | None = None,
) -> Figures:
    """`old`, the exact figures of corridor `at` of `found`, or those of a clearer corridor below the grid's step.

    What is returned has no smaller clearance, no larger breach probability, tissue volume or facet share, and no
    smaller reach than `old`, and the same docking place and envelope.

    Parameters
    ----------
    place : `nook(site, found, walls)`, where several corridors of one approach are refined.
    """
    place = place or nook(site, found, walls)
    with serial():
        for spot in climb(place, found, at, targets)[: -TRIED - 1 : -1]:
            new = figures(site, moved(found, at, spot, site), 0, walls, error, targets)
            if no_worse(new, old):
                return new
    return old


def improved(setting: Setting, found: Found, chosen: Sequence[Figures]) -> list[Figures]:
    """`chosen` corridors of `found`, refined below the grid; pairs of portals stay as they are."""
    if found.approach.kind != "tube" or not chosen:
        return list(chosen)
    site, walls = setting.site, setting.walls.only(hard_keys(setting.site, found.approach))
    place = nook(site, found, walls)
    better = []
    for one in chosen:
        same = (found.entry == one.entry).all(axis=1) & (found.dock == one.dock).all(axis=1)
        at = int(np.argmax(same & (found.radius == one.radius)))
        better.append(
            refined(site, found, at, one, walls=walls, error=setting.error, targets=setting.targets, place=place)
        )
    return better
