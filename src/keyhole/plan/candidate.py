"""The exact figures of a corridor: clearance, breach probability, burden, facet, caveats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.model import Structure
from keyhole.casefile import CandidateEntry, Decompression, DoubtEntry, HarmEntry, Quantity
from keyhole.geometry import Points, Tube
from keyhole.plan.approaches import Approach
from keyhole.plan.clearance import Surfaces, clearances
from keyhole.plan.doubt import Execution, ExecutionError, breaches, doubt_entry, total
from keyhole.plan.harm.cleft import cleft
from keyhole.plan.harm.count import Harming, harm
from keyhole.plan.harm.inside import burden, does, volumes
from keyhole.plan.harm.recount import PARTS, Amounts, along_and_across, median_sd, recounts, shifted, skin_sd, spread
from keyhole.plan.search import Found
from keyhole.plan.site import DANGER, EPIDURAL, Site, facet_shares
from keyhole.plan.targets import Targets
from keyhole.terms import Origin, Tissue, belongs, tissue

CONCERN = 5.0
"""A modelled or derived structure this near to a corridor puts its caveat on it, mm [keyhole-choice]."""

Gaps = Mapping[str, tuple[float, Points]]


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """A corridor with its exact figures. `danger` sums the breach probabilities of nerve, vessel and organ."""

    approach: Approach
    entry: Points
    dock: Points
    target: Points
    radius: float
    gaps: Gaps
    instrument_gaps: Gaps
    breach: dict[str, float]
    danger: float
    volumes: dict[str, float]
    facet: dict[str, float]
    reach: float
    tier: int
    caveats: tuple[str, ...]
    portals: tuple[Figures, ...] = ()  # further tubes, whose tissue and breach are in the sums above
    error: ExecutionError | None = None  # of its execution
    cleft: float = 0.0  # share of its way in muscle that runs between multifidus and longissimus; 0 where not seen

    @property
    def least(self) -> float:
        """Smallest clearance of tube and instrument to anything hard, mm; inf where nothing hard is near."""
        return min([g for g, _ in (*self.gaps.values(), *self.instrument_gaps.values())], default=np.inf)

    @property
    def total(self) -> float:
        """Tissue inside the tube, mL."""
        return sum(self.volumes.values())

    @property
    def facet_share(self) -> float:
        """Largest share of a facet taken by tube and instrument, %."""
        return max(self.facet.values(), default=0.0)


def tubes(entry: Points, dock: Points, target: Points, radius: float, thin: float) -> tuple[Tube, Tube]:
    """The tube, whose rounded tip ends at the dock, and the instrument from the dock to the target."""
    out = entry - dock
    return Tube(entry, dock + radius * out / np.linalg.norm(out), radius), Tube(dock, target, thin)


def ahead_of(instrument: Tube) -> Tube:
    """The part of `instrument` that lies ahead of the tube: its rounded start touches the dock."""
    along = instrument.stop - instrument.start
    share = min(1.0, instrument.radius / max(float(np.linalg.norm(along)), 1e-9))
    return Tube(instrument.start + share * along, instrument.stop, instrument.radius)


def figures(site: Site, found: Found, at: int, walls: Surfaces, error: ExecutionError, targets: Targets) -> Figures:
    """The exact figures of corridor `at` of `found`; `walls` are the surfaces of what the approach may not touch."""
    approach = found.approach
    entry, dock, target, radius = found.entry[at], found.dock[at], found.target[at], float(found.radius[at])
    tube, instrument = tubes(entry, dock, target, radius, approach.instrument_radius)
    outer = clearances(walls, tube)
    inner = {k: g for k, g in clearances(walls, instrument).items() if not belongs(k, EPIDURAL)}
    breach = _breach(site.structures, outer, error, tube, dock)
    danger = total(list(breach.values()))
    inside = volumes(site.labels, tube)
    thin = volumes(site.labels, ahead_of(instrument))
    caveats = (*_caveats(site.structures, outer, inner), *_retraction(int(found.tier[at]), targets))
    return Figures(
        approach, entry, dock, target, radius, outer, inner, breach, danger, inside, _facets(site, inside, thin),
        float(found.reach[at]), int(found.tier[at]), caveats, error=error, cleft=_cleft(site, tube),
    )  # fmt: skip


def _cleft(site: Site, tube: Tube) -> float:
    """Share of the way in muscle that runs in the plane between the muscles; 0 where they are not told apart."""
    if not site.labels.labels_of(f"muscle/paraspinal/{site.frame.side}/multifidus"):
        return 0.0
    found = cleft(site, tube)
    return found.share if found is not None and found.is_visible else 0.0


def _breach(
    structures: Mapping[str, Structure], gaps: Gaps, error: ExecutionError, tube: Tube, dock: Points
) -> dict[str, float]:
    """Chance that the executed tube touches each nerve, vessel or organ; the instrument goes under sight."""
    near = {key: found for key, found in gaps.items() if tissue(key) in (*DANGER, Tissue.GAS)}
    return breaches(error, near, tube, dock, {key: known.sd for key, known in structures.items()})


def _doubt(found: Figures) -> DoubtEntry | None:
    """How sure its execution is, where the error budget is known."""
    if not isinstance(found.error, Execution):
        return None
    tube, instrument = tubes(found.entry, found.dock, found.target, found.radius, found.approach.instrument_radius)
    others = [(tubes(p.entry, p.dock, p.target, p.radius, 1.0)[0], p.dock) for p in found.portals]
    return doubt_entry(found.error, [(tube, found.dock), *others], instrument, tuple(found.breach))


def _facets(site: Site, tube: Mapping[str, float], instrument: Mapping[str, float]) -> dict[str, float]:
    """% of each facet joint of the level inside tube and instrument; joints that are not labelled are left out."""
    both = {k: tube.get(k, 0.0) + instrument.get(k, 0.0) for k in {**tube, **instrument}}
    return {key: min(100.0, share) for key, share in facet_shares(site, both).items()}


def _caveats(structures: Mapping[str, Structure], *both: Gaps) -> tuple[str, ...]:
    """What the verdict hangs on: modelled or derived structures near the corridor, and their own caveats."""
    found = []
    for key in sorted({k for gaps in both for k, (gap, _) in gaps.items() if gap <= CONCERN}):
        known = structures.get(key)
        if known is not None and known.origin in (Origin.MODELLED, Origin.DERIVED) and tissue(key) in DANGER:
            found.append(f"{key} is {known.origin} (sd {known.sd:.1f} mm)")
        found += [] if known is None or tissue(key) not in DANGER else [f"{key}: {c}" for c in known.caveats]
    return tuple(dict.fromkeys(found))


def _retraction(tier: int, targets: Targets) -> tuple[str, ...]:
    if tier == 0:
        return ()
    return (
        f"the {targets.what} is not touched in a straight line: the instrument ends at the flavum, and dural sac or "
        "traversing root must be held aside from there, which is not planned",
    )


def _recounted(found: Figures, site: Site) -> tuple[tuple[Amounts, ...], tuple[Amounts, ...]]:
    """Recounts of the tube, and of tube and instrument together, which move together; see `recount`."""
    tube, instrument = tubes(found.entry, found.dock, found.target, found.radius, found.approach.instrument_radius)
    ahead = ahead_of(instrument)
    sd = median_sd(site, found.volumes)
    ways = along_and_across(site, tube)
    inside = recounts(ways, sd, lambda way: volumes(site.labels, shifted(tube, way), PARTS))
    thin = recounts(ways, sd, lambda way: volumes(site.labels, shifted(ahead, way), PARTS))
    return inside, tuple(_sum(a, b) for a, b in zip(inside, thin, strict=True))


def _sum(one: Amounts, two: Amounts) -> dict[str, float]:
    return {k: one.get(k, 0.0) + two.get(k, 0.0) for k in {**one, **two}}


def _harm(found: Figures, site: Site, both: tuple[Amounts, ...], incision: Quantity) -> HarmEntry:
    """The harm of tube and instrument, which meet at the dock and share nothing, and of further portals."""
    tube, instrument = tubes(found.entry, found.dock, found.target, found.radius, found.approach.instrument_radius)
    ahead = ahead_of(instrument)
    bodies = (("tube", tube), ("instrument", ahead))
    if not found.portals:
        amounts = _sum(found.volumes, volumes(site.labels, ahead))
        return harm(site, Harming(bodies, incisions=(incision,)), counted=(amounts, both))
    more = [("portal", tubes(p.entry, p.dock, p.target, p.radius, 1.0)[0]) for p in found.portals]
    extra = found.approach.incision_extra
    cuts = [incision.model_copy(update={"value": 2 * p.radius + extra}) for p in found.portals]
    return harm(site, Harming((*bodies, *more), incisions=(incision, *cuts)))


def entry_of(found: Figures, site: Site, rank: int, n_targets: int, step: Decompression | None) -> CandidateEntry:
    """The candidate as plan.json holds it.

    The sd of burden and facet are those of `recount.spread`, or the whole amount where it is too small for the coarser
    recounts to find; the depth's that of the skin's boundary along the tube (the dock is a choice), the incision's
    that of the catalogue: how far it may be from the tube's diameter.
    """
    depth = float(np.linalg.norm(found.entry - found.dock))
    share = found.reach
    share_sd = float(np.sqrt(max(share * (1 - share), 0.0) / max(n_targets, 1)))
    amounts = burden(found.volumes)
    inside, both = _recounted(found, site)
    amount_sd = spread(inside, burden)
    facet_sd = spread(both, lambda taken: facet_shares(site, taken))
    incision = Quantity(
        value=2 * found.radius + found.approach.incision_extra, sd=found.approach.incision_sd, unit="mm",
        source=(found.approach.sources or {}).get("incision_extra", "keyhole-choice"),
    )  # fmt: skip
    return CandidateEntry(
        rank=rank,
        approach=found.approach.name,
        side=site.frame.side,  # type: ignore[arg-type]
        entry=triple(found.entry),
        dock=triple(found.dock),
        target=triple(found.target),
        radius=found.radius,
        instrument_radius=found.approach.instrument_radius,
        clearance=_lengths(found.gaps, site.structures),
        instrument_clearance=_lengths(found.instrument_gaps, site.structures),
        breach_probability={k: round(p, 6) for k, p in sorted(found.breach.items())},
        burden={k: _quantity(v, amount_sd.get(k, v), "mL") for k, v in amounts.items()},
        burden_kind={k: does(k) for k in amounts},
        facet_removed={k: _quantity(v, facet_sd.get(k, v), "%") for k, v in found.facet.items()},
        incision=incision,
        depth=_quantity(depth, skin_sd(site), "mm"),
        reach=_quantity(100 * share, 100 * share_sd, "%"),
        decompression=step,
        doubt=_doubt(found),
        harm=_harm(found, site, both, incision),
        caveats=found.caveats,
    )  # fmt: skip


def tube_alone(found: Figures, site: Site) -> tuple[dict[str, Quantity], dict[str, float], dict[str, Quantity]]:
    """Clearance, breach probability and burden of the tube of `found` alone, as plan.json holds them."""
    tube, _ = tubes(found.entry, found.dock, found.target, found.radius, found.approach.instrument_radius)
    moved = recounts(
        along_and_across(site, tube), median_sd(site, found.volumes),
        lambda way: volumes(site.labels, shifted(tube, way), PARTS),
    )  # fmt: skip
    sd = spread(moved, burden)
    amounts = {k: _quantity(v, sd.get(k, v), "mL") for k, v in burden(found.volumes).items()}
    return _lengths(found.gaps, site.structures), {k: round(p, 6) for k, p in sorted(found.breach.items())}, amounts


def triple(point: Points) -> tuple[float, float, float]:
    """`point` (3,) as plan.json holds it, mm to four decimals."""
    return float(round(point[0], 4)), float(round(point[1], 4)), float(round(point[2], 4))


def _quantity(value: float, sd: float, unit: str) -> Quantity:
    return Quantity(value=round(value, 4), sd=round(sd, 4), unit=unit, source="keyhole-plan")


def _lengths(gaps: Gaps, structures: Mapping[str, Structure]) -> dict[str, Quantity]:
    """Clearances, rounded down so that they stay lower bounds, with the sd of the structure's boundary."""
    return {
        key: Quantity(
            value=float(np.floor((gap - 2e-4) * 1000) / 1000),
            sd=None if key not in structures else structures[key].sd,
            unit="mm",
            source="keyhole-plan",
        )
        for key, (gap, _) in gaps.items()
    }
