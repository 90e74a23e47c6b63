"""Why an approach has no corridor here: a sentence, the structure in the way, the missing mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.casefile import TriedEntry
from keyhole.geometry import Points, Tube
from keyhole.plan.approaches import Approach
from keyhole.plan.candidate import Figures, triple, tubes
from keyhole.plan.clearance import Surfaces, clearances
from keyhole.plan.corridor import sweep
from keyhole.plan.search import LONGEST, Found, space
from keyhole.plan.site import EPIDURAL, Site
from keyhole.plan.targets import Targets
from keyhole.terms import belongs


@dataclass(frozen=True, slots=True)
class Why:
    """Why an approach has no corridor: in a sentence; the structure in the way, the mm missing, of which corridor."""

    text: str
    structure: str | None = None
    missing: float | None = None
    is_unseen: bool = False
    tried: TriedEntry | None = None


def reason(
    site: Site, found: Found, walls: Surfaces, targets: Targets, *, modality: str, examined: Sequence[Figures] = ()
) -> str:
    """The sentence of `why`."""
    return why(site, found, walls, targets, modality=modality, examined=examined).text


def why(
    site: Site, found: Found, walls: Surfaces, targets: Targets, *, modality: str, examined: Sequence[Figures] = ()
) -> Why:
    """What keeps an approach out: the structure and the mm that are missing, unseen space, or the envelope.

    `examined` are the corridors whose exact figures were worked out, all of them refused.
    """
    if found.searched == 0:
        place = f"{site.frame.level} {site.frame.side}"
        return Why(f"its docking place at {place} is not labelled and could not be placed", is_unseen=True)
    if not (site.body == 2).any():
        said = _unlabelled(site, modality) or "no skin is known in this scan, so no entry point can be placed"
        return Why(f"{said}: unseen is never safe", is_unseen=True)
    return (
        (None if found.is_short else _refused(examined))
        or _unreached(site, found, walls, targets)
        or _blocked(site, found.approach, found, walls)
        or _unentered(site, found, modality)
    )


def _named(site: Site, key: str) -> str:
    """`key` and how it is known."""
    known = site.structures.get(key)
    return f"{key} ({known.origin}, sd {known.sd:.1f} mm)" if known is not None else key


def _unlabelled(site: Site, modality: str) -> str:
    """That the tissues between spine and skin have no name; empty if they have."""
    if site.labels.labels_of("tissue/fat", "tissue/muscle"):
        return ""
    why = ": tissue classes are not known on MR" if modality.upper() == "MR" else ""
    return f"most of the body between spine and skin has no label{why}"


def _refused(examined: Sequence[Figures]) -> Why | None:
    """The search found corridors, but exact recounting found each too near to something; None if not so."""
    near = [f for f in examined if f.least < 0]
    if not near or len(near) < len(examined):
        return None
    best = max(near, key=lambda f: round(f.least, 4))
    gaps = {**best.gaps, **{k: g for k, g in best.instrument_gaps.items() if g[0] == best.least}}
    key = min(gaps, key=lambda k: (round(gaps[k][0], 4), k))
    said = f"the best of {len(examined)} corridors recounted voxel by voxel lacks {-best.least:.1f} mm to {key}"
    inside = key in best.instrument_gaps and best.instrument_gaps[key][0] == best.least
    radii = (best.radius, best.approach.instrument_radius)
    tried = _tried(best.entry, best.dock, best.target, radii, is_instrument=inside)
    return Why(said, key, -best.least, tried=tried)


def _tried(
    entry: Points, dock: Points, target: Points | None, radii: tuple[float, float], *, is_instrument: bool = False
) -> TriedEntry:
    """The corridor of a refusal, as plan.json holds it; `radii` of tube and instrument, mm."""
    return TriedEntry(
        entry=triple(entry), dock=triple(dock), target=None if target is None else triple(target), radius=radii[0],
        instrument_radius=radii[1], blocked="instrument" if is_instrument else "tube",
    )  # fmt: skip


def _unreached(site: Site, found: Found, walls: Surfaces, targets: Targets) -> Why | None:
    """Tubes were clear, but cost too much bone or let no instrument through; None if none was clear."""
    approach = found.approach
    if not found.is_short and (len(found) or found.verdicts["too much bone"]):
        return Why(
            f"every clear corridor would remove more than {approach.max_bone:.1f} mL of bone or "
            f"{approach.max_facet:.0f} % of the facet inside its tube",
            "bone",
        )
    if not found.verdicts["unreached"]:
        return None
    said = f"{found.verdicts['unreached']:,} tubes reach the docking place, but from none can an instrument touch "
    missed = _missed(site, found, walls)
    return replace(missed, text=f"{said}{targets.what}: {missed.text}")


def _missed(site: Site, found: Found, walls: Surfaces) -> Why:
    """What the least blocked line of the instrument lacks, and beside what."""
    approach, thin = found.approach, found.approach.instrument_radius
    if found.miss is None:
        return Why(
            f"no part of it lies within {approach.reach[1]:.0f} mm and {approach.angulation:.0f} degrees of the tip of "
            "any of them"
        )
    dock, target = found.miss
    hard = walls.only(k for k in walls.keys if not belongs(k, EPIDURAL))
    key, (gap, _) = next(iter(clearances(hard, Tube(dock, target, thin)).items()), ("", (0.0, dock)))
    tried = None
    if found.missed is not None and key:
        entry, radius = found.missed
        tried = _tried(entry, dock, target, (radius, thin), is_instrument=True)
    if gap <= -thin:
        return Why(f"the least blocked line from a dock to it runs into {_named(site, key)}", key, -gap, tried=tried)
    if gap >= 0:
        return Why(
            f"the best line from a dock to it has {gap:.1f} mm of room beside {_named(site, key)}, but no corridor "
            "was found with it that keeps clear of everything within the approach's bounds on bone and facet",
            key,
        )
    return Why(
        f"the best line from a dock to it is {-gap:.1f} mm short of room for an instrument of radius {thin:.2f} mm "
        f"beside {_named(site, key)}",
        key,
        -gap,
        tried=tried,
    )


def _blocked(site: Site, approach: Approach, found: Found, walls: Surfaces) -> Why | None:
    """The structure that blocks the least blocked corridor; None if none is merely blocked."""
    nearest = _nearest(site, approach, walls)
    if nearest is None:
        return None
    key, gap, tried = nearest
    missing = -gap
    if gap >= 0:
        return Why(
            f"{_named(site, key)} is {gap:.1f} mm from the best of {found.searched:,} corridors, but none was "
            "found that reaches a target within the approach's bounds on bone and facet",
            key,
        )
    return Why(
        f"{_named(site, key)} is in the way: the best of {found.searched:,} corridors lacks {missing:.1f} mm for a "
        f"tube of radius {approach.radii[0]:.1f} mm",
        key,
        missing,
        tried=tried,
    )


def _unentered(site: Site, found: Found, modality: str) -> Why:
    """No corridor has an entry: the scan ends, the tissues are unknown, or the skin lies elsewhere."""
    low, high = found.approach.entry_lateral
    if not found.verdicts["unseen"]:
        return Why(f"no corridor meets the skin {low:.0f} to {high:.0f} mm from the midline in this scan")
    unnamed = _unlabelled(site, modality)
    if unnamed:
        said = f"unseen: {unnamed}, and {found.verdicts['unseen']:,} corridors run into it"
    else:
        said = f"unseen: {found.verdicts['unseen']:,} corridors leave the scan before they reach the skin"
    return Why(said, is_unseen=True)


def _nearest(site: Site, approach: Approach, walls: Surfaces) -> tuple[str, float, TriedEntry] | None:
    """Structure nearest to the least blocked corridor of the smallest tube, the gap, mm, and that corridor."""
    room, _ = space(site, approach, approach.steps)
    if not len(room.docks):
        return None
    thin = approach.radii[0]
    gaps, lengths, verdicts = sweep(
        room.tube,
        room.site.body,
        room.docks,
        room.out,
        (thin,),
        lateral=(site.frame.local(room.docks)[:, 0], room.local[:, 0].copy()),
        entry=approach.entry_lateral,
        longest=LONGEST,
        floor=-thin - 1.0,
    )
    usable = np.where((verdicts == 0) & np.isfinite(gaps[..., 0]), gaps[..., 0], -np.inf)
    if not np.isfinite(usable).any():
        return None
    i, j = np.unravel_index(int(np.argmax(np.round(usable, 3))), usable.shape)
    dock = room.docks[i]
    entry = dock + float(lengths[i, j]) * room.out[j]
    tube, _ = tubes(entry, dock, dock - room.out[j], thin, 1.0)
    found = clearances(walls, tube)
    key, (gap, _) = next(iter(found.items()), ("", (0.0, dock)))
    return (key, gap, _tried(entry, dock, None, (thin, approach.instrument_radius))) if key else None
