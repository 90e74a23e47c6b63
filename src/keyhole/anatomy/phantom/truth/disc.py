"""The exact heights, volume, signal and displacement of a phantom's discs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom, materials
from keyhole.anatomy.phantom.parameters import LEVELS, NAMES
from keyhole.anatomy.phantom.truth.endplates import TrueEndplate, along, inside, lean
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.casefile import FindingEntry
from keyhole.geometry import Plane, Points, unit
from keyhole.terms import in_key

COARSE, FINE = 1.3, 0.7  # mm between samples of a whole disc, and of what lies beyond its ring
RIM = np.arange(-1.5, 3.01, 0.75)  # mm inside an endplate plane where its outline is looked for
TURN = np.arange(72) * 2 * np.pi / 72
EDGE, LEAST = 2.0, 5.0  # mm beyond the ring, mm³
SECTORS, HELD = 36, 3.0
SLAB, INSET = 5.0, 1.5  # mm, where the signal is read
CHORD = 10.0  # mm, half length of the chord that gives the canal's direction


@dataclass(frozen=True, slots=True, eq=False)
class _Disc:
    """A disc with its facing endplates and its axes: back and up in the sagittal plane."""

    body: Phantom
    level: str
    roof: TrueEndplate
    floor: TrueEndplate

    @property
    def middle(self) -> Plane:
        return Plane((self.roof.centre + self.floor.centre) / 2, self.roof.plane.normal + self.floor.plane.normal)

    @property
    def axes(self) -> Points:
        """(3, 3) left, back, up."""
        left, up = np.array([1.0, 0.0, 0.0]), self.middle.normal
        return np.stack([left, unit(np.cross(up, left)), up])

    @property
    def centre(self) -> Points:
        return np.asarray(self.middle.point * np.array([0.0, 1.0, 1.0]))

    def labels(self, local: Points) -> NDArray[np.int64]:
        """0 elsewhere, 1 in the disc, 2 in its herniation, at points (n, 3) of its own axes."""
        key = f"disc/{in_key(self.level)}"
        found = self.body.labels_at(self.centre + local @ self.axes)
        numbers = {key: n for n, key in self.body.structures.items()}
        return np.where(found == numbers[key], 1, np.where(found == numbers.get(f"{key}/herniation", -1), 2, 0))


def disc_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Heights, index, wedge, volume, signal, and what lies beyond the endplates' ring, of every disc."""
    for level in plates.levels:
        disc = _Disc(body, level, *plates.facing(level))
        yield from _heights(disc)
        yield true("disc volume", level, _volume(disc), "mL")
        yield true("disc signal ratio", level, _signal(disc), "1")
        yield from _beyond(disc)


def _heights(disc: _Disc) -> Iterator[FindingEntry]:
    roof, floor, level = disc.roof, disc.floor, disc.level
    front, back = ((a + b) / 2 for a, b in ((roof.anterior, floor.anterior), (roof.posterior, floor.posterior)))
    heights = []
    for point in (front, back, disc.middle.point):
        at = Plane(point, disc.middle.normal)
        heights.append(along(roof.plane, at) - along(floor.plane, at))
    yield true("anterior disc height", level, heights[0], "mm")
    yield true("posterior disc height", level, heights[1], "mm")
    yield true("disc height index", level, float(np.mean(heights)) / ((roof.depth + floor.depth) / 2), "1")
    yield true("disc wedge angle", level, lean(floor.plane.normal) - lean(roof.plane.normal), "deg")


def _lattice(reach: tuple[float, float, float], step: float) -> Points:
    """Points (n, 3) `step` apart; each column starts at another height, so that no flat face falls between all."""
    i, j, k = (np.arange(int(2 * r / step)) for r in reach)
    x, y, z = np.meshgrid(i, j, k, indexing="ij")
    height = z + np.mod(0.618034 * x + 0.414214 * y, 1.0)
    points = np.stack([x + 0.5, y + 0.5, height], axis=-1).reshape(-1, 3)
    return np.asarray(points * step - np.array(reach))


def _volume(disc: _Disc) -> float:
    """ML, with the herniation; what is beyond the lattice is sampled around the herniation's own solid."""
    size = disc.body.size
    upper, lower = (size.vertebrae[name] for name in disc.level.split("/"))
    wide, deep = max(upper.width, lower.width) / 2 + 6.0, max(upper.depth, lower.depth) / 2 + 8.0
    tall = disc.body.spine.heights[disc.level] / 2 + 5.0
    points = _lattice((wide, deep, tall), COARSE)
    volume = float(np.count_nonzero(disc.labels(points) == 1)) * COARSE**3
    points = _fragment(disc)
    return (volume + float(np.count_nonzero(disc.labels(points) == 2)) * FINE**3) / 1000


def _fragment(disc: _Disc) -> Points:
    """Points `FINE` apart around the herniation of the disc, (n, 3) in its axes; none where it has none."""
    key = f"disc/{in_key(disc.level)}/herniation"
    boxes = [solid.box for solid in disc.body.solids if any(part.key == key for part in solid.every)]
    if not boxes:
        return np.empty((0, 3))
    low, high = np.array(boxes[0]).reshape(3, 2).T
    ticks = [np.arange(a, b, FINE) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray((points - disc.centre) @ disc.axes.T)


def _signal(disc: _Disc) -> float:
    """Mean of what T2 shows in the disc's inside, without noise, over that of the fluid."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415  (heavy import)

    steps = (2.0, 0.6, 0.6)  # three steps end 1.5 mm inside
    deep = max(disc.body.size.vertebrae[name].depth for name in disc.level.split("/")) / 2 + 6.0
    tall = disc.body.spine.heights[disc.level] / 2 + 4.0
    ticks = [np.arange(-r + s / 2, r, s) for r, s in zip((9.0, deep, tall), steps, strict=True)]
    lattice = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)
    labels = disc.labels(lattice.reshape(-1, 3)).reshape(lattice.shape[:3])
    depth = distance_transform_edt(labels > 0, sampling=steps) - steps[1] / 2
    kept = lattice[(depth >= INSET - 1e-6) & (labels == 1) & (np.abs(lattice[..., 0]) <= SLAB)]
    kinds = materials(disc.body.parameters, disc.body.size)
    shown = np.where(_in_nucleus(disc, kept), _nucleus(disc), kinds["disc"].t2)
    return float(shown.mean() / kinds["csf"].t2) if len(shown) else 0.0


def _nucleus(disc: _Disc) -> float:
    """What T2 shows in the nucleus."""
    change, age = disc.body.change, disc.body.parameters.age
    worn = min(0.75, max(0.0, (age - 30.0) / 90.0))
    dark = max(worn, change.dark) if change.level == disc.level else worn
    return 560.0 * (1 - dark) + 110.0 * dark


def _in_nucleus(disc: _Disc, local: Points) -> NDArray[np.bool_]:
    upper = disc.body.size.vertebrae[NAMES[LEVELS.index(disc.level)]]
    place, height = disc.body.spine.discs[disc.level], disc.body.spine.heights[disc.level]
    radii = np.array([0.30 * upper.width, 0.29 * upper.depth, 0.46 * height])
    off = place.within(disc.centre + local @ disc.axes) - np.array([0.0, 0.8, 0.0])
    return np.asarray(((off / radii) ** 2).sum(axis=1) < 1)


def _beyond(disc: _Disc) -> Iterator[FindingEntry]:
    """Depth, volume and share of the circumference; place where a herniation is there."""
    local, far = _displaced(disc)
    behind = local[:, 1] > 0
    voxel = FINE**3
    order = np.sort(far[behind])[::-1]
    held = np.arange(1, len(order) + 1) * voxel
    depth = float(np.interp(LEAST, held, order)) if len(order) and held[-1] >= LEAST else 0.0
    out = local[far > EDGE]
    sector = np.floor(np.mod(np.arctan2(out[:, 1], out[:, 0]), 2 * np.pi) / (2 * np.pi) * SECTORS).astype(int)
    full = np.count_nonzero(np.bincount(sector % SECTORS, minlength=SECTORS) * voxel > HELD)
    yield true("herniation depth", disc.level, max(depth, 0.0), "mm")
    yield true("herniation volume", disc.level, np.count_nonzero(order > EDGE) * voxel / 1000, "mL")
    yield true("herniation circumference", disc.level, 100.0 * full / SECTORS, "%")
    if depth > EDGE and disc.body.change.fragment > 0:
        middle = local[behind & (far > max(EDGE, depth / 2))].mean(axis=0)
        mirror = -1.0 if disc.body.parameters.is_mirrored else 1.0
        yield true("herniation offset", disc.level, mirror * middle[0], "mm")
        yield true("herniation migration", disc.level, _migration(disc, middle), "mm")


def _migration(disc: _Disc, middle: Points) -> float:
    spine = disc.body.spine
    start = (disc.roof.posterior + disc.floor.posterior) / 2
    s = spine.arc_at(float(start[1]), float(start[2]))
    way = unit(spine.point(s - CHORD) - spine.point(s + CHORD))
    return float((disc.centre + middle @ disc.axes - start) @ way)


def _displaced(disc: _Disc) -> tuple[Points, Points]:
    """Samples of the disc beyond the ring, (n, 3) in its axes, `FINE` apart, and how far beyond, mm."""
    outlines = [_outline(disc, *one) for one in zip(disc.level.split("/"), (-1, 1), strict=True)]
    widest = np.max(np.abs(outlines), axis=(0, 1)) + 4.0
    lattice = _lattice((widest[0], widest[1], disc.body.spine.heights[disc.level] / 2 + 2.5), FINE)
    reach = np.linalg.norm(lattice[:, :2], axis=1)
    angle = np.mod(np.arctan2(lattice[:, 1], lattice[:, 0]), 2 * np.pi)
    ring = [np.linalg.norm(o, axis=1) for o in outlines]
    least, most = (np.interp(angle, TURN, edge(ring, axis=0), period=2 * np.pi) for edge in (np.min, np.max))
    lattice = lattice[(reach > least) & (reach < most + 4.0)]
    extra = _fragment(disc)
    lattice = lattice if not len(extra) else np.concatenate([lattice[~_within(lattice, extra)], extra])
    lattice = lattice[np.linalg.norm(lattice[:, :2], axis=1) > 8.0]
    far = _far(disc, lattice, outlines)
    lattice, far = lattice[far > 0], far[far > 0]
    kept = disc.labels(lattice) > 0
    return lattice[kept], far[kept]


def _within(points: Points, box: Points) -> NDArray[np.bool_]:
    """Whether `points` lie where those of `box` are dense."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    return np.asarray(np.isfinite(cKDTree(box).query(points, distance_upper_bound=0.87 * FINE)[0]))


def _far(disc: _Disc, local: Points, outlines: list[Points]) -> Points:
    """Distance beyond the ring, mm: from both outlines, weighted by height between the planes."""
    points = disc.centre + local @ disc.axes
    top, floor = disc.roof.plane.height(points), disc.floor.plane.height(points)
    share = np.clip(floor / np.maximum(floor - top, 1e-3), 0.0, 1.0)
    over, under = (_outside(local[:, :2], outline) for outline in outlines)
    return np.asarray(share * over + (1 - share) * under)


def _outside(flat: Points, outline: Points) -> Points:
    """Signed distance of points (n, 2) from a closed outline, to 0.01 mm, negative inside."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    after = np.roll(outline, -1, axis=0)
    share = np.arange(0.0, 1.0, 0.05)[:, None, None]
    least = cKDTree((outline + share * (after - outline)).reshape(-1, 2)).query(flat)[0]
    angle = np.mod(np.arctan2(flat[:, 1], flat[:, 0]), 2 * np.pi)
    low = np.floor(angle / (2 * np.pi) * len(outline)).astype(int) % len(outline)
    a, b = outline[low], after[low]
    cross = (b - a)[:, 0] * (flat - a)[:, 1] - (b - a)[:, 1] * (flat - a)[:, 0]
    return np.asarray(np.where(cross > 0, -least, least))


def _outline(disc: _Disc, name: str, sense: int) -> Points:
    """Furthest extent of the body of `name` in 72 directions over the heights `RIM`, (72, 2) in the disc's axes."""
    from scipy.ndimage import median_filter  # noqa: PLC0415  (heavy import)

    plate = disc.roof if sense < 0 else disc.floor
    axes, normal = disc.axes, plate.plane.normal
    ways = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)

    def is_in(reach: Points) -> NDArray[np.bool_]:
        """For reaches (72, n, m), m heights, whether the body is there."""
        base = disc.centre + (ways[:, None, None] * reach[..., None]) @ axes[:2]
        up = -plate.plane.height(base) / float(axes[2] @ normal)
        points = base + up[..., None] * axes[2] - sense * RIM[:, None] * normal
        return inside(disc.body, name, points.reshape(-1, 3)).reshape(reach.shape)

    run = np.arange(9.0, 40.0, 1.5)
    held = is_in(np.broadcast_to(run[:, None], (len(TURN), len(run), len(RIM))))
    low = np.where(held, run[:, None], run[0]).max(axis=1)[:, None]
    high = low + 1.5
    for _ in range(6):
        middle = (low + high) / 2
        within = is_in(middle)
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    reach = ((low + high) / 2).max(axis=(1, 2))
    return np.asarray(ways * median_filter(reach, 5, mode="wrap")[:, None])
