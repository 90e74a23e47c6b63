"""What an instrument is, and what comes of scoring it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]

#: Recorded in place of a number where a person could not do a test: a result of its own, never a number of seconds.
UNABLE = "unable"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value or change that a published group found to matter.

    `kind` is mcid, success, failure, error, pass, target, norm or band; `per` says what `value` counts: points or
    percent of change, or value. `at` names the people, the anchor and the time; of bands, `words` hold up to and
    including `value`.
    """

    kind: str
    value: float
    at: str
    source: str
    per: str = "points"
    words: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """One grade of an instrument of grades, in Keyhole's own words."""

    value: int
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """A questionnaire or test: its scale, how it is scored, its code, licence and thresholds."""

    key: str
    title: str
    short: str
    about: str
    low: float
    high: float
    better: Better
    unit: str
    loinc: str
    thresholds: tuple[Threshold, ...]
    licence: str
    ships_items: bool
    method: str
    items: int
    item_low: float
    item_high: float
    rule: str
    missing: str
    source: str
    loinc_note: str = ""
    loinc_panel: str = ""
    question: str = ""
    grades: tuple[Grade, ...] = ()
    odd_items: tuple[int, ...] = ()
    few_below: int = 0
    floor: float | None = None
    ceiling: float | None = None

    def of_kind(self, kind: str) -> tuple[Threshold, ...]:
        """The thresholds of one kind, in the order of the table."""
        return tuple(t for t in self.thresholds if t.kind == kind)

    @property
    def is_quantity(self) -> bool:
        """Whether values can be averaged and subtracted; a profile's digits cannot."""
        return self.method != "profile"


@dataclass(frozen=True, slots=True)
class Score:
    """What the answers come to; `value` is None where they come to nothing, and `caveats` say why."""

    instrument: str
    value: float | None
    answered: int
    missing: tuple[int, ...]
    caveats: tuple[str, ...] = ()
    band: str = ""
    profile: str = ""
    unable: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """From `before` to `after`: signed points (after minus before), and which published thresholds it reaches.

    `improved` is True for any change to the better; `verdict` says in a sentence what is known about it.
    """

    instrument: str
    before: float
    after: float
    points: float
    percent: float | None
    improved: bool
    reached: tuple[tuple[Threshold, bool], ...]
    verdict: str
    caveats: tuple[str, ...] = ()
