"""What is known of a bare CT's spine once bone, canal, disc planes and names are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.canal import Canal
from keyhole.geometry import Box, Grid, Points, Volume

UNSEEN = -2048
"""Value of voxels that the scan does not hold: outside it, nan, or a scanner's padding."""

Found = Mapping[str, tuple[Box, NDArray[np.bool_]]]
"""Structures that a part of the method found: key -> box in the scene's grid and mask in that box."""


@dataclass(frozen=True, slots=True, eq=False)
class DiscPlane:
    """The middle plane of one disc, or of the gap between two bodies.

    `below` and `above` are distances, mm, from the plane to the facing endplates (both positive) along `up`.
    """

    upper: str  # name of the vertebra above, "" until it has one
    lower: str  # name of the vertebra below
    station: float  # index of the canal line's point beside it
    centre: Points  # (3,) LPS mm, middle of the disc
    up: Points  # (3,) unit normal, cranial
    above: float
    below: float
    score: float  # 0 (nothing there) to 1 (as clear as it gets)
    signals: Mapping[str, float]  # what the score is made of

    @property
    def level(self) -> str:
        """As text: "L4/L5"."""
        return f"{self.upper}/{self.lower}"


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The spine as the method sees it, on one isotropic grid with axes near left, posterior, superior.

    All masks and `labels` lie on the grid of `hu`. Read-only for whoever gets it.
    """

    hu: Volume  # int16 Hounsfield units, lightly smoothed; UNSEEN where the scan holds nothing
    bone: NDArray[np.bool_]  # by hysteresis; contrast vessels and bowel may be in it
    body: NDArray[np.bool_]  # the patient without table and air around
    canal: Canal  # line (n, 3) LPS mm, cranial to caudal, 1 mm apart; left, posterior, down (n, 3); radius by angle
    planes: tuple[DiscPlane, ...]  # cranial to caudal
    whole: tuple[str, ...]  # vertebrae of which the scan holds everything, cranial to caudal
    cut: tuple[str, ...]  # vertebrae that the field of view cuts
    labels: NDArray[np.uint16]  # bone structures found so far; 0 is nothing
    names: Mapping[int, str]  # label -> structure key: vertebra/L4/body, vertebra/L4/posterior, sacrum, disc/L4-L5 ..
    noise: float  # sd of the soft tissue in the input image, HU
    threshold: float  # HU from which a voxel counts as bone
    spacing: tuple[float, float, float]  # of the input image, mm, along left, posterior, superior

    @property
    def grid(self) -> Grid:
        """The voxels that everything lies on."""
        return self.hu.grid

    def mask(self, *prefixes: str) -> NDArray[np.bool_]:
        """Voxels at or below any of the structure keys `prefixes`."""
        chosen = np.zeros(max([*self.names, 0]) + 1, dtype=np.bool_)
        for n, key in self.names.items():
            chosen[n] = any(key == p or key.startswith(p + "/") for p in prefixes)
        return np.asarray(chosen[self.labels])

    def centre(self, vertebra: str) -> Points:
        """(3,) centre of a vertebral body, LPS mm; nan where it has none."""
        where = np.argwhere(self.mask(f"vertebra/{vertebra}/body"))
        return self.grid.centres(where.mean(axis=0)) if len(where) else np.full(3, np.nan)
