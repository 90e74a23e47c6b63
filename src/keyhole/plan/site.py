"""The part of the patient around a level that corridors run through, and what is hard in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.anatomy.model import Anatomy, Structure
from keyhole.errors import NotInScan
from keyhole.geometry import Box, LabelMap, Points, Volume, distance_field
from keyhole.plan.approaches import Approach
from keyhole.plan.frame import LevelFrame, level_frame
from keyhole.terms import SIDES, Tissue, belongs, split, tissue

Mask = NDArray[np.bool_]

DANGER = (Tissue.NERVE, Tissue.VESSEL, Tissue.ORGAN)
"""Tissues that nothing may ever touch; gas is bowel or lung."""

EPIDURAL = "canal/epidural"

NOTHING = 1e4
"""Distance where a part holds nothing of the kind asked for, mm: finite, since fields are interpolated."""

BEYOND = 4
"""Code of the faces of a part that are not faces of the scan."""

LATERAL, POSTERIOR, VERTICAL = (-70.0, 175.0), (-50.0, 190.0), (-75.0, 115.0)
"""Reach of the crop in the level's frame, mm: the envelopes of all tubes from behind and room around them."""

FLANK, AHEAD = 230.0, 187.0
"""Reach to the side for tubes from the flank, mm, and of a tube straight from the front."""

Bounds = tuple[tuple[float, float], ...]

USUAL: Bounds = (LATERAL, POSTERIOR, VERTICAL)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A crop of the label map around a level, with the level's frame. `body`: 0 outside, 1 inside, 2 skin."""

    frame: LevelFrame
    labels: LabelMap
    structures: Mapping[str, Structure]
    body: NDArray[np.uint8]
    counts: Mapping[str, int]
    caveats: tuple[str, ...]
    bounds: Bounds = USUAL

    def volume(self, *prefixes: str) -> float:
        """Volume of everything at or below any of `prefixes` in the crop, mL."""
        below = tuple(f"{prefix}/" for prefix in prefixes)  # asked very often: as fast as it goes
        voxels = sum(n for key, n in self.counts.items() if key in prefixes or key.startswith(below))
        return voxels * self.labels.grid.voxel_volume / 1000

    def box(self, low: ArrayLike, high: ArrayLike) -> Box:
        """The voxels that may lie between `low` and `high` (lateral, posterior, up) mm."""
        reach = np.array(self.bounds)
        bounds = np.stack([np.maximum(low, reach[:, 0] - 9), np.minimum(high, reach[:, 1] + 9)])
        corners = np.array(list(itertools.product(*bounds.T)))
        return around(self.labels, self.frame.patient(corners))

    def part(self, low: ArrayLike, high: ArrayLike) -> Site:
        """The part between `low` and `high` (lateral, posterior, up) mm; volumes stay those of the whole.

        Where a face of the part is not one of the scan, `body` is `BEYOND` there: what lies behind was seen, but is
        not looked at.
        """
        box = self.box(low, high)
        if min(s.stop - s.start for s in box) < 3:
            raise NotInScan(f"{self.frame.level} lies at the very edge of the label map")
        body = self.body[box].copy()
        for axis, (face, size) in enumerate(zip(box, self.labels.array.shape, strict=True)):
            ends = np.moveaxis(body, axis, 0)
            if face.start > 0:
                ends[0] = BEYOND
            if face.stop < size:
                ends[-1] = BEYOND
        return replace(self, labels=self.labels.crop(box), body=body)

    @property
    def core(self) -> Site:
        """The part where corridors dock: the arch, the canal and the back of the disc."""
        return self.part((-50.0, -25.0, -50.0), (50.0, 70.0, 50.0))

    def mask(self, *prefixes: str) -> Mask:
        """Voxels at or below any of `prefixes`."""
        return self.labels.mask(*prefixes)

    def of_kind(self, *kinds: Tissue) -> tuple[str, ...]:
        """Keys of the structures of any of `kinds`."""
        return tuple(k for k in self.labels.keys if tissue(k) in kinds)

    def local(self, index: NDArray[np.int64]) -> Points:
        """Voxel indices (n, 3) as (lateral, posterior, up) mm."""
        return self.frame.local(self.labels.grid.centres(index))

    def field(self, mask: Mask) -> Volume:
        """Distance of every voxel centre from the nearest voxel centre in `mask`, mm; `NOTHING` where it is empty."""
        if not mask.any():
            return Volume(np.full(mask.shape, NOTHING, dtype=np.float32), self.labels.patient_from_index)
        return distance_field(mask, self.labels.patient_from_index, signed=False)


def around(labels: LabelMap, points: Points) -> Box:
    """The box of voxels of `labels` that holds `points` (n, 3) LPS mm; may be empty."""
    index = labels.grid.index(points)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, labels.array.shape)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, low, labels.array.shape)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


def body_code(labels: LabelMap) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Which voxels are outside (0), inside (1) or skin (2), with caveats.

    Without a skin the outline of the labels stands for it, provided that soft tissue is labelled around the spine.
    """
    code = (labels.array != 0).view(np.uint8)
    skin = labels.mask("tissue/skin")
    if skin.any():
        return code + skin.view(np.uint8), ()
    if labels.labels_of("tissue"):
        return code * np.uint8(2), ("no skin is labelled: the outline of the labelled body stands for it",)
    return code, ("no skin and no soft tissue are labelled: no entry point can be placed",)


def check_arches(anatomy: Anatomy, level: str) -> None:
    """Refuse a level of which bodies or discs alone are labelled: its nerves and its canal are unknown."""
    bones = [key for key in anatomy.labels.keys if belongs(key, *(f"vertebra/{name}" for name in split(level)))]
    if bones and not any(key.count("/") == 1 or key.split("/")[2] != "body" for key in bones):
        raise NotInScan(
            f"{level} cannot be planned: only bodies or discs are labelled there, so arches, canal and nerves are "
            "unknown; import labels of whole vertebrae"
        )


def bounds(approaches: Iterable[Approach]) -> Bounds:
    """How far the crop must reach in the level's frame for `approaches`, mm: further for tubes from flank and front."""
    aside = max((a.entry_lateral[1] for a in approaches if a.radii), default=0.0)
    front = max((a.azimuth[1] for a in approaches if a.radii), default=0.0)
    lateral = LATERAL if aside <= LATERAL[1] - 25.0 else (LATERAL[0], FLANK)
    return lateral, (POSTERIOR[0] - in_front(front), POSTERIOR[1]), VERTICAL


def in_front(azimuth: float) -> float:
    """How far in front of its dock a tube at `azimuth` degrees from posterior may begin, mm."""
    return AHEAD * max(0.0, -float(np.cos(np.deg2rad(azimuth))))


def site(anatomy: Anatomy, level: str, side: str, approaches: Sequence[Approach] = ()) -> Site:
    """The crop of `anatomy` around `level` for `approaches`; refused where the level is not in the scan."""
    frame = level_frame(anatomy, level, side)
    reach = bounds(approaches)
    corners = np.array(list(itertools.product(*reach)))
    labels = anatomy.labels.crop(around(anatomy.labels, frame.patient(corners)))
    if min(labels.array.shape) < 2:
        raise NotInScan(f"{level} lies outside the label map")
    voxels = np.bincount(labels.array.ravel())
    present = {n: k for n, k in labels.structures.items() if n < len(voxels) and voxels[n]}
    labels = LabelMap(labels.array, labels.patient_from_index, present)
    body, caveats = body_code(labels)
    counts = dict.fromkeys(present.values(), 0)
    for n, key in present.items():
        counts[key] += int(voxels[n])
    return Site(frame, labels, anatomy.structures, body, counts, caveats, reach)


def hard_keys(found: Site, approach: Approach) -> tuple[str, ...]:
    """Keys that `approach` may not touch: nerves, vessels, organs, gas, and the bones it may not cut.

    The tube also stays out of the epidural space, where the dura is; the instrument may enter it.
    """
    soft = approach.soft_bone(found.frame.level, found.frame.side)
    bones = tuple(k for k in found.of_kind(Tissue.BONE) if not belongs(k, *soft))
    return tuple(
        sorted((*found.of_kind(*DANGER, Tissue.GAS), *bones, *(k for k in found.labels.keys if belongs(k, EPIDURAL))))
    )


def facet_keys(found: Site, side: str) -> tuple[str, str]:
    """The two parts of the facet joint of the level on `side`: inferior of the upper, superior of the lower one."""
    upper, lower = split(found.frame.level)
    return f"vertebra/{upper}/facet/inferior/{side}", f"vertebra/{lower}/facet/superior/{side}"


def facet_shares(found: Site, taken: Mapping[str, float]) -> dict[str, float]:
    """% of each labelled facet joint of the level that mL by structure `taken` make up."""
    shares = {}
    for side in SIDES:
        keys = facet_keys(found, side)
        whole = found.volume(*keys)
        if whole > 0:
            inside = sum(volume for key, volume in sorted(taken.items()) if belongs(key, *keys))
            shares[f"{found.frame.level}/{side}"] = 100.0 * inside / whole
    return shares
