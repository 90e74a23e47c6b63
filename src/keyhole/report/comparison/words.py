"""Columns, numbers and strengths in words that claim an association and no more."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from keyhole.comparison.model import Comparison, Effect, EValue, Interval
from keyhole.comparison.wording import figure

_VISIT = re.compile(r"(?P<stem>.+)_(?P<count>\d+)(?P<unit>d|w|m|mo|y)")
_UNITS = {"d": "days", "w": "weeks", "m": "months", "mo": "months", "y": "years"}
_STEMS = {"odi": "ODI", "leg": "leg pain", "back": "back pain"}
_COLUMNS = {
    "asa": "ASA class",
    "bmi": "BMI",
    "age": "age",
    "blood_loss_ml": "blood loss, mL",
    "diabetes": "diabetes",
    "levels": "levels",
    "minutes": "operating time, minutes",
    "prior_surgery": "earlier operation",
    "readmitted": "readmission",
    "recovered": "recovery",
    "reoperated": "reoperation",
    "stay_days": "stay, days",
    "recovery restricted mean": "restricted mean time to recovery",
    "reoperation risk": "risk of reoperation",
}


def named(column: str) -> str:
    """A column's name for readers: odi_12m is ODI at 12 months, odi_0 ODI before the operation."""
    if column in _COLUMNS:
        return _COLUMNS[column]
    if "=" in column:
        name, value = column.split("=", 1)
        return f"{named(name)}: {value}"
    if column.endswith(" squared"):
        return f"{named(column.removesuffix(' squared'))}, squared"
    if column.endswith("_0"):
        return f"{_stem(column[:-2])} before the operation"
    visit = _VISIT.fullmatch(column)
    if visit:
        return f"{_stem(visit['stem'])} at {visit['count']} {_UNITS[visit['unit']]}"
    return column.replace("_", " ")


def titled(words: str) -> str:
    """`words` with a capital first letter."""
    return words[:1].upper() + words[1:]


def _stem(stem: str) -> str:
    return _STEMS.get(stem, stem.replace("_", " "))


def part(label: str, column: str) -> str:
    """A subgroup's label for readers: "odi_0 below 44" is "ODI before the operation below 44"."""
    rest = label.removeprefix(column).strip()
    return titled(
        f"{named(column)}: {rest}" if rest in ("yes", "no") or not _is_range(rest) else f"{named(column)} {rest}"
    )


def _is_range(words: str) -> bool:
    return words.startswith("below ") or words.endswith(" or more")


def signed(value: float, se: float = math.nan) -> str:
    """`value` with its sign, a true minus, and as many decimals as its standard error deserves."""
    if not math.isfinite(value):
        return "not known"
    plain = figure(value, se)
    return plain.replace("-", "−") if plain.startswith("-") else f"+{plain}"


def between(interval: Interval | None, se: float = math.nan) -> str:
    """An interval in brackets with true minus signs."""
    if interval is None or not all(math.isfinite(end) for end in interval):
        return "[not known]"
    low, high = (figure(end, se).replace("-", "−") for end in interval)
    return f"[{low}, {high}]"


def p_value(p: float) -> str:
    """A p value; very small ones as that."""
    if not math.isfinite(p):
        return "not known"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def scaled(found: Comparison) -> tuple[float, str]:
    """What to multiply differences by, and their unit: percentage points for 0/1 outcomes."""
    return (100.0, "percentage points") if found.is_binary else (1.0, _unit(found.outcome))


def _unit(outcome: str) -> str:
    if outcome.startswith(("odi", "leg", "back")):
        return "points"
    return {"minutes": "minutes", "blood_loss_ml": "mL", "stay_days": "days"}.get(outcome, "units of the outcome")


def effect_words(effect: Effect, scale: float) -> str:
    """An estimate with its interval."""
    se = effect.se * scale
    low, high = effect.interval
    return f"{signed(effect.value * scale, se)} {between((low * scale, high * scale), se)}"


def plainly(words: str, outcome: str) -> str:
    """A sentence about a column with its name for readers, and true minus signs."""
    said = re.sub(rf"(?<!\w){re.escape(outcome)}(?!\w)", named(outcome), words)
    return titled(re.sub(r"(?<![\w–-])-(?=\d)", "−", said))


def strength(found: EValue | None) -> str:
    """The E-value in words."""
    if found is None:
        return "No E-value can be given: it needs events in both arms, or an outcome that varies."
    rest = (
        "The interval holds no difference already, so nothing unmeasured is needed to bring it there."
        if found.interval_end <= 1.0
        else f"To bring the interval's nearer end to no difference, {found.interval_end:.2f} would be enough."
    )
    return (
        "Something that was not measured would explain the whole difference if it went together with both the choice "
        f"of the operation and the outcome, each by a risk ratio of {found.value:.2f}, over and above what was "
        f"measured. {rest} Whether such a thing exists, the table cannot say."
    )


def agreement(effects: Sequence[Effect]) -> str:
    """Whether the adjusted estimates lie together, in words."""
    values = [effect.value for effect in effects]
    widest = max((effect.se for effect in effects), default=math.nan)
    if not values or not widest > 0:
        return ""
    apart = max(values) - min(values)
    if apart <= widest:
        return "The three adjusted estimates lie within one standard error of each other."
    return (
        "The three adjusted estimates lie further apart than one standard error: the models do not tell the same story."
    )
