"""What an image file gave: a volume in patient space, what kind of image it is, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import Field

from keyhole.casefile.models import QualityItem
from keyhole.casefile.values import Strict
from keyhole.errors import UnreadableFile
from keyhole.geometry import Volume

MODALITIES = ("CT", "MR")
WEIGHTINGS = ("T1", "T2")


class Acquired(Strict):
    """Where the slices of a tilted or uneven scan lay before they were resampled.

    `patient_from_index` is the sheared map to LPS mm from (column, row, slice), which fits the slices best;
    `positions` are the first voxels of the slices as their headers have them, LPS mm.
    """

    shape: tuple[int, int, int]
    patient_from_index: tuple[tuple[float, float, float, float], ...]
    positions: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ScanImage:
    """One image as Keyhole read it.

    `identifiers` are technical tags and UIDs under other names, never a name or a number of the patient; `dropped`
    holds the keywords of the tags left behind, and `identity` those that a user asked to keep. `patient` is what
    tells two patients apart while files are read; it stays in memory and is never written. `sha256` is that of the
    file, or of the slices' own in their order. `age` in years and `sex` are as the header states them. `acquired` is
    the grid of a tilted or uneven scan before it was resampled. `weighting`, of MR, is "T1", "T2" or empty.
    """

    volume: Volume
    modality: str
    name: str
    source_file: str
    identifiers: Mapping[str, str] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    patient: str = ""
    sha256: str = ""
    quality: tuple[QualityItem, ...] = ()
    dropped: tuple[str, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)
    age: float | None = None
    sex: Literal["F", "M"] | None = None
    acquired: Acquired | None = None
    weighting: str = ""


class ImageRecord(Strict):
    """images/NAME.json."""

    schema_: Literal["keyhole.image/1"] = Field("keyhole.image/1", alias="schema")
    name: str
    modality: Literal["CT", "MR"]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    identifiers: dict[str, str] = Field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    identity: dict[str, str] = Field(default_factory=dict)
    acquired: Acquired | None = None
    quality: tuple[QualityItem, ...] = ()
    caveats: tuple[str, ...] = ()


def check_values(volume: Volume, where: str) -> tuple[str, ...]:
    """Caveats on the voxel values of an image; one without any contrast, or all unknown, is refused."""
    array = volume.array
    floating = np.issubdtype(array.dtype, np.floating)
    unknown = int(np.isnan(array).sum()) if floating else 0
    if unknown == array.size:
        raise UnreadableFile(f"{where}: an image needs known voxel values, all {array.size} are nan")
    low, high = (np.nanmin(array), np.nanmax(array)) if floating else (array.min(), array.max())
    if not high > low:
        raise UnreadableFile(f"{where}: an image needs contrast, every voxel holds {low}")
    if not unknown:
        return ()
    return (f"{100 * unknown / array.size:.2g} % of the image's voxels hold no value; they are treated as not seen",)
