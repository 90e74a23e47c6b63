"""Compiled loops over axes: along the depth of the bone, and against every voxel of its wall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled

Field = NDArray[np.float32]

STEP = 0.5
"""Sampling along an axis, mm."""

LEAN = 1.72
"""What a radian away from a wanted angle costs, mm: 0.03 mm a degree [keyhole-choice]."""

NEAR = 12.0
"""Of the wall, what lies this near to an axis is looked at while the axis is refined, mm."""

DEEPER = 0.3
"""What a mm of free radius far from the entry is worth, mm of it at the narrowest [keyhole-choice]."""

PIVOT = 50.0
"""Long axes are also turned about their point this far ahead, mm."""

LONGEST = 140.0
"""An axis is followed this far to either side, mm."""


@compiled()
def at(field: Field, x: float, y: float, z: float) -> float:
    """`field` at an index, trilinear; -9 outside the array."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    if i < 0 or j < 0 or k < 0 or i + 1 >= field.shape[0] or j + 1 >= field.shape[1] or k + 1 >= field.shape[2]:
        return -9.0
    a, b, c = x - i, y - j, z - k
    low = (1 - a) * ((1 - b) * field[i, j, k] + b * field[i, j + 1, k]) + a * (
        (1 - b) * field[i + 1, j, k] + b * field[i + 1, j + 1, k]
    )
    high = (1 - a) * ((1 - b) * field[i, j, k + 1] + b * field[i, j + 1, k + 1]) + a * (
        (1 - b) * field[i + 1, j, k + 1] + b * field[i + 1, j + 1, k + 1]
    )
    return float((1 - c) * low + c * high)


@compiled()
def leaves(field: Field, p: Points, way: Points, matrix: Points, step: float) -> float:
    """How far from `p` along `way`, mm, the axis leaves the bone; -1 where `p` is outside it."""
    before = 0.0
    for n in range(int(LONGEST / step) + 1):
        t = n * step
        x = matrix[0, 0] * (p[0] + t * way[0]) + matrix[0, 1] * (p[1] + t * way[1]) + matrix[0, 2] * (p[2] + t * way[2])
        y = matrix[1, 0] * (p[0] + t * way[0]) + matrix[1, 1] * (p[1] + t * way[1]) + matrix[1, 2] * (p[2] + t * way[2])
        z = matrix[2, 0] * (p[0] + t * way[0]) + matrix[2, 1] * (p[1] + t * way[1]) + matrix[2, 2] * (p[2] + t * way[2])
        value = at(field, x + matrix[0, 3], y + matrix[1, 3], z + matrix[2, 3])
        if value <= 0:
            return t - step * value / (value - before) if n > 0 else -1.0
        before = value
    return LONGEST


@compiled()
def scan(
    scene: tuple[Field, Points], door: tuple[Field, Points], points: Points, ways: Points, skip: float, inside: Points
) -> Points:
    """Per point and direction: narrowest depth from `skip` mm past the entry into the body, and the run's length.

    `scene`: depth and index from local (3, 4) of the bone that is run through; `door` the same of that which is
    entered. `points` (n, 3) and `ways` (m, 3) local mm; `inside` (m,) is how far past the point the narrow part ends,
    mm. (n, m, 3): depth -1 where the axis leaves the bone before; the third is how far the entry lies before the point.
    """
    field, matrix = scene
    result = np.full((len(points), len(ways), 3), -1.0)
    for n in range(len(points)):
        p = points[n]
        for m in range(len(ways)):
            way = ways[m]
            back = leaves(door[0], p, -way, door[1], STEP)
            if back < 0:
                continue
            narrowest, t = 99.0, skip - back
            while t < LONGEST:
                q = p + t * way
                value = at(
                    field,
                    matrix[0, 0] * q[0] + matrix[0, 1] * q[1] + matrix[0, 2] * q[2] + matrix[0, 3],
                    matrix[1, 0] * q[0] + matrix[1, 1] * q[1] + matrix[1, 2] * q[2] + matrix[1, 3],
                    matrix[2, 0] * q[0] + matrix[2, 1] * q[1] + matrix[2, 2] * q[2] + matrix[2, 3],
                )
                if value < 0.5:
                    break
                if t <= inside[m]:
                    narrowest = min(narrowest, value)
                t += STEP
            if t > inside[m]:
                result[n, m, 0], result[n, m, 1], result[n, m, 2] = narrowest, back + t, back
    return result


@compiled()
def gap(p: Points, start: Points, along: Points, square: float, axes: Points) -> float:
    """Distance of the voxel about `p` from the axis, mm, at least: its centre's less its half extent that way."""
    x, y, z = p[0] - start[0], p[1] - start[1], p[2] - start[2]
    share = min(max((x * along[0] + y * along[1] + z * along[2]) / square, 0.0), 1.0) if square > 0 else 0.0
    x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
    distance = np.sqrt(x * x + y * y + z * z)
    support = 0.0
    if distance > 0:
        for a in range(3):
            support += abs(x * axes[0, a] + y * axes[1, a] + z * axes[2, a])
        support *= 0.5 / distance
    return float(distance - support)


@compiled()
def least(points: Points, entry: Points, start: Points, stop: Points, exempt: float, axes: Points) -> float:
    """Least `gap` to voxels farther than `exempt` mm from `entry`; 99 where there is none."""
    along = stop - start
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    best, most = 99.0, 0.0
    for a in range(3):
        most += 0.5 * (abs(axes[0, a]) + abs(axes[1, a]) + abs(axes[2, a]))
    for n in range(len(points)):
        p = points[n]
        x, y, z = p[0] - start[0], p[1] - start[1], p[2] - start[2]
        share = min(max((x * along[0] + y * along[1] + z * along[2]) / square, 0.0), 1.0) if square > 0 else 0.0
        x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
        if x * x + y * y + z * z >= (best + most) ** 2:
            continue
        x, y, z = p[0] - entry[0], p[1] - entry[1], p[2] - entry[2]
        if x * x + y * y + z * z > exempt * exempt:
            best = min(best, gap(p, start, along, square, axes))
    return float(best)


@compiled()
def gaps(points: Points, start: Points, stop: Points, axes: Points) -> Points:
    """`gap` of each of `points`, mm."""
    along = stop - start
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    found = np.empty(len(points))
    for n in range(len(points)):
        found[n] = gap(points[n], start, along, square, axes)
    return found


@compiled()
def sizes(points: Points, entry: Points, way: Points, radii: Points, lengths: Points, axes: Points) -> Points:
    """Least gap to the wall, and to the wall ahead of the tip, of each size on one axis: (radii, lengths, 2) mm.

    Ahead of the tip is what the screw would meet if it went on.
    """
    found = np.full((len(radii), len(lengths), 2), 99.0)
    far = way * 1000.0
    for n in range(len(points)):
        p = points[n]
        x, y, z = p[0] - entry[0], p[1] - entry[1], p[2] - entry[2]
        past = x * way[0] + y * way[1] + z * way[2]
        square = x * x + y * y + z * z
        beside = gap(p, entry, far, 1e6, axes)
        for r in range(len(radii)):
            if square <= (radii[r] + 3.0) ** 2:
                continue
            for m in range(len(lengths)):
                end = lengths[m] - radii[r]
                value = (beside if past <= end else gap(p, entry, end * way, end * end, axes)) - radii[r]
                found[r, m, 0] = min(found[r, m, 0], value)
                if past > end and square - past * past <= radii[r] * radii[r]:
                    found[r, m, 1] = min(found[r, m, 1], value)
    return found


@compiled()
def worth(
    guess: Points, scene: tuple[Field, Points, Points], clouds: tuple[Points, Points, Points], numbers: Points
) -> float:
    """What the axis `guess` (lateral, up, medial rad, cranial rad) is worth, mm: its free radius less what it spoils.

    `scene`: depth, index from local (3, 4), frame (7, 3: axes, origin, voxel sides). `clouds`: rim, joint, other bone.
    `numbers`: posterior coordinate of the plane, radius, length, cap, head's radius, wanted medial and cranial rad, and
    how far from the entry the free radius counts once more, 0: not at all, with its cap.
    """
    field, matrix, frame = scene
    rim, joint, others = clouds
    p = np.array([guess[0], numbers[0], guess[1]])
    cosine = np.cos(guess[3])
    way = np.array([-np.sin(guess[2]) * cosine, -np.cos(guess[2]) * cosine, np.sin(guess[3])])
    back = leaves(field, p, -way, matrix, STEP)
    if back < 0:
        return -9.0
    q = p - back * way
    entry, out = np.empty(3), np.empty(3)
    for a in range(3):
        entry[a] = frame[3, a] + q[0] * frame[0, a] + q[1] * frame[1, a] + q[2] * frame[2, a]
        out[a] = -(way[0] * frame[0, a] + way[1] * frame[1, a] + way[2] * frame[2, a])
    radius, none = numbers[1], np.zeros((3, 3))
    axes = frame[4:7]
    stop = entry - (numbers[2] - radius) * out
    free = min(least(rim, entry, entry, stop, radius + 3.0, axes), numbers[3])
    spoiled = 0.5 * max(0.0, 1.0 - (least(joint, entry, entry, stop, -1.0, none) - radius))
    room = least(others, entry, entry + 6.0 * out, entry + 60.0 * out, -1.0, none) - numbers[4]
    spoiled += 0.25 * max(0.0, -room)
    for wanted, is_ in ((numbers[5], guess[2]), (numbers[6], guess[3])):
        if not np.isnan(wanted):
            spoiled += LEAN * abs(is_ - wanted)
    if numbers[7] > 0:
        free += DEEPER * min(least(rim, entry, entry, stop, numbers[7], axes), numbers[8])
    return float(free - spoiled)


@compiled()
def _beside(points: Points, guess: Points, frame: Points, plane: float) -> Points:
    """Those of `points` within `NEAR` mm of the line of `guess`."""
    cosine = np.cos(guess[3])
    way = np.array([-np.sin(guess[2]) * cosine, -np.cos(guess[2]) * cosine, np.sin(guess[3])])
    through, out = np.empty(3), np.empty(3)
    for a in range(3):
        through[a] = frame[3, a] + guess[0] * frame[0, a] + plane * frame[1, a] + guess[1] * frame[2, a]
        out[a] = way[0] * frame[0, a] + way[1] * frame[1, a] + way[2] * frame[2, a]
    kept = np.empty(len(points), dtype=np.bool_)
    for n in range(len(points)):
        x, y, z = points[n, 0] - through[0], points[n, 1] - through[1], points[n, 2] - through[2]
        t = x * out[0] + y * out[1] + z * out[2]
        kept[n] = x * x + y * y + z * z - t * t < NEAR * NEAR
    return points[kept]


@compiled()
def refine(
    guesses: Points,
    bounds: Points,
    scene: tuple[Field, Points, Points],
    clouds: tuple[Points, Points, Points],
    shared: Points,
    lengths: Points,
    finest: float,
) -> tuple[Points, Points]:
    """Each guess moved to the best place near it, by steps that halve, inside `bounds` (4, 2); and what it is worth.

    `lengths` (n,) are how far each is judged, mm, in place of the one in `shared`; the rest of it as in `worth`. Steps
    end at `finest` mm; 1 or more only judges. Of the rim, voxels within `NEAR` of the guess's own axis are looked at.
    """
    best = guesses.copy()
    values = np.empty(len(guesses))
    for n in range(len(guesses)):
        step = np.array([1.0, 1.0, 0.05, 0.05])
        numbers = shared.copy()
        numbers[2] = lengths[n]
        near = (_beside(clouds[0], best[n], scene[2], numbers[0]), clouds[1], clouds[2])
        value = worth(best[n], scene, near, numbers)
        while step[0] > finest:
            improved = False
            for a in range(6 if shared[7] > 0 else 4):
                for sense in (-1.0, 1.0):
                    trial = best[n].copy()
                    if a < 4:
                        trial[a] += sense * step[a]
                    else:  # about a point ahead, which stays where it is
                        trial[a - 4] += sense * step[a - 4]
                        trial[a - 2] += sense * step[a - 4] / PIVOT * (1.0 if a == 4 else -1.0)
                    for b in range(4):
                        trial[b] = min(max(trial[b], bounds[b, 0]), bounds[b, 1])
                    found = worth(trial, scene, near, numbers)
                    if found > value + 1e-6:
                        for b in range(4):
                            best[n, b] = trial[b]
                        value, improved = found, True
            if not improved:
                for a in range(4):
                    step[a] /= 2
        values[n] = value
    return best, values


@compiled()
def shifted(
    field: Field,
    index_from_patient: Points,
    rim: Points,
    axis: tuple[Points, Points, Points],
    moved: tuple[Points, Points],
    radius: float,
    axes: Points,
) -> Points:
    """Least gap between the screw's wall and the bone's after each displacement, mm, negative where it breaches.

    `axis`: entry, tip, and a point of the axis in the pedicle, LPS. `moved`: shifts (n, 3) mm and new unit directions
    (n, 3), which turn it about its entry. The voxels near the entry are those near where the moved axis enters.
    """
    shift, turned = moved
    entry, tip, neck = axis
    length = np.sqrt(((tip - entry) ** 2).sum())
    past = np.sqrt(((neck - entry) ** 2).sum())
    result = np.empty(len(shift))
    for n in range(len(shift)):
        start = entry + shift[n]
        way = turned[n]
        within = start + past * way
        back = leaves(field, within, -way, index_from_patient, 0.25)
        door = within - back * way if back >= 0 else start
        result[n] = least(rim, door, start, start + (length - radius) * way, radius + 3.0, axes) - radius
    return result
