"""The rod that joins the heads of one side, and the incisions that their screws can share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.errors import InvalidInput
from keyhole.geometry import Points, unit
from keyhole.plan.screws.model import Screw

OVERHANG = 5.0
"""How far a rod reaches beyond the middle of its last heads, mm [keyhole-choice]."""


STRAIGHT = 1e-6
"""Heads that lie this near to one line, mm, lie on it: no plane of bending follows from them."""


@dataclass(frozen=True, slots=True, eq=False)
class Rod:
    """A rod of one side, an arc in one plane, as it has to be bent.

    `points` (n, 3) LPS mm run along it from its cranial to its caudal end. `residual` is how far each head's middle
    lies from it, mm; `lean` what each head has to swing, degrees, and `fits` whether all can. `bend` is the radius of
    the arc, mm (inf: straight); `aside` the angle of its plane to the sagittal plane, degrees (nan where straight).
    """

    side: str
    vertebrae: tuple[str, ...]
    points: Points
    residual: tuple[float, ...]
    lean: tuple[float, ...]
    bend: float
    aside: float
    length: float
    fits: bool


def rod(screws: Sequence[Screw], left: Points) -> Rod:
    """The rod of `screws`, all of one side, cranial to caudal.

    Two heads: straight. Three or more: the parabola in the plane of the least squares, which for the shallow bends of
    a lumbar rod is its arc to within 0.1 mm. Where heads do not lie on one such arc, `residual` says by how much.

    Parameters
    ----------
    left : the patient's left, unit (3,).
    """
    sides = {s.side for s in screws}
    if len(screws) < 2 or len(sides) != 1:
        raise InvalidInput(f"a rod joins two screws or more of one side, got {[s.name for s in screws]}")
    heads = np.array([s.head for s in screws])
    chord = unit(heads[-1] - heads[0])
    aside, curve, plane = _bent(heads, chord)
    at = (heads - heads[0]) @ chord
    run = np.linspace(at.min() - OVERHANG, at.max() + OVERHANG, 101)
    points = heads[0] + run[:, None] * chord + np.polyval(curve, run)[:, None] * aside
    slope = np.polyval(np.polyder(curve), at)
    tangent = chord + slope[:, None] * aside
    tangent /= np.linalg.norm(tangent, axis=1)[:, None]
    lean = tuple(
        float(np.degrees(np.arcsin(min(1.0, abs(float(t @ s.way)))))) for t, s in zip(tangent, screws, strict=True)
    )
    bend = np.inf if abs(curve[0]) < 1e-6 else float(1 / (2 * abs(curve[0])))
    angle = float(np.degrees(np.arcsin(min(1.0, abs(float(plane @ left)))))) if np.isfinite(bend) else 90.0
    return Rod(
        sides.pop(), tuple(s.vertebra for s in screws), points, _foot(points, heads), lean, bend,
        90.0 - angle if np.isfinite(bend) else float("nan"),
        float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()),
        all(n <= s.system.swing for n, s in zip(lean, screws, strict=True)),
    )  # fmt: skip


def _bent(heads: Points, chord: Points) -> tuple[Points, Points, Points]:
    """The direction in which the rod is bent, its parabola along the chord, and the normal of its plane."""
    offset = heads - heads[0]
    off = offset - (offset @ chord)[:, None] * chord
    if len(heads) == 2 or float(np.abs(off).max()) < STRAIGHT:
        any_way = np.eye(3)[int(np.argmin(np.abs(chord)))]
        aside = unit(np.cross(chord, any_way))
        return aside, np.zeros(3), np.cross(chord, aside)
    aside = np.linalg.svd(off, full_matrices=False)[2][0]
    aside = unit(aside - (aside @ chord) * chord)
    if (off @ aside).sum() < 0:
        aside = -aside
    curve = np.polyfit(offset @ chord, off @ aside, 2)
    return aside, np.asarray(curve), np.cross(chord, aside)


def _foot(points: Points, heads: Points) -> tuple[float, ...]:
    """Distance of each head from the polyline of `points`, mm."""
    start, way = points[:-1], np.diff(points, axis=0)
    square = (way**2).sum(axis=1)
    found = []
    for head in heads:
        share = np.clip(((head - start) * way).sum(axis=1) / square, 0, 1)
        found.append(float(np.linalg.norm(start + share[:, None] * way - head, axis=1).min()))
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Incision:
    """One opening of the skin: what goes through it, its ends (2, 3) LPS mm and its length, mm."""

    through: tuple[str, ...]
    ends: Points
    length: float


def incisions(entries: Sequence[tuple[str, Points, float]], up: Points) -> list[Incision]:
    """The openings of the skin that `entries` need, each shared where one cut is no longer than two.

    Each entry is a name, a place on the skin (3,) and the length it needs, mm. Cuts run cranio-caudally (`up`), those
    of one side only; neighbours join where the joined cut is not longer than both together. A joined cut also has to
    bridge how far its entries lie apart across.
    """
    order = sorted(entries, key=lambda e: (round(float(-(e[1] @ up)), 6), e[0]))
    groups: list[list[tuple[str, Points, float]]] = []
    for entry in order:
        if groups and _length([*groups[-1], entry]) <= _length(groups[-1]) + entry[2]:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return [Incision(tuple(e[0] for e in group), _ends(group, up), _length(group)) for group in groups]


def _length(group: Sequence[tuple[str, Points, float]]) -> float:
    """Length of the cut through all of `group`, mm: from the first to the last, and half of what each needs beyond."""
    if len(group) == 1:
        return group[0][2]
    return float(np.linalg.norm(group[-1][1] - group[0][1])) + (group[0][2] + group[-1][2]) / 2


def _ends(group: Sequence[tuple[str, Points, float]], up: Points) -> Points:
    """The ends of the cut (2, 3) LPS mm; entries at one and the same place are cut cranio-caudally."""
    first, last = group[0], group[-1]
    if len(group) == 1:
        return np.array([first[1], first[1]])
    way = last[1] - first[1]
    along = unit(way) if np.abs(way).max() > STRAIGHT else -unit(up)
    return np.array([first[1] - first[2] / 2 * along, last[1] + last[2] / 2 * along])
