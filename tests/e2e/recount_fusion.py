"""An independent recount of cages from labels.nii.gz and plan.json alone: motion, heights, angles, contact, overlap.

numpy and scipy only, nothing of Keyhole. The endplates' surfaces are found anew: columns along the cage's height axis
meet the bodies' labels, the upper body after the motion that plan.json gives it. Heights and angles are those of
planes laid through the same columns before and after; contact is counted where columns meet the cage's faces.
"""

from __future__ import annotations

import numpy as np
from recount import Scene
from scipy import ndimage

STEP, RAY = 1.0, 0.25
ORDER = [*(f"T{n}" for n in range(1, 14)), *(f"L{n}" for n in range(1, 7)), "S1"]


class Body:
    """A vertebral body, smoothed a little, where `motion` brings it."""

    def __init__(self, where: Scene, name: str, motion: np.ndarray) -> None:
        keys = where.labels(f"vertebra/{name}/body") or where.labels(f"vertebra/{name}")
        index = np.argwhere(np.isin(where.array, keys))
        self.first = index.min(0) - 4
        mask = np.zeros(index.max(0) - self.first + 5, np.float32)
        mask[tuple((index - self.first).T)] = 1
        self.share = ndimage.gaussian_filter(mask, 0.7)
        self.index_from_moved = np.linalg.inv(motion @ where.affine)
        points = index @ where.affine[:3, :3].T + where.affine[:3, 3]
        self.centre = motion[:3, :3] @ points.mean(0) + motion[:3, 3]

    def at(self, points: np.ndarray) -> np.ndarray:
        inverse = self.index_from_moved
        index = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3] - self.first, -1, 0)
        return ndimage.map_coordinates(self.share, index, order=1, cval=0.0)

    def surface(self, feet: np.ndarray, way: np.ndarray, low: float, high: float) -> np.ndarray:
        """How far along `way` from each of `feet` (n, 3) the first bone lies, mm; nan where there is none."""
        steps = np.arange(low, high, RAY)
        share = self.at(feet[:, None] + steps[:, None] * way)
        inside = share >= 0.5
        first = inside.argmax(axis=1)
        met = inside.any(axis=1) & (first > 0)
        row = np.arange(len(feet))
        here, before = share[row, first], share[row, np.maximum(first - 1, 0)]
        part = np.where(here > before, (0.5 - before) / np.maximum(here - before, 1e-6), 0.0)
        return np.where(met, steps[np.maximum(first - 1, 0)] + RAY * part, np.nan)


def _middle(where: Scene, keys: list[str]) -> np.ndarray:
    """The mean of the middles of `keys`, LPS mm."""
    found = [np.argwhere(where.array == n).mean(0) for n, key in where.keys.items() if key in keys]
    return where.affine[:3, :3] @ np.mean(found, axis=0) + where.affine[:3, 3]


def _plane(points: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and normal of the plane of most of `points`."""
    for _ in range(4):
        centre = points.mean(0)
        normal = np.linalg.svd(points - centre, full_matrices=False)[2][2]
        off = np.abs((points - centre) @ normal)
        points = points[off <= max(1.5, 2.5 * float(np.median(off)))]
    return centre, normal * np.sign(normal @ up)


class Level:
    """The two facing endplates of a cage: planes of the same columns before and after."""

    def __init__(self, where: Scene, entry: dict) -> None:
        upper, lower = entry["level"].split("/")
        motions = {m["vertebra"]: np.array(m["matrix"]) for m in entry["motions"]}
        self.cage = cage = entry["cage"]
        self.motion = motions[upper]
        self.above, self.below = Body(where, upper, self.motion), Body(where, lower, np.eye(4))
        self.centre, self.up = np.array(cage["centre"]), np.array(cage["up"])
        pair = (f"vertebra/{upper}", f"vertebra/{lower}")
        left, right = (
            _middle(where, [k for k in where.keys.values() if k.startswith(pair) and k.endswith(side)])
            for side in ("/left", "/right")
        )
        across = left - right - ((left - right) @ self.up) * self.up
        self.left = across / np.linalg.norm(across)
        self.back = np.cross(self.up, self.left)
        ticks = np.arange(-30.0, 30.1, STEP)
        feet = ticks[:, None, None] * self.left + ticks[None, :, None] * self.back
        self.feet = self.centre + feet.reshape(-1, 3)
        high = self.above.surface(self.feet, self.up, -4.0, cage["height"] + 8)
        low = self.below.surface(self.feet, -self.up, -4.0, cage["height"] + 8)
        known = np.isfinite(high) & np.isfinite(low)
        middle = self.feet[known].mean(0)
        scaled = np.isin(_cells(middle + (self.feet - middle) / 0.75), _cells(self.feet[known])) & known
        self.over = _plane(self.feet[scaled] + high[scaled, None] * self.up, self.up)
        self.under = _plane(self.feet[scaled] - low[scaled, None] * self.up, self.up)

    def before(self) -> tuple[np.ndarray, np.ndarray]:
        """The upper plane before the motion."""
        turn = self.motion[:3, :3]
        return turn.T @ (self.over[0] - self.motion[:3, 3]), turn.T @ self.over[1]

    def height(self, over: tuple[np.ndarray, np.ndarray], point: np.ndarray) -> float:
        """Distance of the planes along the disc's axis through `point`, mm."""
        axis = over[1] + self.under[1]
        axis = axis / np.linalg.norm(axis)
        up = (over[0] - point) @ over[1] / (axis @ over[1])
        return float(up - (self.under[0] - point) @ self.under[1] / (axis @ self.under[1]))

    def angle(self, over: tuple[np.ndarray, np.ndarray], way: np.ndarray) -> float:
        """Angle between the planes seen along the axis across `way`, degrees; wider towards `way` is positive."""
        one, two = (np.arctan2(n @ way, n @ self.up) for n in (over[1], self.under[1]))
        return float(np.degrees(two - one))


def _cells(points: np.ndarray) -> np.ndarray:
    whole = np.rint(points / STEP).astype(np.int64) + 4000
    return (whole[:, 0] * 10000 + whole[:, 1]) * 10000 + whole[:, 2]


def check_motions(entry: dict) -> list[str]:
    """Rigid; what lies below stands still; all above goes along as one."""
    upper, lower = (ORDER.index(name) for name in entry["level"].split("/"))
    wrong, moved = [], {m["vertebra"]: np.array(m["matrix"]) for m in entry["motions"]}
    for name, matrix in moved.items():
        turn = matrix[:3, :3]
        if not (np.abs(turn @ turn.T - np.eye(3)).max() < 1e-6 and np.linalg.det(turn) > 0):
            wrong.append(f"the motion of {name} is not rigid")
        wanted = np.eye(4) if ORDER.index(name) >= lower else moved[ORDER[upper]]
        if not np.abs(matrix - wanted).max() < 1e-6:
            wrong.append(f"{name} does not go along with its neighbours")
    return wrong


def check_cage(level: Level, entry: dict, radius: float | None) -> list[str]:
    """Whether the endplates stand as high and at the angle that the cage says, and what changed."""
    cage, wrong = level.cage, []
    axes = np.array([cage["heading"], cage["across"], cage["up"]])
    if not np.abs(axes @ axes.T - np.eye(3)).max() < 1e-4:
        wrong.append("the cage's axes are not square")
    height = level.height(level.over, level.centre)
    if not abs(height - cage["height"]) <= 0.5:
        wrong.append(f"cage height {cage['height']:.2f} mm, the endplates are {height:.2f} mm apart")
    share = float(np.dot(cage["rise"], -level.back))
    acts = 2 * np.degrees(np.arctan(share * np.tan(np.radians(cage["angle"]) / 2)))
    angle = level.angle(level.over, -level.back)
    if not abs(angle - acts) <= 2.5:
        wrong.append(f"cage angle {acts:.2f} deg from the side, the endplates stand at {angle:.2f}")
    now, then = ((over[0] + level.under[0]) / 2 for over in (level.over, level.before()))  # the disc's middle
    for name, mine, close in (
        ("disc height", level.height(level.over, now) - level.height(level.before(), then), 0.25),
        ("disc wedge angle", angle - level.angle(level.before(), -level.back), 0.3),
    ):
        change = next(c for c in entry["changes"] if c["name"] == name)
        said = change["after"]["value"] - change["before"]["value"]
        if not abs(mine - said) <= close:
            wrong.append(f"{name} changes by {said:.2f}, counted {mine:.2f}")
    if entry["passage"] is not None and radius is not None:
        run = cage["length"] if abs(np.dot(cage["rise"], cage["heading"])) > 0.5 else cage["width"]
        tall = cage["height"] + run * np.tan(np.radians(abs(cage["angle"])) / 2)
        room = 2 * radius - float(np.hypot(cage["width"], tall))
        if not abs(room - entry["passage"]["room"]["value"]) <= 2e-3:
            wrong.append(f"room in the tube {entry['passage']['room']['value']:.2f} mm, counted {room:.2f}")
    return wrong


def check_contact(level: Level, entry: dict) -> list[str]:
    """What the cage's faces rest on, counted on a lattice of its footprint."""
    cage, wrong = level.cage, []
    u = np.linspace(-0.5, 0.5, int(np.ceil(cage["length"] / 0.5)) + 1) * cage["length"]
    v = np.linspace(-0.5, 0.5, int(np.ceil(cage["width"] / 0.5)) + 1) * cage["width"]
    flat = u[:, None, None] * np.array(cage["heading"]) + v[None, :, None] * np.array(cage["across"])
    flat = level.centre + flat.reshape(-1, 3)
    slope = 2 * np.tan(np.radians(cage["angle"]) / 2)
    half = (cage["height"] + slope * ((flat - level.centre) @ np.array(cage["rise"]))) / 2
    for told, body, sense in zip(entry["contact"], (level.above, level.below), (1, -1), strict=True):
        face = flat + sense * half[:, None] * level.up
        off = body.surface(face, sense * level.up, -4.5, 5.0)
        deep = body.at(face - sense * 4.5 * level.up) >= 0.5
        known = np.isfinite(off) | deep
        off = np.where(deep, -4.5, off)
        touching = 100 * float((known & (off <= 1.0)).mean())
        sunk = float(np.max(-off[known], initial=0.0))
        area = cage["length"] * cage["width"] / 1000
        inside = float(np.where(known, np.maximum(-off, 0.0), 0.0).mean() * area)
        for what, mine, close in (
            ("touching", touching, 12.0), ("overhang", 100 * float((~known).mean()), 12.0),
            ("sunk", sunk, 0.8), ("overlap", inside, 0.08 + 0.2 * inside),
        ):  # fmt: skip
            if not abs(mine - told[what]["value"]) <= close:
                wrong.append(f"{told['face']} face, {what} {told[what]['value']:.2f}, counted {mine:.2f}")
    return wrong


def check_overlap(where: Scene, level: Level, entry: dict) -> list[str]:
    """MLs that the bones of the two vertebrae would share, all parts together."""
    upper, lower = entry["level"].split("/")
    keys = ("vertebra/S1", "sacrum") if lower == "S1" else (f"vertebra/{lower}",)
    index = np.argwhere(np.isin(where.array, where.labels(f"vertebra/{upper}")))
    each = abs(np.linalg.det(where.affine[:3, :3])) / 1000
    inverse = np.linalg.inv(where.affine)
    table = np.isin(np.arange(max(where.keys) + 1), where.labels(*keys))
    mine = 0.0
    for shift in np.array(np.meshgrid(*[(-0.25, 0.25)] * 3)).reshape(3, -1).T:
        points = (index + shift) @ where.affine[:3, :3].T + where.affine[:3, 3]
        points = points @ level.motion[:3, :3].T + level.motion[:3, 3]
        at = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        at = at[((at >= 0) & (at < where.array.shape)).all(1)]
        mine += float(table[where.array[tuple(at.T)]].sum()) * each / 8
    said = sum(q["value"] for pair, q in entry["overlap"].items() if all(w in pair for w in (f"/{upper}", keys[0])))
    surface = len(index) ** (2 / 3) * each  # rounding of the voxels that touch
    if not abs(said - mine) <= 0.25 * mine + max(0.1, 0.1 * surface):
        return [f"the bones would share {said:.2f} mL, counted {mine:.2f}"]
    return []


def check_fusion(where: Scene, plan: dict) -> list[str]:
    """Every disagreement about the cages of a plan, in words; empty when they agree."""
    wrong = []
    for entry in () if plan["fusion"] is None else plan["fusion"]["entries"]:
        radius = next((c["radius"] for c in plan["candidates"] if c["approach"] == entry["approach"]), None)
        level = Level(where, entry)
        said = check_motions(entry) + check_cage(level, entry, radius)
        said += check_contact(level, entry) + check_overlap(where, level, entry)
        wrong += [f"cage ({entry['approach']}): {line}" for line in said]
    return wrong
