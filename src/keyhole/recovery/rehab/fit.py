"""Fit a protocol to a case: which position is followed, how long phases are, what is added and left out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keyhole.casefile import ConflictEntry, ExerciseEntry, FittedEntry, PhaseEntry, PositionEntry
from keyhole.errors import InvalidInput
from keyhole.recovery.rehab.overrides import Changes
from keyhole.recovery.rehab.protocol import Conflict, Exercise, Fit, Phase, ProtocolFile, exercises, wrong_weeks

TITLES = {
    "age": "the age",
    "asa": "the ASA class",
    "levels": "the number of levels",
    "facet": "how much of a facet joint is taken away",
    "muscle_stripped": "how much muscle an open exposure holds aside",
    "psoas": "whether the way in goes through the psoas",
    "goal_missed": "whether the decompression reaches its goal",
}


@dataclass(frozen=True, slots=True, eq=False)
class Fitting:
    """What the figures of a case change: entries to show, exercises out, exercises in by phase, and caveats."""

    entries: tuple[FittedEntry, ...]
    without: frozenset[str]
    added: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()


def fitting(fits: Sequence[Fit], figures: Mapping[str, float | None]) -> Fitting:
    """Which of `fits` hold for `figures`; a figure that is not known counts as the careful case, and is said."""
    entries, without, caveats = [], set[str](), []
    added: dict[str, tuple[tuple[str, str], ...]] = {}
    for fit in fits:
        value = figures.get(fit.field)
        if value is None and fit.unknown == "say":
            caveats.append(f"{TITLES[fit.field]} is not known: {_unsaid(fit)}")
        holds = fit.unknown == "apply" if value is None else fit.holds(value)
        if not holds:
            continue
        if fit.refuse:
            raise InvalidInput(f"{fit.refuse} ({TITLES[fit.field]} is {value:g})")
        because = _because(fit, value)
        if value is None:
            caveats.append(because)
        entries.append(_entry(fit, because, is_assumed=value is None))
        without |= set(fit.without)
        for one in fit.add:
            added[one.phase] = (*added.get(one.phase, ()), (one.key, one.dose))
    return Fitting(tuple(entries), frozenset(without), added, tuple(caveats))


def _because(fit: Fit, value: float | None) -> str:
    if value is not None:
        shown = f"{value:.1f}".removesuffix(".0")
        return fit.because.replace("{value}", shown)
    limit = fit.at_least if fit.at_least is not None else fit.above if fit.above is not None else fit.below
    way = "or more" if fit.at_least is not None else "and above" if fit.above is not None else "and below"
    return f"{TITLES[fit.field]} is not known: the careful way is taken, as for {limit:g} {way}"


def _unsaid(fit: Fit) -> str:
    said = fit.refuse or fit.therapist or fit.patient or f"the fit {fit.key!r} was not made"
    return f"this may apply and was left out: {said[:1].lower()}{said[1:].rstrip('.')}"


def _entry(fit: Fit, because: str, *, is_assumed: bool) -> FittedEntry:
    return FittedEntry(
        key=fit.key,
        because=because,
        patient=fit.patient,
        therapist=fit.therapist,
        sources=fit.sources,
        assumed=is_assumed,
    )


def followed(conflicts: Sequence[Conflict], chosen: Mapping[str, str], by: str) -> tuple[ConflictEntry, ...]:
    """Each conflict with the position that is followed: `chosen` by the surgeon `by`, else the protocol's."""
    return tuple(_followed(one, chosen.get(one.key), by) for one in conflicts)


def _followed(one: Conflict, asked: str | None, by: str) -> ConflictEntry:
    positions = {position.key: position for position in one.position}
    key = one.chosen if asked is None else asked if asked in positions else ""
    return ConflictEntry(
        key=one.key,
        question=one.question,
        positions=tuple(PositionEntry(key=p.key, says=p.says, sources=p.sources) for p in one.position),
        chosen=key,
        followed=positions[key].patient if key else (asked or ""),
        why=one.why if asked is None else "the surgeon's choice",
        chosen_by="protocol" if asked is None else "override",
        by="" if asked is None else by,
    )


def weeks(held: ProtocolFile, conflicts: Sequence[ConflictEntry], changes: Changes) -> dict[str, int]:
    """The week in which each phase ends: the protocol's, as the position followed moves it, then the surgeon."""
    found = {phase.key: phase.to_week for phase in held.protocol.phase}
    for one, entry in zip(held.protocol.conflict, conflicts, strict=True):
        for position in one.position:
            if position.key == entry.chosen:
                found |= position.to_week
    found |= changes.to_week
    for wrong in wrong_weeks(found):
        raise InvalidInput(f"the phases do not follow each other: {wrong}")
    return found


def phases(
    held: ProtocolFile, conflicts: Sequence[ConflictEntry], fitted: Fitting, changes: Changes
) -> tuple[PhaseEntry, ...]:
    """The phases of the programme, day by day, without gap or overlap."""
    ends = weeks(held, conflicts, changes)
    made, start = [], 0
    for phase in held.protocol.phase:
        stop = 7 * ends[phase.key] - 1
        made.append(
            PhaseEntry(
                key=phase.key,
                name=phase.name,
                from_day=start,
                to_day=stop,
                about=phase.about,
                goals=phase.goals,
                exercises=_exercises(held, phase, fitted, changes),
                precautions=(*_rules(held, phase, conflicts), *phase.precautions, *changes.precautions(phase.key)),
                criteria=phase.criterion,
                sources=phase.sources,
            )
        )
        start = stop + 1
    return tuple(made)


def _rules(held: ProtocolFile, phase: Phase, conflicts: Sequence[ConflictEntry]) -> tuple[str, ...]:
    pairs = zip(held.protocol.conflict, conflicts, strict=True)
    return tuple(entry.followed for one, entry in pairs if phase.key in one.phases)


def _exercises(held: ProtocolFile, phase: Phase, fitted: Fitting, changes: Changes) -> tuple[ExerciseEntry, ...]:
    doses = {one.key: one.dose for one in phase.exercise if one.key not in fitted.without}
    for key, dose in fitted.added.get(phase.key, ()):
        doses.setdefault(key, dose)
    for key in changes.without(phase.key):
        if key not in doses:
            raise InvalidInput(f"phase {phase.key!r} has no exercise {key!r} to leave out; it has {', '.join(doses)}")
        del doses[key]
    for key, dose in changes.added(phase.key):
        if key not in held.exercises:
            raise InvalidInput(f"no exercise is called {key!r}; known are {', '.join(held.exercises)}")
        doses[key] = dose
    return tuple(_exercise(key, held.exercises[key], dose) for key, dose in doses.items())


def _exercise(key: str, one: Exercise, dose: str) -> ExerciseEntry:
    is_drawn = exercises().get(key) is one
    return ExerciseEntry(key=key, title=one.title, how=one.how, stop=one.stop, dose=dose, drawn=is_drawn)
