"""What plan.json says of a fusion: the cage, the motion of the level, and what they change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keyhole.casefile.values import Quantity, Side, Strict, Triple

Row = tuple[float, float, float, float]


class PublishedEntry(Strict):
    """A published figure beside one of this patient's, in a sentence, with its source."""

    text: str
    source: str


class CageEntry(Strict):
    """A cage where it stands after realignment: a wedge of `height` mm at `centre`, LPS mm.

    `heading` is the way it was pushed in (its length), `across` its width, `up` its height; the height grows along
    `rise` by 2 tan(angle / 2) per mm. Its faces lie half the height above and below the plane through `centre`
    across `up`. `fits` False: its footprint comes too near to the edge of an endplate.
    """

    name: str
    kind: Literal["transforaminal", "lateral"]
    height: float
    angle: float  # deg, between its faces
    length: float
    width: float
    sources: dict[str, str] = Field(default_factory=dict)
    centre: Triple
    heading: Triple
    across: Triple
    up: Triple
    rise: Triple
    fits: bool


class ContactEntry(Strict):
    """What one face of the cage rests on, by the surface of the body's label."""

    face: Literal["upper", "lower"]
    touching: Quantity  # % of the face with bone 1 mm away or nearer
    overhang: Quantity  # % of the face without endplate
    rim: Quantity  # % of the face that rests on the outer 5 mm of the endplate
    gap: Quantity  # mm, mean where it stands off
    sunk: Quantity  # mm, largest depth in bone
    overlap: Quantity  # mL of bone inside the cage


class PassageEntry(Strict):
    """The cage's way in, before the level moved."""

    tilt: Quantity  # deg, corridor out of the disc's plane
    room: Quantity  # mm, tube's diameter less the cage's diagonal; negative: it does not pass
    clearance: dict[str, Quantity]
    bone: dict[str, Quantity]  # mL in the way, by structure


class MotionEntry(Strict):
    """The rigid motion of one vertebra, patient LPS mm: rows of the 4x4 matrix from before to after."""

    vertebra: str
    matrix: tuple[Row, Row, Row, Row]


class ChangeEntry(Strict):
    """One measure before and after the realignment.

    `measured` is the same measure taken anew on the moved label map, where that was done: over the same columns of
    both endplates as before, since a rigid bone keeps its footprint.
    """

    name: str
    level: str
    side: Side | None = None
    before: Quantity
    after: Quantity
    measured: Quantity | None = None
    published: tuple[PublishedEntry, ...] = ()


class RiskEntry(Strict):
    """One factor that goes with cages that sink, and what was published of it; no single threshold is drawn."""

    name: str
    level: str
    value: Quantity
    published: tuple[PublishedEntry, ...]


class FusionEntry(Strict):
    """One cage through one corridor (`approach` None: no corridor was found for it) and what it does."""

    approach: str | None
    level: str
    side: Side
    cage: CageEntry
    rules: tuple[str, ...]  # how size and place were chosen
    reduction: Annotated[float, Field(ge=0, le=1)]  # share of the slip taken back
    passage: PassageEntry | None
    contact: tuple[ContactEntry, ...]
    motions: tuple[MotionEntry, ...]
    changes: tuple[ChangeEntry, ...]
    overlap: dict[str, Quantity] = Field(default_factory=dict)  # "key & key" -> mL that both bones would share
    opened: dict[str, Quantity] = Field(default_factory=dict)  # vertebra -> mL it left that nothing filled
    risks: tuple[RiskEntry, ...]
    caveats: tuple[str, ...] = ()


class FusionRecord(Strict):
    """A level fused with a cage: one entry for each approach that brings one in, the best corridor's first."""

    level: str
    entries: tuple[FusionEntry, ...]
    caveats: tuple[str, ...] = ()
