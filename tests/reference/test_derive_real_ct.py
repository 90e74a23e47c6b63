"""Anatomy derived on a real abdomen CT with 3 mm labels of a network: plausible, and never absurd."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from keyhole.anatomy.derive import complete
from keyhole.anatomy.schemes import read_labels
from keyhole.errors import ImplausibleAnatomy
from keyhole.geometry import LabelMap, affine, bounding_box
from keyhole.geometry.resample import keyhole_grid, labels_on_grid, reoriented
from keyhole.imaging.nifti import read_nifti

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
CT = DATA / "ct_abdomen_3mm"
pytestmark = pytest.mark.skipif(not CT.is_dir(), reason="real data of ../shared/data is not here")

LEVELS = ("T12-L1", "L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")


@cache
def given():
    """Labels around the spine on 1 mm, the structures, and the image."""
    named = read_labels(CT / "labels_totalsegmentator_total.nii.gz")
    coarse = reoriented(named.labels)
    box = bounding_box(coarse.mask("vertebra", "canal"), 10)
    coarse = coarse.crop(box)
    labels = labels_on_grid(coarse, keyhole_grid(coarse.grid))
    kept = {key: named.structures[key] for key in labels.keys}
    return labels, kept, read_nifti(CT / "ct.nii.gz").volume


@cache
def found():
    labels, kept, image = given()
    return complete(labels, kept, image, "CT")


def test_every_level_has_disc_foramina_and_roots():
    keys = found()[0].keys
    for level in LEVELS:
        assert f"disc/{level}" in keys
        for side in ("left", "right"):
            assert f"foramen/{level}/{side}" in keys
            assert f"root/{level.split('-')[0]}/{side}" in keys


def test_discs_are_of_plausible_volume():
    labels = found()[0]
    volumes = [labels.mask(f"disc/{level}").sum() / 1000 for level in LEVELS[1:]]
    assert min(volumes) > 8
    assert max(volumes) < 28


def test_the_bony_canal_is_of_plausible_section():
    labels = found()[0]
    inside = labels.mask("canal", "root")
    for name in ("L2", "L3", "L4"):
        box = bounding_box(labels.mask(f"vertebra/{name}/body"))
        axial = inside[box[0].start - 20 : box[0].stop + 20, :, box[2]].sum(axis=(0, 1))
        assert 150 < np.median(axial) < 450


def test_no_root_lies_in_bone_disc_or_vessel():
    labels, _, _ = given()
    done = found()[0]
    root = done.mask("root")
    assert root.sum() > 3000
    assert not (root & labels.mask("vertebra", "sacrum", "vessel", "organ")).any()


def test_parts_have_their_usual_shares():
    labels = found()[0]
    for name in ("L1", "L2", "L3", "L4", "L5"):
        whole = labels.mask(f"vertebra/{name}").sum()
        assert 0.6 < labels.mask(f"vertebra/{name}/body").sum() / whole < 0.8
        for part in ("pedicle", "lamina", "facet/superior", "facet/inferior", "transverse"):
            pair = [labels.mask(f"vertebra/{name}/{part}/{side}").sum() for side in ("left", "right")]
            assert min(pair) > 0.3 * max(pair), (name, part)


def test_tissues_fill_the_body_and_the_cut_is_told():
    labels, structures, caveats = found()
    assert structures["tissue/fat"].source == "-190 to -30 HU"
    assert labels.mask("tissue/muscle").sum() > 1e5
    assert any("T11" in text for text in caveats)
    assert any("field of view" in text for text in caveats)


def test_labels_flipped_without_their_affine_are_refused():
    labels, kept, _ = given()
    flipped = LabelMap(labels.array[::-1], labels.patient_from_index, labels.structures)
    with pytest.raises(ImplausibleAnatomy, match="left and right are exchanged"):
        complete(flipped, kept, None, "CT")


@pytest.mark.slow
def test_a_rolled_patient_is_fine():
    labels, kept, _ = given()
    roll = np.diag([-1.0, -1.0, 1.0, 1.0])
    turned = LabelMap(labels.array, affine(roll @ labels.patient_from_index.matrix), labels.structures)
    assert "disc/L4-L5" in complete(turned, kept, None, "CT")[0].keys
