"""The words that a column may hold: operations, approaches, instruments, visits and the codes of what went wrong."""

from __future__ import annotations

from functools import cache

from keyhole.recovery.instruments import instrument, instruments
from keyhole.registry.codes import approaches, codes, operations
from keyhole.registry.schedule import visits

UNSPECIFIED = "other"
"""The code of an event of which a table says only that there was one; it is in every list of events."""


@cache
def words(kind: str) -> tuple[str, ...]:
    """The words of one kind, in the order of their catalogue."""
    found = {"operations": operations, "approaches": approaches, "instruments": instruments, "visits": visits}
    return tuple(found[kind]() if kind in found else codes(kind))


def instrument_field(key: str) -> tuple[float, float, str]:
    """Lowest and highest value of an instrument, and its unit."""
    about = instrument(key)
    return about.low, about.high, about.unit
