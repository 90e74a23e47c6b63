"""What published scores say of one patient, and the range that unknown items leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from keyhole.errors import InvalidInput
from keyhole.evidence import RiskModel, ScoreItem, risk_models
from keyhole.forecast.pool import NORMAL

LABEL = "literature, not calibrated here"
Value = bool | float | str | None
_RANGES = {"age": (0.0, 120.0), "bmi": (8.0, 120.0), "operating_hours": (0.0, 48.0), "charlson_index": (0.0, 37.0)}
_COUNT = (0.0, 200.0)


@dataclass(frozen=True, slots=True)
class Score:
    """Points of a patient: `low` if every unknown item is absent, `high` if present (inf: nobody can say).

    `word` is the band's word where low and high agree on it; `unknown` names the items not known.
    """

    model: RiskModel
    low: float
    high: float
    present: tuple[str, ...]
    unknown: tuple[str, ...]
    word: str
    caveats: tuple[str, ...]

    @property
    def value(self) -> float | None:
        """The points, where every item is known and none is missing from the source."""
        return self.low if self.low == self.high else None


@dataclass(frozen=True, slots=True)
class Risk:
    """A probability: `low` and `high` with the unknown factors absent or present, each with its 95 % interval.

    `label` says that nobody has calibrated it on the clinic's own patients.
    """

    model: RiskModel
    low: float
    high: float
    interval: tuple[float, float]
    unknown: tuple[str, ...]
    label: str
    caveats: tuple[str, ...]


def fields() -> dict[str, tuple[str, ...]]:
    """Every field a patient may have, with the words of the items that use it."""
    found: dict[str, list[str]] = {}
    for model in risk_models().values():
        for item in model.items:
            found.setdefault(item.field, []).append(item.words)
    return {field: tuple(dict.fromkeys(words)) for field, words in sorted(found.items())}


def scores(patient: Mapping[str, Value]) -> tuple[Score | Risk, ...]:
    """What every shipped model says of `patient`; a field that is absent or None is unknown."""
    checked = checked_patient(patient)
    return tuple(
        risk(model, checked) if model.form == "odds" else score(model, checked) for model in risk_models().values()
    )


def checked_patient(patient: Mapping[str, Value]) -> dict[str, Value]:
    """`patient` if every field is known and every value can be; height_cm and weight_kg give the BMI."""
    known = dict(patient)
    height, weight = known.pop("height_cm", None), known.pop("weight_kg", None)
    if known.get("bmi") is None and height is not None and weight is not None:
        known["bmi"] = _size("weight_kg", weight, (2.0, 700.0)) / (_size("height_cm", height, (40.0, 280.0)) / 100) ** 2
    meant = fields()
    for field, value in known.items():
        if field not in meant:
            raise InvalidInput(f"no risk score has the field {field!r}; known are {', '.join(meant)}")
        if value is not None:
            _check(field, value)
    return known


def _check(field: str, value: Value) -> None:
    if field == "sex":
        if value not in ("F", "M"):
            raise InvalidInput(f"sex must be F or M, got {value!r}")
    elif _is_number(field):
        _size(field, value, _RANGES.get(field, _COUNT))
    elif not isinstance(value, bool):
        raise InvalidInput(f"{field} must be true or false, got {value!r}")


def _is_number(field: str) -> bool:
    items = [item for model in risk_models().values() for item in model.items if item.field == field]
    return any(item.per is not None or item.least is not None or item.above is not None for item in items)


def _size(field: str, value: Value, bounds: tuple[float, float]) -> float:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{field} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def score(model: RiskModel, patient: Mapping[str, Value]) -> Score:
    """The points of `patient` by `model`, least and most that the unknown items leave."""
    groups: dict[str, list[tuple[float, float]]] = {}
    present, unknown = [], []
    for n, item in enumerate(model.items):
        least, most = _points(item, patient)
        groups.setdefault(item.group or f"item {n}", []).append((least, most))
        if least == most and least > 0:
            present.append(item.words)
        elif least != most:
            unknown.append(item.words)
    low = sum(max(least for least, _ in group) for group in groups.values())
    high = sum(max(most for _, most in group) for group in groups.values())
    high = math.inf if model.missing_predictors else high
    caveats = (*model.caveats, *((_unknown(unknown, "item"),) if unknown else ()))
    return Score(model, low, high, tuple(present), tuple(unknown), _word(model, low, high), caveats)


def _unknown(found: list[str], word: str) -> str:
    return f"1 {word} is not known" if len(found) == 1 else f"{len(found)} {word}s are not known"


def _points(item: ScoreItem, patient: Mapping[str, Value]) -> tuple[float, float]:
    """Least and most points of an item: equal where it is known."""
    if item.only and patient.get("sex") not in (None, item.only):
        return 0.0, 0.0
    value = patient.get(item.field)
    if value is None:
        return 0.0, math.inf if item.per is not None else item.points
    if item.per is not None:
        return (found := item.per * float(value)), found
    found = item.points if _is_present(item, value) else 0.0
    return found, found


def _is_present(item: ScoreItem, value: Value) -> bool:
    if item.equals:
        return value == item.equals
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value is True
    if item.above is not None:
        return value > item.above
    # ages are whole years: 60.9 is still 60
    years = math.floor(value) if item.field == "age" else value
    return (item.least is None or years >= item.least) and (item.most is None or years <= item.most)


def _word(model: RiskModel, low: float, high: float) -> str:
    """The band of the points; empty where the model has none or the unknown items reach over several."""
    if not model.bands:
        return ""
    words = [next(text for least, text in reversed(model.bands) if points >= least) for points in (low, high)]
    return words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"


def risk(model: RiskModel, patient: Mapping[str, Value]) -> Risk:
    """The probability of `model`, an odds model, with its interval over what is unknown and what is uncertain."""
    if model.base is None:
        raise InvalidInput(f"{model.title} gives no probability")
    value, base_low, base_high = model.base
    least = most = _logit(value)
    variance_least = variance_most = _variance(_logit(base_low), _logit(base_high))
    unknown = []
    for item in model.items:
        found = patient.get(item.field)
        if item.odds is None or item.odds_interval is None or found is False:
            continue
        ends = item.odds_interval
        spread = _variance(math.log(ends[0]), math.log(ends[1]))
        most, variance_most = most + math.log(item.odds), variance_most + spread
        if found is None:
            unknown.append(item.words)
        else:
            least, variance_least = least + math.log(item.odds), variance_least + spread
    low = _share(least - NORMAL * math.sqrt(variance_least))
    high = _share(most + NORMAL * math.sqrt(variance_most))
    caveats = (*model.caveats, *((_unknown(unknown, "factor"),) if unknown else ()))
    return Risk(model, _share(least), _share(most), (low, high), tuple(unknown), LABEL, caveats)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _variance(low: float, high: float) -> float:
    return ((high - low) / (2 * NORMAL)) ** 2
