"""Rows that are one record each: a patient, an episode, an operation, an answer, an event, a measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

from keyhole.errors import InvalidInput
from keyhole.recovery.instruments import check, score
from keyhole.registry.schedule import visit_of, visits
from keyhole.registry.tables import bulk
from keyhole.registry.tables.episodes import NOWHERE, EpisodeWriter, known_deaths, known_episodes, known_patients
from keyhole.registry.tables.fields import Field, fields_of
from keyhole.registry.tables.sink import Sink
from keyhole.registry.tables.values import Values
from keyhole.registry.tables.wide import check_approach

_AFTER = frozenset({"complications", "readmissions", "reoperations"})
SAME = 0.05
"""How far a score may be from that of its items: rounding."""
_BLANK = frozenset({"approach", "levels", "level", "side"})
"""Text that is "" where it is not known, for it is part of what makes a row unique."""


def writer_of(table: str, sink: Sink, nominal_dates: bool) -> Callable[[Values], None]:
    """What puts the blocks of a file of one table in."""
    if table == "patients":
        return _Patients(sink).put
    if table == "episodes":
        episodes = EpisodeWriter(sink, brings_patients=False)

        def put(values: Values) -> None:
            episodes.put(values)

        return put
    return _Records(table, sink, nominal_dates).put


class _Patients:
    """Patients, each once."""

    def __init__(self, sink: Sink):
        self._sink = sink

    def put(self, values: Values) -> None:
        """Put a block in; a patient who is recorded, or is there twice, is refused."""
        named = values.of("patients.pseudonym")
        known = set(known_patients(self._sink, named))
        rows = []
        sexes, years = values.of("patients.sex"), values.of("patients.birth_year")
        for index in values.good():
            if named[index] in known:
                values.refuse(index, "patients.pseudonym", repr(named[index]), "a patient who is not recorded yet")
                continue
            known.add(named[index])
            rows.append((named[index], sexes[index], years[index], 1))
        self._sink.rows("patients", ("pseudonym", "sex", "birth_year", "version"), rows)


class _Records:
    """Records of an episode, each once by what makes it unique."""

    def __init__(self, table: str, sink: Sink, nominal_dates: bool):
        self._table, self._sink, self._nominal = table, sink, nominal_dates
        known = [field for field in fields_of(table) if field.name != "episode"]
        self._fields: tuple[Field, ...] = tuple(known)
        self._keys = tuple(field.name for field in known if field.key)
        self._targets = {key: timedelta(days=visit.target) for key, visit in visits().items()}
        self._first = {key: visit.first for key, visit in visits().items()}
        self._last = {key: visit.last for key, visit in visits().items()}
        self._checked: dict[tuple[str, float], str] = {}

    def put(self, values: Values) -> None:
        """Put a block in; records of no episode, before the operation, or that are there already are refused."""
        codes = values.of(f"{self._table}.episode")
        episodes = known_episodes(self._sink, codes)
        deaths = known_deaths(self._sink, (identity for identity, _ in episodes.values()))
        for index in values.good():
            if codes[index] not in episodes:
                values.refuse(index, f"{self._table}.episode", repr(codes[index]), NOWHERE)
        if self._table == "responses":
            self._answers(values, [episodes.get(code, (0, None))[1] for code in codes])
        elif self._table == "procedures":
            check_approach(values)
        elif self._table in _AFTER:
            self._events(values, [episodes.get(code, (0, None))[1] for code in codes])
        self._check_alive(values, [deaths.get(episodes.get(code, (0, None))[0]) for code in codes])
        self._blanks(values)
        accepted = self._accepted(values, codes, episodes)
        columns = [self._column(values, field) for field in self._fields]
        rows = [(identity, *(column[index] for column in columns)) for index, identity in accepted]
        self._sink.rows(self._table, ("episode_id", *(field.name for field in self._fields)), rows)

    def _check_alive(self, values: Values, deaths: Sequence[date | None]) -> None:
        if not any(deaths) or "date" not in self._keys:
            return
        days = values.of(f"{self._table}.date")
        for index in values.good():
            died = deaths[index]
            if died is not None and days[index] > died:
                values.refuse(
                    index, f"{self._table}.date", f"{days[index]}", f"a day up to the patient's death on {died}"
                )

    def _blanks(self, values: Values) -> None:
        for field in self._fields:
            if field.name in _BLANK:
                column = values.of(field.full)
                values.known[field.full] = ["" if value is None else value for value in column]

    def _column(self, values: Values, field: Field) -> list[Any]:
        column = values.of(field.full)
        if field.type == "date":
            return [self._sink.day(value) for value in column]
        if field.type == "items":
            return [None if value is None else json.dumps(value) for value in column]
        return column

    def _accepted(
        self, values: Values, codes: Sequence[Any], episodes: dict[str, tuple[int, date | None]]
    ) -> list[tuple[int, int]]:
        """Rows whose key is new, with the id of their episode."""
        keys = [values.of(f"{self._table}.{name}") for name in self._keys]
        taken = self._taken([identity for identity, _ in episodes.values()])
        accepted = []
        for index in values.good():
            identity = episodes[codes[index]][0]
            key = (identity, *(column[index] for column in keys))
            if key in taken:
                said = ", ".join(str(part) for part in key[1:] if part)
                values.refuse(
                    index, f"{self._table}.{self._keys[0]}", said, f"a record that {codes[index]} has not yet"
                )
                continue
            taken.add(key)
            accepted.append((index, identity))
        return accepted

    def _taken(self, identities: Sequence[int]) -> set[tuple[Any, ...]]:
        columns = ", ".join(f't."{name}"' for name in ("episode_id", *self._keys))
        found = bulk.where_in(self._sink.connection, columns, self._table, "episode_id", identities)
        if "date" not in self._keys:
            return {tuple(row) for row in found}
        day = self._keys.index("date") + 1
        return {(*row[:day], bulk.as_day(row[day]), *row[day + 1 :]) for row in found}

    def _events(self, values: Values, surgery: Sequence[date | None]) -> None:
        full = f"{self._table}.date"
        days = values.of(full)
        for index in values.good():
            cut = surgery[index]
            if cut is None:
                values.refuse(index, full, f"{days[index]}", "an episode that has been operated on")
            elif days[index] < cut:
                values.refuse(index, full, f"{days[index]}", f"a day since the operation on {cut}")

    def _answers(self, values: Values, surgery: Sequence[date | None]) -> None:
        """Visit from the day or the other way round; the day on its side of the operation, the value on its scale."""
        days, when = values.of("responses.date"), values.of("responses.visit")
        self._score_items(values)
        instruments, scores = values.of("responses.instrument"), values.of("responses.value")
        for index in values.good():
            cut = surgery[index]
            if days[index] is None:
                days[index] = self._nominal_day(values, index, when[index], cut)
            elif when[index] is None:
                when[index] = self._visit(values, index, days[index], cut)
            if index not in values.problems:
                self._check_side(values, index, (days[index], when[index], cut))
                self._check_score(values, index, instruments[index], scores[index])

    def _nominal_day(self, values: Values, index: int, visit: str | None, cut: date | None) -> date | None:
        if not self._nominal or visit is None or cut is None:
            values.refuse(index, "responses.date", "nothing", "the day of the answer")
            return None
        self._sink.notes["answers on the day of their visit, for the file has no day"] += 1
        return cut + self._targets[visit]

    def _visit(self, values: Values, index: int, day: date, cut: date | None) -> str | None:
        visit = None if cut is None else visit_of((day - cut).days)
        if visit is None:
            where = "an episode not operated on yet" if cut is None else f"{(day - cut).days} days after the operation"
            values.refuse(index, "responses.visit", f"nothing, {where}", "a visit, or a day in the window of one")
        return visit

    def _check_side(self, values: Values, index: int, told: tuple[Any, Any, Any]) -> None:
        day, visit, cut = told
        if day > self._sink.today:
            values.refuse(index, "responses.date", f"{day}", f"a day up to {self._sink.today}")
        elif visit == "baseline":
            if cut is not None and day > cut:
                values.refuse(index, "responses.date", f"{day}", f"a day up to the operation on {cut}")
        elif cut is None:
            values.refuse(index, "responses.visit", visit, "baseline, for there is no day of operation")
        elif day <= cut:
            values.refuse(index, "responses.date", f"{day}", f"a day after the operation on {cut}")
        if cut is not None and not self._first[visit] <= (day - cut).days <= self._last[visit]:
            self._sink.notes["answers outside the window of their visit, as the file names it"] += 1

    def _score_items(self, values: Values) -> None:
        """The score of the answers where they are given; one that is given too must be the same."""
        items, scores = values.of("responses.items"), values.of("responses.value")
        for index in values.good():
            given, said = items[index], scores[index]
            if given is None:
                if said is None:
                    values.refuse(index, "responses.value", "nothing", "a score, or the answers to the items")
                continue
            try:
                made = score(values.of("responses.instrument")[index], given).value
            except InvalidInput as error:
                values.refuse(index, "responses.items", json.dumps(given)[:60], str(error))
                continue
            if said is not None and (made is None or abs(made - said) > SAME):
                values.refuse(index, "responses.value", f"{said:g}", f"{made}, to which the items come")
            elif said is None:
                scores[index] = made

    def _check_score(self, values: Values, index: int, instrument: str, score: float | None) -> None:
        if score is None:
            return
        told = self._checked.get((instrument, score))
        if told is None:
            told = self._checked[instrument, score] = check(instrument, score)
        if told:
            values.refuse(index, "responses.value", f"{score:g}", told)
