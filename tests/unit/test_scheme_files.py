"""Label files as tools write them: named, brought together, or refused with what they could mean."""

import numpy as np
import pytest
from import_files import REAL, blocks, placed

from keyhole.anatomy.schemes import read_labels, table, written_as
from keyhole.errors import ImplausibleAnatomy, InvalidInput, UnknownScheme
from keyhole.geometry import LabelMap, affine
from keyhole.imaging import write_nifti

L3, L4, L5, SACRUM, CANAL, PSOAS_LEFT, PSOAS_RIGHT, D34, D45, D51 = range(1, 11)


def spine():
    """The blocks with a disc between each two."""
    array = blocks()
    for label, low in ((D51, 9), (D45, 18), (D34, 27)):
        array[8:16, 5:12, low : low + 2] = label
    return array


def written(path, pairs, array=None, names=None, at=None):
    """A file with integers in place of the blocks' own, {block: integer}."""
    given = spine() if array is None else array
    lookup = np.zeros(11, dtype=np.uint16)
    lookup[list(pairs)] = list(pairs.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(LabelMap(lookup[given], at or placed((2, 2, 2))), path, names or {})
    return path


def by_name(scheme, pairs):
    """{block: integer} from {block: the scheme's name}."""
    labels = {row.name: n for n, row in table(scheme).rows.items()}
    return {block: labels[name] for block, name in pairs.items()}


TOTAL = by_name(
    "totalsegmentator_total",
    {L3: "vertebrae_L3", L4: "vertebrae_L4", L5: "vertebrae_L5", SACRUM: "sacrum", PSOAS_LEFT: "iliopsoas_left"},
)
INSTANCES = {L3: 22, L4: 23, L5: 24, SACRUM: 26, D34: 122, D45: 123, D51: 124}


def where(found, key):
    """The voxels of a key, as True and False."""
    return found.labels.mask(key)


def test_one_label_for_all_discs_is_told_apart_by_the_vertebrae(tmp_path):
    whole = written(tmp_path / "total.nii.gz", TOTAL)
    parts = {L3: 1, L4: 1, L5: 1, D34: 2, D45: 2, D51: 2}
    bodies = written(tmp_path / "bodies.nii.gz", parts)
    found = read_labels([whole, bodies], ["totalsegmentator_total", "totalsegmentator_vertebrae_body"])
    for key, block in (("disc/L3-L4", D34), ("disc/L4-L5", D45), ("disc/L5-S1", D51), ("vertebra/L4/body", L4)):
        np.testing.assert_array_equal(where(found, key), spine() == block)
    assert "its level is that of the named vertebra it lies at" in found.structures["disc/L4-L5"].caveats
    assert found.scheme == "totalsegmentator_total+totalsegmentator_vertebrae_body"
    assert not any("disagree" in c for c in found.caveats)
    with pytest.raises(UnknownScheme, match="is one for all levels; give a second label file that names the vertebrae"):
        read_labels(bodies, "totalsegmentator_vertebrae_body")


def test_discs_are_told_apart_in_a_patient_who_lies_turned_on_other_voxels(tmp_path):
    turn = affine(np.diag([-1.0, -1.0, 1.0, 1.0])).matrix[:3, :3]
    at = placed((2, 2, 2), turn=turn)
    array = np.ascontiguousarray(spine().transpose(2, 0, 1))
    matrix = at.matrix[:, [2, 0, 1, 3]]
    files = [
        written(tmp_path / "total.nii.gz", TOTAL, array=array, at=affine(matrix)),
        written(tmp_path / "bodies.nii.gz", {D34: 2, D45: 2, D51: 2}, at=at),
    ]
    found = read_labels(files, ["totalsegmentator_total", "totalsegmentator_vertebrae_body"])
    sizes = {key: int(where(found, key).sum()) for key in ("disc/L3-L4", "disc/L4-L5", "disc/L5-S1")}
    assert set(sizes.values()) == {8 * 7 * 2}


def test_spineps_parts_and_instances_make_the_parts_of_each_vertebra(tmp_path):
    array = spine()
    arch = (array == L4) & (np.indices(array.shape)[1] >= 10)
    body = np.isin(array, (L3, L4, L5)) & ~arch
    sub = np.zeros_like(array)
    sub[body], sub[arch], sub[array == CANAL], sub[np.isin(array, (D34, D45, D51))] = 49, 42, 61, 100
    sub[array == SACRUM] = 26
    write_nifti(LabelMap(sub, placed((2, 2, 2))), tmp_path / "x_seg-spine_msk.nii.gz")
    vert = written(tmp_path / "x_seg-vert_msk.nii.gz", INSTANCES)
    for given in ([vert, tmp_path / "x_seg-spine_msk.nii.gz"], [tmp_path]):
        found = read_labels(given)
        np.testing.assert_array_equal(where(found, "vertebra/L4/spinous"), arch)
        np.testing.assert_array_equal(where(found, "vertebra/L4/body"), body & (array == L4))
        np.testing.assert_array_equal(where(found, "disc/L4-L5"), array == D45)
        np.testing.assert_array_equal(where(found, "sacrum"), array == SACRUM)
        np.testing.assert_array_equal(where(found, "canal/dural_sac"), array == CANAL)
        assert not any("disagree" in c for c in found.caveats)
    assert "names only where its labelling model ran" in found.evidence[0].finding
    assert found.evidence[0].supports is None


def test_the_first_file_wins_and_what_it_overrules_is_counted(tmp_path):
    one = written(tmp_path / "one.nii.gz", TOTAL)
    array = spine()
    array[8:16, 5:12, 11] = L4
    other = written(tmp_path / "other.nii.gz", {L3: 22, L4: 23, L5: 24}, array=array)
    found = read_labels([one, other], ["totalsegmentator_total", "verse"])
    np.testing.assert_array_equal(where(found, "vertebra/L5"), spine() == L5)
    said = [c for c in found.caveats if "disagree" in c]
    assert said == [
        "label files disagree in 56 voxels, where one.nii.gz wins over other.nii.gz (vertebra/L5 over vertebra/L4 56)"
    ]
    turned = read_labels([other, one], ["verse", "totalsegmentator_total"])
    np.testing.assert_array_equal(where(turned, "vertebra/L5"), array == L5)


def test_fat_and_muscle_classes_fill_what_others_leave(tmp_path):
    array = np.full_like(spine(), 3)
    write_nifti(LabelMap(array, placed((2, 2, 2))), tmp_path / "tissue.nii.gz")
    one = written(tmp_path / "one.nii.gz", TOTAL)
    found = read_labels([tmp_path / "tissue.nii.gz", one], ["totalsegmentator_tissue_types", "totalsegmentator_total"])
    np.testing.assert_array_equal(where(found, "vertebra/L5"), spine() == L5)
    assert where(found, "tissue/muscle").sum() > 10000
    assert not any("disagree" in c for c in found.caveats)


def test_labels_that_outline_no_structure_are_left_out_and_said(tmp_path):
    one = written(tmp_path / "one.nii.gz", {L3: 1, L4: 2})
    with pytest.raises(InvalidInput, match="none of its labels outlines a structure"):
        read_labels(one, "totalsegmentator_body")
    vibe = written(tmp_path / "vibe.nii.gz", {L3: 20, SACRUM: 23})
    found = read_labels(vibe, "vibesegmentator_100")
    assert found.labels.keys == ("sacrum",)
    assert "labels 20 outline no structure (VIBESegmentator) and were left out" in found.caveats[0]


# --- SPIDER

UP = {L5: 1, L4: 2, L3: 103, CANAL: 100, D51: 201, D45: 202, D34: 203}
DOWN = {L5: 24, L4: 23, L3: 122, CANAL: 100, D51: 224, D45: 223, D34: 222}


@pytest.mark.parametrize("pairs", [UP, DOWN], ids=["from the bottom", "from the top"])
def test_spiders_direction_is_decided_by_geometry(tmp_path, pairs):
    for n, flip in enumerate((1, -1)):
        at = placed((2, 2, 2), turn=np.diag([1.0, flip, flip]))
        found = read_labels(written(tmp_path / f"{n}.nii.gz", pairs, at=at), "spider")
        np.testing.assert_array_equal(where(found, "vertebra/L5"), spine() == L5)
        np.testing.assert_array_equal(where(found, "vertebra/L3"), spine() == L3)
        np.testing.assert_array_equal(where(found, "disc/L4-L5"), spine() == D45)
        assert found.evidence[0].kind == "count"
        assert "that the lowest one is L5" in found.evidence[0].finding
        assert any("partially visible" in c for c in found.structures["vertebra/L3"].caveats)
    assert any("from the top" in c for c in found.caveats) == (pairs is DOWN)


def test_spider_numbers_that_fit_neither_direction_are_refused(tmp_path):
    mixed = UP | {D45: 203, D34: 201, D51: 202}
    with pytest.raises(ImplausibleAnatomy, match="the direction of the count is unknown"):
        read_labels(written(tmp_path / "x.nii.gz", mixed), "spider")


def test_a_counter_without_names_is_refused(tmp_path):
    with pytest.raises(UnknownScheme, match="no vertebra from C1 to C3 is lumbar; SPINEPS' vertebra numbers are names"):
        read_labels(written(tmp_path / "x_seg-vert_msk.nii.gz", {L3: 1, L4: 2, L5: 3, D34: 101}))


def test_discs_at_an_l6_are_named_after_it(tmp_path):
    six = {L3: 44, L4: 45, L5: 46, SACRUM: 50, D34: 95, D45: 96, D51: 100}
    found = read_labels(written(tmp_path / "tss.nii.gz", six), "totalspineseg")
    np.testing.assert_array_equal(where(found, "disc/L5-L6"), spine() == D45)
    np.testing.assert_array_equal(where(found, "disc/L6-S1"), spine() == D51)
    assert "does not name label 96" in found.structures["disc/L5-L6"].caveats[0]
    six = {L3: 23, L4: 24, L5: 25, SACRUM: 26, D34: 123, D45: 124, D51: 125}
    found = read_labels(written(tmp_path / "vert.nii.gz", six), "spineps_vert_instance")
    np.testing.assert_array_equal(where(found, "disc/L5-L6"), spine() == D45)
    np.testing.assert_array_equal(where(found, "disc/L6-S1"), spine() == D51)
    extra = {L3: 19, L4: 28, L5: 20, D34: 119, D45: 128}
    found = read_labels(written(tmp_path / "t13.nii.gz", extra), "spineps_vert_instance")
    np.testing.assert_array_equal(where(found, "disc/T12-T13"), spine() == D34)
    np.testing.assert_array_equal(where(found, "disc/T13-L1"), spine() == D45)
    again, _ = written_as(found.labels, "spineps_vert_instance")
    assert {block: int(again[spine() == block][0]) for block in extra} == extra


# --- order of decision


def test_what_a_user_says_goes_before_names_and_names_before_the_file_name(tmp_path):
    names = {22: "L3", 23: "L4", 24: "L5"}
    pairs = {L3: 22, L4: 23, L5: 24}
    file = written(tmp_path / "sub-1_seg-vert_msk.nii.gz", pairs)
    assert read_labels(file).scheme == "spineps_vert_instance"
    assert read_labels(file).basis == "the label file's name (SPINEPS vertebra instances)"
    assert read_labels(file, "verse").basis == "--scheme, not the file itself (VerSe)"
    inside = written(tmp_path / "sub-2_seg-vert_msk.nii.gz", pairs, names=names)
    assert read_labels(inside).basis.startswith("names in the label file")
    beside = written(tmp_path / "sub-3.nii.gz", {L3: 3, L4: 2, L5: 1})
    (tmp_path / "sub-3.tsv").write_text("index\tname\n3\tvertebrae_L3\n2\tvertebrae_L4\n1\tvertebrae_L5\n")
    assert read_labels(beside).basis == "names in the label file (TotalSegmentator total)"
    step2 = written(tmp_path / "step2_output" / "case.nii.gz", {L3: 43, L4: 44, L5: 45, CANAL: 2, D45: 95})
    assert set(read_labels(step2).labels.keys) >= {"vertebra/L4", "disc/L4-L5", "canal/dural_sac"}


def test_a_file_that_says_nothing_is_refused_with_what_it_could_mean(tmp_path):
    file = written(tmp_path / "x.nii.gz", {L3: 22, L4: 23, L5: 24})
    with pytest.raises(UnknownScheme) as told:
        read_labels(file)
    said = str(told.value)
    assert "as verse: vertebrae L3-L5" in said
    assert "as totalsegmentator_total: prostate, kidney_cyst_left, kidney_cyst_right" in said
    assert "as totalsegmentator_total_v1: vertebrae T11-L1" in said
    with pytest.raises(UnknownScheme, match=r"no scheme that Keyhole reads knows all of its integers \(900, 901\)"):
        read_labels(written(tmp_path / "y.nii.gz", {L3: 900, L4: 901}))


def test_each_file_has_its_scheme_or_says_it_itself(tmp_path):
    one = written(tmp_path / "one.nii.gz", TOTAL)
    two = written(tmp_path / "two_seg-vert_msk.nii.gz", INSTANCES)
    found = read_labels([one, two], ["totalsegmentator_total", "auto"])
    assert found.basis == (
        "--scheme, not the file itself (TotalSegmentator total) and the label file's name (SPINEPS vertebra instances)"
    )
    with pytest.raises(InvalidInput, match="2 label files need as many schemes in the same order"):
        read_labels([one, two], "verse")


def test_files_of_different_images_are_refused(tmp_path):
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    one = written(tmp_path / "one.nii.gz", TOTAL)
    two = written(tmp_path / "two.nii.gz", INSTANCES, at=placed((2, 2, 2), turn=turn))
    with pytest.raises(InvalidInput, match="does not lie along the voxels of the first label file"):
        read_labels([one, two], ["totalsegmentator_total", "spineps_vert_instance"])


def test_a_coarser_second_file_is_smoothed_onto_the_first(tmp_path):
    one = written(tmp_path / "one.nii.gz", TOTAL)
    two = written(tmp_path / "two.nii.gz", {D45: 123}, array=spine()[::2, ::2, ::2], at=placed((4, 4, 4)))
    found = read_labels([one, two], ["totalsegmentator_total", "spineps_vert_instance"])
    assert 60 < where(found, "disc/L4-L5").sum() < 200
    assert any("smoothed onto them" in c for c in found.caveats)


# --- a folder of masks


def masks(folder, pairs, array=None):
    """One file for each block, by its name."""
    given = spine() if array is None else array
    folder.mkdir(parents=True, exist_ok=True)
    for block, name in pairs.items():
        write_nifti(LabelMap((given == block).astype(np.uint8), placed((2, 2, 2))), folder / f"{name}.nii.gz")
    return folder


FILES = {L3: "vertebrae_L3", L4: "vertebrae_L4", L5: "vertebrae_L5", SACRUM: "sacrum", 99: "liver"}


def test_a_folder_of_masks_is_one_partition(tmp_path):
    found = read_labels(masks(tmp_path / "seg", FILES))
    assert found.labels.keys == ("sacrum", "vertebra/L3", "vertebra/L4", "vertebra/L5")
    np.testing.assert_array_equal(where(found, "vertebra/L4"), spine() == L4)
    assert found.basis == "the masks' file names (TotalSegmentator total)"


def test_overlapping_masks_are_counted(tmp_path):
    folder = masks(tmp_path / "seg", FILES)
    wide = np.isin(spine(), (L4, D45)) | (np.roll(spine() == L4, -5, axis=2))
    write_nifti(LabelMap(wide.astype(np.uint8), placed((2, 2, 2))), folder / "vertebrae_L4.nii.gz")
    found = read_labels(folder)
    assert any("vertebra/L4 over vertebra/L5" in c or "vertebra/L5 over vertebra/L4" in c for c in found.caveats)


def test_masks_with_strange_names_or_voxels_are_refused(tmp_path):
    folder = masks(tmp_path / "seg", FILES | {CANAL: "my_canal", PSOAS_LEFT: "thing"})
    with pytest.raises(UnknownScheme, match=r"a name that any scheme gives: my_canal\.nii\.gz, thing"):
        read_labels(folder)
    with pytest.raises(UnknownScheme, match="not every name is a name of VerSe: liver"):
        read_labels(masks(tmp_path / "verse", FILES), "verse")
    empty = masks(tmp_path / "empty", {99: "liver"})
    with pytest.raises(InvalidInput, match="all masks are empty"):
        read_labels(empty)
    mixed = masks(tmp_path / "mixed", FILES)
    write_nifti(LabelMap(np.ones((4, 4, 4), dtype=np.uint8), placed((2, 2, 2))), mixed / "colon.nii.gz")
    with pytest.raises(InvalidInput, match="has other voxels than the other masks"):
        read_labels(mixed)
    (tmp_path / "bare").mkdir()
    with pytest.raises(InvalidInput, match="holds no label file"):
        read_labels(tmp_path / "bare")


# --- real files

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")


@needs_real
def test_real_totalsegmentator_bodies_and_discs_find_their_levels():
    folder = REAL / "ct_abdomen_3mm"
    files = [folder / f"labels_totalsegmentator_{name}.nii.gz" for name in ("total", "vertebrae_body")]
    found = read_labels(files)
    levels = {key for key in found.labels.keys if key.startswith("disc/")}
    assert levels >= {"disc/L1-L2", "disc/L2-L3", "disc/L3-L4", "disc/L4-L5", "disc/L5-S1"}
    volumes = {key: where(found, key).sum() * found.labels.grid.voxel_volume / 1000 for key in levels}
    assert all(3 < volumes[f"disc/L{n}-L{n + 1}"] < 30 for n in range(1, 5)), volumes
    for n in range(1, 6):
        body, whole = (int(where(found, f"vertebra/L{n}{part}").sum()) for part in ("/body", ""))
        assert 0.4 < body / whole < 0.8


@needs_real
def test_real_spineps_crops_are_brought_together():
    folder = REAL / "crops_spineps"
    found = read_labels([folder / f"sub-ct_seg-{kind}_label-22_msk.nii.gz" for kind in ("vert", "subreg")])
    keys = set(found.labels.keys)
    assert {"vertebra/L3/body", "vertebra/L3/spinous", "vertebra/L3/facet/superior/left"} <= keys
    left = found.labels.grid.centres(np.argwhere(where(found, "vertebra/L3/facet/superior/left"))).mean(axis=0)
    right = found.labels.grid.centres(np.argwhere(where(found, "vertebra/L3/facet/superior/right"))).mean(axis=0)
    assert left[0] > right[0] + 10


@needs_real
def test_real_disc_labels_alone_hold_no_vertebra():
    found = read_labels(REAL / "mr_discs_totalspineseg" / "IVD_11_labels.nii.gz", "totalspineseg")
    assert found.labels.keys == tuple(f"disc/L{n}-{'S1' if n == 5 else f'L{n + 1}'}" for n in range(1, 6))
