"""A small labelled back of boxes and ellipses around L4/L5, to plan on without a phantom or a scan."""

import functools
import itertools

import numpy as np
from scipy.spatial.transform import Rotation

from keyhole.anatomy.model import Anatomy, Endplate, Structure, Vertebra
from keyhole.geometry import LabelMap, Plane, affine
from keyhole.terms import Origin, sides_swapped

LOW, HIGH = np.array([-46.0, -46.0, -46.0]), np.array([146.0, 82.0, 66.0])
SIDES = {"left": 1.0, "right": -1.0}


def _ellipse(x, y, centre, size):
    return ((x - centre[0]) / size[0]) ** 2 + ((y - centre[1]) / size[1]) ** 2 <= 1


def _box(p, low, high):
    return ((p >= low) & (p <= high)).all(axis=-1)


def _along(p, points, radius):
    hit = np.zeros(p.shape[:-1], dtype=bool)
    for a, b in itertools.pairwise(np.array(points, float)):
        t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        hit |= np.linalg.norm(p - a - t[..., None] * (b - a), axis=-1) <= radius
    return hit


def paint(points, herniation=None):
    """Structure key index of each point (n, 3) in the level's frame (left, posterior, up), and the keys."""
    names, p = [], points
    x, y, z = p[:, 0], p[:, 1], p[:, 2]
    code = np.zeros(len(p), dtype=np.uint8)

    def put(key, mask):
        if key not in names:
            names.append(key)
        code[mask] = names.index(key) + 1

    body = _ellipse(x, y, (0, -10), (142, 88))
    put("tissue/fat", body)
    put("tissue/skin", body & ~_ellipse(x, y, (0, -10), (140, 86)))
    put("vessel/aorta", _ellipse(x, y, (0, -32), (9, 9)))
    for side, s in SIDES.items():
        put(f"organ/kidney/{side}", _ellipse(x, y, (s * 75, -25), (22, 22)) & (z > 20))
        put(f"muscle/psoas/{side}", _ellipse(x, y, (s * 38, -2), (15, 18)))
        put(f"muscle/paraspinal/{side}", _ellipse(x, y, (s * 34, 46), (31, 20)))
    put("vertebra/L4/body", _ellipse(x, y, (0, 0), (24, 17)) & (z > 5) & (z < 33))
    put("vertebra/L5/body", _ellipse(x, y, (0, 0), (24, 17)) & (z < -5) & (z > -33))
    put("disc/L4-L5", _ellipse(x, y, (0, 0), (24, 17)) & (abs(z) <= 5))
    ring = _ellipse(x, y, (0, 26), (18, 17)) & (y > 24)
    put("vertebra/L4/spinous", (abs(x) < 3) & (y > 40) & (y < 66) & (z > 2) & (z < 22))
    put("vertebra/L5/spinous", (abs(x) < 3) & (y > 40) & (y < 62) & (z > -34) & (z < -14))
    for side, s in SIDES.items():
        half = s * x > 0
        put(f"vertebra/L4/lamina/{side}", ring & half & (z > 4) & (z < 26))
        put(f"vertebra/L5/lamina/{side}", ring & half & (z < -9) & (z > -30))
        put(f"vertebra/L4/pedicle/{side}", _box(p * [s, 1, 1], (10, 12, 17), (18, 26, 31)))
        put(f"vertebra/L5/pedicle/{side}", _box(p * [s, 1, 1], (10, 12, -21), (18, 26, -8)))
        put(f"vertebra/L5/facet/superior/{side}", _box(p * [s, 1, 1], (15, 24, -12), (23, 32, 8)))
        put(f"vertebra/L4/facet/inferior/{side}", _box(p * [s, 1, 1], (13, 33, -10), (21, 40, 12)))
        put(f"vertebra/L5/transverse/{side}", _box(p * [s, 1, 1], (18, 18, -20), (42, 24, -12)))
        put(f"vertebra/L4/transverse/{side}", _box(p * [s, 1, 1], (18, 18, 20), (42, 24, 28)))
        put(f"foramen/L4-L5/{side}", _box(p * [s, 1, 1], (11, 15, -7), (19, 24, 16)) & ~ring)
    put("canal/flavum/L4-L5", _ellipse(x, y, (0, 26), (13, 14)) & (y > 27) & (z >= -9) & (z <= 6))
    put("canal/epidural", _ellipse(x, y, (0, 25), (10.5, 9)))
    put("canal/dural_sac", _ellipse(x, y, (0, 26), (6.5, 6)))
    for side, s in SIDES.items():
        put(f"root/L4/{side}", _along(p * [s, 1, 1], [(7, 24, 28), (13, 20, 15), (26, 10, 4), (34, 4, -12)], 2.5))
        put(f"root/L5/{side}", _along(p * [s, 1, 1], [(7, 25, 12), (8.5, 23, -8), (13, 20, -24), (26, 8, -34)], 2))
    if herniation is not None:
        s = SIDES[herniation]
        bulge = np.linalg.norm((p - [s * 6, 17, 0]) / [5, 5, 6], axis=1) <= 1
        put("disc/L4-L5/herniation", bulge & ~_ellipse(x, y, (0, 0), (24, 17)) & (code != 0))
    return code, names


def vertebra(name, matrix, low, high):
    left, posterior, up = matrix[:3, :3].T

    def at(*p):
        return matrix[:3, :3] @ np.array(p, float) + matrix[:3, 3]

    def plate(z):
        return Endplate(
            Plane(at(0, 0, z), up), at(0, -17, z), at(0, 17, z), at(24, 0, z), at(-24, 0, z), 0.5, 1.0
        )  # fmt: skip

    return Vertebra(name, at(0, 0, (low + high) / 2), left, posterior, up, plate(high), plate(low), True)


@functools.cache
def painted(spacing, turn, herniation):
    """Label array, names and local_from_index on a grid tilted by `turn` degrees about x and y in the patient."""
    axes = Rotation.from_euler("xy", turn, degrees=True).as_matrix()
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * (HIGH - LOW) + LOW
    inside = corners @ axes
    low, high = inside.min(axis=0), inside.max(axis=0)
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    local_from_index = np.eye(4)
    local_from_index[:3, :3] = axes * np.array(spacing)
    local_from_index[:3, 3] = axes @ low
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1).reshape(-1, 3)
    code, names = paint(index @ local_from_index[:3, :3].T + local_from_index[:3, 3], herniation)
    return code.reshape(shape), tuple(names), local_from_index


def back(*, motion=None, spacing=(1.5, 1.5, 1.5), turn=(0, 0), herniation="left", flip=False, without=()):
    """The anatomy around the left side; `motion` (4, 4) moves the patient, `turn` tilts the grid, `flip` mirrors him.

    A mirrored patient keeps the names by side: what was left is right.
    """
    motion = np.eye(4) if motion is None else motion
    array, names, local_from_index = painted(spacing, turn, herniation)
    fat = names.index("tissue/fat") + 1
    array = array.copy()
    for n, name in enumerate(names):
        if any(name == w or name.startswith(w + "/") for w in without):
            array[array == n + 1] = fat
    keys = {n + 1: sides_swapped(k) if flip else k for n, k in enumerate(names) if (array == n + 1).any()}
    reflect = np.diag([-1.0, 1, 1, 1]) if flip else np.eye(4)
    labels = LabelMap(array, affine(motion @ reflect @ local_from_index), keys)
    line = np.stack([np.zeros(95), np.full(95, 26.0), np.arange(56, -39, -1.0)], axis=1)
    known = {k: Structure(k, Origin.LABELLED, "test", 0.5) for k in keys.values()}
    known |= {k: Structure(k, Origin.MODELLED, "test", 2.0) for k in known if k.startswith("root/")}
    return Anatomy(
        labels, known, {"L4": vertebra("L4", motion, 5, 33), "L5": vertebra("L5", motion, -33, -5)},
        line @ motion[:3, :3].T + motion[:3, 3], None, "CT", "the test", True,
    )  # fmt: skip
