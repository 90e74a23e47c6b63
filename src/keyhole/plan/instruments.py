"""The table of instruments: outer and working diameter, optics, from `instruments.toml`, with sources."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keyhole.evidence import source

GENERIC = "keyhole-choice"
"""Source of an instrument that is no maker's: a size in common use."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument: diameters mm, angles degrees; None where the source does not say.

    `family` groups what can take each other's place: "endoscope sleeve", "tube", "scope", "portal", "retractor",
    "screw". `outer` is what goes through tissue, `working` the bore for tools, `optics` the direction of view off the
    axis, `bend` what a bent tool reaches aside.
    """

    name: str
    title: str
    family: str
    outer: float
    source: str
    working: float | None = None
    optics: float | None = None
    bend: float | None = None
    maker: str = ""

    @property
    def is_generic(self) -> bool:
        """Whether no maker's figure stands behind it."""
        return self.source == GENERIC


@cache
def instruments() -> Mapping[str, Instrument]:
    """Every instrument by name."""
    text = files("keyhole.plan").joinpath("instruments.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)
    return {name: Instrument(name=name, **{**row, "source": source(row["source"]).key}) for name, row in rows.items()}


def thinnest(names: tuple[str, ...], diameter: float) -> Instrument | None:
    """The widest instrument of the families of `names` that is at most `diameter` mm wide outside; None if none is."""
    table = instruments()
    families = {table[name].family for name in names}
    fitting = [one for one in table.values() if one.family in families and one.outer <= diameter + 1e-9]
    return max(fitting, key=lambda one: (one.outer, one.name), default=None)
