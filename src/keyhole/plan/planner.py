"""Plan a level: every approach of the catalogue searched, compared with the open operation, written to plan.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import (
    CandidateEntry,
    Case,
    Decompression,
    Feasibility,
    PlanRecord,
    Provenance,
    Rejected,
    provenance,
)
from keyhole.errors import InvalidInput
from keyhole.plan.approaches import Approach, chosen
from keyhole.plan.candidate import Figures, entry_of, figures
from keyhole.plan.clearance import Surfaces, surfaces
from keyhole.plan.decompress import Canal, canal, decompression, removable, widen, within_reach
from keyhole.plan.harm.opened import open_entry
from keyhole.plan.rank import order, pareto, select, shortlist
from keyhole.plan.reasons import reason
from keyhole.plan.search import MARGINS, Found, search
from keyhole.plan.site import DANGER, EPIDURAL, Site, check_arches, hard_keys, site
from keyhole.plan.targets import Targets, treated
from keyhole.plan.uncertainty import REGISTRATION, ExecutionError, execution_error
from keyhole.terms import Tissue, split
from keyhole.terms import level as checked_level

Progress = Callable[[str, float], None]

EXAMINED = 30
"""Corridors per approach whose figures are worked out exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class _Setting:
    """What all approaches of one plan share."""

    site: Site
    targets: Targets
    error: ExecutionError
    canal: Canal | None
    anatomy: Anatomy
    walls: Surfaces


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """What became of one approach."""

    figures: list[Figures]
    rejected: Rejected | None
    feasibility: Feasibility | None
    found: Found | None
    caveats: tuple[str, ...] = ()


def plan(
    anatomy: Anatomy,
    level: str,
    side: str,
    goal: str,
    *,
    approaches: Sequence[str] | None = None,
    registration_error: float | None = None,
    progress: Progress | None = None,
) -> PlanRecord:
    """Every minimally invasive approach to `level` from `side`, the best corridors in order, and the open operation.

    Parameters
    ----------
    goal : "decompress", "fuse" or "screws"; approaches that do not serve it are rejected with that reason.
    approaches : names from the catalogue; None takes all.
    registration_error : RMS target error of the navigation, mm; None takes `uncertainty.REGISTRATION`.

    References
    ----------
    Definitions and choices: docs/decisions/0006-planning.md. Numbers of the approaches: plan/approaches.toml.
    """
    wanted = chosen(approaches)
    kinds = get_args(PlanRecord.model_fields["goal"].annotation)
    if goal not in kinds:
        raise InvalidInput(f"a goal is one of {', '.join(kinds)}, got {goal!r}")
    say = progress or (lambda sentence, share: None)
    level = checked_level(*split(level))
    error = execution_error(registration_error)
    say(f"Looking at {level}", 0.0)
    check_arches(anatomy, level)
    found = site(anatomy, level, side)
    solid = (*found.of_kind(*DANGER, Tissue.GAS, Tissue.BONE), EPIDURAL)
    walls = surfaces(found.labels, solid)
    setting = _Setting(found, treated(found.core), error, canal(anatomy, found), anatomy, walls)
    results = []
    for n, approach in enumerate(wanted):
        say(f"Searching {approach.name}", 0.1 + 0.7 * n / len(wanted))
        results.append(_tried(setting, approach, goal))
    say("Comparing with the open operation", 0.85)
    record = _record(setting, goal, results, registration_error, [a.name for a in wanted])
    say("Planned", 1.0)
    return record


def _tried(setting: _Setting, approach: Approach, goal: str) -> _Result:
    """Search one approach and work out the best of what it finds."""
    site = setting.site
    if goal not in approach.goals:
        return _Result([], Rejected(approach=approach.name, reason=f"it does not serve the goal {goal}"), None, None)
    if not len(setting.targets.points) and not len(setting.targets.doorway):
        why = f"neither disc, fragment nor flavum is labelled at {site.frame.level}: there is no target"
        return _Result([], Rejected(approach=approach.name, reason=why), None, None)
    found = search(site, approach, setting.targets)
    counted = Feasibility(approach=approach.name, searched=found.searched, margins=MARGINS, feasible=found.feasible)
    walls = setting.walls.only(hard_keys(site, approach))
    sd = max((s.sd for k, s in site.structures.items() if k.startswith("root/")), default=1.0)
    examined = [
        figures(site, found, n, walls, setting.error, setting.targets)
        for n in shortlist(found, setting.error, sd, EXAMINED)
    ]
    clear = [f for f in examined if f.least >= 0 and f.facet_share <= approach.max_facet]
    if not clear:
        why = reason(site, found, walls, setting.targets, modality=setting.anatomy.modality, examined=examined)
        return _Result([], Rejected(approach=approach.name, reason=why), counted, found, found.caveats)
    return _Result(select(clear), None, counted, found, found.caveats)


def _entries(setting: _Setting, results: Sequence[_Result]) -> tuple[list[Figures], list[CandidateEntry]]:
    """All reported corridors in the default order, and their records."""
    known = {id(f): r for r in results for f in r.figures}
    ranked = sorted((f for r in results for f in r.figures), key=order)
    entries = []
    for n, found in enumerate(ranked):
        result = known[id(found)]
        entry = entry_of(found, setting.site, n + 1, len(setting.targets.points), _widened(setting, found, result))
        entries.append(entry.model_copy(update={"caveats": (*entry.caveats, *result.caveats)}))
    return ranked, entries


def _widened(setting: _Setting, found: Figures, result: _Result) -> Decompression:
    site, seen = setting.site, setting.canal
    if seen is None or result.found is None:
        return decompression(None, 0.0, site.frame.level)
    soft = found.approach.soft_bone(site.frame.level, site.frame.side)
    out = (found.entry - found.dock) / np.linalg.norm(found.entry - found.dock)
    take = within_reach(
        seen.site, found.approach, removable(seen, soft), result.found.fields[1], found.dock, out, found.radius
    )
    return decompression(widen(seen, take), seen.sd, site.frame.level)


def _record(
    setting: _Setting, goal: str, results: Sequence[_Result], registration_error: float | None, names: list[str]
) -> PlanRecord:
    ranked, entries = _entries(setting, results)
    site, anatomy = setting.site, setting.anatomy
    return PlanRecord(
        schema="keyhole.plan/1",
        level=site.frame.level,
        side=site.frame.side,  # type: ignore[arg-type]
        goal=goal,  # type: ignore[arg-type]
        candidates=tuple(entries),
        open=open_entry(site, setting.canal, setting.targets),
        rejected=tuple(r.rejected for r in results if r.rejected is not None),
        searched=sum(r.found.searched for r in results if r.found is not None),
        pareto=pareto(ranked),
        feasibility=tuple(r.feasibility for r in results if r.feasibility is not None),
        levels=anatomy.level_state,
        caveats=_caveats(setting, anatomy),
        provenance=_provenance(registration_error, names),
    )


def _provenance(registration_error: float | None, names: list[str]) -> Provenance:
    used = REGISTRATION if registration_error is None else float(registration_error)
    return provenance({}, registration_error=used, approaches=names)


def _caveats(setting: _Setting, anatomy: Anatomy) -> tuple[str, ...]:
    said = list(anatomy.caveats)
    if not anatomy.levels_confirmed:
        said.append(f"levels not confirmed: they are numbered by {anatomy.numbering}")
    for vertebra in anatomy.pair(setting.site.frame.level):
        said += [f"{vertebra.name}: {c}" for c in vertebra.caveats]
        if not vertebra.complete:
            said.append(f"{vertebra.name} is cut by the field of view")
    said += [*setting.site.caveats, *setting.targets.caveats]
    said.append("burden is displaced volume, not injury")
    return tuple(dict.fromkeys(said))


def plan_case(
    case: Case,
    level: str,
    side: str,
    goal: str,
    *,
    approaches: Sequence[str] | None = None,
    registration_error: float | None = None,
    progress: Progress | None = None,
) -> PlanRecord:
    """`plan` for the anatomy of `case`; writes plan.json, whole or not at all."""
    from keyhole.anatomy.reading import load  # noqa: PLC0415  (heavy import)

    say = progress or (lambda sentence, share: None)
    say("Reading the labels", 0.0)
    anatomy = load(case, with_image=False)
    record = plan(
        anatomy, level, side, goal, approaches=approaches, registration_error=registration_error,
        progress=lambda sentence, share: say(sentence, 0.2 + 0.75 * share),
    )  # fmt: skip
    inputs = case.digest("case.json", "labels.nii.gz", "labels.json")
    made = record.model_copy(update={"provenance": record.provenance.model_copy(update={"inputs": inputs})})
    case.write(made)
    say("Planned", 1.0)
    return made
