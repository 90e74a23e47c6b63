"""Measures on real label maps: no truth is known, so what is plausible and what is seen on the images must come out."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.schemes import read_labels
from keyhole.assessment import assess
from keyhole.geometry import LabelMap
from keyhole.geometry.resample import keyhole_grid, labels_on_grid
from keyhole.imaging.nifti import read_nifti, whole_numbers
from keyhole.terms import Origin

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
VERSE = {**{17 + n: f"T{10 + n}" for n in range(3)}, **{20 + n: f"L{1 + n}" for n in range(5)}, 26: "S1"}
BODIES = ("VB1_15", *(f"VB2_0{n}" for n in (2, 4, 5, 6)), *(f"VB3_0{n}" for n in (1, 2, 3, 4)))


def needed(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real data {name} are not here")
    return path


def anatomy(labels):
    structures = {key: Structure(key, Origin.LABELLED, "file", 0.5) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    line = canal_line(labels, found)
    return Anatomy(labels, structures, found, line, None, "CT", "file", levels_confirmed=True)


@cache
def verse(name):
    path = needed(name)
    volume = read_nifti(path).volume
    array = whole_numbers(volume.array, path)
    keys = {n: f"vertebra/{VERSE[n]}" for n in np.unique(array).tolist() if n in VERSE}
    return anatomy(LabelMap(np.where(np.isin(array, list(keys)), array, 0), volume.patient_from_index, keys))


@cache
def ct():
    labels = read_labels(needed("ct_abdomen_3mm/labels_totalsegmentator_total.nii.gz")).labels
    keys = {n: key for n, key in labels.structures.items() if key.startswith(("vertebra", "canal", "sacrum"))}
    kept = LabelMap(np.where(np.isin(labels.array, list(keys)), labels.array, 0), labels.patient_from_index, keys)
    return anatomy(labels_on_grid(kept, keyhole_grid(kept.grid)))


def values(found, name):
    return {f.level: f.value for f in found if f.name == name and f.value is not None}


def test_the_abdominal_ct_has_a_plausible_spine():
    one = ct()
    found = assess(one)
    heights = values(found, "disc height")
    assert set(heights) >= {"L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1"}
    assert all(5 < height < 15 for height in heights.values())
    assert 40 < values(found, "lumbar lordosis")["L1/S1"] < 70
    assert all(abs(slip) < 4 for slip in values(found, "slip").values())
    for name in ("L1", "L2", "L3", "L4", "L5"):
        vertebra = one.vertebrae[name]
        assert 30 < vertebra.superior.depth < 46
        assert 42 < vertebra.superior.width < 62
        assert vertebra.left[0] > 0.95  # the patient lies straight: left is +x in LPS
        assert vertebra.posterior[1] > 0.8


def test_the_cut_top_of_the_ct_is_not_measured():
    found = ct().vertebrae
    assert not found["T12"].complete
    assert "T11" not in found  # a remnant of its spinous process
    row = next(f for f in assess(ct()) if f.name == "disc height" and f.level == "T12/L1")
    assert row.value is None
    assert "T12 cut by the field of view" in row.caveats[0]


def test_the_cord_label_is_not_taken_for_the_dural_sac():
    assert len(ct().canal_line) > 150
    areas = values(assess(ct()), "canal area")
    assert all(30 < area < 350 for area in areas.values())


def test_whole_vertebrae_without_canal_label_give_frames_from_their_own_arches():
    one = verse("labelmaps_verse/sub-verse010_seg-vert_msk.nii.gz")
    heights = values(assess(one), "disc height")
    assert set(heights) == {"L1/L2", "L2/L3", "L3/L4", "L4/L5"}
    assert all(5 < height < 13 for height in heights.values())
    for vertebra in one.vertebrae.values():
        assert vertebra.complete
        assert vertebra.posterior[1] > 0.8
        assert vertebra.left[0] > 0.95
        assert not any("lordotic" in caveat for caveat in vertebra.caveats)
    assert values(assess(one), "slip")["L4/L5"] > 5  # seen on the picture: L4 slipped on L5
    assert not values(assess(one), "canal area")


@pytest.mark.parametrize("name", BODIES)
def test_bodies_alone_give_discs_and_lordosis(name):
    one = verse(f"mr_bodies_verse/{name}_labels.nii.gz")
    found = assess(one)
    heights = values(found, "disc height")
    assert set(heights) >= {"L1/L2", "L2/L3", "L3/L4", "L4/L5"}
    assert all(3 < height < 16 for height in heights.values())
    assert all(-12 < angle < 30 for angle in values(found, "segmental lordosis").values())
    assert values(found, "segmental lordosis")["L4/L5"] > values(found, "segmental lordosis")["L1/L2"]
    assert all("lordotic" in " ".join(vertebra.caveats) for vertebra in one.vertebrae.values())


def test_the_known_spondylolisthesis_of_l5_is_found_and_graded():
    found = assess(verse("mr_bodies_verse/VB1_15_labels.nii.gz"))
    slips = values(found, "slip")
    assert slips["L5/S1"] > 6
    assert all(slip < 0 for level, slip in slips.items() if level != "L5/S1")
    row = next(f for f in found if f.name == "slip ratio" and f.level == "L5/S1")
    assert row.grade == "I"
    assert row.grade_probability["I"] > 0.7
    assert any("lying down" in caveat for caveat in row.caveats)
