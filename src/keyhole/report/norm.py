"""Where a value stands beside the norm: the band, and the place of a value with its interval on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keyhole.assessment.norms.indicated import structure_of
from keyhole.assessment.norms.norms import band as healthy
from keyhole.assessment.norms.norms import norms_of
from keyhole.casefile import FindingEntry, Patient
from keyhole.report.wording import number, with_unit

Z90 = 1.6449
"""Standard deviations from the middle to either end of a 90 % interval of the normal distribution."""

_VOLUMES = {"mm2", "mm3", "mL"}


@dataclass(frozen=True, slots=True)
class Band:
    """The norm of one measure: from `low` to `high`, None where it is open; `words` say of whom, `source` is a key."""

    low: float | None
    high: float | None
    words: str
    source: str


Norms = Callable[[FindingEntry], "Band | None"]
"""The norm of a measure for this patient; None where none is known."""


def published(patient: Patient) -> Norms:
    """The published norms for `patient`, of the structure that was measured, in the posture of a scan."""

    def norm(found: FindingEntry) -> Band | None:
        structure = structure_of(found)
        low, high = healthy(found.name, found.level, patient.age, structure)
        if low is None and high is None:
            return None
        rows = sorted(norms_of(found.name, found.level, structure), key=lambda one: one.limit is None)
        return Band(low, high, rows[0].text, rows[0].source)

    return norm


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval over a norm's band; all places are shares (0 to 1) of the row's range."""

    value: float
    low: float
    high: float
    band_low: float
    band_high: float
    outside: bool
    said: str


def interval(found: FindingEntry) -> tuple[float, float] | None:
    """Ends of the 90 % interval; None without a value or sd. Areas and volumes do not go below zero."""
    if found.value is None or found.sd is None:
        return None
    low, high = found.value - Z90 * found.sd, found.value + Z90 * found.sd
    return (max(low, 0.0) if found.unit in _VOLUMES and found.value >= 0 else low), high


def interval_words(found: FindingEntry) -> str:
    """The 90 % interval as "163 to 199"; empty without one."""
    ends = interval(found)
    return f"{number(ends[0], found.unit)} to {number(ends[1], found.unit)}" if ends else ""


def bars(row: Sequence[tuple[FindingEntry, Band | None]]) -> list[Bar | None]:
    """The bars of one row, on one range that holds all its values and bands; None where value or band is missing."""
    ends = [end for found, band in row for end in _ends(found, band)]
    if not any(band is not None for _, band in row) or not ends:
        return [None] * len(row)
    low, high = min(ends), max(ends)
    pad = 0.06 * (high - low) or 1.0
    return [_bar(found, band, low - pad, high + pad) for found, band in row]


def _ends(found: FindingEntry, band: Band | None) -> list[float]:
    if band is None or found.value is None:
        return []
    return [end for end in (*(interval(found) or (found.value,)), band.low, band.high) if end is not None]


def _bar(found: FindingEntry, band: Band | None, low: float, high: float) -> Bar | None:
    if found.value is None or band is None:
        return None
    ends = interval(found) or (found.value, found.value)

    def at(value: float) -> float:
        return round((value - low) / (high - low), 4)

    above, below = band.high is not None and ends[0] > band.high, band.low is not None and ends[1] < band.low
    return Bar(
        value=at(found.value),
        low=at(ends[0]),
        high=at(ends[1]),
        band_low=0.0 if band.low is None else at(band.low),
        band_high=1.0 if band.high is None else at(band.high),
        outside=above or below,
        said=f"{_stand(found.value, band, above or below)} the norm {norm_words(band, found.unit)}",
    )


def _stand(value: float, band: Band, clearly: bool) -> str:
    """How `value` stands to the norm, in words."""
    if band.high is not None and value > band.high:
        return "above" if clearly else "perhaps above"
    if band.low is not None and value < band.low:
        return "below" if clearly else "perhaps below"
    return "within"


def norm_words(band: Band, unit: str) -> str:
    """The norm in words: "18 to 22 mm" or "≥ 12 mm"."""
    low, high = ("" if end is None else _plain(end, unit) for end in (band.low, band.high))
    if low and high:
        return with_unit(f"{low} to {high}", unit)
    return with_unit(f"≥ {low}" if low else f"≤ {high}", unit)


def _plain(end: float, unit: str) -> str:
    """An end of a norm: whole numbers as such."""
    return f"{end:.0f}".replace("-", "−") if end == round(end) else number(end, unit)
