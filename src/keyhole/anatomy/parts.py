"""The body of a vertebra, cut out of a label of the whole bone.

A vertebra is a ring: body in front, arch behind, and between them the vertebral foramen, which the canal runs
through. Seen along the canal, that foramen is a hole in the bone's shadow: so up and posterior come from
the bone alone, never from the axes of the scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.errors import ImplausibleAnatomy
from keyhole.geometry import Grid, Points, Transform, bounding_box, unit

MIDLINE = 6.0
"""Half width, mm, of the slab behind the body in which its posterior wall is sampled [keyhole-choice]."""

OPENING = 4.0
"""Spurs thinner than twice this, mm, are no part of a body (roots of transverse processes) [keyhole-choice]."""

_BIN = 1.5  # mm, pixel of a shadow: coarse enough to have no holes of its own
_HOLE = 60.0  # mm², the least shadow of a vertebral foramen that counts as one


Core = tuple[Points, float]
"""Middle (3,) and radius, mm, of the thickest part of a bone."""


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """Axes of a ring of bone (3,), the body's middle, and a point in the middle of its foramen, LPS mm."""

    body: Points
    foramen: Points
    posterior: Points
    up: Points
    hole: float  # mm², the foramen's shadow

    @property
    def left(self) -> Points:
        """Unit vector to the patient's left."""
        return np.cross(self.posterior, self.up)


def body_of(
    whole: NDArray[np.bool_],
    patient_from_index: Transform,
    *,
    canal: Points | None = None,
    up: Points | None = None,
    core: Core | None = None,
) -> NDArray[np.bool_]:
    """The voxels of `whole` that are the vertebral body.

    The posterior wall is a parabola over height, fitted to the hindmost voxels in front of the canal near the
    midline; the body is what lies before it, without spurs thinner than 8 mm. On 3 mm labels the wall is good to
    about 1 mm.

    Parameters
    ----------
    whole : (i, j, k), one vertebra, cropped as one likes.
    canal : (n, 3) points along the middle of the canal, LPS mm; without it, the foramen is looked for.
    up : (3,) roughly cranial (to the next vertebra above); without it, taken from the canal or the foramen,
        and then its sense is arbitrary, which does not matter to the body.
    core : what `core_of` says of `whole`, where that is known already.

    Returns
    -------
    Mask of the same shape. A label without arch is returned as it is.
    """
    grid = Grid(whole.shape, patient_from_index)
    index = np.argwhere(whole)
    if len(index) < 30:
        raise ImplausibleAnatomy(f"a vertebra needs 30 voxels or more to have a body, got {len(index)}")
    points = grid.centres(index)
    centre, radius = core or core_of(whole, grid)
    ring = _ring(points, centre, canal, up)
    if ring is None:
        return _main(whole, grid, radius)
    before = _before_wall(points, ring)
    cut = np.zeros(whole.shape, dtype=np.bool_)
    cut[tuple(index[before].T)] = True
    return _main(cut, grid, radius)


def ring_of(
    whole: NDArray[np.bool_], patient_from_index: Transform, up: Points | None = None, *, core: Core | None = None
) -> Ring | None:
    """Axes and foramen of one whole vertebra from its own shape; None where no foramen is closed by bone."""
    grid = Grid(whole.shape, patient_from_index)
    centre, _ = core or core_of(whole, grid)
    return _foramen(grid.centres(np.argwhere(whole)), centre, up)


def has_ring(whole: NDArray[np.bool_], patient_from_index: Transform) -> bool:
    """Whether `ring_of` finds a foramen: it ends its search with the first."""
    grid = Grid(whole.shape, patient_from_index)
    centre, _ = core_of(whole, grid)
    return next(_seen(grid.centres(np.argwhere(whole)), centre, None), None) is not None


def core_of(whole: NDArray[np.bool_], grid: Grid) -> Core:
    """Middle (3,) and radius, mm, of the thickest part of the bone: always the body, three times a pedicle's."""
    import edt  # noqa: PLC0415  (heavy import)

    steps = tuple(float(s) for s in grid.spacing)
    depth: NDArray[Any] = edt.edt(np.ascontiguousarray(whole), anisotropy=steps, black_border=True, parallel=1)
    top = float(depth.max())
    thick = np.argwhere(depth >= 0.8 * top)
    return grid.centres(thick).mean(axis=0), top


def _ring(points: Points, centre: Points, canal: Points | None, up: Points | None) -> Ring | None:
    """The axes from the canal where it is known, else from the foramen."""
    if canal is not None and len(canal) >= 2:
        from_canal = _along_canal(points, centre, np.asarray(canal), up)
        if from_canal is not None:
            return from_canal
    return _foramen(points, centre, up)


def _along_canal(points: Points, centre: Points, canal: Points, up: Points | None) -> Ring | None:
    """Axes from a canal line that passes this vertebra; None where it ends before."""
    order = np.argsort(np.linalg.norm(canal - centre, axis=1))
    if not np.linalg.norm(canal[order[0]] - centre) < 40:
        return None
    near = canal[np.linalg.norm(canal - canal[order[0]], axis=1) < 15]
    if up is None:
        up = np.linalg.svd(near - near.mean(axis=0))[2][0] if len(near) > 2 else canal[-1] - canal[0]
    upward = unit(up)
    heights = (canal - centre) @ upward
    at = canal[np.argmin(np.abs(heights))]
    if not np.abs(heights).min() < 12:
        return None
    back = (at - centre) - ((at - centre) @ upward) * upward
    if not np.linalg.norm(back) > 5:
        return None
    return Ring(centre, at, unit(back), upward, 0.0)


def _foramen(points: Points, centre: Points, up: Points | None) -> Ring | None:
    """The ring whose shadow has the largest hole, over the directions that the canal may have."""
    best: Ring | None = None
    for found in _seen(points, centre, up):
        best = _larger(best, found)
    away = _thinned(points) - centre
    for step in (4, 2):
        best = best and _refined(away, best, step)
    return best


def _thinned(points: Points) -> Points:
    """Some 12,000 of `points`."""
    return points[:: max(1, len(points) // 12000)]


def _seen(points: Points, centre: Points, up: Points | None) -> Iterator[Ring]:
    """The best ring of each turn of the search; none where the bone has no side that is back."""
    cloud = _thinned(points)
    away, back = cloud - centre, cloud.mean(axis=0) - centre
    if not np.linalg.norm(back) > 2:
        return
    back = unit(back)
    side = unit(np.cross(back, up) if up is not None else np.linalg.svd(back[None])[2][1])
    turns = (0.0,) if up is not None else np.arange(0.0, 180.0, 10.0)
    for turn in turns:
        found = _tilted(away, centre, back, side, float(turn), range(-40, 41, 8))
        if found is not None:
            yield found


def _refined(away: Points, ring: Ring, step: int) -> Ring:
    """The better of `ring` and its neighbours `step` degrees away."""
    best = ring
    for turn in (-step, 0, step):
        near = _tilted(away, ring.body, ring.posterior, ring.left, float(turn), (-step, 0, step))
        best = near if near is not None and near.hole > best.hole else best
    return best


def _larger(a: Ring | None, b: Ring | None) -> Ring | None:
    return b if a is None or (b is not None and b.hole > a.hole) else a


def _tilted(away: Points, centre: Points, back: Points, side: Points, turn: float, tilts: Any) -> Ring | None:
    """The best ring with `side` turned about `back` by `turn` degrees, over `tilts` about that side."""
    angle = np.deg2rad(turn)
    across = np.cos(angle) * side + np.sin(angle) * np.cross(back, side)
    best: Ring | None = None
    for tilt in tilts:
        lean = np.deg2rad(tilt)
        upward = np.cos(lean) * np.cross(across, back) + np.sin(lean) * back
        best = _larger(best, _shadow(away, centre, upward, across))
    return best


def _shadow(away: Points, centre: Points, up: Points, across: Points) -> Ring | None:
    """The ring of this direction `up`, from the bone's points `away` from `centre`: the shadow's largest hole."""
    behind = np.cross(up, across)
    pixels = [np.rint(away @ way / _BIN).astype(np.int64) for way in (across, behind)]  # as a mirrored patient's
    low = np.array([column.min() for column in pixels]) - 2
    image = np.zeros([column.max() - least + 3 for column, least in zip(pixels, low, strict=True)], dtype=np.bool_)
    image[pixels[0] - low[0], pixels[1] - low[1]] = True
    holes, n = ndimage.label(~image)  # the first is what lies around the shadow
    if n == 1:
        return None
    sizes = np.bincount(holes.ravel())[2:]
    size = float(sizes.max()) * _BIN**2
    if not size >= _HOLE:
        return None
    middle = (np.argwhere(holes == 2 + sizes.argmax()).mean(axis=0) + low) * _BIN
    foramen = centre + middle[0] * across + middle[1] * behind
    return Ring(centre, foramen, unit(foramen - centre), up, size)


def _before_wall(points: Points, ring: Ring) -> NDArray[np.bool_]:
    """Which of `points` lie before the body's posterior wall."""
    local = (points - ring.foramen) @ np.stack([ring.left, ring.posterior, ring.up], axis=1)
    near = (np.abs(local[:, 0]) <= MIDLINE) & (local[:, 1] < 0)
    if near.sum() < 20:
        return local[:, 1] < 0
    columns = np.rint(local[near][:, [0, 2]] / _BIN).astype(np.int64)
    _, place = np.unique(columns, axis=0, return_inverse=True)
    back = np.full(place.max() + 1, -np.inf)
    np.maximum.at(back, place.ravel(), local[near][:, 1])
    height = np.zeros(len(back))
    height[place.ravel()] = local[near][:, 2]
    wall = _parabola(height, back)
    fitted = np.polyval(wall, np.clip(local[:, 2], height.min(), height.max()))
    return (local[:, 1] <= fitted + _BIN / 2) | near


def _parabola(x: Points, y: Points) -> Points:
    """Coefficients (3,) of a parabola through (`x`, `y`), robust to a third of outliers."""
    keep = np.ones(len(x), dtype=np.bool_)
    curve = np.array([0.0, 0.0, float(np.median(y))])
    for _ in range(6):
        off = np.abs(y - np.polyval(curve, x))
        keep = off <= max(1.5, 2.0 * float(np.median(off)))
        curve = np.polyfit(x[keep], y[keep], 2 if np.ptp(x[keep]) > 10 else 0)
        curve = np.concatenate([np.zeros(3 - len(curve)), curve])
    return curve


def _main(mask: NDArray[np.bool_], grid: Grid, radius: float) -> NDArray[np.bool_]:
    """The largest piece of `mask` once its spurs are off; what lies around the mask is not looked at."""
    box = bounding_box(mask)
    if box is None:
        return mask
    kept = np.zeros_like(mask)
    kept[box] = _largest(_opened(mask[box], grid, radius))
    return kept


def _opened(mask: NDArray[np.bool_], grid: Grid, radius: float) -> NDArray[np.bool_]:
    """`mask` without spurs thinner than twice `OPENING` (or half the body's own radius)."""
    import edt  # noqa: PLC0415  (heavy import)

    reach = min(OPENING, radius / 2)
    steps = tuple(float(s) for s in grid.spacing)
    padded = np.ascontiguousarray(np.pad(mask, 1))
    inner = edt.edt(padded, anisotropy=steps, parallel=1) > reach
    if not inner.any():
        return mask
    near = edt.edt(np.ascontiguousarray(~inner), anisotropy=steps, parallel=1) <= 1.5 * reach
    kept: NDArray[np.bool_] = (near & padded)[1:-1, 1:-1, 1:-1]
    return kept


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of `mask`."""
    labels, n = ndimage.label(mask)
    if n <= 1:
        return mask
    return np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())
