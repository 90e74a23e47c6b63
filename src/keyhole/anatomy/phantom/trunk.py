"""Around the spine: skin, fat, muscles, vessels and organs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.canal import loft
from keyhole.anatomy.phantom.parameters import LEVELS, NAMES, Dimensions
from keyhole.anatomy.phantom.pelvis import wing_nodes, wing_rows
from keyhole.anatomy.phantom.skeleton import Skeleton
from keyhole.anatomy.phantom.solids import (
    CUT,
    KEEP,
    Material,
    Part,
    Row,
    Solid,
    ball,
    box_of,
    box_of_rows,
    column,
    half,
    taper,
    tube,
)
from keyhole.anatomy.phantom.vertebra import SIGNS, Anatomist
from keyhole.geometry import Points

SKIN = 2.0  # mm; keyhole-choice
WALL = 9.0  # mm, thickness of the abdominal wall's muscles; keyhole-choice

# Depth of the lamina's back below the skin, T11 to S1 and 55 mm below it, mm: within 45-70 mm at L4/5; keyhole-choice.
_LAMINA_DEPTH = (44.0, 46.0, 49.0, 52.0, 55.0, 58.0, 58.0, 50.0, 44.0)

# psoas at each body, T12 to S1 and 60 mm below: distance of its middle from the body's side, from the body's middle
# (posterior), half width, half depth. keyhole-choice.
_PSOAS = (
    (3.0, 6.0, 3.0, 5.0),
    (5.0, 5.0, 7.0, 10.0),
    (9.0, 4.0, 11.0, 14.5),
    (12.0, 3.0, 14.5, 18.0),
    (16.5, 1.0, 17.5, 20.5),
    (21.0, -9.0, 18.5, 20.0),
    (29.0, -30.0, 18.0, 18.0),
    (40.0, -72.0, 17.0, 17.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class TrunkLofts:
    """Sections along z: skin, muscular wall; per side paraspinal compartment, multifidus, psoas, quadratus."""

    skin: NDArray[np.float64]
    wall: NDArray[np.float64]
    sided: dict[str, NDArray[np.float64]]


def _lamina_back(size: Dimensions, spine: Skeleton, name: str) -> Points:
    one = size.vertebrae[name]
    return spine.places[name].at(0, one.depth / 2 + one.canal_depth + 7.0, -one.height / 2 + 8.0)


def trunk_lofts(size: Dimensions, spine: Skeleton) -> TrunkLofts:
    """All sections, ascending in z."""
    backs = [_lamina_back(size, spine, name) for name in NAMES]
    low = spine.sacrum[2].at(0, 20.0, 0.0)
    points = np.array([*backs, low])[::-1]
    z = [points[0, 2] - 60.0, *points[:, 2], points[-1, 2] + 60.0]
    lamina = np.array([points[0, 1] - 6.0, *points[:, 1], points[-1, 1]])
    depth = np.array([_LAMINA_DEPTH[-1] + 6.0, *_LAMINA_DEPTH[::-1], _LAMINA_DEPTH[0]])
    skin_back = lamina + depth
    skin_back = np.convolve(np.pad(skin_back, 1, mode="edge"), (0.2, 0.6, 0.2), mode="valid")
    reach = np.array([10.0, 14.0, 13.0, 20.0, 27.0, 31.0, 31.0, 29.0, 27.0, 25.0, 25.0])
    muscle_back = np.minimum(lamina + reach, skin_back - 9.0)
    muscle_back = np.convolve(np.pad(muscle_back, 1, mode="edge"), (0.15, 0.7, 0.15), mode="valid")
    half_width, tall = size.trunk
    share = np.array([1.0, 1.01, 1.02, 1.02, 1.0, 0.965, 0.95, 0.95, 0.965, 0.98, 0.985])
    front = skin_back[6] - tall * np.array([0.90, 0.93, 0.95, 0.98, 1.0, 1.0, 0.99, 0.97, 0.95, 0.93, 0.92])
    skin = [
        (0, (f + b) / 2, half_width * w, (b - f) / 2, 0, 3) for f, b, w in zip(front, skin_back, share, strict=True)
    ]
    fat = size.fat
    wall = [
        (0, (f + 1.1 * fat + b) / 2, half_width * w - fat, (b - f - 1.1 * fat) / 2, 0, 3)
        for f, b, w in zip(front, muscle_back, share, strict=True)
    ]
    sided: dict[str, NDArray[np.float64]] = {}
    for side, sign in SIGNS.items():
        sided |= _backs(size, spine, z, muscle_back, (side, sign))
        sided[f"psoas/{side}"] = _psoas(size, spine, sign)
        sided[f"quadratus/{side}"] = _quadratus(size, spine, sign)
    return TrunkLofts(loft(z, skin, 4.0), loft(z, wall, 4.0), sided)


def _backs(
    size: Dimensions, spine: Skeleton, z: Sequence[float], back: Points, at: tuple[str, float]
) -> dict[str, NDArray[np.float64]]:
    """The paraspinal compartment of one side and its medial part, the multifidus."""
    side, sign = at
    fronts = [spine.places[n].at(0, size.vertebrae[n].depth / 2 + 9.0, 0.0) for n in NAMES]
    low = spine.sacrum[2].at(0, 14.0, 0.0)
    pairs = np.array([*fronts, low])[::-1]
    front = np.interp(z, pairs[:, 2], pairs[:, 1])
    wide = np.interp(z, [low[2], spine.places["S1"].z, spine.places["L4"].z, spine.places["T12"].z], [20, 30, 38, 37])
    cleft_z = [spine.discs[level].z for level in LEVELS[::-1]]
    cleft = np.interp(z, cleft_z, [size.levels[level].cleft for level in LEVELS[::-1]])
    deep = np.maximum((back - front) / 2, 6.0)
    compartment = [
        (sign * w * 1.02, (f + b) / 2, w, d, 0, 3) for w, f, b, d in zip(wide, front, back, deep, strict=True)
    ]
    medial = [
        (sign * c / 2, (f + b) / 2 + 1.0, c / 2 + 1.0, 0.93 * d, 0, 4)
        for c, f, b, d in zip(cleft, front, back, deep, strict=True)
    ]
    return {f"paraspinal/{side}": loft(z, compartment, 4.0), f"multifidus/{side}": loft(z, medial, 4.0)}


def _psoas(size: Dimensions, spine: Skeleton, sign: float) -> NDArray[np.float64]:
    z, rows = [], []
    for name, (x, y, a, b) in zip(NAMES[1:], _PSOAS, strict=False):
        place, one = spine.places[name], size.vertebrae[name]
        rows.append((sign * (one.width / 2 + x), place.y + y, a, b, sign * 0.25, 2))
        z.append(place.z)
    x, y, a, b = _PSOAS[-1]
    rows.append((sign * (size.vertebrae["S1"].width / 2 + x), spine.places["S1"].y + y, a, b, sign * 0.4, 2))
    z.append(spine.places["S1"].z - 60.0)
    return loft(z[::-1], rows[::-1], 3.0)


def _quadratus(size: Dimensions, spine: Skeleton, sign: float) -> NDArray[np.float64]:
    z, rows = [], []
    for name, x, a in (
        ("L5", 76.0, 12.0),
        ("L4", 71.0, 17.0),
        ("L3", 65.0, 18.0),
        ("L2", 60.0, 16.0),
        ("T12", 50.0, 9.0),
    ):
        one, place = size.vertebrae[name], spine.places[name]
        y = place.at(0, one.depth / 2 + 4.0, 0)[1]
        rows.append((sign * x, y, a, 7.5, sign * 0.35, 2))
        z.append(place.z + (12.0 if name == "L5" else 0.0))
    return loft(z, rows, 3.0)


def muscles(
    world: Anatomist, lofts: TrunkLofts, numbers: dict[str, int], materials: dict[str, Material]
) -> list[Solid]:
    """Muscles of the back, the psoas and the hip, in painting order."""
    solids: list[Solid] = []
    flesh, streaked = materials["muscle"], materials["multifidus"]
    for side, sign in SIGNS.items():
        middle = half((sign * 0.4, 0, 0), (-sign, 0, 0))
        for key, name, material in (
            (f"muscle/quadratus_lumborum/{side}", "quadratus", flesh),
            (f"muscle/paraspinal/{side}/erector_spinae", "paraspinal", flesh),
            (f"muscle/paraspinal/{side}/multifidus", "multifidus", streaked),
            (f"muscle/psoas/{side}", "psoas", flesh),
        ):
            number = numbers[f"{name}/{side}"]
            rows = [column(number), middle] if name != "psoas" else [column(number)]
            if name in ("paraspinal", "multifidus"):
                rows.append(column(numbers["wall"], op=KEEP, offset=-1.0))
            solids.append(Solid([Part(key, rows, material)], _column_box(lofts.sided[f"{name}/{side}"])))
        solids.extend(_hip(world, side, numbers["wall"], flesh))
    return solids


def _column_box(table: NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    reach = np.maximum(table[1:, 2], table[1:, 3]) + 2
    z = table[0, 0] + table[0, 1] * np.array([-1.0, len(table)])
    low, high = (table[1:, :2] - reach[:, None]).min(axis=0), (table[1:, :2] + reach[:, None]).max(axis=0)
    return low[0], high[0], low[1], high[1], z[0], z[1]


def _hip(world: Anatomist, side: str, wall: int, flesh: Material) -> list[Solid]:
    inside = wing_rows(world, side, thick=4.0, shift=-7.5)
    outside = wing_rows(world, side, thick=8.0, shift=11.0)
    crest, lower, _ = wing_nodes(world, side)
    sign = SIGNS[side]
    start = crest[0] + np.array([sign * 8.0, 4.0, -8.0])
    stop = lower[5] + np.array([sign * 40.0, 34.0, 10.0])
    great = taper(start, stop, (10.0, 28.0, 8.0), (15.0, 45.0, 10.0), across=(sign * 0.6, 0.9, 0.3))
    keep = [column(wall, op=KEEP, offset=4.0)]
    return [
        Solid([Part(f"muscle/gluteus/maximus/{side}", [great, *keep], flesh)], box_of_rows([great])),
        Solid([Part(f"muscle/gluteus/medius/{side}", [*outside, *keep], flesh)], box_of_rows(outside)),
        Solid([Part(f"muscle/iliacus/{side}", inside, flesh)], box_of_rows(inside)),
    ]


def vessels(world: Anatomist, materials: dict[str, Material]) -> list[Solid]:
    """Aorta to its fork before L4, vena cava from L5, and the common iliac vessels."""
    spine, size = world.spine, world.size

    def ahead(name: str, x: float, gap: float, up: float = 0.0) -> Points:
        return spine.places[name].at(x, -size.vertebrae[name].depth / 2 - gap, up)

    fork, join = ahead("L4", 3.0, 10.5, -9.0), ahead("L5", -12.0, 12.0, 6.0)
    top = ahead("T11", 9.0, 10.0, 60.0)
    aorta = [top, *(ahead(n, x, 11.0) for n, x in (("T11", 9), ("T12", 8), ("L1", 7), ("L2", 6), ("L3", 5))), fork]
    cava = [ahead("T11", -24.0, 26.0, 60.0), ahead("T11", -24, 24), ahead("T12", -22, 20)]
    cava += [ahead(n, x, 13.0) for n, x in (("L1", -20), ("L2", -19), ("L3", -18), ("L4", -17))] + [join]
    artery, vein = materials["artery"], materials["vein"]
    solids = [
        _vessel("vessel/ivc", cava, [11.0] * 7 + [9.0], vein),
        _vessel("vessel/aorta", aorta, [10.0, 9.8, 9.5, 9.0, 8.8, 8.5, 8.0], artery),
    ]
    for side, sign in SIGNS.items():
        low = spine.places["S1"]
        arm = [fork, ahead("L5", sign * 16 + 2, 12.5, 4.0), low.at(sign * 32, -30, 12), low.at(sign * 44, -44, -14)]
        arm.append(arm[-1] + np.array([sign * 10.0, -26.0, -44.0]))
        trunk = [join, ahead("L5", sign * 15 - 4, 9.5, -10.0), low.at(sign * 30, -24, 4), low.at(sign * 40, -33, -18)]
        trunk.append(trunk[-1] + np.array([sign * 10.0, -22.0, -44.0]))
        solids.append(_vessel(f"vessel/iliac_vein/{side}", trunk, [8.0, 7.0, 6.5, 6.0, 6.0], vein))
        solids.append(_vessel(f"vessel/iliac_artery/{side}", arm, [6.0, 5.5, 5.0, 5.0, 4.8], artery))
    return solids


def _vessel(key: str, points: Sequence[Points], radii: Sequence[float], material: Material) -> Solid:
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415  (heavy import)

    line = np.array(points)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, chord[-1], int(chord[-1] / 8) + 2)
    fine, r = PchipInterpolator(chord, line)(at), np.interp(at, chord, radii)
    rows = tube(fine, r, k=1.0)
    return Solid([Part(key, rows, material)], box_of_rows(rows))


def organs(world: Anatomist, wall: int, materials: dict[str, Material]) -> list[Solid]:
    """Kidneys, liver, spleen, small bowel and colon with gas, kept inside the abdominal wall."""
    spine = world.spine
    keep = column(wall, op=KEEP, offset=-WALL - 1.0)
    l1, l2, l3, l5 = (spine.places[n].z for n in ("L1", "L2", "L3", "L5"))
    y = spine.places["L2"].y
    solids = []

    def add(key: str, rows: list[Row], material: Material) -> None:
        solids.append(Solid([Part(key, [*rows, keep], material)], box_of_rows(rows)))

    add("organ/liver", [ball((-78, y - 52, l1 + 40), (78, 72, 62), k=4)], materials["liver"])
    add("organ/spleen", [ball((104, y - 10, l1 + 44), (26, 42, 46), k=4)], materials["liver"])
    loops = [(x, y - 88 - 8 * (abs(x) < 20), z) for x in (-58, -20, 18, 56) for z in (l2 - 8, l3 - 16, l5 - 8, l5 - 48)]
    for n, loop in enumerate(loops):
        wobble = np.array([7 * np.sin(2.1 * n), 6 * np.cos(1.7 * n), 8 * np.sin(1.3 * n)])
        add("organ/small_bowel", [ball(np.array(loop) + wobble, (26, 28, 24), k=4)], materials["bowel"])
    for side, sign in SIGNS.items():
        x = 112.0 if side == "left" else 108.0
        line = [
            (sign * x, y - 30, l1 + 6),
            (sign * (x + 2), y - 34, l3),
            (sign * (x - 8), y - 52, l5),
            (sign * (x - 22), y - 82, l5 - 60),
        ]
        add("organ/colon", tube(np.array(line), [19, 21, 22, 20], k=4), materials["bowel"])
        gas = Solid(
            [Part("", [*tube(np.array(line) - (0, 7, 0), [7, 9, 11, 8], k=3), keep], Material(-850.0, 10.0))],
            _wide(line),
        )
        solids.append(gas)
        up = 8.0 if side == "left" else -6.0
        tilt = np.array([[1, 0, sign * 0.25], [0, 1, 0], [-sign * 0.25, 0, 1]]) / np.hypot(1, 0.25)
        tilt[1] = 0, 1, 0
        centre = np.array([sign * 68.0, y + 8.0, l1 + up - 8])
        hilum = ball(np.add(centre, (-sign * 20, -4, 0)), (13, 9, 16), op=CUT, k=3)
        add(f"organ/kidney/{side}", [ball(centre, (27, 23, 53), axes=tilt, k=4), hilum], materials["kidney"])
    return solids


def _wide(line: Sequence[tuple[float, float, float]]) -> tuple[float, float, float, float, float, float]:
    return box_of(np.array(line), 24.0)
