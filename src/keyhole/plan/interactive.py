"""A level to work at: corridors scored as they are dragged, and the front of all of them ranked by one's own weights.

table = desk(load(Case("CASE"), with_image=False), "L4/L5")
choice = front(table)
best = ranked(choice, {"breach": 3, "burden": 1})[0]
print(score(table, choice.corridor(best)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.anatomy.reading import load
from keyhole.casefile import Case
from keyhole.errors import InvalidInput
from keyhole.geometry import Points
from keyhole.geometry._kernels import serial
from keyhole.plan.approaches import Approach, chosen
from keyhole.plan.candidate import Figures, figures
from keyhole.plan.clearance import Surfaces
from keyhole.plan.doubt import default_budget
from keyhole.plan.rank import chance, undominated
from keyhole.plan.refine import Nook, angles, is_docked, nook
from keyhole.plan.search import LONGEST, Found, aimed, search
from keyhole.plan.setting import Setting, setting
from keyhole.plan.site import hard_keys
from keyhole.terms import SIDES, Tissue, tissue

AIMS = ("breach", "burden", "reach", "facet", "clearance", "depth", "incision")
"""What corridors can be weighed by: probability, mL, % missed, %, mm missing to `WIDE`, mm, mm; less is better."""

WIDE = 5.0
"""Clearance beyond this is worth nothing more, mm [keyhole-choice]."""

STEPS = (0.001, 0.05, 1.0, 0.5)
"""Differences in breach probability, mL, reach % and facet % that count on the front [keyhole-choice]."""

STRIDE, SKIN = 0.1, 4.0
"""The line is walked in such steps, and skin is looked for so far before it leaves the body, mm."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Corridor:
    """A tube as a hand moves it: `dock` (3,) its tip, `entry` (3,) any point that it comes from, LPS mm.

    `target` (3,) is what the instrument goes to; None lets it be chosen.
    """

    approach: str
    side: str
    dock: Points
    entry: Points
    radius: float
    target: Points | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """One approach on one side, searched, with all that scoring needs at hand."""

    setting: Setting
    approach: Approach
    found: Found
    walls: Surfaces
    place: Nook


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """A level of one patient ready for questions: a room for each approach and side."""

    level: str
    rooms: Mapping[tuple[str, str], Room]


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """What a dragged corridor is worth.

    `verdict` is "clear", "blocked" (something hard is touched), "unseen" (it leaves what was seen) or "outside" (the
    approach does not allow it); `broken` says in sentences which rules it breaks. `figures` are exact, with the entry
    moved onto the skin; None where no skin was met.
    """

    verdict: str
    broken: tuple[str, ...]
    figures: Figures | None


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """The corridors that no other beats in breach, burden, reach and facet, as the search knows them (to rank).

    `rooms` (n,) and `at` (n,) say which corridor of which room, `values` (n, aim) are in the order of `AIMS`, `tier`
    (n,) is 1 where only the doorway is reached. `score` gives the exact figures of `corridor(n)`.
    """

    desk: Desk
    rooms: tuple[tuple[str, str], ...]
    at: NDArray[np.int64]
    values: Points
    tier: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.at)

    def corridor(self, n: int) -> Corridor:
        """The `n`-th corridor of the front."""
        name, side = self.rooms[n]
        found, at = self.desk.rooms[name, side].found, self.at[n]
        return Corridor(name, side, found.dock[at], found.entry[at], float(found.radius[at]), found.target[at])


def desk(
    patient: Anatomy | str | Path,
    level: str,
    side: str = "both",
    *,
    goal: str = "decompress",
    approaches: Sequence[str] | None = None,
    registration_error: float | None = None,
    steps: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> Desk:
    """Every approach that serves `goal` at `level`, searched and ready to be asked about.

    Parameters
    ----------
    patient : an anatomy, or the folder of an imported case.
    side : "left", "right" or "both".
    steps : of the search, docks mm and directions degrees; None takes each approach's own.
    registration_error : RMS target error of the navigation, mm, in place of that of the error budget.
    """
    anatomy = patient if isinstance(patient, Anatomy) else load(Case(Path(patient)), with_image=False)
    budget = default_budget() if registration_error is None else default_budget().with_registration(registration_error)
    wanted = tuple(a.at(level) for a in chosen(approaches) if goal in a.goals and a.radii and a.kind != "screws")
    sides = SIDES if side == "both" else (side,)
    say = progress or (lambda sentence, share: None)
    rooms = {}
    for n, one in enumerate(sides):
        here = setting(anatomy, level, one, goal, error=budget, approaches=wanted)
        for k, approach in enumerate(wanted):
            say(f"Searching {approach.name} from the {one}", (n + k / len(wanted)) / len(sides))
            if here.targets.name in approach.aims:
                rooms[approach.name, one] = _room(here, approach, steps or approach.steps)
    say("Ready", 1.0)
    return Desk(level, rooms)


def _room(here: Setting, approach: Approach, steps: tuple[float, float]) -> Room:
    found = search(here.site, approach, here.targets, steps=steps)
    walls = here.walls.only(hard_keys(here.site, approach))
    return Room(here, approach, found, walls, nook(here.site, found, walls))


def score(table: Desk, corridor: Corridor) -> Score:
    """What `corridor` is worth: its verdict, the rules it breaks, and its exact figures, within 20 ms."""
    room = _found(table, corridor)
    dock, way = np.asarray(corridor.dock, dtype=np.float64), np.asarray(corridor.entry - corridor.dock)
    long = float(np.linalg.norm(way))
    if not (long > 0 and np.isfinite(long) and np.isfinite(dock).all() and corridor.radius > 0):
        raise InvalidInput("a corridor needs two distinct finite points in LPS mm and a radius > 0 mm")
    out = way / long
    grid, body = room.setting.site.labels.grid, room.setting.site.body
    length, skin = _to_skin(body, grid.index(dock), grid.patient_from_index.inverse.turn(out))
    if not skin:
        return Score("unseen", ("the tube leaves what was seen before it meets the skin: unseen is never safe",), None)
    with serial():
        exact, missed = _figures(room, replace(corridor, dock=dock, entry=dock + length * out), out)
    touched, broken = _touched(exact), (*_outside(room, exact, out), *missed)
    verdict = "blocked" if touched else "outside" if broken else "clear"
    return Score(verdict, (*touched, *broken), exact)


def _found(table: Desk, corridor: Corridor) -> Room:
    room = table.rooms.get((corridor.approach, corridor.side))
    if room is None:
        known = ", ".join(f"{name} ({side})" for name, side in table.rooms)
        raise InvalidInput(f"{corridor.approach} from the {corridor.side} is not on the desk; there are {known}")
    return room


def _to_skin(body: NDArray[np.uint8], begin: Points, along: Points) -> tuple[float, bool]:
    """Length of the line from index `begin`, `along` per mm, to where it leaves the body; and whether skin is there."""
    t = np.arange(0.0, 2 * LONGEST, STRIDE)
    index = np.rint(begin + t[:, None] * along).astype(np.int64)
    within = np.asarray(((index >= 0) & (index < body.shape)).all(axis=1))
    seen = len(t) if within.all() else int(np.argmin(within))
    code = body[tuple(index[:seen].T)]
    if not (code == 0).any():
        return float(t[max(seen - 1, 0)]), False
    last = int(np.argmax(code == 0)) - 1
    return float(t[max(last, 0)]), bool((code[max(0, last - int(SKIN / STRIDE)) : last + 1] == 2).any())


def _figures(room: Room, corridor: Corridor, out: Points) -> tuple[Figures, tuple[str, ...]]:
    """The exact figures, and that nothing is reached where it is so."""
    approach = replace(room.approach, radii=(corridor.radius,))
    here = replace(room.place.room, docks=corridor.dock[None], out=out[None])
    shot = aimed(approach, room.setting.targets, here, np.zeros((1, 3), dtype=np.int32))
    reached = bool(shot.reached[0])
    target = corridor.target if corridor.target is not None else shot.target[0] if reached else corridor.dock
    single = replace(
        room.found, approach=room.approach, entry=corridor.entry[None], dock=corridor.dock[None],
        target=np.asarray(target)[None], radius=np.array([corridor.radius]), reach=shot.share, tier=shot.tier,
    )  # fmt: skip
    exact = figures(room.setting.site, single, 0, room.walls, room.setting.error, room.setting.targets)
    return exact, () if reached else (f"no instrument through it reaches the {room.setting.targets.what}",)


def _touched(exact: Figures) -> tuple[str, ...]:
    """What tube and instrument run into, in sentences."""
    both = (("tube", exact.gaps), ("instrument", exact.instrument_gaps))
    return tuple(
        f"the {name} runs {-gap:.1f} mm into {k}" for name, gaps in both for k, (gap, _) in gaps.items() if gap < 0
    )


def _outside(room: Room, exact: Figures, out: Points) -> tuple[str, ...]:
    """Which rules of the approach the corridor breaks, in sentences."""
    approach, frame = room.approach, room.setting.site.frame
    azimuth, tilt = angles(frame.axes @ out)
    lateral = float(frame.local(exact.entry)[0])
    bone = sum(v for k, v in exact.volumes.items() if tissue(k) is Tissue.BONE)
    length = float(np.linalg.norm(exact.entry - exact.dock))
    bounds = (
        ("the skin entry lies {:.0f} mm from the midline, not {:.0f} to {:.0f}", lateral, approach.entry_lateral),
        ("the tube leans {:.0f} degrees laterally, not {:.0f} to {:.0f}", azimuth, approach.azimuth),
        ("the tube rises {:.0f} degrees cranially, not {:.0f} to {:.0f}", tilt, approach.tilt),
        ("the tube is {:.0f} mm long, not {:.0f} to {:.0f}", length, (0.0, LONGEST)),
        ("{:.1f} mL of bone lie inside the tube, not {:.0f} to {:.1f}", bone, (0.0, approach.max_bone)),
        ("{:.0f} % of a facet is taken, not {:.0f} to {:.0f}", exact.facet_share, (0.0, approach.max_facet)),
    )
    said = [text.format(v, *span) for text, v, span in bounds if not span[0] - 1e-3 <= v <= span[1] + 1e-3]
    if not is_docked(room.place, frame.local(exact.dock)[None])[0]:
        said.append(f"the tip does not lie in the docking place of {approach.title}")
    return tuple(said)


def front(table: Desk) -> Front:
    """The corridors of all rooms that no other beats or equals in tier, breach, burden, reach and facet."""
    rooms, at, values, tier = [], [], [], []
    for key, room in table.rooms.items():
        own = _values(room)
        kept = _best(own, room.found.tier)
        rooms += [key] * len(kept)
        at.append(kept)
        values.append(own[kept])
        tier.append(room.found.tier[kept])
    if not rooms:
        return Front(table, (), np.empty(0, np.int64), np.empty((0, len(AIMS))), np.empty(0, np.int32))
    all_at, all_values, all_tier = np.concatenate(at), np.concatenate(values), np.concatenate(tier)
    kept = _best(all_values, all_tier)
    return Front(table, tuple(rooms[n] for n in kept), all_at[kept], all_values[kept], all_tier[kept])


def _values(room: Room) -> Points:
    """The aims (n, aim) of every corridor of `room`, as the search knows them."""
    found, here = room.found, room.setting
    depth = np.linalg.norm(found.entry - found.dock, axis=1)
    least = np.minimum(found.gap, found.instrument_gap)
    missing = np.maximum(WIDE - least, 0.0)
    incision = 2 * found.radius + room.approach.incision_extra
    breach = chance(found, here.error, here.root_sd)
    return np.stack([breach, found.volume, 100 * (1 - found.reach), found.facet, missing, depth, incision], axis=1)


def _best(values: Points, tier: NDArray[np.int32]) -> NDArray[np.int64]:
    """Which rows no other beats, differences below `STEPS` aside."""
    steps = np.floor(values[:, : len(STEPS)] / STEPS + 0.5 + 1e-6)
    return undominated(np.column_stack([tier, steps]))


def ranked(choice: Front, weights: Mapping[str, float]) -> NDArray[np.int64]:
    """Indices of the front's corridors by one's own `weights`, best first; those that only reach the doorway last.

    Each aim is scaled to 0 (best on the front) to 1 (worst), multiplied by its weight, and summed. The weights are
    the asker's: Keyhole has none of its own. Ties go by the order of the front.

    Parameters
    ----------
    weights : by name of `AIMS`, each >= 0, not all 0; an aim that is left out counts nothing.
    """
    given = np.array([float(weights.get(name, 0.0)) for name in AIMS])
    unknown = sorted(set(weights) - set(AIMS))
    if unknown or not (np.isfinite(given).all() and (given >= 0).all() and given.sum() > 0):
        raise InvalidInput(f"weights are numbers >= 0, not all 0, by name of {', '.join(AIMS)}, got {dict(weights)}")
    if not len(choice):
        return np.empty(0, np.int64)
    low, high = choice.values.min(axis=0), choice.values.max(axis=0)
    scaled = (choice.values - low) / np.where(high > low, high - low, 1.0)
    return np.lexsort((np.round(scaled @ given, 9), choice.tier)).astype(np.int64)
