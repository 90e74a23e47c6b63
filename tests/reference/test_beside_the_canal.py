"""Foramina, facets and Kambin's triangles of a phantom's labels are what its continuous surfaces say."""

from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PHANTOM, PhantomParameters, phantom
from keyhole.anatomy.phantom.truth.facet import facet_truth
from keyhole.anatomy.phantom.truth.foramen import foramen_truth
from keyhole.anatomy.phantom.truth.kambin import kambin_truth
from keyhole.anatomy.phantom.truth.model import Plates
from keyhole.assessment.flank.facet import exceeded
from keyhole.assessment.flank.facet_panel import facet_panel
from keyhole.assessment.flank.foramen_panel import foramen_panel
from keyhole.assessment.flank.kambin_panel import kambin_panel
from keyhole.assessment.study import Study
from keyhole.geometry import Grid, LabelMap, Transform, affine
from keyhole.geometry.transform import PATIENT
from keyhole.terms import Origin, other

LEVEL = "L4/L5"
LIMITS = {"deg": 2.0, "mm": 1.0}
AREA = 0.08
WAYS = {
    "upright": (0, False, (1.0, 1.0, 1.0)),
    "turned": (1, False, (1.0, 1.0, 1.0)),
    "mirrored": (0, True, (1.0, 1.0, 1.0)),
    "oblique": (2, False, (0.8, 1.0, 1.4)),
}
PANELS = (foramen_panel, facet_panel, kambin_panel)


@cache
def body(way):
    turn, is_mirrored, _ = WAYS[way]
    pose = np.eye(4)
    if turn:
        pose[:3, :3] = Rotation.from_rotvec(np.radians(18.0 * turn) * np.array([0.36, -0.48, 0.8])).as_matrix()
        pose[:3, 3] = (31.0, -12.0, 44.0)
    parameters = PhantomParameters(seed=3, pathologies=(), is_mirrored=is_mirrored)
    return phantom(parameters, pose=Transform(PATIENT, PHANTOM, pose))


@cache
def anatomy(way):
    """The phantom's labels from mid L3 to mid S1, on a grid of its own."""
    places = body(way).spine.places
    corners = [(a, b, c) for a in (-36, 36) for b in (-24, 50) for c in (-19, 19)]
    points = [places[name].at(*corner) for name in ("L4", "L5") for corner in corners]
    lying = body(way).patient_from_phantom.apply(np.array(points))
    low, high = lying.min(axis=0) - 4, lying.max(axis=0) + 4
    step = np.array(WAYS[way][2])
    matrix = np.diag([*step, 1.0])
    matrix[:3, 3] = low
    i, j, k = (int(n) for n in np.ceil((high - low) / step))
    return known(body(way).labels_on(Grid((i, j, k), affine(matrix))))


def known(labels):
    structures = {key: Structure(key, Origin.LABELLED, "phantom", 0.0) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    return Anatomy(labels, structures, found, canal_line(labels, found), None, "CT", "true", levels_confirmed=True)


@cache
def measured(way):
    found = [
        one.measurement for panel in PANELS for one in panel(Study(anatomy(way))) if one.measurement.level == LEVEL
    ]
    return {(one.name, one.side): one for one in found}


@cache
def truth(way):
    plates = Plates(body(way), (LEVEL,))
    found = [one for make in (foramen_truth, facet_truth, kambin_truth) for one in make(body(way), plates)]
    is_mirrored = WAYS[way][1]
    return {(one.name, other(one.side) if is_mirrored and one.side else one.side): one for one in found}


@pytest.mark.parametrize(
    "way", ["turned", *(pytest.param(way, marks=pytest.mark.slow) for way in ("upright", "mirrored", "oblique"))]
)
def test_what_lies_beside_the_canal_is_measured_as_it_is(way):
    found = measured(way)
    assert set(found) == set(truth(way))
    for key, one in truth(way).items():
        limit = AREA * one.value if one.unit == "mm2" else LIMITS[one.unit]
        assert found[key].value == pytest.approx(one.value, abs=limit), key
        assert found[key].shapes, key


@pytest.mark.slow
def test_the_mirrored_patient_has_the_sides_exchanged():
    for (name, side), one in measured("upright").items():
        twin = measured("mirrored")[name, other(side) if side else None]
        assert twin.value == pytest.approx(one.value, abs=3 * np.hypot(one.sd, twin.sd)), name


def test_bodies_alone_have_no_foramina_facets_or_triangles():
    whole = anatomy("turned")
    bodies = [n for n, key in whole.labels.structures.items() if key.endswith("/body")]
    array = np.where(np.isin(whole.labels.array, bodies), whole.labels.array, 0)
    alone = known(LabelMap(array, whole.labels.patient_from_index, {n: whole.labels.structures[n] for n in bodies}))
    found = [one.measurement for panel in PANELS for one in panel(Study(alone)) if one.measurement.level == LEVEL]
    assert {(one.name, one.side) for one in found} == set(measured("turned"))
    assert all(one.value is None and "only the body is labelled" in one.caveats[0] for one in found)


def test_a_root_that_is_not_known_leaves_the_bone_alone_measured():
    whole = anatomy("turned")
    names = {n: key for n, key in whole.labels.structures.items() if not key.startswith("root/")}
    array = np.where(np.isin(whole.labels.array, list(names)), whole.labels.array, 0)
    found = {}
    for one in kambin_panel(Study(known(LabelMap(array, whole.labels.patient_from_index, names)))):
        found[one.measurement.name, one.measurement.level] = one.measurement
    assert found["Kambin cannula with root", LEVEL].value is None
    assert found["Kambin base", LEVEL].value is None
    assert found["Kambin cannula with bone", LEVEL].value > 0


def test_the_cannula_past_the_root_is_no_wider_than_past_bone_alone():
    for side in ("left", "right"):
        root, bone = (measured("turned")[f"Kambin cannula with {what}", side].value for what in ("root", "bone"))
        assert root <= bone


def test_tropism_gives_the_chance_of_each_limit_in_use_and_no_verdict():
    one = measured("turned")["facet tropism", None]
    assert all(f"{limit} deg" in one.caveats[0] for limit in (6, 7, 8, 10))
    assert "no verdict" in one.caveats[0]
    assert exceeded(8.0, 0.0, 7.0) == 1.0
    assert exceeded(7.0, 2.0, 7.0) == pytest.approx(0.5, abs=0.01)
    assert exceeded(-12.0, 1.0, 10.0) > 0.97
