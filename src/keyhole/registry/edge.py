"""The edge: what is given becomes a record's values, or is refused in one sentence with the field.

The same table of fields stands behind import, record and data dictionary (`tables/fields.toml`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from keyhole.errors import InvalidInput, Refused
from keyhole.recovery.instruments import check, score
from keyhole.registry.codes import approaches
from keyhole.registry.models import Episode, Patient
from keyhole.registry.schedule import visit_of, visits
from keyhole.registry.tables.cells import Reading, Wrong, cell_of
from keyhole.registry.tables.fields import fields_of

TABLE_OF = {
    "patient": "patients",
    "episode": "episodes",
    "procedure": "procedures",
    "response": "responses",
    "complication": "complications",
    "readmission": "readmissions",
    "reoperation": "reoperations",
    "measure": "measures",
}
"""What can be recorded by its word, and its table."""

_EMPTY = {"side": "", "level": "", "levels": "", "approach": ""}  # part of what makes a row unique: "" is not known
_DERIVED = ("is_miss",)  # needed, but another field may say it


def values(entity: str, given: Mapping[str, object], today: date) -> dict[str, Any]:
    """What is `given` for a new record of `entity` as values of every field, None where nothing is known."""
    known = {field.name: field for field in fields_of(TABLE_OF[entity])}
    for name in given:
        if name not in known:
            raise Refused(name, f"is no field of a {entity}; the fields are {', '.join(known)}")
    found = {}
    for name, field in known.items():
        text = _text(given.get(name))
        value = None if not text and name in _DERIVED else cell_of(field, Reading(last=today))(text)
        if isinstance(value, Wrong):
            raise Refused(name, f"expected {value.expected}, got {value.found}")
        found[name] = _EMPTY.get(name) if value is None else value
    return found


def check_episode(found: Mapping[str, Any], patient: Patient) -> None:
    """Refuse an operation before birth and an age that the year of birth contradicts."""
    surgery, age, born = found["surgery_date"], found["age"], patient.birth_year
    if surgery is None or born is None:
        return
    if surgery.year < born:
        raise Refused("surgery_date", f"{surgery} lies before the patient's year of birth, {born}")
    if age is not None and not surgery.year - born - 1 <= age < surgery.year - born + 1:
        raise Refused(
            "age",
            f"{age:g} years on {surgery} contradict the year of birth {born}, expected about {surgery.year - born}",
        )


def check_procedure(found: dict[str, Any]) -> None:
    """Refuse an opening that the approach contradicts; where it is not said, the approach says which it is."""
    small = approaches().get(found["approach"])
    if found["is_miss"] is None and small is None:
        raise Refused("is_miss", "expected 1 (small opening) or 0 (open), or an approach that says so, got nothing")
    if found["is_miss"] is None:
        found["is_miss"] = small
    elif small is not None and bool(found["is_miss"]) != small:
        kind = "a small opening" if small else "an open one"
        raise Refused("is_miss", f"{found['approach']} is {kind}, got {int(found['is_miss'])}")


def check_response(found: dict[str, Any], episode: Episode) -> tuple[str, ...]:
    """Score the items, name the visit; refuse what cannot be. Returns what must be said with the response."""
    if found["date"] is None:
        raise Refused("date", "expected the day of the answers, YYYY-MM-DD, got nothing")
    return (*_scored(found), *_visited(found, episode))


def check_event(entity: str, found: Mapping[str, Any], episode: Episode) -> None:
    """Refuse what happened after an operation that has not been, or before it; and an "other" without a note."""
    when, surgery = found["date"], episode.surgery_date
    if surgery is None:
        raise Refused("date", f"{episode.code} has no date of operation yet, so no {entity} can follow it")
    if when < surgery:
        raise Refused("date", f"{when} lies before the operation on {surgery}")
    if entity == "complication" and found["code"] == "other" and not found["note"]:
        raise Refused("note", 'expected what it was, since the code is "other", got nothing')


def check_alive(found: Mapping[str, Any], died: date | None) -> None:
    """Refuse what is said to have happened after the patient's death."""
    if died is not None and found["date"] > died:
        raise Refused("date", f"{found['date']} lies after the patient's death on {died}")


def _scored(found: dict[str, Any]) -> tuple[str, ...]:
    key, value, items = found["instrument"], found["value"], found["items"]
    if items is None:
        if value is None:
            raise Refused("value", "expected a score, or the answers to the items, got neither")
        wrong = check(key, value)
        if wrong:
            raise Refused("value", wrong)
        return ()
    try:
        made = score(key, items)
    except InvalidInput as error:
        raise Refused("items", str(error)) from error
    if value is not None and (made.value is None or abs(made.value - value) > 0.05):
        raise Refused("value", f"the items come to {made.value}, got {value:g}")
    found["value"] = made.value
    return made.caveats


def _visited(found: dict[str, Any], episode: Episode) -> tuple[str, ...]:
    when, surgery, asked = found["date"], episode.surgery_date, found["visit"]
    if surgery is None:
        if asked not in (None, "baseline"):
            raise Refused("visit", f"{episode.code} has no date of operation yet, expected baseline, got {asked}")
        found["visit"] = "baseline"
        return ()
    days = (when - surgery).days
    if asked is None:
        found["visit"] = visit_of(days)
        if found["visit"] is None:
            raise Refused("date", f"{when}, day {days} after the operation, lies in no visit's window: name the visit")
        return ()
    if asked == "baseline" and days > 0:
        raise Refused(
            "date", f"{when} lies after the operation on {surgery}, expected a day before it for the baseline"
        )
    if asked != "baseline" and days <= 0:
        raise Refused("date", f"{when} lies before the operation on {surgery}, expected a day after it for {asked}")
    visit = visits()[asked]
    if not visit.first <= days <= visit.last:
        return (f"day {days} lies outside the window of {asked}, days {visit.first} to {visit.last}",)
    return ()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return json.dumps(list(value))
    return value.isoformat() if isinstance(value, date) else str(value).strip()
