"""How much of the pars interarticularis a removal leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.assessment.flank.frame import Side
from keyhole.assessment.model import Measurement, unknown
from keyhole.geometry import LabelMap, Points

NAME = "pars width"

PIXEL = 0.5
"""Sampling seen from behind, mm [keyhole-choice]."""

SOLID = 2.0
"""Bone thinner than this front to back does not count as left, mm [keyhole-choice]."""

BAND = 2.0
"""Height over which the width is averaged, mm [keyhole-choice]."""

FINE = 3
"""Shares of a voxel per `PIXEL`: with fewer some pixels get too little, and a thin row breaks [keyhole-choice]."""

PLACE_SD = 0.5
"""Sd of the width for where its ends are taken, mm [keyhole-choice]."""

NO_LIMIT = (
    "a definition of Keyhole's own, seen from behind, lying down; no published limit was read at its source, so the "
    "width says how much is left, not whether it holds"
)

_OUT, _BACK, _UP = 34.0, 60.0, 24.0


def pars_width(anatomy: Anatomy, level: str, side: Side, sd: float) -> Measurement:
    """Width of the pars of the level's upper vertebra, mm: what connects its superior to its inferior facets.

    Seen from behind, in rows across the vertebra's `up` from the middle of its pedicle down to the middle of its
    inferior articular process: the longest unbroken run of arch bone at least `SOLID` mm thick, from the midline
    outwards, that the row shares with pars, lamina or process. The least mean over `BAND` mm of height.
    """
    vertebra = anatomy.pair(level)[0]
    rows = _rows(anatomy.labels, vertebra, side)
    if rows is None:
        why = f"{level}: pedicle or inferior articular process of {vertebra.name} is not labelled on the {side}"
        return unknown(NAME, level, "mm", f"{why}; not measured", side)
    widths = _widths(anatomy.labels, vertebra, side, rows)
    n = max(1, round(BAND / PIXEL))
    means = np.convolve(widths, np.ones(n) / n, mode="valid") if len(widths) >= n else widths
    value = float(means.min())
    voxel = float(anatomy.labels.grid.spacing.max())
    error = float(np.sqrt(2 * sd**2 + (0.2 * voxel) ** 2 + PLACE_SD**2))
    method = f"seen from behind, least breadth of arch bone {SOLID:g} mm thick or more between the facets"
    return Measurement(NAME, level, value, error, "mm", "keyhole", method, (NO_LIMIT,), side)


def _rows(labels: LabelMap, vertebra: Vertebra, side: Side) -> Points | None:
    """Heights above the vertebra's centre, mm, cranial to caudal; None where a part is missing."""
    ends = []
    for part in (f"pedicle/{side}", f"facet/inferior/{side}"):
        index = np.argwhere(labels.mask(f"vertebra/{vertebra.name}/{part}"))
        if not len(index):
            return None
        ends.append(float(np.median((labels.grid.centres(index) - vertebra.centre) @ vertebra.up)))
    return np.arange(ends[0], ends[1] - PIXEL / 2, -PIXEL) if ends[0] - ends[1] >= BAND else None


def _widths(labels: LabelMap, vertebra: Vertebra, side: Side, rows: Points) -> Points:
    """Width of each row, mm."""
    solid = _thickness(labels, vertebra, side, rows) >= SOLID
    return np.array([_longest(row) * PIXEL for row in solid])


def _thickness(labels: LabelMap, vertebra: Vertebra, side: Side, rows: Points) -> NDArray[np.float64]:
    """Bone of the arch front to back, mm, at (row, place from the midline outwards)."""
    name = f"vertebra/{vertebra.name}"
    parts = (f"{name}/lamina/{side}", f"{name}/facet/inferior/{side}", f"{name}/facet/superior/{side}",
             f"{name}/posterior", f"{name}/pedicle/{side}")  # fmt: skip
    index = np.argwhere(labels.mask(*parts))
    local = (labels.grid.centres(index) - vertebra.centre) @ np.stack(
        [vertebra.toward(side), vertebra.posterior, vertebra.up], axis=1
    )
    return _columns(local, labels.grid.voxel_volume, labels.grid.spacing, rows)


def _columns(local: Points, volume: float, spacing: Points, rows: Points) -> NDArray[np.float64]:
    """Volume of bone behind each place over the place's area, mm; voxels are spread over their size."""
    found = np.zeros((len(rows), round(_OUT / PIXEL)))
    step = float(spacing.mean())
    n = max(2, int(np.ceil(FINE * step / PIXEL)))
    spread = (np.arange(n) + 0.5) / n - 0.5
    for a in spread:
        for b in spread:
            i = np.rint((rows[0] - local[:, 2] - a * step) / PIXEL).astype(np.int64)
            j = np.floor((local[:, 0] + b * step) / PIXEL).astype(np.int64)
            inside = (i >= 0) & (i < len(rows)) & (j >= 0) & (j < found.shape[1]) & (local[:, 1] > 0)
            np.add.at(found, (i[inside], j[inside]), volume / n**2 / PIXEL**2)
    return found


def _longest(row: NDArray[np.bool_]) -> int:
    """Length of the longest unbroken run."""
    best, run = 0, 0
    for one in row:
        run = run + 1 if one else 0
        best = max(best, run)
    return best
