"""What a plan of screws is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keyhole.errors import InvalidInput
from keyhole.geometry import Points, Tube
from keyhole.plan.screws.sizes import System
from keyhole.terms import check_side

GRADES = ("A", "B", "C", "D", "E")
"""Gertzbein-Robbins: no breach, below 2, 2 to below 4, 4 to below 6, 6 mm and more [gertzbein-robbins]."""


@dataclass(frozen=True, slots=True, eq=False)
class Screw:
    """A screw: `entry` where its axis enters the bone and `tip` its rounded end (3,) LPS mm, outer `radius` mm."""

    vertebra: str
    side: str
    trajectory: str
    entry: Points
    tip: Points
    radius: float
    system: System

    def __post_init__(self) -> None:
        check_side(self.side)
        if not (self.radius > 0 and self.length > 2 * self.radius):
            raise InvalidInput(
                f"{self.vertebra} {self.side}: a screw is longer than wide, got {self.length} by {2 * self.radius} mm"
            )

    @property
    def name(self) -> str:
        """What it is called, "screw L4 left"."""
        return f"screw {self.vertebra} {self.side}"

    @property
    def length(self) -> float:
        """From the bone's surface to the tip, mm."""
        return float(np.linalg.norm(self.tip - self.entry))

    @property
    def way(self) -> Points:
        """Unit direction from entry to tip."""
        return np.asarray((self.tip - self.entry) / self.length)

    @property
    def shaft(self) -> Tube:
        """The part in the bone: a capsule whose rounded end is the tip."""
        return Tube(self.entry, self.tip - self.radius * self.way, self.radius)

    @property
    def head(self) -> Points:
        """Middle of the rod's seat, (3,) LPS mm."""
        return np.asarray(self.entry - self.system.head_height * self.way)

    @property
    def body(self) -> Tube:
        """The head's housing, a ball about the rod's seat."""
        return Tube(self.head, self.head, self.system.head_radius)


@dataclass(frozen=True, slots=True, eq=False)
class ScrewPlan:
    """A screw and what is known of it; or none, and why.

    `clearance` is the least gap to the bone's wall, mm, a lower bound; `walls` the same by direction; `grades` the
    expected share of each Gertzbein-Robbins grade, `thinner` that of thinner screws on the same axis, by diameter.
    `medial` and `cranial` are the axis' angles, degrees; `hu` mean and sd along it or None. `facet` is Seo's grade of
    the joint above, None where it is not labelled; `facet_share` what the shaft takes of its bone, %. Of a screw into
    the ilium, `crossed` says how much of its axis runs in sacrum, joint and ilium, `corridor` how wide a cylinder about
    it stays in the ilium, and `near` its gap to what is labelled beyond the bone, mm.
    """

    vertebra: str
    side: str
    trajectory: str
    screw: Screw | None
    reason: str
    clearance: float
    walls: Mapping[str, float]
    grades: Mapping[str, float]
    thinner: Mapping[float, Mapping[str, float]]
    medial: float
    cranial: float
    hu: tuple[float, float] | None
    facet: int | None
    facet_share: float
    skin: Points | None
    caveats: tuple[str, ...]
    crossed: Mapping[str, float] = field(default_factory=dict)
    corridor: float = float("nan")
    near: Mapping[str, float] = field(default_factory=dict)
