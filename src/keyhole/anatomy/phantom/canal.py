"""What lies in and between the bones: canal, sac, flavum, discs, herniation, foramina and roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.parameters import LEVELS, NAMES, Dimensions
from keyhole.anatomy.phantom.pathology import Changes
from keyhole.anatomy.phantom.skeleton import NOTCH, Skeleton
from keyhole.anatomy.phantom.solids import (
    CUT,
    KEEP,
    Material,
    Part,
    Place,
    Row,
    Solid,
    ball,
    behind,
    body,
    box_of,
    box_of_rows,
    prism,
    section,
    span,
    taper,
    tube,
)
from keyhole.anatomy.phantom.vertebra import SIGNS, pedicle_x, pedicle_z
from keyhole.geometry import Points
from keyhole.terms import in_key

FLAVUM = 3.2  # mm, thickness of a healthy ligamentum flavum; keyhole-choice
FLAVUM_ENDS = 6.0  # mm over which the flavum thins out towards its attachments on the laminae; keyhole-choice
EMBEDDED = 0.4  # mm by which the flavum goes into the canal's wall, so that none is left open; keyhole-choice
RECESS = 2.2  # mm by which the bony canal is deeper between the laminae, where the flavum lies; keyhole-choice
SACRAL_CANAL = ((10.5, 11.0, 5.0), (8.0, 8.5, 4.0), (5.5, 6.0, 3.0))  # S2-S4: depth, half width, roof; keyhole-choice

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CanalLofts:
    """Sections along the canal's line: the bony canal, the same without the flavum, and the sac."""

    canal: Table
    inner: Table
    sac: Table
    cord: Table
    cauda: Table


def loft(s: Sequence[float], columns: Sequence[Sequence[float]], step: float = 1.0) -> Table:
    """A table of sections every `step` mm, smooth between knots at `s` (ascending); row 0: start, step, count."""
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415  (heavy import)

    knots = np.asarray(s, dtype=np.float64)
    at = np.arange(knots[0], knots[-1] + step / 2, step)
    table = np.zeros((len(at) + 1, 6))
    table[0, :3] = knots[0], step, len(at)
    values = np.asarray(columns, dtype=np.float64)
    table[1:, : values.shape[1]] = PchipInterpolator(knots, values)(np.clip(at, knots[0], knots[-1]))
    return table


def canal_lofts(size: Dimensions, spine: Skeleton, change: Changes) -> CanalLofts:
    """The sections: free of bone at the pedicles, hollowed for the flavum between the laminae."""
    s, canal = _bony(size, spine)
    outer = loft(s, canal)
    inner = outer.copy()
    full = FLAVUM + _bump(outer, spine.arc_on(spine.discs[change.level]) + 2.0, change.flavum, 9.0)
    there = _flavum_share(outer, size, spine)
    thick = there * (full + EMBEDDED) - EMBEDDED
    inner[1:, 1] -= thick
    inner[1:, 2] -= 0.25 * thick
    inner[1:, 3] = np.maximum(inner[1:, 3] - 0.55 * thick, 2.6)
    inner[1:, 4] -= (inner[1:, 4] - 2.4) * there
    sac = _sac(size, spine, change)
    return CanalLofts(outer, inner, sac, *_within_sac(sac, spine))


def _flavum_share(table: Table, size: Dimensions, spine: Skeleton) -> Points:
    """How much of its thickness the flavum has at each section: 0 at and beyond its ends, 1 between them."""
    at = table[0, 0] + table[0, 1] * np.arange(len(table) - 1)
    share = np.zeros(len(at))
    for level in LEVELS:
        start, stop = _flavum_ends(size, spine, level)
        ramp = np.clip(np.minimum(at - start, stop - at) / FLAVUM_ENDS, 0.0, 1.0)
        share = np.maximum(share, ramp**2 * (3 - 2 * ramp))
    return share


def _flavum_ends(size: Dimensions, spine: Skeleton, level: str) -> tuple[float, float]:
    """Arc lengths between which the flavum of `level` lies: from lamina to lamina."""
    upper, lower = level.split("/")
    start = spine.arc_on(_lifted(spine, upper, -0.5 * size.vertebrae[upper].height + 7.0))
    return start, spine.arc_on(_lifted(spine, lower, 0.5 * size.vertebrae[lower].height - 10.0))


def _within_sac(sac: Table, spine: Skeleton) -> tuple[Table, Table]:
    """Cord and conus down to L1/L2, and the cauda equina, which lies at the back of a supine patient's sac."""
    s = sac[0, 0] + sac[0, 1] * np.arange(len(sac) - 1)
    end = spine.arc_on(spine.discs["L1/L2"])
    conus = np.clip((end - s) / 35.0, 0.0, 1.0) ** 0.6
    cord, cauda = sac.copy(), sac.copy()
    cord[1:, 1] += 0.5
    cord[1:, 2], cord[1:, 3] = 0.2 + 4.4 * conus, 0.2 + 3.6 * conus
    cauda[1:, 1] += 0.42 * sac[1:, 3]
    cauda[1:, 2], cauda[1:, 3] = 0.66 * sac[1:, 2], 0.34 * sac[1:, 3]
    return cord, cauda


def _bony(size: Dimensions, spine: Skeleton) -> tuple[list[float], list[tuple[float, ...]]]:
    knots: list[tuple[float, tuple[float, ...]]] = []
    for name in NAMES:
        one = size.vertebrae[name]
        deep = one.canal_depth / 2
        s = spine.arc_on(_lifted(spine, name, 0.1 * one.height))
        knots.append((s, (-deep - 2.0, deep, one.canal_width / 2, one.canal_back, 3.6)))
    for rank, level in enumerate(LEVELS):
        one, below = size.vertebrae[NAMES[rank]], size.vertebrae[NAMES[rank + 1]]
        deep = (one.canal_depth + below.canal_depth) / 4
        wide, back = (one.canal_width + below.canal_width) / 4, (one.canal_back + below.canal_back) / 2
        s = spine.arc_on(spine.discs[level])
        knots.append((s + 2.0, (-deep - 2.0, deep + RECESS, 0.94 * wide, back + 0.5, 3.6)))
    for place, (depth, wide, back) in zip(spine.sacrum[1:], SACRAL_CANAL, strict=True):
        knots.append((spine.arc_on(place), (-depth / 2, depth / 2, wide, back, 2.5)))
    knots.sort()
    first = knots[0]
    return [first[0] - 60.0, *(k[0] for k in knots)], [first[1], *(k[1] for k in knots)]


def _lifted(spine: Skeleton, name: str, up: float) -> Place:
    place = spine.places[name]
    at = place.at(0, 0, up)
    return Place(at[1], at[2], place.tilt)


def _bump(table: Table, centre: float, height: float, sd: float) -> Points:
    at = table[0, 0] + table[0, 1] * np.arange(len(table) - 1)
    return np.asarray(height * np.exp(-(((at - centre) / sd) ** 2) / 2))


def _sac(size: Dimensions, spine: Skeleton, change: Changes) -> Table:
    knots: list[tuple[float, tuple[float, ...]]] = []
    for rank, level in enumerate(LEVELS):
        one = size.levels[level]
        s = spine.arc_on(spine.discs[level])
        wide, deep = one.sac_width / 2, one.sac_depth / 2
        knots.append((s, (0.0, 0.0, wide, deep, 0.0, 2.0)))
        if rank > 0:
            s = spine.arc_on(_lifted(spine, NAMES[rank], 0.0))
            knots.append((s, (0.0, -0.2, wide * 1.04, deep * 1.05, 0.0, 2.0)))
    knots.append((spine.arc_on(spine.sacrum[0]), (0.0, 0.3, 6.0, 4.4, 0.0, 2.0)))
    knots.append((spine.arc_on(spine.sacrum[1]), (0.0, 0.3, 3.6, 2.8, 0.0, 2.0)))
    knots.append((spine.arc_on(spine.sacrum[1]) + 9.0, (0.0, 0.2, 1.0, 1.0, 0.0, 2.0)))
    knots.sort()
    first = knots[0]
    table = loft([first[0] - 60.0, *(k[0] for k in knots)], [first[1], *(k[1] for k in knots)])
    push = fragment_reach(change)
    bump = _bump(table, spine.arc_on(spine.discs[change.level]) + 2.0, 1.0, 9.0)
    table[1:, 0] -= change.sign * 0.18 * push * bump
    table[1:, 1] += 0.12 * push * bump
    return table


def fragment_reach(change: Changes) -> float:
    """How far the herniation reaches into the canal behind the disc's back, mm."""
    return (1.2 + 7.3 * change.fragment) if change.fragment > 0 else 0.0


def neural(spine: Skeleton, numbers: dict[str, int], materials: dict[str, Material], size: Dimensions) -> list[Solid]:
    """Epidural space, sac (on T2 with cord and cauda equina) and flavum; `numbers` of the lofts by name."""
    canal, inner, sac = (numbers[name] for name in ("canal", "inner", "sac"))
    line = np.column_stack([np.zeros(len(spine.line)), spine.line])
    whole = box_of(line, 22.0)
    solids = [
        Solid([Part("canal/epidural", [prism(canal)], materials["fat"])], whole),
        Solid([Part("canal/dural_sac", [section(sac)], materials["csf"])], whole),
        Solid([Part("", [section(numbers["cauda"])], Material(22.0, 640.0))], whole),
        Solid([Part("", [section(numbers["cord"])], Material(36.0, 400.0))], whole),
    ]
    for level in LEVELS:
        start, stop = _flavum_ends(size, spine, level)
        rows = [
            prism(canal, offset=EMBEDDED),
            behind(1.5, 0.18, op=KEEP, k=1.0),
            span(start, stop),
            prism(inner, op=CUT),
        ]
        ends = np.array([spine.point(start), spine.point(stop)])
        part = Part(f"canal/flavum/{in_key(level)}", rows, materials["flavum"])
        solids.append(Solid([part], box_of(ends, 22.0)))
    return solids


def disc(size: Dimensions, spine: Skeleton, change: Changes, level: str, materials: dict[str, Material]) -> Solid:
    """The disc of `level`: domed into both endplates, bulging where diseased."""
    rows = [body(spine.discs[level], disc_numbers(size, spine, change, level))]
    return Solid([Part(f"disc/{in_key(level)}", rows, materials["disc"])], box_of_rows(rows))


def disc_numbers(size: Dimensions, spine: Skeleton, change: Changes, level: str) -> tuple[float, ...]:
    """The disc's shape as `solids.body` reads it."""
    rank = LEVELS.index(level)
    upper, lower = size.vertebrae[NAMES[rank]], size.vertebrae[NAMES[rank + 1]]
    sick = float(level == change.level)
    bulge = change.bulge * sick
    slope = float(np.tan(np.radians(spine.wedges[level] / 2)))
    height = spine.heights[level]
    slip = change.slip * sick * lower.depth
    notch = (NOTCH[upper.name] + NOTCH[lower.name]) / 2 * (1 - min(1.0, bulge / 2))
    return (
        1.0 * upper.width / 2 + bulge, upper.depth / 2 + bulge, 0.99 * lower.width / 2 + bulge, lower.depth / 2 + bulge,
        height / 2 + 0.3, -slope, slope, -2.6, -1.9, -0.03, notch, 0.92, 1.0, -slip / height,
    )  # fmt: skip


def nucleus(size: Dimensions, spine: Skeleton, level: str, dark: float) -> Solid:
    """The disc's nucleus, which only T2 shows."""
    rank = LEVELS.index(level)
    upper = size.vertebrae[NAMES[rank]]
    height = spine.heights[level]
    place = spine.discs[level]
    rows = [ball(place.at(0, 0.8, 0), (0.30 * upper.width, 0.29 * upper.depth, 0.46 * height), axes=place.axes)]
    bright = 560.0 * (1 - dark) + 110.0 * dark
    return Solid([Part("", rows, Material(85.0, bright))], box_of_rows(rows))


def herniation(size: Dimensions, spine: Skeleton, change: Changes, materials: dict[str, Material]) -> Solid:
    """A paracentral extrusion with a tail that has moved down."""
    level, severity = change.level, change.fragment
    upper, lower = size.vertebrae[level.split("/")[0]], size.vertebrae[level.split("/")[1]]
    place = spine.discs[level]
    slip = change.slip * lower.depth
    back = (upper.depth + lower.depth) / 4 + change.bulge - 0.5 * NOTCH[upper.name] + 0.3 * slip
    reach = fragment_reach(change)
    radii = (4.0 + 3.6 * severity, reach / 2 + 1.6, 3.0 + 3.4 * severity)
    x = change.sign * (4.4 + 0.8 * severity)
    head = place.at(x, back + reach - radii[1], -1.0)
    low = place.at(x + change.sign * 0.8, back + 0.75 * reach - 0.8 * radii[1], -2.0 - 7.0 * severity)
    rows = [
        ball(head, radii, axes=place.axes, k=2.0),
        ball(low, (0.75 * radii[0], 0.75 * radii[1], 0.9 * radii[2]), axes=place.axes, k=3.0),
    ]
    return Solid([Part(f"disc/{in_key(level)}/herniation", rows, materials["fragment"])], box_of_rows(rows))


def foramen(size: Dimensions, spine: Skeleton, level: str, side: str, materials: dict[str, Material]) -> Solid:
    """The fat between two pedicles; bone, disc and canal are painted over it."""
    rank, sign = LEVELS.index(level), SIGNS[side]
    upper, lower = size.vertebrae[NAMES[rank]], size.vertebrae[NAMES[rank + 1]]
    place = spine.discs[level]
    back = (upper.depth + lower.depth) / 4
    inside = sign * ((upper.canal_width + lower.canal_width) / 4 - 3.0)
    outside = sign * (pedicle_x(upper) + 0.5 * upper.pedicle_width)
    tall = 0.5 * (spine.heights[level] + upper.height / 2 + pedicle_z(upper) + 2.0)
    rows = [
        taper(place.at(inside, back + 4.0, 3.0), place.at(outside, back + 1.0, 2.0), (tall, 8.0, 1.5), across=place.up)
    ]
    return Solid([Part(f"foramen/{in_key(level)}/{side}", rows, materials["fat"])], box_of_rows(rows))


def root_path(size: Dimensions, spine: Skeleton, change: Changes, name: str, side: str) -> tuple[Points, Points]:
    """Course (n, 3) and radii (n,) of the root that leaves below the pedicle of `name`.

    Beside the sac at the disc above, medial to the pedicle, under it, then downwards and outwards at about 50 degrees
    to the disc [kambin: root-disc angle 50.8 +- 4.4, norms.json], into the psoas.
    """
    sign = SIGNS[side]
    one, place = size.vertebrae[name], spine.places[name]
    above = LEVELS[NAMES.index(name) - 1]
    upper = size.levels[above]
    s = spine.arc_on(spine.discs[above])
    push = fragment_reach(change) * (change.level == above and change.side == side)
    start = spine.at(sign * (upper.sac_width / 2 - 0.6 + 0.04 * push), -0.6 + 0.42 * push, s - 2.0)
    beside = spine.at(sign * (upper.sac_width / 2 + 0.8 + 0.06 * push), -1.2 + 0.36 * push, s + 6.0)
    x, z = pedicle_x(one), pedicle_z(one)
    inner, bottom, back = x - one.pedicle_width / 2, z - one.pedicle_height / 2, one.depth / 2
    medial = place.at(sign * (inner - 3.0), back + 4.6, z - 0.20 * one.pedicle_height)
    under = place.at(sign * (inner + 1.2), back + 5.0, bottom - 2.6)
    ganglion = place.at(sign * (inner + 0.45 * one.pedicle_width + 2.5), back + 3.6, bottom - 5.6)
    points = [start, beside, medial, under, ganglion]
    radii = [1.3, 1.5, 1.7, 2.0, 2.9]
    points += _beyond(size, spine, name, side, (inner, bottom))
    radii += [2.4, 2.1, 2.0, 1.9][: len(points) - 5]
    return _smooth(np.array(points), np.array(radii))


def _beyond(size: Dimensions, spine: Skeleton, name: str, side: str, at: tuple[float, float]) -> list[Points]:
    """The root's course outside the foramen."""
    sign, one, place = SIGNS[side], size.vertebrae[name], spine.places[name]
    inner, bottom = at
    if name == "S1":
        front = [place.at(sign * 22.5, -6.0, -21.0), place.at(sign * 26.0, -20.0, -30.0)]
        return [place.at(sign * 20.0, 9.0, -13.0), *front]
    x0, z0 = inner + 0.45 * one.pedicle_width + 2.5, bottom - 5.6
    x1 = max(x0 + 6.0, one.width / 2 + 3.2)
    down = (x1 - x0) * 1.22
    lateral = place.at(sign * x1, one.depth / 2 - 6.0, z0 - down)
    if name == "L5":
        ala = spine.places["S1"]
        return [
            lateral,
            ala.at(sign * 34.0, -11.0, 17.0),
            ala.at(sign * 35.0, -21.5, -6.0),
            ala.at(sign * 33.0, -28.0, -24.0),
        ]
    return [
        lateral,
        lateral + np.array([sign * 5.0, -2.0, -16.0]),
        lateral + np.array([sign * 9.0, -6.0, -36.0]),
    ]


def _smooth(points: Points, radii: Points, every: float = 3.0) -> tuple[Points, Points]:
    from scipy.interpolate import PchipInterpolator, make_interp_spline  # noqa: PLC0415  (heavy import)

    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1) ** 0.5)])
    n = int(np.linalg.norm(np.diff(points, axis=0), axis=1).sum() / every) + 2
    at = np.linspace(0, chord[-1], n)
    line = make_interp_spline(chord, points, k=3)(at)
    return np.asarray(line), np.asarray(PchipInterpolator(chord, radii)(at))


def root(size: Dimensions, spine: Skeleton, change: Changes, names: tuple[str, str], material: Material) -> Solid:
    """The root `names` = (vertebra, side)."""
    points, radii = root_path(size, spine, change, *names)
    rows: list[Row] = tube(points, radii, k=0.5)
    return Solid([Part(f"root/{names[0]}/{names[1]}", rows, material)], box_of_rows(rows))
