"""Share of fat in a muscle, from CT attenuation or MR signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.assessment.model import Grade, Measurement, probabilities
from keyhole.assessment.muscle.size import Muscle
from keyhole.geometry import LabelMap, Plane, Points, Volume

FAT_HU, MUSCLE_HU = (-190.0, -30.0), (-29.0, 150.0)
"""HU of fat [fat-hu] and of muscle, the most inclusive range [long2019]; what lies outside both is left out."""

THICK = 5.0
"""Half thickness, mm, of the slice about the disc's mid-plane in which fat is measured [keyhole-choice]."""

RIM = 1.5
"""Voxels of the label nearer to its border than this, mm, are left out: they hold fat from outside [keyhole-choice]."""

LEAST = 60
"""Voxels of the label that the slice must hold [keyhole-choice]."""

LEAN_SD, FAT_SD = 0.015, 0.05
"""Sd of the signal of lean muscle and of pure fat, as a share of the distance between both [keyhole-choice]."""

LIMITS = (20.0, 50.0)
CLASSES = ("0 (below 20 %)", "1 (20 to 50 %)", "2 (above 50 %)")
"""Grades of fat in the multifidus, % [multifidus-fat]."""

GRADED = "the source graded both sides together by eye on T2 images; here each side is measured"

ON_CT = "fat by attenuation: contrast medium and iodine-laden vessels make muscle look leaner than it is"

ON_MR = (
    "fat by T2 signal: fluid and oedema look like fat, and the coil's sensitivity changes the signal with depth; "
    "a Dixon image would be the reference"
)

ENOUGH = 200
"""Values from which a reference may be read [keyhole-choice]."""

_SAMPLE = 40_000  # voxels from which a reference is read


@dataclass(frozen=True, slots=True)
class Reference:
    """Signal of lean muscle and of pure fat in one image, and whether it is in Hounsfield units."""

    lean: float
    fat: float
    hounsfield: bool


def reference(image: Volume, labels: LabelMap, muscles: list[Muscle], *, hounsfield: bool) -> Reference | str:
    """What lean muscle and pure fat show in `image`, or why that cannot be known.

    Lean: the commonest signal of the leanest labelled muscle (on CT within -29 to 150 HU). Fat: the commonest signal
    of the fat around (on CT within -190 to -30 HU).
    """
    fat = _fat_points(labels)
    if fat is None:
        return "no fat outside the muscles is labelled or classed to compare with"
    pure = _within(sampled(image, fat), FAT_HU if hounsfield else None)
    every = [sampled(image, one.points[:: max(1, len(one.points) // 10_000)]) for one in muscles]
    lean = [_within(values, MUSCLE_HU if hounsfield else None) for values in every]
    modes = [_commonest(values) for values in lean if len(values) >= ENOUGH]
    if not modes or len(pure) < ENOUGH:
        return "the image holds too little muscle or fat to compare with"
    found = Reference(max(modes) if hounsfield else min(modes), _commonest(pure), hounsfield)
    if not (found.lean - found.fat if hounsfield else found.fat - found.lean) > 0.25 * abs(found.fat):
        return "muscle and fat do not differ enough in this image"
    return found


def _within(values: NDArray[np.float64], limits: tuple[float, float] | None) -> NDArray[np.float64]:
    """What of `values` is known and lies within `limits`."""
    kept = values[np.isfinite(values)]
    return kept if limits is None else kept[(kept >= limits[0]) & (kept <= limits[1])]


def _fat_points(labels: LabelMap) -> Points | None:
    """Places in fat, (n, 3) LPS mm, thinned; None where none is known."""
    numbers = labels.labels_of("tissue/fat")
    if not numbers:
        return None
    thin = labels.array[::3, ::3, ::3]
    index = 3 * np.argwhere(np.isin(thin, numbers))
    if len(index) < ENOUGH:
        return None
    return labels.grid.centres(index[:: max(1, len(index) // _SAMPLE)])


def _commonest(values: NDArray[np.float64]) -> float:
    """The mode of `values`: the highest point of their histogram, smoothed."""
    low, high = np.quantile(values, (0.005, 0.995))
    step = max((high - low) / 120, 1e-6)
    edges = np.arange(low, high + 2 * step, step)
    count = ndimage.gaussian_filter1d(np.histogram(values, edges)[0].astype(np.float64), 3.0)
    top = int(count.argmax())
    near = slice(max(0, top - 6), top + 7)
    middles = (edges[:-1] + edges[1:]) / 2
    return float(np.average(middles[near], weights=count[near] ** 2))


def sampled(image: Volume, points: Points) -> NDArray[np.float64]:
    """`image` at `points` (n, 3) LPS mm, between voxels; nan outside it."""
    if not len(points):
        return np.empty(0)
    index = image.grid.index(points)
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, image.grid.shape)
    if not (high > low).all():
        return np.full(len(points), np.nan)
    part: NDArray[Any] = image.array[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    values = ndimage.map_coordinates(part.astype(np.float32), (index - low).T, order=1, mode="nearest")
    inside = ((index >= -0.5) & (index <= np.array(image.grid.shape) - 0.5)).all(axis=1)
    return np.where(inside, values, np.nan).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Share:
    """Share of fat, %, and its sd."""

    value: float
    sd: float


def fat_share(found: Muscle, level: Plane, image: Volume, known: Reference) -> Share | str:
    """Share of fat in a muscle about the plane `level`, %, or why there is none.

    A mixture of two: each voxel's signal lies between lean muscle's and fat's, and the mean of all gives the share.
    Noise and fat finer than a voxel, which counting voxels by thresholds turns into bias, cancel out. The sd joins
    the standard error over blocks, the two references, and how much the share changes with the rim left out.
    """
    slab = np.abs(found.height(level)) <= THICK
    if found.is_edge[slab].any():
        return "it is cut by the field of view at this level"
    depth = _depth(found, slab)
    inner = depth > RIM
    if inner.sum() < LEAST:
        return f"only {int(inner.sum())} voxels of it lie away from its border at this level"
    points = found.points[slab][inner]
    share = (known.lean - sampled(image, points)) / (known.lean - known.fat)
    if not np.isfinite(share).mean() > 0.98:
        return "the image does not hold it whole at this level"
    used = np.isfinite(share)
    if known.hounsfield:
        hu = known.lean - share * (known.lean - known.fat)
        used &= (hu >= FAT_HU[0]) & (hu <= MUSCLE_HU[1])
    if used.sum() < LEAST:
        return "its attenuation is neither muscle's nor fat's"
    mean = float(share[used].mean())
    deep = used & (depth[inner] > 2 * RIM)
    rim = (mean - float(share[deep].mean())) / 2 if deep.sum() >= LEAST else 0.05
    terms = (_error(points[used], share[used]), LEAN_SD * (1 - min(max(mean, 0), 1)), FAT_SD * abs(mean), rim)
    sd = float(np.sqrt(sum(term**2 for term in terms)))
    return Share(100 * min(max(mean, 0.0), 1.0), 100 * sd)


def _depth(found: Muscle, slab: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How deep in the label the voxels of `slab` lie, mm; the slice's own ends are no border."""
    import edt  # noqa: PLC0415  (heavy import)

    index = found.index[slab]
    if not len(index):
        return np.empty(0)
    low, high = np.maximum(index.min(axis=0) - 4, 0), np.minimum(index.max(axis=0) + 5, found.mask.shape)
    part = np.pad(found.mask[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))], 1)
    steps = tuple(float(s) for s in found.grid.spacing)
    deep = edt.edt(np.ascontiguousarray(part), anisotropy=steps, parallel=1)
    return np.asarray(deep[tuple((index - low + 1).T)], dtype=np.float64)


def _error(points: Points, share: NDArray[np.float64]) -> float:
    """Standard error of the mean over blocks of 8 mm."""
    block = np.floor(points / 8.0).astype(np.int64)
    _, place = np.unique(block, axis=0, return_inverse=True)
    count = np.bincount(place.ravel())
    means = np.bincount(place.ravel(), share) / count
    full = count >= 0.3 * count.max()
    if full.sum() < 2:
        return float(share.std())
    return float(means[full].std(ddof=1) / np.sqrt(full.sum()))


def multifidus_grade(found: Measurement) -> Grade | None:
    """Probability of each grade of fat in the multifidus [multifidus-fat]."""
    if found.value is None or found.sd is None:
        return None
    return Grade(probabilities(found.value, found.sd, LIMITS, CLASSES), "multifidus-fat", (GRADED,))
