"""What would open a rejected approach: each change is made and searched again, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from keyhole.casefile import ChangeEntry
from keyhole.geometry import LabelMap
from keyhole.plan.approaches import Approach
from keyhole.plan.biportal import coupled
from keyhole.plan.candidate import Figures, figures
from keyhole.plan.instruments import instruments, thinnest
from keyhole.plan.rank import order, shortlist
from keyhole.plan.search import Found, search
from keyhole.plan.setting import Setting, setting
from keyhole.plan.site import Site, hard_keys
from keyhole.plan.targets import treated
from keyhole.terms import SIDES, Origin, Tissue, belongs, split

COARSE = (3.0, 3.0)
"""Steps of these searches, mm and degrees [keyhole-choice]: what they find exists, what they miss may hide between."""

LOOKED, WIDEST = 6, 2
"""Corridors of a changed search (of each width of it) whose exact figures are worked out, best first."""

STEP = 0.5
"""Thinner tubes are tried in steps of this radius, mm."""

UNBOUND = 1e3
"""No bound on bone, mL, or facet, %, while it is asked how much would have to go."""

Change = Callable[[Setting, Approach, Found], ChangeEntry | None]


def changes(setting: Setting, approach: Approach, found: Found, *, both: bool = False) -> tuple[ChangeEntry, ...]:
    """A thinner tube, cut bone, the roots elsewhere, organs moved, the other side: each searched again on its own.

    With `both`, the other side is planned anyway and not asked for here.
    """
    asked: tuple[Change, ...] = (
        _thinner,
        _cutting,
        _without_modelled,
        _organs_moved,
        *(() if both else (_other_side,)),
    )
    made = [change(setting, approach, found) for change in asked]
    return tuple(one for one in made if one is not None)


@dataclass(frozen=True, slots=True)
class _Tried:
    """A changed search and its best corridor that is clear, recounted exactly; None if there is none."""

    searched: int
    best: Figures | None


def _tried(setting: Setting, approach: Approach) -> _Tried:
    """The best clear corridor of the changed `approach` in the changed `setting`."""
    found = search(setting.site, approach, setting.targets, steps=COARSE)
    looked = _looked(setting, found, shortlist(found, setting.error, setting.root_sd, LOOKED))
    clear = coupled(setting, [f for f in looked if is_clear(f)])
    return _Tried(found.searched, min(clear, key=order, default=None))


def _looked(setting: Setting, found: Found, chosen: Iterable[int]) -> list[Figures]:
    walls = setting.walls.only(hard_keys(setting.site, found.approach))
    return [figures(setting.site, found, int(n), walls, setting.error, setting.targets) for n in chosen]


def is_clear(found: Figures) -> bool:
    """Whether a corridor, recounted exactly, touches nothing hard and keeps the bound on the facet."""
    return found.least >= 0 and found.facet_share <= found.approach.max_facet


def _entry(change: str, tried: _Tried, yes: str, no: str) -> ChangeEntry:
    return ChangeEntry(
        change=change,  # type: ignore[arg-type]  # one of its words
        opens=tried.best is not None, finding=no if tried.best is None else yes, searched=tried.searched, steps=COARSE,
    )  # fmt: skip


def _thinner(setting: Setting, approach: Approach, found: Found) -> ChangeEntry | None:
    """The widest tube that would pass, down to the instrument's own width."""
    least = approach.instrument_radius + 0.25
    radii = np.arange(approach.radii[0] - STEP, least - 1e-9, -STEP)[::-1]
    if not len(radii):
        return None
    thin = replace(approach, radii=tuple(float(r) for r in radii))
    tried = search(setting.site, thin, setting.targets, steps=COARSE)
    best = _widest(setting, tried)
    no = f"not even a tube of radius {radii[0]:.1f} mm passes"
    if best is None:
        return _entry("thinner tube", _Tried(tried.searched, None), "", no)
    yes = f"a tube of radius {best.radius:.1f} mm would pass, {_with(best)}{_at_hand(approach, best.radius)}"
    return _entry("thinner tube", _Tried(tried.searched, best), yes, no)


def _widest(setting: Setting, found: Found) -> Figures | None:
    """The clear corridor of the widest tube, of those the one with the widest gap."""
    for radius in np.unique(found.radius)[::-1]:
        same = np.flatnonzero(found.radius == radius)
        ranked = same[np.lexsort((-np.round(found.gap[same], 2), found.tier[same]))][:WIDEST]
        clear = coupled(setting, [f for f in _looked(setting, found, ranked) if is_clear(f)])
        if clear:
            return min(clear, key=order)
    return None


def _at_hand(approach: Approach, radius: float) -> str:
    """Whether the table of instruments holds one as thin as that."""
    if not approach.instruments:
        return ""
    tubes = tuple(n for n in approach.instruments if instruments()[n].family not in ("tool", "disc tool", "scope"))
    one = thinnest(tubes, 2 * radius)
    return f"; at hand: {one.title}" if one is not None else "; no instrument of the table is that thin"


def _cutting(setting: Setting, approach: Approach, found: Found) -> ChangeEntry | None:
    """What cutting facets and laminae of the side, without a bound, would open, and how much would go."""
    level, side = setting.site.frame.level, setting.site.frame.side
    if approach.docking in ("disc-lateral", "disc-oblique"):
        return None
    more = tuple(
        part for v in ("{upper}", "{lower}") for part in (f"vertebra/{v}/facet/inferior/{{side}}",
        f"vertebra/{v}/facet/superior/{{side}}", f"vertebra/{v}/lamina/{{side}}", f"vertebra/{v}/posterior")
    )  # fmt: skip
    bone = tuple(dict.fromkeys((*approach.bone_soft, *more)))
    tried = _tried(setting, replace(approach, bone_soft=bone, max_bone=UNBOUND, max_facet=UNBOUND))
    yes = ""
    if tried.best is not None:
        gone = sum(v for key, v in tried.best.volumes.items() if key.startswith("vertebra/"))
        yes = (
            f"cutting {tried.best.facet_share:.0f} % of the facet joint and {gone:.1f} mL of bone in the tube's way "
            f"at {level} {side} would open it, {_with(tried.best)}"
        )
    return _entry("cut bone", tried, yes, f"no cutting of facets and laminae of the {side} opens it")


def _without_modelled(setting: Setting, approach: Approach, found: Found) -> ChangeEntry | None:
    """Whether the verdict hangs on roots that were modelled: the same search without them."""
    site = setting.site
    modelled = [
        k for k, s in sorted(site.structures.items())
        if k.startswith("root/") and s.origin is Origin.MODELLED and site.counts.get(k)
    ]  # fmt: skip
    if not modelled:
        return None
    bare = replace(setting, site=_without(site, modelled))
    tried = _tried(bare, approach)
    names = ", ".join(modelled)
    yes = (
        f"the verdict hangs on where the modelled roots lie ({names}): without them a corridor is clear"
        f"{'' if tried.best is None else ', ' + _with(tried.best)}; confirm the roots on MR"
    )
    return _entry(
        "root position", tried, yes, "without the modelled roots it stays closed: seeing them on MR would not open it"
    )


def _without(site: Site, keys: list[str]) -> Site:
    """`site` with the voxels of `keys` called by a name of their own that nothing asks for: fat around a root."""
    names = {n: f"foramen/cleared/{n}" if key in keys else key for n, key in site.labels.structures.items()}
    return replace(site, labels=LabelMap(site.labels.array, site.labels.patient_from_index, names))


def _organs_moved(setting: Setting, approach: Approach, found: Found) -> ChangeEntry | None:
    """Whether a corridor is clear once the organs that the approach moves aside, and their gas, are out of the way."""
    site = setting.site
    held = tuple(_at(site, r.structure) for r in approach.retracts)
    organs = [k for k in site.of_kind(Tissue.ORGAN) if belongs(k, *held)]
    if not organs:
        return None
    tried = _tried(replace(setting, site=_without(site, [*organs, *site.of_kind(Tissue.GAS)])), approach)
    names = ", ".join(organs)
    yes = f"with {names} moved aside a corridor is clear{'' if tried.best is None else ', ' + _with(tried.best)}"
    return _entry("organs moved", tried, yes, f"with {names} moved aside it stays closed")


def _at(site: Site, pattern: str) -> str:
    upper, lower = split(site.frame.level)
    return pattern.format(upper=upper, lower=lower, side=site.frame.side)


def _other_side(here: Setting, approach: Approach, found: Found) -> ChangeEntry | None:
    """The same approach from the other side, at what is aimed at from there."""
    other = next(side for side in SIDES if side != here.site.frame.side)
    level = here.site.frame.level
    aim = None if here.goal == "decompress" else here.targets.name
    there = setting(here.anatomy, level, other, here.goal, error=here.error, aim=aim, approaches=(approach,))
    if not len(there.targets.points):
        there = replace(there, targets=treated(there.site.core))
    tried = _tried(there, approach)
    what = there.targets.what
    yes = "" if tried.best is None else f"from the {other} a corridor to the {what} is clear, {_with(tried.best)}"
    return _entry("other side", tried, yes, f"from the {other} it is closed as well")


def _with(best: Figures) -> str:
    """The narrowest clearance of a corridor, in words."""
    gaps = {**best.instrument_gaps, **best.gaps}
    if not gaps:
        return "with nothing hard near it"
    key = min(gaps, key=lambda k: (round(gaps[k][0], 4), k))
    return f"{best.least:.1f} mm from {key} at the narrowest"
