"""Two block vertebrae with an elliptic canal, in any pose, on any grid: sizes known by arithmetic. Not anatomy."""

from __future__ import annotations

import numpy as np

from keyhole.anatomy.model import Anatomy, Endplate, Structure, Vertebra
from keyhole.geometry import LabelMap, Plane, Volume, affine
from keyhole.terms import Origin

HALF = (10.0, 8.0)
"""Half width and half depth of the canal, mm; its middle lies 26 mm behind the bodies' centres."""

BACK, SAC, THICK = 26.0, 5.5, 5.0
"""Canal's middle behind the bodies, radius of the sac, and how much flavum takes off behind, |z| < 5 mm, mm."""

CENTRES = {"L4": 20.0, "L5": -20.0}
UP = 13.0  # mm, half height of a body
PROCESS = 20.0  # mm behind the bodies' centres where the superior process of L5 begins; the bodies end at 16


def keys_at(p, *, process=PROCESS):
    """The key at each point (n, 3) of the world: x left, y back, z up."""
    x, y, z = p.T
    found = np.full(len(p), "", dtype=object)
    inside = (x / HALF[0]) ** 2 + ((y - BACK) / HALF[1]) ** 2 <= 1
    found[inside] = "canal/epidural"
    found[np.hypot(x, y - BACK) <= SAC] = "canal/dural_sac"
    found[inside & (y > BACK + HALF[1] - THICK) & (np.abs(z) < 5)] = "canal/flavum/L4-L5"
    found[np.hypot(x - 7.5, y - BACK) <= 1.2] = "root/L5/left"
    for name, centre in CENTRES.items():
        h = z - centre
        found[(np.abs(x) < 20) & (np.abs(y) < 16) & (np.abs(h) < UP)] = f"vertebra/{name}/body"
        for side, sign in (("left", 1), ("right", -1)):
            aside = sign * x
            found[(aside > 12) & (aside < 20) & (y >= 16) & (y < 32) & (h > 0) & (h < 10)] = (
                f"vertebra/{name}/pedicle/{side}"
            )
    for side, sign in (("left", 1), ("right", -1)):
        aside = sign * x
        facet = (aside > 8) & (aside < 20) & (y >= process) & (y < 26) & (z > -14) & (z < 5) & ~inside
        found[facet & (found == "")] = f"vertebra/L5/facet/superior/{side}"
        found[(aside > 12) & (aside < 20) & (y >= 28) & (y < 36) & (z > -8) & (z < 8)] = (
            f"vertebra/L4/facet/inferior/{side}"
        )
    return found


def labels_of(turn, spacing=(1.0, 1.0, 1.0), *, mirror=False, without=(), **options):
    """The world turned by `turn` (3, 3) about its middle, on a grid along the scan's axes."""
    corners = np.array([(a, b, c) for a in (-24, 24) for b in (-18, 40) for c in (-46, 46)]) @ turn.T
    low, high = corners.min(axis=0) - 0.37, corners.max(axis=0)
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing))
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = low
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    names = keys_at((index * spacing + low) @ turn, **options)
    names[np.isin(names, list(without))] = ""
    keys = sorted(set(names) - {""})
    array = np.zeros(len(names), dtype=np.uint8)
    for n, key in enumerate(keys, 1):
        array[names == key] = n
    if mirror:
        matrix = np.diag([-1.0, 1.0, 1.0, 1.0]) @ matrix
    return LabelMap(array.reshape(shape), affine(matrix), dict(enumerate(keys, 1)))


def anatomy_of(labels, turn, *, mirror=False, sd=0.0, structures=None):
    """The world's anatomy, its frames by arithmetic."""
    flip = np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])
    rows = turn.T @ flip  # left, back, up in the patient
    left = np.cross(rows[1], rows[2])
    known = structures or {key: Structure(key, Origin.LABELLED, "world", sd) for key in labels.keys}
    found = {}
    for name, z in CENTRES.items():
        centre = z * rows[2]
        plates = [_plate(centre + sense * UP * rows[2], rows, left) for sense in (1, -1)]
        found[name] = Vertebra(name, centre, left, rows[1], rows[2], plates[0], plates[1], complete=True)
    line = BACK * rows[1] + np.arange(44.0, -44.5, -1.0)[:, None] * rows[2]
    return Anatomy(labels, known, found, line, None, "MR", "true", levels_confirmed=True)


def _plate(centre, rows, left):
    ends = [centre + d for d in (-16 * rows[1], 16 * rows[1], 20 * left, -20 * left)]
    return Endplate(Plane(centre, rows[2]), *ends, sd=0.1, tilt_sd=0.2)


def t2_of(labels, turn, dim):
    """A T2 image on the grid of `labels`: fluid 900 in the sac, `dim` of it where |z| < 5 mm."""
    index = np.moveaxis(np.indices(labels.array.shape), 0, -1)
    z = (labels.grid.centres(index) @ turn)[..., 2]
    sac = labels.mask("canal/dural_sac")
    return Volume(np.where(sac, np.where(np.abs(z) < 5, 900.0 * dim, 900.0), 100.0), labels.patient_from_index)
