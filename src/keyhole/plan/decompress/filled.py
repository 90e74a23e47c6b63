"""The label map after a removal: every voxel taken is given to what fills it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import LabelMap, Volume
from keyhole.plan.decompress.bites import FILL
from keyhole.plan.decompress.canal import connected
from keyhole.plan.site import EPIDURAL, Mask

FAT = "tissue/fat"


def becomes_canal(mask: Mask, free: Mask, distance: Volume) -> Mask:
    """The part of `mask` that becomes canal: within `FILL` mm of the free canal, and connected to it."""
    return connected(mask & (distance.array <= FILL), free)


def filled(labels: LabelMap, mask: Mask, free: Mask, distance: Volume) -> LabelMap:
    """`labels` after the voxels of `mask` are taken: beside the canal it widens (`canal/epidural`), elsewhere is fat.

    Parameters
    ----------
    free : the free canal before.
    distance : of every voxel from it, mm.
    """
    widened = becomes_canal(mask, free, distance)
    structures = dict(labels.structures)
    array = labels.array.copy()
    for key, where in ((EPIDURAL, widened), (FAT, mask & ~widened)):
        if where.any():
            label = _label(structures, key)
            array = _holding(array, label)
            array[where] = label
    return LabelMap(array, labels.patient_from_index, structures, labels.drawn)


def _label(structures: dict[int, str], key: str) -> int:
    """The integer of `key`; a new one where it has none yet."""
    for label, name in structures.items():
        if name == key:
            return label
    label = max(structures, default=0) + 1
    structures[label] = key
    return label


def _holding(array: NDArray[Any], label: int) -> NDArray[Any]:
    """`array` in a type that can hold `label`."""
    return array if label <= np.iinfo(array.dtype).max else array.astype(np.uint16)
