"""What is known about a change: which published thresholds it reaches, and 'not known' where none was read."""

from __future__ import annotations

import math

from keyhole.errors import InvalidInput
from keyhole.recovery.instruments.catalogue import instrument
from keyhole.recovery.instruments.model import Change, Instrument, Threshold
from keyhole.recovery.instruments.scoring import check

_CHANGES = ("mcid", "success", "failure", "error")
_STATES = ("success", "pass")


def change(key: str, before: float, after: float) -> Change:
    """The change of `key` from `before` to `after` and what published thresholds say of it.

    A threshold of change is reached when the improvement is at least its value; one of a state (pass, or success per
    value) when `after` is on its good side. Error is reached when the change, in either direction, is at least what
    one person's two forms differ by anyway. Values that the instrument cannot have are refused.
    """
    this = instrument(key)
    for value in (before, after):
        if wrong := check(key, value):
            raise InvalidInput(wrong)
    if not this.is_quantity:
        raise InvalidInput(f"{this.short} is a label, not a quantity: it has no difference; take the index")
    points = float(after) - float(before)
    gain = -points if this.better == "lower" else points
    percent = None if before == 0 or this.low < 0 else 100.0 * gain / before
    reached = tuple(
        (t, is_reached)
        for t in this.thresholds
        if (is_reached := _is_reached(this, t, gain, percent, after)) is not None
    )
    return Change(key, before, after, points, percent, gain > 0, reached, _verdict(this, gain, reached), _caveats(this))


def _is_reached(this: Instrument, t: Threshold, gain: float, percent: float | None, after: float) -> bool | None:
    """Whether `t` is reached; None where it does not speak of this change."""
    if t.per == "value":
        if t.kind not in _STATES:
            return None
        return after <= t.value if this.better == "lower" else after >= t.value
    if t.kind not in _CHANGES or (t.per == "percent" and percent is None):
        return None
    amount = percent if t.per == "percent" and percent is not None else gain
    return _at_least(abs(amount) if t.kind == "error" else amount, t.value)


def _at_least(amount: float, value: float) -> bool:
    """`amount` >= `value`, a last binary digit aside: 0.3 points are 0.3 points."""
    return amount >= value or math.isclose(amount, value, rel_tol=1e-9, abs_tol=1e-12)


def _verdict(this: Instrument, gain: float, reached: tuple[tuple[Threshold, bool], ...]) -> str:
    """One sentence: the direction, then what is known of its size."""
    mcids = [is_reached for t, is_reached in reached if t.kind == "mcid"]
    if gain == 0:
        return "unchanged"
    if gain < 0:
        return f"worse; {_worse(this, gain)}"
    if not mcids:
        return "better; whether that much matters is not known: no threshold was read"
    if all(mcids):
        told = (
            "as much as every published change that matters"
            if len(mcids) > 1
            else "as much as the published change that matters"
        )
    elif any(mcids):
        told = f"reaches {sum(mcids)} of {len(mcids)} published changes that matter, which differ between patients"
    else:
        told = "less than every published change that matters"
    return f"better; {told}{_noise(reached)}"


def _worse(this: Instrument, gain: float) -> str:
    errors = this.of_kind("error")
    if not errors:
        return "how much worse matters is not known: no threshold for worsening was read"
    least = min(t.value for t in errors)
    told = "more than" if _at_least(-gain, least) else "within"
    return f"{told} what two forms of one stable person differ by ({least:g}); no threshold for worsening was read"


def _noise(reached: tuple[tuple[Threshold, bool], ...]) -> str:
    within = [t for t, is_reached in reached if t.kind == "error" and not is_reached]
    return f"; within what two forms of one stable person differ by ({within[0].value:g})" if within else ""


def _caveats(this: Instrument) -> tuple[str, ...]:
    if not this.of_kind("mcid"):
        return (f"{this.short}: no published smallest change that matters was read",)
    return ("thresholds hold for groups like those they were found in, not for every patient",)
