"""Screws, rods, incisions and whole operations in plan.json."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keyhole.casefile.harm import HarmEntry
from keyhole.casefile.values import Quantity, Side, Strict, Triple

Grade = Literal["A", "B", "C", "D", "E"]
Trajectory = Literal["pedicle", "cortical", "s2-alar-iliac"]


class ScrewEntry(Strict):
    """One planned screw.

    The shaft is the capsule of `radius` whose axis runs from `entry` (where it enters the bone) to the point `radius`
    short of `tip`. Its `clearance` is to every voxel outside the bone farther than `radius` + `entry_allowance` from
    `entry`; `walls` the same by direction (medial, lateral, cranial, caudal, ahead).

    An S2-alar-iliac screw stands under the vertebra "S2AI"; its bone is the sacrum, the ilium of its side and the joint
    between them, its walls are pelvic, gluteal, crest, notch and ahead, and its angles are in the frame of S1.
    """

    vertebra: str
    side: Side
    trajectory: Trajectory
    system: str
    is_generic: bool
    entry: Triple
    tip: Triple
    radius: float
    diameter: Quantity
    length: Quantity
    entry_allowance: float
    clearance: Quantity
    walls: dict[str, Quantity]
    grades: dict[Grade, float]  # expected Gertzbein-Robbins grades after execution, shares that add up to 1
    thinner: dict[str, dict[Grade, float]]  # the same of thinner screws on this axis, by diameter in mm
    medial: Quantity
    cranial: Quantity
    density: Quantity
    facet_grade: int | None  # of the joint above, by Seo; None: not labelled
    facet_share: Quantity
    head: Triple
    head_radius: float
    skin: Triple | None
    # of an S2-alar-iliac screw alone: how much of its axis lies in sacrum, joint and ilium
    crossed: dict[str, Quantity] = Field(default_factory=dict)
    corridor: Quantity | None = None  # the widest cylinder about the axis that stays in the ilium
    near: dict[str, Quantity] = Field(default_factory=dict)  # its gap to what is labelled beyond the bone, by key
    caveats: tuple[str, ...] = ()


class NoScrew(Strict):
    """A vertebra and side without a screw, and the reason in a sentence."""

    vertebra: str
    side: Side
    trajectory: Trajectory
    reason: str


class RodEntry(Strict):
    """The rod of one side: how it has to be bent, and how well the heads lie on it."""

    side: Side
    vertebrae: tuple[str, ...]
    radius: float
    points: tuple[Triple, ...]
    residual: dict[str, Quantity]  # by vertebra
    lean: dict[str, Quantity]  # what each head swings, by vertebra
    bend: Quantity  # radius of the arc
    length: Quantity
    fits: bool
    caveats: tuple[str, ...] = ()


class IncisionEntry(Strict):
    """One opening of the skin and what goes through it."""

    through: tuple[str, ...]
    ends: tuple[Triple, Triple]
    length: Quantity


class NearEntry(Strict):
    """Two solids that come near each other; a gap below 0 is a collision."""

    first: str
    second: str
    gap: Quantity
    is_collision: bool


class ScrewsRecord(Strict):
    """All screws of a plan, with what joins them."""

    trajectory: Literal["pedicle", "cortical"]
    screws: tuple[ScrewEntry, ...]
    none: tuple[NoScrew, ...]
    rods: tuple[RodEntry, ...]
    incisions: tuple[IncisionEntry, ...]
    contacts: tuple[NearEntry, ...]
    caveats: tuple[str, ...] = ()


class PartEntry(Strict):
    """One part of an operation. `volume` is its own; what it shares with others counts once in the whole."""

    name: str
    kind: Literal["tube", "portal", "instrument", "sleeve", "screw", "cage", "open"]
    volume: Quantity


class OperationRecord(Strict):
    """Corridors and implants as one operation, counted together: `harm` is of the union, no volume twice.

    `bones` says where the bones lie when things are checked against each other: as in the scan, or after realignment.
    """

    name: str
    kind: Literal["small", "open"]
    approach: str | None
    parts: tuple[PartEntry, ...]
    harm: HarmEntry
    together: Quantity  # mL of the union
    apart: Quantity  # mL that the parts would add up to one by one
    incisions: tuple[IncisionEntry, ...]
    incision: Quantity  # summed length
    bones: Literal["as scanned", "realigned"]
    rods: tuple[RodEntry, ...]
    contacts: tuple[NearEntry, ...]
    caveats: tuple[str, ...] = ()
