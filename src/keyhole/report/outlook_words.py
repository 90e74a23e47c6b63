"""Numbers of the forecast as a surgeon reads them."""

from __future__ import annotations

from keyhole.casefile import Quantity
from keyhole.report.wording import NOT_KNOWN, Text


def figure(found: Quantity, kind: str, *, signed: bool = False, unit: str = "") -> Text:
    """Value and 95 % interval; a risk in %."""
    if found.value is None:
        return Text(NOT_KNOWN, known=False)
    scale = 100.0 if kind == "risk" else 1.0
    value = found.value * scale
    shown = f"{value:+.{digits(value)}f}" if signed else f"{value:.{digits(value)}f}"
    words = {"risk": "%"}.get(kind, unit) if unit else ""
    spread = ends(found.interval, scale, digits(value))
    return Text(f"{shown.replace('-', '−')}{spread}{f' {words}' if words else ''}")


def ends(interval: tuple[float, float] | None, scale: float, places: int) -> str:
    """An interval in brackets, after a space; empty where there is none."""
    if interval is None:
        return ""
    low, high = (f"{end * scale:.{places}f}".replace("-", "−") for end in interval)
    return f" [{low}, {high}]"


def digits(value: float) -> int:
    """Decimals: none from 100 on, else one; two below 1."""
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 1 or size == 0 else 2
