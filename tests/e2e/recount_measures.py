"""An independent recount of recess, foramen and pars, before and after a decompression or a realignment.

numpy and scipy only, nothing of Keyhole: written from the definitions in docs/measures.md, in the frames that plan.json
gives. After a decompression the voxels it names hold nothing; after a realignment the upper vertebra lies where its
motion brings it and the disc is stretched between both endplates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from recount import Scene
from recount_decompress import taken
from recount_frames import Frame, frames
from scipy import ndimage
from scipy.spatial import cKDTree

STEP = 0.5


class Field:
    """Shares of sets of labels between voxels, on the part of the grid around a level."""

    def __init__(self, where: Scene, around: np.ndarray, room: float = 75.0) -> None:
        self.keys, self.where = where.keys, where
        inverse = np.linalg.inv(where.affine)
        middle = inverse[:3, :3] @ around + inverse[:3, 3]
        wide = room / np.linalg.norm(where.affine[:3, :3], axis=0)
        self.first = np.maximum(np.floor(middle - wide).astype(int), 0)
        last = np.minimum(np.ceil(middle + wide).astype(int) + 1, where.array.shape)
        self.array = where.array[tuple(slice(a, b) for a, b in zip(self.first, last, strict=True))]
        self.inverse, self.masks = inverse, {}

    def without(self, index: np.ndarray) -> Field:
        """The same with nothing at the voxels `index` (n, 3) of the whole grid."""
        other = object.__new__(Field)
        other.keys, other.where, other.first, other.inverse, other.masks = (
            self.keys, self.where, self.first, self.inverse, {},
        )  # fmt: skip
        other.array = self.array.copy()
        own = index - self.first
        own = own[((own >= 0) & (own < self.array.shape)).all(axis=1)]
        other.array[tuple(own.T)] = 0
        return other

    def share(self, points: np.ndarray, numbers: list[int]) -> np.ndarray:
        name = tuple(sorted(numbers))
        if name not in self.masks:
            self.masks[name] = np.isin(self.array, numbers).astype(np.float32)
        index = np.moveaxis(points @ self.inverse[:3, :3].T + self.inverse[:3, 3] - self.first, -1, 0)
        return ndimage.map_coordinates(self.masks[name], index, order=1, cval=0.0)

    def points(self, numbers: list[int]) -> np.ndarray:
        index = np.argwhere(np.isin(self.array, numbers)) + self.first
        return index @ self.where.affine[:3, :3].T + self.where.affine[:3, 3]


def _bones(where: Scene, name: str) -> list[int]:
    return where.labels(f"vertebra/{name}", *(("sacrum",) if name == "S1" else ()))


# Pars --------------------------------------------------------------------------------------------------------------


THICK = (2.0, 1.85, 2.15)
"""Thickness, mm, that makes a pixel of the arch count: at a notch one pixel decides how long its row runs."""


def pars(field: Field, frame: Frame, side: str) -> list[float | None]:
    """Seen from behind: the least mean over 2 mm of height of the longest run of arch bone 2 mm thick, by `THICK`."""
    head, labels = f"vertebra/{frame.name}", field.where.labels
    ends = [field.points(labels(f"{head}/{part}/{side}")) for part in ("pedicle", "facet/inferior")]
    if not all(len(e) for e in ends):
        return [None]
    top, bottom = (float(np.median((e - frame.centre) @ frame.up)) for e in ends)
    arch = labels(f"{head}/lamina/{side}", f"{head}/facet/inferior/{side}", f"{head}/facet/superior/{side}",
                  f"{head}/posterior", f"{head}/pedicle/{side}")  # fmt: skip
    points = field.points(arch)
    corner = np.array(np.meshgrid(*[(-0.4, -0.2, 0, 0.2, 0.4)] * 3)).reshape(3, -1).T @ field.where.affine[:3, :3].T
    points = (points[:, None] + corner).reshape(-1, 3) - frame.centre
    points = points[points @ frame.posterior > 0]
    count = int((top - bottom) / STEP + 0.5) + 1  # both ends count
    if count < 4:
        return [None]
    row = np.rint((top - points @ frame.up) / STEP).astype(int)
    column = np.floor(points @ frame.out(side) / STEP).astype(int)
    held = (row >= 0) & (row < count) & (column >= 0) & (column < 80)
    each = abs(np.linalg.det(field.where.affine[:3, :3])) / 125 / STEP**2
    thick = np.bincount(row[held] * 80 + column[held], minlength=count * 80).reshape(count, 80) * each
    return [_narrowest(thick >= least) for least in THICK]


def _narrowest(held: np.ndarray) -> float:
    """The least mean over four rows of the longest run, mm."""
    widths = [max((len(run) for run in "".join("x" if t else " " for t in line).split()), default=0) * STEP
              for line in held]  # fmt: skip
    return float(np.convolve(widths, np.ones(4) / 4, mode="valid").min())


# Recess ------------------------------------------------------------------------------------------------------------


def _ends(share: np.ndarray, ticks: np.ndarray, start: np.ndarray, rising: bool) -> np.ndarray:
    """Where each row of `share` first crosses one half after `start`, upwards or downwards; nan where it does not."""
    inside = share >= 0.5
    turn = (~inside[:, :-1] & inside[:, 1:]) if rising else (inside[:, :-1] & ~inside[:, 1:])
    turn &= ticks[None, 1:] > np.nan_to_num(start, nan=1e9)[:, None]
    n, row = turn.argmax(axis=1), np.arange(len(share))
    a, b = share[row, n], share[row, n + 1]
    place = ticks[n] + np.where(turn.any(axis=1), (a - 0.5) / np.where(a == b, 1, a - b), 0) * (ticks[1] - ticks[0])
    return np.where(turn.any(axis=1), place, np.nan)


APART = (0.0, -0.25, 0.25)
"""How far the recess's stretch beside the wall and its plane's height are moved, mm: columns are 0.25 mm apart, and
where the process ends just there, or slopes as at S1, the depth jumps."""


def recess(field: Field, upper: str, frame: Frame, side: str) -> list[float | None]:
    """Least depth over 0.5 to 3.5 mm medial of the pedicle's wall, also moved by `APART`; None: open or not seen."""
    where, out = field.where, frame.out(side)
    own, both = _bones(where, frame.name), _bones(where, frame.name) + where.labels(f"vertebra/{upper}")
    if frame.name == "S1":
        high = float((frame.centre_of("superior") - frame.centre) @ frame.up)
        top, middle = high - 3.0, high - 8.0
    else:
        pedicle = field.points(where.labels(f"vertebra/{frame.name}/pedicle/{side}"))
        if not len(pedicle):
            return [None]
        top, middle = np.percentile((pedicle - frame.centre) @ frame.up, (95, 50))
    x, y = np.arange(0.0, 26.0, 0.25), np.arange(0.0, 55.0, 0.25)
    flat = x[:, None, None] * out + y[None, :, None] * frame.posterior + frame.centre
    slab = (-1.0, -0.5, 0.0, 0.5, 1.0)

    def back(numbers: list[int], height: float) -> np.ndarray:
        return field.share(flat + height * frame.up, numbers)

    walls = []
    for h in slab:
        front = _ends(back(own, middle + h), y, np.zeros(len(x)) - 1, rising=False)
        near = (x >= 2) & (x <= 7) & np.isfinite(front)
        if near.sum() < 12:
            continue
        floor = np.polyval(np.polyfit(x[near], front[near], 1), 0.0)
        rows = np.arange(1.0, 6.0, 0.25)
        lines = (floor + rows)[:, None, None] * frame.posterior + x[None, :, None] * out
        share = field.share(lines + frame.centre + (middle + h) * frame.up, own)
        walls.append(_ends(share, x, np.zeros(len(rows)) - 1, rising=True))
    known = np.concatenate(walls) if walls else np.zeros(0)
    if not np.isfinite(known).sum() >= 0.8 * max(1, len(known)):
        return [None]
    wall = float(np.nanmean(known))
    return [value for high in APART for value in _depths(back, (own, both), top + high, wall, (x, y))]


def _depths(
    back: Callable[[list[int], float], np.ndarray], bones: tuple[list[int], list[int]], top: float, wall: float,
    ticks: tuple[np.ndarray, np.ndarray],
) -> list[float | None]:  # fmt: skip
    """The least depths in the plane at height `top`, the stretch beside `wall` moved by `APART`."""
    (own, both), (x, y), slab = bones, ticks, (-1.0, -0.5, 0.0, 0.5, 1.0)
    fronts = [_ends(back(own, top + h), y, np.zeros(len(x)) - 1, rising=False) for h in slab]
    inner = (x >= 0.25 * wall) & (x <= 0.8 * wall)
    xs, ys = np.tile(x[inner], len(slab)), np.concatenate([f[inner] for f in fronts])
    if np.isfinite(ys).sum() < 0.6 * len(ys):
        return [None]
    slope, level = np.polyfit(xs[np.isfinite(ys)], ys[np.isfinite(ys)], 1)
    depths = []
    for h, front in zip(slab, fronts, strict=True):
        roof = _ends(back(both, top + h), y, front, rising=True)
        depths.append(np.minimum(np.nan_to_num(roof - level - slope * x, nan=12.25), 12.25))
    gaps = np.mean(depths, axis=0) / np.hypot(1, slope)
    least = [gaps[(x >= wall - 3.5 + a) & (x <= wall - 0.5 + a)].min() for a in APART]
    return [float(value) if value < 11.0 else None for value in least]


# Foramen -----------------------------------------------------------------------------------------------------------


class Hole:
    """One foramen: axes of its side, and the bone and wall of its level, the upper vertebra after `motion`."""

    def __init__(self, field: Field, level: str, side: str, upper: Frame, lower: Frame) -> None:
        self.field, self.side, self.upper, self.lower = field, side, upper, lower
        roof, floor = upper.plates["inferior"], lower.plates["superior"]
        up = roof["normal"] + floor["normal"]
        self.up = up / np.linalg.norm(up)
        across = upper.out(side) + lower.out(side)
        across = across - (across @ self.up) * self.up
        self.out = across / np.linalg.norm(across)
        back = np.cross(self.up, self.out)
        self.back = back if back @ upper.posterior > 0 else -back
        self.origin = (upper.centre_of("inferior") + lower.centre_of("superior")) / 2
        where = field.where
        self.bodies = {f.name: where.labels(f"vertebra/{f.name}/body") for f in (upper, lower)}
        self.wholes = {f.name: _bones(where, f.name) for f in (upper, lower)}
        self.disc = where.labels(f"disc/{level.replace('/', '-')}")
        self.motion: np.ndarray | None = None

    def moved(self, motion: np.ndarray) -> Hole:
        """The upper vertebra's labels are looked up where they came from."""
        self.motion = motion
        return self

    def _from(self, points: np.ndarray) -> np.ndarray:
        if self.motion is None:
            return points
        return (points - self.motion[:3, 3]) @ self.motion[:3, :3]

    def share(self, points: np.ndarray, what: str) -> np.ndarray:
        """Share of wall ("front": bodies, disc) or of the arches ("bone") at `points`."""
        high, low = self.upper.name, self.lower.name
        if what == "bone":
            arch = [n for n in self.wholes[high] if n not in self.bodies[high]]
            own = self.field.share(self._from(points), arch)
            return np.maximum(own, self.field.share(points, [n for n in self.wholes[low] if n not in self.bodies[low]]))
        if self.motion is None:
            return self.field.share(points, self.bodies[high] + self.bodies[low] + self.disc)
        found = np.maximum(
            self.field.share(self._from(points), self.bodies[high]), self.field.share(points, self.bodies[low])
        )
        roof, floor = self.upper.plates["inferior"], self.lower.plates["superior"]
        below, above = ((points - p["anterior"]) @ p["normal"] for p in (floor, roof))
        ratio = np.clip(below / np.maximum(below - above, 0.1), 0, 1)[..., None]
        between = self.field.share(points + ratio * (self._from(points) - points), self.disc)
        return np.maximum(found, np.where((below > -1.5) & (above < 1.5), between, 0.0))

    def pedicle(self, frame: Frame) -> tuple[float, float, float] | None:
        """Inner and outer border along out, and the middle along up, mm in the hole's axes."""
        behind = np.mean([(p["posterior"] - frame.centre) @ frame.posterior for p in frame.plates.values()]) + 3.0
        x, z = np.arange(4.0, 36.0, 0.5), np.arange(-18.0, 20.0, 0.5)
        points = frame.centre + behind * frame.posterior + x[:, None, None] * frame.out(self.side)
        points = points + z[None, :, None] * frame.up
        asked = self._from(points) if frame is self.upper else points
        share = self.field.share(asked, self.wholes[frame.name])
        tall, middle = np.zeros(len(x)), np.zeros(len(x))
        for n, column in enumerate(share):
            runs, count = ndimage.label(column >= 0.5)
            if count:
                held = np.flatnonzero(runs == 1 + np.bincount(runs)[1:].argmax())
                tall[n] = column[max(0, held[0] - 1) : held[-1] + 2].sum() * 0.5
                middle[n] = z[held].mean()
        half = np.percentile(tall[x <= 4.0 + 2 * 17.8], 95) / 2
        held = np.flatnonzero(tall >= half)
        if half < 2.0 or not len(held):
            return None
        first = last = held[0]
        while last + 1 < len(x) and tall[last + 1] >= half:
            last += 1
        inner = x[first] if first == 0 else np.interp(half, tall[first - 1 : first + 1], x[first - 1 : first + 1])
        outer = x[last] if last + 1 == len(x) else np.interp(-half, -tall[last : last + 2], x[last : last + 2])
        outer = min(outer, inner + 17.8)
        inside = (x >= inner) & (x <= outer)
        axis = frame.centre + behind * frame.posterior + x[:, None] * frame.out(self.side) - self.origin
        heights = (axis + middle[:, None] * frame.up)[inside] @ self.up
        a, b = (float(np.interp(e, x, axis @ self.out)) for e in (inner, outer))
        return a, b, float(np.median(heights))

    def plane(self, lateral: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Heights of the rows, where the wall ends, and where the arch begins behind it, mm."""
        rows = np.arange(low, high + STEP / 2, STEP)
        wall = np.mean([(p["posterior"] - self.origin) @ self.back
                        for p in (self.upper.plates["inferior"], self.lower.plates["superior"])])  # fmt: skip
        along = np.arange(wall - 25.0, wall + 35.0, STEP)
        points = self.origin + lateral * self.out + rows[:, None, None] * self.up + along[None, :, None] * self.back
        front, bone = self.share(points, "front"), self.share(points, "bone")
        start = np.array([_last(row, along) for row in front])
        known = np.isfinite(start)
        if known.mean() < 0.6:
            return None
        start = np.interp(rows, rows[known], start[known])
        start = np.array([_past_rim(row, along, s) for row, s in zip(bone, start, strict=True)])
        behind = np.array([_begins(row, along, s) for row, s in zip(bone, start, strict=True)])
        behind[behind - start > 25.0] = np.nan
        known = np.isfinite(behind)
        if not known.any():
            return None
        far = np.where(known, behind, np.nanmax(behind))
        wide = np.pad(far, 12, mode="edge")
        opened = ndimage.grey_opening(wide, 12)[12:-12]
        sure = known | (opened < far)
        behind = np.interp(rows, rows[sure], opened[sure])
        return rows, start, np.where(behind - start < 0.6, start, behind)

    def readings(self) -> dict[str, list[float]]:
        """`measures` with planes and rows begun at three places: that is free, and each row's bone is found or not."""
        found = [self.measures(*begun) for begun in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.25))]
        return {name: [one[name] for one in found if one] for name in found[0] or {}}

    def measures(self, aside: float = 0.0, higher: float = 0.0) -> dict[str, float] | None:
        """Area, height and width; None where it is not seen. Planes begin `aside` and rows `higher` mm further on."""
        spans = [self.pedicle(f) for f in (self.upper, self.lower)]
        if None in spans:
            return None
        (a, b, high), (c, d, low) = spans
        inner, outer = max(a, c), min(b, d)
        if outer - inner < 2.0:
            inner = (inner + outer - 2.0) / 2
        places = inner + np.arange(max(2, int(outer - inner)) + 1)
        places = np.clip(places + aside, inner, max(outer, places[-1]))
        cut = [(x, p) for x in places if (p := self.plane(x, low + higher, high)) is not None]
        if not cut:
            return None
        at = np.array([x for x, _ in cut])
        gaps = [np.maximum(behind - front, 0) for _, (_, front, behind) in cut]
        area, x = _least(at, [float(g.sum()) * STEP for g in gaps])
        heights = [_tall(p[0], g) for (_, p), g in zip(cut, gaps, strict=True)]
        widths = [self._wide(lateral, p, g) for (lateral, p), g in zip(cut, gaps, strict=True)]
        return {
            "foramen area": area,
            "foramen height": _mean_about(at, heights, x),
            "foramen width": _least(at, widths)[0],
        }

    def _wide(self, lateral: float, plane: tuple[np.ndarray, np.ndarray, np.ndarray], gap: np.ndarray) -> float:
        """Least room over 2 mm of height in the upper half of the disc's height."""
        near = self.origin + lateral * self.out + float(np.median(plane[1])) * self.back
        ends = [
            float((p["anterior"] - near) @ p["normal"] / (p["normal"] @ self.up))
            for p in (self.lower.plates["superior"], self.upper.plates["inferior"])
        ]
        inside = (plane[0] >= sum(ends) / 2 - STEP / 2) & (plane[0] <= ends[1] + STEP / 2)
        band = ndimage.uniform_filter1d(gap, 5, mode="nearest")
        return float(band[inside].min()) if inside.any() else np.nan


def _crossed(row: np.ndarray, along: np.ndarray, n: int) -> float:
    """Where `row` passes one half between sample n and the next, mm."""
    return float(along[n] + STEP * (row[n] - 0.5) / (row[n] - row[n + 1]))


def _last(row: np.ndarray, along: np.ndarray) -> float:
    inside = np.flatnonzero(row >= 0.5)
    if not len(inside):
        return np.nan
    return _crossed(row, along, int(inside[-1])) if inside[-1] + 1 < len(row) else float(along[-1])


def _past_rim(row: np.ndarray, along: np.ndarray, wall: float) -> float:
    """The wall, or the end of bone of the arch thinner than 6 mm that lies on it with room and bone behind it."""
    bone = np.flatnonzero((row >= 0.5) & (along > wall - STEP / 2))
    if not len(bone) or along[bone[0]] - wall > 1.1:
        return wall
    breaks = np.flatnonzero(np.diff(bone) > 1)
    if not len(breaks):
        return wall
    end = _crossed(row, along, int(bone[breaks[0]]))
    return end if end - wall <= 6.0 and along[bone[breaks[0] + 1]] - end <= 25.0 else wall


def _begins(row: np.ndarray, along: np.ndarray, wall: float) -> float:
    bone = np.flatnonzero((row >= 0.5) & (along > wall))
    if not len(bone):
        return np.nan
    n = int(bone[0])
    return max(_crossed(row, along, n - 1) if n and row[n - 1] < 0.5 else float(along[n]), wall)


def _tall(rows: np.ndarray, gap: np.ndarray) -> float:
    """From the lowest to the highest row that is 2 mm wide."""
    held = np.flatnonzero(gap >= 2.0)
    if not len(held):
        return np.nan
    ends = []
    for n, way in ((held[0], -1), (held[-1], 1)):
        if not 0 <= n + way < len(gap):
            ends.append(rows[n])
            continue
        here = min(gap[n], 4.0)
        ends.append(rows[n] + way * STEP * (here - 2.0) / (here - gap[n + way]))
    return float(ends[1] - ends[0])


def _sliding(at: np.ndarray, values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    fine = np.arange(at[0], at[-1] + 0.1, 0.25)
    n = min(9, len(fine))
    means = np.convolve(np.interp(fine, at, values), np.ones(n) / n, mode="valid")
    return np.convolve(fine, np.ones(n) / n, mode="valid"), means


def _least(at: np.ndarray, values: list[float]) -> tuple[float, float]:
    """The least mean over 2 mm of breadth, and where."""
    places, means = _sliding(at, values)
    if not np.isfinite(means).any():
        return np.nan, float(at.mean())
    n = int(np.nanargmin(means))
    return float(means[n]), float(places[n])


def _mean_about(at: np.ndarray, values: list[float], x: float) -> float:
    places, means = _sliding(at, values)
    return float(np.interp(x, places, means))


# What plan.json says -----------------------------------------------------------------------------------------------

Readings = dict[str, list[float | None]]
"""What is counted, by name: once, or begun at several places."""

CLOSE = {
    "lateral recess depth": (0.3, 0.05), "foramen area": (2.0, 0.05), "foramen height": (0.6, 0.02),
    "foramen width": (0.4, 0.05), "pars width": (0.6, 0.05),
}  # fmt: skip
"""Same definition, other code: mm (mm²) and share by which two readings of the same words on the same voxels may differ
(rows of 0.5 mm, a pixel of 0.5 mm, where a plane 1 mm apart begins)."""

MOVED = {"foramen area": (6.0, 0.08), "foramen height": (1.0, 0.04), "foramen width": (0.8, 0.1)}
"""The same after a realignment: Keyhole draws the moved level anew on voxels of 0.6 mm, here its labels are looked up
where they came from."""


def _differs(name: str, said: float | None, mine: Readings, close: dict[str, tuple[float, float]]) -> str | None:
    """What is wrong; a measure that only one of both takes is not: its limits lie within the tolerance."""
    known = [value for value in mine.get(name, []) if value is not None and np.isfinite(value)]
    if said is None or not known:
        return None
    least, share = close[name]
    room = least + share * abs(known[0])
    told = f"{known[0]:.2f} ({min(known):.2f} to {max(known):.2f})"
    return None if min(known) - room <= said <= max(known) + room else f"{name} {said:.2f}, counted {told}"


def counted(field: Field, level: str, side: str, known: dict[str, Frame]) -> Readings:
    """Recess, foramen and pars of one side."""
    upper, lower = (known[name] for name in level.split("/"))
    hole = Hole(field, level, side, upper, lower).readings()
    return {
        "lateral recess depth": recess(field, upper.name, lower, side), "pars width": pars(field, upper, side),
        **hole,
    }  # fmt: skip


def _whole(known: dict[str, Frame], level: str) -> bool:
    """Whether both vertebrae of the level have the endplates that its measures need."""
    upper, lower = level.split("/")
    return {upper, lower} <= set(known) and "inferior" in known[upper].plates and "superior" in known[lower].plates


def check_bone(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about recess, foramen and pars before and after a decompression, in words."""
    level, known, wrong = plan["level"], frames(plan), []
    if not _whole(known, level):
        return wrong
    upper, lower = level.split("/")
    field = Field(where, (known[upper].centre + known[lower].centre) / 2)
    before: dict[str, Readings] = {}
    opened = [one for one in (plan["open"], *plan["comparators"]) if one is not None]
    for candidate in (*plan["candidates"], *opened):
        told = candidate["decompression"]
        measures = [m for m in (told or {"measures": ()})["measures"] if m["name"] in CLOSE]
        if told is None or told["voxels"] is None or not measures:
            continue
        left = field.without(taken(where, told))
        for side in sorted({m["side"] for m in measures}):
            if side not in before:
                before[side] = counted(field, level, side, known)
            after = counted(left, level, side, known)
            for m in (m for m in measures if m["side"] == side):
                for when, mine in (("before", before[side]), ("after", after)):
                    said = _differs(m["name"], m[when]["value"], mine, CLOSE)
                    if said:
                        wrong.append(f"{candidate['approach']} {candidate['rank']}: {side}, {when}, {said}")
    return wrong


def check_after_motion(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about foramina and facets before and after the cages of a plan, in words."""
    known, wrong = {one["vertebra"]: one for one in plan["frames"]}, []
    for entry in () if plan["fusion"] is None else plan["fusion"]["entries"]:
        level = entry["level"]
        upper, lower = level.split("/")
        motion = next(np.array(m["matrix"]) for m in entry["motions"] if m["vertebra"] == upper)
        said = [c for c in entry["changes"] if c["level"] == level]
        if not _whole(frames(plan), level):
            continue
        still, high, low = Frame(known[upper]), Frame(known[upper], motion), Frame(known[lower])
        field = Field(where, (still.centre + low.centre) / 2)
        for side in ("left", "right"):
            holes = (
                ("before", Hole(field, level, side, still, low).readings(), CLOSE),
                ("after", Hole(field, level, side, high, low).moved(motion).readings(), MOVED),
            )
            lines = []
            for when, mine, close in holes:
                for one in (c for c in said if c["side"] == side and c["name"] in MOVED):
                    lines.append(_differs(one["name"], one[when]["value"], mine, close))
            lines += _facet(field, level, side, motion, said)
            wrong += [f"cage ({entry['approach']}): {side}, {line}" for line in lines if line]
    return wrong


def _facet(field: Field, level: str, side: str, motion: np.ndarray, said: list[dict]) -> list[str]:
    """Mean distance of the bone of both processes where they lay within 4 mm, before and after."""
    told = next((c for c in said if c["name"] == "facet distance" and c["side"] == side), None)
    upper, lower = level.split("/")
    labels = field.where.labels
    one, two = (
        field.points(labels(key))
        for key in (f"vertebra/{upper}/facet/inferior/{side}", f"vertebra/{lower}/facet/superior/{side}")
    )
    if told is None or not len(one) or not len(two):
        return []
    tree = cKDTree(two)
    far = tree.query(one)[0]
    held = far <= 4.0
    after = tree.query(one[held] @ motion[:3, :3].T + motion[:3, 3])[0]
    pairs = (("before", far[held].mean()), ("after", after.mean()))
    return [
        f"facet distance {when} {told[when]['value']:.3f} mm, counted {mine:.3f}"
        for when, mine in pairs
        if not abs(told[when]["value"] - mine) <= 0.02
    ]
