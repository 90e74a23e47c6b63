"""What the plan says of its doubt: per corridor, per approach, and of the budget itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from keyhole.casefile.doubt import BudgetRecord, BudgetTermEntry, DoubtEntry, NeededEntry, RegistrationEntry, TermShare
from keyhole.casefile.models import CandidateEntry, PlanRecord
from keyhole.casefile.values import Quantity
from keyhole.geometry import Points, Tube
from keyhole.plan.doubt.breach import total
from keyhole.plan.doubt.budget import Budget
from keyhole.plan.doubt.judge import (
    LARGEST,
    SAFE,
    Execution,
    Needed,
    chances,
    exposures,
    kept_clearance,
    needed_accuracy,
    sensitivity,
)
from keyhole.terms import Tissue, tissue

REACH_STEP = 10.0
"""Differences in reach below this do not decide the robust order, % (as in the default order)."""

SOURCE = "keyhole-plan"


def doubt_entry(
    how: Execution, tubes: Sequence[tuple[Tube, Points]], instrument: Tube, keys: Sequence[str]
) -> DoubtEntry:
    """How sure the execution of `tubes` is, each with its tip, beside the structures `keys`; the first works.

    The `instrument` ahead of it goes under sight; its own chances, as if it were driven blind, are told apart.
    """
    tip = tubes[0][1]
    shown = exposures(how, tubes, keys)
    breached = chances(shown)
    worst, shares = sensitivity(how, shown, breached)
    ahead = exposures(how, [(instrument, tip)], how.cloud.keys)
    blind = {s.key: round(p, 6) for s, p in zip(ahead, chances(ahead), strict=True)}
    needed = needed_accuracy(how, shown, tip)
    return DoubtEntry(
        registration_rms=round(needed.assumed, 3),
        breach_total=round(total(list(breached)), 6),
        worst=worst,
        dominant=shares[0].term if shares else None,
        shares=tuple(
            TermShare(term=s.term, share=round(s.share, 2), breach_without=round(s.without, 6)) for s in shares
        ),
        systematic_share=round(sum(s.share for s in shares if s.term in how.budget.systematic), 2) if shares else None,
        kept_clearance=_kept(kept_clearance(shown)),
        instrument_breach={key: p for key, p in blind.items() if p > 0},
        caveats=unknown(how.cloud.keys),
        needed_accuracy=_needed(needed),
    )


def unknown(keys: Sequence[str]) -> tuple[str, ...]:
    """What nobody labelled or modelled at the level, so that no chance of touching it is in any number."""
    kinds = {
        "nerve root": any(key.startswith("root/") for key in keys),
        "dural sac": any(key.startswith("canal/") for key in keys),
        "vessel": any(tissue(key) is Tissue.VESSEL for key in keys),
        "organ or bowel": any(tissue(key) in (Tissue.ORGAN, Tissue.GAS) for key in keys),
    }
    return tuple(
        f"no {kind} is known at this level: its breach is not counted" for kind, seen in kinds.items() if not seen
    )


def _kept(value: float) -> Quantity | None:
    if not isfinite(value):
        return None
    why = ("flat walls at the likeliest contacts: a lower bound beside convex structures",)
    return Quantity(value=round(value, 3), unit="mm", source=SOURCE, caveats=why)


def _needed(found: Needed) -> Quantity:
    """As a quantity; without a value the caveat says which of the two ends it is."""
    if found.rms is None:
        why = f"not even a perfect registration brings the summed breach probability to {SAFE:.0%}: {_left(found)}"
        return Quantity(value=None, unit="mm", source=SOURCE, caveats=(why,))
    if not isfinite(found.rms):
        return Quantity(
            value=LARGEST, unit="mm", source=SOURCE,
            caveats=(f"a lower bound: registration errors beyond {LARGEST:g} mm are not asked for",),
        )  # fmt: skip
    return Quantity(value=round(found.rms, 2), unit="mm", source=SOURCE)


def _left(found: Needed) -> str:
    return f"the other terms alone leave {found.perfect:.1%}"


def needed_entries(candidates: Sequence[CandidateEntry]) -> tuple[NeededEntry, ...]:
    """For the first corridor of each approach and side, how accurate navigation must be, in a sentence."""
    first: dict[tuple[str, str], CandidateEntry] = {}
    for entry in candidates:
        if entry.doubt is not None:
            first.setdefault((entry.approach, entry.side), entry)
    several = len({entry.side for entry in candidates}) > 1
    return tuple(
        NeededEntry(
            approach=entry.approach, side=entry.side, rank=entry.rank or 0, limit=SAFE,
            rms=entry.doubt.needed_accuracy.value,
            sentence=_sentence(f"{entry.approach} from the {entry.side}" if several else entry.approach, entry.doubt),
        )
        for entry in first.values()
        if entry.doubt is not None
    )  # fmt: skip


def _sentence(approach: str, doubt: DoubtEntry) -> str:
    needed, assumed = doubt.needed_accuracy, doubt.registration_rms
    blank = [caveat.split(" is known")[0].removeprefix("no ") for caveat in doubt.caveats]
    left = f" (not counted, because not known: {', '.join(blank)})" if blank else ""
    if needed.value is None:
        return f"{approach} is not safe by navigation alone: {needed.caveats[0]}; what it nears must be seen{left}"
    kept = f"the summed breach probability of nerves, vessels and organs at {SAFE:.0%} or less"
    if needed.caveats:
        return f"{approach} keeps {kept} with any registration error up to {LARGEST:g} mm RMS at the tip{left}"
    verdict = f"the {assumed:.1f} mm assumed is {'' if assumed <= needed.value else 'not '}within it"
    return (
        f"{approach} needs a registration error of at most {needed.value:.1f} mm RMS at the tip to keep {kept}; "
        f"{verdict}{left}"
    )


def robustly_ranked(candidates: Sequence[CandidateEntry]) -> tuple[CandidateEntry, ...]:
    """The same candidates, each with its place in the robust order: reach, then clearance kept in 95 % of executions.

    That clearance is the negative of the 95th percentile of the loss over the whole budget, systematic terms too.
    """
    judged = [n for n, entry in enumerate(candidates) if entry.doubt is not None]
    order = sorted(judged, key=lambda n: _key(candidates[n]))
    place = {n: rank + 1 for rank, n in enumerate(order)}
    return tuple(
        entry
        if entry.doubt is None
        else entry.model_copy(update={"doubt": entry.doubt.model_copy(update={"robust_rank": place[n]})})
        for n, entry in enumerate(candidates)
    )


def _key(entry: CandidateEntry) -> tuple[float, float, int]:
    kept = entry.doubt.kept_clearance if entry.doubt is not None else None
    reach = entry.reach.value if entry.reach.value is not None else 0.0
    return (
        -float(np.floor(reach / REACH_STEP + 0.5 + 1e-6)),
        -round(kept.value if kept is not None and kept.value is not None else 1e3, 1),
        entry.rank or 0,
    )


def with_doubt(made: PlanRecord, budget: Budget, file: str, axes: Points) -> PlanRecord:
    """The plan with its robust order, its budget (from `file`) in `axes`, and how accurate navigation must be."""
    candidates = robustly_ranked(made.candidates)
    said = {"candidates": candidates, "budget": budget_record(budget, file, axes), "needed": needed_entries(candidates)}
    return made.model_copy(update=said)


def budget_record(budget: Budget, file: str, axes: Points) -> BudgetRecord:
    """The budget as plan.json holds it; `file` is its base name, `axes` (3, 3) the level's."""
    known = budget.registration
    kind = {True: "systematic", False: "random"}
    is_frame = known.method == "frame"
    registration = RegistrationEntry(
        method=known.method,  # type: ignore[arg-type]  # checked on reading
        rms=None if known.method == "fiducials" else known.rms,
        angle=known.angle if known.method == "rms" else None,
        fiducials=known.fiducials,
        fle=known.fle if known.method == "fiducials" else None,
        frame=known.frame,
        distance=known.distance,
        growth=known.growth if is_frame else None,
        kind=kind[known.is_systematic],  # type: ignore[arg-type]
        source=known.source,
        note=known.note,
    )
    terms = tuple(
        BudgetTermEntry(
            term=term.name,  # type: ignore[arg-type]  # one of MOTIONS
            sd=term.sd, angle=term.angle, kind=kind[term.is_systematic], source=term.source, note=term.note,  # type: ignore[arg-type]
        )
        for term in budget.terms
    )  # fmt: skip
    return BudgetRecord(
        file=file, registration=registration, terms=terms, label_scale=budget.scale, label_least=budget.least,
        label_source=budget.label.source,
        axes=tuple((float(x), float(y), float(z)) for x, y, z in np.round(axes, 9)),  # type: ignore[arg-type]  # three
    )  # fmt: skip
