"""The phantom's anatomy: what is there, where it is, and what disease does to it."""

import itertools
from functools import cache

import numpy as np
import pytest

from keyhole.anatomy.phantom import PATHOLOGIES, PhantomParameters, findings, phantom
from keyhole.anatomy.phantom.truth.bodies import body_truth
from keyhole.anatomy.phantom.truth.canal import canal_truth
from keyhole.errors import InvalidInput
from keyhole.geometry import Grid, Transform, affine
from keyhole.geometry.transform import INDEX, PATIENT
from keyhole.terms import LUMBAR_LEVELS, heads, in_key, tissue

UPRIGHT = Transform(PATIENT, INDEX, np.eye(4))
SIDES = ("left", "right")


@cache
def body(seed=0, pathologies=(), severity=0.6, level="L4/L5", side="left", is_mirrored=False):
    wanted = PhantomParameters(seed, pathologies, level, side, severity, is_mirrored=is_mirrored)
    return phantom(wanted, UPRIGHT)


@cache
def truth(*levels, **what):
    found = findings(body(**what), levels or ("L4/L5",), (body_truth, canal_truth))
    return {(f.name, f.level): f.value for f in found}


def grid(low, high, step):
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = low
    shape = np.ceil((np.array(high) - low) / step).astype(int)
    return Grid(tuple(int(n) for n in shape), affine(matrix))


def around_spine(one, step=1.0):
    return grid((-58, -34, one.spine.places["S1"].z - 22), (58, 86, one.spine.discs["T11/T12"].z), step)


@cache
def spine_labels(step=1.2, **what):
    one = body(**what)
    return one.labels_on(around_spine(one, step))


@cache
def whole():
    one = body(pathologies=("herniation",))
    return one.labels_on(one.grid(3.0))


@cache
def level_labels(step=0.9, **what):
    """Labels around L4/L5 alone."""
    one = body(**what)
    middle = one.spine.discs["L4/L5"].at(0, 14, 0)
    return one.labels_on(grid(np.subtract(middle, (36, 40, 34)), np.add(middle, (36, 40, 34)), step))


def centre(labels, key):
    return labels.grid.centres(np.argwhere(labels.mask(key))).mean(axis=0)


@pytest.mark.slow
def test_the_same_parameters_give_the_same_phantom_and_another_seed_another():
    wanted = PhantomParameters(seed=5)
    one, two = phantom(wanted), phantom(wanted)
    where = one.grid(6.0)
    np.testing.assert_array_equal(one.labels_on(where).array, two.labels_on(where).array)
    np.testing.assert_array_equal(one.ct_on(where).array, two.ct_on(where).array)
    np.testing.assert_array_equal(one.t2_on(where).array, two.t2_on(where).array)
    assert phantom(PhantomParameters(seed=6)).size != one.size


def test_every_structure_that_a_planner_needs_is_there():
    keys = set(whole().keys)
    present = {whole().structures[int(n)] for n in np.unique(whole().array) if n}
    for name in ("T12", "L1", "L2", "L3", "L4", "L5"):
        assert {f"vertebra/{name}/body", f"vertebra/{name}/spinous"} <= keys
        for side in SIDES:
            for part in ("pedicle", "lamina", "transverse", "facet/superior", "facet/inferior"):
                assert f"vertebra/{name}/{part}/{side}" in keys
    for level in ("T12/L1", *LUMBAR_LEVELS):
        assert {f"disc/{in_key(level)}", f"canal/flavum/{in_key(level)}"} <= keys
        assert {f"foramen/{in_key(level)}/{side}" for side in SIDES} <= keys
    for name in ("T12", "L1", "L2", "L3", "L4", "L5", "S1"):
        assert {f"root/{name}/{side}" for side in SIDES} <= present
    for key in ("muscle/psoas", "muscle/paraspinal", "muscle/quadratus_lumborum", "muscle/gluteus/medius", "pelvis"):
        assert all(any(k.startswith(key) and side in k for k in present) for side in SIDES)
    assert {"vessel/aorta", "vessel/ivc", "vessel/iliac_artery/left", "vessel/iliac_vein/right"} <= present
    assert {"organ/kidney/left", "organ/kidney/right", "organ/colon", "tissue/skin", "tissue/fat"} <= present
    assert {"canal/dural_sac", "canal/epidural", "sacrum", "vertebra/S1/body"} <= present


def test_every_key_is_a_structure_key_of_a_known_tissue():
    assert all(key.split("/")[0] in heads() and tissue(key) for key in whole().keys)


@pytest.mark.parametrize("seed", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_volumes_are_those_of_an_adult(seed):
    labels = spine_labels(seed=seed)
    ml_each = labels.grid.voxel_volume / 1000
    ml = {key: labels.mask(key).sum() * ml_each for key in ("vertebra/L1", "vertebra/L3", "vertebra/L5", "disc/L4-L5")}
    assert all(30 < ml[key] < 75 for key in ml if key.startswith("vertebra"))
    assert 6 < ml["disc/L4-L5"] < 20
    assert all(15 < labels.mask(f"vertebra/L{n}/body").sum() * ml_each < 50 for n in range(1, 6))
    for name in ("L2", "L4"):
        assert all(0.7 < labels.mask(f"vertebra/{name}/pedicle/{s}").sum() * ml_each < 3.5 for s in SIDES)
        assert all(0.5 < labels.mask(f"vertebra/{name}/facet/superior/{s}").sum() * ml_each < 3 for s in SIDES)


def test_left_is_left_behind_is_behind_and_up_is_up():
    labels = whole()
    for key in ("vertebra/L4/pedicle", "root/L4", "organ/kidney", "muscle/psoas", "vessel/iliac_artery", "pelvis"):
        assert centre(labels, f"{key}/left")[0] > 8
        assert centre(labels, f"{key}/right")[0] < -8
    assert centre(labels, "vessel/aorta")[0] > centre(labels, "vessel/ivc")[0] + 15
    assert centre(labels, "organ/liver")[0] < -30
    assert centre(labels, "vertebra/L3/spinous")[1] > centre(labels, "vertebra/L3/body")[1] + 35
    heights = [centre(labels, f"vertebra/{name}/body")[2] for name in ("T12", "L1", "L2", "L3", "L4", "L5", "S1")]
    assert (np.diff(heights) < -25).all()


@pytest.mark.slow
def test_the_spine_is_lordotic_and_its_measures_are_in_the_published_ranges():
    for seed in range(2):
        found = truth(*LUMBAR_LEVELS, seed=seed)
        assert 28 < found["lumbar lordosis", "L1/S1"] < 62
        angles = [found["segmental lordosis", level] for level in LUMBAR_LEVELS]
        assert angles[0] < angles[2] < angles[4]
        for level in LUMBAR_LEVELS:
            assert 4.5 < found["disc height", level] < 14
            assert abs(found["slip", level]) < 2
            assert 140 < found["canal area", level] < 320
            assert 9 < found["canal AP diameter", level] < 18
            assert 80 < found["dural sac area", level] < 220


def test_the_crest_stands_at_the_level_of_l4_and_l5_and_the_aorta_forks_at_l4():
    labels = whole()
    top = labels.grid.centres(np.argwhere(labels.mask("pelvis/left")))[:, 2].max()
    l4, l5 = (centre(labels, f"vertebra/{n}/body")[2] for n in ("L4", "L5"))
    assert l5 < top < l4 + 5
    fork = labels.grid.centres(np.argwhere(labels.mask("vessel/iliac_artery")))[:, 2].max()
    assert l5 < fork < l4 + 5


def test_the_skin_lies_45_to_70_mm_behind_the_lamina_at_l4_and_l5():
    for seed in range(4):
        one = body(seed=seed)
        labels = one.labels_on(
            grid((-1, 0, one.spine.discs["L4/L5"].z - 6), (1, 140, one.spine.discs["L4/L5"].z + 14), 1)
        )
        lamina = labels.grid.centres(np.argwhere(labels.mask("vertebra/L4/lamina")))[:, 1].max()
        skin = labels.grid.centres(np.argwhere(labels.mask("tissue/skin")))[:, 1].max()
        assert 45 < skin - lamina < 70


def test_roots_leave_below_their_own_pedicle_through_the_foramen_at_about_50_degrees():
    one = body()
    labels = level_labels()
    for name, below in (("L4", "L5"),):
        for side in SIDES:
            place, root = one.spine.places[name], labels.mask(f"root/{name}/{side}")
            course = place.within(labels.grid.centres(np.argwhere(root)))
            pedicle = place.within(labels.grid.centres(np.argwhere(labels.mask(f"vertebra/{name}/pedicle/{side}"))))
            under = course[np.abs(np.abs(course[:, 0]) - np.abs(pedicle[:, 0]).mean()) < 1.5]
            assert under[:, 2].max() < pedicle[:, 2].min() + 2
            lateral = np.abs(course[:, 0])
            leg = course[(lateral > np.abs(pedicle[:, 0]).mean()) & (lateral < np.abs(pedicle[:, 0]).mean() + 9)]
            slope = np.polyfit(np.abs(leg[:, 0]), leg[:, 2], 1)[0]
            assert 38 < np.degrees(np.arctan(-slope)) < 65
            assert labels.mask(f"foramen/{name}-{below}/{side}").any()


def gap(labels, upper, lower):
    """Least distance between voxel centres of two vertebrae, mm."""
    import edt

    away = edt.edt(np.ascontiguousarray(~labels.mask(f"vertebra/{upper}")), anisotropy=tuple(labels.grid.spacing))
    return away[labels.mask(f"vertebra/{lower}")].min()


def pieces(labels, key):
    """Parts of a structure of five voxels or more."""
    import cc3d

    sizes = np.bincount(cc3d.connected_components(labels.mask(key), connectivity=26).ravel())[1:]
    return int((sizes >= 5).sum())


@pytest.mark.parametrize("seed", [0, 3])
def test_neighbours_do_not_touch_and_roots_are_whole(seed):
    labels = spine_labels(seed=seed)
    names = ("T12", "L1", "L2", "L3", "L4", "L5", "S1")
    assert all(gap(labels, a, b) > 1.01 * labels.grid.spacing[0] for a, b in itertools.pairwise(names))
    assert all(pieces(labels, f"root/{name}/{side}") == 1 for name in names for side in SIDES)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "pathologies"), [(1, ("herniation",)), (2, PATHOLOGIES), (3, ("spondylolisthesis",))])
def test_the_worst_disease_neither_fuses_bones_nor_severs_roots(seed, pathologies):
    labels = level_labels(0.8, seed=seed, pathologies=pathologies, severity=1.0)
    assert gap(labels, "L4", "L5") > 0.81
    assert all(pieces(labels, f"root/{name}/{side}") == 1 for name in ("L4", "L5") for side in SIDES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pathology", "name", "sense"),
    [
        ("herniation", "canal area", -1),
        ("herniation", "dural sac area", -1),
        ("central-stenosis", "canal area", -1),
        ("central-stenosis", "canal AP diameter", -1),
        ("foraminal-stenosis", "disc height", -1),
        ("spondylolisthesis", "slip", 1),
        ("degeneration", "disc height", -1),
    ],
)
def test_more_severe_is_worse(pathology, name, sense):
    values = [truth(pathologies=(pathology,), severity=s)[name, "L4/L5"] for s in (0.0, 0.5, 1.0)]
    assert (np.diff(values) * sense > 0).all(), values


@pytest.mark.slow
def test_disease_of_one_level_leaves_the_others_alone():
    here, there = ({"pathologies": PATHOLOGIES, "severity": s} for s in (0.0, 1.0))
    for name in ("canal area", "disc height", "dural sac area"):
        assert truth("L2/L3", **here)[name, "L2/L3"] == pytest.approx(truth("L2/L3", **there)[name, "L2/L3"], rel=0.05)


@pytest.mark.slow
def test_severe_stenosis_is_below_the_published_limits():
    assert truth(pathologies=("central-stenosis",), severity=1.0)["dural sac area", "L4/L5"] < 100
    slip = truth(pathologies=("spondylolisthesis",), severity=1.0)
    assert 25 < slip["slip ratio", "L4/L5"] < 40


@pytest.mark.slow
def test_severity_zero_is_the_healthy_spine():
    for pathology in PATHOLOGIES:
        found = truth(pathologies=(pathology,), severity=0.0)
        assert all(found[key] == pytest.approx(value, abs=1e-6) for key, value in truth().items())


@pytest.mark.slow
def test_a_foramen_with_stenosis_has_less_room_on_its_side_only():
    rooms = {}
    for severity in (0.0, 1.0):
        labels = level_labels(pathologies=("foraminal-stenosis",), severity=severity)
        rooms[severity] = [labels.mask(f"foramen/L4-L5/{side}").sum() for side in SIDES]
    assert rooms[1.0][0] < 0.9 * rooms[0.0][0]
    assert rooms[1.0][0] < 0.85 * rooms[1.0][1]


@pytest.mark.slow
def test_the_herniation_lies_in_the_canal_on_its_side_and_presses_the_sac():
    for side, sign in (("left", 1), ("right", -1)):
        what = {"pathologies": ("herniation",), "side": side, "severity": 0.8}
        labels = level_labels(**what)
        fragment = centre(labels, "disc/L4-L5/herniation")
        at = body(**what).spine.discs["L4/L5"].within(fragment)
        assert 2 < sign * at[0] < 9
        assert 14 < at[1] < 26
    left, right = (truth(pathologies=("herniation",), side=s, severity=0.8)["canal area", "L4/L5"] for s in SIDES)
    assert left == pytest.approx(right, rel=0.02)
    assert left < 0.9 * truth()["canal area", "L4/L5"]


@pytest.mark.slow
def test_hounsfield_units_are_those_of_the_tissues():
    one = body()
    where = around_spine(one)
    labels, ct = one.labels_on(where), one.ct_on(where).array
    from scipy.ndimage import binary_erosion

    def level(key):
        return float(np.median(ct[binary_erosion(labels.mask(key), iterations=2)]))

    assert 8 < level("canal/dural_sac") < 30
    assert 70 < level("disc/L3-L4") < 95
    assert 40 < level("muscle/psoas") < 70
    assert 90 < level("vertebra/L3/body") < 260
    assert -115 < level("tissue/fat") < -85
    bone = labels.mask("vertebra")
    assert (ct[bone] > 200).mean() > 0.3
    assert (ct[~bone & ~labels.mask("sacrum", "pelvis", "rib")] > 200).mean() < 0.02
    noise = ct[binary_erosion(labels.mask("muscle/psoas/left"), iterations=3)].std()
    assert 8 < noise < 22


@pytest.mark.slow
def test_on_t2_fluid_is_bright_bone_shell_dark_and_a_worn_disc_black():
    nuclei = []
    for severity in (0.0, 1.0):
        one = body(pathologies=("degeneration",), severity=severity)
        place = one.spine.discs["L4/L5"]
        middle = place.at(0, 0, 0)
        t2 = one.t2_on(grid(middle - 3, middle + 3, 1.0)).array
        nuclei.append(float(t2.mean()))
    assert nuclei[1] < 0.5 * nuclei[0]
    one = body()
    where = around_spine(one, 1.2)
    labels, t2 = one.labels_on(where), one.t2_on(where).array
    sac, muscle = (float(np.median(t2[labels.mask(key)])) for key in ("canal/dural_sac", "muscle/psoas"))
    assert sac > 4 * muscle


@pytest.mark.parametrize(
    "wrong",
    [
        {"pathologies": ("gout",)},
        {"level": "L9/L10"},
        {"level": "T12/L1"},
        {"side": "middle"},
        {"severity": 1.2},
        {"severity": float("nan")},
        {"seed": -1},
        {"age": 4.0},
    ],
)
def test_what_a_phantom_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidInput):
        PhantomParameters(**wrong)


def test_a_pose_that_scales_or_reflects_and_a_spacing_of_nothing_are_refused():
    for matrix in (np.diag([2.0, 2, 2, 1]), np.diag([-1.0, 1, 1, 1])):
        with pytest.raises(InvalidInput):
            phantom(PhantomParameters(), Transform(PATIENT, INDEX, matrix))
    for spacing in (0.0, -1.0, float("nan"), (1.0, 1.0, float("inf"))):
        with pytest.raises(InvalidInput):
            body().grid(spacing)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "step"), [(3, 2.0), (0, 3.3)])
def test_painting_in_blocks_misses_nothing_that_single_points_find(seed, step):
    one = body(seed=seed)
    z = one.spine.places["S1"].z
    labels = one.labels_on(grid((-139.3, -90.2, z - 60.1), (140, 100, z + 60), step))
    centres = labels.grid.centres(np.argwhere(np.ones(labels.array.shape, dtype=bool)))
    found = one.labels_at(centres).reshape(labels.array.shape)
    layers = labels.labels_of("tissue", "muscle/abdominal_wall")
    np.testing.assert_array_equal(np.where(np.isin(labels.array, layers), 0, labels.array), found)
