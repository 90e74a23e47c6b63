"""A plan's results as plan.json holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keyhole.casefile import (
    ApproachEntry,
    CandidateEntry,
    Decompression,
    FrontEntry,
    InstrumentEntry,
    PlanRecord,
    Provenance,
    Quantity,
    RemarkEntry,
    TargetEntry,
)
from keyhole.plan.approaches import AIMS, Approach
from keyhole.plan.approaches import catalogue as shipped
from keyhole.plan.biportal import with_portals
from keyhole.plan.candidate import Figures, entry_of
from keyhole.plan.decompress import decompress, decompression, facet_curves
from keyhole.plan.harm.opened import open_entries
from keyhole.plan.instruments import instruments
from keyhole.plan.rank import order, pareto
from keyhole.plan.setting import Result, Setting
from keyhole.plan.targets import Targets, target
from keyhole.plan.touch import reaches
from keyhole.plan.vertebrae import frames


def record(settings: Sequence[Setting], results: Sequence[Result], made_by: Provenance) -> PlanRecord:
    """The plan of all `settings` (one for each side that was planned), ranked together."""
    ranked = sorted(((f, r) for r in results for f in r.figures), key=lambda pair: order(pair[0]))
    targets = {id(s): _targets(s) for s in settings}
    entries = [_entry(f, r, n + 1, targets[id(r.setting)]) for n, (f, r) in enumerate(ranked)]
    first = ranked[0][1].setting if ranked else settings[0]
    level = first.site.frame.level
    opens = open_entries(first.site, first.canal, first.targets, first.goal)
    return PlanRecord(
        schema="keyhole.plan/1",
        level=level,
        side=first.site.frame.side,  # type: ignore[arg-type]  # a checked side
        goal=first.goal,  # type: ignore[arg-type]  # a checked goal
        candidates=tuple(entries),
        open=next(iter(opens), None),
        comparators=opens[1:],
        rejected=tuple(r.rejected for r in results if r.rejected is not None),
        searched=sum(r.found.searched for r in results if r.found is not None),
        pareto=pareto([f for f, _ in ranked]),
        feasibility=tuple(r.feasibility for r in results if r.feasibility is not None),
        sides=tuple(s.site.frame.side for s in settings),  # type: ignore[misc]  # checked sides
        approaches=tuple(
            _approach(a, level, first.site.frame.side) for a in {r.approach.name: r.approach for r in results}.values()
        ),
        targets=tuple(_target(s, name, t) for s in settings for name, t in targets[id(s)].items()),
        facet_curves=facet_curves() if first.goal == "decompress" else (),
        fronts=_fronts(results, entries, [f for f, _ in ranked]),
        frames=frames(first.anatomy),
        levels=first.anatomy.level_state,
        caveats=_caveats(settings),
        provenance=made_by,
    )


def _targets(setting: Setting) -> dict[str, Targets]:
    """Every target that is there, by name; that of the plan first."""
    core, own = setting.site.core, setting.targets
    others = {name: target(core, name) for name in AIMS if name not in (own.name, "pedicle")}
    return {own.name: own, **{name: t for name, t in others.items() if len(t.points)}}


def _entry(found: Figures, result: Result, rank: int, targets: Mapping[str, Targets]) -> CandidateEntry:
    setting = result.setting
    entry = entry_of(found, setting.site, rank, len(setting.targets.points), _widened(found, result))
    reach = {} if result.found is None else reaches(found, result.found.fields[1], targets)
    caveats = (*entry.caveats, *_held(found.approach, setting), *result.caveats)
    entry = entry.model_copy(update={"caveats": tuple(dict.fromkeys(caveats)), "reaches": reach})
    return with_portals(entry, found, setting.site)


def _held(approach: Approach, setting: Setting) -> tuple[str, ...]:
    """What the operation holds aside, which is not planned as geometry."""
    frame = setting.site.frame
    upper, lower = frame.level.split("/")
    said = []
    for one in approach.retracts:
        key = one.structure.format(upper=upper, lower=lower, side=frame.side)
        much = "no amount is published" if one.amount is None else f"{one.amount:.0f} mm are published"
        said.append(f"{key} is held aside in this operation: {much}, and it is not planned here")
    return tuple(said)


def _widened(found: Figures, result: Result) -> Decompression:
    site, seen = result.setting.site, result.setting.canal
    if seen is None or result.found is None:
        return decompression(None, site.frame.level)
    entry, dock = np.round(found.entry, 4), np.round(found.dock, 4)  # as plan.json holds them: anyone gets the same
    is_first = found is result.figures[0]
    removal = decompress(seen, found.approach, dock, entry - dock, found.radius, with_bone=is_first)
    return decompression(removal, site.frame.level)


def _approach(approach: Approach, level: str, side: str) -> ApproachEntry:
    table = instruments()
    tools = tuple(
        InstrumentEntry(
            name=name, title=table[name].title, outer=table[name].outer, working=table[name].working,
            optics=table[name].optics, bend=table[name].bend, maker=table[name].maker, source=table[name].source,
        )
        for name in approach.instruments
    )  # fmt: skip
    own = shipped().get(approach.name)
    return ApproachEntry(
        name=approach.name,
        title=approach.title,
        kind=approach.kind,  # type: ignore[arg-type]  # a checked kind
        origin="catalogue" if own is not None and own.at(level) == approach else "file",
        aims=approach.aims,
        reach=approach.reach,
        angulation=approach.angulation,
        implants=approach.implants,
        instruments=tools,
        contraindications=tuple(RemarkEntry(text=r.text, source=r.source) for r in approach.contraindications),
        may_cut=approach.soft_bone(level, side),
    )


def _target(setting: Setting, name: str, found: Targets) -> TargetEntry:
    volume = float(found.mask.sum()) * setting.site.labels.grid.voxel_volume / 1000
    return TargetEntry(
        name=name,  # type: ignore[arg-type]  # one of AIMS
        side=setting.site.frame.side,  # type: ignore[arg-type]  # a checked side
        what=found.what,
        volume=Quantity(value=round(volume, 4), sd=None, unit="mL", source="keyhole-plan"),
        points=len(found.points),
        is_aim=name == setting.targets.name,
        caveats=found.caveats,
    )


def _fronts(
    results: Sequence[Result], entries: Sequence[CandidateEntry], ranked: Sequence[Figures]
) -> tuple[FrontEntry, ...]:
    """The front of each approach on each side, by rank."""
    rank = {id(f): e.rank or 0 for f, e in zip(ranked, entries, strict=True)}
    return tuple(
        FrontEntry(
            approach=r.approach.name,
            side=r.setting.site.frame.side,  # type: ignore[arg-type]  # a checked side
            ranks=tuple(sorted(rank[id(r.figures[n])] for n in pareto(r.figures))),
        )
        for r in results
        if r.figures
    )


def _caveats(settings: Sequence[Setting]) -> tuple[str, ...]:
    anatomy = settings[0].anatomy
    said = list(anatomy.caveats)
    if not anatomy.levels_confirmed:
        said.append(f"levels not confirmed: they are numbered by {anatomy.numbering}")
    for vertebra in anatomy.pair(settings[0].site.frame.level):
        said += [f"{vertebra.name}: {c}" for c in vertebra.caveats]
        if not vertebra.complete:
            said.append(f"{vertebra.name} is cut by the field of view")
    for setting in settings:
        said += [*setting.site.caveats, *setting.targets.caveats]
    said.append("burden is displaced volume, not injury")
    return tuple(dict.fromkeys(said))
