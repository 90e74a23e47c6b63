"""The rehabilitation programme of a case: rehab.json, its sign-off, and whether it is still of the plan."""

from __future__ import annotations

import datetime
import hashlib

from keyhole.casefile import (
    Case,
    CaseRecord,
    ConflictEntry,
    PlanRecord,
    ProtocolEntry,
    Provenance,
    RehabRecord,
    SignOff,
    provenance,
)
from keyhole.errors import InvalidInput, KeyholeError, WrongCase
from keyhole.evidence import procedures
from keyhole.forecast import current_forecast
from keyhole.recovery.rehab.facts import Facts, facts
from keyhole.recovery.rehab.fit import Fitting, fitting, followed, phases
from keyhole.recovery.rehab.overrides import Overrides, changes, override_entries
from keyhole.recovery.rehab.protocol import ProtocolFile, cited, protocol_for

UNSIGNED = "the clinic has not signed off the list of red flags: `keyhole rehab CASE --sign-off-red-flags --by NAME`"
NO_START = "the day of the operation is not known: days are counted from it, and there is no calendar"
ALWAYS = (
    "published protocols conflict and few are tested: where they disagree the programme says what it follows and why",
    "phases end when their criteria are met, not when their days are over",
)


def build(
    case: Case, *, date: str | None = None, overrides: Overrides | None = None, protocol: ProtocolFile | None = None
) -> RehabRecord:
    """The programme for the planned operation of `case`, in memory; `rehab_case` writes it.

    Parameters
    ----------
    date : day of the operation, YYYY-MM-DD; None: days are counted from an unknown one.
    overrides : what the surgeon sets; recorded with the name.
    protocol : the clinic's own; None: Keyhole's for the operation.
    """
    asked = overrides or Overrides()
    start = None if date is None else _day(date)
    known = facts(case, asked.facts, asked.by)
    held = protocol or protocol_for(known.procedure)
    if known.procedure not in held.protocol.procedures:
        raise InvalidInput(
            f"{held.file} is for {', '.join(held.protocol.procedures)}, but the operation is {known.procedure}"
        )
    changed = changes(asked, held.protocol)
    conflicts = followed(held.protocol.conflict, changed.chosen, asked.by)
    fitted = fitting(held.protocol.fit, known.figures)
    earlier, notes = _earlier(case)
    signed, said = _signed(held, earlier)
    made = RehabRecord(
        schema="keyhole.rehab/1",
        procedure=known.procedure,
        procedure_title=_title(known),
        levels=known.levels,
        approach=known.approach,
        protocol=_protocol_entry(held, conflicts, fitted),
        start=start,
        phases=phases(held, conflicts, fitted, changed),
        conflicts=conflicts,
        red_flags=held.red_flags.flag,
        red_flags_version=held.red_flags.version,
        red_flags_sha256=held.red_flags.digest,
        signed_off=signed,
        facts=known.told,
        fitted=fitted.entries,
        overrides=override_entries(asked, held.protocol, _was(case)),
        caveats=(*said, *_caveats(known, fitted, start), *notes, *_dropped(earlier, asked, start)),
        calendar=_calendar(case),
        provenance=_provenance(case, held, start, asked),
    )
    return made.model_copy(update={"revision": _revision(made, earlier)})


def rehab_case(
    case: Case, *, date: str | None = None, overrides: Overrides | None = None, protocol: ProtocolFile | None = None
) -> RehabRecord:
    """`build`, and write rehab.json, whole or not at all."""
    made = build(case, date=date, overrides=overrides, protocol=protocol)
    case.write(made)
    return made


def sign_off(case: Case, *, by: str, today: str) -> RehabRecord:
    """Record that `by` answers for the red flags of the programme of `case`, on the day `today`."""
    if not by.strip():
        raise InvalidInput("a sign-off of the red flags needs the name of a person: give --by NAME")
    found = case.read(RehabRecord)
    why = staleness(case, found)
    if why:
        raise WrongCase(f"{case.path}: rehab.json {why}; run `keyhole rehab` again before signing")
    signed = SignOff(by=by.strip(), date=_day(today), sha256=found.red_flags_sha256)
    made = found.model_copy(
        update={
            "signed_off": signed,
            "caveats": tuple(one for one in found.caveats if one != UNSIGNED and not one.startswith(CHANGED)),
        }
    )
    case.write(made)
    return made


def staleness(case: Case, found: RehabRecord) -> str:
    """Why the programme `found` is not of the case as it is now; empty where it is."""
    if found.provenance.inputs.get("plan.json") != case.digest("plan.json").get("plan.json"):
        return "is of an earlier plan"
    forecast = current_forecast(case)
    is_set = any(one.key in ("procedure", "approach") for one in found.overrides)
    if forecast is not None and not is_set and forecast.procedure.key != found.procedure:
        return f"is for {found.procedure}, but the forecast is now of {forecast.procedure.key}"
    return ""


def current_rehab(case: Case) -> RehabRecord | None:
    """The programme of `case`; None where there is none, or one that is stale."""
    if not case.has(RehabRecord):
        return None
    found = case.read(RehabRecord)
    return None if staleness(case, found) else found


CHANGED = "the list of red flags has changed since"


def _signed(held: ProtocolFile, earlier: RehabRecord | None) -> tuple[SignOff | None, tuple[str, ...]]:
    """The earlier sign-off where it is of the same list; else what must be said."""
    before = None if earlier is None else earlier.signature
    if before is None:
        return None, (UNSIGNED,)
    if before.sha256 == held.red_flags.digest:
        return before, ()
    return None, (f"{CHANGED} {before.by} signed it off on {before.date}: it counts for none now", UNSIGNED)


def _earlier(case: Case) -> tuple[RehabRecord | None, tuple[str, ...]]:
    if not case.has(RehabRecord):
        return None, ()
    try:
        return case.read(RehabRecord), ()
    except KeyholeError:
        return None, ("the earlier rehab.json could not be read: a sign-off in it is lost",)


def _dropped(earlier: RehabRecord | None, asked: Overrides, start: str | None) -> tuple[str, ...]:
    """What an earlier programme had and this one has not: never silently."""
    if earlier is None:
        return ()
    kept = set(asked.settings)
    gone = [one for one in earlier.overrides if (one.key, one.value) not in kept]
    said = [f"set before and not now: {one.key} = {one.value}, by {one.by}" for one in gone]
    if earlier.start is not None and start is None:
        said.append(f"the programme before this one began on {earlier.start}; give --date again if that holds")
    return tuple(said)


def _title(known: Facts) -> str:
    title = procedures()[known.procedure].title
    return title.replace(" of one level", "") if len(known.levels) > 1 else title


def _caveats(known: Facts, fitted: Fitting, start: str | None) -> tuple[str, ...]:
    return (*([NO_START] if start is None else []), *known.caveats, *fitted.caveats, *ALWAYS)


def _protocol_entry(held: ProtocolFile, conflicts: tuple[ConflictEntry, ...], fitted: Fitting) -> ProtocolEntry:
    one = held.protocol
    keys = [*one.sources, *held.red_flags.sources]
    keys += [key for phase in one.phase for key in phase.sources]
    keys += [key for phase in one.phase for criterion in phase.criterion for key in criterion.sources]
    keys += [key for entry in conflicts for position in entry.positions for key in position.sources]
    keys += [key for entry in fitted.entries for key in entry.sources]
    return ProtocolEntry(
        key=one.key,
        name=one.name,
        version=one.version,
        origin="clinic" if held.is_own else "keyhole",
        file=held.file,
        sha256=held.sha256,
        sources=cited(keys),
    )


def _was(case: Case) -> tuple[tuple[str, str], ...]:
    patient = case.read(CaseRecord).patient
    said = [(key, f"{value:g}") for key, value in (("age", patient.age), ("asa", patient.asa)) if value is not None]
    return (*said, *([("levels", case.read(PlanRecord).level)] if case.has(PlanRecord) else []))


def _calendar(case: Case) -> str:
    """A name for the calendar's entries that stays when the plan changes and says nothing of the patient."""
    record = case.read(CaseRecord)
    images = [image.sha256 for image in record.images] or list(case.digest("labels.nii.gz").values())
    seeds = [record.id, *images]
    return hashlib.sha256("\n".join(seeds).encode()).hexdigest()[:24]


def _provenance(case: Case, held: ProtocolFile, start: str | None, asked: Overrides) -> Provenance:
    inputs = case.digest("case.json", "plan.json", "forecast.json") | {held.file: held.sha256}
    settings = [f"{key}={value}" for key, value in asked.settings]
    return provenance(inputs, start=start, by=asked.by or None, set=settings)


def _revision(made: RehabRecord, earlier: RehabRecord | None) -> int:
    """One more than the earlier programme's where this one differs: calendars then take it as newer."""
    if earlier is None:
        return 0
    aside = {"revision": 0, "signed_off": None, "caveats": ()}
    same = made.model_copy(update=aside) == earlier.model_copy(update=aside)
    return earlier.revision + (not same)


def _day(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat() if len(text) == 10 else _no_day(text)
    except ValueError:
        return _no_day(text)


def _no_day(text: str) -> str:
    raise InvalidInput(f"a day is written YYYY-MM-DD, got {text!r}")
