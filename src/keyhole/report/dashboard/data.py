"""A registry as arrays, one entry an episode: all that the dashboard counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keyhole.registry.schedule import VISITS

Mask: TypeAlias = NDArray[np.bool_]
Dates: TypeAlias = NDArray[np.datetime64]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Groups: TypeAlias = tuple[tuple[str, ...], ...]

MISS, OPEN, BOTH, UNKNOWN = 1, 0, 2, -1
"""What an episode's operation was: a small opening, open, one of each, or not recorded."""

VISIT_KEYS = tuple(visit.key for visit in VISITS)


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A column of words: `index` into `names`, -1 where there is none."""

    names: tuple[str, ...]
    index: Ints

    def at(self, rows: Mask) -> Named:
        """The same column for the chosen rows."""
        return Named(self.names, self.index[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """What happened after operations: the episode's place, the code, the day (NaT where not known)."""

    episode: Ints
    code: Named
    date: Dates

    def of(self, rows: Mask) -> Events:
        """The events of the chosen episodes, whose places are counted anew."""
        place = np.cumsum(rows) - 1
        kept = rows[self.episode]
        return Events(place[self.episode[kept]], self.code.at(kept), self.date[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One instrument at every visit: the score (nan: none), and whether it was answered at all; (n, visits)."""

    value: Floats
    given: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Every episode that counts, and what is known of it.

    `surgery` is NaT before the operation; `died` NaT where no death is recorded. `asked` has for each visit the
    instruments asked for, in groups of which one is enough. `has_approaches` is False where only operations are known.
    """

    name: str
    code: NDArray[Any]
    surgery: Dates
    died: Dates
    arm: NDArray[np.int8]
    centre: Named
    surgeon: Named
    operation: Named
    approach_of: Ints  # episode of every procedure
    approach: Named  # approach of every procedure
    answers: Mapping[str, Answers]
    complications: Events
    readmissions: Events
    reoperations: Events
    asked: tuple[Groups, ...]
    has_approaches: bool = True
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.surgery)

    @property
    def groups(self) -> Groups:
        """Every group asked for at some visit, in order."""
        return tuple(dict.fromkeys(group for groups in self.asked for group in groups))

    @property
    def operated(self) -> Mask:
        """Whose operation has been."""
        return ~np.isnat(self.surgery)


def chosen(data: Data, rows: Mask) -> Data:
    """The episodes of `rows` alone."""
    place = np.cumsum(rows) - 1
    kept = rows[data.approach_of]
    return replace(
        data,
        code=data.code[rows],
        surgery=data.surgery[rows],
        died=data.died[rows],
        arm=data.arm[rows],
        centre=data.centre.at(rows),
        surgeon=data.surgeon.at(rows),
        operation=data.operation.at(rows),
        approach_of=place[data.approach_of[kept]],
        approach=data.approach.at(kept),
        answers={key: Answers(a.value[rows], a.given[rows]) for key, a in data.answers.items()},
        complications=data.complications.of(rows),
        readmissions=data.readmissions.of(rows),
        reoperations=data.reoperations.of(rows),
    )


def named(words: NDArray[Any] | list[Any]) -> Named:
    """A column of words as places in a sorted list of them; None and empty words have none."""
    filled = np.array([word or "" for word in words], dtype=object)
    names, index = (
        np.unique(filled.astype(str), return_inverse=True) if len(filled) else (np.array([]), np.array([], int))
    )
    places = np.cumsum(names != "") - 1
    places = np.where(names != "", places, -1) if len(names) else places
    return Named(tuple(str(name) for name in names if name), places[index].astype(np.int64) if len(filled) else _none())


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)
