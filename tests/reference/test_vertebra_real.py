"""Vertebrae, pedicles and muscles of real label maps and a CT: within what is published, and what is seen on them."""

from functools import cache

import numpy as np
import pytest
from test_measures_real import VERSE, needed

from keyhole.anatomy.landmarks import vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.schemes import read_labels
from keyhole.anatomy.tissue import on_grid
from keyhole.assessment.muscle.panel import muscle_panel
from keyhole.assessment.study import Study
from keyhole.assessment.vertebra.panel import vertebra_panel
from keyhole.geometry import LabelMap
from keyhole.geometry.resample import keyhole_grid, labels_on_grid
from keyhole.imaging.nifti import read_nifti, whole_numbers
from keyhole.terms import Origin

SAFE_WIDTH, SAFE_HEIGHT = (7.2, 17.8), (13.9, 16.7)  # mm, T11 to L5, cadavers [pedicle-safe-zone]


def studied(labels, image=None, sd=0.5):
    structures = {key: Structure(key, Origin.LABELLED, "file", sd) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    one = Anatomy(labels, structures, found, np.zeros((0, 3)), None, "CT", "file", levels_confirmed=True)
    return Study(one, {} if image is None else {"CT": lambda: image})


def verse(name):
    path = needed(f"labelmaps_verse/{name}_seg-vert_msk.nii.gz")
    volume = read_nifti(path).volume
    array = whole_numbers(volume.array, path)
    keys = {n: f"vertebra/{VERSE[n]}" for n in np.unique(array).tolist() if n in VERSE}
    labels = LabelMap(np.where(np.isin(array, list(keys)), array, 0), volume.patient_from_index, keys)
    return labels if np.ptp(labels.grid.spacing) < 0.1 else labels_on_grid(labels, keyhole_grid(labels.grid))


def rows(panel, study):
    return {(f.measurement.name, f.measurement.level, f.measurement.side): f for f in panel(study)}


def value(found, name, level, side=None):
    return found[name, level, side].measurement.value


@cache
def of_verse(name):
    return rows(vertebra_panel, studied(verse(name)))


def test_pedicles_of_whole_vertebrae_grow_wider_and_turn_outwards_down_the_spine():
    found = of_verse("sub-verse004")
    for side in ("left", "right"):
        widths = [value(found, "pedicle width", name, side) for name in ("L2", "L3", "L4", "L5")]
        angles = [value(found, "pedicle transverse angle", name, side) for name in ("L2", "L3", "L4", "L5")]
        assert widths == sorted(widths)
        assert SAFE_WIDTH[0] < widths[0]
        assert widths[-1] < SAFE_WIDTH[1] + 1.645 * 0.9
        assert 8 < angles[0] < 16
        assert 20 < angles[-1] < 30
        for name in ("L2", "L3", "L4", "L5"):
            height = found["pedicle height", name, side].measurement
            assert SAFE_HEIGHT[0] - 1.645 * height.sd < height.value < SAFE_HEIGHT[1]
            assert abs(value(found, "pedicle sagittal angle", name, side)) < 12


def test_the_collapsed_l1_is_told_from_its_neighbours():
    found = of_verse("sub-verse004")
    assert value(found, "middle vertebral height", "L1") < 0.5 * value(found, "middle vertebral height", "L2")
    for name in ("L2", "L3", "L4", "L5"):
        assert found["vertebral height loss", name, None].grade.likeliest == "0 (below 20 %)"


@pytest.mark.slow
def test_the_biconcave_l1_and_the_slender_pedicles_of_the_other_spine_are_found():
    found = of_verse("sub-verse010")
    assert found["vertebral height loss", "L1", None].grade.likeliest == "2 (25 to 40 %)"
    for side in ("left", "right"):
        assert all(3.5 < value(found, "pedicle width", name, side) < 8.5 for name in ("L1", "L2", "L3"))
        assert 12 < value(found, "pedicle width", "L5", side) < 17


def ct():
    labels = read_labels(needed("ct_abdomen_3mm/labels_totalsegmentator_total.nii.gz")).labels
    keys = {n: k for n, k in labels.structures.items() if k.startswith(("vertebra", "canal", "sacrum", "muscle/p"))}
    kept = LabelMap(np.where(np.isin(labels.array, list(keys)), labels.array, 0), labels.patient_from_index, keys)
    fine = labels_on_grid(kept, keyhole_grid(kept.grid))
    image = read_nifti(needed("ct_abdomen_3mm/ct.nii.gz")).volume
    hu, array, n = on_grid(image, fine.grid), fine.array.astype(np.uint8).copy(), max(fine.structures) + 1
    array[(array == 0) & (hu > -190) & (hu < -30)] = n
    return studied(LabelMap(array, fine.patient_from_index, {**fine.structures, n: "tissue/fat"}), image, 1.0)


@pytest.mark.slow
def test_bone_and_muscles_of_the_ct_are_plausible():
    one = ct()
    found = rows(vertebra_panel, one)
    for name in ("L1", "L2", "L3", "L4", "L5"):
        assert 22 < value(found, "anterior vertebral height", name) < 35
        assert 89 - 38 < value(found, "vertebral density", name) < 226 + 44  # [jang2019], the oldest to the youngest
    muscles = rows(muscle_panel, one)
    for side in ("left", "right"):
        areas = [value(muscles, "psoas area", level, side) for level in ("L1/L2", "L2/L3", "L3/L4", "L4/L5")]
        assert areas == sorted(areas)
        assert 600 < areas[-1] < 2500
        fat = [value(muscles, "paraspinal fat share", level, side) for level in ("L1/L2", "L3/L4", "L4/L5")]
        assert fat == sorted(fat)  # more fat towards the sacrum
        assert value(muscles, "psoas fat share", "L3/L4", side) < min(fat)
        why = muscles["multifidus area", "L4/L5", side].measurement
        assert why.value is None
        assert "not labelled" in why.caveats[0]
    assert all(f.measurement.value is None for key, f in muscles.items() if key[1] == "T12/L1")
