"""The names of vertebrae counted anew: which name becomes which, in keys and in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from keyhole.errors import InvalidInput
from keyhole.terms.levels import VERTEBRAE, rank

LOWEST = ("L4", "L5", "L6")
"""What the lowest lumbar vertebra above a sacrum may be called."""

LAST_THORACIC = ("T11", "T12", "T13")
"""What the vertebra above L1 may be called."""

_NAME = re.compile(r"\b(?:[CT]\d{1,2}|L\d)\b(?!-weighted)")


def lineage(lowest: str, last_thoracic: str = "T12") -> tuple[str, ...]:
    """Every vertebra from C1 to the lumbar vertebra `lowest`, in a patient whose last thoracic is `last_thoracic`."""
    if not lowest.startswith("L"):
        raise InvalidInput(f"the lowest lumbar vertebra is written like L5, got {lowest!r}")
    if last_thoracic not in LAST_THORACIC:
        raise InvalidInput(f"the last thoracic vertebra is one of {', '.join(LAST_THORACIC)}, got {last_thoracic!r}")
    last = rank(last_thoracic)
    return (*VERTEBRAE[: last + 1], *VERTEBRAE[rank("L1") : rank(lowest) + 1])


def lineage_of(names: Iterable[str]) -> tuple[str, ...]:
    """The lineage that vertebrae called `names` belong to.

    T12 is the last thoracic vertebra unless T13 is among them, or T11 and L1 are and T12 is not.
    """
    present = sorted({name for name in names if name != "S1"}, key=rank)
    if not present or not present[-1].startswith("L"):
        raise InvalidInput(f"levels are counted from a lumbar vertebra, found {', '.join(present) or 'no vertebra'}")
    without = "T12" not in present and {"T11", "L1"} <= set(present)
    last = "T13" if "T13" in present else ("T11" if without else "T12")
    return lineage(present[-1], last)


def counted_anew(names: Iterable[str], lowest: str, last_thoracic: str = "T12") -> dict[str, str]:
    """New name of every vertebra in the lineage of `names`, so that the lowest lumbar one is called `lowest`.

    Counting runs upwards: the vertebra above L1 becomes `last_thoracic`. Refused where a name of `names` would run
    out at the head.
    """
    present = {name for name in names if name != "S1"}
    now, new = lineage_of(present), lineage(lowest, last_thoracic)
    renamed = dict(zip(reversed(now), reversed(new), strict=False))
    lost = sorted(present - set(renamed), key=rank)
    if lost:
        raise InvalidInput(
            f"with {lowest} as the lowest lumbar vertebra and {last_thoracic} as the last thoracic there is no name "
            f"left for {', '.join(lost)}"
        )
    return renamed


def renamed_key(key: str, names: Mapping[str, str]) -> str:
    """The structure key `key` with its vertebrae and levels called as `names` says; a rib goes with its vertebra."""
    head, _, rest = key.partition("/")
    if head == "rib":
        own, slash, side = rest.partition("/")
        vertebra = f"T{own}" if own.isdigit() else own
        new = names.get(vertebra, vertebra)
        return f"rib/{new[1:] if new.startswith('T') and new[1:].isdigit() else new}{slash}{side}"
    parts = ["-".join(names.get(one, one) for one in part.split("-")) for part in key.split("/")]
    return "/".join(parts)


def renamed_text(text: str, names: Mapping[str, str]) -> str:
    """`text` with every vertebra in it called as `names` says."""
    return _NAME.sub(lambda found: names.get(found[0], found[0]), text)
