"""Answers as people write them, to numbers by item; anything else is refused with the item's number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from keyhole.errors import InvalidInput
from keyhole.recovery.instruments.model import UNABLE, Instrument

#: One answer: a number, a word, or None where the item was left out.
Answer = float | int | str | None
Answers = Sequence[Answer] | Mapping[int, Answer] | Mapping[str, Answer]

_LEFT_OUT = {"", "-", "–", "?", ".", "na", "n/a", "nan", "none", "null", "missing"}


def numbers(this: Instrument, answers: Answers) -> list[float | None]:
    """The answer of every item in order, None where it was left out.

    Parameters
    ----------
    this : the instrument.
    answers : one per item, in the form's order; or by item number, items not named being left out. Left out is None,
        an empty word, a dash or nan.
    """
    written = _in_order(this, answers)
    return [_number(this, n, answer) for n, answer in enumerate(written, 1)]


def _in_order(this: Instrument, answers: Answers) -> list[Answer]:
    if isinstance(answers, Mapping):
        named = {_item(this, name): answer for name, answer in answers.items()}
        return [named.get(n) for n in range(1, this.items + 1)]
    if isinstance(answers, str):
        answers = list(answers)
    if len(answers) != this.items:
        raise InvalidInput(
            f"{this.short} has {this.items} item{'' if this.items == 1 else 's'}, got {len(answers)} answers; "
            "write a dash for one that was left out"
        )
    return list(answers)


def _item(this: Instrument, name: int | str) -> int:
    digits = str(name).strip()
    if not digits.isdecimal() or not 1 <= int(digits) <= this.items:
        raise InvalidInput(f"{this.short} has items 1 to {this.items}, got item {name!r}")
    return int(digits)


def _number(this: Instrument, n: int, answer: Answer) -> float | None:
    if is_left_out(answer):
        return None
    value = _grade(this, answer) if this.grades else _float(this, n, answer)
    if not this.item_low <= value <= this.item_high:
        raise InvalidInput(
            f"{this.short}, item {n}: {value:g} is not between {this.item_low:g} and {_top(this, value)}"
        )
    if this.method not in {"test", "single", "tscore"} and value != int(value):
        raise InvalidInput(f"{this.short}, item {n}: {value:g} is not a whole number")
    if n in this.odd_items and value % 2 != 1:
        raise InvalidInput(f"{this.short}, item {n}: this item is scored 1, 3 or 5, got {value:g}")
    return value


def _top(this: Instrument, value: float) -> str:
    """The upper end; with a hint where the form seems to count from 1."""
    hint = ""
    if this.key == "odi" and value == this.item_high + 1:
        hint = " (if your form counts its answers from 1 to 6, take 1 off each)"
    return f"{this.item_high:g}{hint}"


def _float(this: Instrument, n: int, answer: Answer) -> float:
    try:
        value = float(answer if isinstance(answer, bool) else str(answer).strip().replace(",", "."))
    except ValueError:
        raise InvalidInput(f"{this.short}, item {n}: {str(answer)[:40]!r} is not a number") from None
    if not math.isfinite(value):
        raise InvalidInput(f"{this.short}, item {n}: {str(answer)[:20]} is not a number that an answer can have")
    return value


def _grade(this: Instrument, answer: Answer) -> float:
    word = str(answer).strip().casefold()
    for grade in this.grades:
        if word in {grade.name, str(grade.value), f"{grade.value}.0"}:
            return float(grade.value)
    names = ", ".join(f"{grade.value} {grade.name}" for grade in this.grades)
    raise InvalidInput(f"{this.short}: {str(answer)[:40]!r} is not one of {names}")


def is_left_out(answer: Answer) -> bool:
    """Whether an item was left out: None, nan, an empty word, a dash."""
    if answer is None or (isinstance(answer, float) and math.isnan(answer)):
        return True
    return isinstance(answer, str) and answer.strip().casefold() in _LEFT_OUT


def is_unable(answer: Answer) -> bool:
    """Whether the person could not do the test."""
    return isinstance(answer, str) and answer.strip().casefold() == UNABLE
