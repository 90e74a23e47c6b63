"""Plans where something is missing or in the way: reasons in sentences, never a corridor through the unknown."""

from dataclasses import replace

import numpy as np
import pytest
from plan_anatomy import back

from keyhole.casefile import LevelState
from keyhole.geometry import LabelMap, Tube
from keyhole.plan import catalogue, plan
from keyhole.plan.clearance import clearances, surfaces
from keyhole.plan.reasons import reason
from keyhole.plan.search import search
from keyhole.plan.site import hard_keys, site
from keyhole.plan.targets import treated

FORAMINAL, WINDOW, TUBE = "transforaminal-endoscopic", "interlaminar-endoscopic", "tubular-paramedian"


def asked(anatomy, *approaches):
    return plan(anatomy, "L4/L5", "left", "decompress", approaches=list(approaches))


def renamed(anatomy, old, new):
    """`anatomy` with every voxel of key `old` called `new`."""
    labels = anatomy.labels
    keys = {n: new if k == old else k for n, k in labels.structures.items()}
    known = dict(anatomy.structures) | {new: replace(anatomy.structures[old], key=new)}
    return replace(anatomy, labels=LabelMap(labels.array, labels.patient_from_index, keys), structures=known)


def test_a_body_cut_by_the_field_of_view_is_unseen_and_gives_no_corridor():
    anatomy = back()
    centres = anatomy.labels.grid.index([60.0, 0, 0])
    box = (slice(0, int(centres[0])), slice(0, anatomy.labels.array.shape[1]), slice(0, anatomy.labels.array.shape[2]))
    record = asked(replace(anatomy, labels=anatomy.labels.crop(box)), FORAMINAL)
    assert record.candidates == ()
    assert "unseen" in record.rejected[0].reason


def test_without_any_outline_of_the_body_nothing_is_planned():
    anatomy = back()
    keys = {n: k for n, k in anatomy.labels.structures.items() if not k.startswith(("tissue/", "muscle/"))}
    array = np.where(np.isin(anatomy.labels.array, list(keys)), anatomy.labels.array, 0)
    bare = replace(anatomy, labels=LabelMap(array, anatomy.labels.patient_from_index, keys))
    record = asked(bare, FORAMINAL, WINDOW, TUBE)
    assert record.candidates == ()
    assert record.open is None
    assert all("unseen is never safe" in r.reason for r in record.rejected)


def test_bowel_in_the_way_is_named_with_the_missing_mm_of_the_corridor_that_lacks_them():
    anatomy = renamed(back(), "muscle/paraspinal/left", "organ/colon")
    record = asked(anatomy, TUBE)
    assert record.candidates == ()
    (entry,) = record.rejected
    assert "organ/colon" in entry.reason
    assert " mm" in entry.reason
    way = entry.tried
    assert (way.blocked, way.target, way.radius) == ("tube", None, catalogue()[TUBE].radii[0])
    skin, dock = np.array(way.entry), np.array(way.dock)
    tube = Tube(skin, dock + way.radius * (skin - dock) / np.linalg.norm(skin - dock), way.radius)
    gap, _ = clearances(surfaces(anatomy.labels, anatomy.labels.keys), tube)[entry.structure]
    assert -gap == pytest.approx(entry.missing.value, abs=2e-3)


def test_arches_without_parts_still_get_a_tube_with_a_caveat():
    anatomy = back(without=("vertebra/L4/lamina", "vertebra/L5/lamina", "vertebra/L4/facet", "vertebra/L5/facet"))
    record = asked(renamed(anatomy, "vertebra/L4/spinous", "vertebra/L4/posterior"), TUBE)
    assert [c for c in record.candidates if any("not labelled apart" in said for said in c.caveats)]


def test_without_a_foramen_kambins_triangle_is_taken_from_the_disc_with_a_caveat():
    record = asked(back(without=("foramen",)), FORAMINAL)
    assert record.candidates
    assert all(any("no foramen is labelled" in said for said in c.caveats) for c in record.candidates)


def test_without_a_flavum_the_window_is_taken_behind_the_canal_with_a_caveat():
    record = asked(back(without=("canal/flavum",)), WINDOW)
    assert record.candidates
    assert all(any("no flavum is labelled" in said for said in c.caveats) for c in record.candidates)


def test_a_herniation_of_the_other_side_is_no_target_and_said_so():
    record = plan(back(herniation="left"), "L4/L5", "right", "decompress", approaches=[WINDOW])
    assert any("does not lie on the right" in said for said in record.caveats)


def test_without_a_canal_the_decompression_is_unknown_and_says_why():
    record = asked(back(without=("canal",), herniation=None), FORAMINAL)
    for c in record.candidates:
        assert c.decompression.canal_area_before.value is None
        assert "not labelled" in c.decompression.canal_area_before.caveats[0]


@pytest.mark.slow
def test_unconfirmed_levels_leave_their_caveat_on_the_plan():
    state = LevelState(numbering="told", against=("a rib at L1",))
    record = asked(replace(back(), levels_confirmed=False, level_state=state), WINDOW)
    assert record.levels == state
    assert any(said.startswith("levels not confirmed") for said in record.caveats)


@pytest.mark.parametrize(
    ("approach", "low", "high"),
    [
        pytest.param(FORAMINAL, 80, 150, marks=pytest.mark.slow),
        (WINDOW, 4, 20),
        pytest.param(TUBE, 10, 30, marks=pytest.mark.slow),
    ],
)
def test_no_corridor_walks_round_the_flank_or_docks_far_from_its_place(approach, low, high):
    anatomy = back()
    for c in asked(anatomy, approach).candidates:
        assert low - 0.1 <= c.entry[0] <= high + 0.1
        assert np.linalg.norm(np.subtract(c.dock, c.target)) <= 25.1
        assert c.dock[1] > 5


def test_where_no_instrument_fits_the_nearest_miss_is_told_with_its_mm():
    place = site(back(), "L4/L5", "left")
    thick = replace(catalogue()[FORAMINAL], instrument_radius=7.0)
    targets = treated(place.core)
    found = search(place, thick, targets)
    walls = surfaces(place.labels, hard_keys(place, thick))
    said = reason(place, found, walls, targets, modality="CT")
    near = clearances(walls, Tube(*found.miss, 7.0))
    entry, radius = found.missed
    assert radius in thick.radii
    assert np.linalg.norm(entry - found.miss[0]) > 20
    key = next(k for k in near if k != "canal/epidural")
    assert len(found) == 0
    assert found.verdicts["unreached"] > 0
    assert -7.0 < near[key][0] < 0
    assert said.endswith(
        f"{-near[key][0]:.1f} mm short of room for an instrument of radius 7.00 mm beside "
        f"{key} ({place.structures[key].origin}, sd {place.structures[key].sd:.1f} mm)"
    )


def test_a_body_without_tissue_classes_on_mr_is_said_to_be_unlabelled_and_not_cut():
    anatomy = back()
    labels = anatomy.labels
    fat = next(n for n, k in labels.structures.items() if k == "tissue/fat")
    keys = {n: k for n, k in labels.structures.items() if k != "tissue/fat"}
    array = np.where(labels.array == fat, 0, labels.array)
    bare = replace(anatomy, labels=LabelMap(array, labels.patient_from_index, keys), modality="MR")
    said = asked(bare, FORAMINAL).rejected[0].reason
    assert said.startswith("unseen: most of the body between spine and skin has no label")
    assert "tissue classes are not known on MR" in said
