"""The vertebrae of a label map as they lie in a row: body, axes and foramen of each, and the line of the canal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.parts import Core, Ring, body_of, core_of, ring_of
from keyhole.errors import NotInScan
from keyhole.geometry import Box, Grid, LabelMap, Points, Transform, bounding_box, fit_plane, unit
from keyhole.terms import rank

STATION = 1.0
"""Distance, mm, between neighbouring points of the canal's line [keyhole-choice]."""

COLUMN = 1.5
"""Width, mm, of the columns in which an endplate is looked for: no column of a body is empty [keyhole-choice]."""

SACRAL = 30.0
"""Height, mm, of the first sacral body where only the whole sacrum is labelled [keyhole-choice]."""

SMOOTH = 6.0
"""Sigma, mm, of the smoothing along the canal's line [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """One vertebra: its box in the working crop, masks in that box, axes (3,) and the foramen's middle, LPS mm.

    `foramen` is None where neither the arch nor a canal label shows it; posterior is then a neighbour's.
    """

    name: str
    box: Box
    whole: NDArray[np.bool_]
    body: NDArray[np.bool_]
    patient_from_index: Transform
    centre: Points
    posterior: Points
    up: Points
    foramen: Points | None
    along: Points | None  # direction of the canal through the foramen, cranial

    @property
    def left(self) -> Points:
        """Unit vector to the patient's left."""
        return np.cross(self.posterior, self.up)

    @property
    def axes(self) -> Points:
        """(3, 3) left, posterior, up as rows."""
        return np.stack([self.left, self.posterior, self.up])

    @property
    def grid(self) -> Grid:
        """The voxels of the box."""
        i, j, k = self.whole.shape
        return Grid((i, j, k), self.patient_from_index)

    @property
    def arch(self) -> NDArray[np.bool_]:
        """What is not body."""
        return self.whole & ~self.body

    def local(self, points: Points) -> Points:
        """`points` (n, 3), LPS mm, as left, posterior, up from the body's centre, mm."""
        return np.asarray((points - self.centre) @ self.axes.T)


def bones(labels: LabelMap, behind: Mapping[str, Points] | None = None) -> dict[str, Bone]:
    """Every vertebra of `labels`, cranial to caudal, with its body and axes.

    Parameters
    ----------
    behind : roughly posterior of each vertebra, where neither arch nor canal tells it.

    Up is the mean of the two endplates' normals, posterior runs from the body's centre to the foramen's: neither
    depends on the axes of the scan.
    """
    wholes = _wholes(labels)
    names = sorted(wholes, key=rank)
    cores = {name: core_of(mask, labels.grid.crop(box)) for name, (box, mask) in wholes.items()}
    canal = _canal_points(labels)
    found: dict[str, Bone] = {}
    for name in names:
        box, mask = wholes[name]
        found[name] = _bone(labels, name, box, mask, (_upward(names, cores, name), canal, cores[name]))
    first_sacral = _from_sacrum(labels, found, canal) if "S1" not in found else None
    if first_sacral is not None:
        found["S1"] = first_sacral
    return _with_posterior(found, behind or {})


def _from_sacrum(labels: LabelMap, found: Mapping[str, Bone], canal: Points) -> Bone | None:
    """The first sacral vertebra cut out of a label of the whole sacrum, below the last lumbar vertebra."""
    last = found[list(found)[-1]]
    if last.name not in ("L4", "L5", "L6") or not labels.labels_of("sacrum"):
        return None
    box = bounding_box(labels.mask("sacrum"), 2)
    if box is None or not np.linalg.norm(last.posterior) > 0:
        return None
    grid = labels.grid.crop(box)
    index = np.argwhere(labels.mask("sacrum", box=box))
    away = (grid.centres(index) - last.centre) @ np.stack([np.cross(unit(last.posterior), last.up), last.up], axis=1)
    near = np.linalg.norm(grid.centres(index) - last.centre, axis=1) < 30 + SACRAL
    part = index[near & (np.abs(away[:, 0]) < 28) & (away[:, 1] < 0)]
    if len(part) * grid.voxel_volume < 8000:
        return None
    mask = np.zeros(grid.shape, dtype=np.bool_)
    mask[tuple(part.T)] = True
    core = core_of(mask, grid)
    bone = _bone(labels, "S1", box, mask, (unit(last.centre - core[0]), canal, core))
    return _cut_below(bone)


def _cut_below(bone: Bone) -> Bone:
    """`bone` with its body no higher than `SACRAL`."""
    index = np.argwhere(bone.body)
    height = (bone.grid.centres(index) - bone.centre) @ bone.up
    kept = index[height > float(np.percentile(height, 98)) - SACRAL]
    body = np.zeros_like(bone.body)
    body[tuple(kept.T)] = True
    return replace(bone, body=body, centre=bone.grid.centres(kept).mean(axis=0))


def _wholes(labels: LabelMap) -> dict[str, tuple[Box, NDArray[np.bool_]]]:
    names = {key.split("/")[1] for key in labels.keys if key.startswith("vertebra/")}
    boxes = ndimage.find_objects(labels.array)
    found: dict[str, tuple[Box, NDArray[np.bool_]]] = {}
    for name in names:
        held = [boxes[n - 1] for n in labels.labels_of(f"vertebra/{name}") if n <= len(boxes) and boxes[n - 1]]
        if held:
            box = _union(held, labels.array.shape)
            found[name] = box, labels.mask(f"vertebra/{name}", box=box)
    return found


def _union(boxes: Sequence[Box], shape: tuple[int, ...]) -> Box:
    """The box around `boxes`, two voxels wider."""
    spans = [
        slice(max(0, min(b[a].start for b in boxes) - 2), min(shape[a], max(b[a].stop for b in boxes) + 2))
        for a in range(3)
    ]
    return spans[0], spans[1], spans[2]


def _canal_points(labels: LabelMap) -> Points:
    """Voxel centres of the labelled canal, thinned; (0, 3) where there is none."""
    box = bounding_box(labels.mask("canal"))
    if box is None:
        return np.zeros((0, 3))
    index = np.argwhere(labels.mask("canal", box=box))[::3]
    return labels.grid.crop(box).centres(index)


def _upward(names: Sequence[str], cores: Mapping[str, Core], name: str) -> Points:
    """Roughly cranial at vertebra `name`: along the neighbours' middles."""
    place = names.index(name)
    above, below = names[max(0, place - 1)], names[min(len(names) - 1, place + 1)]
    if above == below:
        return np.array([0.0, 0.0, 1.0])  # a single vertebra: nothing but the scan says where the head is
    return unit(cores[above][0] - cores[below][0])


def _bone(labels: LabelMap, name: str, box: Box, whole: NDArray[np.bool_], known: tuple[Points, Points, Core]) -> Bone:
    """One vertebra from its mask; `known` are the rough cranial direction, the canal's voxels, the bone's core."""
    upward, canal, core = known
    at = labels.grid.crop(box).patient_from_index
    grid = labels.grid.crop(box)
    body = labels.mask(f"vertebra/{name}/body", box=box)
    ring = ring_of(whole, at, upward, core=core)
    if not body.any():
        body = body_of(whole, at, canal=_line_of(ring), up=upward, core=core)
    centre = grid.centres(np.argwhere(body)).mean(axis=0)
    aside = grid.centres(np.argwhere(whole)).mean(axis=0) - centre  # the arch: behind, wherever the scan has that
    if not np.linalg.norm(np.cross(aside, upward)) > 1:
        aside = np.roll(upward, 1)
    up = _body_up(grid.centres(np.argwhere(body)), centre, upward, aside, name)
    foramen, along = _foramen(ring, canal, centre, upward)
    back = np.zeros(3) if foramen is None else foramen - centre
    back = back - (back @ up) * up
    return Bone(name, box, whole, body, at, centre, back, up, foramen, along)


def _line_of(ring: Ring | None) -> Points | None:
    return None if ring is None else ring.foramen + np.linspace(-10, 10, 5)[:, None] * ring.up


def _foramen(ring: Ring | None, canal: Points, centre: Points, upward: Points) -> tuple[Points | None, Points | None]:
    """Middle of the canal at the height of `centre`, from the bone's own ring or else from the canal's label."""
    if ring is not None:
        height = (ring.foramen - centre) @ ring.up
        along = ring.up if ring.up @ upward > 0 else -ring.up
        return ring.foramen - height * ring.up, along
    near = canal[np.abs((canal - centre) @ upward) < 6.0]
    return (near.mean(axis=0), None) if len(near) > 10 else (None, None)


def _body_up(points: Points, centre: Points, rough: Points, aside: Points, name: str) -> Points:
    """Mean normal of the two endplates (S1: of the superior one), fitted three times; `aside` is not along it."""
    up = rough
    for _ in range(3):
        tops = [_plate(points - centre, sense * up, aside) for sense in ((1,) if name == "S1" else (1, -1))]
        up = unit(np.sum([n if n @ up > 0 else -n for n in tops], axis=0))
    return up


def _plate(away: Points, outward: Points, aside: Points) -> Points:
    """Normal of the plane through the outermost points along `outward`, over the inner 80 % of the footprint."""
    first = unit(np.cross(outward, aside))
    frame = np.stack([first, np.cross(outward, first), outward])
    local = away @ frame.T
    cell = np.rint(local[:, :2] / COLUMN).astype(np.int64)
    low = cell.min(axis=0)
    span = cell.max(axis=0) - low + 1
    top = np.full(span[0] * span[1], -np.inf)
    np.maximum.at(top, (cell - low) @ np.array([span[1], 1]), local[:, 2])
    held = np.flatnonzero(top > 0)
    cells = np.stack([held // span[1], held % span[1]], axis=1).astype(np.float64)
    middle = cells.mean(axis=0)
    spread = np.sqrt(((cells - middle) ** 2).mean(axis=0)) * 2  # half axes of an ellipse from its second moments
    inner = (((cells - middle) / spread) ** 2).sum(axis=1) <= 0.64
    surface = np.column_stack([(cells[inner] + low) * COLUMN, top[held[inner]]])
    kept = surface
    for _ in range(3):
        plane = fit_plane(kept, np.array([0.0, 0.0, 1.0]))
        off = np.abs(plane.height(surface))
        kept = surface[off <= max(1.5, 2.5 * float(np.median(off)))]
    return np.asarray(plane.normal @ frame)


def _with_posterior(found: Mapping[str, Bone], behind: Mapping[str, Points]) -> dict[str, Bone]:
    """Bones whose posterior is a unit vector orthogonal to up: their own, or the nearest neighbour's."""
    names = list(found)
    known = [name for name in names if found[name].foramen is not None]
    if not known and behind:
        known = [name for name in names if name in behind]
        found = {name: replace(bone, posterior=behind.get(name, bone.posterior)) for name, bone in found.items()}
    if not known:
        raise NotInScan("no vertebra has an arch and no canal is labelled: front and back cannot be told apart")
    done: dict[str, Bone] = {}
    for place, name in enumerate(names):
        bone = found[name]
        source = _nearest(known, names, place)
        back = found[source].posterior
        done[name] = replace(bone, posterior=unit(back - (back @ bone.up) * bone.up))
    return done


def _nearest(known: Sequence[str], names: Sequence[str], place: int) -> str:
    """The one of `known` that stands nearest to `place` in `names`."""
    return min(known, key=lambda name: abs(names.index(name) - place))


def canal_line(found: Mapping[str, Bone], canal: Points) -> Points:
    """Points (n, 3) along the middle of the canal, cranial to caudal, `STATION` mm apart, LPS mm.

    Where the canal is labelled (`canal`, its voxel centres) the line runs through the middles of its slices, else
    through the vertebrae's foramina, and it ends with the bodies in view. Smoothed with sigma `SMOOTH`.
    """
    row = list(found.values())
    spine = _extended(np.array([b.centre if b.foramen is None else b.foramen for b in row]), row)
    anchors = _anchors(row)
    place = _along(spine, anchors)
    if len(canal):
        at = _along(spine, canal)
        slices = np.round(at / 3.0).astype(np.int64)
        count = np.bincount(slices - slices.min())
        sums = np.stack([np.bincount(slices - slices.min(), canal[:, a]) for a in range(3)], axis=1)
        full = count > 0.3 * np.median(count[count > 0])
        middles = sums[full] / count[full, None]
        mid_at = _along(spine, middles)
        apart = (place < mid_at.min() - 6) | (place > mid_at.max() + 6)
        anchors, place = np.concatenate([anchors[apart], middles]), np.concatenate([place[apart], mid_at])
    order = np.argsort(place)
    return smooth_line(anchors[order], place[order])


def _anchors(row: Sequence[Bone]) -> Points:
    """Points along the canal through every foramen, from the top of the first body to the foot of the last."""
    points = []
    for n, bone in enumerate(row):
        if bone.foramen is None:
            continue
        along = bone.up if bone.along is None else bone.along
        reach = (-12.0, 0.0, 12.0) if n in {0, len(row) - 1} else (-6.0, 0.0, 6.0)
        points += [bone.foramen + step * along for step in reach[::-1]]
    return np.array(points)


def _extended(nodes: Points, row: Sequence[Bone]) -> Points:
    """`nodes` with one more, 30 mm beyond each end."""
    first, last = (b.up if b.along is None else b.along for b in (row[0], row[-1]))
    return np.concatenate([[nodes[0] + 30 * first], nodes, [nodes[-1] - 30 * last]])


def _along(polyline: Points, points: Points) -> Points:
    """Arc length, mm, of the foot of each of `points` (n, 3) on `polyline`."""
    best = np.full(len(points), np.inf)
    at = np.zeros(len(points))
    start = 0.0
    for a, b in itertools.pairwise(polyline):
        length = float(np.linalg.norm(b - a))
        share = np.clip((points - a) @ (b - a) / length**2, 0, 1)
        off = np.linalg.norm(points - a - share[:, None] * (b - a), axis=1)
        at = np.where(off < best, start + share * length, at)
        best = np.minimum(best, off)
        start += length
    return at


def smooth_line(points: Points, place: Points, sigma: float = SMOOTH) -> Points:
    """The curve through `points` (n, 3) at arc lengths `place`, by local straight lines, sampled every `STATION` mm."""
    at = np.arange(place.min(), place.max() + STATION / 2, STATION)
    gap = float(np.max(np.diff(np.unique(place)), initial=1.0))
    offset = place[None] - at[:, None]
    weight = np.exp(-0.5 * (offset / max(sigma, gap / 2)) ** 2)
    s0, s1, s2 = weight.sum(1), (weight * offset).sum(1), (weight * offset**2).sum(1)
    lean = weight * (s2[:, None] - s1[:, None] * offset)
    curve = np.asarray(lean @ points / (s0 * s2 - s1**2)[:, None])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    even = np.arange(0.0, length[-1] + 1e-9, STATION)
    return np.stack([np.interp(even, length, curve[:, a]) for a in range(3)], axis=1)
