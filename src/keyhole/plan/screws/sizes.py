"""Sizes of screws and the trajectories that they take, from `screws.toml`, every number with its source."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from keyhole.errors import InvalidInput
from keyhole.evidence import source

SACRAL = "-sacral"
"""Ends the name of a trajectory's row for S1."""

PELVIC = "s2-alar-iliac"
"""The trajectory, and the system of sizes, of screws through sacrum and ilium."""

Row = TypeVar("Row", "System", "Trajectory")


@dataclass(frozen=True, slots=True)
class System:
    """The sizes of one system of screws, mm; `swing` is what a head leans to any side, degrees."""

    name: str
    title: str
    is_generic: bool
    diameters: tuple[float, ...]
    lengths: tuple[float, ...]
    rod_radius: float
    head_radius: float
    head_height: float
    swing: float
    tower_radius: float
    incision: float
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Where an axis is looked for, in the vertebra's frame, and how long the screw may be.

    `lateral` is how far from the middle it passes just behind the body, mm; `medial` and `cranial` its angles, degrees;
    `ahead` the bone that is left before its tip, mm; `wanted` angles are nan where none is preferred. `up` is where the
    plane of its axes is looked at, mm above the body's middle, and `judged` how far along an axis is sought for: a
    longer screw has to fit. `beside` and `below` are where it may enter, from the midline and below the superior
    endplate, mm; empty: anywhere. `beyond` is how much of it has to lie past the bone that it enters, mm.
    """

    name: str
    title: str
    lateral: tuple[float, float]
    medial: tuple[float, float]
    cranial: tuple[float, float]
    shortest: float
    longest: float
    ahead: float
    wanted_medial: float
    wanted_cranial: float
    up: tuple[float, float]
    judged: float
    beside: tuple[float, ...]
    below: tuple[float, ...]
    beyond: float
    sources: Mapping[str, str]


def _row(made: type[Row], name: str, row: Mapping[str, Any]) -> Row:
    """One row of the file; a number without a known source or that is not finite is refused."""
    values: dict[str, Any] = {"name": name.removesuffix(SACRAL), "sources": {}}
    known = {f.name for f in fields(made)}
    for field, entry in row.items():
        if field not in known:
            raise InvalidInput(f"screws.toml, {name}: unknown field {field!r}")
        if isinstance(entry, dict):
            values["sources"][field] = source(str(entry.get("source", ""))).key
            values[field] = _number(name, field, entry.get("value"))
        elif isinstance(entry, str | bool):
            values[field] = entry
        else:
            raise InvalidInput(f"screws.toml, {name}: {field} is a number without a source")
    if made is Trajectory:
        values = {
            "wanted_medial": math.nan,
            "wanted_cranial": math.nan,
            "beside": (),
            "below": (),
            "beyond": 0.0,
        } | values
    missing = known - set(values)
    if missing:
        raise InvalidInput(f"screws.toml, {name}: {sorted(missing)[0]} is missing")
    return made(**values)


def _number(name: str, field: str, value: object) -> float | tuple[float, ...]:
    given = value if isinstance(value, list) else [value]
    numbers = [float(n) for n in given if isinstance(n, int | float) and math.isfinite(n)]
    if not numbers or len(numbers) < len(given):
        raise InvalidInput(f"screws.toml, {name}: {field} must be a finite number or a list of them, got {value!r}")
    if isinstance(value, list):
        if numbers != sorted(set(numbers)):
            raise InvalidInput(f"screws.toml, {name}: {field} must ascend, got {value!r}")
        return tuple(numbers)
    return numbers[0]


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(files("keyhole.plan.screws").joinpath("screws.toml").read_text(encoding="utf-8"))


@cache
def systems() -> Mapping[str, System]:
    """Every system of screws by name; the first is the default."""
    return {name: _row(System, name, row) for name, row in _tables()["systems"].items()}


def system(name: str = "generic") -> System:
    """The system `name`; an unknown name is refused."""
    if name not in systems():
        raise InvalidInput(f"no system of screws is called {name!r}; known: {', '.join(systems())}")
    return systems()[name]


@cache
def trajectories() -> Mapping[str, Trajectory]:
    """Every trajectory by name."""
    return {name: _row(Trajectory, name, row) for name, row in _tables()["trajectories"].items()}


def trajectory(name: str, vertebra: str) -> Trajectory:
    """The trajectory `name` in `vertebra`: S1 has rows of its own where there are any."""
    known = trajectories()
    vertebral = [n for n in known if not n.endswith(SACRAL) and n != PELVIC]
    if name not in vertebral:
        raise InvalidInput(f"a trajectory is one of {', '.join(vertebral)}, got {name!r}")
    return known.get(name + SACRAL, known[name]) if vertebra == "S1" else known[name]
