"""What is derived from whole vertebrae against a phantom's truth, and under mirror, move and turn."""

from functools import cache

import numpy as np
import pytest
from derived_phantom import Case, derived, dice, known, lumbar_grid, straight, whole
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from keyhole.anatomy.derive import complete
from keyhole.anatomy.parts import body_of
from keyhole.anatomy.phantom.model import phantom
from keyhole.anatomy.phantom.parameters import PhantomParameters
from keyhole.geometry import LabelMap, affine
from keyhole.terms import Origin, belongs, sides_swapped

OVERLAP = {
    "vertebra/L3/body": 0.96,
    "vertebra/L4/body": 0.95,
    "vertebra/L5/body": 0.94,
    "vertebra/S1/body": 0.98,
    "vertebra/L4/facet": 0.80,
    "vertebra/L5/facet": 0.78,
    "vertebra/L4/spinous": 0.90,
    "vertebra/L4/lamina": 0.70,
    "vertebra/L4/transverse": 0.78,
    "vertebra/L4/pedicle": 0.55,
    "disc/L3-L4": 0.92,
    "disc/L4-L5": 0.89,
    "disc/L5-S1": 0.91,
}


@cache
def oblique() -> Case:
    turn = Rotation.from_euler("xyz", [17, -11, 24], degrees=True).as_matrix()
    return derived(phantom(PhantomParameters(seed=3)).labels_on(lumbar_grid(turn=turn)))


@pytest.mark.parametrize(("key", "least"), OVERLAP.items())
def test_parts_and_discs_overlap_the_truth(key, least):
    assert dice(straight(), key) > least


@pytest.mark.slow
@pytest.mark.parametrize(("key", "least"), [(k, v - 0.02) for k, v in OVERLAP.items() if "body" in k or "disc" in k])
def test_an_oblique_grid_changes_little(key, least):
    assert dice(oblique(), key) > least


def test_the_bony_canal_is_the_true_canal_with_its_flavum():
    case = straight()
    inside = case.truth.mask("vertebra/L4") | case.truth.mask("disc/L4-L5")
    box = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(inside))
    true = case.truth.mask("canal", "root", box=box).sum()
    found = case.labels.mask("canal", "root", box=box).sum()
    assert 0.8 < found / true < 1.1
    assert "flavum" in case.structures["canal/epidural"].caveats[0]


@pytest.mark.parametrize("name", ["L3", "L4", "L5"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_modelled_roots_run_near_the_true_ones(name, side):
    case = straight()
    true, found = (m.grid.centres(np.argwhere(m.mask(f"root/{name}/{side}"))) for m in (case.truth, case.labels))
    apart = cKDTree(true).query(found)[0]
    assert apart.mean() < 4.0
    assert np.percentile(apart, 95) < 8.0
    assert case.structures[f"root/{name}/{side}"].caveats[0] == "modelled"


def test_labelled_voxels_are_never_overwritten_but_by_their_own_parts_and_roots_in_muscle():
    case = straight()
    for n, key in case.given.structures.items():
        now = {
            case.labels.structures.get(int(m), "nothing") for m in np.unique(case.labels.array[case.given.array == n])
        }
        if key.startswith("muscle"):
            now = {k for k in now if not k.startswith("root/")}
        assert all(belongs(k, key) for k in now - {"nothing"}), key
        assert "nothing" not in now or key.startswith("vertebra")  # islands


def test_no_root_lies_in_bone_or_disc():
    case = straight()
    root = case.labels.mask("root")
    assert root.any()
    assert not (root & case.truth.mask("vertebra", "sacrum")).any()


def test_a_moved_patient_has_the_same_labels():
    case = straight()
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", [30, 10, -75], degrees=True).as_matrix()
    move[:3, 3] = [120.0, -35.0, 410.0]
    given = LabelMap(case.given.array, affine(move @ case.given.patient_from_index.matrix), case.given.structures)
    labels, _, _ = complete(given, known(given), None, "CT")
    assert labels.structures == case.labels.structures
    assert (labels.array != case.labels.array).mean() < 1e-4


def test_a_mirrored_patient_has_mirrored_labels():
    case = straight()
    matrix = case.given.patient_from_index.matrix.copy()
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    names = {n: sides_swapped(key) for n, key in case.given.structures.items()}
    given = LabelMap(case.given.array, affine(flip @ matrix), names)
    labels, _, _ = complete(given, known(given), None, "CT")
    keys = {n: sides_swapped(key) for n, key in labels.structures.items()}
    for key in case.labels.keys:
        mine, twin = case.labels.mask(key), np.isin(labels.array, [n for n, k in keys.items() if k == key])
        overlap = 2 * (mine & twin).sum() / (mine.sum() + twin.sum())
        assert overlap > (0.85 if key.startswith("root") else 0.97), key


def test_complete_labels_are_left_as_they_are():
    case = straight()
    labels, structures, _ = complete(case.truth, known(case.truth), None, "CT")
    given = case.truth.array > 0
    assert (labels.array[given] == case.truth.array[given]).mean() > 0.999
    assert {s.origin for k, s in structures.items() if k in case.truth.keys} == {Origin.LABELLED}


def test_a_body_is_found_without_any_hint():
    case = straight()
    whole_l4, body = case.given.mask("vertebra/L4"), case.truth.mask("vertebra/L4/body")
    found = body_of(whole_l4, case.given.patient_from_index)
    assert 2 * (found & body).sum() / (found.sum() + body.sum()) > 0.93


def test_a_sacrum_alone_gives_the_first_sacral_body():
    case = straight()
    names = {n: ("sacrum" if key.startswith("vertebra/S1") else key) for n, key in whole(case.truth).structures.items()}
    twice = [n for n, key in names.items() if key == "sacrum"]
    array = np.where(np.isin(case.given.array, twice), twice[0], case.given.array).astype(np.uint16)
    given = LabelMap(array, case.given.patient_from_index, {n: k for n, k in names.items() if n not in twice[1:]})
    labels, structures, _ = complete(given, known(given), None, "CT")
    body, true = labels.mask("vertebra/S1/body"), case.truth.mask("vertebra/S1/body")
    assert 2 * (body & true).sum() / (body.sum() + true.sum()) > 0.75
    assert "sacrum" in structures["vertebra/S1/body"].source
    disc, gap = labels.mask("disc/L5-S1"), case.truth.mask("disc/L5-S1")
    assert 2 * (disc & gap).sum() / (disc.sum() + gap.sum()) > 0.85
