"""What a plan says of its approaches: their needs, portals, targets, and what would open a rejected one."""

from __future__ import annotations

from typing import Literal

from keyhole.casefile.values import Quantity, Side, Strict, Triple


class RemarkEntry(Strict):
    """A sentence and the key of its source."""

    text: str
    source: str


class InstrumentEntry(Strict):
    """One instrument of an approach; figures that no source gives are None."""

    name: str
    title: str
    outer: float  # mm
    working: float | None = None  # mm
    optics: float | None = None  # degrees off the axis
    bend: float | None = None  # degrees
    maker: str = ""
    source: str


class ApproachEntry(Strict):
    """An approach that was asked for, as the catalogue (or a clinic's file) had it at this level."""

    name: str
    title: str
    kind: Literal["tube", "biportal", "open", "screws"]
    origin: Literal["catalogue", "file"]
    aims: tuple[str, ...]
    reach: tuple[float, float] = (0.0, 0.0)  # mm, from dock to target
    angulation: float = 0.0  # degrees that the instrument may lean from the tube's axis
    implants: tuple[str, ...] = ()
    instruments: tuple[InstrumentEntry, ...] = ()
    contraindications: tuple[RemarkEntry, ...] = ()
    may_cut: tuple[str, ...] = ()  # structure keys


class TargetEntry(Strict):
    """A target at the level and side: what must be reached."""

    name: Literal["fragment", "recess", "canal", "foramen", "disc", "pedicle"]
    side: Side
    what: str
    volume: Quantity  # mL
    points: int  # of the lattice on which reach is counted
    is_aim: bool  # the plan aims at it
    caveats: tuple[str, ...] = ()


class PortalEntry(Strict):
    """A further tube of a corridor, beside the one that its entry, dock and radius describe."""

    role: Literal["viewing"]
    entry: Triple
    dock: Triple
    radius: float
    clearance: dict[str, Quantity]
    breach_probability: dict[str, float]
    burden: dict[str, Quantity]
    skin_distance: Quantity  # mm between the two entries
    tip_distance: Quantity  # mm between the two tips
    angle: Quantity  # deg between the two tubes


class TriedEntry(Strict):
    """The corridor that a refusal speaks of: the nearest miss of those searched. It is not feasible."""

    entry: Triple  # on the skin
    dock: Triple
    target: Triple | None = None  # None: the tube itself is blocked, so no instrument was aimed
    radius: float  # mm, of the tube
    instrument_radius: float  # mm
    blocked: Literal["tube", "instrument"]  # which of them the structure in the way reaches into


class ChangeEntry(Strict):
    """One change to a rejected approach that was searched again, and whether it opens a corridor."""

    change: Literal["thinner tube", "other side", "cut bone", "root position", "organs moved"]
    opens: bool
    finding: str  # one sentence
    searched: int
    steps: tuple[float, float]  # of that search: docks mm, directions degrees


class FrontEntry(Strict):
    """The corridors of one approach that no other of it beats in breach, burden, reach and facet: ranks."""

    approach: str
    side: Side
    ranks: tuple[int, ...]
