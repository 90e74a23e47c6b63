"""Vertebrae, the levels between them, and sides, as they are written.

A vertebra is "L4"; a level is "L4/L5" in text and JSON values and "L4-L5" inside structure keys and file
names; a side is "left" or "right", always the patient's.
"""

from __future__ import annotations

from keyhole.errors import InvalidInput

SIDES = ("left", "right")

_ORDER = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 14)),
    *(f"L{n}" for n in range(1, 7)),
    "S1",
)
_RANK = {name: rank for rank, name in enumerate(_ORDER)}

_OPTIONAL = {"L1": ("T13",), "S1": ("L5", "L6")}  # vertebrae that may be missing just above these

VERTEBRAE = _ORDER
"""Every vertebra name from head to tail; T13 and L6 exist in some patients only."""

LUMBAR_LEVELS = ("L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")


def rank(vertebra: str) -> int:
    """Place of `vertebra` counted from the head, so that sorting by it runs cranial to caudal."""
    if vertebra not in _RANK:
        raise InvalidInput(f"a vertebra is written like L4, T12 or S1, got {vertebra!r}")
    return _RANK[vertebra]


def split(level: str) -> tuple[str, str]:
    """Upper and lower vertebra of `level`, written "L4/L5" (or "L4-L5" inside keys)."""
    upper, found, lower = level.replace("-", "/").partition("/")
    if not found or not are_neighbours(upper, lower):
        raise InvalidInput(f"a level is two neighbouring vertebrae like L4/L5, got {level!r}")
    return upper, lower


def are_neighbours(upper: str, lower: str) -> bool:
    """Whether `lower` can be the next vertebra below `upper`: T13, L5 and L6 may be absent in between."""
    if upper not in _RANK or lower not in _RANK:
        return False
    between = _ORDER[_RANK[upper] + 1 : _RANK[lower]]
    return _RANK[lower] > _RANK[upper] and all(name in _OPTIONAL.get(lower, ()) for name in between)


def level(upper: str, lower: str) -> str:
    """The level between two neighbouring vertebrae, as text: "L4/L5"."""
    name = f"{upper}/{lower}"
    split(name)
    return name


def in_key(level: str) -> str:
    """`level` as it stands inside a structure key: "L4-L5"."""
    return "-".join(split(level))


def check_side(side: str) -> str:
    """`side` if it is "left" or "right"; refused otherwise."""
    if side not in SIDES:
        raise InvalidInput(f"a side is left or right, got {side!r}")
    return side


def other(side: str) -> str:
    """The opposite side."""
    return SIDES[1 - SIDES.index(check_side(side))]


def sides_swapped(key: str) -> str:
    """`key` with left and right exchanged, as a mirrored patient would have it."""
    names = {"left": "right", "right": "left"}
    return "/".join(names.get(part, part) for part in key.split("/"))
