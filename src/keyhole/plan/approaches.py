"""The catalogue of approaches: what each needs, from `approaches.toml`, every number with its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from keyhole.errors import InvalidInput
from keyhole.evidence import source
from keyhole.terms import check_side, in_key, split

OPEN = "open-midline"
"""The approach that every other is compared with."""

DOCKINGS = ("foramen", "interlaminar", "lamina-facet", "midline")


@dataclass(frozen=True, slots=True)
class Approach:
    """One way to a level. Lengths mm, angles degrees, in the level's own frame (lateral = toward the side).

    `radii` are the outer radii of its tubes, ascending; `entry_lateral` bounds the skin entry's distance from the
    midline, `azimuth` the angle of the tube from straight posterior towards lateral, `tilt` its cranial rise.
    `reach` bounds the way from dock to target, `angulation` what the instrument may lean from the tube's axis.
    `dock_tolerance` is how far from its docking structure the tip may lie; `max_bone` (mL) and `max_facet` (%)
    bound what the tube itself may remove. The incision is the diameter and `incision_extra`, give or take
    `incision_sd`. `bone_soft` are the only bones that it may cut.
    """

    name: str
    title: str
    goals: tuple[str, ...]
    docking: str
    bone_soft: tuple[str, ...]
    instrument_radius: float
    radii: tuple[float, ...] = ()
    entry_lateral: tuple[float, float] = (0.0, 0.0)
    azimuth: tuple[float, float] = (0.0, 0.0)
    tilt: tuple[float, float] = (0.0, 0.0)
    reach: tuple[float, float] = (0.0, 0.0)
    angulation: float = 0.0
    incision_extra: float = 0.0
    incision_sd: float = 0.0
    instrument_allowance: float = 0.0
    dock_tolerance: float = 0.0
    max_bone: float = 0.0
    max_facet: float = 100.0
    exposure: float = 0.0
    sources: Mapping[str, str] | None = None

    def soft_bone(self, level: str, side: str) -> tuple[str, ...]:
        """The keys of the bones that it may cut at `level` on `side`."""
        upper, lower = split(level)
        names = {"upper": upper, "lower": lower, "level": in_key(level), "side": check_side(side)}
        return tuple(pattern.format(**names) for pattern in self.bone_soft)


def _pair(name: str, field: str, value: object) -> tuple[float, float]:
    if not (isinstance(value, list) and len(value) == 2 and value[0] <= value[1]):
        raise InvalidInput(f"approaches.toml, {name}: {field} must be two ascending numbers, got {value!r}")
    return float(value[0]), float(value[1])


def _number(name: str, field: str, value: object) -> object:
    if field in ("entry_lateral", "azimuth", "tilt", "reach"):
        return _pair(name, field, value)
    if field == "radii":
        radii = tuple(float(r) for r in value) if isinstance(value, list) else ()
        if not radii or list(radii) != sorted(set(radii)) or not radii[0] > 0:
            raise InvalidInput(f"approaches.toml, {name}: radii must be ascending and > 0 mm, got {value!r}")
        return radii
    if not (isinstance(value, int | float) and value >= 0):
        raise InvalidInput(f"approaches.toml, {name}: {field} must be a number >= 0, got {value!r}")
    return float(value)


def parse(name: str, row: Mapping[str, Any]) -> Approach:
    """The approach `name` from its table `row`; a number without a known source is refused."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for field, entry in row.items():
        if isinstance(entry, dict):
            sources[field] = source(str(entry.get("source", ""))).key
            values[field] = _number(name, field, entry.get("value"))
        elif isinstance(entry, list):
            values[field] = tuple(str(item) for item in entry)
        elif isinstance(entry, str):
            values[field] = entry
        else:
            raise InvalidInput(f"approaches.toml, {name}: {field} is a number without a source")
    if values.get("docking") not in DOCKINGS:
        raise InvalidInput(f"approaches.toml, {name}: docking must be one of {DOCKINGS}, got {values.get('docking')!r}")
    unknown = set(values) - set(Approach.__dataclass_fields__)
    if unknown:
        raise InvalidInput(f"approaches.toml, {name}: unknown field {sorted(unknown)[0]!r}")
    return Approach(name=name, sources=sources, **values)


@cache
def catalogue() -> Mapping[str, Approach]:
    """Every approach by name, in the order of the file."""
    text = files("keyhole.plan").joinpath("approaches.toml").read_text(encoding="utf-8")
    return {name: parse(name, row) for name, row in tomllib.loads(text).items()}


def chosen(names: object = None) -> tuple[Approach, ...]:
    """The minimally invasive approaches called `names` (all of them for None); an unknown name is refused."""
    small = {name: a for name, a in catalogue().items() if name != OPEN}
    if names is None:
        return tuple(small.values())
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise InvalidInput(f"approaches must be a list of names, got {names!r}")
    wanted = [str(name) for name in names]
    for name in wanted:
        if name not in small:
            raise InvalidInput(f"no approach is called {name!r}; known: {', '.join(small)}")
    return tuple(small[name] for name in dict.fromkeys(wanted))
