"""Progress as plain data, for --json: dates as YYYY-MM-DD, what is unknown as null."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

from keyhole import __version__
from keyhole.casefile import RESEARCH_USE
from keyhole.recovery.progress.model import Progress

Plain = dict[str, object]


def plain_progress(found: Progress, inputs: dict[str, str]) -> Plain:
    """`found` as JSON can hold it, with the digests of what it was made from."""
    title, version, digest = found.rules
    return {
        "schema": "keyhole.progress/1",
        **{key: _plain(one) for key, one in asdict(found).items()},
        "rules": {"title": title, "version": version, "sha256": digest},
        "provenance": {"keyhole": __version__, "inputs": dict(sorted(inputs.items()))},
        "research_use": RESEARCH_USE,
    }


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value
