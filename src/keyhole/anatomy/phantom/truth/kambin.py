"""The exact Kambin's triangles of a phantom, and the widest cannulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.canal import root_path
from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.flank import ARCH, FRONT, SAC, Flank, Probe, bisected
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.casefile import FindingEntry
from keyhole.geometry import Points

Cover = Callable[[Points, Points], NDArray[np.bool_]]

RISE = 15.0  # mm of height over the caudal endplate over which the root's edge is fitted
BEFORE, INSIDE = 16.0, 12.0  # mm outside and inside the disc's surface where things stand in the way
REACH = 8.0  # mm medial of the window's limit
PIXEL, DEEP = 1.0, 2.0  # mm between the pixels whose borders are bisected, and along the view
CENTRES = (0.4, 0.05)  # mm between candidate centres, first and about the best


def kambin_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Sides of Kambin's triangle and the widest cannulas on both sides of every level."""
    for level in plates.levels:
        probe = Probe(body, level, with_sac=True)
        for side in ("left", "right"):
            at = Flank(plates, level, "left" if side == "left" else "right", probe)
            base, height = triangle(at, body)
            yield true("Kambin base", level, base, "mm", at.side)
            yield true("Kambin height", level, height, "mm", at.side)
            yield true("Kambin hypotenuse", level, float(np.hypot(base, height)), "mm", at.side)
            window = seen(at, body)
            yield true("Kambin cannula with root", level, widest(window, with_root=True), "mm", at.side)
            yield true("Kambin cannula with bone", level, widest(window, with_root=False), "mm", at.side)


def _tube(at: Flank, body: Phantom, name: str) -> tuple[Points, Points]:
    """Course (n, 3) of the root of `name` in the flank's axes, 0.3 mm apart, and its radii."""
    points, radii = root_path(body.size, body.spine, body.change, name, at.side)
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    fine = np.arange(0.0, steps[-1], 0.3)
    line = np.stack([np.interp(fine, steps, points[:, a]) for a in range(3)], axis=1)
    return at.local(line), np.interp(fine, steps, radii)


def triangle(at: Flank, body: Phantom) -> tuple[float, float]:
    """Base and height of the triangle of dura, exiting root and caudal endplate, seen from behind, mm."""
    above, below = at.plates.facing(at.level)
    floor, roof = (at.height(plate.plane, 14.0, at.wall) for plate in (below, above))
    dura = _dura(at, np.arange(floor, max(roof, floor + 2.0), 2.0))
    line, radii = _tube(at, body, at.level.split("/")[0])
    rows = np.arange(floor, floor + RISE + 0.25, 0.5)
    reach = np.sqrt(np.maximum(radii**2 - (rows[:, None] - line[:, 2]) ** 2, 0.0))
    is_there = np.abs(rows[:, None] - line[:, 2]) < radii
    near = is_there & (line[:, 1] > at.wall - 22.0) & (line[:, 1] < at.wall + 26.0)
    edge = np.where(near, line[:, 0] - reach, np.inf).min(axis=1)
    held = np.isfinite(edge) & (edge > dura)
    lean, foot = np.polyfit(rows[held] - floor, edge[held], 1)
    return float(foot - dura), float((foot - dura) / -lean)


def _dura(at: Flank, rows: Points) -> float:
    """Mean over `rows` of how far lateral the sac or the traversing root reaches, mm."""
    x, y = np.arange(4.0, 18.0), np.arange(at.wall, at.wall + 22.0)
    local = np.stack(np.meshgrid(rows, y, x, indexing="ij"), axis=-1)[..., ::-1]
    is_sac = at.kind(local) == SAC
    held = is_sac.any(axis=2)
    last = x[len(x) - 1 - is_sac[..., ::-1].argmax(axis=2)][held]
    height, back = local[held][:, 0, 2], local[held][:, 0, 1]
    edge = bisected(last, last + 1.0, lambda t: at.kind(np.stack([t, back, height], axis=-1)) == SAC)
    reach = np.full(held.shape, -np.inf)
    reach[held] = edge
    return float(reach.max(axis=1).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The window along the view: bone's edge (n, 2), the pixels' grid with bone, roots as discs (n, 3), its limits."""

    edge: Points
    bone: NDArray[np.bool_]
    origin: Points
    discs: Points
    limit: float
    floor: float
    roof: float


def _oblique(across: Points, depth: Points, up: Points) -> Points:
    """Points (..., 3) in the flank's axes of places seen 45 degrees to the sagittal plane."""
    across, depth, up = np.broadcast_arrays(across, depth, up)
    return np.stack([(across + depth) / np.sqrt(2), (depth - across) / np.sqrt(2), up], axis=-1)


def seen(at: Flank, body: Phantom) -> Seen:
    """What is seen of the way to the disc."""
    spans = [at.span(name) for name in at.level.split("/")]
    lateral = (max(span.inner for span in spans) + min(span.outer for span in spans)) / 2
    back = _surface(at, lateral)
    limit, depth = (lateral - back) / np.sqrt(2), (lateral + back) / np.sqrt(2)
    above, below = at.plates.facing(at.level)
    floor, roof = (at.height(plate.plane, lateral, back) for plate in (below, above))
    h, z = np.arange(limit - REACH - 1.0, limit + 8.0, PIXEL), np.arange(floor - 2.0, roof + 9.0, PIXEL)
    deep = np.arange(depth - 1.0, depth + BEFORE + DEEP / 2, DEEP)

    def is_bone(across: Points, up: Points) -> NDArray[np.bool_]:
        return np.asarray(np.isin(at.kind(_oblique(across[..., None], deep, up[..., None])), ARCH).any(axis=-1))

    bone = is_bone(*np.meshgrid(h, z, indexing="ij"))
    bone = _without_holes(bone, (limit - h[0], (floor + roof) / 2 - z[0]))
    discs = [_discs(at, body, name, (depth - INSIDE, depth + BEFORE)) for name in at.level.split("/")]
    edge = np.concatenate([_borders(bone, (h, z), axis, is_bone) for axis in (0, 1)])
    return Seen(edge, bone, np.array([h[0], z[0]]), np.concatenate(discs), limit, floor, max(roof, floor + 0.5))


def _surface(at: Flank, lateral: float) -> float:
    """Where the disc ends behind at half its height, mm along back."""
    along = np.arange(at.wall - 22.0, at.wall + 12.0, 1.0)
    rows = np.array([-1.0, 0.0, 1.0])
    local = np.stack(np.broadcast_arrays(lateral, along, rows[:, None]), axis=-1)
    is_front = np.isin(at.kind(local), FRONT)
    last = along[len(along) - 1 - is_front[:, ::-1].argmax(axis=1)]

    def holds(y: Points) -> NDArray[np.bool_]:
        return np.isin(at.kind(np.stack(np.broadcast_arrays(lateral, y, rows), axis=-1)), FRONT)

    return float(np.median(bisected(last, last + 1.0, holds)))


def _without_holes(bone: NDArray[np.bool_], middle: tuple[float, float]) -> NDArray[np.bool_]:
    """`bone` with every gap filled that does not belong to the one at `middle`, mm from the first pixel."""
    from scipy.ndimage import label as parts_of  # noqa: PLC0415  (heavy import)

    parts, _ = parts_of(~bone)
    free = np.argwhere(~bone)
    nearest = free[np.linalg.norm(free * PIXEL - np.array(middle), axis=1).argmin()]
    return np.asarray(parts != parts[tuple(nearest)])


def _borders(bone: NDArray[np.bool_], pixels: tuple[Points, Points], axis: int, is_bone: Cover) -> Points:
    """Where bone ends between neighbouring pixels along `axis`, (n, 2)."""
    ahead = np.roll(bone, -1, axis=axis)
    differs = (bone != ahead) & (np.arange(bone.shape[axis]) < bone.shape[axis] - 1).reshape((-1, 1)[:: 1 - 2 * axis])
    index = np.argwhere(differs)
    here = np.column_stack([pixels[0][index[:, 0]], pixels[1][index[:, 1]]])
    there = here + PIXEL * np.eye(2)[axis]
    first = bone[tuple(index.T)][:, None]
    inner, outer = np.where(first, here, there), np.where(first, there, here)
    share = bisected(
        np.zeros(len(index)), np.ones(len(index)), lambda t: is_bone(*(inner + t[:, None] * (outer - inner)).T)
    )
    return np.asarray(inner + share[:, None] * (outer - inner))


def _discs(at: Flank, body: Phantom, name: str, depths: tuple[float, float]) -> Points:
    """The root of `name` along the view: across, up and radius of each step of its course, (n, 3)."""
    line, radii = _tube(at, body, name)
    depth = (line[:, 0] + line[:, 1]) / np.sqrt(2)
    held = (depth >= depths[0]) & (depth <= depths[1])
    across = (line[:, 0] - line[:, 1]) / np.sqrt(2)
    return np.asarray(np.column_stack([across, line[:, 2], radii])[held])


def widest(window: Seen, *, with_root: bool) -> float:
    """Diameter of the widest cannula, mm."""
    across, up = (window.limit - REACH, window.limit), (window.floor, window.roof)
    best = 0.0
    for step in CENTRES:
        h, z = (np.linspace(a, b, max(2, int(np.ceil((b - a) / step)) + 1)) for a, b in (across, up))
        centres = np.stack(np.meshgrid(h, z, indexing="ij"), axis=-1).reshape(-1, 2)
        radius = np.minimum(_gap(window, centres), centres[:, 1] - window.floor)
        if with_root:
            away = np.linalg.norm(centres[:, None] - window.discs[:, :2], axis=-1) - window.discs[:, 2]
            radius = np.minimum(radius, away.min(axis=1))
        n = int(radius.argmax())
        best, (x, y) = float(radius[n]), centres[n]
        across = (max(across[0], x - step), min(across[1], x + step))
        up = (max(up[0], y - step), min(up[1], y + step))
    return 2 * max(best, 0.0)


def _gap(window: Seen, centres: Points) -> Points:
    """Distance of each centre from bone, mm, negative inside."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    away = cKDTree(window.edge).query(centres)[0]
    index = np.rint((centres - window.origin) / PIXEL).astype(np.int64)
    inside = window.bone[tuple(np.clip(index, 0, np.array(window.bone.shape) - 1).T)]
    return np.asarray(np.where(inside & (away > PIXEL / 2), -away, away))
