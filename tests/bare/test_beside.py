"""Soft tissue, vessels and confidence on scenes whose bone is the truth."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from painter import Look, Painted, paint
from pseudo_scene import moved, scene_of
from worlds import phantom_world

from keyhole.anatomy.phantom import PhantomParameters
from keyhole.geometry import Volume
from keyhole.segment.classical.confidence import confidence, misplaced
from keyhole.segment.classical.scene import Found, Scene
from keyhole.segment.classical.soft import UNKNOWN, coarse, soft_tissue
from keyhole.segment.classical.vessels import vessels
from keyhole.terms import Tissue, tissue

MUSCLES = tuple(f"muscle/{m}/{s}" for m in ("psoas", "paraspinal") for s in ("left", "right"))


@cache
def scan(is_mirrored: bool = False, noise: float = 20.0) -> Painted:
    wanted = PhantomParameters(seed=6, pathologies=(), is_mirrored=is_mirrored)
    return paint(phantom_world(wanted, 2.0), Look(noise=noise, spacing=(2.0, 2.0, 2.0), table=False, seed=2))


@cache
def scene(is_mirrored: bool = False) -> Scene:
    return scene_of(scan(is_mirrored))


@cache
def found_in(is_mirrored: bool = False) -> tuple[Found, Found]:
    return beside(scene(is_mirrored))


def beside(one: Scene) -> tuple[Found, Found]:
    view = coarse(one)
    assert view is not None
    tubes = vessels(one, view)
    return tubes, soft_tissue(one, view, tubes)


def _full(one: Scene, found: Found, key: str) -> np.ndarray:
    mask = np.zeros(one.grid.shape, dtype=bool)
    if key in found:
        mask[found[key][0]] = found[key][1]
    return mask


@pytest.mark.parametrize("is_mirrored", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_muscles_overlap_the_truth_above_the_pelvis_on_either_side(is_mirrored):
    one, truth = scene(is_mirrored), scan(is_mirrored).truth
    _, soft = found_in(is_mirrored)
    low = int(np.argwhere(truth.mask("pelvis"))[:, 2].max())
    high = int(np.argwhere(truth.mask("vertebra/L1"))[:, 2].max())
    for key in MUSCLES:
        a, b = truth.mask(key)[:, :, low:high], _full(one, soft, key)[:, :, low:high]
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > (0.80 if "psoas" in key else 0.85), key


@pytest.mark.slow
def test_named_vessels_lie_inside_the_true_ones():
    tubes, _ = found_in()
    assert "vessel/aorta" in tubes
    for key in tubes:
        found = _full(scene(), tubes, key)
        assert (found & scan().truth.mask(key)).sum() > 0.85 * found.sum(), key


def test_a_mirrored_patient_gets_no_vessel_of_the_wrong_name():
    tubes, _ = found_in(True)
    for key in tubes:
        found = _full(scene(True), tubes, key)
        inside = (found & scan(True).truth.mask(key)).sum() / found.sum()
        assert inside > 0.85, f"{key}: {inside:.2f}"


def test_organs_in_front_are_forbidden_and_muscles_and_canal_are_not():
    one, truth = scene(), scan().truth
    tubes, soft = found_in()
    assert tissue(UNKNOWN) is Tissue.ORGAN
    hard = _full(one, soft, UNKNOWN)
    for key in tubes:
        hard |= _full(one, tubes, key)
    for key in ("organ/kidney/left", "organ/kidney/right", "vessel/aorta", "vessel/ivc"):
        span = slice(*(int(f(np.argwhere(truth.mask("vertebra/L2"))[:, 2])) for f in (np.min, np.max)))
        part = truth.mask(key)[:, :, span]
        assert (hard[:, :, span] & part).sum() > 0.85 * part.sum(), key
    for key in ("canal", "muscle/paraspinal", "tissue/fat"):
        part = truth.mask(key)
        assert (hard & part).sum() < 0.03 * part.sum(), key


def test_a_patient_who_lies_elsewhere_gets_the_same_muscles():
    a, b, c = np.cos(0.2), np.sin(0.2), 30.0
    matrix = np.array([[a, -b, 0, c], [b, a, 0, -12.0], [0, 0, 1, 7.0], [0, 0, 0, 1]])
    _, still = found_in()
    _, other = beside(moved(scene(), matrix))
    for key in MUSCLES:
        one, two = _full(scene(), still, key), _full(scene(), other, key)
        assert (one ^ two).sum() <= 0.002 * one.sum(), key


def test_too_little_spine_gives_no_soft_tissue():
    one = scene()
    names = {n: k for n, k in one.names.items() if not k.startswith("vertebra/") or k.startswith("vertebra/L3")}
    assert coarse(replace(one, names=names)) is None


# --- confidence ---


def test_a_clean_spine_has_no_warnings():
    found = confidence(scene())
    assert {"L1", "L2", "L3", "L4", "L5"} <= set(found)
    for name in ("L1", "L2", "L3", "L4", "L5"):
        assert not found[name].warnings, (name, found[name].warnings)
        assert found[name].confidence > 0.6


def test_a_vertebra_that_lost_part_of_its_body_or_arch_carries_a_warning():
    one = scene()
    of = {k: n for n, k in one.names.items()}
    labels = one.labels.copy()
    body = labels == of["vertebra/L3/body"]
    body[:, :, : int(np.argwhere(body)[:, 2].mean())] = False
    labels[body] = 0
    arch = np.isin(labels, [n for k, n in of.items() if k.startswith("vertebra/L2/") and "left" in k])
    labels[arch] = 0
    found = confidence(replace(one, labels=labels))
    assert any("volume" in w for w in found["L3"].warnings)
    assert any("left and right" in w for w in found["L2"].warnings)
    assert found["L3"].confidence < confidence(one)["L3"].confidence


def test_a_plane_that_moves_or_is_dim_is_a_warning_for_both_its_vertebrae():
    found = confidence(scene(), {"L3/L4": 6.0})
    assert all(any("moves by 6 mm" in w for w in found[n].warnings) for n in ("L3", "L4"))
    assert not found["L1"].warnings
    dim = tuple(replace(p, score=0.05) if p.level == "L1/L2" else p for p in scene().planes)
    found = confidence(replace(scene(), planes=dim))
    assert all(found[n].warnings for n in ("L1", "L2"))


def test_marrow_that_drowns_in_noise_is_a_warning():
    one = scene()
    pale = np.where(one.mask("vertebra/L4/body"), np.int16(60), np.asarray(one.hu.array))
    found = confidence(replace(one, hu=Volume(pale, one.hu.patient_from_index)))
    assert any("marrow" in w for w in found["L4"].warnings)
    assert not found["L2"].warnings


def test_a_cut_vertebra_noise_and_thick_slices_are_warnings():
    assert any("edge" in w for w in confidence(replace(scene(), cut=("T12",)))["T12"].warnings)
    for noisy in (
        replace(scene(), noise=90.0),
        replace(scene(), noise=float("nan")),
        replace(scene(), spacing=(1.0, 1.0, 5.0)),
    ):
        assert all(v.warnings for v in confidence(noisy).values())


def test_a_missed_and_an_invented_disc_are_told():
    planes = scene().planes
    assert misplaced(scene().planes) is None
    missed = tuple(p for p in planes if p.level != "L2/L3")
    said = misplaced(missed)
    assert said is not None
    assert "a disc was missed" in said
    first, second = planes[3], planes[4]
    extra = replace(first, centre=(first.centre + second.centre) / 2)
    said = misplaced((*planes[:4], extra, *planes[4:]))
    assert said is not None
    assert "taken for two" in said


def test_confidence_is_the_same_for_a_patient_who_lies_elsewhere():
    matrix = np.eye(4)
    matrix[:3, 3] = 17.0, -40.0, 5.0
    one, two = confidence(scene()), confidence(moved(scene(), matrix))
    assert one == two
