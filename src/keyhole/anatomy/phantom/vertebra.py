"""Bone of one vertebra: body, pedicles, pars and laminae, facets, transverse and spinous processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.phantom.parameters import LEVELS, NAMES, Dimensions, VertebraSize
from keyhole.anatomy.phantom.pathology import Changes
from keyhole.anatomy.phantom.skeleton import NOTCH, Skeleton
from keyhole.anatomy.phantom.solids import (
    CUT,
    KEEP,
    MIDDLE,
    Material,
    Part,
    Place,
    Row,
    Solid,
    ball,
    body,
    box_of_rows,
    cylinder,
    grown,
    half,
    prism,
    taper,
)
from keyhole.geometry import Points, unit

JOINT_GAP = 2.0  # mm between the bony facets (cartilage and fluid); keyhole-choice
JOINT_RADIUS = 17.0  # mm, of the joint's curve in the axial plane; keyhole-choice
NEAR_ROOT = 20.0  # mm from the foramen's middle in which a root has to be kept free
KEPT_OFF = 1.6  # mm between bones that disease brings together; keyhole-choice
SIGNS = {"left": 1.0, "right": -1.0}


@dataclass(frozen=True, slots=True)
class Anatomist:
    """What the builders of bone need to know."""

    size: Dimensions
    spine: Skeleton
    change: Changes
    canal: int  # number of the canal's loft
    bone: Material
    dense: Material
    roots: Mapping[tuple[str, str], Solid]

    def here(self, level: str) -> float:
        """1 at the diseased level, 0 elsewhere."""
        return float(level == self.change.level)


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """One facet joint: its centre, the normal from the superior process to the inferior one, and its axis (up)."""

    centre: Points
    normal: Points
    up: Points

    def surface(self, op: int, offset: float) -> Row:
        """The joint's curved surface as a cylinder on the inferior process's side."""
        return cylinder(self.centre + JOINT_RADIUS * self.normal, self.up, JOINT_RADIUS, op=op, offset=offset, k=0.6)


def joint(world: Anatomist, level: str, side: str) -> Joint:
    """The facet joint of `level` on `side`, where disease has left it."""
    sign = SIGNS[side]
    sizes, place = world.size.levels[level], world.spine.discs[level]
    lower = level.split("/")[1]
    sick = world.here(level)
    angle = sizes.facet_angles[0 if side == "left" else 1] - 12.0 * sick * min(1.0, world.change.slip / 0.3)
    theta = np.radians(angle)
    back = world.size.vertebrae[lower].depth / 2 + 11.0
    riding = world.change.riding * sick * (side == world.change.side)
    centre = place.at(sign * sizes.facet_spread, back - 1.5 * riding, -2.0 + 2.0 * riding)
    normal = place.turn(-sign * np.cos(theta), np.sin(theta), 0.0)
    return Joint(centre, unit(normal), place.up)


def superior_process(world: Anatomist, name: str, side: str) -> list[Row]:
    """The superior articular process of `name` before the joint's surface is cut into it."""
    above = NAMES.index(name) - 1
    level = LEVELS[above]
    one, place, sign = world.size.vertebrae[name], world.spine.places[name], SIGNS[side]
    at = joint(world, level, side)
    sick = world.here(level)
    growth = world.change.facet * sick
    riding = world.change.riding * sick * (side == world.change.side)
    root = place.at(sign * pedicle_x(one), one.depth / 2 + 6.5, pedicle_z(one) - 1.0)
    thick = 5.2 + 0.35 * growth
    middle = at.centre - (JOINT_GAP / 2 + thick - 1.0) * at.normal - 4.0 * at.up
    tip = at.centre - (JOINT_GAP / 2 + 0.8 * thick) * at.normal + (4.5 + 4.0 * riding) * at.up
    across = at.normal
    rows = [
        taper(root, middle, (4.8, 5.6, 4.0), (thick, 6.6, 4.0), across=across, k=3.0),
        taper(middle, tip, (thick, 6.6, 4.0), (0.75 * thick, 5.2, 3.5), across=across, k=3.0),
    ]
    if name not in ("T11", "T12"):
        knob = at.centre - (JOINT_GAP / 2 + 4.2) * at.normal + 6.0 * _along_joint(at, sign) + 1.0 * at.up
        rows.append(ball(knob, (3.2, 3.2, 4.5), k=3.0))
    if growth > 0:
        medial = at.centre - 1.5 * at.normal - (3.5 + 0.8 * growth) * _along_joint(at, sign)
        rows.append(ball(medial, (2.4 + growth, 2.0 + 0.8 * growth, 6.0), k=2.0))
    if riding > 0:
        spur = tip - 3.0 * _along_joint(at, sign) - 1.0 * at.up
        rows.append(ball(spur, (2.5, 2.0 + 2.5 * riding, 3.5), k=2.0))
    return rows


def _along_joint(at: Joint, sign: float) -> Points:
    """Unit vector along the joint line, backwards and to the side."""
    direction = np.cross(at.up, at.normal)
    return unit(direction * np.sign(direction[0] * sign))


def pedicle_x(one: VertebraSize) -> float:
    """Distance of the pedicle's axis from the midline, mm."""
    return one.canal_width / 2 + one.pedicle_width / 2


def pedicle_z(one: VertebraSize) -> float:
    """Height of the pedicle's axis above the body's centre, mm: it springs from the upper half."""
    return one.height / 2 - one.pedicle_height / 2 - 1.5


def body_numbers(one: VertebraSize) -> tuple[float, ...]:
    """The body's shape as `solids.body` reads it."""
    slope = float(np.tan(np.radians(one.wedge / 2)))
    width, depth = one.width / 2, one.depth / 2
    return (
        0.985 * width, depth, 1.015 * width, depth, one.height / 2, -slope, slope,
        1.2, 1.9, 0.12, NOTCH[one.name], 0.9, 2.0,
    )  # fmt: skip


def vertebra(world: Anatomist, name: str) -> Solid:
    """The bone of `name`, T11 to L5.

    Pedicles, laminae and processes first; canal, neighbouring facets and nerves are cut out of them; then its own
    facets and its body.
    """
    one, place = world.size.vertebrae[name], world.spine.places[name]
    free = [*nerves(world, name), *_neighbour(world, name)]
    arch = [build(world, name, side) for side in SIGNS for build in (_pedicle, _lamina, _transverse)]
    arch.append(_spinous(world, name))
    rows = [body(place, body_numbers(one)), *_osteophytes(world, name), *free, *_tips_below(world, name)]
    ends = [Part(f"vertebra/{name}/body", rows, world.bone, blend=2.5, claim=0.8)]
    hollow = [prism(world.canal, op=CUT, k=1.0), *free]
    for side in SIGNS:
        ends.append(_inferior(world, name, side, hollow))
        if name != NAMES[0]:
            ends.append(_superior(world, name, side, hollow))
    whole = [row for part in [*arch, *ends] for row in part.rows]
    return Solid(arch, box_of_rows(whole), carve=[*hollow, *_facets_beside(world, name)], after=ends)


def _facets_beside(world: Anatomist, name: str) -> list[Row]:
    """The articular processes of both neighbours, widened by the joint's gap."""
    rank = NAMES.index(name)
    rows: list[Row] = []
    for side in SIGNS:
        rows.extend(superior_process(world, NAMES[rank + 1], side))
        if rank > 0:
            rows.extend(inferior_process(world, NAMES[rank - 1], side))
    return [grown(row, CUT, JOINT_GAP, 0.5) for row in rows]


def nerves(world: Anatomist, name: str) -> list[Row]:
    """The roots beside the diseased disc, to be kept free: a spur presses a root aside, it does not cut it.

    T12's facets stand so far medially that its own root needs the same.
    """
    upper, lower = world.change.level.split("/")
    wanted = {"T12": "T11/T12"} if name == "T12" else {}
    if name in (upper, lower):
        wanted |= {upper: world.change.level, lower: world.change.level}
    rows: list[Row] = []
    for root, level in wanted.items():
        for side, sign in SIGNS.items():
            one = world.size.vertebrae[root]
            middle = world.spine.discs[level].at(sign * pedicle_x(one), one.depth / 2 + 3.0, 4.0)
            every = world.roots[root, side].parts[0].rows
            rows.extend(row for row in every if np.linalg.norm(row[MIDDLE] - middle) < NEAR_ROOT)
    return [grown(row, CUT, 0.3, 0.0) for row in rows]


def _neighbour(world: Anatomist, name: str) -> list[Row]:
    """What lies across the diseased disc, to be kept off: spurs and overgrown facets do not fuse with it."""
    upper, lower = world.change.level.split("/")
    if name == upper:
        return [grown(row, CUT, KEPT_OFF, 0.5) for row in _osteophytes(world, lower)]
    if name == lower:
        above = world.size.vertebrae[upper]
        return [body(world.spine.places[upper], body_numbers(above), op=CUT, offset=KEPT_OFF, k=0.5)]
    return []


def _tips_below(world: Anatomist, name: str) -> list[Row]:
    """The superior processes below the diseased disc, to be kept off by the body and pedicles above."""
    upper, lower = world.change.level.split("/")
    if name != upper:
        return []
    return [grown(row, CUT, KEPT_OFF, 0.5) for side in SIGNS for row in superior_process(world, lower, side)]


def _pedicle(world: Anatomist, name: str, side: str) -> Part:
    one, place, sign = world.size.vertebrae[name], world.spine.places[name], SIGNS[side]
    lean = float(np.tan(np.radians(one.pedicle_angle)))
    x, z, y = pedicle_x(one), pedicle_z(one), one.depth / 2 + 2.0
    front = place.at(sign * (x - 9 * lean * 0.8), y - 9, z)
    back = place.at(sign * (x + 4 * lean * 0.4), y + 4, z - 0.5)
    radii = (one.pedicle_width / 2, one.pedicle_height / 2, 4.0)
    wide = (radii[0] + 1.0, radii[1] + 0.8, 4.0)
    row = taper(front, place.at(sign * x, y - 1, z), wide, radii, k=2.0)
    rows = [row, taper(place.at(sign * x, y - 1, z), back, radii, k=2.0)]
    return Part(f"vertebra/{name}/pedicle/{side}", rows, world.dense, blend=3.0)


def lamina_points(world: Anatomist, name: str, side: str) -> tuple[Points, Points, Points]:
    """Start of the pars at the pedicle, its lower end, and the lamina's end in the midline."""
    one, place, sign = world.size.vertebrae[name], world.spine.places[name], SIGNS[side]
    rank = NAMES.index(name)
    spread = world.size.levels[LEVELS[rank]].facet_spread if rank < len(LEVELS) else 20.0
    back = one.depth / 2 + one.canal_depth
    top = place.at(sign * (pedicle_x(one) - 1.0), one.depth / 2 + 7.0, pedicle_z(one) - 2.0)
    low = place.at(sign * (spread - 3.0), back - 0.5, -one.height / 2 + 5.5)
    middle = place.at(0.0, back + 3.8, -one.height / 2 + 8.0)
    return top, low, middle


def _lamina(world: Anatomist, name: str, side: str) -> Part:
    one, place = world.size.vertebrae[name], world.spine.places[name]
    top, low, middle = lamina_points(world, name, side)
    tall = place.turn(0.0, -0.32, 0.95)
    high = {"L5": 8.6, "L4": 9.4, "L3": 10.0}.get(name, 10.2) * one.height / 28.0
    start = 0.5 * top + 0.5 * low + place.turn(0.0, 1.5, 0.0)
    across = np.cross(unit(middle - start), tall)
    rows = [
        taper(top, low, (4.0, 4.6), (3.6, 4.6), across=unit(np.cross(unit(low - top), (0.0, 0.0, 1.0))), k=3.0),
        taper(start, middle, (3.2, 0.85 * high, 3.0), (3.0, high, 3.0), across=across, power=4, k=3.0),
    ]
    rank = NAMES.index(name)
    if rank < len(LEVELS):
        roof = world.spine.places[NAMES[rank + 1]]
        lower = world.size.vertebrae[NAMES[rank + 1]]
        rows.append(half(roof.at(0, lower.depth, lower.height / 2 - 4.5), -roof.turn(0, 0.25, 1.0), op=KEEP, k=1.0))
    return Part(f"vertebra/{name}/lamina/{side}", rows, world.dense, blend=3.0, claim=0.5)


def _transverse(world: Anatomist, name: str, side: str) -> Part:
    one, place, sign = world.size.vertebrae[name], world.spine.places[name], SIGNS[side]
    x, y, z = pedicle_x(one), one.depth / 2, pedicle_z(one)
    root = place.at(sign * (x + 1.0), y + 6.5, z - 2.5)
    stout = 1.25 if name == "L5" else 1.0
    if name in ("T11", "T12"):
        tip = place.at(sign * max(one.transverse_span / 2, x + 3), y + 13.0, z - 1.0)
        rows = [taper(root, tip, (4.0, 5.0), (3.5, 4.0), across=place.posterior)]
    else:
        bend = place.at(sign * (0.45 * x + 0.275 * one.transverse_span), y + 9.0, z - 2.0)
        tip = place.at(sign * (one.transverse_span / 2 - 4.0), y + 10.5, z - 0.5)
        rows = [
            taper(root, bend, (3.4 * stout, 5.6 * stout), (2.8 * stout, 4.6 * stout), across=place.posterior, k=2.0),
            taper(bend, tip, (2.8 * stout, 4.6 * stout), (2.3, 4.0), across=place.posterior, k=2.0),
        ]
    return Part(f"vertebra/{name}/transverse/{side}", rows, world.dense, blend=3.0)


def _superior(world: Anatomist, name: str, side: str, hollow: Sequence[Row]) -> Part:
    at = joint(world, LEVELS[NAMES.index(name) - 1], side)
    rows = [*superior_process(world, name, side), at.surface(CUT, JOINT_GAP / 2), *hollow]
    return Part(f"vertebra/{name}/facet/superior/{side}", rows, world.dense, blend=2.0)


def inferior_process(world: Anatomist, name: str, side: str) -> list[Row]:
    """The inferior articular process of `name` before the joint's surface is cut into it."""
    rank = NAMES.index(name)
    at = joint(world, LEVELS[rank], side)
    _, low, _ = lamina_points(world, name, side)
    upper_end = at.centre + (JOINT_GAP / 2 + 4.0) * at.normal + 3.0 * at.up
    tip = at.centre + (JOINT_GAP / 2 + 3.6) * at.normal - 5.0 * at.up
    return [
        taper(low, upper_end, (4.4, 5.8, 4.0), (5.2, 6.6, 4.0), across=at.normal, k=3.0),
        taper(upper_end, tip, (5.2, 6.6, 4.0), (4.2, 5.4, 4.0), across=at.normal, k=3.0),
    ]


def _inferior(world: Anatomist, name: str, side: str, hollow: Sequence[Row]) -> Part:
    rank = NAMES.index(name)
    lower = NAMES[rank + 1]
    rows = inferior_process(world, name, side)
    rows.append(joint(world, LEVELS[rank], side).surface(KEEP, -JOINT_GAP / 2))
    one, place = world.size.vertebrae[lower], world.spine.places[lower]
    floor = place.at(0, one.depth / 2 + one.canal_depth, one.height / 2 - 9.0)
    rows.append(half(floor, -place.turn(0, 0.35, 1.0), op=KEEP, k=1.5))
    rows.extend(hollow)
    return Part(f"vertebra/{name}/facet/inferior/{side}", rows, world.dense, blend=2.5)


def _spinous(world: Anatomist, name: str) -> Part:
    one, place = world.size.vertebrae[name], world.spine.places[name]
    back = one.depth / 2 + one.canal_depth + 4.0
    droop = {"T11": 14.0, "T12": 9.0, "L1": 5.0, "L5": 4.0}.get(name, 4.0)
    z = -one.height / 2 + 7.0
    root = place.at(0, back, z)
    neck = place.at(0, back + 0.35 * one.spinous_length, z - 0.35 * droop)
    tip = place.at(0, back + one.spinous_length - 4.0, z - droop)
    tall = one.spinous_height / 2
    rows = [
        taper(root, neck, (3.6, 0.8 * tall, 3.0), (2.6, 0.9 * tall, 3.0), k=3.0),
        taper(neck, tip, (2.6, 0.9 * tall, 3.0), (3.0, tall, 3.0), power=4, k=3.0),
        taper(tip + 0.7 * tall * place.up, tip - 0.8 * tall * place.up, (3.0, 3.2, 3.0), (4.2, 3.8, 3.0), k=3.0),
    ]
    rows.extend(_apart(world, name))
    return Part(f"vertebra/{name}/spinous", rows, world.dense, blend=4.0)


def _apart(world: Anatomist, name: str) -> list[Row]:
    """Planes that keep the spinous process 1.5 mm off the middle between it and its neighbours."""
    rank = NAMES.index(name)
    mine = world.spine.places[name]
    rows = []
    for neighbour in (rank - 1, rank + 1):
        if 0 <= neighbour < len(NAMES):
            its = world.spine.places[NAMES[neighbour]]
            centre = (_spinous_middle(world, name) + _spinous_middle(world, NAMES[neighbour])) / 2
            lean = Place(centre[1], centre[2], (mine.tilt + its.tilt) / 2)
            normal = lean.up if neighbour < rank else -lean.up
            rows.append(half(centre - 1.5 * normal, normal, op=KEEP, k=1.5))
    return rows


def _spinous_middle(world: Anatomist, name: str) -> Points:
    one, place = world.size.vertebrae[name], world.spine.places[name]
    back = one.depth / 2 + one.canal_depth + 4.0 + 0.6 * one.spinous_length
    return place.at(0, back, -one.height / 2 + 5.0)


def _osteophytes(world: Anatomist, name: str) -> list[Row]:
    """Lips of the diseased level's endplates, round the front and sides, and the spur into the foramen."""
    rows: list[Row] = []
    one, place = world.size.vertebrae[name], world.spine.places[name]
    change = world.change
    upper, lower = change.level.split("/")
    if name not in (upper, lower) or max(change.spur, change.foraminal_spur) <= 0:
        return rows
    edge = -1.0 if name == upper else 1.0  # the endplate that faces the diseased disc
    slope = -edge * float(np.tan(np.radians(one.wedge / 2)))
    if change.spur > 0:
        wide, deep = one.width / 2 + change.spur, one.depth / 2 + change.spur / 2
        dishes = (0.0, 1.9) if name == upper else (1.2, 0.0)
        at = place.at(0, -change.spur / 2, edge * (one.height / 2 - 1.9))
        lip = (wide, deep, wide, deep, 1.7, slope, slope, *dishes, -0.02, NOTCH[name] + 0.5, 0.9, 1.6)
        rows.append(body(Place(at[1], at[2], place.tilt), lip, k=2.5))
    if change.foraminal_spur > 0:
        x, y = change.sign * one.width / 2 * 0.72, one.depth / 2 * 0.78
        lip_at = place.at(x, y, edge * (one.height / 2 - 2.2) + y * slope)
        rows.append(ball(lip_at, (3.5, 1.0 + change.foraminal_spur, 2.2), axes=place.axes, k=2.0))
    return rows
