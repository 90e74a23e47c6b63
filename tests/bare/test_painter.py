"""The painted scans and their scorer are what they say: tests of the bench, not of the method."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from cases import phantom_cases, verse_cases
from painter import HU, Look, paint, rotation
from score import score, totals
from worlds import World, phantom_world

from keyhole.anatomy.phantom import PhantomParameters
from keyhole.anatomy.schemes import NamedLabels
from keyhole.casefile import VertebraEntry
from keyhole.errors import NotInScan
from keyhole.geometry import LabelMap

COARSE = Look(noise=0.0, spacing=(3.0, 3.0, 3.0), table=False)


@cache
def world() -> World:
    return phantom_world(PhantomParameters(seed=5, pathologies=()), 3.0)


def _named(labels: LabelMap, **vertebrae: VertebraEntry) -> NamedLabels:
    return NamedLabels(labels, {}, "truth", "truth", vertebrae=vertebrae)


def test_tissues_have_their_hounsfield_units():
    made = paint(world(), replace(COARSE, spacing=(4.0, 4.0, 4.0)))
    for key, name in (("muscle/paraspinal", "muscle"), ("organ/liver", "liver"), ("tissue/fat", "fat")):
        mask = made.truth.mask(key)
        assert np.median(made.image.array[mask]) == pytest.approx(HU[name], abs=12)
    assert np.median(made.image.array[made.truth.mask("vertebra")]) > 150


def test_noise_is_as_strong_as_asked():
    quiet, loud = (paint(world(), replace(COARSE, noise=n)).image.array.astype(float) for n in (0.0, 40.0))
    body = quiet > -200
    assert np.std((loud - quiet)[body]) == pytest.approx(40, rel=0.05)


def test_the_file_s_axes_change_nothing_in_the_patient():
    plain = paint(world(), COARSE)
    other = paint(world(), replace(COARSE, order=(2, 0, 1), flips=(True, False, True)))
    assert not np.allclose(plain.image.patient_from_index.matrix, other.image.patient_from_index.matrix)
    where = plain.truth.grid.centres(np.argwhere(plain.truth.mask("vertebra/L3"))).mean(axis=0)
    again = other.truth.grid.centres(np.argwhere(other.truth.mask("vertebra/L3"))).mean(axis=0)
    assert np.abs(where - again).max() < 1e-6
    assert np.array_equal(np.sort(plain.image.array, axis=None), np.sort(other.image.array, axis=None))


@pytest.mark.parametrize("name", ["turn", "oblique"])
def test_turned_scans_keep_image_and_truth_together(name):
    made = paint(world(), replace(COARSE, **{name: (6.0, -4.0, 9.0)}))
    bone = made.truth.mask("vertebra/L3/body")
    assert np.median(made.image.array[bone]) > 150
    centres = [
        made.truth.grid.centres(np.argwhere(made.truth.mask(f"vertebra/{n}")).mean(axis=0)) for n in ("L1", "L5")
    ]
    plain = paint(world(), COARSE).truth
    still = [plain.grid.centres(np.argwhere(plain.mask(f"vertebra/{n}")).mean(axis=0)) for n in ("L1", "L5")]
    way, old = centres[0] - centres[1], still[0] - still[1]
    expected = rotation((6.0, -4.0, 9.0)) @ old if name == "turn" else old
    assert np.abs(way - expected).max() < 1.5


def test_what_a_crop_cuts_is_not_whole():
    assert {"L1", "L2", "L3", "L4", "L5"} <= set(paint(world(), COARSE).whole)
    cut = paint(world(), replace(COARSE, bottom=150.0))
    assert "L5" not in cut.whole
    assert "L2" in cut.whole


def test_discs_get_thin_and_spinous_processes_meet():
    plain, thin, kissing = (
        paint(world(), look) for look in (COARSE, replace(COARSE, thin=0.5), replace(COARSE, kissing=6.0))
    )
    assert thin.truth.mask("disc/L3-L4").sum() < 0.8 * plain.truth.mask("disc/L3-L4").sum()
    assert kissing.truth.mask("vertebra/L3/spinous").sum() > 1.2 * plain.truth.mask("vertebra/L3/spinous").sum()


def test_the_truth_scores_one_and_a_shift_by_one_level_is_seen():
    made = paint(world(), COARSE)
    right = score(
        "",
        made.image,
        made.truth,
        made.whole,
        lambda _: _named(made.truth, L3=VertebraEntry(confidence=0.2, warnings=("?",))),
    )
    assert min(v.dice for v in right.lumbar) == 1.0
    assert not right.wrong
    assert max(abs(d) for d in right.canal.values()) == 0.0
    assert totals([right]).clean_warned == 1
    up = {"T12": "T11", "L1": "T12", "L2": "L1", "L3": "L2", "L4": "L3", "L5": "L4"}
    names = {
        n: "/".join([k.split("/")[0], up.get(k.split("/")[1], "L6"), *k.split("/")[2:]])
        if k.startswith("vertebra/")
        else k
        for n, k in made.truth.structures.items()
    }
    kept = {n: k for n, k in names.items() if not k.startswith("vertebra/L6")}
    shifted = LabelMap(
        np.where(np.isin(made.truth.array, list(kept)), made.truth.array, 0),
        made.truth.patient_from_index,
        {n: k for n, k in kept.items() if list(kept.values()).count(k) == 1},
    )
    wrong = score("", made.image, made.truth, made.whole, lambda _: _named(shifted))
    assert {v.name for v in wrong.wrong} >= {"L1", "L2", "L3", "L4", "L5"}


def test_a_refusal_is_counted_as_one():
    made = paint(world(), COARSE)

    def refuse(_image):
        raise NotInScan("nothing to name the vertebrae by")

    found = totals([score("", made.image, made.truth, made.whole, refuse)])
    assert (found.refused, found.named_wrong, found.missed) == (1, 0, 0)


def test_the_cases_are_fixed_and_hold_every_trap():
    cases = [*phantom_cases(50), *verse_cases()]
    assert len(cases) == 70
    looks = [case.look for case in cases]
    assert {look.spacing for look in looks if max(look.spacing) >= 3}
    for trap in ("contrast", "table", "thin", "kissing", "sides", "top", "bottom"):
        assert any(getattr(look, trap) for look in looks), trap
    assert any(any(look.turn) for look in looks)
    assert any(any(look.oblique) for look in looks)
    assert any(any(look.flips) for look in looks)
    assert min(look.cancellous for look in looks) < 70
    assert max(look.noise for look in looks) > 50
    assert sum(case.is_clean for case in cases) >= 10
