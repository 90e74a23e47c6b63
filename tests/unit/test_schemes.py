"""Label files named, or refused."""

import numpy as np
import pytest
from import_files import KEYS, REAL, TOTAL, blocks, placed, scan

from keyhole.anatomy.schemes import SCHEMES, boundary_sd, read_labels, totalsegmentator
from keyhole.casefile import LabelsRecord, StructureEntry, provenance, to_json
from keyhole.errors import InvalidInput, UnknownScheme
from keyhole.geometry import LabelMap
from keyhole.imaging import write_nifti
from keyhole.terms import Origin, Tissue, sides_swapped, tissue


def test_all_117_names_map_to_keys_of_their_own_and_mirror_with_their_sides():
    rows = totalsegmentator()
    assert sorted(row.label for row in rows.values() if row.label) == list(range(1, 118))
    assert len({row.key for row in rows.values()}) == len(rows)
    for row in rows.values():
        assert tissue(row.key) in set(Tissue)
        mirrored = "_".join({"left": "right", "right": "left"}.get(w, w) for w in row.name.split("_"))
        if "middle" not in row.name and "atrial_appendage" not in row.name:
            assert rows[mirrored].key == sides_swapped(row.key)


@pytest.mark.parametrize(
    ("name", "label", "key"),
    [
        ("vertebrae_L4", 28, "vertebra/L4"),
        ("vertebrae_S1", 26, "vertebra/S1"),
        ("vertebrae_L6", None, "vertebra/L6"),
        ("sacrum", 25, "sacrum"),
        ("spinal_cord", 79, "canal/dural_sac"),
        ("iliopsoas_right", 89, "muscle/psoas/right"),
        ("autochthon_left", 86, "muscle/paraspinal/left"),
        ("hip_left", 77, "pelvis/left"),
        ("iliac_vena_right", 68, "vessel/iliac_vein/right"),
        ("inferior_vena_cava", 63, "vessel/ivc"),
        ("portal_vein_and_splenic_vein", 64, "vessel/portal_vein"),
        ("rib_left_12", 103, "rib/12/left"),
        ("kidney_left", 3, "organ/kidney/left"),
    ],
)
def test_a_name_means_this(name, label, key):
    assert (totalsegmentator()[name].label, totalsegmentator()[name].key) == (label, key)


def test_names_inside_the_file_decide_and_the_cord_is_no_sac(tmp_path):
    _, labels = scan(tmp_path, names="total")
    found = read_labels(labels)
    assert found.scheme == "totalsegmentator_total"
    assert found.basis == "names in the label file (TotalSegmentator total)"
    assert found.labels.structures[28] == "vertebra/L4"
    cord = found.structures["canal/dural_sac"]
    assert "not the dural sac's true wall" in cord.caveats[0]
    assert (cord.origin, cord.sd, cord.source) == (Origin.LABELLED, 0.53, "seg.nii.gz, TotalSegmentator total")


def test_without_names_the_scheme_must_be_told_and_the_order_is_a_caveat(tmp_path):
    _, labels = scan(tmp_path, names="none")
    with pytest.raises(UnknownScheme, match="as totalsegmentator_total: vertebrae L3-L5 and 4 other"):
        read_labels(labels)
    found = read_labels(labels, "totalsegmentator_total")
    assert found.labels.structures[28] == "vertebra/L4"
    assert "order of TotalSegmentator version 2" in found.caveats[-1]
    assert found.basis.startswith("--scheme")
    with pytest.raises(UnknownScheme, match=r"unknown label scheme 'verses'; .* totalsegmentator_total, keyhole"):
        read_labels(labels, "verses")
    with pytest.raises(UnknownScheme, match=r"seg\.json beside it; neither was found"):
        read_labels(labels, "keyhole")


def _write(path, array, names):
    write_nifti(LabelMap(array, placed()), path, names)
    return path


def test_other_orders_by_name_are_read_by_name(tmp_path):
    swapped = {
        1: "vertebrae_L5",
        2: "vertebrae_L4",
        3: "heart_atrium_left",
        4: "sacrum",
        5: "face",
        6: "aorta",
        7: "hip_left",
    }
    found = read_labels(_write(tmp_path / "v1.nii.gz", blocks(), swapped))
    assert found.labels.structures[1] == "vertebra/L5"
    assert found.labels.structures[3] == "organ/heart/atrium/left"


def test_what_cannot_be_named_is_refused(tmp_path):
    part = _write(tmp_path / "part.nii.gz", blocks(), TOTAL)
    with pytest.raises(UnknownScheme, match="label 1 has no name, though other labels"):
        read_labels(part)
    strange = _write(tmp_path / "strange.nii.gz", blocks(), KEYS | {1: "vertebrae_bodies"})
    with pytest.raises(UnknownScheme, match="the first unknown one is 'vertebrae_bodies'"):
        read_labels(strange)
    twice = _write(tmp_path / "twice.nii.gz", blocks(), KEYS | {1: "vertebra/L4"})
    with pytest.raises(UnknownScheme, match="labels 1 and 2 are both vertebra/L4"):
        read_labels(twice)
    with pytest.raises(UnknownScheme, match="label 1 is named 'vertebra/L3', which is no structure of Total"):
        read_labels(_write(tmp_path / "own.nii.gz", blocks(), KEYS), "totalsegmentator_total")
    with pytest.raises(InvalidInput, match="needs labelled voxels, all 19200 hold 0"):
        read_labels(_write(tmp_path / "empty.nii.gz", np.zeros_like(blocks()), KEYS))


def test_keyholes_own_record_beside_the_file_keeps_origin_and_sd(tmp_path):
    labels = _write(tmp_path / "labels.nii.gz", blocks(), KEYS)
    entries = {n: StructureEntry(key=key, origin="modelled", source="phantom", sd=0.1) for n, key in KEYS.items()}
    record = LabelsRecord(
        schema="keyhole.labels/1", structures=entries, caveats=("made up",), provenance=provenance({})
    )
    (tmp_path / "labels.json").write_bytes(to_json(record))
    found = read_labels(labels)
    assert found.scheme == "keyhole"
    assert found.caveats == ("made up",)
    assert {(s.origin, s.sd) for s in found.structures.values()} == {(Origin.MODELLED, 0.1)}
    entries[2] = entries[2].model_copy(update={"key": "vertebra/L2"})
    (tmp_path / "labels.json").write_bytes(to_json(record.model_copy(update={"structures": entries})))
    with pytest.raises(UnknownScheme, match=r"'vertebra/L4' inside the file and 'vertebra/L2' in labels\.json"):
        read_labels(labels)


def test_the_sd_grows_with_the_coarsest_side():
    assert boundary_sd(np.array([3.0, 3.0, 3.0])) == 0.53
    assert boundary_sd(np.array([1.0, 1.0, 2.0])) == boundary_sd(np.array([2.0, 1.0, 1.0])) == 0.353
    assert SCHEMES[:2] == ("totalsegmentator_total", "keyhole")
    assert len(set(SCHEMES)) == 33


@pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")
def test_real_files_are_named_or_refused():
    folder = REAL / "ct_abdomen_3mm"
    found = read_labels(folder / "labels_totalsegmentator_total.nii.gz")
    assert {"vertebra/L1", "vertebra/S1", "sacrum", "vessel/aorta", "pelvis/left"} <= set(found.labels.keys)
    with pytest.raises(UnknownScheme, match="label 1 of TotalSegmentator vertebrae body is one for all levels"):
        read_labels(folder / "labels_totalsegmentator_vertebrae_body.nii.gz")
    verse = read_labels(REAL / "labelmaps_verse" / "sub-verse010_seg-vert_msk.nii.gz")
    assert verse.basis == "the label file's name (VerSe)"
    assert verse.labels.keys == tuple(f"vertebra/L{n}" for n in range(1, 6))
