"""Heights of one vertebral body and how much of them is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.boxes import union_box
from keyhole.anatomy.endplates import CORRELATION, Solid, solid
from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.model import Grade, Measurement, Shape, probabilities, unknown
from keyhole.geometry import Box, Grid, LabelMap, Points, affine

PLACES = ("anterior", "middle", "posterior")

SLAB = 5.0
"""Half width, mm, of the midsagittal slab over which a height is averaged [keyhole]."""

RIM = (2.0, 6.0)
"""Depths behind the anterior or before the posterior corner, mm, over which a height is averaged [keyhole]."""

LOSS = (20.0, 25.0, 40.0)
"""% of height lost, borders of Genant's grades [genant-grades]; above 20 is TotalSegmentator's rule too."""

GRADES = ("0 (below 20 %)", "1 (20 to 25 %)", "2 (25 to 40 %)", "3 (above 40 %)")

GRADED = (
    "Genant's grades are a reader's estimate on lateral radiographs and need the shape of a fracture too; a height "
    "loss alone may be congenital, degenerative or wedging that is normal at this level"
)

LEAST = 0.06
"""Least sd of one surface's mean height, voxels; from simulation [keyhole-choice]."""

ALIKE = 1.0 / float(np.sqrt((1 + (2 * SLAB) ** 2 / (6 * CORRELATION**2)) * (1 + 16.0 / (6 * CORRELATION**2))))
"""Share of a boundary's variance that is left in the mean over one patch, where it is alike over `CORRELATION`."""

PLACED = 1.1
"""How much more a height errs than its surfaces do, because its place is found on the same labels; from simulation
[keyhole-choice]."""

_STEP = 0.5  # mm along a ray
_BEYOND = 6.0  # mm outside the endplate planes in which the surface is looked for; inside, to the body's middle
_MARGIN = 4  # empty voxels around the bone
_SHARE = 0.8  # least share of rays that must meet both endplates


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """One vertebra's frame, its bone (body and arch, or what is labelled of them), and its boundary's sd, mm."""

    vertebra: Vertebra
    solid: Solid
    boundary_sd: float

    @property
    def name(self) -> str:
        """The vertebra, "L4"."""
        return self.vertebra.name

    @property
    def voxel(self) -> float:
        """Longest side of the voxels that the labels were drawn on, mm."""
        return float(self.solid.drawn.spacing.max())

    def points(self, local: Points) -> Points:
        """LPS mm of (left, posterior, up) in the vertebra's frame, shape (..., 3)."""
        frame = self.vertebra
        return np.asarray(frame.centre + local @ np.stack([frame.left, frame.posterior, frame.up]))

    def local(self, points: Points) -> Points:
        """(left, posterior, up) of LPS `points`, shape (..., 3)."""
        frame = self.vertebra
        return np.asarray((points - frame.centre) @ np.stack([frame.left, frame.posterior, frame.up]).T)


def bone_of(labels: LabelMap, boxes: Mapping[str, Box], vertebra: Vertebra, boundary_sd: float) -> Bone | None:
    """The bone of `vertebra` on its own crop; None where it has no voxels.

    Parameters
    ----------
    boxes : of every key (`label_boxes`).
    """
    key = f"vertebra/{vertebra.name}"
    box = union_box(boxes, key)
    if box is None:
        return None
    crop = labels.crop(box)
    mask = np.pad(crop.mask(key), _MARGIN)
    shift = np.eye(4)
    shift[:3, 3] = -_MARGIN
    i, j, k = mask.shape
    grid = Grid((i, j, k), affine(crop.patient_from_index.matrix @ shift))
    return Bone(vertebra, solid(mask, grid, labels), boundary_sd)


@dataclass(frozen=True, slots=True, eq=False)
class Height:
    """A height at one place of a body, mm, its sd, and the line (2, 3) from the upper to the lower surface, LPS mm.

    `label_sd` is the part of the sd that the label's boundary brings: neighbouring places share it.
    """

    value: float
    sd: float
    label_sd: float
    line: Points


def height_at(bone: Bone, place: str) -> Height | None:
    """The height of the body at `place` ("anterior", "middle", "posterior"); None where it cannot be seen.

    Mean distance between the superior and inferior surface along the body's axis, over the midsagittal slab
    (`SLAB`) and 4 mm of depth: 2 to 6 mm inside the corners, or about the middle between both.
    """
    superior, inferior = bone.vertebra.superior, bone.vertebra.inferior
    if superior is None or inferior is None:
        return None
    back = _depth(bone, superior, inferior, place)
    x, y = np.arange(-SLAB, SLAB + 0.1), back + np.arange(-2.0, 2.1)
    gap = float((superior.plane.point - inferior.plane.point) @ bone.vertebra.up)
    z = np.arange(-max(_BEYOND, gap / 2), _BEYOND + 0.1, _STEP)
    flat = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    ends = []
    for plate, sense in ((superior, 1.0), (inferior, -1.0)):
        level = _level(bone, plate, flat)
        rays = np.concatenate(
            [np.broadcast_to(flat[:, None], (len(flat), len(z), 2)), (level[:, None] + sense * z)[..., None]], axis=2
        )
        ends.append(level + sense * last_crossing(bone.solid.at(bone.points(rays)), z))
    heights = ends[0] - ends[1]
    known = np.isfinite(heights)
    if not known.mean() >= _SHARE:
        return None
    tops = [float(end[known].mean()) for end in ends]
    line = bone.points(np.array([[0.0, back, top] for top in tops]))
    rounding = sum(_rounding(bone, plate) for plate in (superior, inferior))
    label = float(bone.boundary_sd * np.sqrt(2 * ALIKE) * PLACED)
    return Height(tops[0] - tops[1], float(np.sqrt(rounding + label**2)), label, line)


def _depth(bone: Bone, superior: Endplate, inferior: Endplate, place: str) -> float:
    """How far behind the body's centre a height is taken, mm."""
    fronts = [float(bone.local(plate.anterior)[1]) for plate in (superior, inferior)]
    backs = [float(bone.local(plate.posterior)[1]) for plate in (superior, inferior)]
    if place == "anterior":
        return max(fronts) + sum(RIM) / 2
    if place == "posterior":
        return min(backs) - sum(RIM) / 2
    return (sum(fronts) + sum(backs)) / 4


def _level(bone: Bone, plate: Endplate, flat: Points) -> Points:
    """Height of the endplate's plane over `flat` (n, 2) in the vertebra's frame, mm."""
    normal = plate.plane.normal
    frame = bone.vertebra
    slope = np.array([frame.left @ normal, frame.posterior @ normal]) / (frame.up @ normal)
    middle = bone.local(plate.plane.point)
    return np.asarray(middle[2] - (flat - middle[:2]) @ slope)


def last_crossing(share: NDArray[np.float32], ticks: Points) -> Points:
    """Where each ray (n, m) leaves the bone for the last time, between `ticks` (m,); nan where it does not."""
    inside = share >= 0.5
    last = share.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    held = np.minimum(last, share.shape[1] - 2)
    here = np.take_along_axis(share, held[:, None], 1)[:, 0].astype(np.float64)
    beyond = np.take_along_axis(share, held[:, None] + 1, 1)[:, 0].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip((here - 0.5) / (here - beyond), 0.0, 1.0)
    found = ticks[held] + float(ticks[1] - ticks[0]) * part
    return np.where(inside.any(axis=1) & (last == held), found, np.nan)


def _rounding(bone: Bone, plate: Endplate) -> float:
    """Variance of the mean height of one patch of an endplate that rounding to voxels brings, mm².

    It is a sawtooth of where the plate crosses the grid; over a patch that slides across m voxels its k-th
    Fourier term fades by sinc(k m).
    """
    grid, normal = bone.solid.drawn, plate.plane.normal
    per_index = grid.patient_from_index.matrix[:3, :3].T @ normal
    axis = int(np.abs(per_index).argmax())
    inverse = grid.patient_from_index.inverse.matrix[:3, :3]
    fade = np.ones(6)
    terms = np.arange(1, 7)
    for way, length in ((bone.vertebra.left, 2 * SLAB), (bone.vertebra.posterior, RIM[1] - RIM[0])):
        flat = way - (way @ normal) * normal
        index = inverse @ flat
        index[axis] = 0.0
        slide = float(index @ per_index) / float(per_index[axis])
        fade *= np.sinc(terms * slide * length) ** 2
    rounding = float(per_index[axis] ** 2 * (fade / (2 * np.pi**2 * terms**2)).sum())
    return rounding + float((LEAST * bone.voxel) ** 2)


def vertebral_height(name: str, place: str, found: Height | None) -> Measurement:
    """Anterior, middle or posterior height of the body of vertebra `name`, mm; sd from voxels and labels [keyhole]."""
    title = f"{place} vertebral height"
    if found is None:
        return unknown(title, name, "mm", f"the endplates of {name} could not be followed {place}; not measured")
    method = (
        "distance between both endplate surfaces along the body's axis, mean over 10 mm of width and 4 mm of depth "
        "in the midline"
    )
    return Measurement(title, name, found.value, found.sd, "mm", "keyhole", method, shapes=(Shape(found.line),))


def height_loss(name: str, heights: Mapping[str, Height], neighbours: tuple[Height, ...]) -> Measurement:
    """Share of the height lost, %: the largest of three.

    Anterior and middle height against the own posterior height (wedge, biconcave), posterior height against the mean
    posterior height of the `neighbours` (crush), as in the semiquantitative method [genant-grades]. Negative where
    nothing is lost. The sd is that of the largest.

    Parameters
    ----------
    heights : by place.
    neighbours : posterior heights next to it; none for L5, which is lower behind than others by nature.
    """
    back = heights["posterior"]
    shares: list[tuple[Height, tuple[Height, ...]]] = [(heights[place], (back,)) for place in ("anterior", "middle")]
    shares += [(back, neighbours)] if neighbours else []
    found = [_loss(one, against) for one, against in shares]
    value, sd = max(found)
    which = ("anterior", "middle", "posterior")[found.index((value, sd))]
    method = f"lowest: {which}; anterior and middle against the own posterior height, posterior against neighbours'"
    lines = tuple(Shape(one.line) for one in heights.values())
    return Measurement("vertebral height loss", name, value, sd, "%", "genant-grades", method, shapes=lines)


def _loss(height: Height, against: tuple[Height, ...]) -> tuple[float, float]:
    """Loss of `height` against the mean of `against`, %, and its sd; what both share of their errors cancels out."""
    mean = float(np.mean([one.value for one in against]))
    mean_sd = float(np.sqrt(sum(one.sd**2 for one in against))) / len(against)
    ratio = height.value / mean
    shared = sum(_shared(height, one) for one in against) / len(against)
    variance = height.sd**2 + (ratio * mean_sd) ** 2 - 2 * ratio * shared
    return 100 * (1 - ratio), 100 * float(np.sqrt(max(variance, 0.0))) / mean


def _shared(one: Height, other: Height) -> float:
    """Covariance of two heights, mm²: their labels' errors are alike as far as the places are near."""
    apart = ((one.line - other.line) ** 2).sum(axis=1)
    return one.label_sd * other.label_sd * float(np.exp(-apart / (2 * CORRELATION**2)).mean())


def genant(found: Measurement) -> Grade | None:
    """Probability of each of Genant's grades by height loss alone; grade 1 or more is above 20 %."""
    if found.value is None or found.sd is None:
        return None
    return Grade(probabilities(found.value, found.sd, LOSS, GRADES), "genant-grades", (GRADED,))
