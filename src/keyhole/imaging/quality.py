"""What an image is good for: spacing, coverage, noise, contrast, metal, truncation, jumps, Hounsfield units.

Everything is seen on a sample (blocks, a coarse grid, faces), so that a large CT costs about a second. Each item has a
value, a verdict and its consequence for the later stages. Thresholds are Keyhole's own choice [keyhole-choice] but
where a source is named; a verdict says what to mind, not whether an image is worth looking at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.casefile.models import QualityItem
from keyhole.geometry import Volume
from keyhole.imaging import hounsfield
from keyhole.imaging.body import Body, body_in
from keyhole.imaging.sampling import Blocks, blocks_of, long_axis, side_of, steps_of, thinned
from keyhole.imaging.sides import SIDES, liver_side

Verdict = Literal["good", "limited", "unusable", "unknown"]

HOUNSFIELD = "Hounsfield units"
METAL = "metal"
TRUNCATION = "body inside the field of view"
JUMPS = "jump between slices"
SPACING = "largest voxel side"
NOISE = "noise"

SPACINGS = (1.5, 3.0, 6.0)
"""mm: pedicles and foramina; bodies, canal and discs; less than that; beyond it nothing small is seen."""

NOISES = (30.0, 100.0)
"""sd, HU, in muscle or fat: below the first bone edges are found as well as ever; above the second hardly."""

METAL_HU = 2500.0
"""HU that no bone reaches [keyhole-choice]."""

NEGATIVE, WHOLE = -20.0, 5e5
"""An image of more than so many mm³ whose least value lies above -20 holds neither fat nor air."""

SHIFT = 100.0
"""A shift of all tissues by up to so many HU makes thresholds unsure; a larger one makes them void."""

LEAST_METAL = 0.05
"""mL of it that count: single bright voxels are noise or calcium."""

JUMP = 2.5
"""Change from one slice to the next over the usual one nearby, beyond which something moved or is missing."""

_ACTING = (HOUNSFIELD, METAL, TRUNCATION, JUMPS, SPACING, NOISE, SIDES)


def quality(volume: Volume, modality: str) -> tuple[QualityItem, ...]:
    """How good `volume` is for planning, item by item.

    Parameters
    ----------
    modality : "CT" or "MR"; Hounsfield units, metal and tissue contrast are judged on CT alone.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # damaged headers give values beyond any scale
        return _judged(volume, modality.upper() == "CT")


def _judged(volume: Volume, is_ct: bool) -> tuple[QualityItem, ...]:
    blocks = blocks_of(volume)
    means = hounsfield.calm(blocks)
    scale = hounsfield.fitting(means) if is_ct else None
    found = [_spacing(volume, is_ct), _anisotropy(volume), _extent(volume)]
    if scale is not None:
        found.append(_scale(volume, means, scale))
    trusted = is_ct and are_hounsfield(found)
    sd = noise(blocks, means, hounsfield_units=trusted)
    found.append(_noise(sd, is_ct))
    if trusted:
        found += [*_contrast(volume, blocks, sd), _metal(volume)]
    body = body_in(volume, is_hu=trusted)
    found += [_truncation(body), _jumps(volume), *([liver_side(volume, body)] if trusted else [])]
    return tuple(found)


def are_hounsfield(items: Sequence[QualityItem]) -> bool:
    """Whether nothing in `items` says that the values are not Hounsfield units."""
    return not any(item.name == HOUNSFIELD and item.verdict == "unusable" for item in items)


def caveats(items: Sequence[QualityItem]) -> tuple[str, ...]:
    """The consequences that the case carries from here on: of what is limited or unusable and changes results."""
    return tuple(
        f"{item.name}: {item.consequence}"
        for item in items
        if item.name in _ACTING and item.verdict in ("limited", "unusable")
    )


def _item(name: str, value: float | str | None, unit: str, verdict: Verdict, consequence: str) -> QualityItem:
    shown = round(value, 3) if isinstance(value, float) else value
    return QualityItem(name=name, value=shown, unit=unit, verdict=verdict, consequence=consequence)


# --- geometry


def _spacing(volume: Volume, is_ct: bool) -> QualityItem:
    largest = float(volume.grid.spacing.max())
    if largest <= SPACINGS[0] + 0.01:
        return _item(SPACING, largest, "mm", "good", "fine enough for pedicles and foramina")
    if largest <= SPACINGS[1] + 0.01:
        text = "facet surfaces and foramina are blurred; bodies, discs and the canal can be measured"
        return _item(SPACING, largest, "mm", "limited", text)
    if largest <= SPACINGS[2]:
        text = "areas of the canal from such slices are coarse; pedicles and facets are not resolved"
        return _item(SPACING, largest, "mm", "limited", text)
    text = f"too coarse to plan on: structures smaller than {largest:.0f} mm are not resolved"
    return _item(SPACING, largest, "mm", "unusable" if is_ct else "limited", text)


def _anisotropy(volume: Volume) -> QualityItem:
    ratio = float(volume.grid.spacing.max() / volume.grid.spacing.min())
    if ratio <= 2.0:
        return _item("anisotropy", ratio, "1", "good", "equally sharp in every direction, or nearly")
    axis = int(np.argmax(volume.grid.spacing))
    way = {"head": "head to feet", "left": "left to right", "back": "front to back"}
    names = way.get(side_of(volume, axis, -1), way.get(side_of(volume, axis, 0), "one direction"))
    return _item("anisotropy", ratio, "1", "limited", f"edges across {names} are less sure than the others")


def _extent(volume: Volume) -> QualityItem:
    axis = long_axis(volume)
    length = float(volume.grid.spacing[axis] * volume.array.shape[axis])
    if length >= 120:
        return _item("length head to feet", length, "mm", "good", "long enough for several lumbar levels")
    text = "too short to count the levels from sacrum or ribs: their names need another image"
    return _item("length head to feet", length, "mm", "limited", text)


# --- values


def _scale(volume: Volume, means: NDArray[np.float64], scale: hounsfield.Scale) -> QualityItem:
    """Whether the values are Hounsfield units."""
    coarse = thinned(volume)
    known = coarse[np.isfinite(coarse)]
    least = float(known.min()) if len(known) else np.inf
    is_large = volume.grid.voxel_volume * volume.array.size > WHOLE
    if 0 < abs(scale.offset) <= SHIFT:
        text = "all tissues lie that many HU from where they are usual: thresholds between tissues are less sure"
        return _item(HOUNSFIELD, f"shifted by about {scale.offset:+.0f}", "[hnsf'U]", "limited", text)
    why = ""
    if scale.offset != 0:
        why = f"they would be HU if {scale.offset:.0f} were taken off"
    elif is_large and NEGATIVE < least < np.inf:
        why = f"none lies below {least:.0f}, so there is neither fat nor air"
    elif is_large and not scale.fits:
        why = "neither fat nor soft tissue nor air lies where it should, whatever is taken off"
    if why:
        text = "no tissue class and no HU is taken from them; convert the image from DICOM again, with its rescaling"
        return _item(HOUNSFIELD, f"the values are none: {why}", "", "unusable", text)
    at = hounsfield.peaks(means)
    named = {"air": at.air, "fat": at.fat, "soft tissue": at.soft}
    value = ", ".join(f"{name} {hu:.0f}" for name, hu in named.items() if hu is not None) or "no peak found"
    if at.fat is None and at.soft is None:
        text = "neither fat nor soft tissue stands out: tissue classes by HU could not be checked"
        return _item(HOUNSFIELD, value, "[hnsf'U]", "limited", text)
    middles = {"air": -1000.0, "fat": sum(hounsfield.FAT) / 2, "soft tissue": sum(hounsfield.SOFT) / 2}
    off = {name: hu - middles[name] for name, hu in named.items() if hu is not None}
    worst = max(off, key=lambda name: abs(off[name]))
    if abs(off[worst]) > hounsfield.OFF and not (worst == "air" and off[worst] > 0 and len(off) > 1):
        text = f"{worst} lies {off[worst]:+.0f} HU from where it is usual: thresholds between tissues are less sure"
        return _item(HOUNSFIELD, value, "[hnsf'U]", "limited", text)
    return _item(HOUNSFIELD, value, "[hnsf'U]", "good", "air, fat and soft tissue lie where they should")


def noise(blocks: Blocks, means: NDArray[np.float64], *, hounsfield_units: bool) -> float | None:
    """The sd of the noise inside one tissue; None where none could be singled out.

    A low quantile of the blocks' variances, divided by what that quantile is of the variance of pure noise: blocks
    that hold an edge or texture lie above it. HU: blocks of fat and muscle; else of everything but the background.
    """
    if hounsfield_units:
        (low, _), (_, high) = hounsfield.FAT, hounsfield.SOFT
        chosen = (blocks.mean > low) & (blocks.mean < high) & ((blocks.mean < -60) | (blocks.mean > 0))
    elif len(means):
        top = float(np.percentile(blocks.mean, 95))
        chosen = blocks.mean > 0.25 * top
    else:
        return None
    if chosen.sum() < 30:
        return None
    share = 2 / (9 * (blocks.count - 1))  # Wilson and Hilferty's cube of a normal, for chi square over its freedom
    return float(np.sqrt(np.quantile(blocks.variance[chosen], 0.3) / (1 - share - 0.5244 * np.sqrt(share)) ** 3))


def _noise(sd: float | None, is_ct: bool) -> QualityItem:
    unit = "[hnsf'U]" if is_ct else "1"
    if sd is None:
        return _item(NOISE, None, unit, "unknown", "no even piece of tissue was found to measure it in")
    if not is_ct:
        return _item(NOISE, sd, unit, "unknown", "in the image's own unit, which has no scale on MR")
    if sd <= NOISES[0]:
        return _item(NOISE, sd, unit, "good", "edges of bone are found as well as the voxels allow")
    if sd <= NOISES[1]:
        return _item(NOISE, sd, unit, "limited", "edges of bone are less sure; soft tissues are hard to tell apart")
    return _item(NOISE, sd, unit, "unusable", "too noisy to tell soft tissues apart; thin bone may be missed")


def _contrast(volume: Volume, blocks: Blocks, sd: float | None) -> list[QualityItem]:
    """Bone against soft tissue over the noise; and whether blood seems to hold contrast medium."""
    coarse = thinned(volume)
    bone = coarse[(coarse > 200) & (coarse < METAL_HU)]
    soft = coarse[(coarse > 0) & (coarse < 100)]
    found = []
    if len(bone) < 50 or len(soft) < 50 or sd is None:
        text = "bone or soft tissue was not found, so nothing is known of their contrast"
        found.append(_item("contrast of bone", None, "1", "unknown", text))
    else:
        ratio = float(np.median(bone) - np.median(soft)) / max(sd, 1.0)
        good = ratio >= 4
        text = "bone stands out" if good else "bone hardly stands out of the noise: its surface is unsure"
        found.append(_item("contrast of bone", ratio, "1", "good" if good else "limited", text))
    return [*found, _phase(volume, blocks, sd)]


def _phase(volume: Volume, blocks: Blocks, sd: float | None) -> QualityItem:
    """A guess: even blocks too bright for muscle and too even for bone are blood or kidney with contrast medium."""
    name, calm = "contrast medium", (blocks.variance < (1.5 * (sd or 0.0)) ** 2)
    bright = calm & (blocks.mean > 110) & (blocks.mean < 450)
    tissue = (blocks.mean > -150) & (blocks.mean < 450)
    share = float(bright.sum()) / max(int(tissue.sum()), 1)
    if sd is None or tissue.sum() < 200:
        return _item(name, None, "%", "unknown", "whether blood holds contrast medium could not be told")
    if share < 0.01:
        return _item(name, 100 * share, "%", "good", "no sign of it (a guess): HU of bone are read as they are")
    text = "even, bright tissue is in view: blood with contrast medium or soft bone, which labels would tell apart"
    return _item(name, 100 * share, "%", "unknown", text)


def _metal(volume: Volume) -> QualityItem:
    """Implants: voxels brighter than any bone, their clusters, and how much darkness streaks around them."""
    size = 1.5
    seen = thinned(volume, size)
    steps = steps_of(volume, size)
    bright = seen > METAL_HU
    voxel = volume.grid.voxel_volume * float(np.prod(steps)) / 1000
    amount = float(np.count_nonzero(bright)) * voxel
    if amount < LEAST_METAL:
        return _item(METAL, 0.0, "mL", "good", "none")
    clusters, dark = _around(seen, bright, volume.grid.spacing * steps)
    text = (
        f"{clusters} {'piece' if clusters == 1 else 'pieces'} brighter than bone, "
        f"{dark:.0f} % of what lies within 15 mm is streaked dark: bone and canal there are not to be trusted"
    )
    return _item(METAL, amount, "mL", "limited", text)


def _around(seen: NDArray[Any], bright: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[int, float]:
    """Number of clusters of `bright`, and the percentage of streaked voxels within 15 mm of them."""
    margin = np.ceil(15 / spacing).astype(int)
    spans = []
    for axis in range(3):
        held = np.flatnonzero(bright.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append(slice(max(0, int(held[0]) - margin[axis]), int(held[-1]) + 1 + margin[axis]))
    part, values = bright[spans[0], spans[1], spans[2]], seen[spans[0], spans[1], spans[2]]
    number = int(ndimage.label(part, np.ones((3, 3, 3)))[1])
    near = np.asarray(ndimage.distance_transform_edt(~part, sampling=spacing)) <= 15
    ring = near & ~part
    return number, 100 * float((values[ring] < -250).mean()) if ring.any() else 0.0


def _truncation(body: Body) -> QualityItem:
    """Sides that the body runs into, and unmeasured surroundings that it touches."""
    if not body.cut and body.unmeasured < 0.005:
        return _item(TRUNCATION, "whole", "", "good", "the skin is in view all around")
    where = [f"cut at the {', '.join(body.cut)}"] if body.cut else []
    if body.unmeasured >= 0.005:
        where.append(f"{100 * body.unmeasured:.0f} % of its surface borders on what was not measured")
    text = f"the body is not whole in view ({'; '.join(where)}): no skin and no way in from there"
    return _item(TRUNCATION, "; ".join(where), "", "limited", text)


def _jumps(volume: Volume) -> QualityItem:
    """The largest change from one slice to the next over the usual one nearby."""
    axis = int(np.argmax(volume.grid.spacing)) if np.ptp(volume.grid.spacing) > 0.01 else long_axis(volume)
    change = _changes(volume, axis)
    name = JUMPS
    if len(change) < 9 or not change.max() > 0:
        return _item(name, None, "1", "unknown", "too few slices to tell whether one is displaced or missing")
    usual = np.array([np.median(np.delete(change[max(0, n - 4) : n + 5], min(n, 4))) for n in range(len(change))])
    floor = 0.25 * float(np.median(change)) + 1e-6
    ratio = change / np.maximum(usual, floor)
    inner = ratio[2:-2]
    at = int(np.argmax(inner)) + 2
    twins = int((change[2:-2] == 0).sum())
    if twins:
        text = f"{twins} neighbouring slices are the same to the voxel: slices may be repeated"
        return _item(name, float(twins), "1", "limited", text)
    if inner.max() <= JUMP:
        return _item(name, float(inner.max()), "1", "good", "no slice seems displaced or missing")
    text = f"between slices {at + 1} and {at + 2} of {len(change) + 1}: the patient moved, or slices are missing there"
    return _item(name, float(inner.max()), "1", "limited", text)


def _changes(volume: Volume, axis: int) -> NDArray[np.float64]:
    """Mean absolute change between neighbouring slices along `axis`, on a sample of each slice.

    Where the slices as a whole become brighter or darker, as at the body's edge, that is taken off.
    """
    steps = [1 if a == axis else max(1, n // 96) for a, n in enumerate(volume.array.shape)]
    thin = np.moveaxis(volume.array[:: steps[0], :: steps[1], :: steps[2]], axis, 0)
    flat = np.nan_to_num(np.ascontiguousarray(thin).reshape(len(thin), -1).astype(np.float32))
    low, high = np.percentile(flat[:: max(1, len(flat) // 20)], (2, 98))
    flat = np.clip(flat, low, high)
    step = np.diff(flat, axis=0)
    return np.asarray(np.abs(step).mean(axis=1) - np.abs(step.mean(axis=1)), dtype=np.float64)
