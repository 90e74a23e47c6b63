"""Attenuation of the trabecular bone of a vertebral body on CT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.assessment.model import Grade, Measurement, Shape, probabilities, unknown
from keyhole.assessment.vertebra.heights import Bone
from keyhole.geometry import Points, Volume

UNIT = "[hnsf'U]"

CENTRE, DEEP, WIDE = 0.42, 0.27, 0.33
"""The region is an ellipse: its middle behind the front, half depth, half width, as shares of depth, depth and width
of the body. It leaves out the cortex and the posterior third with the basivertebral veins [keyhole-choice]."""

AWAY = 5.0
"""Least distance of the region from both endplates, mm [keyhole-choice]."""

LEAST = 30
"""Voxels of the image that the region must hold [keyhole-choice]."""

SHIFT = 1.0
"""How far equally good regions lie apart, mm, besides the label's boundary sd [keyhole-choice]."""

L1_LIMITS = (110.0, 160.0)
"""HU at L1, native CT at 120 kV [pickhardt2013]."""

L1_CLASSES = (
    "below 110 HU (over 90 % specific for osteoporosis)",
    "110 to 160 HU (undecided)",
    "above 160 HU (160 or less is 90 % sensitive for osteoporosis)",
)

LOW = 90.25
"""HU below which TotalSegmentator's report calls bone osteoporotic, native CT [totalsegmentator-phase]."""

LOW_CLASSES = ("below 90.25 HU", "90.25 HU or more")

FUSION = 117.0
"""HU at L1 below which screws loosened or cages sank more often after MIS-TLIF [yao2023]."""

FUSION_CLASSES = ("below 117 HU (screw loosening or cage subsidence 4.1 times as likely)", "117 HU or more")

SCANNER = (
    "attenuation differs between scanners, kernels and tube voltages; the published limits are for 120 kV, and this "
    "scan's voltage is not known here",
    "contrast medium raises trabecular bone by about 20 HU (arterial) or 14.75 HU (portal venous) "
    "[totalsegmentator-phase]; whether this scan has any is not known here, and nothing was subtracted",
    "automated regions read about 21 HU more than regions drawn by hand [jang2019]; nothing was subtracted",
)


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """Mean attenuation of a region, HU, its sd, the number of voxels, and the region's outline (n, 3), LPS mm."""

    value: float
    sd: float
    n: int
    outline: Points


def density(bone: Bone, image: Volume) -> Density | str:
    """Mean attenuation of the trabecular region of `bone` in the CT `image`, or why there is none.

    The region is an elliptical cylinder in the anterior two thirds of the body, `AWAY` from the endplates. The sd
    joins the standard error over 27 blocks of it (so that noise and texture that are alike over some mm count as
    they are) with the change over shifts by `SHIFT` and the label's boundary sd along each axis.
    """
    region = _region(bone)
    if region is None:
        return f"the endplates of {bone.name} were not found; not measured"
    values, unit = _voxels(bone, image, region)
    if values is None:
        return f"the CT does not hold the whole body of {bone.name}; not measured"
    held = _held(unit, np.zeros(3), region)
    if not held.sum() >= LEAST:
        return f"{bone.name}: only {int(held.sum())} voxels of the CT lie in its trabecular region; not measured"
    mean = float(values[held].mean())
    error = _standard_error(values[held], unit[held], region)
    shift = SHIFT + bone.boundary_sd
    moved = [[_mean(values, unit, way * step, region) for way in (shift, -shift)] for step in np.eye(3)]
    spread = float(np.sqrt(sum(((a - b) / 2) ** 2 for a, b in moved)))
    return Density(mean, float(np.hypot(error, spread)), int(held.sum()), _outline(bone, region))


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """Middle (3,) and half axes (3,) of the elliptical cylinder in the vertebra's frame, mm."""

    middle: Points
    half: Points


def _region(bone: Bone) -> _Region | None:
    superior, inferior = bone.vertebra.superior, bone.vertebra.inferior
    if superior is None or inferior is None:
        return None
    plates = (superior, inferior)
    front = float(np.mean([bone.local(plate.anterior)[1] for plate in plates]))
    depth = float(np.mean([plate.depth for plate in plates]))
    width = float(np.mean([plate.width for plate in plates]))
    y = front + CENTRE * depth
    tops = [_height(bone, plate.plane.point, plate.plane.normal, y) for plate in plates]
    left = float(np.mean([bone.local(plate.centre)[0] for plate in plates]))
    tall = (tops[0] - tops[1]) / 2 - AWAY
    if not tall > 2.0:
        return None
    return _Region(np.array([left, y, sum(tops) / 2]), np.array([WIDE * width, DEEP * depth, tall]))


def _height(bone: Bone, point: Points, normal: Points, y: float) -> float:
    """Height of a plane over the midline at `y` in the vertebra's frame, mm."""
    frame = bone.vertebra
    at = bone.points(np.array([0.0, y, 0.0]))
    return float((point - at) @ normal / (frame.up @ normal))


def _voxels(bone: Bone, image: Volume, region: _Region) -> tuple[Points | None, Points]:
    """Values of the image's voxels around the region and their places in units of its half axes; None if cut."""
    reach = region.half + SHIFT + bone.boundary_sd + 0.5
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    index = image.grid.index(bone.points(region.middle + signs * reach))
    low, high = np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int) + 1
    inside = image.grid.index(bone.points(region.middle + signs * region.half))
    if (inside < -0.5).any() or (inside > np.array(image.grid.shape) - 0.5).any():
        return None, np.empty((0, 3))
    low, high = np.maximum(low, 0), np.minimum(high, image.grid.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    where = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), axis=-1)
    local = bone.local(image.grid.centres(where.reshape(-1, 3))) - region.middle
    near = (np.abs(local) <= reach).all(axis=1)
    return image.array[box].ravel()[near].astype(np.float64), local[near]


def _held(local: Points, shift: Points, region: _Region) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which voxels lie in the region moved by `shift`."""
    part = (local - shift) / region.half
    return np.asarray((part[:, 0] ** 2 + part[:, 1] ** 2 <= 1.0) & (np.abs(part[:, 2]) <= 1.0))


def _mean(values: Points, local: Points, shift: Points, region: _Region) -> float:
    held = _held(local, shift, region)
    return float(values[held].mean()) if held.any() else float(values.mean())


def _standard_error(values: Points, local: Points, region: _Region) -> float:
    """Standard error of the mean from the means of 3 x 3 x 3 blocks."""
    block = np.clip(np.floor((local / region.half + 1) * 1.5), 0, 2).astype(np.int64) @ np.array([9, 3, 1])
    count = np.bincount(block, minlength=27)
    sums = np.bincount(block, values, minlength=27)
    full = count >= max(1.0, 0.3 * float(np.median(count[count > 0])))
    means = sums[full] / count[full]
    return float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float(values.std())


def _outline(bone: Bone, region: _Region) -> Points:
    turn = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([region.half[0] * np.cos(turn), region.half[1] * np.sin(turn), np.zeros(48)], axis=1)
    return bone.points(region.middle + ring)


METHOD = "mean HU of an elliptical cylinder of trabecular bone in the anterior two thirds of the body"


def vertebral_density(
    name: str, found: Density | str, title: str = "vertebral density", source: str = "keyhole"
) -> Measurement:
    """Attenuation of the trabecular bone of vertebra `name`, HU [keyhole]; `found` says why where there is none."""
    if isinstance(found, str):
        return unknown(title, name, UNIT, found)
    shapes = (Shape(found.outline, is_closed=True),)
    return Measurement(title, name, found.value, found.sd, UNIT, source, METHOD, SCANNER, shapes=shapes)


def low_density(found: Measurement) -> Grade | None:
    """Probability of each class: at L1 those of Pickhardt [pickhardt2013], elsewhere TotalSegmentator's limit."""
    if found.value is None or found.sd is None:
        return None
    if found.level == "L1":
        return Grade(probabilities(found.value, found.sd, L1_LIMITS, L1_CLASSES), "pickhardt2013")
    return Grade(probabilities(found.value, found.sd, (LOW,), LOW_CLASSES), "totalsegmentator-phase")


def fusion_density(found: Measurement) -> Grade | None:
    """Probability that L1 lies below the limit for screws and cages in MIS-TLIF [yao2023]."""
    if found.value is None or found.sd is None:
        return None
    chances = probabilities(found.value, found.sd, (FUSION,), FUSION_CLASSES)
    return Grade(chances, "yao2023", ("one cohort of 198 patients with minimally invasive TLIF",))


def expected(age: float) -> float:
    """Mean L1 attenuation at `age` years, HU: 226 below 30, 2.5 less a year [jang2019]."""
    return 226.0 - 2.5 * max(0.0, age - 29.0)
