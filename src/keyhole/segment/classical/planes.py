"""The planes of the discs: bright endplates about a darker gap, in step with the pedicles, at regular distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.segment.classical._kernels import sampled
from keyhole.segment.classical.frame import FRONT, HALF

TILTS = np.arange(-32.0, 33.0, 4.0)
"""Tilts, degrees, of a disc against the canal's cross-section, forwards ..."""

LEANS = np.arange(-12.0, 13.0, 4.0)
"""... and sideways [keyhole-choice]."""

GAPS = np.arange(1.0, 7.0)
"""Half heights of a disc, mm, between its endplates' middles [keyhole-choice]."""

SPACING = (20, 48)
"""Distance of neighbouring discs along the canal, mm [bare-ct-prototype], T11 to L5."""

COLUMN = (-36.0, -12.0, 15.0)
"""The body column: from and to along posterior, and half width, mm, from the canal's middle [keyhole-choice]."""

PEDICLE = (-50.0, 200.0)
"""HU between which what lies beside the canal counts: from the foramen's fat and nerve to bone. In osteoporosis a
pedicle is a ring about marrow as dark as muscle, yet denser than the foramen [keyhole-choice]."""

STEP_IN, FAINT = 0.8, 0.06
"""Weight of the pedicles' beat, as a share of its own size, and the least size that counts as one. Worn endplates and
fractures look like discs; between two discs lies one pair of pedicles whatever the density [keyhole-choice]."""

LEAST = 0.30
"""Score from which a plane lengthens the row of discs [keyhole-choice]."""

UNEVEN = 1.2
"""Price of a change of spacing from one disc to the next, per unit of its logarithm [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Along the canal, one value per station."""

    disc: NDArray[np.float64]  # score of the best plane there, 0 to about 1
    tilt: NDArray[np.float64]  # its tilt, degrees, positive where its front stands higher
    lean: NDArray[np.float64]  # its lean, degrees, positive where its left stands higher
    half: NDArray[np.float64]  # half distance of its endplates, mm
    pedicle: NDArray[np.float64]  # density beside the canal, 0 as in the foramen, 1 as in bone
    phase: NDArray[np.float64]  # pedicle below less pedicle above, -1 to 1
    total: NDArray[np.float64]


def signals(straight: NDArray[np.float32], step_in: float = STEP_IN) -> Signals:
    """What speaks for a disc at each station of the straight copy (station, left, posterior).

    `step_in` is the weight of the pedicles' beat.
    """
    profile = _profiles(straight)
    dip, half = _dips(profile)
    tilts, leans = np.meshgrid(TILTS, LEANS, indexing="ij")
    plain = 1.0 - 0.3 * (tilts / TILTS[-1]) ** 2 - 0.2 * (leans / LEANS[-1]) ** 2  # steep planes need more
    n = np.where(np.isfinite(dip), dip * plain.ravel(), -np.inf).argmax(axis=1)
    rows = np.arange(len(dip))
    best = np.where(np.isfinite(dip[rows, n]), dip[rows, n], 0.0)
    scale = max(float(np.percentile(best[best > 0], 95)) if (best > 0).any() else 0.0, 40.0)
    disc = np.clip(best / scale, 0.0, 1.2)
    pedicle = _pedicles(straight)
    phase = _phase(pedicle)
    beat = max(float(np.percentile(np.abs(phase), 90)), FAINT)
    total = disc + step_in * phase / beat
    return Signals(disc, tilts.ravel()[n], leans.ravel()[n], half[rows, n], pedicle, phase, total)


def _profiles(straight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(station, orientation) mean over the body column on each tilted plane; nan where too little is seen."""
    front, back, wide = COLUMN
    x, y = np.meshgrid(np.arange(-wide, wide + 1, 3.0), np.arange(front, back + 1, 3.0), indexing="ij")
    middle = (front + back) / 2
    held = (x / wide) ** 2 + ((y - middle) / ((back - front) / 2)) ** 2 <= 1.05
    x, y = x[held], y[held]
    place = np.arange(len(straight), dtype=np.float64)
    out = np.empty((len(straight), len(TILTS) * len(LEANS)), dtype=np.float32)
    column = 0
    for tilt in np.tan(np.radians(TILTS)):
        for lean in np.tan(np.radians(LEANS)):
            rise = (y - middle) * tilt - x * lean  # stations count downwards, y backwards
            points = np.empty((len(place), len(x), 3))
            points[..., 0] = place[:, None] + rise
            points[..., 1] = x + HALF
            points[..., 2] = y + FRONT
            values = sampled(straight, points.reshape(-1, 3), np.nan).reshape(points.shape[:2])
            seen = np.isfinite(values)
            total = np.where(seen, np.clip(values, -50, 700), 0.0).sum(axis=1)
            count = seen.sum(axis=1)
            out[:, column] = np.where(count >= 0.6 * len(x), total / np.maximum(count, 1), np.nan)
            column += 1
    return out


def _dips(profile: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each station's mean lies below the nearer endplates on both its sides, HU, and half the gap, mm."""
    n = len(profile)
    padded = np.pad(profile.astype(np.float64), ((14, 14), (0, 0)), constant_values=np.nan)

    def at(shift: int) -> NDArray[np.float64]:
        return np.asarray(padded[14 + shift : 14 + shift + n])

    best = np.full(profile.shape, -np.inf)
    half = np.zeros(profile.shape)
    for gap in GAPS.astype(int):
        inner = np.mean([at(s) for s in range(-gap + 1, gap)], axis=0)
        above = np.max([at(-s) for s in (gap, gap + 1, gap + 2)], axis=0)
        below = np.max([at(s) for s in (gap, gap + 1, gap + 2)], axis=0)
        dip = np.minimum(above, below) - inner
        better = dip > best
        best = np.where(better, dip, best)
        half = np.where(better, gap + 0.5, half)
    return best, half


def _pedicles(straight: NDArray[np.float32]) -> NDArray[np.float64]:
    """Density just lateral to the canal on both sides, at the height of the canal's front half."""
    low, high = PEDICLE
    part = np.clip(np.nan_to_num(straight[:, :, FRONT - 9 : FRONT - 1], nan=low), low, high).mean(axis=2)
    sides = [part[:, HALF + 9 : HALF + 22].mean(axis=1), part[:, HALF - 21 : HALF - 8].mean(axis=1)]
    beside = (np.mean(sides, axis=0).astype(np.float64) - low) / (high - low)
    return np.asarray(ndimage.gaussian_filter1d(beside, 1.5, mode="nearest"))


def _phase(pedicle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pedicles 6 to 15 mm below each station less those from 10 mm above to 1 mm below it."""
    padded = np.pad(pedicle, 16, mode="edge")
    n = len(pedicle)
    below = np.mean([padded[16 + s : 16 + s + n] for s in range(6, 16)], axis=0)
    above = np.mean([padded[16 + s : 16 + s + n] for s in range(-10, 2)], axis=0)
    return np.asarray(below - above, dtype=np.float64)


def row(found: Signals) -> list[int]:
    """Stations of the discs, cranial to caudal: the row with the largest score, evenly spaced."""
    score = np.where(np.isfinite(found.total), found.total, 0.0) - LEAST
    n = len(score)
    low, high = SPACING
    gaps = np.arange(low, high + 1)
    change = UNEVEN * np.abs(np.log(gaps[:, None] / gaps[None, :]))  # (now, before)
    total = np.full((n, len(gaps)), -np.inf)  # best row that ends at a station, with its last spacing
    came = np.full((n, len(gaps)), -1, dtype=np.int64)
    for s in range(n):
        for g, gap in enumerate(range(low, high + 1)):
            before = s - gap
            if before < 0:
                continue
            chain = total[before] - change[g]
            k = int(chain.argmax())
            start = score[before]
            if chain[k] > start:
                total[s, g], came[s, g] = chain[k] + score[s], k
            else:
                total[s, g], came[s, g] = start + score[s], -1
    s, g = (int(a) for a in np.unravel_index(int(total.argmax()), total.shape))
    stations = [s]
    while True:
        before = s - int(gaps[g])
        stations.append(before)
        k = int(came[s, g])
        if k < 0:
            return stations[::-1]
        s, g = before, k
