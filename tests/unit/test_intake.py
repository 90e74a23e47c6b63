"""A case made from files: what it holds, and that failure leaves it as it was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from import_files import KEYS, REAL, blocks, body, placed, raw_nifti, scan, tree

from keyhole.anatomy import intake, placement
from keyhole.anatomy.intake import confirm, import_case
from keyhole.casefile import Case, CaseRecord, LabelsRecord, Patient
from keyhole.casefile import folder as casefolder
from keyhole.errors import ImplausibleAnatomy, InvalidInput, KeyholeError, NotInScan, StorageFailure, WrongCase
from keyhole.geometry import LabelMap
from keyhole.imaging import read_labelmap, read_nifti, write_dicom_series, write_nifti


def unchanged(labels, structures, _image, _modality, _tell):
    return labels, dict(structures), ("nothing was derived",)


@pytest.fixture(autouse=True)
def _only_intake(monkeypatch):
    """What is derived from the labels is tested where it is made."""
    monkeypatch.setattr(intake, "_completed", unchanged)


@pytest.fixture
def made(tmp_path):
    image, labels = scan(tmp_path / "in")
    return import_case(
        tmp_path / "case", [image], labels=labels, patient=Patient(age=54, sex="F"), complaint="leg pain"
    )


def test_a_case_holds_image_labels_and_where_they_came_from(tmp_path, made):
    record = made.read(CaseRecord)
    assert sorted(tree(made.path)) == [
        "case.json",
        "images/ct.json",
        "images/ct.nii.gz",
        "labels.json",
        "labels.nii.gz",
    ]
    assert (record.id, record.patient.age, record.complaint) == ("case", 54, "leg pain")
    assert record.numbering == "names in the label file (Keyhole); not confirmed by a person"
    assert record.images[0].model_dump()["file"] == "images/ct.nii.gz"
    assert set(record.provenance.inputs) == {"ct.nii.gz", "seg.nii.gz"}
    image = read_nifti(made.path / "images/ct.nii.gz").volume
    assert image.grid.is_same(read_nifti(tmp_path / "in/ct.nii.gz").volume.grid)
    labels = read_labelmap(made.path / "labels.nii.gz")
    assert set(labels.structures.values()) == set(KEYS.values())
    np.testing.assert_allclose(labels.grid.spacing, 1, rtol=1e-5)
    entries = made.read(LabelsRecord).structures
    assert {n: e.key for n, e in entries.items()} == labels.structures
    assert {(e.origin, e.sd) for e in entries.values()} == {("labelled", 0.53)}
    assert any("coarser than Keyhole's grid" in c for c in record.caveats)
    assert "nothing was derived" in record.caveats


def test_the_same_import_gives_the_same_bytes(tmp_path, made):
    image, labels = tmp_path / "in/ct.nii.gz", tmp_path / "in/seg.nii.gz"
    again = import_case(
        tmp_path / "again" / "case", [image], labels=labels, patient=Patient(age=54, sex="F"), complaint="leg pain"
    )
    assert tree(again.path) == tree(made.path)
    assert (made.path / "case.json").stat().st_mode & 0o777 == 0o644
    assert made.path.stat().st_mode & 0o777 == 0o755


def test_labels_on_keyholes_grid_are_kept_as_they_are(tmp_path):
    image, labels = scan(tmp_path / "in", spacing=(1.0, 1.0, 1.0))
    made = import_case(tmp_path / "case", [image], labels=labels)
    found = read_labelmap(made.path / "labels.nii.gz")
    np.testing.assert_array_equal(found.array, blocks())
    assert not any("smoothed" in c for c in made.read(CaseRecord).caveats)


def test_dicom_and_nifti_of_one_patient_share_a_case(tmp_path):
    ct, labels = scan(tmp_path / "in")
    mr = body(blocks(), placed(), modality="MR")
    write_dicom_series(mr, tmp_path / "in" / "t2", "MR", "P1", "T2 sag", 1)
    made = import_case(tmp_path / "case", [ct, tmp_path / "in" / "t2"], labels=labels)
    images = made.read(CaseRecord).images
    assert [(i.name, i.modality) for i in images] == [("ct", "CT"), ("mr", "MR")]
    known = json.loads((made.path / "images/mr.json").read_text())
    assert "P1" not in json.dumps(known)
    assert known["identifiers"]["SeriesInstanceUID"]
    assert any("unregistered" in c for c in made.read(CaseRecord).caveats)


def test_an_image_alone_makes_a_case_without_names(tmp_path):
    image, _ = scan(tmp_path / "in")
    made = import_case(tmp_path / "case", [image])
    assert made.read(CaseRecord).numbering == "no labels yet; the levels have no names"
    with pytest.raises(WrongCase, match="run `keyhole import` first"):
        made.read(LabelsRecord)


def test_labels_alone_make_a_case_with_a_caveat(tmp_path):
    _, labels = scan(tmp_path / "in")
    made = import_case(tmp_path / "case", [], labels=labels)
    assert any("has no image" in c for c in made.read(CaseRecord).caveats)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Every bad input: images, labels, options, and what the one sentence says."""
    folder = tmp_path_factory.mktemp("bad")
    image, labels = scan(folder)
    far = folder / "far.nii.gz"
    write_nifti(LabelMap(blocks(), placed(corner=(900, 0, 0)), KEYS), far)
    thorax = folder / "thorax.nii.gz"
    write_nifti(LabelMap((blocks() > 0).astype(np.uint8), placed(), {1: "vertebra/T8"}), thorax)
    nothing = folder / "nothing.nii.gz"
    write_nifti(LabelMap(blocks() * 0, placed(), KEYS), nothing)
    empty = folder / "empty.nii.gz"
    empty.write_bytes(b"")
    cut = folder / "cut.nii.gz"
    cut.write_bytes(image.read_bytes()[:900])
    flat = raw_nifti(folder / "flat.nii", np.zeros((5, 5, 5), np.int16))
    zero = raw_nifti(folder / "zero.nii", np.arange(125, dtype=np.int16).reshape(5, 5, 5), sform=np.zeros((4, 4)))
    unnamed = scan(folder / "unnamed", names="none")[1]
    for n in (1, 2):
        write_dicom_series(body(blocks(), placed()), folder / "two" / str(n), "CT", f"P{n}", "ct", n)
    write_dicom_series(body(blocks(), placed()), folder / "cutdicom", "CT", "P", "ct", 1)
    slice_ = folder / "cutdicom" / "IM00007.dcm"
    slice_.write_bytes(slice_.read_bytes()[:-100])
    return {
        "missing": (folder / "none.nii.gz", labels, {}, "no such file"),
        "empty": (empty, labels, {}, "is empty"),
        "truncated": (cut, labels, {}, "truncated"),
        "constant": (flat, labels, {}, "needs contrast"),
        "zero affine": (zero, labels, {}, "invertible"),
        "mixed patients": (folder / "two", labels, {}, "2 different patients"),
        "two images, two patients": ((folder / "two/1", folder / "two/2"), labels, {}, "images of different patients"),
        "truncated slice": (folder / "cutdicom", labels, {}, "IM00007.dcm is truncated"),
        "no such series": (folder / "two/1", labels, {"series": "9"}, "no series of --series 9"),
        "unknown scheme": (image, labels, {"scheme": "verses"}, "unknown label scheme 'verses'"),
        "no names": (image, unnamed, {}, "does not say what its integers mean"),
        "no lumbar": (image, thorax, {}, "hold no lumbar vertebra"),
        "no labels in it": (image, nothing, {}, "needs labelled voxels"),
        "no label file": (image, folder / "none.nii.gz", {}, "no such file"),
        "other space": (image, far, {}, "only 0 % of the lumbar vertebrae"),
        "image as labels": (image, image, {}, "labels must lie between 0 and 65535"),
    }


BAD = (
    "missing", "empty", "truncated", "constant", "zero affine", "mixed patients", "two images, two patients",
    "truncated slice", "no such series", "unknown scheme", "no names", "no lumbar", "no labels in it", "no label file",
    "other space", "image as labels",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_sentence_and_changes_nothing(tmp_path, made, bad, name):
    image, labels, options, sentence = bad[name]
    images = list(image) if isinstance(image, tuple) else [image]
    before = tree(tmp_path)
    for case in (made.path, tmp_path / "new" / "case"):
        with pytest.raises(KeyholeError, match=sentence) as told:
            import_case(case, images, labels=labels, **options)
        assert "\n" not in str(told.value)
    assert tree(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_nothing_to_import_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="needs an image or a label file, got neither"):
        import_case(tmp_path / "case", [])


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    image, labels = scan(tmp_path / "in")
    phantom = tmp_path / "phantom"
    phantom.mkdir()
    (phantom / "truth.json").write_text("{}")
    before = tree(tmp_path)
    for path, kind in ((phantom, "is a phantom"), (tmp_path / "in", "is not a case"), (image, "is a file")):
        with pytest.raises(WrongCase, match=kind):
            import_case(path, [image], labels=labels)
    assert tree(tmp_path) == before
    (tmp_path / "bare").mkdir()
    assert import_case(tmp_path / "bare", [image], labels=labels).read(CaseRecord).id == "bare"


def test_labels_that_contradict_themselves_change_nothing(tmp_path, made, monkeypatch):
    def refuse(*_):
        raise ImplausibleAnatomy("L4 lies below L5")

    monkeypatch.setattr(intake, "_completed", refuse)
    before = tree(made.path)
    with pytest.raises(ImplausibleAnatomy, match="L4 lies below L5"):
        import_case(made.path, [tmp_path / "in/ct.nii.gz"], labels=tmp_path / "in/seg.nii.gz")
    assert tree(made.path) == before


def test_a_partial_overlap_is_a_caveat(tmp_path):
    image, labels = scan(tmp_path / "in")
    volume = read_nifti(image).volume
    write_nifti(volume.crop((slice(0, 24), slice(0, 20), slice(22, 40))), image)
    made = import_case(tmp_path / "case", [image], labels=labels)
    assert any(c.startswith("the image ct shows") and "labelled lumbar" in c for c in made.read(CaseRecord).caveats)


def _other_labels(path):
    array = blocks()
    array[array == 7] = 0
    write_nifti(LabelMap(array, placed(), KEYS), path)
    return path


def test_importing_the_same_again_keeps_confirmation_and_results(tmp_path, made):
    confirm(made, "L5", "Dr A")
    for name in ("findings.json", "notes.txt", "report/index.html"):
        (made.path / name).parent.mkdir(exist_ok=True)
        (made.path / name).write_text(name)
    before = tree(made.path)
    import_case(made.path, [tmp_path / "in/ct.nii.gz"], labels=tmp_path / "in/seg.nii.gz")
    assert tree(made.path) == before


def test_new_labels_put_old_results_aside_and_ask_for_confirmation_again(tmp_path, made):
    confirm(made, "L5", "Dr A")
    for name in ("findings.json", "plan.json", "notes.txt", "report/index.html"):
        (made.path / name).parent.mkdir(exist_ok=True)
        (made.path / name).write_text(name)
    import_case(made.path, [], labels=_other_labels(tmp_path / "other.nii.gz"))
    found = tree(made.path)
    aside = sorted(n.split("/", 2)[2] for n in found if n.startswith("earlier/"))
    assert aside == ["findings.json", "plan.json", "report/index.html"]
    assert "notes.txt" in found
    assert "plan.json" not in found
    record = made.read(CaseRecord)
    assert record.confirmation is None
    assert record.numbering.endswith("not confirmed by a person")
    assert (record.patient.age, record.complaint, len(record.images)) == (54, "leg pain", 1)


def test_a_further_image_joins_the_case_and_says_it_came_late(tmp_path, made):
    mr, _ = scan(tmp_path / "mr", modality="MR")
    confirm(made, "L5", "Dr A")
    labels = (made.path / "labels.nii.gz").read_bytes()
    record = import_case(made.path, [mr], patient=Patient(asa=2)).read(CaseRecord)
    assert [i.name for i in record.images] == ["ct", "mr"]
    assert (made.path / "labels.nii.gz").read_bytes() == labels
    assert record.confirmation is not None
    assert (record.patient.age, record.patient.asa) == (54, 2)
    assert "the image mr was added after the anatomy was built" in record.caveats
    other = body(blocks(), placed(), seed=9)
    write_nifti(other, tmp_path / "ct.nii.gz")
    record = import_case(made.path, [tmp_path / "ct.nii.gz"]).read(CaseRecord)
    assert [i.name for i in record.images] == ["ct", "mr", "ct-2"]


def test_levels_are_confirmed_by_name(made):
    record = confirm(made, "L5", " Dr A ")
    assert record.confirmation is not None
    assert record.confirmation.by == "Dr A"
    assert record.numbering == "names in the label file (Keyhole); L5 confirmed as the lowest lumbar vertebra by Dr A"
    assert confirm(made, "L5", "Dr B").numbering.endswith("by Dr B")
    assert made.read(CaseRecord).confirmation.lowest_lumbar == "L5"
    before = tree(made.path)
    with pytest.raises(InvalidInput, match="the labels name L5 as the lowest lumbar vertebra in view, not L6"):
        confirm(made, "L6", "Dr A")
    with pytest.raises(InvalidInput, match="a vertebra is written like L4"):
        confirm(made, "lumbar", "Dr A")
    with pytest.raises(InvalidInput, match="needs the name of the person"):
        confirm(made, "L5", "  ")
    assert tree(made.path) == before


def test_nothing_is_confirmed_where_no_level_is_in_view(made):
    record = made.read(LabelsRecord)
    kept = {n: e for n, e in record.structures.items() if not e.key.startswith("vertebra")}
    made.write(record.model_copy(update={"structures": kept}))
    with pytest.raises(NotInScan, match="show no lumbar vertebra"):
        confirm(made, "L5", "Dr A")


@pytest.mark.parametrize("at", ["images", "labels.nii.gz", "labels.json", "case.json"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, made, monkeypatch, at):
    def full(path, *_args, **_named):
        if at in str(path):
            raise StorageFailure(f"{path.name} could not be written") from OSError(28, "No space left on device")
        return write(path, *_args, **_named)

    def full_image(what, path, *args):
        return full(path) if at in str(path) else write_nifti(what, path, *args)

    write = intake.write_bytes
    monkeypatch.setattr(intake, "write_bytes", full)
    monkeypatch.setattr(intake, "write_nifti", full_image)
    before = tree(tmp_path)
    for case in (made.path, tmp_path / "new"):
        with pytest.raises(StorageFailure, match=r"could not be written: No space left on device; .* as it was"):
            import_case(case, [tmp_path / "in/ct.nii.gz"], labels=_other_labels(tmp_path / "in/seg.nii.gz"))
        before["in/seg.nii.gz"] = tree(tmp_path)["in/seg.nii.gz"]
    assert tree(tmp_path) == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".keyhole")]


def test_a_really_full_disk_leaves_everything_as_it_was(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        image, labels = scan(tmp_path / "in")
        with pytest.raises(StorageFailure, match="No space left on device"):
            import_case(disk / "case", [image, scan(tmp_path / "mr", modality="MR")[0]], labels=labels)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


SLOW = """
import sys, time
from pathlib import Path
from keyhole.anatomy import intake
intake._completed = lambda labels, structures, image, modality, tell: (labels, dict(structures), ())
write = intake.write_bytes
def slow(path, content):
    if path.name == "case.json":
        print("writing", flush=True)
        time.sleep(60)
    write(path, content)
intake.write_bytes = slow
intake.import_case(Path(sys.argv[1]), [Path(sys.argv[2])], labels=Path(sys.argv[3]))
"""


def test_a_kill_in_the_middle_leaves_the_case_and_the_next_import_cleans_up(tmp_path, made):
    image, labels = tmp_path / "in/ct.nii.gz", _other_labels(tmp_path / "in/seg.nii.gz")
    before = tree(made.path)
    writer = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(made.path), str(image), str(labels)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".keyhole-case-")]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert tree(made.path) == before
    assert Case(made.path).read(CaseRecord).complaint == "leg pain"
    import_case(made.path, [image], labels=labels)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".keyhole")]
    assert tree(made.path) != before


def test_a_running_import_of_the_same_case_is_not_disturbed(tmp_path, made):
    busy = tmp_path / f".keyhole-case-{os.getpid()}-x"
    busy.mkdir()
    (tmp_path / ".keyhole-other-1-x").mkdir()
    import_case(made.path, [tmp_path / "in/ct.nii.gz"])
    assert busy.is_dir()
    assert (tmp_path / ".keyhole-other-1-x").is_dir()


def test_where_folders_cannot_be_exchanged_they_are_renamed(tmp_path, made, monkeypatch):
    monkeypatch.setattr(casefolder, "_exchanged", lambda _one, _other: False)
    before = tree(made.path)
    import_case(made.path, [tmp_path / "in/ct.nii.gz"], labels=tmp_path / "in/seg.nii.gz")
    assert tree(made.path) == before
    gone = subprocess.Popen(["true"])
    gone.wait()
    made.path.rename(tmp_path / f".keyhole-case-{gone.pid}-old")
    import_case(made.path, [tmp_path / "in/ct.nii.gz"])
    assert tree(made.path) == before


def test_a_long_label_map_is_cut_along_the_spine_only(tmp_path, monkeypatch):
    monkeypatch.setattr(placement, "LONG", 1000)
    array = np.zeros((20, 24, 300), dtype=np.uint8)
    array[:, :, 130:170] = blocks().transpose(1, 0, 2)
    for turned in (array, array.transpose(2, 0, 1)):
        axis = int(np.argmax(turned.shape))
        found, caveats = placement.on_keyhole_grid(LabelMap(turned, placed((1, 1, 1)), KEYS), Path("seg.nii.gz"))
        expected = list(turned.shape)
        expected[axis] = 34 + 2 * 60
        assert sorted(found.array.shape) == sorted(expected)
        assert "from 300 to 154 mm around the lumbar levels" in caveats[0]
    monkeypatch.setattr(placement, "MOST", 2000)
    with pytest.raises(InvalidInput, match="crop them around the lumbar spine"):
        placement.on_keyhole_grid(LabelMap(array, placed((1, 1, 1)), KEYS), Path("seg.nii.gz"))


@pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")
def test_the_real_ct_is_imported_in_seconds_with_its_caveats(tmp_path):
    folder = REAL / "ct_abdomen_3mm"
    start = time.monotonic()
    made = import_case(
        tmp_path / "case", [folder / "ct.nii.gz"], labels=folder / "labels_totalsegmentator_total.nii.gz"
    )
    assert time.monotonic() - start < 60
    labels = read_labelmap(made.path / "labels.nii.gz")
    assert labels.array.shape == (366, 303, 336)
    record = made.read(CaseRecord)
    assert record.images[0].modality == "CT"
    assert any("states no unit" in c for c in record.caveats)
    assert record.numbering.startswith("names in the label file (TotalSegmentator total)")
