"""A painted sacrum and one iliac plate, a joint of a known width between: on any grid, moved, turned or mirrored."""

import functools

import numpy as np
from scipy.spatial.transform import Rotation

from keyhole.anatomy.model import Anatomy, Endplate, Structure, Vertebra
from keyhole.geometry import LabelMap, Plane, affine
from keyhole.terms import Origin, sides_swapped

LOW, HIGH = np.array([-10.0, -88.0, -52.0]), np.array([122.0, 50.0, 34.0])
ALONG = np.array([np.sin(np.deg2rad(33)), -np.cos(np.deg2rad(33)), 0.0])
"""The plate runs outward and forward."""
ACROSS = np.array([np.cos(np.deg2rad(33)), np.sin(np.deg2rad(33)), 0.0])
START = np.array([48.0, 30.0, 0.0])
NOTCH, CREST = -26.0, 26.0  # mm, where the plate ends below and above


def paint(p, half, gap):
    """Key index of each point (n, 3) (left, posterior, up): 1 S1, 2 sacrum, 3 left ilium, 2 `half` thick."""
    across, along = (p - START) @ ACROSS, (p - START) @ ALONG
    code = np.zeros(len(p), dtype=np.uint8)
    sacral = (across < -half - gap) & (p[:, 1] < 24 + 0.4 * (p[:, 0] - 15)) & (p[:, 1] > -22) & (p[:, 2] < 15)
    code[sacral] = 2
    code[sacral & (p[:, 2] > -12) & (np.abs(p[:, 0]) < 24)] = 1
    code[(np.abs(across) < half) & (along > -12) & (along < 106) & (p[:, 2] > NOTCH) & (p[:, 2] < CREST)] = 3
    return code


def frame(matrix):
    left, posterior, up = matrix[:3, :3].T

    def at(*q):
        return matrix[:3, :3] @ np.array(q, float) + matrix[:3, 3]

    top = Endplate(
        Plane(at(0, 0, 15), up), at(0, -18, 15), at(0, 18, 15), at(25, 0, 15), at(-25, 0, 15), 0.5, 1.0
    )  # fmt: skip
    return Vertebra("S1", at(0, 0, 0), left, posterior, up, top, None, True)


@functools.cache
def painted(half, gap, spacing, turn):
    """Labels and local_from_index on a grid turned by `turn` degrees about x, y, z in the patient."""
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * (HIGH - LOW) + LOW
    low, high = (corners @ axes).min(axis=0), (corners @ axes).max(axis=0)
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    local = np.eye(4)
    local[:3, :3], local[:3, 3] = axes * np.array(spacing), axes @ low
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1).reshape(-1, 3)
    return paint(index @ local[:3, :3].T + local[:3, 3], half, gap).reshape(shape), local


def hip(*, half=9.0, gap=3.0, motion=None, spacing=(1.5, 1.5, 1.5), turn=(0, 0, 0), flip=False, keep=None):
    """The pelvis; `keep` (axis, start, stop) is what the scan holds, `flip` mirrors the patient."""
    motion = np.eye(4) if motion is None else motion
    code, local = painted(half, gap, spacing, turn)
    keys = {1: "vertebra/S1/body", 2: "sacrum", 3: "pelvis/left"}
    keys = {n: sides_swapped(k) if flip else k for n, k in keys.items()}
    reflect = np.diag([-1.0, 1, 1, 1]) if flip else np.eye(4)
    labels = LabelMap(code, affine(motion @ reflect @ local), keys)
    if keep is not None:
        box = [slice(0, n) for n in code.shape]
        box[keep[0]] = slice(*keep[1:])
        labels = labels.crop((box[0], box[1], box[2]))
    known = {k: Structure(k, Origin.LABELLED, "test", 0.5) for k in keys.values()}
    return Anatomy(labels, known, {"S1": frame(motion)}, np.empty((0, 3)), None, "CT", "the test", True)
