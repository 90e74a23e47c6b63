"""The catalogue of approaches: what each needs, from `approaches.toml` and a clinic's own file, with sources."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from keyhole.errors import InvalidInput
from keyhole.plan.entries import Remark, Retraction, parsed
from keyhole.plan.instruments import instruments
from keyhole.terms import check_side, in_key, split, tissue

OPEN = "open-midline"
"""The approach that every other is compared with."""

DOCKINGS = ("foramen", "interlaminar", "lamina-facet", "midline", "disc-lateral", "disc-oblique", "pedicle")
KINDS = ("tube", "biportal", "open", "screws")
GOALS = ("decompress", "fuse", "screws")
AIMS = ("fragment", "recess", "canal", "foramen", "disc", "pedicle")
"""What can be aimed at; see `targets.py`."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Approach:
    """One way to a level. Lengths mm, angles degrees, in the level's own frame (lateral = toward the side).

    `kind`: a "tube", a "biportal" pair, an "open" comparator, or "screws" (planned by their own search). `aims` are
    the targets that it is meant for, the first its own. `radii` are the outer radii of its tubes, ascending;
    `entry_lateral` bounds the skin entry's distance from the midline, `azimuth` the angle of the tube from straight
    posterior towards lateral (90 is straight lateral, more comes from in front), `tilt` its cranial rise. `steps` are
    the search's docks, mm, and directions, degrees. `reach` bounds the way from dock to target, `angulation` what the
    instrument may lean from the tube's axis. `dock_tolerance` is how far from its docking structure the tip may lie;
    `dock_depth` bounds the place on the disc's side, as shares of its depth from the front; `max_bone` (mL) and
    `max_facet` (%) bound what the tube itself may remove. The incision is the diameter and `incision_extra`, give or
    take `incision_sd`. `bone_soft` are the only bones that it may cut. `levels` holds what differs at a level.

    A biportal pair has a second tube of `viewing_radius`: `portal_distance` bounds how far apart the two skin entries
    lie, `portal_angle` the angle between the tubes, `tip_distance` how far apart their tips are; the optics look
    aside by `optics_angle` and see `optics_field` around that, full angle.

    An open comparator exposes `exposure` to either side of the disc, on one side or on both (`exposes`).
    """

    name: str
    title: str
    goals: tuple[str, ...]
    docking: str
    bone_soft: tuple[str, ...]
    instrument_radius: float
    radii: tuple[float, ...] = ()
    entry_lateral: Span = (0.0, 0.0)
    azimuth: Span = (0.0, 0.0)
    tilt: Span = (0.0, 0.0)
    reach: Span = (0.0, 0.0)
    angulation: float = 0.0
    incision_extra: float = 0.0
    incision_sd: float = 0.0
    instrument_allowance: float = 0.0
    dock_tolerance: float = 0.0
    max_bone: float = 0.0
    max_facet: float = 100.0
    exposure: float = 0.0
    sources: Mapping[str, str] | None = None
    kind: str = "tube"
    aims: tuple[str, ...] = ("fragment", "recess")
    steps: tuple[float, float] = (2.0, 2.0)
    dock_depth: Span = (0.0, 1.0)
    viewing_radius: float = 0.0
    portal_distance: Span = (0.0, 0.0)
    portal_angle: Span = (0.0, 0.0)
    tip_distance: Span = (0.0, 0.0)
    optics_angle: float = 0.0
    optics_field: float = 0.0
    exposes: str = "both sides"
    implants: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    contraindications: tuple[Remark, ...] = ()
    retracts: tuple[Retraction, ...] = ()
    levels: Mapping[str, Mapping[str, Any]] | None = None

    def soft_bone(self, level: str, side: str) -> tuple[str, ...]:
        """The keys of the bones that it may cut at `level` on `side`."""
        upper, lower = split(level)
        other = "right" if check_side(side) == "left" else "left"
        names = {"upper": upper, "lower": lower, "level": in_key(level), "side": side, "other": other}
        return tuple(pattern.format(**names) for pattern in self.bone_soft)

    def at(self, level: str) -> Approach:
        """The approach as it is at `level`."""
        changed = (self.levels or {}).get(level)
        return replace(self, **changed) if changed else self


def parse(name: str, row: Mapping[str, Any], *, file: str = "approaches.toml", own: bool = False) -> Approach:
    """The approach `name` from its table `row`; a number without a known source is refused.

    `own`: the row is a clinic's, whose bare numbers are its own.
    """
    where = f"{file}, {name}"
    unknown = set(row) - (set(Approach.__dataclass_fields__) - {"name", "sources", "levels"})
    if unknown:
        raise InvalidInput(f"{where}: unknown field {sorted(unknown)[0]!r}")
    values, sources, levels = parsed(row, where, own=own)
    missing = [f for f in ("title", "goals", "docking", "bone_soft", "instrument_radius") if f not in values]
    if missing:
        raise InvalidInput(f"{where}: {missing[0]} is missing")
    made = Approach(name=name, sources=sources, levels=levels, **values)
    _check(made, where)
    return made


def _check(made: Approach, where: str) -> None:
    """Refuse an approach that cannot be searched as it stands."""
    _known(where, "docking", (made.docking,), DOCKINGS)
    _known(where, "kind", (made.kind,), KINDS)
    _known(where, "goals", made.goals, GOALS)
    _known(where, "aims", made.aims, AIMS)
    _known(where, "exposes", (made.exposes,), ("one side", "both sides"))
    _known(where, "instruments", made.instruments, tuple(instruments()))
    _bones(made, where)
    if not made.goals:
        raise InvalidInput(f"{where}: goals must name at least one of {', '.join(GOALS)}")
    if made.kind in ("tube", "biportal"):
        _tube(made, where)
    if made.kind == "biportal" and not (made.viewing_radius > 0 and made.portal_distance[1] > 0):
        raise InvalidInput(f"{where}: two portals need viewing_radius and portal_distance above 0 mm")
    if made.kind == "open" and not made.exposure > 0:
        raise InvalidInput(f"{where}: an open approach needs an exposure above 0 mm, got {made.exposure}")


def _known(where: str, field: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    for word in given:
        if word not in known:
            raise InvalidInput(f"{where}: {field} must be one of {', '.join(known)}, got {word!r}")


def _bones(made: Approach, where: str) -> None:
    """Refuse patterns of bones that are no structure keys."""
    for pattern in made.bone_soft:
        holes = {hole for _, hole, _, _ in string.Formatter().parse(pattern) if hole is not None}
        if holes - {"upper", "lower", "level", "side", "other"}:
            raise InvalidInput(
                f"{where}: bone_soft knows {{upper}}, {{lower}}, {{level}}, {{side}}, {{other}}; got {pattern!r}"
            )
        try:
            tissue(pattern)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: bone_soft must hold structure keys of bone: {error}") from error


def _tube(made: Approach, where: str) -> None:
    if not made.radii:
        raise InvalidInput(f"{where}: a tube needs radii, ascending and > 0 mm")
    if not 0 < made.instrument_radius <= made.radii[0]:
        raise InvalidInput(
            f"{where}: instrument_radius must lie above 0 and at most at the thinnest tube's {made.radii[0]} mm, got "
            f"{made.instrument_radius}"
        )
    if not (made.reach[1] > 0 and 0 < made.angulation < 90):
        raise InvalidInput(f"{where}: a tube needs a reach above 0 mm and an angulation between 0 and 90 degrees")
    if not (made.azimuth[0] >= -90 and made.azimuth[1] <= 180 and made.tilt[0] > -90 and made.tilt[1] < 90):
        raise InvalidInput(f"{where}: azimuth lies within -90 to 180 and tilt within -90 to 90 degrees")
    if not (min(made.steps) >= 0.5 and max(made.steps) <= 10):
        raise InvalidInput(f"{where}: steps lie between 0.5 and 10 (mm, degrees), got {list(made.steps)}")


def _rows(text: str, file: str) -> dict[str, Any]:
    try:
        rows = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file} is not valid TOML: {error}") from error
    for name, row in rows.items():
        if not isinstance(row, dict):
            raise InvalidInput(f"{file}: {name!r} must be a table of an approach, [{name}]")
    return rows


@cache
def _shipped() -> Mapping[str, dict[str, Any]]:
    text = files("keyhole.plan").joinpath("approaches.toml").read_text(encoding="utf-8")
    return _rows(text, "approaches.toml")


@cache
def _own() -> Mapping[str, Approach]:
    return {name: parse(name, row) for name, row in _shipped().items()}


def catalogue(extra: Path | None = None) -> Mapping[str, Approach]:
    """Every approach by name, in the order of the file; those of a clinic's file `extra` replace or follow them.

    In `extra` a table of a known name changes only the fields that it holds; a new name takes the others from the
    approach that it names as `like`, or has to be complete. Its bare numbers have the source ``clinic``.
    """
    if extra is None:
        return _own()
    try:
        text = Path(extra).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the catalogue {extra} cannot be read: {error}") from error
    found, known = dict(_own()), {name: dict(row) for name, row in _shipped().items()}
    for name, row in _rows(text, Path(extra).name).items():
        rest = dict(row)
        like = rest.pop("like", name if name in known else None)
        if like is not None and like not in known:
            raise InvalidInput(f"{Path(extra).name}, {name}: like names no approach; known: {', '.join(known)}")
        known[name] = {**known.get(str(like), {}), **rest}
        found[name] = parse(name, known[name], file=Path(extra).name, own=True)
    return found


def chosen(
    names: object = None, *, goal: str | None = None, catalogue: Mapping[str, Approach] | None = None
) -> tuple[Approach, ...]:
    """The minimally invasive approaches called `names`; for None all of them that serve `goal`.

    An unknown name is refused; one that does not serve the goal is kept, so that the plan says so.
    """
    known = _own() if catalogue is None else catalogue
    small = {name: a for name, a in known.items() if a.kind != "open"}
    if names is None:
        return tuple(a for a in small.values() if goal is None or goal in a.goals)
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise InvalidInput(f"approaches must be a list of names, got {names!r}")
    wanted = [str(name) for name in names]
    for name in wanted:
        if name not in small:
            raise InvalidInput(f"no approach is called {name!r}; known: {', '.join(small)}")
    return tuple(small[name] for name in dict.fromkeys(wanted))


def comparator(goal: str, aim: str) -> str:
    """The name of the open operation that stands against a small one: by goal, and by what is aimed at."""
    if goal == "decompress":
        return "open-microdiscectomy" if aim == "fragment" else "open-laminectomy"
    return "open-tlif" if goal == "fuse" else OPEN
