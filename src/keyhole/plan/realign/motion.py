"""The rigid motion that brings the facing endplates of a level onto a cage, and what moves along with it.

The lower vertebra stays, the upper one moves, and all that lies above goes with it: a chain of rigid motions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.assessment.alignment.angles import coronal_wedge, front
from keyhole.assessment.disc.heights import disc_wedge_angle
from keyhole.assessment.study import cut, plates
from keyhole.errors import InvalidInput, NotInScan
from keyhole.geometry import Plane, Points, Transform, unit
from keyhole.geometry.transform import PATIENT
from keyhole.terms import level as checked_level
from keyhole.terms import rank, split

HEIGHTS = (2.0, 30.0)
"""Heights between endplates that are taken for meant, mm [keyhole-choice]."""

ANGLES = (-20.0, 45.0)
"""Sagittal angles between endplates that are taken for meant, deg: cages of 30 deg are sold [keyhole-choice]."""

_SETTLED = 1e-9  # deg: the turn is found
_TURNS = 25


@dataclass(frozen=True, slots=True)
class Goal:
    """How the facing endplates of `level` are to stand.

    `height` is their distance, mm, along the disc's axis at `at`, the place (left, back) mm from the middle of the
    lower endplate; `lordosis` their sagittal angle, deg, wider in front positive. `coronal` is their coronal angle,
    deg, higher on the left positive; None leaves it as it is. `reduction` is the share of the slip that is taken
    back, 0 to 1.
    """

    level: str
    height: float
    lordosis: float
    at: tuple[float, float] = (0.0, 0.0)
    coronal: float | None = None
    reduction: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", checked_level(*split(self.level)))
        if not HEIGHTS[0] <= self.height <= HEIGHTS[1]:
            raise InvalidInput(f"{self.level}: a cage's height must be {HEIGHTS[0]} to {HEIGHTS[1]} mm, {self.height}")
        if not ANGLES[0] <= self.lordosis <= ANGLES[1]:
            raise InvalidInput(
                f"{self.level}: a cage's lordosis must be {ANGLES[0]} to {ANGLES[1]} deg, {self.lordosis}"
            )
        if not 0.0 <= self.reduction <= 1.0:
            raise InvalidInput(f"{self.level}: the share of a slip taken back is 0 to 1, got {self.reduction}")
        if not (self.coronal is None or abs(self.coronal) <= ANGLES[1]):
            raise InvalidInput(f"{self.level}: a coronal angle must be at most {ANGLES[1]} deg, got {self.coronal}")


@dataclass(frozen=True, slots=True, eq=False)
class Realigned:
    """A spine after its levels were set as `goals` say.

    `motions` maps every vertebra in view from where it lies to where it comes to lie (patient LPS mm, rigid);
    `vertebrae` are the frames after it.
    """

    anatomy: Anatomy
    goals: tuple[Goal, ...]
    motions: Mapping[str, Transform]
    vertebrae: Mapping[str, Vertebra]

    def pair(self, level: str) -> tuple[Vertebra, Vertebra]:
        """Upper and lower vertebra of `level` after the motion."""
        upper, lower = split(level)
        return self.vertebrae[upper], self.vertebrae[lower]


def rigid(turn: Points, shift: Points) -> Transform:
    """The motion in patient space that turns by `turn` (3, 3) and then shifts by `shift` (3,) mm."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, shift
    return Transform(PATIENT, PATIENT, matrix)


STILL = rigid(np.eye(3), np.zeros(3))
"""No motion."""


def moved_endplate(plate: Endplate, motion: Transform) -> Endplate:
    """`plate` after a rigid `motion`."""
    return replace(
        plate,
        plane=Plane(motion.apply(plate.plane.point), motion.turn(plate.plane.normal)),
        anterior=motion.apply(plate.anterior),
        posterior=motion.apply(plate.posterior),
        left=motion.apply(plate.left),
        right=motion.apply(plate.right),
    )


def moved_vertebra(vertebra: Vertebra, motion: Transform) -> Vertebra:
    """`vertebra` after a rigid `motion`."""
    superior, inferior = (
        None if plate is None else moved_endplate(plate, motion) for plate in (vertebra.superior, vertebra.inferior)
    )
    return replace(
        vertebra,
        centre=motion.apply(vertebra.centre),
        left=motion.turn(vertebra.left),
        posterior=motion.turn(vertebra.posterior),
        up=motion.turn(vertebra.up),
        superior=superior,
        inferior=inferior,
    )


def turned_about(axis: Points, angle: float) -> Points:
    """(3, 3) rotation by `angle` rad about the unit `axis`."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def plate_axes(plate: Endplate) -> Points:
    """(3, 3) rows left, back, up of an endplate: back along its midline, up its normal."""
    back = unit(plate.posterior - plate.anterior)
    return np.stack([np.cross(back, plate.plane.normal), back, plate.plane.normal])


def seat_point(lower: Endplate, at: tuple[float, float]) -> Points:
    """The place (left, back) mm from the middle of the lower endplate, on its plane, (3,) LPS mm."""
    left, back, _ = plate_axes(lower)
    return np.asarray(lower.plane.foot(lower.centre) + at[0] * left + at[1] * back)


def height_at(upper: Endplate, lower: Endplate, point: Points) -> float:
    """Distance of two facing endplate planes along the disc's axis through `point` on the lower one, mm."""
    axis = unit(upper.plane.normal + lower.plane.normal)
    foot = lower.plane.foot(point)
    return float((upper.plane.point - foot) @ upper.plane.normal / (axis @ upper.plane.normal))


def facing(upper: Vertebra, lower: Vertebra) -> tuple[Endplate, Endplate]:
    """The two endplates that face each other; refused where the field of view cuts one of the bodies."""
    found = plates(upper, lower)
    if found is None:
        raise NotInScan(f"{upper.name}/{lower.name} cannot be realigned: {cut(upper, lower)}")
    return found[1], found[2]


def level_motion(upper: Vertebra, lower: Vertebra, goal: Goal) -> Transform:
    """The motion of `upper` on a still `lower` that reaches `goal`.

    The turn has no part about the disc's own axis: both vertebrae keep their axial rotation. It is found with
    the measures' own definitions of the sagittal and coronal angle (Newton's method, to 1e-9 deg), the shift
    from the height at the seat and the offsets of the bodies along the disc.
    """
    turn = _turn(upper, lower, goal)
    over, under = facing(upper, lower)
    pivot = over.centre
    turned = rigid(turn, pivot - turn @ pivot)
    above = moved_endplate(over, turned)
    up, back, left = _axes(above, under, moved_vertebra(upper, turned), lower)
    offsets = _offsets(over, under, *_axes(over, under, upper, lower)[1:])
    now = _offsets(above, under, back, left)
    lack = goal.height - height_at(above, under, seat_point(under, goal.at))
    rows = np.stack([above.plane.normal / (up @ above.plane.normal), back, left])
    wanted = np.array([lack, offsets[0] * (1 - goal.reduction) - now[0], offsets[1] - now[1]])
    shift = np.linalg.solve(rows, wanted)
    return rigid(turn, pivot - turn @ pivot + shift)


def _axes(over: Endplate, under: Endplate, upper: Vertebra, lower: Vertebra) -> tuple[Points, Points, Points]:
    """Up, back and left of the disc between two endplates."""
    up = unit(over.plane.normal + under.plane.normal)
    behind = upper.posterior + lower.posterior
    back = unit(behind - (behind @ up) * up)
    return up, back, np.cross(back, up)


def _offsets(over: Endplate, under: Endplate, back: Points, left: Points) -> tuple[float, float]:
    """How far the upper body stands behind the lower one and to its left, mm along the disc's middle plane."""
    aside = (over.left + over.right - under.left - under.right) / 2
    return float((over.posterior - under.posterior) @ back), float(aside @ left)


def _turn(upper: Vertebra, lower: Vertebra, goal: Goal) -> Points:
    """(3, 3) turn about the disc's left and back axes that gives both angles of `goal`."""
    over, under = facing(upper, lower)
    _, back, left = _axes(over, under, upper, lower)
    wanted = np.array([goal.lordosis, angles(goal.level, upper, lower)[1] if goal.coronal is None else goal.coronal])

    def off(by: Points) -> Points:
        turn = turned_about(left, by[0]) @ turned_about(back, by[1])
        found = angles(goal.level, moved_vertebra(upper, rigid(turn, np.zeros(3))), lower)
        return np.asarray(np.array(found) - wanted)

    by, step = np.zeros(2), 1e-6
    for _ in range(_TURNS):
        miss = off(by)
        if np.abs(miss).max() < _SETTLED:
            break
        slopes = np.column_stack([(off(by + step * way) - miss) / step for way in np.eye(2)])
        by = by - np.linalg.solve(slopes, miss)
    if not np.abs(off(by)).max() < 1e-6:
        raise InvalidInput(f"{goal.level}: no turn gives {wanted[0]:.1f} deg from the side, {wanted[1]:.1f} from front")
    return np.asarray(turned_about(left, by[0]) @ turned_about(back, by[1]))


def angles(level: str, upper: Vertebra, lower: Vertebra) -> tuple[float, float]:
    """Sagittal and coronal angle between the facing endplates, deg, as assessment measures them."""
    over, under = facing(upper, lower)
    sagittal = disc_wedge_angle(level, upper, over, under).value
    coronal = coronal_wedge(level, over, under, front((upper, lower))).value
    if sagittal is None or coronal is None:
        raise NotInScan(f"{level}: the angle between its endplates is not known")
    return sagittal, coronal


def realign_levels(anatomy: Anatomy, goals: Sequence[Goal]) -> Realigned:
    """Every level of `goals` set at once: a chain of rigid motions from the lowest vertebra in view upwards.

    The lowest vertebra in view stays where it lies. Levels without a goal keep their shape and go along.
    """
    wanted = {goal.level: goal for goal in goals}
    if len(wanted) != len(goals):
        raise InvalidInput("a level can be realigned once, got " + ", ".join(goal.level for goal in goals))
    relative = {level: level_motion(*anatomy.pair(level), goal) for level, goal in wanted.items()}
    names = sorted(anatomy.vertebrae, key=rank, reverse=True)
    motions: dict[str, Transform] = {}
    below: str | None = None
    for name in names:
        base = STILL if below is None else motions[below]
        motions[name] = base @ relative.get(f"{name}/{below}", STILL)
        below = name
    ordered = sorted(wanted.values(), key=lambda goal: rank(split(goal.level)[0]))
    after = {name: moved_vertebra(one, motions[name]) for name, one in anatomy.vertebrae.items()}
    return Realigned(anatomy, tuple(ordered), {name: motions[name] for name in anatomy.vertebrae}, after)
