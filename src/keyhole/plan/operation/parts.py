"""What an operation is made of, and what of it runs into what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.casefile import CandidateEntry
from keyhole.casefile.realign import CageEntry
from keyhole.errors import InvalidInput
from keyhole.geometry import Points, Tube, unit
from keyhole.plan.harm import Harming
from keyhole.plan.harm.midline import Exposure
from keyhole.plan.screws.collide import Block, Contact, Solid, contacts
from keyhole.plan.screws.model import Screw

KINDS = ("tube", "portal", "instrument", "sleeve", "screw", "cage")
"""What a part may be; tubes, portals and sleeves come through the skin."""

LAST = 9
"""Screws come after every corridor has done its work and its tube is out."""

IMPLANTS = ("screw", "cage")
"""Parts that stay; the others are there during their own step alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part of an operation: capsules and boxes, LPS mm.

    Parts of one `group` belong together and may touch (a screw and its sleeve); `step` is when an instrument is there,
    `order` counts the steps.
    """

    name: str
    kind: str
    group: str
    step: str
    tubes: tuple[Tube, ...] = ()
    blocks: tuple[Block, ...] = ()
    order: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(f"{self.name}: a part of an operation is one of {', '.join(KINDS)}, got {self.kind!r}")
        if not (self.tubes or self.blocks):
            raise InvalidInput(f"{self.name}: a part of an operation takes room; neither tube nor box was given")

    @property
    def solid(self) -> Solid:
        """The part as something that others may run into."""
        when = "implant" if self.kind in IMPLANTS else self.step
        return Solid(self.name, self.tubes, self.group, when, self.blocks, self.order)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """Everything that is put through the patient in one operation; `opened` is what an open one lays open."""

    name: str
    parts: tuple[Part, ...]
    opened: Exposure | None = None

    def __post_init__(self) -> None:
        names = [p.name for p in self.parts]
        if len(set(names)) != len(names):
            raise InvalidInput(f"{self.name}: every part of an operation needs a name of its own, got {names}")

    @property
    def harming(self) -> Harming:
        """What it takes, as harm is counted: the union of all its capsules and of what is laid open.

        A cage is not in it: it stands where the disc was cleared.
        """
        bodies = tuple((p.kind, tube) for p in self.parts if p.kind != "cage" for tube in p.tubes)
        return Harming(bodies=bodies, opened=self.opened)


def collisions(operation: Operation) -> list[Contact]:
    """Every two parts nearer than 3 mm that can be there at once, nearest first; a gap below 0 is a collision.

    Implants meet each other, instruments the implants that are in by then and what else is there in their own step.
    """
    return contacts([p.solid for p in operation.parts])


def corridor_parts(entry: CandidateEntry) -> tuple[Part, ...]:
    """The tube and the instrument of a corridor, and its further portals."""
    name = entry.approach
    docked = _capsule(entry.entry, entry.dock, entry.radius)
    thin = Tube(np.array(entry.dock), np.array(entry.target), entry.instrument_radius)
    parts = [Part(name, "tube", name, name, (docked,)), Part(f"{name} instrument", "instrument", name, name, (thin,))]
    for n, portal in enumerate(entry.portals, 2):
        tube = _capsule(portal.entry, portal.dock, portal.radius)
        parts.append(Part(f"{name} portal {n}", "portal", name, name, (tube,)))
    return tuple(parts)


def _capsule(start: Sequence[float], tip: Sequence[float], radius: float) -> Tube:
    """The capsule from `start` whose rounded end is `tip`; a ball about it where both are one place."""
    first, last = np.asarray(start, dtype=np.float64), np.asarray(tip, dtype=np.float64)
    if np.array_equal(first, last):
        return Tube(first, last, radius)
    return Tube(first, last - radius * unit(last - first), radius)


def screw_part(screw: Screw) -> Part:
    """A screw with its head."""
    return Part(screw.name, "screw", screw.name, "screws", (screw.shaft, screw.body), order=LAST)


def sleeve_part(screw: Screw, skin: Points) -> Part:
    """The sleeve through which a screw is put in, from the skin to the bone."""
    tube = _capsule(skin.tolist(), screw.entry.tolist(), screw.system.tower_radius)
    return Part(f"sleeve {screw.vertebra} {screw.side}", "sleeve", screw.name, "screws", (tube,), order=LAST)


def cage_part(cage: CageEntry, through: str = "cage") -> Part:
    """A cage as the box that holds its wedge; it belongs to the corridor that it comes `through`."""
    axes = np.array([cage.heading, cage.across, cage.up])
    run = cage.length if abs(np.dot(cage.rise, cage.heading)) > 0.5 else cage.width
    height = cage.height + run * np.tan(np.deg2rad(abs(cage.angle)) / 2)
    half = np.array([cage.length, cage.width, height]) / 2
    return Part("cage", "cage", through, "cage", (), (Block(np.array(cage.centre), axes, half),))


def small_operation(
    corridors: Sequence[CandidateEntry] = (),
    *,
    screws: Sequence[tuple[Screw, Points | None]] = (),
    cage: CageEntry | None = None,
) -> Operation:
    """Corridors, a cage and screws as one operation; each screw with its place on the skin, where that is known."""
    parts = [part for entry in corridors for part in corridor_parts(entry)]
    parts += [screw_part(s) for s, _ in screws]
    parts += [sleeve_part(s, skin) for s, skin in screws if skin is not None]
    if cage is not None:
        parts.append(cage_part(cage, corridors[0].approach if corridors else "cage"))
    name = " + ".join(
        [*(e.approach for e in corridors), *(["cage"] if cage else []), *([_n(screws)] if screws else [])]
    )
    return Operation(name, tuple(parts))


def open_operation(
    name: str, opened: Exposure, *, screws: Sequence[Screw] = (), cage: CageEntry | None = None
) -> Operation:
    """The same through an open exposure: screws and cage, no tubes and no sleeves."""
    parts = [screw_part(s) for s in screws]
    if cage is not None:
        parts.append(cage_part(cage))
    names = [name, *(["cage"] if cage else []), *([_n(screws)] if screws else [])]
    return Operation(" + ".join(names), tuple(parts), opened)


def _n(screws: Sequence[object]) -> str:
    return "1 screw" if len(screws) == 1 else f"{len(screws)} screws"
