"""What the truths of a phantom have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.endplates import TrueEndplate, endplate
from keyhole.casefile import FindingEntry

METHOD = "exact: docs/measures.md on the phantom's continuous surfaces, bisected to 0.02 mm, areas on 0.2 mm"


class Plates:
    """The endplates of the vertebrae of `levels`, each found when it is asked for and once only; phantom frame."""

    def __init__(self, body: Phantom, levels: Sequence[str]) -> None:
        self.body = body
        self.levels = tuple(levels)
        self._found: dict[tuple[str, int], TrueEndplate] = {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The vertebrae of the levels, cranial to caudal."""
        return tuple(dict.fromkeys(name for level in self.levels for name in level.split("/")))

    def of(self, name: str, sense: int) -> TrueEndplate:
        """The upper (`sense` +1) or lower (-1) endplate of `name`."""
        if (name, sense) not in self._found:
            self._found[name, sense] = endplate(self.body, name, sense)
        return self._found[name, sense]

    def facing(self, level: str) -> tuple[TrueEndplate, TrueEndplate]:
        """The endplates above and below the disc of `level`."""
        above, below = level.split("/")
        return self.of(above, -1), self.of(below, +1)


def true(name: str, level: str, value: float, unit: str, side: Literal["left", "right"] | None = None) -> FindingEntry:
    """A true value as it stands in truth.json; `side` is the phantom's own, before it is mirrored."""
    return FindingEntry(
        name=name,
        level=level,
        side=side,
        value=round(float(value), 4),
        sd=0.0,
        unit=unit,
        source="keyhole",
        method=METHOD,
    )
