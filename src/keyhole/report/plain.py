"""Numbers as a patient reads them: few digits, whole people."""

from __future__ import annotations

import math

from keyhole.report.sentences import Sentences


def rounded(value: float) -> str:
    """`value` with two significant digits, one below 1; never a false zero."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10:
        digits = 1 - math.floor(math.log10(size))
        return f"{round(value, digits):.0f}".replace("-", "−")
    shown = f"{value:.1f}"
    if float(shown) == 0:
        return "0" if size < 1e-9 else "less than 0.1"
    return shown.removesuffix(".0").replace("-", "−")


def count(share: float) -> int:
    """Of 100 people how many, half a person rounded up."""
    return min(max(math.floor(100 * share + 0.5), 0), 100)


def share_of(share: float) -> str:
    """Of 10 people how many."""
    return f"{10 * share:g}"


def days(months: float, words: Sentences) -> str:
    """A time after the operation."""
    if months == 0:
        return words.say("course", "before")
    return words.say("course", "month" if months == 1 else "months", months=f"{months:g}")
