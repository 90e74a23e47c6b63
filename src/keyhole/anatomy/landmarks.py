"""A frame for every vertebra, from labels alone, and the line along the middle of the canal.

Definitions: docs/measures.md. Directions come from the anatomy: cranial from the order of the levels, posterior
from the body towards the canal or the arch, left = posterior x up. The axes of the scan mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.canal_line import canal_line
from keyhole.anatomy.endplates import Axes, Face, Solid, axes, endplate, faces, solid
from keyhole.anatomy.model import Structure, Vertebra
from keyhole.anatomy.parts import body_of, ring_of
from keyhole.errors import ImplausibleAnatomy
from keyhole.geometry import Box, Grid, LabelMap, Points, affine, unit
from keyhole.terms import belongs, rank

__all__ = ["canal_line", "vertebrae"]

_MARGIN = 4  # empty voxels around a body: room for the smoothing and for the field of view's edge
_TURNS = 5
_SLAB = 10.0  # mm above and below a body's centre in which its canal or arch is looked for
_NEAR = 45.0  # mm from a body's centre in which its canal must lie
_SETTLED = 2e-3  # a frame that turns by less than this, rad, has settled
_LEAST = 1500.0  # mm³; less has no frame
_REMNANT = 0.25  # of the median body: less is a remnant at the edge of the scan
_BOW = 3.0  # mm from the chord to the middle of the lumbar chain: less is as good as straight
_ARCH = 28.0  # mm from a body's centre to the middle of its arch: less is a spur of the body
_S1_WIDER = 1.1  # S1's endplate may be wider than the inferior endplate above it by this factor [keyhole-choice]

CUT = "{name}: its body is cut by the field of view or was not found whole"
BY_SHAPE = "{name}: neither canal nor arch is labelled; front was told from back by taking the spine to be lordotic"
ALONE = "{name}: it is alone in view, so cranial was taken from the scan's own axes"


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """One vertebra's voxels on their crop; `body` is None where it is not labelled."""

    name: str
    mask: NDArray[np.bool_]
    body: NDArray[np.bool_] | None
    grid: Grid
    boundary_sd: float

    @property
    def centre(self) -> Points:
        """Centroid of the body where labelled, else of the whole, LPS mm."""
        return np.asarray(self.grid.centres(np.argwhere(self.mask if self.body is None else self.body)).mean(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class _Bone:
    """One vertebra: `body` on a crop with a margin, roughly where it is, and the middle of what lies behind it."""

    name: str
    body: NDArray[np.bool_]
    grid: Grid
    up: Points
    behind: Points | None  # centre of the foramen, else of the arch
    boundary_sd: float
    is_cut_out: bool  # the body is not labelled but cut out of the whole

    @property
    def points(self) -> Points:
        """Voxel centres of the body, (n, 3) LPS mm."""
        return self.grid.centres(np.argwhere(self.body))

    @property
    def centre(self) -> Points:
        """Centroid of the body, (3,) LPS mm."""
        return np.asarray(self.points.mean(axis=0))

    @property
    def volume(self) -> float:
        """mm³."""
        return float(np.count_nonzero(self.body)) * self.grid.voxel_volume


def vertebrae(labels: LabelMap, *, structures: Mapping[str, Structure] | None = None) -> dict[str, Vertebra]:
    """The frame and the endplates of every vertebra in view, cranial to caudal.

    Bodies are `vertebra/X/body` where labelled, else cut out of the whole vertebra. On voxelised bodies in random
    poses, planes are unbiased within 0.2 mm and 0.5 degrees at 1 mm voxels. A remnant of less than a quarter of
    the median body at the edge of the scan is left out.

    Parameters
    ----------
    structures : how each key is known; its `sd` goes into the endplates' uncertainty, which else is that of the
        voxels alone.
    """
    boxes = label_boxes(labels)
    names = sorted({key.split("/")[1] for key in labels.structures.values() if key.startswith("vertebra/")}, key=rank)
    wholes = [whole for name in names if (whole := _whole(labels, boxes, name, structures or {})) is not None]
    canal = _canal_points(labels, boxes)
    bones = [bone for w, up in zip(wholes, _ups(wholes), strict=True) if (bone := _bone(w, up, canal)) is not None]
    if not bones:
        return {}
    usual = float(np.median([bone.volume for bone in bones]))
    bones = [bone for bone in bones if bone.volume >= _REMNANT * usual]
    backs, by_shape = _backs(bones, labels.grid)
    found: dict[str, Vertebra] = {}
    for bone, back in zip(bones, backs, strict=True):
        above = next(reversed(found.values()), None)
        make = _sacral if bone.name == "S1" else _vertebra
        found[bone.name] = make(bone, back, labels, above)
    notes = (*([BY_SHAPE] if by_shape else []), *([ALONE] if len(bones) == 1 else []))
    return {name: _with(one, notes) for name, one in found.items()}


def _whole(labels: LabelMap, boxes: Mapping[str, Box], name: str, structures: Mapping[str, Structure]) -> _Whole | None:
    """The voxels of vertebra `name`; None where it has too few to have a frame."""
    key, body_key = f"vertebra/{name}", f"vertebra/{name}/body"
    box = union_box(boxes, key)
    if box is None:
        return None
    crop = labels.crop(box)
    mask = crop.mask(key)
    body = _largest(crop.mask(body_key)) if body_key in boxes else None
    least = np.count_nonzero(mask if body is None else body) * crop.grid.voxel_volume
    if not least >= _LEAST:
        return None
    known = [one.sd for k, one in structures.items() if belongs(k, key if body is None else body_key)]
    return _Whole(name, mask, body, crop.grid, max(known, default=0.0))


def _bone(whole: _Whole, up: Points, canal: Points) -> _Bone | None:
    """The body of `whole`, cut out where it is not labelled, and what lies behind it; None where there is no body."""
    body = whole.body
    if body is None:
        try:
            body = body_of(whole.mask, whole.grid.patient_from_index, up=up)
        except ImplausibleAnatomy:
            return None
    padded, grid = _padded(_largest(body), whole.grid)
    bone = _Bone(whole.name, padded, grid, up, None, whole.boundary_sd, whole.body is None)
    if not bone.volume >= _LEAST:
        return None
    return replace(bone, behind=_behind(whole, body, bone, canal))


def _behind(whole: _Whole, body: NDArray[np.bool_], bone: _Bone, canal: Points) -> Points | None:
    """The middle of the canal beside the body, else of the foramen, else of the arch; None without any.

    The spinous process may deviate, so the arch comes last.
    """
    if len(canal):
        offset = canal - bone.centre
        beside = (np.abs(offset @ bone.up) < _SLAB) & ((offset**2).sum(axis=1) < _NEAR**2)
        if beside.sum() > 50:
            return np.asarray(canal[beside].mean(axis=0))
    rest = np.argwhere(whole.mask & ~body)
    if not len(rest) * whole.grid.voxel_volume > _LEAST:
        return None
    ring = ring_of(whole.mask, whole.grid.patient_from_index, bone.up)
    if ring is not None:
        return ring.foramen
    arch = np.asarray(whole.grid.centres(rest).mean(axis=0))
    return arch if np.linalg.norm(arch - bone.centre) > _ARCH else None


def _padded(mask: NDArray[np.bool_], grid: Grid) -> tuple[NDArray[np.bool_], Grid]:
    """`mask` on the smallest grid that holds it and its margin, which may reach beyond the scan."""
    where = np.argwhere(mask)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    inner = mask[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    padded = np.pad(inner, _MARGIN)
    shift = np.eye(4)
    shift[:3, 3] = low - _MARGIN
    i, j, k = padded.shape
    return padded, Grid((i, j, k), affine(grid.patient_from_index.matrix @ shift))


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of `mask`."""
    parts, n = ndimage.label(mask)
    return mask if n <= 1 else np.asarray(parts == 1 + np.bincount(parts.ravel())[1:].argmax())


def _canal_points(labels: LabelMap, boxes: Mapping[str, Box]) -> Points:
    """Voxel centres of everything in the canal, (n, 3) LPS mm, thinned."""
    box = union_box(boxes, "canal")
    if box is None:
        return np.empty((0, 3))
    crop = labels.crop(box)
    where = np.argwhere(crop.mask("canal"))
    return crop.grid.centres(where[:: max(1, len(where) // 100_000)])


def _ups(wholes: list[_Whole]) -> list[Points]:
    """Roughly cranial at each vertebra: along the chain of the centres."""
    if len(wholes) == 1:
        return [_lone_up(wholes[0])]
    centres = [whole.centre for whole in wholes]
    last = len(wholes) - 1
    ups: list[Points] = []
    for n, whole in enumerate(wholes):
        above = max(n - 1, 0)
        below = n if n == last or (wholes[n + 1].name == "S1" and n > 0 and whole.body is None) else n + 1
        ups.append(unit(centres[above] - centres[below]) if above != below else ups[-1])
    return ups


def _lone_up(whole: _Whole) -> Points:
    """Roughly cranial of the only vertebra: along its foramen, or its body's shortest axis; sense from the scan."""
    ring = ring_of(whole.mask, whole.grid.patient_from_index)
    cloud = whole.grid.centres(np.argwhere(whole.mask if whole.body is None else whole.body))
    cloud = cloud[:: max(1, len(cloud) // 5000)]
    shortest = np.linalg.svd(cloud - cloud.mean(axis=0), full_matrices=False)[2][2]
    up = np.asarray(ring.up if ring is not None else shortest)
    return up if up[2] >= 0 else -up


def _backs(bones: list[_Bone], scan: Grid) -> tuple[list[Points], bool]:
    """Roughly posterior at each vertebra, and whether only the shape of the bodies told it.

    A vertebra with nothing behind it takes the direction of its neighbour.
    """
    known = [(n, bone.behind - bone.centre) for n, bone in enumerate(bones) if bone.behind is not None]
    if not known:
        return _backs_by_shape(bones, scan), True
    return [_nearest(known, n) for n in range(len(bones))], False


def _nearest(known: list[tuple[int, Points]], n: int) -> Points:
    """The direction known at the place nearest to `n`, the upper of two."""
    return min(known, key=lambda one: (abs(one[0] - n), one[0]))[1]


def _backs_by_shape(bones: list[_Bone], scan: Grid) -> list[Points]:
    """Posterior from bodies alone: all are wider than deep, and the lumbar spine bows to the front.

    Bodies that the field of view cuts have no say in what is wide. Where the lumbar chain is straight, the sections
    vote: they tail off to the front, by the third moment.
    """
    sections = [_section(bone) for bone in bones]
    free = [n for n, bone in enumerate(bones) if not _touches(bone, scan)]
    centres = np.array([bone.centre for bone in bones])
    if free:
        spread = np.sum([sections[n].T @ sections[n] / len(sections[n]) for n in free], axis=0)
        left = np.linalg.eigh(spread)[1][:, 2]
    else:
        left = np.linalg.svd(centres - centres.mean(axis=0))[2][2]
    backs = [unit(np.cross(bone.up, left)) for bone in bones]
    lumbar = [n for n, bone in enumerate(bones) if bone.name.startswith(("L", "S"))]
    bow = _bow(centres[lumbar]) @ np.mean(backs, axis=0) if len(lumbar) >= 3 else 0.0
    if abs(bow) < _BOW:
        along = [flat @ back for flat, back in zip(sections, backs, strict=True)]
        bow = sum(float((a**3).mean() / (a**2).mean() ** 1.5) for a in along)
    return [back if bow <= 0 else -back for back in backs]


def _bow(centres: Points) -> Points:
    """From the chord of a chain of `centres` to its middle, (3,) mm."""
    chord = unit(centres[-1] - centres[0])
    off = centres - centres[0]
    off = off - (off @ chord)[:, None] * chord
    return np.asarray(off[1:-1].mean(axis=0))


def _touches(bone: _Bone, scan: Grid) -> bool:
    """Whether a body comes to the edge of the scan."""
    index = scan.index(bone.points)
    return bool((index < 1.5).any() or (index > np.array(scan.shape) - 2.5).any())


def _section(bone: _Bone) -> Points:
    """The body's voxels near its middle height, flattened along `up`, about its centre, (n, 3) mm."""
    cloud = bone.points - bone.centre
    cloud = cloud[np.abs(cloud @ bone.up) < _SLAB]
    return np.asarray(cloud - (cloud @ bone.up)[:, None] * bone.up)


def _settled(body: Solid, cloud: Points, start: Axes, *, has_inferior: bool) -> tuple[Axes, Face | None, Face | None]:
    """Axes turned until `up` is the mean of the endplates' normals, and the faces seen along them."""
    at = start
    superior: Face | None = None
    inferior: Face | None = None
    for _ in range(_TURNS):
        local = (cloud - at.centre) @ at.matrix.T
        reach = np.stack([local.min(axis=0), local.max(axis=0)])
        superior, inferior = faces(body, at, reach, has_inferior=has_inferior)
        normals = [face.normal(at) for face in (superior, inferior) if face is not None and face.seen]
        if not normals:
            break
        up = unit(np.sum(normals, axis=0))
        if float(np.linalg.norm(up - at.up)) < _SETTLED:
            break
        at = axes(at.centre, start.posterior, up)
    return at, superior, inferior


def _vertebra(bone: _Bone, back: Points, labels: LabelMap, above: Vertebra | None) -> Vertebra:
    """The frame of a vertebra with two endplates."""
    body = solid(bone.body, bone.grid, labels)
    at, superior, inferior = _settled(body, bone.points, axes(bone.centre, back, bone.up), has_inferior=True)
    plates = [
        endplate(body, at, face, sense, bone.boundary_sd) if face is not None and face.seen else None
        for face, sense in ((superior, 1), (inferior, -1))
    ]
    whole = plates[0] is not None and plates[1] is not None
    notes = () if whole else (CUT.format(name=bone.name),)
    return Vertebra(bone.name, at.centre, at.left, at.posterior, at.up, plates[0], plates[1], whole, notes)


def _sacral(bone: _Bone, back: Points, labels: LabelMap, above: Vertebra | None) -> Vertebra:
    """The frame of S1, whose body has a superior endplate only, below the endplate of the vertebra above it."""
    up, body, cloud = bone.up, bone.body, bone.points
    if above is not None and above.inferior is not None:
        up = above.inferior.plane.normal
        if bone.behind is None:
            back = above.posterior
        if bone.is_cut_out:
            body = _without_alae(bone, above, above.inferior.width)
            cloud = bone.grid.centres(np.argwhere(body))
    share = solid(body, bone.grid, labels)
    at, superior, _ = _settled(share, cloud, axes(cloud.mean(axis=0), back, up), has_inferior=False)
    plate = endplate(share, at, superior, 1, bone.boundary_sd) if superior is not None and superior.seen else None
    notes = () if plate is not None else (CUT.format(name=bone.name),)
    return Vertebra(bone.name, at.centre, at.left, at.posterior, at.up, plate, None, plate is not None, notes)


def _without_alae(bone: _Bone, above: Vertebra, width: float) -> NDArray[np.bool_]:
    """S1's body no wider than the endplate above it and a rim; the whole where little would be left."""
    index = np.argwhere(bone.body)
    aside = (bone.grid.centres(index) - above.centre) @ above.left
    kept = index[np.abs(aside) <= width / 2 * _S1_WIDER]
    if not len(kept) * bone.grid.voxel_volume >= _LEAST:
        return bone.body
    body = np.zeros_like(bone.body)
    body[tuple(kept.T)] = True
    return body


def _with(found: Vertebra, notes: tuple[str, ...]) -> Vertebra:
    """`found` with more caveats."""
    return replace(found, caveats=(*found.caveats, *(note.format(name=found.name) for note in notes)))
