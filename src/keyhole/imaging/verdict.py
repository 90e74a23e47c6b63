"""What a series is good for: planning on bone, measuring the canal, or nothing, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Grid, affine
from keyhole.imaging.dicom_planes import attribute
from keyhole.imaging.dicom_series import Series

FINE_CT = 1.5
COARSE_CT = 3.0
"""mm: largest voxel side of a CT that shows pedicles and facets well, and of one that shows them at all
[keyhole-choice]."""

FINE_MR_PLANE = 1.2
COARSE_MR = 6.0
"""mm: largest pixel and largest distance between slices of an MR on which a canal can be measured [keyhole-choice]."""

SEGMENT = 40.0
SLAB = 8.0
"""mm from head to foot: less does not hold one motion segment, or not the canal at one disc [keyhole-choice]."""

T2_ECHO = 60.0
T1_ECHO = 30.0
T1_REPETITION = 1200.0
"""ms: longer echoes make CSF bright; shorter ones with a short repetition make it dark [keyhole-choice]."""

PARAMETER_MAPS = ("ADC", "TRACEW", "FA", "T1 MAP", "T2 MAP", "T2_STAR MAP", "PERFUSION", "SUBTRACTION", "PHASE MAP")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a series serves planning on bone and measures of the canal, and the reason in a sentence."""

    for_bone: bool
    for_canal: bool
    reason: str

    @property
    def use(self) -> str:
        """The verdict in a few words."""
        if self.for_bone:
            return "bone planning and canal measures" if self.for_canal else "bone planning"
        return "canal measures" if self.for_canal else "nothing"


def extent(grid: Grid) -> NDArray[np.float64]:
    """Size, mm, of the smallest box along left, posterior and superior that holds every voxel centre of `grid`."""
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * (np.array(grid.shape) - 1)
    return np.asarray(np.ptp(grid.centres(corners), axis=0), dtype=np.float64)


def verdict(modality: str, spacing: Sequence[float], size: NDArray[np.float64], weighting: str = "") -> Verdict:
    """What an image of this modality, voxel `spacing` and extent `size` (left, posterior, superior), mm, is good for.

    `weighting`, of MR: "T2", "T1" or empty where the header does not tell.
    """
    said = _of_ct(spacing) if modality == "CT" else _of_mr(spacing, weighting)
    if size[2] >= SEGMENT or said.use == "nothing":
        return said
    if modality == "MR" and size[2] >= SLAB:
        return Verdict(
            False, True, f"only at the disc that its {size[2]:.0f} mm from head to foot cross; {said.reason}"
        )
    return Verdict(False, False, f"it shows {size[2]:.0f} mm from head to foot, less than one motion segment")


def _of_ct(spacing: Sequence[float]) -> Verdict:
    widest = max(spacing)
    if widest > COARSE_CT + 0.01:
        return Verdict(False, False, f"voxels {widest:.1f} mm wide hide pedicles and facets (at most {COARSE_CT:g} mm)")
    if widest > FINE_CT + 0.01:
        return Verdict(True, True, f"coarse: voxels are {widest:.1f} mm wide; up to {FINE_CT:g} mm show facets well")
    return Verdict(True, True, f"voxels of {widest:.2g} mm or less show bone well; the canal is the bony one")


def _of_mr(spacing: Sequence[float], weighting: str) -> Verdict:
    slices, pixel = max(spacing), sorted(spacing)[1]
    if weighting == "map":
        return Verdict(False, False, "a computed map, not an image of the anatomy")
    if weighting == "T1":
        return Verdict(False, False, "T1-weighted: CSF is dark, so that the canal's edge does not show")
    if pixel > FINE_MR_PLANE or slices > COARSE_MR:
        return Verdict(
            False, False, f"{pixel:.1f} mm pixels in slices {slices:.1f} mm apart are too coarse for the canal"
        )
    if weighting == "T2":
        return Verdict(False, True, "T2-weighted: CSF shows the canal; MR has no Hounsfield units for bone")
    return Verdict(False, True, "if CSF is bright in it; it does not say how it is weighted")


def weighting_of(one: Series) -> str:
    """How an MR series is weighted, by its echo and repetition times: T2, T1, map, or empty where they do not tell."""
    plane = one.planes[0]
    types = {part.strip().upper() for part in plane.telling.get("ImageType", "").split("\\")}
    if types & set(PARAMETER_MAPS):
        return "map"
    echo = _number(plane.telling.get("EffectiveEchoTime"))
    repetition = _number(attribute(plane, "RepetitionTime"))
    if echo >= T2_ECHO:
        return "T2"
    return "T1" if 0 < echo <= T1_ECHO and 0 < repetition <= T1_REPETITION else ""


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def verdict_of(one: Series) -> Verdict:
    """What a DICOM series is good for."""
    stack = one.stack
    if stack is None:
        return Verdict(False, False, one.problem)
    rows, columns = one.planes[0].shape
    size = extent(Grid((columns, rows, stack.depth), affine(stack.matrix)))
    units = str(attribute(one.planes[0], "RescaleType") or "HU").strip().upper()
    if one.modality == "CT" and (units != "HU" or one.planes[0].slope is None):
        return Verdict(False, False, "its values are not Hounsfield units")
    return verdict(one.modality, stack.spacing, size, weighting_of(one) if one.modality == "MR" else "")


def best(found: Sequence[Series]) -> Series | None:
    """The series that serves most: bone planning, then canal measures; then finer voxels, then more slices."""

    def rank(one: Series) -> tuple[int, float, int]:
        said = verdict_of(one)
        spacing = max(one.stack.spacing) if one.stack else float("inf")
        return (2 * said.for_bone + said.for_canal, -round(spacing, 2), len(one.planes))

    usable = [s for s in found if verdict_of(s).use != "nothing"]
    return max(usable, key=rank) if usable else None


def suggestion(found: Sequence[Series]) -> str:
    """A hint for a user who has to choose; empty where nothing serves."""
    one = best(found)
    if one is None:
        return ""
    place = next(n for n, s in enumerate(found, start=1) if s is one)
    labels = [s.label for s in found]
    choice = one.label if one.label and labels.count(one.label) == 1 else f"#{place}"
    return f"; suggested: --series {choice} ({verdict_of(one).use})"
