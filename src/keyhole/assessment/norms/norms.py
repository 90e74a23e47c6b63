"""Published norms and thresholds, and how far a measure lies outside them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import erf, sqrt
from typing import Any, Literal

from keyhole.errors import InvalidInput
from keyhole.evidence import source as citation

LYING = "lying"
"""Posture of every scan."""


@dataclass(frozen=True, slots=True)
class Norm:
    """One published norm of `measure`: healthy `mean` and `sd`, or the `limit` where a finding begins, or both.

    `severe` is the published limit of the severe class; `worse` says on which side of the limit the finding lies.
    `levels` empty: every level. `group`: measures that tell of the same narrowing.
    """

    measure: str
    source: str
    text: str
    levels: tuple[str, ...] = ()
    mean: float | None = None
    sd: float | None = None
    mean_per_year: float = 0.0
    from_age: float = 0.0
    limit: float | None = None
    severe: float | None = None
    worse: Literal["low", "high"] | None = None
    posture: Literal["lying", "standing"] = "lying"
    structure: Literal["", "bony", "sac"] = ""
    group: str = ""

    def __post_init__(self) -> None:
        citation(self.source)
        if self.limit is not None and self.worse is None:
            raise InvalidInput(f"{self.measure}: a norm with a limit says which side is worse")

    def healthy(self, age: float | None) -> tuple[float, float] | None:
        """Mean and sd of healthy people of `age` (years); None where no spread is published or the age is needed."""
        if self.mean is None or self.sd is None or (self.mean_per_year and age is None):
            return None
        return self.mean + self.mean_per_year * max(0.0, (age or 0.0) - self.from_age), self.sd

    @property
    def step(self) -> float | None:
        """What counts as one step beyond the limit: to the severe class, else one sd of healthy people."""
        if self.limit is None:
            return None
        return abs(self.severe - self.limit) if self.severe is not None else self.sd


@dataclass(frozen=True, slots=True)
class Outside:
    """How a value lies to one norm.

    `deviation`: sd of healthy people between the value and their mean (signed), None where they are not known.
    `beyond`: how far beyond the limit, in steps (`Norm.step`), negative on the healthy side; None without a limit.
    `probability`: chance that the true value lies beyond the limit.
    """

    norm: Norm
    value: float
    deviation: float | None
    beyond: float | None
    probability: float | None

    @property
    def is_outside(self) -> bool:
        """Whether the value lies beyond the limit, or 2 sd from healthy people where no limit is published."""
        if self.beyond is not None:
            return self.beyond >= 0
        return self.deviation is not None and abs(self.deviation) > 2


@cache
def norms() -> tuple[Norm, ...]:
    """Every norm of `norms.toml`."""
    return tuple(Norm(**{**row, "levels": tuple(row.get("levels", ()))}) for row in _table()["norm"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("keyhole.assessment.norms").joinpath("norms.toml").read_text(encoding="utf-8"))


def norms_of(measure: str, level: str | None = None, structure: str = "") -> tuple[Norm, ...]:
    """The norms of `measure` at `level` that were taken in the posture of a scan and on the same structure."""
    return tuple(
        one
        for one in norms()
        if one.measure == measure
        and (not one.levels or level in one.levels)
        and one.posture == LYING
        and one.structure in ("", structure)
    )


def outside(
    measure: str,
    value: float,
    sd: float,
    age: float | None = None,
    sex: str | None = None,
    *,
    level: str | None = None,
    structure: str = "",
) -> Outside | None:
    """How `value` ± `sd` of `measure` lies to its norm; None where no norm was read.

    Parameters
    ----------
    age : years; norms that depend on it need it.
    sex : "F" or "M"; no norm that was read is given by sex, so it changes nothing yet.
    level : as in findings.json.
    structure : "bony" where the canal is the bony one: its thresholds differ from those of the sac.

    Where several norms fit, one with a limit comes first.
    """
    del sex
    found = sorted(norms_of(measure, level, structure), key=lambda one: one.limit is None)
    if not found:
        return None
    norm = found[0]
    healthy = norm.healthy(age)
    deviation = None if healthy is None else (value - healthy[0]) / healthy[1]
    if norm.limit is None:
        return Outside(norm, value, deviation, None, None)
    sign = 1.0 if norm.worse == "high" else -1.0
    step = norm.step
    beyond = sign * (value - norm.limit) / step if step else sign * (value - norm.limit) / abs(norm.limit)
    chance = 0.5 * (1 + erf(sign * (value - norm.limit) / (sd * sqrt(2)))) if sd > 0 else float(beyond >= 0)
    return Outside(norm, value, deviation, beyond, chance)


def band(measure: str, level: str | None, age: float | None, structure: str = "") -> tuple[float | None, float | None]:
    """Lower and upper end of the healthy range of `measure`, None where it is open or nothing was read.

    Up to the published limit on its side; where there is none, mean ± 2 sd of healthy people.
    """
    for norm in sorted(norms_of(measure, level, structure), key=lambda one: one.limit is None):
        if norm.limit is not None:
            return (norm.limit, None) if norm.worse == "low" else (None, norm.limit)
        healthy = norm.healthy(age)
        if healthy is not None:
            return healthy[0] - 2 * healthy[1], healthy[0] + 2 * healthy[1]
    return None, None


def ideal_by_class(incidence: float) -> float | None:
    """Theoretical lumbar lordosis, deg, of the class of a pelvic `incidence`, deg; None for a negative one.

    References
    ----------
    [pi-classes] table 3.
    """
    if not incidence >= 0:
        return None
    for row in _table()["classes"]["rows"]:
        if incidence < row["below"]:
            return incidence + float(row["lordosis_minus_incidence"])
    return None
