"""A measure of the patient, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, isfinite, sqrt
from typing import Literal

from keyhole.casefile import DrawnEntry, DrawnShape, FindingEntry
from keyhole.errors import InvalidInput
from keyhole.evidence import source as citation
from keyhole.geometry import Points

SUPINE = "taken lying down: a standing radiograph shows another angle or slip"
"""Caveat of every measure of alignment."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A line of points (n, 3), LPS mm, along which something was measured; `is_closed` for an outline."""

    points: Points
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """One quantity at one level: `value` and `sd` in `unit`, or None with a caveat that says why.

    `level` is "L4/L5" for what lies between two vertebrae, "L4" for a vertebra, "L1/S1" for a span. `source` is the
    key of its definition, `method` says in words what was measured and on which structure. `shapes` are the lines
    and outlines it was read from, to be painted on slices.
    """

    name: str
    level: str
    value: float | None
    sd: float | None
    unit: str
    source: str
    method: str
    caveats: tuple[str, ...] = ()
    side: Literal["left", "right"] | None = None
    shapes: tuple[Shape, ...] = ()

    def __post_init__(self) -> None:
        citation(self.source)
        if self.value is None:
            if not self.caveats or self.sd is not None:
                raise InvalidInput(f"{self.level} {self.name}: a measure without a value needs a caveat and no sd")
        elif self.sd is None or not (isfinite(self.value) and isfinite(self.sd) and self.sd >= 0):
            raise InvalidInput(f"{self.level} {self.name}: value and sd must be finite, got {self.value} ± {self.sd}")


@dataclass(frozen=True, slots=True)
class Grade:
    """A published class of a measure, as probabilities over its classes; `source` is the key of its limits."""

    probability: Mapping[str, float]
    source: str
    caveats: tuple[str, ...] = ()

    @property
    def likeliest(self) -> str:
        """The class with the highest probability; the first of two alike."""
        return max(self.probability, key=lambda name: self.probability[name])


def probabilities(value: float, sd: float, limits: tuple[float, ...], classes: tuple[str, ...]) -> dict[str, float]:
    """Chance that the true quantity lies in each class, for a normal error of `sd` about `value`.

    Parameters
    ----------
    limits : ascending borders between the classes, one fewer than `classes`; a value on a border is above it.
    """
    if len(limits) + 1 != len(classes) or list(limits) != sorted(limits):
        raise InvalidInput(f"{len(classes)} classes need {len(classes) - 1} ascending limits, got {limits}")
    below = [0.0, *(_below(limit, value, sd) for limit in limits), 1.0]
    return {name: round(b - a, 6) for name, a, b in zip(classes, below, below[1:], strict=False)}


def _below(limit: float, value: float, sd: float) -> float:
    if not sd > 0:
        return float(value < limit)
    return 0.5 * (1.0 + erf((limit - value) / (sd * sqrt(2.0))))


@dataclass(frozen=True, slots=True)
class Finding:
    """A measurement with its published grade and what else has to be said of it."""

    measurement: Measurement
    grade: Grade | None = None
    caveats: tuple[str, ...] = ()


def unknown(name: str, level: str, unit: str, why: str, side: Literal["left", "right"] | None = None) -> Measurement:
    """The measure `name` that could not be taken, for the reason `why`."""
    return Measurement(name, level, None, None, unit, "keyhole", "docs/measures.md", (why,), side)


def entry(found: Finding) -> FindingEntry:
    """`found` as it stands in findings.json; value and sd rounded to a thousandth of their unit.

    Its source is that of the grade where there is one; the definition is in docs/measures.md anyway.
    """
    one = found.measurement
    graded = found.grade if one.value is not None else None
    notes = (*one.caveats, *(graded.caveats if graded else ()), *found.caveats)
    return FindingEntry(
        name=one.name,
        level=one.level,
        side=one.side,
        value=None if one.value is None else round(one.value, 3),
        sd=None if one.sd is None else round(one.sd, 3),
        unit=one.unit,
        grade=graded.likeliest if graded else None,
        grade_probability=dict(graded.probability) if graded else None,
        source=graded.source if graded else one.source,
        method=one.method,
        caveats=tuple(dict.fromkeys(notes)),
    )


def drawn(found: Finding) -> DrawnEntry | None:
    """Where `found` was measured, as it stands in drawings.json, to a hundredth of a mm; None without shapes."""
    one = found.measurement
    if not one.shapes or one.value is None:
        return None
    shapes = tuple(
        DrawnShape(points=tuple((x, y, z) for x, y, z in shape.points.round(2).tolist()), is_closed=shape.is_closed)
        for shape in one.shapes
    )
    return DrawnEntry(name=one.name, level=one.level, side=one.side, shapes=shapes)
