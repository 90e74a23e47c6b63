"""What a label file gave, before and after every integer has a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Structure
from keyhole.casefile import EvidenceEntry, VertebraEntry
from keyhole.geometry import Grid, LabelMap, Transform

SD_PER_MM = 0.53 / 3
"""Positional sd of a labelled boundary, mm per mm of the coarsest voxel side; the upper end of what was measured on
3 mm labels [keyhole-coarse-labels], taken as proportional to the voxel. A segmenter's own mistakes are not in it."""


@dataclass(frozen=True, slots=True, eq=False)
class NamedLabels:
    """Labels with every integer named; `basis` says in words what the names rest on.

    A method that knows more says it: `vertebrae` how sure it is of each one, `evidence` what speaks for or against
    the names.
    """

    labels: LabelMap
    structures: Mapping[str, Structure]
    scheme: str
    basis: str
    caveats: tuple[str, ...] = ()
    vertebrae: Mapping[str, VertebraEntry] = field(default_factory=dict)
    evidence: tuple[EvidenceEntry, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One label file, or the masks of one folder: integers and what each of them is.

    Keys may still hold `LEVEL`, and two integers may share a key. `told` says where the names come from.
    """

    array: NDArray[Any]
    patient_from_index: Transform
    structures: Mapping[int, Structure]
    scheme: str
    file: str
    told: str
    caveats: tuple[str, ...] = ()
    evidence: tuple[EvidenceEntry, ...] = ()

    @property
    def grid(self) -> Grid:
        """The voxels without their labels."""
        i, j, k = self.array.shape
        return Grid((i, j, k), self.patient_from_index)


def boundary_sd(spacing: NDArray[np.float64]) -> float:
    """Positional sd of a labelled boundary on voxels of `spacing` (3,) mm, mm.

    References
    ----------
    [keyhole-coarse-labels].
    """
    return round(SD_PER_MM * float(np.max(spacing)), 3)
