"""Discs of a mirrored phantom against its truth, and of real MR label maps against published figures."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PHANTOM, PhantomParameters, phantom
from keyhole.anatomy.phantom.truth.disc import disc_truth
from keyhole.anatomy.phantom.truth.model import Plates
from keyhole.assessment import assess_case
from keyhole.assessment.disc.panel import disc_panel
from keyhole.assessment.model import entry
from keyhole.assessment.study import Study
from keyhole.casefile import CaseRecord
from keyhole.geometry import Grid, Transform, affine
from keyhole.geometry.transform import PATIENT
from keyhole.terms import Origin

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
LEVEL = "L4/L5"
VOLUMES = {"IVD_11": (3.716, 5.062, 5.659, 6.103, 5.898), "IVD_20": (8.094, 11.366, 11.992, 12.288, 8.361)}
"""ML from L1/L2 to L5/S1, as those who drew them counted on the slices: doi:10.21037/qims.2016.08.01."""

LIMITS = {
    "anterior disc height": 0.5,
    "posterior disc height": 0.5,
    "disc height index": 0.02,
    "disc wedge angle": 2.0,
    "disc volume": 0.5,
    "disc signal ratio": 0.05,
    "herniation depth": 0.5,
    "herniation volume": 0.12,
    "herniation circumference": 6.0,
    "herniation offset": 0.6,
    "herniation migration": 0.8,
}


def needed(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real data {name} are not here")
    return path


@pytest.mark.slow
def test_a_mirrored_and_turned_herniation_is_its_truth():
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0.15, -0.2, 0.1]).as_matrix()
    parameters = PhantomParameters(seed=9, severity=0.8, level=LEVEL, side="right", is_mirrored=True)
    body = phantom(parameters, pose=Transform(PATIENT, PHANTOM, pose))
    grid = around(body)
    labels = body.labels_on(grid)
    structures = {key: Structure(key, Origin.LABELLED, "phantom", 0.0) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    known = Anatomy(labels, structures, found, canal_line(labels, found), None, "MR", "true", levels_confirmed=True)
    image = body.t2_on(grid)
    got = {one.name: one for one in map(entry, disc_panel(Study(known, {"T2": lambda: image}))) if one.level == LEVEL}
    true = {one.name: one.value for one in disc_truth(body, Plates(body, (LEVEL,)))}
    assert set(true) == set(LIMITS)
    for name, value in true.items():
        assert got[name].value == pytest.approx(value, abs=LIMITS[name]), name
    assert true["herniation offset"] > 4  # the phantom's right is the mirrored patient's left
    assert got["herniation circumference"].grade == "focal"
    assert got["herniation offset"].grade == "central"


def around(body):
    """A 1 mm grid around L4 to S1."""
    box = [(a, b, c) for a in (-32, 32) for b in (-24, 40) for c in (-20, 20)]
    places = [body.spine.places[name].at(*corner) for name in ("L4", "L5", "S1") for corner in box]
    corners = body.patient_from_phantom.apply(np.array(places))
    matrix = np.eye(4)
    matrix[:3, 3] = corners.min(axis=0) + 0.3
    i, j, k = (int(n) for n in np.ptp(corners, axis=0))
    return Grid((i, j, k), affine(matrix))


@pytest.mark.slow
def test_bodies_of_mr_give_discs_lordosis_and_the_known_slip(tmp_path):
    labels = needed("mr_bodies_verse/VB1_15_labels.nii.gz")
    image = needed("mr_bodies_verse/VB1_15_image.nii.gz")
    case = import_case(tmp_path / "case", [image], labels=labels, scheme="verse", weighting="T2")
    assert case.read(CaseRecord).images[0].weighting == "T2"
    found = {(one.name, one.level): one for one in assess_case(case).findings}
    for level in ("L1/L2", "L2/L3", "L3/L4", "L4/L5"):
        assert 8 < found["disc height", level].value < 16
        assert found["anterior disc height", level].value > found["posterior disc height", level].value
        assert found["disc signal ratio", level].value is None
    assert found["posterior disc height", "L5/S1"].value > found["anterior disc height", "L5/S1"].value
    assert found["slip", "L5/S1"].value == pytest.approx(8.0, abs=1.0)
    assert 40 < found["lumbar lordosis", "L1/S1"].value < 65
    assert found["canal area", "L4/L5"].value is None


@pytest.mark.parametrize("name", list(VOLUMES))
def test_volumes_of_discs_are_those_published_for_the_same_people(tmp_path, name):
    labels = needed(f"mr_discs_totalspineseg/{name}_labels.nii.gz")
    case = import_case(tmp_path / "case", [], labels=labels, scheme="totalspineseg")
    found = [one.value for one in assess_case(case).findings if one.name == "disc volume"]
    ratio = np.array(found) / np.array(VOLUMES[name])
    assert (ratio > 0.95).all()  # the labels were interpolated from 4 mm slices to 1 mm, which rounds them up
    assert (ratio < 1.35).all()
    assert np.corrcoef(found, VOLUMES[name])[0, 1] > 0.75
