"""One vertebra as a screw meets it: its bone, what lies around it, and the frame that the screw is said in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.errors import NotInScan
from keyhole.geometry import Box, Grid, LabelMap, Points, affine, distance_field
from keyhole.terms import SIDES, Tissue, are_neighbours, belongs, check_side, rank, tissue

Mask = NDArray[np.bool_]

MARGIN = 15.0
"""Room around the vertebra in which neighbouring bone is looked for, mm."""

RIM = 1.2
"""Outside voxels this near to bone, in voxels, stand for the wall while an axis is refined; all count in the end."""

AROUND = 60.0
"""Bone is looked at this near to the body's middle, mm: the sacrum is longer."""

COARSE = 0.5
"""Of the voxels that outlines were drawn on, what exceeds the grid's, this share may be missing from a pedicle's side
[keyhole-screws]: labels drawn at 3 mm and smoothed onto 1 mm hold pedicles about 1 mm too wide on each side."""

JOINT = 2.5
"""Voxels of one part of a facet joint this near to the other are the joint, mm [keyhole-choice]."""

NEIGHBOUR = 45.0
"""Other bone is looked at this near to the vertebra's middle, mm."""

BEHIND = 3.0
"""The plane of pedicles that axes are spread on lies this far behind the body's posterior wall, mm [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """The bone of one vertebra on its crop, padded with what is outside it.

    `depth` is the distance to the bone's surface (positive inside, mm), `rim` the centres (n, 3) of the voxels next to
    it, `others` the surface of the other bones, LPS mm. `joints` are the voxels of the facet joints with the vertebra
    `above` (empty where there is none), by side. `sd` is the boundary's, mm; `coarse` how far it may be off, mm, since
    the outlines were drawn on larger voxels. Where a screw runs through two bones, `door` is the depth of the one that
    it enters, and its grid; `spread` the posterior coordinate of the plane that its axes pass, `called` its name, and
    `half` the grid of `depth` where that only guides the search and is coarser.
    """

    vertebra: Vertebra
    mask: Mask
    grid: Grid
    depth: NDArray[np.float32]
    rim: Points
    others: Points
    above: str
    joints: Mapping[str, Points]
    sd: float
    coarse: float
    door: tuple[NDArray[np.float32], Grid] | None = None
    spread: float | None = None
    called: str = ""
    half: Grid | None = None

    @property
    def guide(self) -> Grid:
        """The grid of `depth`."""
        return self.grid if self.half is None else self.half

    @property
    def name(self) -> str:
        """The vertebra, "L4"."""
        return self.called or self.vertebra.name

    @property
    def entered(self) -> tuple[NDArray[np.float32], Grid]:
        """The depth of the bone that a screw enters, mm, and its grid."""
        return (self.depth, self.grid) if self.door is None else self.door

    @property
    def plane(self) -> float:
        """Posterior coordinate of the plane that axes are spread on, mm from the body's middle."""
        return self.wall + BEHIND if self.spread is None else self.spread

    def axes(self, side: str) -> Points:
        """(3, 3) rows lateral (toward `side`), posterior, up."""
        frame = self.vertebra
        return np.stack([frame.toward(check_side(side)), frame.posterior, frame.up])

    def local(self, points: Points, side: str) -> Points:
        """(lateral, posterior, up) of LPS `points`, shape (..., 3), about the body's middle."""
        return np.asarray((points - self.vertebra.centre) @ self.axes(side).T)

    @property
    def wall(self) -> float:
        """How far behind the body's middle its posterior wall lies, mm: the mean of the corners that were seen."""
        frame = self.vertebra
        corners = [p.posterior for p in (frame.superior, frame.inferior) if p is not None]
        if not corners:
            raise NotInScan(f"{self.name}: neither endplate is in the scan, so its pedicles cannot be placed")
        return float(np.mean([(c - frame.centre) @ frame.posterior for c in corners]))


def keys_of(name: str) -> tuple[str, ...]:
    """What one screw may lie in: the vertebra; S1 is one bone with the sacrum."""
    return ("vertebra/S1", "sacrum") if name == "S1" else (f"vertebra/{name}",)


def bone(anatomy: Anatomy, name: str, boxes: Mapping[str, Box] | None = None) -> Bone:
    """The bone of vertebra `name`; refused where the scan does not hold its arch.

    Parameters
    ----------
    boxes : of every key (`label_boxes`), where several vertebrae are looked at.
    """
    labels = anatomy.labels
    keys = keys_of(name)
    box = union_box(label_boxes(labels) if boxes is None else boxes, *keys)
    if name not in anatomy.vertebrae or box is None:
        known = ", ".join(anatomy.vertebrae) or "none"
        raise NotInScan(f"{name} is not in the scan, so no screw can be planned in it; vertebrae in view: {known}")
    if not _has_arch(labels, name):
        raise NotInScan(f"{name}: only its body is labelled, so its pedicles are unknown; import whole vertebrae")
    vertebra = anatomy.vertebrae[name]
    tight = _near(box, labels, vertebra)
    mask = solid(np.pad(labels.mask(*keys, box=tight), 2))
    grid = padded(labels, tight, 2)
    depth = depth_of(mask, grid)
    crop = labels.crop(_wider(tight, labels))
    higher = [n for n in sorted(anatomy.vertebrae, key=rank) if rank(n) < rank(name)]
    above = higher[-1] if higher and are_neighbours(higher[-1], name) else ""
    return Bone(
        vertebra, mask, grid, depth, rim_of(depth, grid), others(crop, keys, vertebra, vertebra.centre),
        above, {side: _joint(crop, facet_keys(above, name, side)) for side in SIDES}, boundary_sd(anatomy, keys),
        coarse_of(labels),
    )  # fmt: skip


def depth_of(mask: Mask, grid: Grid) -> NDArray[np.float32]:
    """Distance of each voxel's centre to the surface of `mask`, mm, positive inside: half a voxel off its neighbour."""
    depth = -distance_field(mask, grid.patient_from_index).array
    depth -= np.where(depth > 0, 0.5, -0.5).astype(np.float32) * np.float32(grid.spacing.min())
    return np.ascontiguousarray(depth)


def rim_of(depth: NDArray[np.float32], grid: Grid) -> Points:
    """Centres (n, 3) of the voxels next to the bone."""
    return _centres(grid, (depth < 0) & (depth > -RIM * grid.spacing.max()))


def coarse_of(labels: LabelMap) -> float:
    """How far outlines may be off since they were drawn on larger voxels, mm."""
    return COARSE * max(0.0, float(labels.drawn_grid.spacing.max() - labels.grid.spacing.max()))


def boundary_sd(anatomy: Anatomy, keys: tuple[str, ...]) -> float:
    """The largest sd of the boundaries of `keys`, mm."""
    return max((s.sd for k, s in anatomy.structures.items() if belongs(k, *keys)), default=0.0)


def padded(labels: LabelMap, box: Box, by: int) -> Grid:
    """The grid of `box` with `by` voxels more to every side."""
    shape = tuple(s.stop - s.start + 2 * by for s in box)
    return Grid((shape[0], shape[1], shape[2]), affine(labels.crop(box).patient_from_index.matrix @ _shifted(-by)))


def facet_keys(above: str, name: str, side: str) -> tuple[str, str]:
    """The two parts of the facet joint between `above` and `name` on `side`."""
    return f"vertebra/{above}/facet/inferior/{side}", f"vertebra/{name}/facet/superior/{side}"


def _has_arch(labels: LabelMap, name: str) -> bool:
    """Whether more than the body is labelled of `name`; the sacrum holds its own arch."""
    keys = [key for key in labels.keys if belongs(key, f"vertebra/{name}")]
    return (name == "S1" and "sacrum" in labels.keys) or any(key.split("/")[2:3] != ["body"] for key in keys)


def _near(box: Box, labels: LabelMap, vertebra: Vertebra) -> Box:
    """The part of `box` within `AROUND` of the body's middle."""
    middle = labels.grid.index(vertebra.centre)
    reach = AROUND / labels.grid.spacing
    low = [max(s.start, int(m - r)) for s, m, r in zip(box, middle, reach, strict=True)]
    high = [min(s.stop, int(m + r) + 1) for s, m, r in zip(box, middle, reach, strict=True)]
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _wider(box: Box, labels: LabelMap) -> Box:
    room = np.ceil(MARGIN / labels.grid.spacing).astype(int)
    low = [max(0, s.start - int(r)) for s, r in zip(box, room, strict=True)]
    high = [min(n, s.stop + int(r)) for n, s, r in zip(labels.array.shape, box, room, strict=True)]
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _shifted(by: int) -> Points:
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def solid(mask: Mask) -> Mask:
    """The largest piece of `mask`, its closed holes filled."""
    parts, n = ndimage.label(mask)
    if n > 1:
        mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    outside, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))  # scipy's binary_fill_holes, three times faster
    return np.asarray(mask | (outside[1:-1, 1:-1, 1:-1] != outside[0, 0, 0]))


def _centres(grid: Grid, mask: Mask) -> Points:
    return np.ascontiguousarray(grid.centres(np.argwhere(mask)))


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask, border_value=1))


def others(crop: LabelMap, keys: tuple[str, ...], vertebra: Vertebra, about: Points) -> Points:
    """The surface of every bone but `keys` behind the middle of the vertebra and near `about`, LPS mm."""
    found = [k for k in crop.keys if tissue(k) is Tissue.BONE and not belongs(k, *keys) and not belongs(k, "tissue")]
    points = _centres(crop.grid, _surface(crop.mask(*found)))
    is_near = np.linalg.norm(points - about, axis=1) < NEIGHBOUR
    return np.ascontiguousarray(points[is_near & ((points - vertebra.centre) @ vertebra.posterior > 0)])


def _joint(crop: LabelMap, parts: tuple[str, str]) -> Points:
    """Voxels of the facet joint of the two, (n, 3) LPS mm: of each part those within `JOINT` of the other."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    one, other = (_centres(crop.grid, crop.mask(key)) for key in parts)
    if not (len(one) and len(other)):
        return np.empty((0, 3))
    near = [a[cKDTree(b).query(a, distance_upper_bound=JOINT)[0] <= JOINT] for a, b in ((one, other), (other, one))]
    return np.ascontiguousarray(np.concatenate(near))
