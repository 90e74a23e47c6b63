"""What the later stages know of a patient: a partition of space, and a frame for every vertebra."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keyhole.casefile import LevelState
from keyhole.errors import InvalidInput, NotInScan
from keyhole.geometry import LabelMap, Plane, Points, Volume
from keyhole.terms import Origin, are_neighbours, rank, split


@dataclass(frozen=True, slots=True)
class Structure:
    """How one key of the label map came to be known: `sd` is the positional sd of its boundary, mm.

    `confidence`, 0 to 1, is what the method that found it says of it; None where it says nothing.
    """

    key: str
    origin: Origin
    source: str
    sd: float
    caveats: tuple[str, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Endplate:
    """One endplate: its plane (normal cranial), its midsagittal corners and side corners (3,) LPS mm, on the plane.

    `sd` is the sd of the plane's height at its centre, mm; `tilt_sd` that of its sagittal angle, degrees.
    """

    plane: Plane
    anterior: Points
    posterior: Points
    left: Points
    right: Points
    sd: float
    tilt_sd: float

    @property
    def centre(self) -> Points:
        """Middle of the endplate, (3,) LPS mm."""
        return (self.anterior + self.posterior + self.left + self.right) / 4

    @property
    def depth(self) -> float:
        """Anterior to posterior corner, mm."""
        return float(np.linalg.norm(self.anterior - self.posterior))

    @property
    def width(self) -> float:
        """Left to right corner, mm."""
        return float(np.linalg.norm(self.left - self.right))


@dataclass(frozen=True, slots=True, eq=False)
class Vertebra:
    """The frame of one vertebra: orthonormal, right-handed (left, posterior, up), origin at the body's centre.

    Directions come from the anatomy alone (order of levels, body against arch), never from the axes of the
    scan; `left` is posterior x up, so a mirrored label map shows itself. S1 has no inferior endplate.
    `complete` is False where the field of view cuts the body: it is then not measured.
    """

    name: str
    centre: Points
    left: Points
    posterior: Points
    up: Points
    superior: Endplate | None
    inferior: Endplate | None
    complete: bool
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        axes = np.stack([self.left, self.posterior, self.up])
        if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-6) or not np.linalg.det(axes) > 0:
            raise InvalidInput(
                f"{self.name}: left, posterior, up must be orthonormal and right-handed, got {axes.tolist()}"
            )

    def toward(self, side: str) -> Points:
        """Unit vector to the patient's `side`."""
        return self.left if side == "left" else -self.left


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """One patient: the partition, how each structure is known, the vertebrae in view, and what to be wary of.

    `canal_line` (n, 3) runs along the middle of the canal from cranial to caudal, LPS mm, about 1 mm apart.
    `image` is the image the labels belong to, on its own grid, or None. `level_state` is what results say of the
    levels' names: how they were numbered, who confirmed them, what speaks against them. `files` are those it was read
    from, with their SHA-256; empty where it is not from a case.
    """

    labels: LabelMap
    structures: Mapping[str, Structure]
    vertebrae: Mapping[str, Vertebra]
    canal_line: Points
    image: Volume | None
    modality: str
    numbering: str
    levels_confirmed: bool
    caveats: tuple[str, ...] = field(default=())
    level_state: LevelState | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels with both vertebrae in view, cranial to caudal, "L4/L5"."""
        names = sorted(self.vertebrae, key=rank)
        return tuple(f"{a}/{b}" for a, b in itertools.pairwise(names) if are_neighbours(a, b))

    def pair(self, level: str) -> tuple[Vertebra, Vertebra]:
        """Upper and lower vertebra of `level`; refused if either is not in the scan."""
        found = []
        for name in split(level):
            if name not in self.vertebrae:
                known = ", ".join(sorted(self.vertebrae, key=rank)) or "none"
                raise NotInScan(f"level {level} is not in the scan: {name} was not found; vertebrae in view: {known}")
            found.append(self.vertebrae[name])
        return found[0], found[1]
