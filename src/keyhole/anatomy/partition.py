"""A label map in the making: new structures are painted only where nothing has a name yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.boxes import held_in
from keyhole.anatomy.model import Structure
from keyhole.errors import InvalidInput
from keyhole.geometry import Box, Grid, LabelMap, Transform
from keyhole.terms import belongs


@dataclass(slots=True, eq=False)
class Partition:
    """The growing label map: `array` is written in place, `numbers` names it, `structures` says how each is known."""

    array: NDArray[np.uint16]
    patient_from_index: Transform
    numbers: dict[str, int]
    structures: dict[str, Structure]

    @classmethod
    def of(cls, array: NDArray[np.uint16], labels: LabelMap, structures: Mapping[str, Structure]) -> Partition:
        """A partition that starts from `labels`, with `array` as its voxels."""
        return cls(array, labels.patient_from_index, {k: n for n, k in labels.structures.items()}, dict(structures))

    @property
    def grid(self) -> Grid:
        """The voxels without their labels."""
        i, j, k = self.array.shape
        return Grid((i, j, k), self.patient_from_index)

    def has(self, *prefixes: str) -> bool:
        """Whether a key at or below any of `prefixes` is known."""
        return any(belongs(key, *prefixes) for key in self.numbers)

    def mask(self, *prefixes: str, box: Box | None = None) -> NDArray[np.bool_]:
        """True at or below any of `prefixes`, in `box` or everywhere."""
        array = self.array if box is None else self.array[box]
        return np.asarray(self._table(key for key in self.numbers if belongs(key, *prefixes))[array])

    def free(self, box: Box | None = None) -> NDArray[np.bool_]:
        """True where nothing has a name: label 0, or a mere tissue class other than skin."""
        array = self.array if box is None else self.array[box]
        table = self._table(k for k in self.numbers if belongs(k, "tissue") and k != "tissue/skin")
        table[0] = True
        return np.asarray(table[array])

    def _table(self, keys: Iterable[str]) -> NDArray[np.bool_]:
        table = np.zeros(65536, dtype=np.bool_)
        table[[self.numbers[key] for key in keys]] = True
        return table

    def present(self) -> NDArray[np.bool_]:
        """(65536,) which integers some voxel holds."""
        return held_in(self.array)

    def number(self, structure: Structure) -> int:
        """The label of `structure`, new if need be."""
        if structure.key not in self.numbers:
            taken = max(self.numbers.values(), default=0)
            if not taken < 65535:
                raise InvalidInput("a label map holds at most 65535 structures")
            self.numbers[structure.key] = taken + 1
            self.structures[structure.key] = structure
        return self.numbers[structure.key]

    def paint(self, structure: Structure, box: Box, mask: NDArray[np.bool_], *, over: NDArray[np.bool_]) -> int:
        """Name the voxels of `mask` in `box` that are also in `over`; how many there were. None leaves no trace."""
        chosen = mask & over
        count = int(chosen.sum())
        if count:
            self.array[box][chosen] = self.number(structure)
        return count

    def forget(self, key: str) -> None:
        """Drop `key` from the names, where none of its voxels is left."""
        if key in self.numbers and not (self.array == self.numbers[key]).any():
            del self.numbers[key]
            self.structures.pop(key, None)

    def labels(self) -> LabelMap:
        """The finished label map."""
        return LabelMap(self.array, self.patient_from_index, {n: key for key, n in self.numbers.items()})
