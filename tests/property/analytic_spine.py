"""A spine of analytic solids, voxelised on any grid, whose measures are known in closed form.

Bodies are elliptic cylinders with tilted, concave endplates; the canal is an elliptic tube along straight chords;
arches are boxes behind it. Not anatomy: arithmetic.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.geometry import LabelMap, Points, affine
from keyhole.terms import Origin

HALF_WIDTH, HALF_DEPTH, HEIGHT, CONCAVE = 24.0, 17.0, 28.0, 1.5
SUNK = CONCAVE * (1 - 0.8**2 / 2)  # how far the fitted plane lies inside the rim
NAMES = ("L3", "L4", "L5", "S1")


@dataclass(frozen=True)
class Body:
    """One body: centre and rows left, posterior, up; `wedge` degrees between its endplates, higher in front."""

    name: str
    centre: Points
    rows: Points
    wedge: float

    def plane(self, sense: int) -> tuple[Points, Points]:
        """Point and cranial normal of the fitted endplate plane."""
        lean = np.deg2rad(self.wedge / 2) * sense
        normal = np.array([0.0, np.sin(lean), np.cos(lean)]) @ self.rows
        return self.centre + sense * (HEIGHT / 2 - SUNK) * self.rows[2], normal

    def corner(self, sense: int, back: int) -> Points:
        """Posterior (`back` 1) or anterior (-1) corner: the wall 2 to 6 mm inside, dropped onto the plane."""
        point, normal = self.plane(sense)
        way = np.cross(normal, self.rows[0])
        along = (back * HALF_DEPTH + 4.0 * sense * (normal @ self.rows[1])) / (way @ self.rows[1])
        return point + along * way

    def inside(self, points: Points) -> np.ndarray:
        x, y, z = np.moveaxis((points - self.centre) @ self.rows.T, -1, 0)
        squared = (x / HALF_WIDTH) ** 2 + (y / HALF_DEPTH) ** 2
        top = HEIGHT / 2 - CONCAVE * (1 - np.minimum(squared, 1)) - np.tan(np.deg2rad(self.wedge / 2)) * y
        bottom = HEIGHT / 2 - CONCAVE * (1 - np.minimum(squared, 1)) - np.tan(np.deg2rad(self.wedge / 2)) * y
        return (squared <= 1) & (z <= top) & (-z <= bottom)


@dataclass(frozen=True)
class Spine:
    """Bodies and a canal behind them; `pose` maps this spine's own LPS mm to the patient's."""

    bodies: tuple[Body, ...]
    canal: tuple[float, float] = (10.0, 8.0)  # half width and half depth
    gap: float = 1.0  # from the posterior wall to the canal
    turn: Points | None = None
    shift: Points | None = None

    def posed(self, points: Points) -> Points:
        turn = np.eye(3) if self.turn is None else self.turn
        return points @ turn.T + (np.zeros(3) if self.shift is None else self.shift)

    def unposed(self, points: Points) -> Points:
        turn = np.eye(3) if self.turn is None else self.turn
        return (points - (np.zeros(3) if self.shift is None else self.shift)) @ turn

    def turned(self, vectors: Points) -> Points:
        return vectors if self.turn is None else vectors @ self.turn.T

    @property
    def path(self) -> Points:
        """The canal's middle line behind each body's centre, extended straight beyond the ends."""
        mid = [b.centre + (HALF_DEPTH + self.gap + self.canal[1]) * b.rows[1] for b in self.bodies]
        return np.array([2 * mid[0] - mid[1], *mid, mid[-1] - 30 * self.bodies[-1].rows[2]])


def stack(
    disc: float = 10.0,
    angles: tuple[float, ...] = (8.0, 12.0, 14.0),
    wedge: float = 4.0,
    slips: tuple[float, ...] = (0.0, 0.0, 0.0),
    lean: float = 10.0,
    names: tuple[str, ...] = NAMES,
) -> Spine:
    """Bodies stacked downwards; `angles` are the lordotic angles between facing endplates of each disc.

    `slips` move each upper body forward along the lower endplate, mm.
    """
    rows = Rotation.from_euler("x", lean, degrees=True).as_matrix()
    bodies = [Body(names[0], np.zeros(3), rows, wedge)]
    for name, angle, slip in zip(names[1:], angles, slips, strict=True):
        upper = bodies[-1]
        low, normal = upper.plane(-1)
        axis_turn = Rotation.from_rotvec(np.deg2rad(angle / 2) * upper.rows[0]).as_matrix()
        axis = axis_turn @ normal
        top_normal = axis_turn @ axis
        frame_turn = Rotation.from_rotvec(np.deg2rad(angle + wedge) * upper.rows[0]).as_matrix()
        turned = upper.rows @ frame_turn.T
        top = low - disc * axis
        back = np.cross(top_normal, turned[0])
        point = top + slip * back
        bodies.append(Body(name, point - (HEIGHT / 2 - SUNK) * turned[2], turned, wedge))
    return Spine(tuple(bodies))


def moved(spine: Spine, seed: int, largest: float = 25.0) -> Spine:
    """`spine` turned by up to `largest` degrees about a random axis and shifted."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.deg2rad(rng.uniform(0, largest)) * axis / np.linalg.norm(axis)).as_matrix()
    return replace(spine, turn=turn, shift=rng.uniform(-50, 50, 3))


def voxelise(
    spine: Spine,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    axes: Points | None = None,
    mirror: bool = False,
) -> LabelMap:
    """Label map of `spine` on a grid with the given `axes` (columns, unit LPS vectors of i, j, k)."""
    columns = (np.eye(3) if axes is None else axes) * np.array(spacing)
    corners = []
    for body in spine.bodies:
        box = np.array([[a, b, c] for a in (-26, 26) for b in (-19, 45) for c in (-18, 18)])
        corners.append(spine.posed(body.centre + box @ body.rows))
    index = np.concatenate(corners) @ np.linalg.inv(columns).T
    low, high = np.floor(index.min(axis=0)) - 3, np.ceil(index.max(axis=0)) + 4
    rng = np.random.default_rng(0)
    low = low + rng.uniform(0, 1, 3)
    shape = tuple(int(n) for n in high - low)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = columns, columns @ low
    places = np.moveaxis(np.indices(shape), 0, -1)
    points = spine.unposed(places @ columns.T + columns @ low)
    array, names = _painted(spine, points)
    if mirror:
        matrix = np.diag([-1.0, 1, 1, 1]) @ matrix
    return LabelMap(array, affine(matrix), names)


def _painted(spine: Spine, points: Points) -> tuple[np.ndarray, dict[int, str]]:
    array = np.zeros(points.shape[:3], dtype=np.uint8)
    names: dict[int, str] = {1: "canal/dural_sac", 2: "canal/epidural"}
    path = spine.path
    for n, body in enumerate(spine.bodies):
        local = (points - body.centre) @ body.rows.T
        arch = (np.abs(local[..., 0]) < 4) & (np.abs(local[..., 1] - 42) < 7) & (np.abs(local[..., 2] + 3) < 8)
        array[arch], names[20 + n] = 20 + n, f"vertebra/{body.name}/posterior"
    along = np.full(points.shape[:3], np.inf)
    within = np.zeros(points.shape[:3], dtype=bool)
    for a, b in itertools.pairwise(path):
        way = (b - a) / np.linalg.norm(b - a)
        left = spine.bodies[0].rows[0]
        back = np.cross(way, left)
        offset = points - a
        t = offset @ way
        x, y = offset @ left, offset @ back
        inside = (x / spine.canal[0]) ** 2 + (y / spine.canal[1]) ** 2 <= 1
        within |= inside & (t >= 0) & (t <= np.linalg.norm(b - a))
        along = np.minimum(along, np.where((t >= -2) & (t <= np.linalg.norm(b - a) + 2), np.hypot(x, y), np.inf))
    array[within] = 2
    array[within & (along < 5.5)] = 1
    for n, body in enumerate(spine.bodies):
        array[body.inside(points)] = 10 + n
        names[10 + n] = f"vertebra/{body.name}/body"
    return array, names


def anatomy(labels: LabelMap, sd: float = 0.0) -> Anatomy:
    """Everything in `labels` as labelled with boundary `sd`, levels confirmed."""
    structures = {key: Structure(key, Origin.LABELLED, "analytic", sd) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    return Anatomy(labels, structures, found, canal_line(labels, found), None, "CT", "analytic", levels_confirmed=True)


def truth(spine: Spine) -> dict[tuple[str, str], float]:
    """The measures of docs/measures.md, in closed form: (name, level) -> value."""
    known: dict[tuple[str, str], float] = {}
    for upper, lower in itertools.pairwise(spine.bodies):
        level = f"{upper.name}/{lower.name}"
        known |= {(name, level): value for name, value in _disc(upper, lower).items()}
        known["canal area", level] = np.pi * spine.canal[0] * spine.canal[1]
        known["canal AP diameter", level] = 2 * spine.canal[1]
    return known


def _disc(upper: Body, lower: Body) -> dict[str, float]:
    (above, high), (below, low) = upper.plane(-1), lower.plane(1)
    centres = [
        (body.corner(sense, 1) + body.corner(sense, -1) + 2 * body.plane(sense)[0]) / 4
        for body, sense in ((upper, -1), (lower, 1))
    ]
    middle = sum(centres) / 2
    axis = (high + low) / np.linalg.norm(high + low)
    forward = lower.corner(1, -1) - lower.corner(1, 1)
    depth = float(np.linalg.norm(forward))
    slip = float((upper.corner(-1, 1) - lower.corner(1, 1)) @ forward) / depth
    leans = [float(np.degrees(np.arctan2(n @ upper.rows[1], n @ upper.rows[2]))) for n in (upper.plane(1)[1], low)]
    return {
        "disc height": float((above - middle) @ high / (axis @ high) - (below - middle) @ low / (axis @ low)),
        "slip": slip,
        "slip ratio": 100 * slip / depth,
        "segmental lordosis": leans[0] - leans[1],
    }
