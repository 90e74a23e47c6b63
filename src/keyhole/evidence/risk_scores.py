"""Published risk scores as their sources print them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One item of a score.

    It is present when the patient's `field` is true, equals `equals`, or lies in `least` to `most` (above `above`);
    with `per` it counts that many points per unit. Of items of one `group` the largest counts. Odds models have
    `odds` with an interval in place of points.
    """

    field: str
    words: str
    points: float = 0.0
    per: float | None = None
    least: float | None = None
    most: float | None = None
    above: float | None = None
    equals: str = ""
    only: str = ""
    group: str = ""
    odds: float | None = None
    odds_interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A published score: what it is about, its items, how well it did, and what speaks against its use."""

    key: str
    title: str
    outcome: str
    form: str
    source: str
    performance: str
    validation: str
    items: tuple[ScoreItem, ...]
    caveats: tuple[str, ...] = ()
    bands: tuple[tuple[float, str], ...] = ()
    bands_source: str = ""
    base: tuple[float, float, float] | None = None
    missing_predictors: int = 0


@cache
def risk_models() -> dict[str, RiskModel]:
    """Every risk score that Keyhole ships, by key."""
    table = tomllib.loads(files("keyhole.evidence").joinpath("risk_scores.toml").read_text(encoding="utf-8"))
    return {key: _model(key, entry) for key, entry in table.items()}


def _model(key: str, entry: dict[str, Any]) -> RiskModel:
    base = entry.get("base")
    return RiskModel(
        key=key,
        title=entry["title"],
        outcome=entry["outcome"],
        form=entry["form"],
        source=entry["source"],
        performance=entry["performance"],
        validation=entry["validation"],
        items=tuple(_item(item) for item in entry["items"]),
        caveats=tuple(entry.get("caveats", ())),
        bands=tuple((float(band["from"]), str(band["words"])) for band in entry.get("bands", ())),
        bands_source=entry.get("bands_source", ""),
        base=None if base is None else (base["value"], base["low"], base["high"]),
        missing_predictors=entry.get("missing_predictors", 0),
    )


def _item(entry: dict[str, Any]) -> ScoreItem:
    return ScoreItem(
        field=entry["field"],
        words=entry["words"],
        points=entry.get("points", 0.0),
        per=entry.get("per"),
        least=entry.get("from"),
        most=entry.get("to"),
        above=entry.get("above"),
        equals=entry.get("is", ""),
        only=entry.get("only", ""),
        group=entry.get("group", ""),
        odds=entry.get("odds"),
        odds_interval=(entry["low"], entry["high"]) if "odds" in entry else None,
    )
