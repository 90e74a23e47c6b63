"""Two painted vertebrae with round pedicles of a known width, on any grid, moved, turned or mirrored."""

import functools

import numpy as np
from scipy.spatial.transform import Rotation

from keyhole.anatomy.model import Anatomy, Endplate, Structure, Vertebra
from keyhole.geometry import LabelMap, Plane, affine
from keyhole.terms import Origin, sides_swapped

SIDES = {"left": 1.0, "right": -1.0}
CENTRES = {"L4": 18.0, "L5": -18.0}  # mm, heights of the bodies
LOW, HIGH = np.array([-38.0, -20.0, -26.0]), np.array([38.0, 54.0, 36.0])


def _along(p, a, b, radius):
    a, b = np.array(a, float), np.array(b, float)
    t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(p - a - t[:, None] * (b - a), axis=1) <= radius


def paint(p, width):
    """Key index of each point (n, 3) (left, posterior, up), and the keys. Pedicles converge by 10 degrees."""
    names, code = [], np.zeros(len(p), dtype=np.uint8)

    def put(key, mask):
        if key not in names:
            names.append(key)
        code[mask] = names.index(key) + 1

    for name, z in CENTRES.items():
        q = p - [0, 0, z]
        body = ((q[:, 0] / 25) ** 2 + (q[:, 1] / 18) ** 2 <= 1) & (np.abs(q[:, 2]) < 14)
        put(f"vertebra/{name}/body", body)
        for side, s in SIDES.items():
            at = q * [s, 1, 1]
            put(f"vertebra/{name}/transverse/{side}", _along(at, (20, 34, 5), (36, 34, 5), 5))
            put(f"vertebra/{name}/lamina/{side}", _along(at, (18, 36, 2), (3, 46, -4), 5))
            put(f"vertebra/{name}/facet/superior/{side}", _along(at, (21, 34, 8), (21, 34, 17), 4.5))
            put(f"vertebra/{name}/facet/inferior/{side}", _along(at, (15, 42, -8), (15, 42, -24), 4.5))
            pedicle = _along(at, (20, 38, 5), (14, 6, 5), width / 2) & (at[:, 1] < 39)
            put(f"vertebra/{name}/pedicle/{side}", pedicle & ~body)
    return code, names


def vertebra(name, matrix):
    left, posterior, up = matrix[:3, :3].T

    def at(*p):
        return matrix[:3, :3] @ np.array(p, float) + matrix[:3, 3]

    def plate(z):
        return Endplate(
            Plane(at(0, 0, z), up), at(0, -18, z), at(0, 18, z), at(25, 0, z), at(-25, 0, z), 0.5, 1.0
        )  # fmt: skip

    z = CENTRES[name]
    return Vertebra(name, at(0, 0, z), left, posterior, up, plate(z + 14), plate(z - 14), True)


@functools.cache
def painted(width, spacing, turn):
    """Labels, keys and local_from_index on a grid turned by `turn` degrees about x, y, z in the patient."""
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * (HIGH - LOW) + LOW
    low, high = (corners @ axes).min(axis=0), (corners @ axes).max(axis=0)
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    local = np.eye(4)
    local[:3, :3], local[:3, 3] = axes * np.array(spacing), axes @ low
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1).reshape(-1, 3)
    code, names = paint(index @ local[:3, :3].T + local[:3, 3], width)
    return code.reshape(shape), tuple(names), local


def pair(*, width=9.0, motion=None, spacing=(1.0, 1.0, 1.0), turn=(0, 0, 0), flip=False, image=None):
    """L4 and L5; `motion` (4, 4) moves the patient with the grid, `turn` tilts the grid, `flip` mirrors the patient."""
    motion = np.eye(4) if motion is None else motion
    code, names, local = painted(width, spacing, turn)
    keys = {n + 1: sides_swapped(k) if flip else k for n, k in enumerate(names)}
    reflect = np.diag([-1.0, 1, 1, 1]) if flip else np.eye(4)
    labels = LabelMap(code, affine(motion @ reflect @ local), keys)
    known = {k: Structure(k, Origin.LABELLED, "test", 0.5) for k in keys.values()}
    return Anatomy(
        labels, known, {n: vertebra(n, motion) for n in CENTRES}, np.empty((0, 3)), image, "CT", "the test", True
    )  # fmt: skip
