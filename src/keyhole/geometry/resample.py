"""Images and label maps on other grids."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry._kernels import compiled, prange
from keyhole.geometry.volume import Box, Grid, LabelMap, Volume, affine

Image = TypeVar("Image", Volume, LabelMap)

STEP = 1.0
"""Voxel side of Keyhole's grid, mm, unless the labels are already isotropic and finer."""

FINEST = 0.5
"""Isotropic label maps from this voxel side up to `STEP` are kept as they are."""

SMOOTHING = 0.7
"""Sd of the gaussian that rounds the steps of a coarse label map, in voxels of the coarser grid [keyhole-choice]."""

TRIAL = 1.5
"""Where three structures meet, all of them with a bonus crowd out the space between. Rounds on voxels this many times
as wide show by how much, and the next one aims lower."""

TRIALS = 2
"""Rounds before the last: after one, discs of 2.3 mm slices were still 15 % too large, after two 5 %."""

MOST_BONUS = 0.6
"""Largest advantage, as a share of full membership, that a thin label gets so that it keeps its volume."""

_UNITS = 250
"""Weights are whole multiples of 1 / 250 per axis: every sum stays below 2**24, so float32 arithmetic is exact,
does not depend on the order of summation, and a mirrored or turned map gives the mirrored or turned result."""

_SLAB = 16  # planes of the new grid in which the labels meet at a time


def reoriented(image: Image) -> Image:
    """`image` with its axes permuted and flipped, without loss, to lie closest to left, posterior, superior."""
    matrix = image.patient_from_index.matrix
    directions = matrix[:3, :3] / image.grid.spacing
    order = max(
        itertools.permutations(range(3)),
        key=lambda axes: round(sum(abs(float(directions[row, axis])) for row, axis in enumerate(axes)), 9),
    )
    steps = [1 if directions[row, axis] > 0 else -1 for row, axis in enumerate(order)]
    turned = np.zeros((4, 4))
    turned[3, 3] = 1.0
    for row, (axis, step) in enumerate(zip(order, steps, strict=True)):
        turned[axis, row] = step
        turned[axis, 3] = 0 if step > 0 else image.array.shape[axis] - 1
    array = np.ascontiguousarray(image.array.transpose(order)[tuple(slice(None, None, s) for s in steps)])
    at = affine(matrix @ turned)
    if isinstance(image, Volume):
        return Volume(array, at)
    drawn = None if image.drawn is None else (image.drawn[order[0]], image.drawn[order[1]], image.drawn[order[2]])
    return LabelMap(array, at, image.structures, drawn)


def resample(volume: Volume, grid: Grid, order: int = 1, fill: float = np.nan) -> Volume:
    """`volume` on the voxels of `grid`, float32: trilinear (`order` 1) or nearest (`order` 0), without smoothing.

    `fill` is given outside the box of voxel centres widened by half a voxel; inside that rim the edge is repeated.
    A nan in any voxel that takes part gives nan.
    """
    if order not in (0, 1):
        raise InvalidInput(f"resampling is nearest (0) or trilinear (1), got order {order}")
    to_index = _index_from_index(volume.grid, grid)
    out = np.empty(grid.shape, dtype=np.float32)
    array = _ready(volume)
    if order and _is_along(to_index):
        _sample_along(array, _places(array.shape, grid, to_index), out, np.float32(fill), False)
    else:
        _sample(array, to_index, out, np.float32(fill), order == 0)
    return Volume(out, grid.patient_from_index)


def resampled_whole(volume: Volume, grid: Grid, fill: int) -> NDArray[np.int16]:
    """`volume` on the voxels of `grid` as `resample` gives it, in whole numbers; `fill` also where it is not known."""
    to_index = _index_from_index(volume.grid, grid)
    array = _ready(volume)
    out = np.empty(grid.shape, dtype=np.int16)
    if _is_along(to_index):
        _sample_along(array, _places(array.shape, grid, to_index), out, np.float32(fill), True)
    else:
        values = np.empty(grid.shape, dtype=np.float32)
        _sample(array, to_index, values, np.float32(fill), False)
        _rounded(values, out, np.float32(fill))
    return out


def _ready(volume: Volume) -> NDArray[Any]:
    """The voxels of `volume` in a type that the kernels know; no copy of a scan."""
    kept = volume.array.dtype if volume.array.dtype in (np.int16, np.float32) else np.float32
    return np.ascontiguousarray(volume.array, dtype=kept)


def _is_along(to_index: NDArray[np.float64]) -> bool:
    """Whether two grids have the same axes: then the place along one of them is told by its own index."""
    turned = to_index[:3, :3]
    return not (turned - np.diag(np.diag(turned))).any()


def _places(shape: tuple[int, ...], grid: Grid, to_index: NDArray[np.float64]) -> Any:
    """For each axis the voxel before each place, the share of the next one, and whether it is inside."""
    found = []
    for axis, n in enumerate(shape):
        at = to_index[axis, axis] * np.arange(grid.shape[axis]) + to_index[axis, 3]
        inside = (at >= -0.5) & (at <= n - 0.5)
        at = np.clip(at, 0.0, n - 1.0)
        low = np.minimum(at.astype(np.int64), max(n - 2, 0))
        found.append((low, at - low, inside))
    return tuple(found)


def _index_from_index(source: Grid, grid: Grid) -> NDArray[np.float64]:
    """4x4 map from voxels of `grid` to voxels of `source`; rounded, so that moving both together changes nothing."""
    between = source.patient_from_index.inverse @ grid.patient_from_index
    return np.round(between.matrix, 9)


@compiled(parallel=True)
def _sample(
    array: NDArray[Any], to_index: NDArray[np.float64], out: NDArray[np.float32], fill: np.float32, nearest: bool
) -> None:
    """Fill `out` with values of `array` at ``to_index @ (i, j, k, 1)``."""
    ni, nj, nk = array.shape
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                x = to_index[0, 0] * i + to_index[0, 1] * j + to_index[0, 2] * k + to_index[0, 3]
                y = to_index[1, 0] * i + to_index[1, 1] * j + to_index[1, 2] * k + to_index[1, 3]
                z = to_index[2, 0] * i + to_index[2, 1] * j + to_index[2, 2] * k + to_index[2, 3]
                inside = -0.5 <= x <= ni - 0.5 and -0.5 <= y <= nj - 0.5 and -0.5 <= z <= nk - 0.5
                if not inside:
                    out[i, j, k] = fill
                    continue
                x, y, z = min(max(x, 0.0), ni - 1.0), min(max(y, 0.0), nj - 1.0), min(max(z, 0.0), nk - 1.0)
                if nearest:
                    out[i, j, k] = array[int(np.floor(x + 0.5)), int(np.floor(y + 0.5)), int(np.floor(z + 0.5))]
                    continue
                a, b, c = min(int(x), max(ni - 2, 0)), min(int(y), max(nj - 2, 0)), min(int(z), max(nk - 2, 0))
                u, v, w = x - a, y - b, z - c
                total = 0.0
                for da in range(2):
                    for db in range(2):
                        for dc in range(2):
                            weight = (u if da else 1 - u) * (v if db else 1 - v) * (w if dc else 1 - w)
                            if weight > 0:
                                total += weight * array[a + da, b + db, c + dc]
                out[i, j, k] = total


@compiled()
def _whole(value: Any, fill: Any) -> Any:
    """`value` as the next whole number of 16 bits, `fill` where it is not finite."""
    known = value if np.isfinite(value) else fill
    return np.rint(min(max(known, np.float32(-32768)), np.float32(32767)))


@compiled(parallel=True)
def _sample_along(array: NDArray[Any], places: Any, out: NDArray[Any], fill: np.float32, whole: bool) -> None:
    """Fill `out` as `_sample` does, to the last bit, where the grids have the same axes; `whole` numbers if need be."""
    (before_i, share_i, inside_i), (before_j, share_j, inside_j), (before_k, share_k, inside_k) = places
    for i in prange(out.shape[0]):
        total = np.zeros(out.shape[2], dtype=np.float64)
        for j in range(out.shape[1]):
            total[:] = 0.0
            u, v = share_i[i], share_j[j]
            for da in range(2):
                for db in range(2):
                    across = (u if da else 1 - u) * (v if db else 1 - v)
                    if not (across > 0 and inside_i[i] and inside_j[j]):
                        continue
                    row = array[before_i[i] + da, before_j[j] + db]
                    for k in range(len(total)):
                        if share_k[k] < 1:
                            total[k] += across * (1 - share_k[k]) * row[before_k[k]]
                        if share_k[k] > 0:
                            total[k] += across * share_k[k] * row[before_k[k] + 1]
            for k in range(len(total)):
                inside = inside_i[i] and inside_j[j] and inside_k[k]
                value = np.float32(total[k]) if inside else fill
                out[i, j, k] = _whole(value, fill) if whole else value


@compiled(parallel=True)
def _rounded(values: NDArray[np.float32], out: NDArray[np.int16], fill: np.float32) -> None:
    """Fill `out` with `values` in whole numbers, and with `fill` where they are not known."""
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = _whole(values[i, j, k], fill)


def keyhole_grid(grid: Grid) -> Grid:
    """The grid on which Keyhole measures and plans for labels on `grid`: isotropic, along the labels' own axes.

    `STEP` mm, unless the labels are already isotropic between `FINEST` and `STEP`: then `grid` itself. It is centred
    on `grid` and covers it. Perpendicular axes are needed; a sheared grid is refused.
    """
    spacing = np.round(grid.spacing, 5)
    if grid.is_isotropic and spacing.min() >= FINEST - 1e-3 and spacing.max() <= STEP + 1e-3:
        return grid
    directions = grid.patient_from_index.matrix[:3, :3] / grid.spacing
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-3):
        raise InvalidInput("the voxel axes of a label map must be perpendicular; resample the sheared map first")
    extent = spacing * grid.shape
    shape = np.ceil(extent / STEP - 1e-6).astype(int)
    scale = STEP / grid.spacing
    finer = np.eye(4)
    finer[:3, :3] = np.diag(scale)
    finer[:3, 3] = (np.array(grid.shape) - 1) / 2 - scale * (shape - 1) / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(grid.patient_from_index.matrix @ finer))


def labels_on_grid(labels: LabelMap, grid: Grid) -> LabelMap:
    """`labels` on `grid`, smoothly: membership of each label, light gaussian, linear interpolation, the largest wins.

    `grid` must run along the axes of the labels, as `keyhole_grid` does. Plain smoothing eats thin structures, so
    each label's membership carries a bonus (at most `MOST_BONUS`) that gives it back its volume. A mirrored map
    gives the mirrored result: where a structure ties with its own twin of the other side, the voxel stays empty;
    between other structures the first key in the alphabet wins.
    """
    between = _index_from_index(labels.grid, grid)
    scale = np.diag(between)[:3]
    if not (np.allclose(between[:3, :3], np.diag(scale), atol=1e-6) and (scale > 0).all()):
        raise InvalidInput("labels can be brought only to a grid along their own axes; turn the result instead")
    from scipy.ndimage import find_objects  # noqa: PLC0415  (heavy import)

    order = _ordered(labels)
    crops = find_objects(labels.array)
    volumes = np.bincount(labels.array.ravel()) * labels.grid.voxel_volume
    trial = _coarser(grid)
    wanted = {label: float(volumes[label]) for label, _ in order}
    aims = {label: round(volume, 6) for label, volume in wanted.items()}
    for _ in range(TRIALS):
        voxels = _counted(_partition(labels, trial, order, crops, aims), len(volumes))
        found = {n: float(voxels[n]) * trial.voxel_volume for n in wanted}
        aims = {n: round(aims[n] * min(max(w / max(found[n], 1e-3), 0.5), 2.0), 6) for n, w in wanted.items()}
    i, j, k = labels.drawn or labels.grid.spacing.round(6).tolist()
    return LabelMap(_partition(labels, grid, order, crops, aims), grid.patient_from_index, labels.structures, (i, j, k))


@compiled()
def _counted(array: NDArray[Any], most: int) -> Any:
    """How many voxels hold each label below `most`, without the wide copy that counting makes."""
    found = np.zeros(most, dtype=np.int64)
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            for label in array[i, j]:
                found[label] += 1
    return found


def _coarser(grid: Grid) -> Grid:
    """A grid of `TRIAL` times the voxel side with the same centre and axes, that covers `grid`."""
    shape = np.ceil(np.array(grid.shape) / TRIAL - 1e-6).astype(int)
    wider = np.diag((TRIAL, TRIAL, TRIAL, 1.0))
    wider[:3, 3] = (np.array(grid.shape) - 1) / 2 - TRIAL * (shape - 1) / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(grid.patient_from_index.matrix @ wider))


def _partition(
    labels: LabelMap,
    grid: Grid,
    order: list[tuple[int, int]],
    crops: list[Box],
    aims: dict[int, float],
) -> NDArray[Any]:
    """The label with the largest weight in every voxel of `grid`, each with the bonus that aims at a volume, mm³.

    The labels meet in one slab of the grid after another, so that the weights of all of it need no memory.
    """
    between = _index_from_index(labels.grid, grid)
    weights = [
        _weights(labels.array.shape[axis], grid.shape[axis], float(between[axis, axis]), float(between[axis, 3]))
        for axis in range(3)
    ]
    placed = []
    for label, twin in order:
        one = _placed(labels.array, label, crops[label - 1], weights)
        if one is not None:
            placed.append((one, float(_bonus(one, round(aims[label] / grid.voxel_volume, 3))), label, twin))
    out = np.zeros(grid.shape, dtype=labels.array.dtype)
    sums = [weight.sum(axis=1) for weight in weights]
    across = sums[1][:, None] * sums[2]
    best, free = (np.empty((_SLAB, *grid.shape[1:]), dtype=np.float32) for _ in range(2))
    for start in range(0, grid.shape[0], _SLAB):
        slab = out[start : start + _SLAB]
        best[:] = 0
        np.multiply(sums[0][start : start + _SLAB, None, None], across, out=free[: len(slab)])
        for one, bonus, label, twin in placed:
            low, high = (min(max(n, start), start + len(slab)) for n in (one.box[0].start, one.box[0].stop))
            if low < high:
                at = (slice(low - start, high - start), *one.box[1:])
                first = low - one.box[0].start
                _compete(
                    slab[at],
                    best[at],
                    free[at],
                    (one.planes, one.spans, one.along[first:], one.bands[first:]),
                    bonus,
                    label,
                    twin,
                )
        slab[free[: len(slab)] > best[: len(slab)]] = 0
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """One label on the new grid: the `box` where it has any weight, and what its weight there is made of.

    `planes` (n, j, k) are its weights across the first axis, still on the n source planes that hold it; `spans` the
    range along k that is not 0 in each of their rows. `along` (i, n) are the weights of the planes in each new plane,
    0 outside its range in `bands`.
    """

    box: Box
    planes: NDArray[np.float32]
    spans: NDArray[np.int32]
    along: NDArray[np.float32]
    bands: NDArray[np.int32]


def _ordered(labels: LabelMap) -> list[tuple[int, int]]:
    """Each label with its twin of the other side (or -1), in an order that knows no side."""
    present = np.flatnonzero(np.bincount(labels.array.ravel()))
    keys = {int(n): labels.structures.get(int(n), f"~{n}") for n in present if n}
    plain = {n: tuple("*" if part in ("left", "right") else part for part in key.split("/")) for n, key in keys.items()}
    chosen = sorted(keys, key=lambda n: (plain[n], keys[n]))
    return [(n, next((m for m in chosen if m != n and plain[m] == plain[n]), -1)) for n in chosen]


def _weights(n: int, m: int, scale: float, offset: float) -> NDArray[np.float32]:
    """(m, n) weight of each source voxel in each new voxel along one axis, in whole `_UNITS`.

    Linear interpolation of a gaussian of `SMOOTHING` voxels of the coarser grid, the edge repeated.
    """
    sd = SMOOTHING * max(1.0, scale)
    reach = int(np.ceil(3 * sd))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2)
    at = offset + scale * np.arange(m)
    low = np.floor(at).astype(int)
    share = at - low
    matrix = np.zeros((m, n))
    rows = np.arange(m)
    for step, tap in zip(range(-reach, reach + 1), taps / taps.sum(), strict=True):
        np.add.at(matrix, (rows, np.clip(low + step, 0, n - 1)), tap * (1 - share))
        np.add.at(matrix, (rows, np.clip(low + 1 + step, 0, n - 1)), tap * share)
    if abs(at[0] + at[-1] - (n - 1)) < 1e-6:  # a centred grid: exactly symmetric
        matrix = (matrix + matrix[::-1, ::-1]) / 2
    return np.rint(np.round(matrix, 9) * _UNITS).astype(np.float32)


def _placed(array: NDArray[Any], label: int, crop: Box, weights: list[NDArray[np.float32]]) -> _Placed | None:
    """`label`, which lies inside `crop`, on the new grid; None where it has no weight."""
    box, parts, bands = [], [], []
    for weight, along in zip(weights, crop, strict=True):
        rows = np.flatnonzero(weight[:, along].any(axis=1))
        if not rows.size:
            return None
        box.append(slice(int(rows[0]), int(rows[-1]) + 1))
        part = np.ascontiguousarray(weight[box[-1], along])
        held = part != 0
        parts.append(part)
        bands.append(np.stack([held.argmax(axis=1), part.shape[1] - held[:, ::-1].argmax(axis=1)], axis=1).astype("i4"))
    planes, spans = _across(array[crop] == label, parts[1], bands[1], parts[2], bands[2])
    return _Placed((box[0], box[1], box[2]), planes, spans, parts[0], bands[0])


@compiled()
def _across(mask: Any, weights: Any, bands: Any, weights_k: Any, bands_k: Any) -> Any:
    """Weights of `mask` across its first axis, and the range along the last that is not 0 in each row of them."""
    planes = np.zeros((mask.shape[0], len(weights), len(weights_k)), dtype=np.float32)
    spans = np.zeros((mask.shape[0], len(weights), 2), dtype=np.int32)
    row = np.zeros(mask.shape[2], dtype=np.float32)
    for n in range(mask.shape[0]):
        for j in range(len(weights)):
            row[:] = 0
            for m in range(bands[j, 0], bands[j, 1]):
                weight = weights[j, m]
                for k in range(len(row)):
                    row[k] += weight * mask[n, m, k]
            held = np.flatnonzero(row)
            if len(held) == 0:
                continue
            first, last = len(weights_k), 0
            for k in range(len(weights_k)):
                for m in range(max(bands_k[k, 0], held[0]), min(bands_k[k, 1], held[-1] + 1)):
                    planes[n, j, k] += weights_k[k, m] * row[m]
                if planes[n, j, k] > 0:
                    first, last = min(first, k), k + 1
            spans[n, j] = first, last
    return planes, spans


@compiled()
def _row(planes: Any, spans: Any, weights: Any, band: Any, j: int, row: Any) -> Any:
    """Write into `row` the weight of a label along row `j` of one new plane; the range outside which it is 0."""
    first, last = len(row), 0
    for n in range(band[0], band[1]):
        if spans[n, j, 1]:
            first, last = min(first, spans[n, j, 0]), max(last, spans[n, j, 1])
    row[first:last] = 0
    for n in range(band[0], band[1]):
        weight, start, stop = weights[n], spans[n, j, 0], spans[n, j, 1]
        held, part = row[start:stop], planes[n, j, start:stop]
        for k in range(len(part)):
            held[k] += weight * part[k]
    return first, last


@compiled()
def _between(planes: Any, spans: Any, weights: Any, bands: Any, low: int, high: int) -> Any:
    """How many voxels of a label weigh more than `high`, and the weights above `low` of the others."""
    above, count = 0, 0
    found = np.empty(1024, dtype=np.float32)
    row = np.zeros(planes.shape[2], dtype=np.float32)
    for i in range(len(weights)):
        for j in range(planes.shape[1]):
            first, last = _row(planes, spans, weights[i], bands[i], j, row)
            if count + last > len(found) + first:
                found = np.concatenate((found, np.empty(len(found) + len(row), dtype=np.float32)))
            for weight in row[first:last]:
                if weight > high:
                    above += 1
                elif weight > low:
                    found[count] = weight
                    count += 1
    return above, found[:count]


def _bonus(one: _Placed, wanted: float) -> int:
    """Advantage, in units of weight, at which the label, alone in empty space, keeps `wanted` voxels."""
    full = _UNITS**3
    low, high = int(full * (1 - MOST_BONUS) / 2), int(full * 0.6)
    above, weights = _between(one.planes, one.spans, one.along, one.bands, low, high)
    while high - low > full >> 10:
        middle = (low + high) // 2
        if above + np.count_nonzero(weights > middle) > wanted:
            low = middle
        else:
            high = middle
    return full - low - high


@compiled()
def _compete(out: Any, best: Any, free: Any, made: Any, bonus: float, label: int, twin: int) -> None:
    """Give `label` the voxels where its weight with the bonus is the largest so far; a tie with its twin empties.

    `made` are the planes, spans, weights and bands of a `_Placed`, from the first plane of `out` on.
    """
    planes, spans, weights, bands = made
    row = np.zeros(out.shape[2], dtype=np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            first, last = _row(planes, spans, weights[i], bands[i], j, row)
            held, most, left, mine = (
                row[first:last],
                best[i, j, first:last],
                free[i, j, first:last],
                out[i, j, first:last],
            )
            for k in range(len(held)):
                if held[k] > 0:
                    left[k] -= held[k]
                    claim = held[k] + np.float32(bonus)
                    if claim > most[k]:
                        most[k] = claim
                        mine[k] = label
                    elif claim == most[k] and mine[k] == twin:
                        mine[k] = 0
