"""Shapes and places that speak for or against the names of the lumbar vertebrae: crests, sizes, processes, discs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from keyhole.anatomy.boxes import union_box
from keyhole.anatomy.row import Row, cloud, up_at
from keyhole.casefile import EvidenceEntry
from keyhole.geometry import Points, unit

TOUCHES = 1.6
"""Largest distance, mm, between voxel centres of a transverse process and the sacrum that touch [keyhole-choice]."""

CONTACT = 80.0
"""Least area, mm², of a transverse process that touches the sacrum, to be named: coarse labels of healthy spines that
were looked at touch on up to 50 mm² [keyhole-choice]."""

LATERAL = 25.0
"""Distance from the middle of the body, mm, beyond which only transverse process is left [keyhole-choice]."""

JUMP = 0.30
"""Share by which a body's volume may differ from that of its neighbours [keyhole-choice]."""

RUDIMENTARY = 0.35
"""Share of the height of the disc above below which the lowest disc is called rudimentary [keyhole-choice]."""


def crests(row: Row) -> list[EvidenceEntry]:
    """The level of the iliac crests: usual at L4 or L4/L5, no proof."""
    crest = cloud(row.labels, row.boxes, max(1, round(row.step)), "pelvis")
    if len(crest) < 100 or len(row.bones) < 2:
        return []
    up = up_at(row, len(row.bones) - 1)
    top = float(np.percentile(crest @ up, 99.9))
    heights = [
        (one.name, float(np.percentile(one.body @ up, 5)), float(np.percentile(one.body @ up, 95))) for one in row.bones
    ]
    at = next((name for name, low, high in heights if low <= top <= high), None)
    if at is None:
        above = [name for name, low, _ in heights if low > top]
        below = [name for name, _, high in heights if high < top]
        if not above or not below:
            return []
        at = f"{above[-1]}/{below[0]}"
    text = f"the iliac crests reach the height of {at}; the usual is L4 to L4/L5, but it varies"
    return [EvidenceEntry(kind="pelvis", finding=text, supports=None)]


def shapes(row: Row) -> list[EvidenceEntry]:
    """Sizes that jump, processes that touch the sacrum, a low last disc."""
    return [*_sizes(row), *_processes(row), *_lowest_disc(row)]


def _sizes(row: Row) -> list[EvidenceEntry]:
    """Bodies whose volume jumps against their neighbours': labels mixed up, or a transitional vertebra."""
    whole = [one for one in row.bones if not one.cut and one.body is not one.points]
    found = []
    for n, one in enumerate(whole):
        beside = [len(other.body) for other in (*whole[max(0, n - 1) : n], *whole[n + 1 : n + 2])]
        usual = float(np.mean(beside)) if beside else 0.0
        change = len(one.body) / usual - 1 if usual else 0.0
        if abs(change) > JUMP:
            kind = "larger" if change > 0 else "smaller"
            text = f"the body of {one.name} is {abs(change):.0%} {kind} than its neighbours"
            means = "a label that holds parts of two vertebrae, a collapsed body, or a transitional vertebra"
            found.append(EvidenceEntry(kind="shape", finding=text, supports=False, means=means))
    return found


def _processes(row: Row) -> list[EvidenceEntry]:
    """Transverse processes of the lowest lumbar vertebra that touch the sacrum."""
    lowest, left = row.lowest, _frame(row)
    if left is None or not len(row.sacrum):
        return []
    areas = {side: _contact(row, outward) for side, outward in (("left", left), ("right", -left))}
    touching = [f"{side} ({area:.0f} mm²)" for side, area in areas.items() if area >= CONTACT]
    if not touching:
        return []
    text = f"the transverse process of {lowest.name} touches the sacrum on the {' and the '.join(touching)}"
    means = (
        f"a transitional vertebra, a sacralised {lowest.name} or a lumbarised S1"
        f"{', on one side only' if len(touching) == 1 else ''}; which of them, only a count from above tells"
    )
    return [EvidenceEntry(kind="shape", finding=text, supports=False, means=means)]


def _frame(row: Row) -> Points | None:
    """The patient's left at the lowest lumbar vertebra: posterior x up, posterior from the body to the whole bone."""
    lowest = row.lowest
    if lowest.body is lowest.points or len(row.bones) < 2:
        return None
    up = up_at(row, len(row.bones) - 1)
    back = lowest.points.mean(axis=0) - lowest.centre
    back = back - (back @ up) * up
    if not np.linalg.norm(back) > 3:
        return None
    return unit(np.cross(unit(back), up))


def _contact(row: Row, outward: Points) -> float:
    """Area, mm², on which the process towards `outward` touches the sacrum."""
    labels, key = row.labels, f"vertebra/{row.lowest.name}"
    box = union_box(row.boxes, key)
    if box is None:
        return 0.0
    bone, sacrum = (cloud(labels, {key: box}, 1, key, within=which) for which in ((key,), ("sacrum", "vertebra/S1")))
    own, beyond = (cloud[(cloud - row.lowest.centre) @ outward > LATERAL] for cloud in (bone, sacrum))
    if not len(own) or not len(beyond):
        return 0.0
    reach = max(TOUCHES, TOUCHES * float(labels.grid.spacing.max()))
    near = np.isfinite(cKDTree(beyond).query(own, distance_upper_bound=reach)[0])
    return float(near.sum() * labels.grid.voxel_volume ** (2 / 3))


def _lowest_disc(row: Row) -> list[EvidenceEntry]:
    """A lowest disc much lower than the one above it."""
    if len(row.bones) < 2 or not len(row.sacrum):
        return []
    above, lowest = row.bones[-2], row.lowest
    keys = f"disc/{above.name}-{lowest.name}", f"disc/{lowest.name}-S1"
    heights = [_height(row, key) for key in keys]
    if heights[0] is None or heights[1] is None or not heights[1] < RUDIMENTARY * heights[0]:
        return []
    text = f"the disc below {lowest.name} is {heights[1]:.1f} mm high, the one above it {heights[0]:.1f} mm"
    means = f"a degenerated disc, or the rudimentary disc of a sacralised {lowest.name}"
    return [EvidenceEntry(kind="shape", finding=text, supports=None, means=means)]


def _height(row: Row, key: str) -> float | None:
    """Volume of a disc over its area, mm."""
    points = cloud(row.labels, row.boxes, 1, key)
    if len(points) < 200:
        return None
    _, spread, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    axes: NDArray[np.float64] = spread / np.sqrt(len(points)) * 2  # half axes of an ellipse
    volume = len(points) * row.labels.grid.voxel_volume
    return float(volume / (np.pi * axes[0] * axes[1]))
