"""The endplates of one vertebral body: planes and corners, below the size of a voxel.

A voxel mask is smoothed a little and its surface taken where half of the neighbourhood is inside; rays along the
body's own axes meet that surface between voxels. Definitions: docs/measures.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.model import Endplate
from keyhole.geometry import Grid, LabelMap, Plane, Points, unit
from keyhole.geometry._kernels import compiled

FOOTPRINT = 0.8
"""Share of the footprint, scaled about its centroid, over which the plane is fitted [keyhole]."""

SLAB = 5.0
"""Half width, mm, of the midsagittal and coronal slabs in which corners are looked for [keyhole]."""

INSIDE = (2.0, 6.0)
"""Heights inside the endplate plane, mm, over which a corner's extent is averaged [keyhole]."""

CORRELATION = 10.0
"""Distance, mm, over which a label's boundary error stays alike: exp(-d²/2c²) [keyhole-choice]."""

SMOOTHING = 0.7
"""Sd of the Gaussian that anti-aliases a mask, voxels: a sphere of 20 mm radius shrinks by 0.03 mm [keyhole-choice]."""

SEEN = 1.5
"""An endplate counts as seen where the scan goes on this far beyond it, mm [keyhole-choice]."""

WIDE = 1.15
"""A face cut at its sides is still measured while its width is at least this times its depth [keyhole-choice]."""

LEAST = (0.03, 0.16)
"""Least sd of a plane's height, voxels, and sagittal angle, deg per mm of voxel; from simulation [keyhole-choice]."""

SMOOTHED = (0.14, 0.5)
"""The same for labels that were smoothed onto another grid: voxels and deg per mm of the step across the plane, at
least 1 mm; from 270 plates of exact labels on slices of 1 to 4 mm [keyhole-choice]."""

CORNER = 0.12
"""Sd of a corner's place along the endplate, voxels, on voxelised bodies; from simulation [keyhole-choice]."""

_STEP = 0.5  # mm along a ray; the crossing is interpolated between steps
_COLUMN = 1.0  # mm between rays
_CUT = 3.0  # mm inside the plane, where the footprint is taken
_GROSS = 3.0  # mm off the plane: no endplate is so uneven, so it is another bone or a hole in the label


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """An anti-aliased mask on its crop `grid`, the grid of the whole scan, and the voxels it was `drawn` on."""

    share: NDArray[np.float32]
    grid: Grid
    scan: Grid
    drawn: Grid

    def at(self, points: Points) -> NDArray[np.float32]:
        """Share of the neighbourhood of each of `points`, shape (..., 3) LPS mm, that is inside; 0 beyond the crop."""
        index = np.moveaxis(self.grid.index(points), -1, 0)
        found: NDArray[np.float32] = ndimage.map_coordinates(self.share, index, order=1, mode="constant", cval=0.0)
        return found

    def on(self, at: Axes, low: Points, steps: Points, counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """The same on a whole lattice of `at`: from `low` (3,) in `steps` (3,) mm, `counts` (3,) points."""
        inverse = self.grid.patient_from_index.inverse.matrix[:3, :3]
        found = np.zeros(counts, dtype=np.float32)
        _on_lattice(self.share, inverse @ at.matrix.T * steps, self.grid.index(at.points(low)), found)
        return found


@compiled()
def _on_lattice(share: Any, steps: Any, start: Any, found: Any) -> None:
    """Trilinear `share` at index ``steps @ (a, b, c) + start`` into `found`; what lies beyond the crop stays 0.

    Rounded as scipy's affine_transform rounds, at a third of its time.
    """
    low = np.zeros(3, dtype=np.int64)
    part = np.zeros((3, 2), dtype=np.float64)
    for a in range(found.shape[0]):
        for b in range(found.shape[1]):
            for c in range(found.shape[2]):
                inside = True
                for axis in range(3):
                    at = a * steps[axis, 0] + b * steps[axis, 1] + c * steps[axis, 2] + start[axis]
                    inside = inside and 0 <= at <= share.shape[axis] - 1
                    low[axis] = min(int(max(at, 0.0)), share.shape[axis] - 2)
                    part[axis, 1] = at - low[axis]
                    part[axis, 0] = 1.0 - part[axis, 1]
                if not inside:
                    continue
                total = 0.0
                for i in range(2):
                    for j in range(2):
                        for k in range(2):
                            value = share[low[0] + i, low[1] + j, low[2] + k]
                            total += value * part[0, i] * part[1, j] * part[2, k]
                found[a, b, c] = total


def solid(mask: NDArray[np.bool_], grid: Grid, labels: LabelMap) -> Solid:
    """The anti-aliased `mask` out of `labels`, which should have two empty voxels around it inside its `grid`."""
    share = ndimage.gaussian_filter(mask.astype(np.float32), SMOOTHING, mode="nearest", truncate=3.0)
    return Solid(share, grid, labels.grid, labels.drawn_grid)


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Orthonormal directions `left`, `posterior`, `up` at `centre`, LPS mm: a frame on its way to convergence."""

    centre: Points
    posterior: Points
    up: Points

    @property
    def left(self) -> Points:
        """Unit vector to the patient's left."""
        return np.cross(self.posterior, self.up)

    @property
    def matrix(self) -> Points:
        """(3, 3), rows left, posterior, up."""
        return np.stack([self.left, self.posterior, self.up])

    def points(self, local: Points) -> Points:
        """LPS mm of `local` coordinates (left, posterior, up), shape (..., 3)."""
        return np.asarray(self.centre + local @ self.matrix)


def axes(centre: Points, posterior: Points, up: Points) -> Axes:
    """Axes with exactly this `up`; `posterior` is made orthogonal to it."""
    upward = unit(up)
    return Axes(np.asarray(centre), unit(posterior - (posterior @ upward) * upward), upward)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One endplate's plane in its body's axes: height = level + slope·(left, posterior), and its footprint.

    `columns` (n, 2) are the footprint's columns, `seen` is False where the field of view cuts it.
    """

    level: float
    slope: Points
    columns: Points
    inner: Points
    seen: bool

    def height(self, flat: Points) -> Points:
        """Height of the plane over columns `flat`, shape (..., 2)."""
        return np.asarray(self.level + flat @ self.slope)

    def normal(self, at: Axes) -> Points:
        """Unit normal, cranial, LPS."""
        return unit(np.array([-self.slope[0], -self.slope[1], 1.0]) @ at.matrix)

    def plane(self, at: Axes) -> Plane:
        """The plane through the middle of the footprint."""
        middle = self.columns.mean(axis=0)
        return Plane(at.points(np.array([*middle, self.height(middle)])), self.normal(at))


def faces(body: Solid, at: Axes, reach: Points, *, has_inferior: bool = True) -> tuple[Face | None, Face | None]:
    """Superior and inferior face of `body`, seen along the axes `at`; None where no plane can be laid.

    Parameters
    ----------
    reach : (2, 3) least and largest coordinates of the body in `at`, mm.
    has_inferior : False where there is none to be looked for.
    """
    steps = np.array([_COLUMN, _COLUMN, _STEP])
    low = np.floor(reach[0] / steps) * steps - 3 * steps
    counts = np.ceil((reach[1] - low) / steps).astype(np.int64) + 4
    ticks = [low[a] + steps[a] * np.arange(counts[a]) for a in range(3)]
    share = body.on(at, low, steps, counts)
    superior = _face(share, ticks, body, at, sense=1)
    return superior, _face(share, ticks, body, at, sense=-1) if has_inferior else None


def _face(share: NDArray[np.float32], ticks: list[Points], body: Solid, at: Axes, *, sense: int) -> Face | None:
    """The face on the `sense` (1 cranial, -1 caudal) end of the sampled body."""
    rays, z = (share, ticks[2]) if sense > 0 else (share[:, :, ::-1], -ticks[2][::-1])
    surface = _crossing(rays, z)
    known = np.isfinite(surface)
    if known.sum() < 50:
        return None
    flat = np.stack(np.meshgrid(ticks[0], ticks[1], indexing="ij"), axis=-1)
    plane = np.array([np.quantile(surface[known], 0.7), 0.0, 0.0])
    for _ in range(5):
        foot = _footprint(rays, z, plane[0] + flat @ plane[1:] - _CUT)
        inner = _scaled(foot) & known
        if inner.sum() < 30:
            return None
        before, plane = plane, _plane(flat[inner], surface[inner], plane)
        if np.array_equal(plane, before):
            break  # another turn would find the same
    top = np.concatenate([flat[foot], (plane[0] + flat[foot] @ plane[1:])[:, None] * sense], axis=1)
    return Face(sense * plane[0], sense * plane[1:], flat[foot], flat[inner], _is_seen(top, sense, body.scan, at))


def _crossing(share: NDArray[np.float32], z: Points) -> Points:
    """Height of the last crossing of one half along each ray; nan where the ray meets nothing."""
    inside = share >= 0.5
    last = share.shape[2] - 1 - inside[:, :, ::-1].argmax(axis=2)
    last = np.minimum(last, share.shape[2] - 2)
    here = np.take_along_axis(share, last[..., None], 2)[..., 0].astype(np.float64)
    beyond = np.take_along_axis(share, last[..., None] + 1, 2)[..., 0].astype(np.float64)
    step = float(z[1] - z[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip((here - 0.5) / (here - beyond), 0.0, 1.0)
    return np.where(inside.any(axis=2), z[last] + step * part, np.nan)


def _footprint(share: NDArray[np.float32], z: Points, heights: Points) -> NDArray[np.bool_]:
    """Columns that are inside at `heights`: the largest patch, holes filled."""
    place = np.clip(np.rint((heights - z[0]) / (z[1] - z[0])).astype(np.int64), 0, len(z) - 1)
    inside = np.take_along_axis(share, place[..., None], 2)[..., 0] >= 0.5
    patches, n = ndimage.label(inside)
    if n > 1:
        inside = patches == 1 + np.bincount(patches.ravel())[1:].argmax()
    return np.asarray(ndimage.binary_fill_holes(inside))


def _scaled(foot: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`foot` scaled by `FOOTPRINT` about its centroid."""
    where = np.argwhere(foot)
    if len(where) == 0:
        return foot
    middle = where.mean(axis=0)
    index = np.moveaxis(np.indices(foot.shape), 0, -1)
    origin = np.rint(middle + (index - middle) / FOOTPRINT).astype(np.int64)
    held = ((origin >= 0) & (origin < np.array(foot.shape))).all(axis=-1)
    origin = np.clip(origin, 0, np.array(foot.shape) - 1)
    return np.asarray(held & foot[origin[..., 0], origin[..., 1]])


def _plane(flat: Points, heights: Points, start: Points) -> Points:
    """Least-squares (level, slopes) of `heights` over `flat`, without what lies grossly off."""
    design = np.concatenate([np.ones((len(flat), 1)), flat], axis=1)
    plane = start
    for turn in range(3):
        off = np.abs(heights - design @ plane)
        limit = max(_GROSS, 3.0 * float(np.median(off))) if turn else max(2 * _GROSS, float(np.quantile(off, 0.8)))
        keep = off <= limit
        plane = np.linalg.lstsq(design[keep], heights[keep], rcond=None)[0]
    return plane


def _is_seen(top: Points, sense: int, scan: Grid, at: Axes) -> bool:
    """Whether the scan goes on beyond the face `top` (n, 3), in front of it and behind it.

    Sagittal series often cut a little off the sides, which leaves the midsagittal measures as they are: that is
    allowed while the face stays wider than deep by `WIDE`.
    """
    above = top + np.array([0.0, 0.0, sense * SEEN])
    aside = np.array([SEEN, 0.0, 0.0])
    inner = scan.contains(at.points(top + aside)) & scan.contains(at.points(top - aside))
    if not inner.any() or not scan.contains(at.points(above[inner])).all():
        return False  # beyond the sides it is not asked: a face that leans leaves the scan there before it does above
    size = np.ptp(top[:, :2], axis=0) + _COLUMN
    middle = np.abs(top[:, 0] - np.median(top[:, 0])) <= SLAB
    seen = True
    for rim, step in ((top[middle], [0.0, SEEN, 0.0]), (top, [SEEN, 0.0, 0.0])):
        inside = scan.contains(at.points(rim + step)) & scan.contains(at.points(rim - step))
        is_side = step[0] > 0
        seen &= bool(inside.all()) or (is_side and bool(size[0] >= WIDE * size[1]))
    return seen


def corners(body: Solid, at: Axes, face: Face, sense: int) -> tuple[Points, Points, Points, Points]:
    """Anterior, posterior, left and right corner (3,) of a face, on its plane.

    Parameters
    ----------
    sense : 1 for a superior face, -1 for an inferior one: the body lies on its other side.
    """
    normal = face.normal(at)
    middle = face.plane(at).foot(at.points(np.array([0.0, *face.columns.mean(axis=0)[1:], 0.0])))
    back = unit(at.posterior - (at.posterior @ normal) * normal)
    left = np.cross(back, normal)
    columns_middle = face.plane(at).point
    inward = -sense * normal
    anterior, posterior = (_extent(body, middle, way, left, inward) for way in (-back, back))
    to_left, to_right = (_extent(body, columns_middle, way, back, inward) for way in (left, -left))
    return (
        middle - anterior * back,
        middle + posterior * back,
        columns_middle + to_left * left,
        columns_middle - to_right * left,
    )


def _extent(body: Solid, start: Points, way: Points, across: Points, inward: Points) -> float:
    """How far the body goes from `start` along `way`: furthest over the slab `across`, mean over heights `inward`."""
    slab = np.arange(-SLAB, SLAB + 0.1, _COLUMN)
    depth = np.arange(INSIDE[0], INSIDE[1] + 0.1, _STEP)
    run = np.arange(0.0, 45.0, _STEP)
    rays = (
        start
        + depth[:, None, None, None] * inward
        + slab[None, :, None, None] * across
        + run[None, None, :, None] * way
    )
    share = body.at(rays)
    outside = share < 0.5
    first = np.maximum(outside.argmax(axis=2), 1)
    here = np.take_along_axis(share, first[..., None] - 1, 2)[..., 0].astype(np.float64)
    beyond = np.take_along_axis(share, first[..., None], 2)[..., 0].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip((here - 0.5) / (here - beyond), 0.0, 1.0)
    reach = np.where(outside.any(axis=2) & ~outside[:, :, 0], run[first - 1] + _STEP * part, np.nan)
    furthest = np.array([row[np.isfinite(row)].max() for row in reach if np.isfinite(row).any()])
    return float(furthest.mean()) if len(furthest) else float("nan")


def endplate(body: Solid, at: Axes, face: Face, sense: int, boundary_sd: float) -> Endplate | None:
    """The endplate of `face` with its corners and sd; None where a corner cannot be found."""
    found = corners(body, at, face, sense)
    if not np.isfinite(np.stack(found)).all():
        return None
    sd, tilt_sd = uncertainty(body, at, face, boundary_sd)
    return Endplate(face.plane(at), *found, sd=sd, tilt_sd=tilt_sd)


def corner_sd(grid: Grid, boundary_sd: float) -> float:
    """Sd of a corner along its endplate, mm: `CORNER` of a voxel, and a label's boundary error in full.

    `grid` has the voxels on which the outlines were drawn.
    """
    return float(np.hypot(CORNER * grid.spacing.max(), boundary_sd))


def uncertainty(body: Solid, at: Axes, face: Face, boundary_sd: float) -> tuple[float, float]:
    """Sd of a plane's height, mm, and of its sagittal angle, degrees.

    Voxels: along the scan axis that is nearest to the normal, the surface is rounded to a voxel; the rounding errors
    of all columns are added up exactly as the plane crosses the grid, so a plane parallel to the slices keeps
    the full voxel / sqrt(12) and an oblique one averages it out. Labels: a boundary error of sd `boundary_sd` that
    stays alike over `CORRELATION` mm.
    """
    inner = face.inner
    lever = inner[:, 1] - inner[:, 1].mean()
    weights = np.stack([np.full(len(inner), 1 / len(inner)), lever / (lever @ lever)])
    rounding = _rounding(body.drawn, at, face, weights)
    some = slice(None, None, max(1, len(inner) // 150))
    thin = inner[some]
    squared = ((thin[:, None] - thin[None]) ** 2).sum(axis=-1)
    alike = np.exp(-squared / (2 * CORRELATION**2))
    few = thin[:, 1] - thin[:, 1].mean()
    thin_weights = np.stack([np.full(len(thin), 1 / len(thin)), few / (few @ few)])
    label = boundary_sd**2 * np.einsum("wi,ij,wj->w", thin_weights, alike, thin_weights)
    sd, tilt = np.sqrt(rounding + label + _least(body, face.normal(at)) ** 2)
    return float(sd), float(np.degrees(tilt))


def _least(body: Solid, normal: Points) -> Points:
    """Least sd of a plane's height, mm, and angle, rad: what voxels leave of a plane, and what smoothing adds."""
    if np.allclose(body.drawn.spacing, body.grid.spacing, rtol=1e-3):
        voxel = float(body.grid.spacing.max())
        return np.array([LEAST[0] * voxel, np.radians(LEAST[1]) * voxel])
    step = max(1.0, float(np.abs(body.drawn.patient_from_index.matrix[:3, :3].T @ normal).max()))
    return np.array([SMOOTHED[0] * step, np.radians(SMOOTHED[1]) * step])


def _rounding(grid: Grid, at: Axes, face: Face, weights: Points) -> Points:
    """Variance of the weighted means `weights` (m, n) of the voxel rounding errors over the inner columns.

    The rounding error of a plane's height is a sawtooth of where it crosses the voxel; its Fourier terms
    k = 1, 2, .. have variance 1 / (2 pi² k²), and columns share a phase as far as the plane is parallel to the grid.
    """
    normal = face.normal(at)
    per_index = grid.patient_from_index.matrix[:3, :3].T @ normal  # height per voxel along i, j, k
    axis = int(np.abs(per_index).argmax())
    local = np.concatenate([face.inner, face.height(face.inner)[:, None]], axis=1)
    index = grid.index(at.points(local))
    others = [a for a in range(3) if a != axis]
    phase = np.rint(index[:, others]) @ (per_index[others] / per_index[axis])
    terms = np.arange(1, 7)
    waves = np.exp(2j * np.pi * terms[:, None] * phase)
    power = np.abs(waves @ weights.T) ** 2
    variance = per_index[axis] ** 2 * (power / (2 * np.pi**2 * terms[:, None] ** 2)).sum(axis=0)
    return np.asarray(variance, dtype=np.float64)
