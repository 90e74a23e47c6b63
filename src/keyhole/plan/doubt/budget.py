"""The error budget: every term that may move tube or anatomy, from `budget.toml` or a clinic's own file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import sources
from keyhole.geometry import Points
from keyhole.plan.doubt.error import ExecutionError, isotropic
from keyhole.plan.doubt.tre import fiducial_error, frame_error

MOTIONS = ("image", "tracking", "breathing", "tool")
"""Terms that are a shift and a lean about the tip."""

TERMS = ("registration", *MOTIONS, "label")
"""All terms, in the order in which they are told."""

OWN = "own"
"""The source of a number that a clinic measured itself: its note says how."""

METHODS = ("rms", "fiducials", "frame")

MOST, MOST_ANGLE = 20.0, 20.0
"""No term is larger than this, mm and degrees: more is a mistake in the file."""

Row = Mapping[str, Any]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Term:
    """A shift by `sd` (lateral, posterior, up) mm and a lean by `angle` degrees per axis about the tip."""

    name: str
    sd: Triple
    angle: float
    is_systematic: bool
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class Registration:
    """How scan and patient are brought together, by `method`; see budget.toml for what each method takes."""

    method: str
    rms: float
    angle: float
    is_systematic: bool
    source: str
    note: str
    fiducials: tuple[Triple, ...] = ()
    fle: float | Triple = 0.0
    frame: Triple | None = None
    distance: float | None = None
    growth: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """All terms of an execution's error. `scale` and `least` say how a structure's own sd enters."""

    registration: Registration
    terms: tuple[Term, ...]
    scale: float
    least: float
    label: Term

    def own(self, sd: float, voxel: float) -> float:
        """How uncertain the place of a structure is whose label says `sd` mm, on voxels of `voxel` mm."""
        return max(self.scale * sd, self.least * voxel)

    @property
    def stated(self) -> float | None:
        """The RMS registration error that it states, mm; None where it follows from fiducials."""
        return None if self.registration.method == "fiducials" else self.registration.rms

    @property
    def systematic(self) -> tuple[str, ...]:
        """The terms that are drawn once for the whole operation."""
        known = {t.name: t.is_systematic for t in (*self.terms, self.label)}
        known["registration"] = self.registration.is_systematic
        return tuple(name for name in TERMS if known[name])

    def with_registration(self, rms: float) -> Budget:
        """The same budget with an RMS target error of `rms` mm at the tip, known no better than that."""
        if not (0 <= rms <= MOST):
            raise InvalidInput(f"a registration error is a length from 0 to {MOST:g} mm, got {rms}")
        known = replace(self.registration, method="rms", rms=float(rms), source=OWN, note="as given")
        return replace(self, registration=known)

    def without(self, name: str) -> Budget:
        """The same budget as if term `name` were perfect."""
        if name == "registration":
            return replace(self, registration=replace(self.registration, method="rms", rms=0.0, angle=0.0))
        if name == "label":
            return replace(self, scale=0.0, least=0.0)
        return replace(
            self, terms=tuple(replace(t, sd=(0.0,) * 3, angle=0.0) if t.name == name else t for t in self.terms)
        )


def registration_error(budget: Budget, at: Points, axes: Points) -> ExecutionError:
    """The error of the registration of `budget` for a tube whose tip is at `at` (3,); `axes` are the level's."""
    known = budget.registration
    if known.method == "fiducials":
        fle = known.fle if isinstance(known.fle, float) else np.diag(np.square(known.fle))
        return fiducial_error(known.fiducials, fle)
    if known.method == "frame":
        place = at + known.distance * axes[2] if known.frame is None else np.array(known.frame)
        return frame_error(place, known.rms, known.growth)
    lean = np.eye(3) * np.deg2rad(known.angle) ** 2
    return ExecutionError(np.eye(3) * known.rms**2 / 3, lean, centre=at)


def term_error(budget: Budget, name: str, at: Points, axes: Points) -> ExecutionError:
    """The error of the one term `name` for a tube with its tip at `at`; none for the label, which is per structure."""
    if name == "registration":
        return registration_error(budget, at, axes)
    for term in budget.terms:
        if term.name == name:
            shift = (axes.T * np.square(term.sd)) @ axes
            return ExecutionError(shift, np.eye(3) * np.deg2rad(term.angle) ** 2, centre=at)
    return ExecutionError(np.zeros((3, 3)), centre=at)


def execution_error(
    budget: Budget | float | None = None, at: ArrayLike | None = None, *, axes: ArrayLike | None = None
) -> ExecutionError:
    """Where the executed tube with its tip at `at` (3,) LPS mm lies relative to the planned one: all terms together.

    `axes` (3, 3) are the level's (lateral, posterior, up), needed where a term is not the same along all three. A
    plain number instead of a budget is an RMS registration error, mm, alone with tracking (see `isotropic`).
    """
    if not isinstance(budget, Budget):
        return isotropic(budget)
    if at is None:
        raise InvalidInput("the error of a budget depends on the place: give the tip of the tube, LPS mm")
    tip = np.asarray(at, dtype=np.float64)
    frame = np.eye(3) if axes is None else np.asarray(axes, dtype=np.float64)
    shift = sum(np.square(term.sd) for term in budget.terms)
    lean = sum(np.deg2rad(term.angle) ** 2 for term in budget.terms)
    about = ExecutionError((frame.T * shift) @ frame, np.eye(3) * lean, centre=tip)
    return about + registration_error(budget, tip, frame)


def default_budget() -> Budget:
    """The budget that ships with Keyhole."""
    return _parsed(_shipped(), "budget.toml")


def read_budget(path: Path) -> Budget:
    """The budget in the TOML file `path`; terms that it leaves out are those that ship. Refused with one sentence."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "its bytes are not UTF-8"
        raise UnreadableFile(f"{path.name}: a budget is a TOML file, and this cannot be read: {why}") from error
    except tomllib.TOMLDecodeError as error:
        raise UnreadableFile(f"{path.name}: a budget is a TOML file, and this is not: {error}") from error
    unknown = sorted(set(given) - set(TERMS))
    if unknown:
        raise InvalidInput(f"{path.name}: the terms of a budget are {', '.join(TERMS)}, got {unknown[0]!r}")
    shipped = _shipped()
    for name, row in given.items():
        if not isinstance(row, dict):
            raise InvalidInput(f"{path.name}: {name} must be a table [{name}], got {row!r}")
    return _parsed({name: given.get(name, shipped[name]) for name in TERMS}, path.name)


def _shipped() -> dict[str, Row]:
    text = files("keyhole.plan.doubt").joinpath("budget.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _parsed(table: Mapping[str, Row], file: str) -> Budget:
    label = _Row(table["label"], f"{file}, [label]", ("scale", "least"))
    return Budget(
        _registration(table["registration"], f"{file}, [registration]"),
        tuple(_motion(name, table[name], f"{file}, [{name}]") for name in MOTIONS),
        label.number("scale", 10.0),
        label.number("least", 10.0),
        Term("label", (0.0, 0.0, 0.0), 0.0, *label.origin()),
    )


def _motion(name: str, table: Row, where: str) -> Term:
    row = _Row(table, where, ("sd", "angle"))
    sd = table.get("sd")
    each = row.numbers("sd", MOST) if isinstance(sd, list) else (row.number("sd", MOST),) * 3
    return Term(name, each, row.number("angle", MOST_ANGLE, 0.0), *row.origin())


def _registration(table: Row, where: str) -> Registration:
    method = table.get("method")
    if method not in METHODS:
        raise InvalidInput(f"{where}: method is one of {', '.join(METHODS)}, got {method!r}")
    wanted = {"rms": ("rms", "angle"), "fiducials": ("fiducials", "fle")}
    row = _Row(table, where, ("method", *wanted.get(method, ("frame", "distance", "rms", "growth"))))
    origin = row.origin()
    if method == "rms":
        return Registration("rms", row.number("rms", MOST), row.number("angle", MOST_ANGLE, 0.0), *origin)
    if method == "fiducials":
        points = table.get("fiducials")
        if not isinstance(points, list):
            raise InvalidInput(f"{where}: fiducials must be a list of [x, y, z] LPS mm, got {points!r}")
        places = tuple(_triple(point, f"{where}: a fiducial") for point in points)
        fle = row.numbers("fle", MOST) if isinstance(table.get("fle"), list) else row.number("fle", MOST)
        try:
            fiducial_error(places, 1.0)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}") from error
        return Registration("fiducials", 0.0, 0.0, *origin, fiducials=places, fle=fle)
    if ("frame" in table) == ("distance" in table):
        raise InvalidInput(f"{where}: method frame needs either frame = [x, y, z] LPS mm or distance = mm, not both")
    frame = _triple(table["frame"], f"{where}: frame") if "frame" in table else None
    away = None if frame else row.number("distance", 1000.0, least=-1000.0)
    return Registration(
        "frame", row.number("rms", MOST), 0.0, *origin, frame=frame, distance=away, growth=row.number("growth", 1.0)
    )


def _triple(value: object, what: str) -> Triple:
    if not (isinstance(value, list) and len(value) == 3 and all(_is_number(v) for v in value)):
        raise InvalidInput(f"{what} must be three numbers [x, y, z], got {value!r}")
    return float(value[0]), float(value[1]), float(value[2])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


class _Row:
    """A table of the file, read field by field."""

    def __init__(self, table: Row, where: str, fields: tuple[str, ...]) -> None:
        known = (*fields, "kind", "source", "note")
        unknown = sorted(set(table) - set(known))
        if unknown:
            raise InvalidInput(f"{where}: its fields are {', '.join(known)}, got {unknown[0]!r}")
        self.table, self.where = table, where

    def number(self, name: str, most: float, default: float | None = None, *, least: float = 0.0) -> float:
        """The number `name` from `least` to `most`."""
        value = self.table.get(name, default)
        if not (_is_number(value) and least <= float(value) <= most):
            raise InvalidInput(f"{self.where}: {name} must be a number from {least:g} to {most:g}, got {value!r}")
        return float(value)

    def numbers(self, name: str, most: float) -> Triple:
        """Three numbers `name`, each from 0 to `most`."""
        values = _triple(self.table[name], f"{self.where}: {name}")
        if not all(0 <= v <= most for v in values):
            raise InvalidInput(f"{self.where}: {name} must be three numbers from 0 to {most:g}, got {list(values)}")
        return values

    def origin(self) -> tuple[bool, str, str]:
        """Whether the term is systematic, its source and note."""
        kind, key, note = self.table.get("kind"), self.table.get("source"), self.table.get("note", "")
        if kind not in ("systematic", "random"):
            raise InvalidInput(f"{self.where}: kind is systematic or random, got {kind!r}")
        if not (isinstance(key, str) and (key == OWN or key in sources())):
            raise InvalidInput(f'{self.where}: source must be a key of Keyhole\'s sources or "own", got {key!r}')
        if key == OWN and not (isinstance(note, str) and note.strip()):
            raise InvalidInput(f"{self.where}: a source of your own needs a note that says what was measured")
        return kind == "systematic", key, str(note)
