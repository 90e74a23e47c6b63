"""The same phantom on a grid twice as coarse gives the same measures, within their intervals."""

from pathlib import Path

import numpy as np
import pytest

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PHANTOM, PhantomParameters, phantom
from keyhole.anatomy.placement import on_keyhole_grid
from keyhole.anatomy.schemes import boundary_sd
from keyhole.assessment import assess
from keyhole.geometry import Grid, Transform, affine
from keyhole.geometry.transform import PATIENT
from keyhole.terms import Origin

NINETY = 1.645


def measures(body, step):
    """Value and sd by name, level and side, on labels sampled every `step` mm, brought to Keyhole's grid."""
    box = [(a, b, c) for a in (-36, 36) for b in (-26, 64) for c in (-22, 22)]
    corners = body.patient_from_phantom.apply(
        np.array([body.spine.places[name].at(*corner) for name in ("L3", "L4", "L5") for corner in box])
    )
    low, high = corners.min(axis=0) + 0.3, corners.max(axis=0)
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = low
    i, j, k = (int(n) for n in np.ceil((high - low) / step))
    drawn = body.labels_on(Grid((i, j, k), affine(matrix)))
    labels, _ = on_keyhole_grid(drawn, Path("phantom"))
    sd = boundary_sd(np.full(3, step))
    structures = {key: Structure(key, Origin.LABELLED, "phantom", sd) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    line = canal_line(labels, found)
    anatomy = Anatomy(labels, structures, found, line, None, "CT", "true", levels_confirmed=True)
    return {(f.name, f.level, f.side): (f.value, f.sd) for f in assess(anatomy) if f.value is not None}


@pytest.mark.slow
def test_a_grid_twice_as_coarse_stays_within_the_interval():
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])
    body = phantom(PhantomParameters(7, ("central-stenosis",), "L4/L5"), Transform(PATIENT, PHANTOM, turn))
    fine, coarse = measures(body, 1.0), measures(body, 2.0)
    both = sorted(set(fine) & set(coarse), key=str)
    assert len(both) > 100
    off = {key: abs(fine[key][0] - coarse[key][0]) / coarse[key][1] for key in both if coarse[key][1]}
    outside = [(key, fine[key], coarse[key]) for key, far in off.items() if far > NINETY]
    assert len(outside) <= 0.1 * len(off), outside
    assert max(off.values()) < 4.0, max(off, key=off.__getitem__)
