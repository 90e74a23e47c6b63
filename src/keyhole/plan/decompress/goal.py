"""What a decompression is to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from keyhole.errors import InvalidInput

Kind = Literal["share", "area", "root"]

GAIN = 50.0
"""A decompression is substantial if the area grows by half or more, % [nordsten-area, measured there on the sac]."""

LENGTH = 5.0
"""The canal is to reach the goal over this length to either side of the disc-level plane, mm [keyhole-choice]."""

ROOM = 1.0
"""A root is free of contact if nothing that may be removed lies nearer to it than this, mm [keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the least removal is to reach, over `length` mm to either side of the disc-level canal plane.

    `kind` "share": the canal's area on every plane of that stretch is at least that of the disc-level plane grown by
    `amount` %; "area": at least `amount` mm²; "root": nothing that may be removed lies within `amount` mm of the
    traversing root (`root` "exiting": of the exiting one) on the side.
    """

    kind: Kind = "share"
    amount: float = GAIN
    length: float = LENGTH
    root: Literal["traversing", "exiting"] = "traversing"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InvalidInput(f"a decompression aims at one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.root not in ("traversing", "exiting"):
            raise InvalidInput(f"a root is traversing or exiting, got {self.root!r}")
        if not 0 < self.amount < 1e4:
            raise InvalidInput(f"the goal's amount must be > 0 (%, mm2 or mm), got {self.amount}")
        if not 0 <= self.length <= 20:
            raise InvalidInput(f"the goal's length must be 0 to 20 mm to either side of the disc, got {self.length}")

    @property
    def words(self) -> str:
        """The goal in words."""
        stretch = f"over {self.length:g} mm to either side of the disc-level plane"
        if self.kind == "root":
            return f"{self.root} root free of contact by {self.amount:g} mm {stretch}"
        if self.kind == "area":
            return f"a canal of {self.amount:g} mm2 {stretch}"
        return f"{self.amount:g} % more canal area {stretch}"
