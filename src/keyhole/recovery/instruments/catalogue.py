"""The instruments that Keyhole can score, from `instruments.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from keyhole.errors import InvalidInput
from keyhole.recovery.instruments.model import Grade, Instrument, Threshold


@cache
def instruments() -> Mapping[str, Instrument]:
    """Every instrument by key, in the order of the table."""
    text = files("keyhole.recovery.instruments").joinpath("instruments.toml").read_text(encoding="utf-8")
    return MappingProxyType({key: _instrument(key, entry) for key, entry in tomllib.loads(text).items()})


def instrument(key: str) -> Instrument:
    """The instrument `key`; an unknown key is refused with the keys there are."""
    if key not in instruments():
        raise InvalidInput(f"no instrument has the key {key!r}; there are {', '.join(instruments())}")
    return instruments()[key]


def _instrument(key: str, entry: dict[str, Any]) -> Instrument:
    (low, high), (item_low, item_high) = entry["range"], entry["item_range"]
    return Instrument(
        key=key,
        title=entry["title"],
        short=entry["short"],
        about=entry["about"],
        low=float(low),
        high=float(high),
        better=entry["better"],
        unit=entry["unit"],
        loinc=entry["loinc"],
        thresholds=tuple(Threshold(**{**row, "value": float(row["value"])}) for row in entry["thresholds"]),
        licence=entry["licence"],
        ships_items=entry["ships_items"],
        method=entry["method"],
        items=entry["items"],
        item_low=float(item_low),
        item_high=float(item_high),
        rule=entry["rule"],
        missing=entry["missing"],
        source=entry["rule_source"],
        loinc_note=entry.get("loinc_note", ""),
        loinc_panel=entry.get("loinc_panel", ""),
        question=entry.get("question", ""),
        grades=tuple(Grade(**row) for row in entry.get("grades", ())),
        odd_items=tuple(entry.get("odd_items", ())),
        few_below=entry.get("few_below", 0),
        floor=entry.get("floor"),
        ceiling=entry.get("ceiling"),
    )
