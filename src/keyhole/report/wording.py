"""How numbers, units and names read on paper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from keyhole.casefile import Quantity
from keyhole.terms import heads

NOT_KNOWN = "not known"
"""What stands in place of a number that is missing; never zero."""

_UNITS = {"mm2": "mm²", "mm3": "mm³", "deg": "°", "1": "", "mm[Hg]": "mmHg", "[hnsf'U]": "HU"}
_APPROACHES = {"mis-tlif": "MIS-TLIF", "open-midline": "Open midline"}
_PARTS = {
    "dural_sac": "dural sac",
    "epidural": "epidural space",
    "flavum": "ligamentum flavum",
    "ivc": "inferior vena cava",
    "quadratus_lumborum": "quadratus lumborum",
    "facet": "facet",
}
_WHOLE = {"muscle", "fat", "bone", "skin", "gas"}
_KEY = re.compile(rf"\b(?:{'|'.join(sorted(heads()))})(?:/[A-Za-z0-9_-]*[A-Za-z0-9])+")


@dataclass(frozen=True, slots=True)
class Text:
    """One piece of a table or line: what it says, the numbers of its notes; `known` is False for a missing number."""

    text: str
    notes: tuple[int, ...] = ()
    known: bool = True


class Notes:
    """Caveats in the order in which they are first met, numbered from 1; the same words have one number.

    Caveats that begin with `without` are left out: they no longer hold.
    """

    def __init__(self, without: str | None = None) -> None:
        self._where: dict[str, list[str]] = {}
        self._without = without

    def add(self, caveats: tuple[str, ...], where: str) -> tuple[int, ...]:
        """The numbers of `caveats`, which concern `where`."""
        if self._without is not None:
            caveats = tuple(caveat for caveat in caveats if not caveat.startswith(self._without))
        for caveat in caveats:
            places = self._where.setdefault(caveat, [])
            if where not in places:
                places.append(where)
        order = list(self._where)
        return tuple(sorted({order.index(caveat) + 1 for caveat in caveats}))

    def listed(self) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
        """Every note: its number, words, and what it concerns."""
        return tuple((n, in_words(text), _few(where)) for n, (text, where) in enumerate(self._where.items(), start=1))


def runs(numbers: tuple[int, ...]) -> tuple[tuple[int, str], ...]:
    """Ascending `numbers` with runs of three and more drawn together: the first of each, and how it is written."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    made: list[tuple[int, str]] = []
    for group in groups:
        made += [(group[0], f"{group[0]}–{group[-1]}")] if len(group) > 2 else [(n, str(n)) for n in group]
    return tuple(made)


def _few(where: list[str]) -> tuple[str, ...]:
    """At most six places, and how many more there are."""
    return (*where[:6], *([f"{len(where) - 6} more"] if len(where) > 6 else []))


def decimals(value: float, unit: str) -> int:
    """How many decimals a number of `unit` is worth on paper."""
    if unit in {"mm2", "mm3", "[hnsf'U]"}:
        return 0
    if unit == "1":
        return 2
    if unit == "%":
        return 0 if abs(value) >= 10 else 1
    return 2 if unit == "mL" and abs(value) < 1 else 1


def number(value: float, unit: str) -> str:
    """`value` with the decimals of its unit; a value that would round to a false zero is written "<0.01"."""
    if value == 0:
        return "0"
    places = decimals(value, unit)
    smallest = 10.0**-places
    if abs(value) < smallest / 2:
        return f"<{smallest:.{places}f}" if value > 0 else f">−{smallest:.{places}f}"
    return f"{value:.{places}f}".replace("-", "−")


def unit(ucum: str) -> str:
    """A UCUM unit as it is printed."""
    return _UNITS.get(ucum, ucum)


def with_unit(text: str, ucum: str) -> str:
    """`text` followed by its unit; a degree sign stands close."""
    shown = unit(ucum)
    return text + shown if shown == "°" else f"{text} {shown}".strip()


def spread(value: float, sd: float | None, interval: tuple[float, float] | None, ucum: str) -> str:
    """`value` with its sd or interval, without the unit."""
    places = decimals(value, ucum)
    if sd is not None and sd > 0:
        return f"{number(value, ucum)} ± {max(sd, 10.0**-places):.{places}f}"
    if interval is not None:
        low, high = (number(end, ucum) for end in interval)
        return f"{number(value, ucum)} ({low} to {high})"
    return number(value, ucum)


def quantity(found: Quantity, notes: Notes, where: str) -> Text:
    """`found` as value ± sd without its unit; what is missing says "not known" and its note says why."""
    numbers = notes.add(found.caveats, where)
    if found.value is None:
        return Text(NOT_KNOWN, numbers, known=False)
    return Text(spread(found.value, found.sd, found.interval, found.unit), numbers)


def probability(value: float) -> str:
    """A probability in %, with two significant digits; below 0.01 % it says so."""
    share = 100 * value
    if share < 0.01:
        return "<0.01 %"
    return f"{share:.2f} %" if share < 1 else f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def approach(name: str) -> str:
    """An approach's name as it is read."""
    return _APPROACHES.get(name, name.replace("-", " ").capitalize())


def structure(key: str) -> str:
    """A structure key in words: "root/L4/left" is "L4 root, left"."""
    parts = key.split("/")
    if key in _WHOLE:
        return key
    side = next((part for part in parts if part in {"left", "right"}), "")
    rest = [part for part in parts[1:] if part not in {"left", "right"}]
    name = _named(parts[0], [_PARTS.get(part, part.replace("_", " ")) for part in rest])
    return f"{name}, {side}" if side else name


def _named(head: str, rest: list[str]) -> str:
    if not rest:
        return head
    first, deeper = rest[0], [part.replace("-", "/") for part in rest[1:]]
    level = first.replace("-", "/")
    named = {
        "vertebra": " ".join([first, *reversed(deeper)]),
        "root": f"{first} root",
        "disc": f"{deeper[0] if deeper else head} {level}",
        "foramen": f"foramen {level}",
        "canal": " ".join([first, *deeper]),
        "tissue": f"unlabelled {first}" if first in {"muscle", "bone", "fat"} else first,
    }
    return named.get(head, rest[-1] if head in {"muscle", "vessel", "organ"} else " ".join([head, *rest]))


def in_words(text: str) -> str:
    """`text` with its structure keys in words: "root/L4/left is modelled" says "left L4 root is modelled"."""
    return _KEY.sub(_spoken, text)


def _spoken(found: re.Match[str]) -> str:
    name, _, side = structure(found[0]).rpartition(", ")
    return f"{side} {name}" if name else side


def listed(words: tuple[str, ...] | list[str]) -> str:
    """Words joined as prose: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def parameters(found: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Parameters of a provenance block as name and text."""
    return tuple((name.replace("_", " "), _plain(value)) for name, value in sorted(found.items()))


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return "not given" if value is None else str(value)
