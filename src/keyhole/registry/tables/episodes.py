"""New patients and episodes of a block: who is known, who is there twice, who contradicts what is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from keyhole.registry.tables import bulk
from keyhole.registry.tables.fields import fields_of
from keyhole.registry.tables.sink import Sink
from keyhole.registry.tables.values import Values

OWN = ("patients.sex", "patients.birth_year")
EPISODE = tuple(known.name for known in fields_of("episodes") if known.name != "patient")
NOWHERE = "an episode of the registry"


@dataclass(slots=True)
class Known:
    """Patients by pseudonym, episodes by code, and the days on which each patient was operated on."""

    patients: dict[str, tuple[int, Any, Any]] = field(default_factory=dict)
    episodes: dict[str, tuple[int, date | None]] = field(default_factory=dict)
    days: dict[tuple[int, date], str] = field(default_factory=dict)


def known_episodes(sink: Sink, codes: Iterable[str | None]) -> dict[str, tuple[int, date | None]]:
    """Id and day of operation of the recorded episodes among `codes`."""
    found = bulk.where_in(sink.connection, "t.code, t.id, t.surgery_date", "episodes", "code", _given(codes))
    return {code: (identity, bulk.as_day(day)) for code, identity, day in found}


def known_patients(sink: Sink, pseudonyms: Iterable[str | None]) -> dict[str, tuple[int, Any, Any]]:
    """Id, sex and year of birth of the recorded patients among `pseudonyms`."""
    found = bulk.where_in(
        sink.connection, "t.pseudonym, t.id, t.sex, t.birth_year", "patients", "pseudonym", _given(pseudonyms)
    )
    return {pseudonym: (identity, sex, year) for pseudonym, identity, sex, year in found}


def known_days(sink: Sink, patients: Iterable[int]) -> dict[tuple[int, date], str]:
    """The code of the episode of each of the patients on each day."""
    found = bulk.where_in(sink.connection, "t.patient_id, t.surgery_date, t.code", "episodes", "patient_id", patients)
    days = ((patient, bulk.as_day(day), code) for patient, day, code in found)
    return {(patient, day): code for patient, day, code in days if day is not None}


def known_deaths(sink: Sink, episodes: Iterable[int]) -> dict[int, date]:
    """The day of death of the patients of the episodes, by episode."""
    dead = (
        "(SELECT o.id, c.date, c.voided_at FROM complications c JOIN episodes e ON e.id = c.episode_id "
        "JOIN episodes o ON o.patient_id = e.patient_id WHERE c.code = 'death' AND c.voided_at IS NULL)"
    )
    found = bulk.where_in(sink.connection, "t.id, t.date", dead, "id", episodes)
    days = ((identity, bulk.as_day(day)) for identity, day in found)
    return {identity: day for identity, day in days if day is not None}


def _age_wrong(day: date | None, age: float | None, born: int | None) -> tuple[str, str, str] | None:
    """Field, what stands there and what was expected, where an operation does not fit the year of birth."""
    if day is None or born is None:
        return None
    if day.year < born:
        return "episodes.surgery_date", f"{day}", f"a day since the patient's year of birth, {born}"
    if age is not None and not day.year - born - 1 <= age < day.year - born + 1:
        return "episodes.age", f"{age:g}", f"about {day.year - born}, for the patient was born in {born}"
    return None


def _given(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if value is not None]


class EpisodeWriter:
    """Puts the episodes of blocks in, with their patients where a row brings them along."""

    def __init__(self, sink: Sink, brings_patients: bool):
        self._sink, self._brings = sink, brings_patients

    def put(self, values: Values) -> list[tuple[int, int]]:
        """Put the block's good rows in; returns each row's place in the block and the id of its episode."""
        sink = self._sink
        pseudonym = "patients.pseudonym" if self._brings else "episodes.patient"
        named, codes = values.of(pseudonym), values.of("episodes.code")
        known = Known(known_patients(sink, named), known_episodes(sink, codes))
        known.days = known_days(sink, (patient[0] for patient in known.patients.values()))
        new = self._new_patients(values, known, named) if self._brings else []
        accepted = self._accepted(values, known, (pseudonym, named, codes))
        used = {named[index] for index in accepted}
        rows = [(identity, name, sex, year) for identity, name, sex, year in new if name in used]
        sink.rows("patients", ("id", "pseudonym", "sex", "birth_year", "version"), [(*row, 1) for row in rows])
        return self._episodes(values, known, accepted, named)

    def _new_patients(self, values: Values, known: Known, named: list[Any]) -> list[tuple[int, str, Any, Any]]:
        """Patients that the registry does not know, each once, and the rows that contradict them."""
        sexes, years = (values.of(full) for full in OWN)
        fresh = list(dict.fromkeys(n for n in named if n is not None and n not in known.patients))
        ids = dict(zip(fresh, bulk.new_ids(self._sink.connection, "patients", len(fresh)), strict=True))
        new: dict[str, tuple[int, str, Any, Any]] = {}
        for index in values.good():
            name = named[index]
            recorded = known.patients.get(name)
            if recorded is None:
                new[name] = (ids[name], name, sexes[index], years[index])
                known.patients[name] = (ids[name], sexes[index], years[index])
                continue
            for full, said, had in zip(OWN, (sexes[index], years[index]), recorded[1:], strict=True):
                if said is not None and had is not None and said != had:
                    values.refuse(index, full, f"{said}", f"{had}, as recorded of the patient {name}")
        return list(new.values())

    def _accepted(self, values: Values, known: Known, given: tuple[str, list[Any], list[Any]]) -> list[int]:
        pseudonym, named, codes = given
        days, ages = values.of("episodes.surgery_date"), values.of("episodes.age")
        accepted = []
        for index in values.good():
            name, code, day = named[index], codes[index], days[index]
            patient = known.patients.get(name)
            if patient is None:
                values.refuse(index, pseudonym, repr(name), "a patient of the registry")
            elif (told := _age_wrong(days[index], ages[index], patient[2])) is not None:
                values.refuse(index, told[0], told[1], told[2])
            elif code in known.episodes:
                values.refuse(index, "episodes.code", repr(code), "an episode that is not recorded yet")
            elif day is not None and (patient[0], day) in known.days:
                other = known.days[patient[0], day]
                values.refuse(index, "episodes.surgery_date", f"{day} of the patient {name} again", f"once: {other}")
            else:
                known.episodes[code] = (0, day)
                if day is not None:
                    known.days[patient[0], day] = code
                accepted.append(index)
        return accepted

    def _episodes(
        self, values: Values, known: Known, accepted: Sequence[int], named: list[Any]
    ) -> list[tuple[int, int]]:
        sink = self._sink
        ids = bulk.new_ids(sink.connection, "episodes", len(accepted))
        columns = [values.of(f"episodes.{name}") for name in EPISODE]
        day = EPISODE.index("surgery_date")
        columns[day] = [sink.day(value) for value in columns[day]]
        rows = [
            (identity, known.patients[named[index]][0], 1, *(column[index] for column in columns))
            for identity, index in zip(ids, accepted, strict=True)
        ]
        sink.rows("episodes", ("id", "patient_id", "version", *EPISODE), rows)
        return list(zip(accepted, ids, strict=True))
