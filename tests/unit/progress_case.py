"""A small programme of three phases, a forecast and observations for the tests of progress."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

from keyhole.casefile import RehabRecord
from keyhole.recovery.progress import Observation, follow

START = date(2026, 1, 5)
SIGNED = {"by": "Dr A", "date": "2026-01-04", "sha256": "0" * 64}


def _phase(key, name, first, last, criteria):
    return {
        "key": key, "name": name, "from_day": first, "to_day": last, "about": name, "goals": ["walk"],
        "exercises": [], "precautions": [], "criteria": criteria, "sources": [],
    }  # fmt: skip


@cache
def rehab(*, start: date | None = START, signed: bool = True) -> RehabRecord:
    pain = {"key": "leg-pain", "text": "Leg pain at most 3", "test": "nrs-leg", "rule": "at most", "threshold": 3.0}
    wound = {"key": "wound", "text": "The wound is closed"}
    rise = {"key": "rise", "text": "Five rises in 12 s", "test": "5r-sts", "rule": "at most", "threshold": 12.0}
    walk = {"key": "walk", "text": "3500 steps a day", "test": "steps", "rule": "at least", "threshold": 3500.0}
    return RehabRecord.model_validate(
        {
            "schema": "keyhole.rehab/1",
            "procedure": "discectomy",
            "procedure_title": "Removal of a herniated disc",
            "levels": ["L4/L5"],
            "approach": "transforaminal-endoscopic",
            "protocol": {
                "key": "d", "name": "Discectomy", "version": "1", "origin": "keyhole", "file": "d.toml",
                "sha256": "0" * 64, "sources": [],
            },
            "start": None if start is None else start.isoformat(),
            "phases": [
                _phase("protect", "Protect", 0, 27, [pain, wound]),
                _phase("build", "Build up", 28, 83, [rise, walk]),
                _phase("return", "Return", 84, 180, []),
            ],
            "conflicts": [],
            "red_flags": [
                {"key": "saddle", "text": "Numb between the legs", "act": "now"},
                {"key": "fever", "text": "Fever", "act": "today"},
            ],
            "red_flags_version": "1",
            "red_flags_sha256": "0" * 64,
            "signed_off": SIGNED if signed else None,
            "facts": [],
            "fitted": [],
            "overrides": [],
            "calendar": "c",
            "provenance": {"keyhole": "0"},
        }
    )  # fmt: skip


def seen(key: str, day: int, value: float) -> Observation:
    return Observation(key, START + timedelta(days=day), value)


def ready(day: int = 30) -> list[Observation]:
    """What is needed to advance from the first phase on `day`."""
    return [
        seen("odi", -10, 48),
        seen("nrs-leg", -10, 8),
        seen("nrs-back", -10, 6),
        seen("nrs-leg", day - 16, 4),
        seen("nrs-leg", day - 1, 2),
        seen("nrs-back", day - 1, 2),
        seen("odi", day - 1, 24),
        seen("criterion/wound", day - 3, 1),
        seen("red-flags", day - 1, 0),
    ]


def today(day: int) -> date:
    return START + timedelta(days=day)


def followed(rows, day=30, **options):
    return follow(options.pop("rehab", None) or rehab(), options.pop("forecast", None), rows, today(day), **options)
