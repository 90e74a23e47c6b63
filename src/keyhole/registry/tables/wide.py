"""Rows that are whole episodes: patient, episode, operation, answers at the visits and what happened after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from keyhole.registry.codes import approaches
from keyhole.registry.schedule import visits
from keyhole.registry.tables.episodes import EpisodeWriter
from keyhole.registry.tables.fields import fields_of
from keyhole.registry.tables.sink import Sink
from keyhole.registry.tables.values import Answers, Values
from keyhole.registry.tables.vocabulary import UNSPECIFIED

PROCEDURE = tuple(known.name for known in fields_of("procedures") if known.name != "episode")
RESPONSE = ("episode_id", "instrument", "visit", "date", "value")
MEASURE = ("episode_id", "name", "unit", "date", "value", "level", "side")
SEEN = "wide.followup_days"
SAID_ONLY = "the imported table says only that there was one"

EVENTS = {"wide.complication": "complication", "wide.readmitted": "readmission", "wide.reoperated": "reoperation"}
TOLD = {
    "wide.levels": ("levels", "{level}"),
    "wide.followup_days": ("follow-up", "d"),
    "wide.recovered": ("recovered", "1"),
    "wide.recovery_days": ("recovery", "d"),
}
"""What a wide table says and no event or answer shows, kept as measures: field -> name and unit."""
ASKED = "asked: {}"
"""The measure that says whether an event was asked about at all: 1 asked and none, 0 not known."""


def check_approach(values: Values) -> None:
    """Refuse an operation whose approach says otherwise whether it was through a small opening."""
    approach, is_small = values.of("procedures.approach"), values.of("procedures.is_miss")
    if not any(approach):
        return
    small = approaches()
    for index in values.good():
        if approach[index] and small[approach[index]] != is_small[index]:
            expected = f"{int(small[approach[index]])}, for the approach is {approach[index]}"
            values.refuse(index, "procedures.is_miss", f"{int(is_small[index])}", expected)


class WideWriter:
    """Puts the episodes of blocks in, with everything that their rows say."""

    def __init__(self, sink: Sink):
        self._sink = sink
        self._episodes = EpisodeWriter(sink, brings_patients=True)

    def put(self, values: Values) -> None:
        """Put a block in; rows that cannot be are left out and said in `values`."""
        self._check_answers(values)
        self._check_events(values)
        check_approach(values)
        placed = self._episodes.put(values)
        self._operations(values, placed)
        self._answers(values, placed)
        self._events(values, placed)
        self._told(values, placed)

    def _check_answers(self, values: Values) -> None:
        """No follow-up before the operation, no baseline after it, nothing in the future."""
        surgery = values.of("episodes.surgery_date")
        for answers in values.answers:
            name, is_first = answers.column.name, answers.column.visit == "baseline"
            days = answers.days = self._days(answers, values)
            for index in values.good():
                if answers.values[index] is None:
                    continue
                day, cut = days[index], surgery[index]
                if day is None:
                    values.refuse(index, answers.column.on or name, "nothing", f"the day of the answer in {name}")
                elif is_first and day > cut:
                    values.refuse(index, name, f"an answer of {day}", f"a day up to the operation on {cut}")
                elif not is_first and day <= cut:
                    values.refuse(index, name, f"an answer of {day}", f"a day after the operation on {cut}")
                elif day > self._sink.today:
                    values.refuse(index, name, f"an answer of {day}", f"a day up to {self._sink.today}")

    def _days(self, answers: Answers, values: Values) -> list[Any]:
        """The days of the answers; without a column of days the visit's own, or the last on which the patient was seen.

        A patient who was last seen before the visit's window opens cannot have answered there.
        """
        if answers.days is not None:
            return answers.days
        visit, surgery, seen = (
            visits()[answers.column.visit],
            values.of("episodes.surgery_date"),
            values.known.get(SEEN),
        )
        days = {day: visit.day(day) for day in set(surgery) if day is not None}
        found = [days.get(day) for day in surgery]
        if seen is None or visit.target <= 0:
            return found
        for index, last in enumerate(seen):
            if last is None or last >= visit.target or answers.values[index] is None or surgery[index] is None:
                continue
            if last < visit.first:
                expected = f"nothing, for the patient was last seen {last:g} days after the operation"
                values.refuse(index, answers.column.name, f"{answers.values[index]:g}", expected)
            found[index] = surgery[index] + timedelta(days=int(last))
        return found

    def _check_events(self, values: Values) -> None:
        again, after = values.of("wide.reoperated"), values.of("wide.reoperation_days")
        surgery = values.of("episodes.surgery_date")
        for index in values.good():
            if surgery[index] is None:
                values.refuse(index, "episodes.surgery_date", "nothing", "the day of the operation")
            elif again[index] and after[index] is None:
                values.refuse(index, "wide.reoperation_days", "nothing", "the days to the reoperation that there was")
            elif not again[index] and after[index] is not None:
                values.refuse(
                    index, "wide.reoperation_days", f"{after[index]}", "nothing, for there was no reoperation"
                )
            elif after[index] is not None and surgery[index] + timedelta(days=after[index]) > self._sink.today:
                values.refuse(index, "wide.reoperation_days", f"{after[index]} days", f"a day up to {self._sink.today}")

    def _operations(self, values: Values, placed: Sequence[tuple[int, int]]) -> None:
        columns = [values.of(f"procedures.{name}") for name in PROCEDURE]
        blank = [n for n, name in enumerate(PROCEDURE) if name in {"approach", "levels", "side"}]
        for n in blank:
            columns[n] = ["" if value is None else value for value in columns[n]]
        rows = [(episode, *(column[index] for column in columns)) for index, episode in placed]
        self._sink.rows("procedures", ("episode_id", *PROCEDURE), rows)

    def _answers(self, values: Values, placed: Sequence[tuple[int, int]]) -> None:
        day = self._sink.day
        for answers in values.answers:
            about, given = answers.column, answers.values
            days: list[Any] = answers.days or []
            rows = [
                (episode, about.instrument, about.visit, day(days[index]), given[index])
                for index, episode in placed
                if given[index] is not None
            ]
            self._sink.rows("responses", RESPONSE, rows)
            if not about.on:
                self._sink.notes["answers on the day of their visit, for the file has no day"] += len(rows)

    def _events(self, values: Values, placed: Sequence[tuple[int, int]]) -> None:
        """Events of which the row says that they were; and where it says nothing, or nothing would show it."""
        sink, surgery = self._sink, values.of("episodes.surgery_date")
        after, followed = values.of("wide.reoperation_days"), self._followed(values)
        asked: list[tuple[Any, ...]] = []
        for full, word in EVENTS.items():
            said = values.known.get(full, [None] * len(values))
            happened = [(episode, surgery[index], after[index]) for index, episode in placed if said[index]]
            self._happened(word, happened)
            for index, episode in placed:
                if not said[index] and (said[index] is None) == followed[index]:
                    cut = sink.day(surgery[index])
                    known = float(said[index] is not None)
                    asked.append((episode, ASKED.format(word), "1", cut, known, "", ""))
        sink.rows("measures", MEASURE, asked)

    def _happened(self, word: str, found: Sequence[tuple[int, date, Any]]) -> None:
        day = self._sink.day
        if word == "reoperation":
            rows = [(e, day(cut + timedelta(days=after)), UNSPECIFIED, "") for e, cut, after in found]
            self._sink.rows("reoperations", ("episode_id", "date", "reason", "level"), rows)
        elif word == "complication":
            told = [(e, UNSPECIFIED, day(cut), SAID_ONLY) for e, cut, _ in found]
            self._sink.rows("complications", ("episode_id", "code", "date", "note"), told)
        else:
            back = [(e, day(cut), UNSPECIFIED) for e, cut, _ in found]
            self._sink.rows("readmissions", ("episode_id", "date", "reason"), back)
        if found and word != "reoperation":
            self._sink.notes[f"{word}s on the day of the operation, for the file has no day"] += len(found)

    @staticmethod
    def _followed(values: Values) -> list[bool]:
        """Whether the row shows that the patient was seen after the operation."""
        seen = [bool(days) for days in values.of("wide.followup_days")]
        for answers in values.answers:
            if answers.column.visit != "baseline":
                seen = [was or value is not None for was, value in zip(seen, answers.values, strict=True)]
        return seen

    def _told(self, values: Values, placed: Sequence[tuple[int, int]]) -> None:
        surgery, day = values.of("episodes.surgery_date"), self._sink.day
        for full, (name, unit) in TOLD.items():
            said = values.known.get(full)
            if said is None:
                continue
            rows = [
                (episode, name, unit, day(surgery[index]), float(said[index]), "", "")
                for index, episode in placed
                if said[index] is not None
            ]
            self._sink.rows("measures", MEASURE, rows)
