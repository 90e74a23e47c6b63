"""Exiting and traversing nerve roots, modelled: nobody's segmenter gives them.

A root leaves the side of the canal one disc above its pedicle, runs down in the lateral recess, turns round the
pedicle's lower inner corner and leaves through the foramen at the published angle to the disc. That guide is a broken
line of the vertebra's own axes; the root itself is the cheapest path near it, inside canal and foramen, that keeps off
the bone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.anatomy.arches import Pedicle
from keyhole.anatomy.canal import ANGLES, Canal
from keyhole.anatomy.spine import Bone
from keyhole.geometry import Box, Grid, Points, unit

RADIUS = {"L2": 1.56, "L3": 2.15, "L4": 2.57, "L5": 2.65, "S1": 2.69}
"""Half of the mean diameter of the root, mm [root-size-mrn]; above L2 that of L2, L6 as L5 [keyhole-choice]."""

ANGLE = 51.0
"""Angle between exiting root and disc plane, degrees: 50.8 ± 4.4 [root-disc-angle]."""

STEEP = 65.0
"""The root's fall beyond the foramen, degrees to the disc: in the psoas it runs more downward [keyhole-choice]."""

FORWARD = (25.0, 45.0)
"""How far the root turns forward in the foramen and beyond it, degrees [keyhole-choice]."""

BEYOND = 12.0
"""How far below the caudal endplate the modelled root ends, mm [keyhole-choice]."""

SD = 2.5
"""Positional sd of a modelled root, mm; against phantoms the paths were 2 to 4 mm off [keyhole-choice]."""

RECESS = -25.0
"""Where the traversing root lies at the canal's wall: degrees from lateral, negative in front [keyhole-choice]."""

UNDER = 0.5
"""Gap between root and the pedicle above it on the guide, mm [keyhole-choice]."""

_NEAR = 12.0  # mm from the guide: no path is looked for farther off
_PULL = 0.05  # cost per mm² off the guide
_PUSH = 3.0  # cost per mm² of missing wall distance
_ROOM = 0.75  # mm of wall distance wanted beyond the radius


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """One modelled root: its path (n, 3) LPS mm from the canal outward, its radius, and how near bone came, mm."""

    vertebra: str
    side: str
    path: Points
    radius: float
    least: float


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """Where a root may run: `inside` masks canal and foramen in a box, and the space lateral of its pedicle is open."""

    inside: Callable[..., NDArray[np.bool_]]
    bone: Bone
    pedicle: Pedicle | None
    side: str
    has_foramen: bool

    def is_outside(self, points: Points) -> NDArray[np.bool_]:
        """Which of `points` (n, 3) lie lateral of the pedicle, before its back; under it if no foramen is known."""
        if self.pedicle is None or self.bone.name == "S1":
            return np.zeros(len(points), dtype=np.bool_)
        local = self.bone.local(points)
        middle = self.bone.local((self.bone.foramen if self.bone.foramen is not None else self.bone.centre)[None])[0, 0]
        lateral = (local[:, 0] - middle) * (1.0 if self.side == "left" else -1.0)
        low = (local[:, 2] < self.pedicle.lower) & (local[:, 1] < self.pedicle.back)
        return np.asarray(low & (lateral > (self.pedicle.outer - 2.0 if self.has_foramen else self.pedicle.inner)))


def radius_of(vertebra: str) -> float:
    """Radius of the root that leaves below `vertebra`, mm."""
    if vertebra in RADIUS:
        return RADIUS[vertebra]
    return RADIUS["L5"] if vertebra == "L6" else RADIUS["L2"]


def guide(
    bone: Bone, above: Bone | None, below: Bone | None, pedicle: Pedicle | None, canal: Canal, side: str
) -> Points:
    """Corners (n, 3) of the broken line that a root of `bone` follows, from the canal outward, LPS mm."""
    sign = 1.0 if side == "left" else -1.0
    radius = radius_of(bone.name)
    start = bone.centre + 15 * bone.up if above is None else (above.centre + bone.centre) / 2
    shoulder = _recess(canal, start, sign, radius)
    if pedicle is None or bone.name == "S1":
        foot = _recess(canal, bone.centre - 8 * bone.up, sign, radius)
        return np.stack([shoulder, _recess(canal, bone.centre, sign, radius), foot])
    middle = bone.local((bone.foramen if bone.foramen is not None else bone.centre)[None])[0, 0]
    at_pedicle = bone.centre + pedicle.height * bone.up
    lean, off = np.deg2rad(ANGLE), radius + UNDER
    corner = (pedicle.inner - off * np.sin(lean), pedicle.isthmus, pedicle.lower - off * np.cos(lean))
    turn = bone.centre + np.array([middle + sign * corner[0], corner[1], corner[2]]) @ bone.axes
    ways = _exit(turn, pedicle.outer - corner[0], bone, below, sign)
    return np.concatenate([[shoulder, _recess(canal, at_pedicle, sign, radius)], [turn], ways])


def _recess(canal: Canal, near: Points, sign: float, radius: float) -> Points:
    """The point beside the sac at the canal's wall, on the section nearest to `near`'s height."""
    station = int(np.argmin(np.linalg.norm(canal.line - near, axis=1)))
    turn = np.deg2rad(RECESS)
    flat = np.array([sign * np.cos(turn), np.sin(turn)])
    place = np.mod(np.arctan2(flat[1], flat[0]), 2 * np.pi) / (2 * np.pi) * ANGLES
    wall = float(canal.radius[station, round(place) % ANGLES])
    reach = max(wall - radius, 0.5 * wall)
    return np.asarray(
        canal.line[station] + reach * (flat[0] * canal.left[station] + flat[1] * canal.posterior[station])
    )


def _exit(turn: Points, width: float, bone: Bone, below: Bone | None, sign: float) -> Points:
    """The guide's last corners (2, 3): the foramen's outer end, `width` mm lateral of `turn`, and the root's end.

    Seen from the front the root falls at `ANGLE` to the disc in the foramen, at `STEEP` beyond it.
    """
    up = bone.up if below is None else unit(bone.up + below.up)
    back = unit(bone.posterior - (bone.posterior @ up) * up)
    lateral = sign * np.cross(back, up)

    def way(breadth: float, fall: float, forward: float) -> Points:
        down, ahead = np.tan(np.deg2rad(fall)), np.tan(np.deg2rad(forward))
        return np.asarray(breadth * (lateral - down * up - ahead * back))

    drop = 20.0
    if below is not None:
        top = float(np.percentile(below.local(below.grid.centres(np.argwhere(below.body)))[:, 2], 98))
        drop = float((turn - below.centre - top * below.up) @ up)
    outer = turn + way(width, ANGLE, FORWARD[0])
    rest = drop + BEYOND - width * np.tan(np.deg2rad(ANGLE))
    breadth = float(np.clip(rest / np.tan(np.deg2rad(STEEP)), 4.0, 12.0))
    return np.stack([outer, outer + way(breadth, STEEP, FORWARD[1])])


def traced(corners: Points, radius: float, grid: Grid, gap: NDArray[np.float32], way: Way) -> tuple[Points, float]:
    """The path along the guide `corners` that keeps off the bone, (n, 3) LPS mm, and its least wall distance, mm.

    Empty where no way leads on from the canal.

    Parameters
    ----------
    gap : distance of every voxel of `grid` from what the root may not enter, mm; 0 inside.
    """
    from skimage.graph import MCP_Geometric  # noqa: PLC0415  (heavy import)

    line = _dense(corners)
    box = _around(line, grid)
    local = grid.crop(box)
    wall = gap[box]
    off = np.full(local.shape, np.inf)
    index = np.argwhere(wall > 0)
    points = local.centres(index)
    off[tuple(index.T)] = cKDTree(line).query(points, distance_upper_bound=_NEAR)[0]
    open_to = np.zeros(local.shape, dtype=np.bool_)
    open_to[tuple(index.T)] = way.inside(box=box)[tuple(index.T)] | way.is_outside(points)
    cost = 1 + _PULL * off**2 + _PUSH * np.clip(radius + _ROOM - wall, 0, None) ** 2
    cost = np.where(open_to & np.isfinite(off), cost, -1.0)
    start = _cheapest(local, corners[0], cost, np.zeros_like(cost))
    if start is None:
        return np.zeros((0, 3)), 0.0
    search = MCP_Geometric(cost, sampling=tuple(local.spacing))
    total, _ = search.find_costs([start])
    stop = _cheapest(local, corners[-1], cost, total)
    steps = local.centres(np.array(search.traceback(stop), dtype=np.float64))
    path = _smoothed(steps, local, wall)
    return path, float(_at(path, local, wall).min())


def _dense(corners: Points, step: float = 1.0) -> Points:
    """Points about `step` mm apart along the broken line `corners`."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = np.linspace(0, lengths[-1], max(2, int(lengths[-1] / step) + 1))
    return np.stack([np.interp(at, lengths, corners[:, a]) for a in range(3)], axis=1)


def _around(line: Points, grid: Grid) -> Box:
    index = grid.index(line)
    margin = np.ceil(_NEAR / grid.spacing)
    first = np.clip(np.floor(index.min(axis=0) - margin), 0, grid.shape).astype(int)
    last = np.clip(np.ceil(index.max(axis=0) + margin) + 1, 0, grid.shape).astype(int)
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def _cheapest(
    local: Grid, point: Points, cost: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[int, ...] | None:
    """The voxel that can be reached and is worth most near `point`: each mm away counts like a cost of two."""
    free = np.argwhere((cost > 0) & np.isfinite(total))
    if not len(free):
        return None
    worth = cost[tuple(free.T)] + 2 * np.linalg.norm(local.centres(free) - point, axis=1)
    return tuple(int(n) for n in free[int(np.argmin(worth))])


def _at(path: Points, local: Grid, wall: NDArray[np.float32]) -> Points:
    return np.asarray(ndimage.map_coordinates(wall, local.index(path).T, order=1, mode="nearest"), dtype=np.float64)


def _smoothed(steps: Points, local: Grid, wall: NDArray[np.float32]) -> Points:
    """`steps` without their stairs, wherever that does not bring them nearer to bone than they can stand."""
    for sigma in (3.0, 2.0, 1.0):
        smooth = ndimage.gaussian_filter1d(steps, sigma, axis=0, mode="nearest")
        smooth[[0, -1]] = steps[[0, -1]]
        if (_at(smooth, local, wall) >= np.minimum(_at(steps, local, wall) - 0.5, 1.5)).all():
            return _dense(smooth)
    return _dense(steps)


def tube(path: Points, radius: float, grid: Grid) -> tuple[Box, NDArray[np.bool_]]:
    """Box in `grid` and mask of the voxels within `radius` mm of `path`."""
    index = grid.index(path)
    margin = np.ceil((radius + 1) / grid.spacing)
    first = np.clip(np.floor(index.min(axis=0) - margin), 0, grid.shape).astype(int)
    last = np.clip(np.ceil(index.max(axis=0) + margin) + 1, 0, grid.shape).astype(int)
    box: Box = (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2]))
    where = np.argwhere(np.ones([b - a for a, b in zip(first, last, strict=True)], dtype=np.bool_))
    near = cKDTree(_dense(path, 0.3))  # distance to these points is that to the line within 0.01 mm
    apart = near.query(grid.crop(box).centres(where), distance_upper_bound=radius + 0.25)[0]
    return box, (apart <= radius).reshape([b - a for a, b in zip(first, last, strict=True)])
