"""Two coupled portals: for each working tube the best viewing tube beside it, both kept clear and both counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from keyhole.casefile import CandidateEntry, PortalEntry, Quantity
from keyhole.geometry import Points
from keyhole.plan.approaches import Approach
from keyhole.plan.candidate import Figures, figures, tube_alone
from keyhole.plan.corridor import gaps
from keyhole.plan.doubt import total
from keyhole.plan.search import Found, search
from keyhole.plan.setting import Setting
from keyhole.plan.site import Site, facet_shares, hard_keys

VIEW_STEPS = (2.5, 3.0)
"""Steps of the search for viewing tubes, mm and degrees [keyhole-choice]."""

LOOKED = 4
"""Viewing tubes per working tube that are recounted exactly, best first."""

Flags = NDArray[np.bool_]


def viewing(approach: Approach) -> Approach:
    """The viewing tube of a biportal approach, as an approach of its own."""
    return replace(
        approach, radii=(approach.viewing_radius,), steps=VIEW_STEPS, kind="tube",
        instrument_radius=min(approach.instrument_radius, approach.viewing_radius),
    )  # fmt: skip


def coupled(setting: Setting, working: Sequence[Figures]) -> list[Figures]:
    """Those of `working` that have a viewing tube, with its figures added; the others cannot be seen and fall away.

    Corridors of an approach with one tube are returned as they are.
    """
    if not working or working[0].approach.kind != "biportal":
        return list(working)
    view = viewing(working[0].approach)
    found = search(setting.site, view, setting.targets, steps=view.steps)
    pairs = [(one, _best_view(setting, one, found)) for one in working]
    return [_joined(setting.site, one, seen) for one, seen in pairs if seen is not None]


def unpaired(approach: Approach, n: int) -> str:
    """Why none of `n` clear working tubes is kept, in words."""
    (near, far), (least, most) = approach.portal_distance, approach.portal_angle
    return (
        f"{n} working tubes are clear, but none has a viewing tube {near:.0f} to {far:.0f} mm beside it on the skin, "
        f"{least:.0f} to {most:.0f} degrees apart, that is clear, does not touch it and sees its target"
    )


def _best_view(setting: Setting, one: Figures, found: Found) -> Figures | None:
    """The viewing tube of `found` that goes with `one`: clear first, then farthest from nerves, then least tissue."""
    fits = np.flatnonzero(_beside(one, found))
    if not len(fits):
        return None
    danger, volume = np.round(np.minimum(found.danger[fits], 3.0), 1), np.round(found.volume[fits], 2)
    ranked = fits[np.lexsort((-np.round(found.gap[fits], 2), volume, -danger))]
    ranked = ranked[_in_sight(one, found, ranked)][:LOOKED]
    walls = setting.walls.only(hard_keys(setting.site, found.approach))
    for at in ranked:
        seen = figures(setting.site, found, int(at), walls, setting.error, setting.targets)
        if min((gap for gap, _ in seen.gaps.values()), default=np.inf) >= 0:
            return seen
    return None


def _beside(one: Figures, found: Found) -> Flags:
    """Which tubes of `found` keep the distances and the angle to `one`, and do not run into it."""
    need = one.approach
    skin, tips = np.linalg.norm(found.entry - one.entry, axis=1), np.linalg.norm(found.dock - one.dock, axis=1)
    mine, theirs = _unit(one.entry - one.dock), _unit(found.entry - found.dock)
    angle = np.rad2deg(np.arccos(np.clip(theirs @ mine, -1, 1)))
    ok = _within(skin, need.portal_distance) & _within(tips, need.tip_distance) & _within(angle, need.portal_angle)
    at = np.flatnonzero(ok)
    apart = between(
        one.entry, one.dock + one.radius * mine, found.entry[at], found.dock[at] + found.radius[at, None] * theirs[at]
    )
    ok[at] = apart >= one.radius + found.radius[at]
    return np.asarray(ok)


def _in_sight(one: Figures, found: Found, at: NDArray[np.intp]) -> Flags:
    """Whether the optics at each tip see the target of `one`: inside the field of view, nothing hard between."""
    need, way = one.approach, one.target - found.dock[at]
    ahead = -_unit(found.entry[at] - found.dock[at])
    lean = np.rad2deg(np.arccos(np.clip((_unit(way) * ahead).sum(axis=1), -1, 1)))
    free = (
        gaps(
            found.fields[1], found.dock[at], np.repeat(one.target[None], len(at), axis=0), 0.01, floor=0.0, boxes=False
        )
        > 0
    )
    return np.asarray(free & (lean <= need.optics_angle + need.optics_field / 2))


def _unit(way: Points) -> Points:
    return np.asarray(way / np.linalg.norm(way, axis=-1, keepdims=True))


def _within(values: Points, span: tuple[float, float]) -> Flags:
    return np.asarray((values >= span[0] - 1e-6) & (values <= span[1] + 1e-6))


def between(start: Points, stop: Points, starts: Points, stops: Points) -> Points:
    """Distance of the segment from `start` to `stop`, (3,), from each of (n, 3) others, mm.

    The closest points of two segments lie inside both, or one of them is an end: the least of those five is exact.
    """
    along, ways, apart = stop - start, stops - starts, start - starts
    a, b, c = along @ along, ways @ along, (ways * ways).sum(axis=1)
    d, e = apart @ along, (ways * apart).sum(axis=1)
    bottom = a * c - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        s, t = (b * e - c * d) / bottom, (a * e - b * d) / bottom
    inside = (bottom > 1e-9) & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    meeting = np.linalg.norm(apart + np.nan_to_num(s)[:, None] * along - np.nan_to_num(t)[:, None] * ways, axis=1)
    ends = [_off(start, starts, stops), _off(stop, starts, stops), _off(starts, start, stop), _off(stops, start, stop)]
    return np.asarray(np.minimum(np.min(ends, axis=0), np.where(inside, meeting, np.inf)))


def _off(points: Points, start: Points, stop: Points) -> Points:
    """Distance of points from segments, broadcast over rows."""
    way = stop - start
    square = np.maximum((way * way).sum(axis=-1), 1e-12)
    share = np.clip(((points - start) * way).sum(axis=-1) / square, 0, 1)
    return np.asarray(np.linalg.norm(points - start - share[..., None] * way, axis=-1))


def _joined(site: Site, one: Figures, seen: Figures) -> Figures:
    """`one` with its viewing tube: clearance is the narrower, breach and tissue are those of both together."""
    breach = {k: min(1.0, one.breach.get(k, 0.0) + seen.breach.get(k, 0.0)) for k in {**one.breach, **seen.breach}}
    inside = {k: one.volumes.get(k, 0.0) + seen.volumes.get(k, 0.0) for k in {**one.volumes, **seen.volumes}}
    closest = {
        k: min((f.gaps[k] for f in (one, seen) if k in f.gaps), key=lambda g: g[0]) for k in {**one.gaps, **seen.gaps}
    }
    more = facet_shares(site, seen.volumes)
    facet = {k: min(100.0, share + more.get(k, 0.0)) for k, share in one.facet.items()}
    return replace(
        one, gaps=closest, breach=breach, danger=total(list(breach.values())), volumes=inside, facet=facet,
        caveats=tuple(dict.fromkeys((*one.caveats, *seen.caveats))), portals=(seen,),
    )  # fmt: skip


def with_portals(entry: CandidateEntry, found: Figures, site: Site) -> CandidateEntry:
    """`entry` with the further tubes of `found`; their sd of tissue are added, since one boundary moves both."""
    for seen in found.portals:
        portal = _portal(found, seen, site)
        sums = {k: _more(q, portal.burden.get(k)) for k, q in entry.burden.items()}
        length = (entry.incision.value or 0.0) + 2 * seen.radius + found.approach.incision_extra
        incision = entry.incision.model_copy(update={"value": length})
        portals = (*entry.portals, portal)
        entry = entry.model_copy(update={"burden": sums, "incision": incision, "portals": portals})
    return entry


def _more(both: Quantity, other: Quantity | None) -> Quantity:
    sd = (both.sd or 0.0) + (0.0 if other is None else other.sd or 0.0)
    return both.model_copy(update={"sd": round(min(sd, both.value or 0.0), 4)})


def _portal(one: Figures, seen: Figures, site: Site) -> PortalEntry:
    angle = np.rad2deg(np.arccos(np.clip(_unit(one.entry - one.dock) @ _unit(seen.entry - seen.dock), -1, 1)))
    clearance, breach, amounts = tube_alone(seen, site)
    return PortalEntry(
        role="viewing", entry=_triple(seen.entry), dock=_triple(seen.dock), radius=seen.radius, clearance=clearance,
        breach_probability=breach, burden=amounts,
        skin_distance=_length(float(np.linalg.norm(one.entry - seen.entry)), "mm"),
        tip_distance=_length(float(np.linalg.norm(one.dock - seen.dock)), "mm"),
        angle=_length(float(angle), "deg"),
    )  # fmt: skip


def _triple(point: Points) -> tuple[float, float, float]:
    return float(round(point[0], 4)), float(round(point[1], 4)), float(round(point[2], 4))


def _length(value: float, unit: str) -> Quantity:
    return Quantity(value=round(value, 3), sd=0.0, unit=unit, source="keyhole-plan")
