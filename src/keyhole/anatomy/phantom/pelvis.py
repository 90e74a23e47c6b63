"""Sacrum, iliac wings and the twelfth ribs."""

from __future__ import annotations

import numpy as np

from keyhole.anatomy.phantom.canal import root_path
from keyhole.anatomy.phantom.skeleton import SACRAL_HEIGHTS
from keyhole.anatomy.phantom.solids import (
    CUT,
    Part,
    Place,
    Row,
    Solid,
    body,
    box_of_rows,
    grown,
    half,
    prism,
    taper,
    tube,
)
from keyhole.anatomy.phantom.vertebra import JOINT_GAP, SIGNS, Anatomist, joint, nerves, superior_process
from keyhole.geometry import Points

SI_GAP = 2.5  # mm between sacrum and ilium; keyhole-choice

# Nodes of the iliac wing from behind to the front, relative to the middle of S1's endplate: left, posterior, height of
# the crest, thickness of the plate (half), how far its lower edge lies medially. keyhole-choice.
_WING = (
    (43.0, 46.0, -20.0, 6.0, 2.0),
    (53.0, 36.0, 12.0, 5.5, 8.0),
    (70.0, 21.0, 36.0, 4.8, 22.0),
    (95.0, 0.0, 47.0, 4.4, 36.0),
    (117.0, -27.0, 45.0, 4.6, 42.0),
    (128.0, -55.0, 28.0, 4.6, 40.0),
    (123.0, -80.0, -2.0, 5.5, 32.0),
)
WING_HEIGHT = 92.0


def sacrum(world: Anatomist) -> Solid:
    """S1 with its facets, the alae, and the segments below, with canal and nerve tunnels."""
    spine, size = world.spine, world.size
    parts = [_segments(world), *(_s1_facet(world, side) for side in SIGNS), _s1_arch(world)]
    one, place = size.vertebrae["S1"], spine.places["S1"]
    wide, deep = one.width / 2, one.depth / 2
    numbers = (wide, deep, 0.80 * wide, 0.72 * deep, one.height / 2, 0.0, 0.0, 1.2, 0.0, 0.05, 0.3, 0.9, 2.0)
    tunnels: list[Row] = []
    for side in SIGNS:
        points, radii = root_path(size, spine, world.change, "S1", side)
        tunnels.extend(tube(points, radii + 2.0, k=1.0, op=CUT))
    first = Part("vertebra/S1/body", [body(place, numbers), *tunnels], world.bone, blend=3.0, claim=1.0)
    carve = [
        prism(world.canal, k=1.0),
        *tunnels,
        *nerves(world, "S1"),
        *(_second_foramen(spine.sacrum[1], side) for side in SIGNS),
    ]
    every = [row for part in [*parts, first] for row in part.rows]
    return Solid(parts, box_of_rows(every), carve=carve, after=[first])


def _second_foramen(place: Place, side: str) -> Row:
    sign = SIGNS[side]
    return taper(place.at(sign * 12.0, 10.0, -9.0), place.at(sign * 20.0, -24.0, -14.0), (3.8, 4.2))


def _segments(world: Anatomist) -> Part:
    """The alae and S2 to S4."""
    spine, one = world.spine, world.size.vertebrae["S1"]
    scale = one.height / 30.0
    rows: list[Row] = []
    s1 = spine.places["S1"]
    for sign in SIGNS.values():
        rows.append(
            taper(
                s1.at(sign * 18, 2, 1),
                s1.at(sign * 46, 6, -4),
                (12.5, 14.0, 8.0),
                (14.0, 17.0, 8.0),
                across=s1.up,
                k=5.0,
            )
        )
        low = spine.sacrum[1]
        rows.append(
            taper(s1.at(sign * 40, 8, -8), low.at(sign * 32, 4, -6), (12.0, 13.0), (9.0, 10.0), across=(1, 0, 0), k=6.0)
        )
        rows.append(
            taper(low.at(sign * 14, 1, 0), low.at(sign * 31, 4, -3), (11.5, 8.0), (11.0, 8.5), across=low.up, k=5.0)
        )
        third, fourth = spine.sacrum[2], spine.sacrum[3]
        rows.append(taper(low.at(sign * 30, 4, -6), third.at(sign * 24, 4, -4), (9.0, 9.0), (7.0, 7.0), k=5.0))
        rows.append(taper(third.at(sign * 24, 4, -4), fourth.at(sign * 16, 4, -5), (7.0, 7.0), (6.0, 5.0), k=5.0))
    for n, place in enumerate(spine.sacrum[1:], 1):
        wide, deep = (17.0, 10.5) if n == 1 else ((14.0, 8.0) if n == 2 else (12.0, 6.0))
        tall = SACRAL_HEIGHTS[n] * scale / 2
        numbers = (1.1 * wide, 1.05 * deep, 0.9 * wide, 0.9 * deep, tall + 0.3, 0, 0, 0, 0, 0.06, 0, 0.9, 2.0)
        rows.append(body(place, numbers, k=3.0))
        back = (17.0, 13.0, 10.0)[n - 1] + (5.5, 4.5, 3.8)[n - 1]
        for sign in SIGNS.values():
            rows.append(
                taper(
                    place.at(0, back + 1, 0),
                    place.at(sign * 20, back - 6, 0),
                    (tall + 3, 3.4, 3),
                    k=5.0,
                    across=place.up,
                )
            )
        rows.append(
            taper(place.at(0, back + 3, 0.5 * tall), place.at(0, back + 4, -0.5 * tall), (2.6, 4.5, 3.0), k=4.0)
        )
    return Part("sacrum", rows, world.bone, blend=4.0)


def _s1_facet(world: Anatomist, side: str) -> Part:
    at = joint(world, "L5/S1", side)
    rows = [*superior_process(world, "S1", side), at.surface(CUT, JOINT_GAP / 2)]
    return Part(f"vertebra/S1/facet/superior/{side}", rows, world.dense, blend=4.0)


def _s1_arch(world: Anatomist) -> Part:
    """Laminae and the small spinous process of S1."""
    one, place = world.size.vertebrae["S1"], world.spine.places["S1"]
    back = one.depth / 2 + one.canal_depth + 2.5
    rows: list[Row] = []
    for sign in SIGNS.values():
        tall = place.turn(0, -0.2, 0.98)
        middle, side = place.at(0, back, -8.0), place.at(sign * 22.0, back - 6.0, -3.0)
        across = np.cross(middle - side, tall)
        rows.append(taper(side, middle, (3.6, 9.0, 3.0), (3.0, 6.5, 3.0), across=across, power=4, k=3.0))
        rows.append(taper(place.at(sign * 26, one.depth / 2, 0), side, (9.0, 7.0), (6.0, 6.0), k=4.0))
    crest = one.spinous_length
    rows.append(taper(place.at(0, back, -8), place.at(0, back + crest - 3, -11), (3.0, 5.0), (3.0, 4.0), k=3.0))
    above = world.size.vertebrae["L5"]
    l5 = world.spine.places["L5"]
    edge = (l5.at(0, above.depth / 2 + above.canal_depth + 12, -above.height / 2) + place.at(0, back + 8, 0)) / 2
    rows.append(half(edge - 1.5 * place.up, place.up, k=1.5))
    return Part("vertebra/S1/posterior", rows, world.dense, blend=4.0)


def _wing_table(n: int = 15) -> Points:
    """The wing's nodes, `n` of them, on a smooth curve through those of the table."""
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415  (heavy import)

    nodes = np.array(_WING)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(nodes[:, :3], axis=0), axis=1))])
    return np.asarray(PchipInterpolator(chord, nodes)(np.linspace(0, chord[-1], n)))


def wing_nodes(world: Anatomist, side: str) -> tuple[Points, Points, Points]:
    """Crest points (n, 3) of the iliac wing of `side`, the lower edge below each, and half thicknesses (n,)."""
    place = world.spine.places["S1"]
    top = place.at(0, 0, world.size.vertebrae["S1"].height / 2)
    scale = world.size.vertebrae["S1"].width / 51.5
    nodes = _wing_table()
    crest = nodes[:, :3] * np.array([SIGNS[side] * scale, scale, scale]) + top
    lower = crest.copy()
    lower[:, 0] -= SIGNS[side] * nodes[:, 4] * scale
    lower[:, 2] = crest[:, 2] - WING_HEIGHT * scale
    return crest, lower, nodes[:, 3]


def ilium(world: Anatomist, side: str, sacral: Solid) -> Solid:
    """The iliac wing: plates between the crest and their lower edges, kept off the sacrum."""
    rows = wing_rows(world, side)
    crest, _, thick = wing_nodes(world, side)
    rows.extend(tube(crest, thick + 0.8, k=3.0))
    cut = [grown(row, CUT, SI_GAP, 1.0) for part in sacral.every for row in part.rows if part.key == "sacrum"]
    part = Part(f"pelvis/{side}", [*rows, *cut], world.bone)
    return Solid([part], box_of_rows(rows))


def wing_rows(world: Anatomist, side: str, *, thick: float = 0.0, shift: float = 0.0, k: float = 8.0) -> list[Row]:
    """The plates of the iliac wing, thickened by `thick` and moved outwards (shift > 0) or inwards, mm."""
    crest, lower, half_thick = wing_nodes(world, side)
    rows = []
    for n in range(len(crest) - 1):
        middle = [(crest[m] + lower[m]) / 2 for m in (n, n + 1)]
        tall = (crest[n] - lower[n] + crest[n + 1] - lower[n + 1]) / 2
        along = middle[1] - middle[0]
        across = np.cross(along, tall)
        across *= np.sign(across[0] * SIGNS[side]) / np.linalg.norm(across)
        high = [float(np.linalg.norm(crest[m] - lower[m])) / 2 for m in (n, n + 1)]
        r = [half_thick[m] * 0.85 + thick for m in (n, n + 1)]
        rows.append(
            taper(
                middle[0] + shift * across, middle[1] + shift * across, (r[0], high[0], r[0]), (r[1], high[1], r[1]),
                across=across, power=4, k=k,
            )
        )  # fmt: skip
    return rows


def rib(world: Anatomist, side: str) -> Solid:
    """The twelfth rib: short, downwards and outwards."""
    sign, one, place = SIGNS[side], world.size.vertebrae["T12"], world.spine.places["T12"]
    head = place.at(sign * (one.width / 2 + 2.5), one.depth / 2 - 3.0, 6.0)
    points = head + np.array([(0, 0, 0), (sign * 16, 12, -3), (sign * 42, 21, -16), (sign * 70, 15, -38)])
    rows = tube(points, [3.4, 3.6, 3.4, 2.6], k=3.0)
    return Solid([Part(f"rib/12/{side}", rows, world.bone)], box_of_rows(rows))
