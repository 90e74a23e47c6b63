"""Heights, density and pedicles measured on labels are those of the phantom's continuous surfaces, however it lies."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.anatomy.landmarks import vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PHANTOM, PhantomParameters, phantom
from keyhole.anatomy.phantom.truth.model import Plates
from keyhole.anatomy.phantom.truth.vertebrae import vertebra_truth
from keyhole.assessment.study import Study
from keyhole.assessment.vertebra.panel import vertebra_panel
from keyhole.geometry import Grid, LabelMap, Transform, affine
from keyhole.geometry.transform import PATIENT
from keyhole.terms import Origin

LEVELS = ("L3/L4", "L4/L5")
LIMITS = {"height": 1.0, "loss": 4.0, "width": 0.8, "angle": 2.5, "density": 6.0}
OTHER = {"left": "right", "right": "left"}


def posed(turn, *, is_mirrored=False):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(np.radians(turn)).as_matrix()
    pose[:3, 3] = 31.0, -12.0, 55.0
    parameters = PhantomParameters(seed=5, pathologies=("spondylolisthesis",), is_mirrored=is_mirrored)
    return phantom(parameters, pose=Transform(PATIENT, PHANTOM, pose))


def around(body, spacing, turn=(0.0, 0.0, 0.0)):
    """A grid turned by `turn` degrees that holds L3 to L5."""
    places = body.spine.places
    box = [(a, b, c) for a in (-38, 38) for b in (-25, 40) for c in (-22, 22)]
    corners = [places[name].at(*corner) for name in ("L3", "L4", "L5") for corner in box]
    axes = Rotation.from_rotvec(np.radians(turn)).as_matrix()
    local = body.patient_from_phantom.apply(np.array(corners)) @ axes
    low, step = local.min(axis=0), np.array(spacing)
    i, j, k = np.ceil(np.ptp(local, axis=0) / step).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes * step, axes @ low
    return Grid((int(i), int(j), int(k)), affine(matrix))


def study(body, grid, *, whole=False, sd=0.0, image=False):
    labels = body.labels_on(grid)
    if whole:
        names = [key for key in labels.keys if key.startswith("vertebra/")]
        wholes = sorted({"/".join(key.split("/")[:2]) for key in names})
        array = np.zeros(labels.array.shape, dtype=np.uint8)
        for n, key in enumerate(wholes, 1):
            array[labels.mask(key)] = n
        labels = LabelMap(array, labels.patient_from_index, dict(enumerate(wholes, 1)))
    structures = {key: Structure(key, Origin.LABELLED, "phantom", sd) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    anatomy = Anatomy(labels, structures, found, np.zeros((0, 3)), None, "CT", "true", levels_confirmed=True)
    return Study(anatomy, {"CT": lambda: body.ct_on(grid)} if image else {})


def compared(body, one):
    """(measured, true) by name, vertebra and side."""
    is_mirrored = body.parameters.is_mirrored
    true = {
        (t.name, t.level, OTHER[t.side] if is_mirrored and t.side else t.side): t.value
        for t in vertebra_truth(body, Plates(body, LEVELS))
    }
    found = [f.measurement for f in vertebra_panel(one)]
    return {(m.name, m.level, m.side): (m, true[m.name, m.level, m.side]) for m in found if m.level in ("L3", "L4")}


def off(pairs):
    """What differs from the truth by more than is allowed."""
    wrong = []
    for key, (found, value) in pairs.items():
        limit = next(limit for word, limit in LIMITS.items() if word in key[0])
        if found.value is None or not abs(found.value - value) <= limit:
            wrong.append((key, value, found.value))
    return wrong


@pytest.mark.slow
def test_a_turned_patient_has_the_same_vertebrae_and_density():
    body = posed((40.0, 25.0, -60.0))
    pairs = compared(body, study(body, around(body, (1.0, 1.0, 1.0)), image=True))
    assert not off(pairs)
    assert len(pairs) == 2 * 13
    assert all(found.shapes for found, _ in pairs.values())


@pytest.mark.slow
def test_a_mirrored_patient_on_an_oblique_anisotropic_grid_has_its_own_sides():
    body = posed((5.0, -8.0, 10.0), is_mirrored=True)
    grid = around(body, (0.8, 1.0, 1.2), turn=(20.0, 0.0, 15.0))
    pairs = compared(body, study(body, grid, whole=True))
    assert not [one for one in off(pairs) if "density" not in one[0][0]]
    density = pairs["vertebral density", "L4", None][0]
    assert density.value is None
    assert "no CT" in density.caveats[0]


@pytest.mark.slow
def test_a_coarser_grid_stays_within_its_interval_and_says_less():
    body = posed((12.0, -20.0, 35.0))
    fine, coarse = (compared(body, study(body, around(body, (s, s, s)))) for s in (1.0, 2.0))
    inside = [
        abs(fine[key][0].value - coarse[key][0].value) <= 2.6 * np.hypot(fine[key][0].sd, coarse[key][0].sd)
        for key in fine
        if fine[key][0].value is not None
    ]
    assert np.mean(inside) > 0.9
    wide = [coarse[key][0].sd > fine[key][0].sd for key in fine if fine[key][0].value is not None]
    assert np.mean(wide) > 0.8


@pytest.mark.slow
def test_a_vertebra_cut_by_the_scan_has_no_height_and_says_so():
    body = posed((0.0, 0.0, 0.0))
    grid = around(body, (1.2, 1.2, 1.2))
    top = body.patient_from_phantom.apply(body.spine.places["L3"].at(0, 0, 0))
    k = int(grid.index(top)[2])
    part = grid.crop((slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, k)))
    rows = [f.measurement for f in vertebra_panel(study(body, part)) if f.measurement.level == "L3"]
    assert len(rows) == 13
    assert all(row.value is None and "L3" in row.caveats[0] for row in rows)
    below = [f.measurement for f in vertebra_panel(study(body, part)) if f.measurement.level == "L4"]
    assert all(row.value is not None for row in below if "density" not in row.name)
