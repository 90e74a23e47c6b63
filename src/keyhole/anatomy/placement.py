"""Labels and images of one patient brought together, and the labels onto Keyhole's grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import ImplausibleAnatomy, InvalidInput
from keyhole.geometry import Grid, LabelMap, bounding_box
from keyhole.geometry.resample import keyhole_grid, labels_on_grid, reoriented
from keyhole.imaging import ScanImage
from keyhole.terms import LUMBAR_LEVELS, VERTEBRAE, in_key

LUMBAR = tuple(f"vertebra/{name}" for name in VERTEBRAE if name.startswith("L"))
LUMBAR_DISCS = {f"disc/{in_key(level)}" for level in LUMBAR_LEVELS}
_AROUND = (*LUMBAR, "vertebra/T11", "vertebra/T12", "vertebra/T13", "vertebra/S1", "sacrum")

LEAST_OVERLAP = 0.1
FULL_OVERLAP = 0.95
"""Share of the lumbar labels inside the image: below the first they are another space's, below the second a caveat."""

MARGIN = 60.0
"""Beyond the lumbar spine, mm, where a long label map is cut [keyhole-choice]."""

LONG = 60_000_000
MOST = 250_000_000
"""Voxels of Keyhole's grid beyond which a label map is cut to the lumbar spine, and beyond which it is refused."""

_SAMPLE = 200_000


def check_lumbar(labels: LabelMap, where: Path) -> None:
    """Refuse labels without any lumbar vertebra, but for discs alone."""
    if not labels.labels_of(*LUMBAR) and not (LUMBAR_DISCS & set(labels.keys) and not labels.labels_of("vertebra")):
        named = ", ".join(labels.keys[:6]) + (", ..." if len(labels.keys) > 6 else "")
        raise InvalidInput(f"{where}: the labels hold no lumbar vertebra, which Keyhole needs; found {named}")


def overlap(labels: LabelMap, grid: Grid) -> float:
    """Share of the lumbar vertebrae's voxels, 0 to 1, whose centres lie inside `grid`."""
    index = np.argwhere(labels.mask(*(LUMBAR if labels.labels_of(*LUMBAR) else LUMBAR_DISCS)))
    index = index[:: max(1, len(index) // _SAMPLE)]
    return float(grid.contains(labels.grid.centres(index)).mean())


def own_image(labels: LabelMap, images: Sequence[ScanImage], where: Path) -> tuple[ScanImage | None, tuple[str, ...]]:
    """The image that shows most of the labels (a CT before an MR), and caveats; refused where none shows them."""
    if not images:
        return None, ("the case has no image; the anatomy rests on the labels alone",)
    shares = [overlap(labels, image.volume.grid) for image in images]
    if max(shares) < LEAST_OVERLAP:
        raise ImplausibleAnatomy(
            f"{where} and the image lie in different places: only {100 * max(shares):.0f} % of the lumbar vertebrae "
            f"are inside {images[int(np.argmax(shares))].source_file}; these are labels of another scan or patient"
        )
    best = max(range(len(images)), key=lambda n: (shares[n] >= LEAST_OVERLAP and images[n].modality == "CT", shares[n]))
    caveats = tuple(
        f"the image {image.name} shows {100 * share:.0f} % of the labelled lumbar vertebrae"
        for image, share in zip(images, shares, strict=True)
        if share < FULL_OVERLAP
    )
    return images[best], (*caveats, *_frames(images))


def _frames(images: Sequence[ScanImage]) -> tuple[str, ...]:
    """A caveat where images do not share a frame of reference."""
    frames = {image.identifiers.get("FrameOfReferenceUID", "") for image in images}
    if len(images) < 2 or (len(frames) == 1 and "" not in frames):
        return ()
    return ("the images do not state one common frame of reference; they are shown together as they lie, unregistered",)


def on_keyhole_grid(labels: LabelMap, where: Path) -> tuple[LabelMap, tuple[str, ...]]:
    """`labels` with axes close to left, posterior, superior, isotropic at 1 mm or finer, and caveats."""
    turned = reoriented(labels)
    turned, caveats = _cut(turned, where)
    grid = keyhole_grid(turned.grid)
    if grid.is_same(turned.grid):
        return turned, caveats
    size = " x ".join(f"{s:.3g}" for s in turned.grid.spacing)
    kind = "coarser than" if turned.grid.spacing.max() > 1.001 else "not on"
    caveat = (
        f"the labels' voxels ({size} mm) are {kind} Keyhole's grid; they were smoothed onto {grid.spacing[0]:.3g} mm"
    )
    return labels_on_grid(turned, grid), (*caveats, caveat)


def _cut(labels: LabelMap, where: Path) -> tuple[LabelMap, tuple[str, ...]]:
    """A long label map cut to the lumbar spine and its surroundings, along the spine only."""
    if _voxels(labels.grid) <= LONG:
        return labels, ()
    box = bounding_box(labels.mask(*_AROUND))
    centres = np.array([np.argwhere(labels.array == n).mean(axis=0) for n in labels.labels_of(*LUMBAR, *LUMBAR_DISCS)])
    spread: NDArray[np.float64] = np.ptp(centres, axis=0) * labels.grid.spacing
    axis = int(np.argmax(spread))
    whole = [slice(0, n) for n in labels.array.shape]
    if box is not None and spread[axis] > 0:
        margin = int(np.ceil(MARGIN / labels.grid.spacing[axis]))
        low, high = max(0, box[axis].start - margin), min(labels.array.shape[axis], box[axis].stop + margin)
        whole[axis] = slice(low, high)
    cut = labels.crop((whole[0], whole[1], whole[2]))
    kept, before = (g.shape[axis] * g.spacing[axis] for g in (cut.grid, labels.grid))
    if _voxels(cut.grid) > MOST:
        raise InvalidInput(
            f"{where}: the labels need {_voxels(cut.grid) / 1e6:.0f} million voxels on Keyhole's grid, at most "
            f"{MOST / 1e6:.0f} are handled; crop them around the lumbar spine"
        )
    present = set(np.unique(cut.array).tolist())
    cut = LabelMap(
        cut.array, cut.patient_from_index, {n: key for n, key in cut.structures.items() if n in present}, cut.drawn
    )
    return cut, (f"the labels were cut along the spine, from {before:.0f} to {kept:.0f} mm around the lumbar levels",)


def _voxels(grid: Grid) -> int:
    return int(np.prod(keyhole_grid(grid).shape, dtype=np.int64))
