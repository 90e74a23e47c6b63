"""From answers to a score, exactly as the instrument's rule says, and never a number where the rule gives none."""

from __future__ import annotations

import math
from collections.abc import Mapping

from keyhole.errors import InvalidInput
from keyhole.recovery.instruments.answers import Answer, Answers, is_left_out, is_unable, numbers
from keyhole.recovery.instruments.catalogue import instrument
from keyhole.recovery.instruments.model import Instrument, Score
from keyhole.recovery.instruments.valuesets import TScores, ValueSet


def score(
    key: str, answers: Answers | Answer, *, values: ValueSet | None = None, table: TScores | None = None
) -> Score:
    """The score of one form.

    Parameters
    ----------
    key : of the instrument.
    answers : one per item in the form's order, or by item number; a single answer where there is one item; of an
        EQ-5D profile also its five digits as a word. None, an empty word or a dash is an item left out; the word
        `unable` is a test that the person could not do.
    values : the clinic's value set; the index needs one.
    table : the clinic's table from raw sums to T scores; with it the answers are items, without it the T score itself.

    Returns
    -------
    The value rounded to nothing; None with a caveat where the rule gives no score.

    Examples
    --------
    >>> round(score("odi", [2, 2, 2, 2, 2, 2, 2, None, 1, 1]).value, 1)
    35.6
    """
    this = instrument(key)
    if this.method == "tscore" and table is not None:
        return _from_table(this, answers, table)
    form = _form(this, answers)
    if this.method == "test" and any(is_unable(answer) for answer in _each(form)):
        return Score(key, None, 1, (), (f"{this.short}: unable to do it; a result, but not a number",), unable=True)
    given = numbers(this, form)
    missing = tuple(n for n, answer in enumerate(given, 1) if answer is None)
    kept = [answer for answer in given if answer is not None]
    value, caveats = _value(this, given, kept, values)
    profile = "" if this.method not in {"profile", "index"} else "".join("?" if a is None else f"{a:g}" for a in given)
    return Score(key, value, len(kept), missing, tuple(caveats), band(key, value), profile)


def _form(this: Instrument, answers: Answers | Answer) -> Answers:
    """The answers as a sequence or mapping: a single one is wrapped, five digits become five answers."""
    if isinstance(answers, str | int | float) or answers is None:
        word = "" if answers is None else str(answers).strip()
        if this.items > 1 and len(word) == this.items:
            return list(word)
        if this.items > 1 and not is_left_out(answers):
            raise InvalidInput(f"{this.short} has {this.items} items, got the one answer {word[:40]!r}")
        return [answers] if this.items == 1 else [None] * this.items
    return answers


def _each(form: Answers) -> list[Answer]:
    return list(form.values()) if isinstance(form, Mapping) else list(form)


def _value(
    this: Instrument, given: list[float | None], kept: list[float], values: ValueSet | None
) -> tuple[float | None, list[str]]:
    """The value and what must be said with it."""
    if this.method == "index" and values is None:
        raise InvalidInput(
            f"{this.short} needs the value set of your country as a file; Keyhole ships none, since they belong to "
            "their authors"
        )
    if not kept:
        return None, [f"{this.short}: nothing was answered, so there is no score"]
    if this.method == "share":
        return 100.0 * sum(kept) / (this.item_high * len(kept)), _share_caveats(this, len(kept))
    if this.method == "ticks":
        return sum(kept), _tick_caveats(this, kept)
    if len(kept) < this.items:
        return None, [f"{this.short}: {this.items - len(kept)} of {this.items} items left out, so there is no score"]
    return _whole_value(this, kept, values)


def _whole_value(this: Instrument, kept: list[float], values: ValueSet | None) -> tuple[float, list[str]]:
    """The value of a form on which every item is answered."""
    digits = "".join(f"{answer:g}" for answer in kept)
    if this.method == "profile":
        return float(digits), ["a profile is a label: it has no mean and no difference"]
    if this.method == "index" and values is not None:
        return values.values[digits], [f"value set: {values.name}", *values.caveats]
    return sum(kept) / len(kept), []


def _share_caveats(this: Instrument, answered: int) -> list[str]:
    left = this.items - answered
    if not left:
        return []
    said = f"{left} of {this.items} items left out; the divisor is {this.item_high * answered:g}"
    if answered < this.few_below:
        said += f"; fewer than {this.few_below} answers carry it, read it with care (no published limit was found)"
    return [said]


def _tick_caveats(this: Instrument, kept: list[float]) -> list[str]:
    total = sum(kept)
    if this.floor is not None and total < this.floor:
        return [f"below {this.floor:g} of {this.items} the form may hide a change to the better"]
    if this.ceiling is not None and total > this.ceiling:
        return [f"above {this.ceiling:g} of {this.items} the form may hide a change to the worse"]
    return []


def _from_table(this: Instrument, answers: Answers | Answer, table: TScores) -> Score:
    """The T score of items by the clinic's own table; every item is needed."""
    items = [answers] if isinstance(answers, str | int | float) or answers is None else _each(answers)
    missing = tuple(n for n, answer in enumerate(items, 1) if is_left_out(answer))
    if missing:
        said = f"{this.short}: {len(missing)} of {len(items)} items left out, and the table needs every one"
        return Score(this.key, None, len(items) - len(missing), missing, (said,))
    try:
        raw = sum(int(str(answer)) for answer in items)
    except ValueError:
        raise InvalidInput(f"{this.short}: items are whole numbers, got {[str(a)[:20] for a in items]}") from None
    if raw not in table.values:
        low, high = min(table.values), max(table.values)
        raise InvalidInput(f"{this.short}: the sum {raw} is not in {table.name}, which goes from {low} to {high}")
    return Score(this.key, table.values[raw], len(items), (), (f"table: {table.name}",))


def band(key: str, value: float | None) -> str:
    """The published word for `value`, or nothing: a word holds up to and including its limit."""
    if value is None or not math.isfinite(value):
        return ""
    bands = sorted(instrument(key).of_kind("band"), key=lambda b: b.value)
    return next((b.words for b in bands if value <= b.value), "")


def check(key: str, value: float) -> str:
    """Why `value` cannot be a score of `key`, in one sentence; nothing where it can."""
    this = instrument(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (abs(value) < 1e300):
        return f"{this.short} is a finite number from {this.low:g} to {this.high:g}, got something else"
    if not this.low <= value <= this.high:
        return f"{this.short} lies between {this.low:g} and {this.high:g}{_unit(this)}, got {value:g}"
    if this.method == "profile" and not (value == int(value) and set(str(int(value))) <= set("12345")):
        return f"{this.short} has five digits from 1 to 5, got {value:g}"
    if this.method in {"ticks", "grade"} and value != int(value):
        return f"{this.short} is a whole number, got {value:g}"
    return ""


def _unit(this: Instrument) -> str:
    return "" if this.unit.startswith("{") or this.unit == "1" else f" {this.unit}"
