"""Cages: what sizes there are, and which one is taken where nobody says."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import source

Kind = Literal["transforaminal", "lateral"]
KINDS: tuple[Kind, Kind] = ("transforaminal", "lateral")

LIMITS = {"heights": (4.0, 25.0), "lordoses": (-10.0, 45.0), "lengths": (10.0, 80.0), "widths": (5.0, 45.0)}
"""Sizes that are taken for meant, mm and deg [keyhole-choice]."""

RAISE = 4.0
"""Most that a cage raises a disc by default, mm: discs raised more sink more often [olif-subsidence], without a
published limit [keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Cage:
    """One cage. mm and deg: `height` at its middle, `lordosis` the angle between its faces.

    `length` is along the way it is pushed in, `width` across it; the height grows along `wedge`. `sources` gives the
    key of each size.
    """

    name: str
    kind: Kind
    height: float
    lordosis: float
    length: float
    width: float
    wedge: Literal["length", "width"]
    sources: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        sizes = {"heights": self.height, "lordoses": self.lordosis, "lengths": self.length, "widths": self.width}
        for field, value in sizes.items():
            low, high = LIMITS[field]
            if not low <= value <= high:
                raise InvalidInput(f"cage {self.name}: {field} must be {low:g} to {high:g}, got {value}")
        if not self.lowest > 0:
            raise InvalidInput(
                f"cage {self.name}: {self.height} mm high with {self.lordosis} deg it has no height left"
            )

    @property
    def span(self) -> float:
        """Its extent along the wedge, mm."""
        return self.length if self.wedge == "length" else self.width

    @property
    def lowest(self) -> float:
        """Its least height, mm."""
        return self.height - self.span * float(np.tan(np.radians(abs(self.lordosis)) / 2))

    @property
    def highest(self) -> float:
        """Its greatest height, mm."""
        return self.height + self.span * float(np.tan(np.radians(abs(self.lordosis)) / 2))


@dataclass(frozen=True, slots=True)
class CageLine:
    """A line of cages: the sizes in which one is sold."""

    name: str
    title: str
    kind: Kind
    wedge: Literal["length", "width"]
    heights: tuple[float, ...]
    lordoses: tuple[float, ...]
    lengths: tuple[float, ...]
    widths: tuple[float, ...]
    sources: tuple[tuple[str, str], ...]

    def cage(self, height: float, lordosis: float, length: float, width: float) -> Cage:
        """One cage of this line; sizes between those of the table are taken as asked."""
        return Cage(self.name, self.kind, height, lordosis, length, width, self.wedge, self.sources)


def _line(name: str, row: Mapping[str, Any], where: str) -> CageLine:
    sizes: dict[str, tuple[float, ...]] = {}
    sources = []
    if set(row) != {"title", "kind", "wedge", *LIMITS}:
        odd = sorted(set(row) ^ {"title", "kind", "wedge", *LIMITS})[0]
        raise InvalidInput(f"{where}, {name}: {odd!r} is missing or not a field of a cage")
    if row["kind"] not in KINDS or row["wedge"] not in ("length", "width"):
        raise InvalidInput(f"{where}, {name}: kind is one of {', '.join(KINDS)}; wedge is length or width")
    for field, (low, high) in LIMITS.items():
        entry = row[field] if isinstance(row[field], dict) else {}
        given = entry.get("value")
        listed: list[object] = given if isinstance(given, list) else []
        values = [float(v) for v in listed if isinstance(v, int | float)]
        ascending = len(values) == len(listed) and values == sorted(set(values))
        if not values or not ascending or not low <= values[0] <= values[-1] <= high:
            raise InvalidInput(f"{where}, {name}: {field} must be ascending, {low:g} to {high:g}, got {given!r}")
        sizes[field] = tuple(values)
        sources.append((field, source(str(entry.get("source", ""))).key))
    return CageLine(name, str(row["title"]), row["kind"], row["wedge"], **sizes, sources=tuple(sources))


def parse(text: str, where: str) -> dict[str, CageLine]:
    """The lines of cages in a table; a size out of range or without a known source is refused."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableFile(f"{where} is not a table of cages: {error}") from error
    if not all(isinstance(row, dict) for row in table.values()):
        raise InvalidInput(f"{where}: each cage is a table of its own")
    return {name: _line(name, row, where) for name, row in table.items()}


@cache
def _own() -> Mapping[str, CageLine]:
    """The table that ships."""
    return parse(files("keyhole.plan.realign").joinpath("cages.toml").read_text(encoding="utf-8"), "cages.toml")


def cages(extra: Path | None = None) -> Mapping[str, CageLine]:
    """Every line of cages by name; those of the file `extra` add to Keyhole's or replace them."""
    own = _own()
    if extra is None:
        return own
    try:
        text = extra.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{extra} could not be read as a table of cages") from error
    return {**own, **parse(text, extra.name)}


def height_for(line: CageLine, now: float, beside: float | None) -> tuple[float, str]:
    """The height of the table that is taken by default, mm, and the rule in words.

    As high as the higher of the neighbour discs, at least as high as the disc is, at most `RAISE` mm more; the
    nearest of the table that is not lower than the disc, the lower of two.

    Parameters
    ----------
    now : the disc's own height at its middle, mm.
    beside : the higher of the neighbour discs, mm; None where none is known.
    """
    wanted = min(max(now, now if beside is None else beside), now + RAISE)
    enough = [one for one in line.heights if one >= now] or [line.heights[-1]]
    chosen = min(enough, key=lambda one: (abs(one - wanted), one))
    why = "no neighbour disc is known, so the disc's own height" if beside is None else "the higher neighbour disc"
    rule = (
        f"height by Keyhole's rule: {why}, at least the disc's own {now:.1f} mm and at most {RAISE:.0f} mm more "
        f"({wanted:.1f} mm), nearest size {chosen:g} mm"
    )
    return chosen, rule


def lordosis_for(line: CageLine, now: float, lack: float | None, share: float = 1.0) -> tuple[float, str]:
    """The lordosis of the table that is taken by default, deg, and the rule in words.

    The angle nearest to the disc's own, and where the lordosis lacks `lack` deg of the pelvic incidence (less 10
    deg), nearest to what closes that.

    Parameters
    ----------
    share : how much of the cage's angle acts from the side, 0 to 1, as it stands obliquely.
    """
    wanted = now + max(0.0, lack or 0.0)
    chosen = min(line.lordoses, key=lambda one: (abs(share * one - wanted), one))
    why = "pelvic incidence is not known" if lack is None else f"incidence less lordosis is {lack + 10:.1f} deg"
    rule = f"lordosis by Keyhole's rule: {why}; wanted {wanted:.1f} deg between the endplates, nearest {chosen:g} deg"
    return chosen, rule
