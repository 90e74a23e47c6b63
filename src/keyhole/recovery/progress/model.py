"""What progress is made of: observations, the course, criteria, tests, and an advice with its reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal

from keyhole.errors import InvalidInput

Word = Literal["call", "hold", "advance"]
Standing = Literal["inside", "better", "worse", "unknown"]
Trend = Literal["improving", "steady", "worsening", "unknown"]
State = Literal["met", "not met", "unknown"]
Better = Literal["lower", "higher"]

ORDER: tuple[Word, ...] = ("call", "hold", "advance")
"""From the most to the least urgent."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of one day: of an instrument, or an answer (``red-flag/KEY``, ``criterion/KEY``: 1 yes, 0 no)."""

    instrument: str
    date: date
    value: float
    where: str = ""  # the file's row, or the registry, for messages

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InvalidInput(f"{self.where or self.instrument}: a value must be a number, got {self.value}")


@dataclass(frozen=True, slots=True)
class Band:
    """Where the forecast expects single patients at one time: from `low` to `high`, around `middle`.

    `middle`, `low` and `high` are None where nobody knows; `why` says whose it is, or why there is none.
    """

    low: float | None
    high: float | None
    middle: float | None
    arm: Literal["planned", "open", ""]
    why: str


@dataclass(frozen=True, slots=True)
class Point:
    """An observed value of a course, `day` days after the operation (before it: 0 and less), against its band.

    `gain`: points better than before the operation, None where that is not known.
    """

    instrument: str
    date: date
    day: int
    value: float
    band: Band
    standing: Standing
    gain: float | None
    matters: bool | None  # whether the gain reaches the smallest that patients notice


@dataclass(frozen=True, slots=True)
class Course:
    """One outcome of the forecast as it went: its points in time, and where it is heading."""

    outcome: str
    title: str
    unit: str
    low: float
    high: float
    better: Better
    before: float | None
    mark: float | None  # the value that is the smallest noticed gain from `before`
    mark_source: str
    points: tuple[Point, ...]
    ranges: tuple[tuple[tuple[float, Band], ...], ...]  # runs of (day, band); inside a run it is drawn straight on
    share: float | None  # of single patients in a band
    trend: Trend
    trend_why: str
    note: str  # whose the band is


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion of the phase and whether it is met, with the evidence for that."""

    key: str
    text: str
    state: State
    why: str
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class FunctionalTest:
    """The last value of a functional test, its change since before the operation, and where it stands by a norm."""

    instrument: str
    title: str
    unit: str
    date: date
    value: float
    change: float | None
    standing: str
    source: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps a day: the mean of the last days, the own baseline, and the published course from that baseline.

    Any of them is None where too few days were counted; `why` says so.
    """

    recent: float | None
    recent_days: int
    baseline: float | None
    baseline_days: int
    share: float | None
    published_share: float | None
    published_day: int  # today, or the last day that is published
    why: str
    source: str
    rows: tuple[tuple[int, float], ...] = ()  # day after the operation, steps


@dataclass(frozen=True, slots=True)
class Diary:
    """Pain written down day by day: the last seven days, how many of them have a value, and the seven before."""

    instrument: str
    title: str
    days: int
    mean: float | None
    worst: float | None
    before: float | None
    trend: Trend
    rows: tuple[tuple[int, float], ...] = ()  # day after the operation, worst value of the day


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the rule's name, what it advises, its words, what was seen, and where its threshold is from."""

    rule: str
    advice: Word
    says: str
    evidence: str
    source: str
    beside: tuple[str, ...] = ()  # sources of its other thresholds


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do: the most urgent of the rules that fired, and all of them."""

    word: Word
    reasons: tuple[Reason, ...]

    def __post_init__(self) -> None:
        if not self.reasons:
            raise InvalidInput("an advice needs a reason")
        if self.word != min((one.advice for one in self.reasons), key=ORDER.index):
            raise InvalidInput(f"the advice {self.word} is not the most urgent of its reasons")


@dataclass(frozen=True, slots=True)
class PhaseState:
    """The phase that the patient is in, whether somebody recorded it, and the next one (None after the last)."""

    number: int
    count: int
    name: str
    from_day: int
    to_day: int
    recorded: date | None
    next_name: str | None
    next_day: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How it goes: day after the operation, phase, criteria, courses against the forecast, and the advice."""

    start: date
    today: date
    day: int
    phase: PhaseState
    advice: Advice
    criteria: tuple[Criterion, ...]
    courses: tuple[Course, ...]
    tests: tuple[FunctionalTest, ...]
    steps: Steps | None
    diaries: tuple[Diary, ...]
    observations: int
    rules: tuple[str, str, str]  # title, version, digest
    caveats: tuple[str, ...] = ()
