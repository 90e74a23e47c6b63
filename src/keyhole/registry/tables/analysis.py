"""The analysis table: one row an episode that has been operated on, from the registry's rows by numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from keyhole.comparison.table import Table
from keyhole.recovery.instruments import instrument
from keyhole.registry.database import Registry
from keyhole.registry.schedule import visits
from keyhole.registry.tables import bulk
from keyhole.registry.tables.mapping import analysis_plan
from keyhole.registry.tables.wide import ASKED, EVENTS, TOLD

Array = NDArray[np.float64]

TEXTS = ("episode", "patient", "centre", "surgeon", "surgery_date", "operation", "sex")
_EPISODES = """
    SELECT e.id, e.code, p.pseudonym, e.centre, e.surgeon, CAST(e.surgery_date AS TEXT), p.sex,
        e.age, e.bmi, e.asa, e.smoker, e.diabetes, e.prior_surgery
    FROM episodes e JOIN patients p ON p.id = e.patient_id
    WHERE e.voided_at IS NULL AND e.surgery_date IS NOT NULL"""
_EPISODE_TEXTS = ("episode", "patient", "centre", "surgeon", "surgery_date", "sex")
_EPISODE_NUMBERS = ("age", "bmi", "asa", "smoker", "diabetes", "prior_surgery")
_OPERATIONS = """
    SELECT episode_id, operation, levels, is_miss, minutes, blood_loss_ml, stay_days FROM procedures
    WHERE voided_at IS NULL ORDER BY id"""
_OPERATION_NUMBERS = ("miss", "minutes", "blood_loss_ml", "stay_days")
_ANSWERS = """
    SELECT episode_id, instrument, visit, CAST(date AS TEXT), value FROM responses
    WHERE voided_at IS NULL AND (value IS NOT NULL OR visit <> 'baseline')"""
_EVENTS = (
    "SELECT episode_id, CAST(min(date) AS TEXT), CAST(max(date) AS TEXT) FROM {} WHERE voided_at IS NULL GROUP BY 1"
)
_MEASURES = "SELECT episode_id, name, value FROM measures WHERE voided_at IS NULL AND name IN ({}) ORDER BY id"
_TABLE_OF = {"complication": "complications", "readmission": "readmissions", "reoperation": "reoperations"}
_FAR = 10**6
_EPOCH = date(1970, 1, 1).toordinal()
BASELINE = "baseline"


@dataclass(frozen=True, slots=True, eq=False)
class _Episodes:
    """The rows of the table: ids in ascending order with the place of each, and the day of the operation."""

    ids: NDArray[np.int64]
    place: NDArray[np.int64]
    surgery: NDArray[np.int64]

    def rows(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """The row of each id, -1 where the table has none."""
        wanted = np.asarray(ids, dtype=np.int64)
        if not len(self.ids):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[at] == wanted, self.place[at], -1)


def analysis_table(registry: Registry) -> Table:
    """The registry as one row an episode, in the order of the episodes' codes; empty cells are not known.

    Answers: of several to one instrument at one visit the one nearest to the visit's day, the earlier of two. The
    operation is the first that was recorded of the episode. An event is 0 where the patient was seen after the
    operation and none is recorded. `docs/registry.md` has every column's rule.
    """
    with registry.reading() as session:
        connection = session.connection()
        columns, episodes = _episodes(connection)
        columns |= _operations(connection, episodes)
        answers, last = _answers(connection, episodes)
        columns |= answers
        measures = _measures(connection, episodes)
        columns |= _happened(connection, episodes, measures, last)
    columns["levels"] = np.where(np.isnan(columns["levels"]), measures["levels"], columns["levels"])
    columns |= _recovery(columns, measures)
    order = [column.name for column in analysis_plan().columns]
    return Table({name: columns[name] for name in order}, "the registry")


def _episodes(connection: Connection) -> tuple[dict[str, NDArray[Any]], _Episodes]:
    found = [row for block in bulk.stream(connection, _EPISODES) for row in block]
    found.sort(key=lambda row: str(row[1]))
    ids = np.array([row[0] for row in found], dtype=np.int64)
    columns: dict[str, NDArray[Any]] = {}
    for n, name in enumerate(_EPISODE_TEXTS, start=1):
        columns[name] = np.array(["" if row[n] is None else row[n] for row in found], dtype=object)
    for n, name in enumerate(_EPISODE_NUMBERS, start=1 + len(_EPISODE_TEXTS)):
        columns[name] = np.array([row[n] for row in found], dtype=np.float64)
    order = np.argsort(ids)
    return columns, _Episodes(ids[order], order, _days(columns["surgery_date"]))


def _days(texts: Any) -> NDArray[np.int64]:
    """Days since 1970 of ISO texts."""
    return np.asarray(texts, dtype="datetime64[D]").astype(np.int64)


def _operations(connection: Connection, episodes: _Episodes) -> dict[str, NDArray[Any]]:
    n = len(episodes.ids)
    columns: dict[str, NDArray[Any]] = {name: np.full(n, np.nan) for name in (*_OPERATION_NUMBERS, "levels")}
    columns["operation"] = np.full(n, "", dtype=object)
    levels: dict[int, set[str]] = {}
    for block in bulk.stream(connection, _OPERATIONS):
        ids, operations, named, *numbers = zip(*block, strict=True)
        rows = episodes.rows(ids)
        fresh = np.flatnonzero(rows >= 0)[::-1]  # of several of one episode the first is written last
        fresh = fresh[columns["operation"][rows[fresh]] == ""]
        columns["operation"][rows[fresh]] = np.array(operations, dtype=object)[fresh]
        for name, values in zip(_OPERATION_NUMBERS, numbers, strict=True):
            columns[name][rows[fresh]] = np.array(values, dtype=np.float64)[fresh]
        for row, text in zip(rows.tolist(), named, strict=True):
            if text and row >= 0:
                levels.setdefault(row, set()).update(text.split(";"))
    for row, several in levels.items():
        columns["levels"][row] = len(several)
    return columns


class _Places(dict[tuple[str, str], int]):
    """The column of each instrument and visit; those that the table lacks come after, baselines at an even number."""

    def __init__(self) -> None:
        self.outcomes = [column for column in analysis_plan().columns if column.instrument]
        super().__init__({(column.instrument, column.visit): n for n, column in enumerate(self.outcomes)})

    def __missing__(self, pair: tuple[str, str]) -> int:
        first = len(self.outcomes) + len(self.outcomes) % 2
        place = self[pair] = first + (pair[1] != BASELINE)
        return place

    def is_follow_up(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each place is of a visit after the operation."""
        count = len(self.outcomes)
        known = np.array([column.visit != BASELINE for column in self.outcomes])
        follows: NDArray[np.bool_] = np.where(places < count, known[np.minimum(places, count - 1)], places % 2 == 1)
        return follows


class _Calendar(dict[str, int]):
    """Days since 1970 of ISO texts, each read once."""

    def __missing__(self, text: str) -> int:
        day = self[text] = date.fromisoformat(text).toordinal() - _EPOCH
        return day


def _answers(connection: Connection, episodes: _Episodes) -> tuple[dict[str, NDArray[Any]], Array]:
    """The outcome columns, and the day after the operation of each episode's last follow-up, nan without one."""
    places, calendar, n = _Places(), _Calendar(), len(episodes.ids)
    width = len(places.outcomes)
    targets = np.array([visits()[column.visit].target for column in places.outcomes])
    values = np.full(n * width, np.nan)
    nearest = np.full(n * width, 2 * _FAR)
    last = np.full(n, -np.inf)
    for block in bulk.stream(connection, _ANSWERS):
        ids, instruments, when, days, scores = zip(*block, strict=True)
        rows = episodes.rows(ids)
        place = _mapped(places, zip(instruments, when, strict=True), len(block))
        after = _mapped(calendar, days, len(block)) - episodes.surgery[rows]
        followed = np.flatnonzero((rows >= 0) & places.is_follow_up(place))
        np.maximum.at(last, rows[followed], after[followed])
        score = np.array(scores, dtype=np.float64)
        used = np.flatnonzero((rows >= 0) & (place < width) & ~np.isnan(score))
        cell = rows[used] * width + place[used]
        away = after[used] - targets[place[used]]
        rank = 2 * np.abs(away) + (away > 0)
        order = np.argsort(-rank, kind="stable")  # the nearest is written last
        order = order[rank[order] < nearest[cell[order]]]
        nearest[cell[order]] = rank[order]
        values[cell[order]] = score[used][order]
    table = values.reshape(n, width)
    columns = {column.name: table[:, k].copy() for k, column in enumerate(places.outcomes)}
    return columns, np.where(np.isfinite(last), last, np.nan)


def _mapped(known: Mapping[Any, int], keys: Iterable[Any], count: int) -> NDArray[np.int64]:
    return np.fromiter(map(known.__getitem__, keys), dtype=np.int64, count=count)


def _measures(connection: Connection, episodes: _Episodes) -> dict[str, Array]:
    """What an imported table said beyond events and answers, nan where nothing."""
    names = [name for name, _ in TOLD.values()] + [ASKED.format(word) for word in EVENTS.values()]
    found = {name: np.full(len(episodes.ids), np.nan) for name in names}
    place = {name: n for n, name in enumerate(names)}
    listed = ", ".join(f"'{name}'" for name in names)
    for block in bulk.stream(connection, _MEASURES.format(listed)):
        ids, told, values = zip(*block, strict=True)
        rows, numbers = episodes.rows(ids), np.array(values, dtype=np.float64)
        kinds = _mapped(place, told, len(block))
        for kind in np.unique(kinds):
            chosen = np.flatnonzero((kinds == kind) & (rows >= 0))
            found[names[kind]][rows[chosen]] = numbers[chosen]
    return found


def _happened(
    connection: Connection, episodes: _Episodes, measures: Mapping[str, Array], last: Array
) -> dict[str, NDArray[Any]]:
    """Events, the days to a reoperation, and the last day of which anything is known."""
    columns: dict[str, NDArray[Any]] = {}
    seen = np.fmax(last, measures["follow-up"])
    was: dict[str, NDArray[np.bool_]] = {}
    for full, word in EVENTS.items():
        first, latest = _event_days(connection, episodes, _TABLE_OF[word])
        was[full] = ~np.isnan(first)
        if word == "reoperation":
            columns["reoperation_days"] = first
        seen = np.fmax(seen, np.where(latest > 0, latest, np.nan))
    for full, word in EVENTS.items():
        asked = measures[ASKED.format(word)]
        none = np.where(asked == 1, 0.0, np.where((asked == 0) | ~(seen > 0), np.nan, 0.0))
        columns[full.partition(".")[2]] = np.where(was[full], 1.0, none)
    columns["followup_days"] = seen
    return columns


def _event_days(connection: Connection, episodes: _Episodes, table: str) -> tuple[Array, Array]:
    """Days from the operation to the first and to the last event, nan without one."""
    first, last = np.full(len(episodes.ids), np.nan), np.full(len(episodes.ids), np.nan)
    for block in bulk.stream(connection, _EVENTS.format(table)):
        ids, early, late = zip(*block, strict=True)
        rows = episodes.rows(ids)
        known = rows >= 0
        rows = rows[known]
        first[rows] = _days(early)[known] - episodes.surgery[rows]
        last[rows] = _days(late)[known] - episodes.surgery[rows]
    return first, last


def _recovery(columns: Mapping[str, NDArray[Any]], measures: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    """Recovered or not and when: as the imported table said, else by the first ODI that patients find acceptable."""
    limit = acceptable()
    first = columns["odi_0"]
    days = np.full(len(first), np.nan)
    seen = np.zeros(len(first), dtype=np.bool_)
    for visit in visits().values():
        score = columns.get(f"odi_{visit.key}")
        if score is None:
            continue
        seen |= ~np.isnan(score)
        days = np.where(np.isnan(days) & (score <= limit), visit.target, days)
    ill = first > limit
    derived = np.where(ill & seen, (~np.isnan(days)).astype(np.float64), np.nan)
    said = ~np.isnan(measures["recovered"]) | ~np.isnan(measures["recovery"])
    return {
        "recovered": np.where(said, measures["recovered"], derived),
        "recovery_days": np.where(said, measures["recovery"], np.where(derived == 1, days, np.nan)),
    }


def acceptable() -> float:
    """The ODI at or below which patients call their state acceptable, per cent (first `pass` of the instrument)."""
    return instrument("odi").of_kind("pass")[0].value
