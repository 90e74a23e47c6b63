"""A phantom's folder: what is in it, what it says, and that it is all there or not at all."""

import json

import numpy as np
import pytest

from keyhole.anatomy.phantom import PhantomParameters, phantom, write_phantom
from keyhole.anatomy.schemes import read_labels
from keyhole.casefile import FindingsRecord, LabelsRecord, read_record, sha256
from keyhole.errors import InvalidInput
from keyhole.imaging import read_image, read_labelmap


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    said = []
    where = tmp_path_factory.mktemp("phantoms") / "one"
    made = write_phantom(
        where,
        seed=2,
        pathology=("herniation", "central-stenosis"),
        severity=0.5,
        spacing=5.0,
        progress=lambda text, share: said.append((text, share)),
    )
    shares = [share for _, share in said]
    assert made == where
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    return where


def test_the_folder_holds_what_is_promised_and_nothing_else(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "ct.nii.gz",
        "labels.json",
        "labels.nii.gz",
        "labels_totalsegmentator.nii.gz",
        "phantom.json",
        "t2.nii.gz",
        "truth.json",
    ]
    assert [p.name for p in folder.parent.iterdir()] == ["one"]


def test_labels_and_their_names_agree_and_lie_on_the_images_grid(folder):
    record = read_record(folder / "labels.json", LabelsRecord)
    labels = read_labels(folder / "labels.nii.gz", None).labels
    assert {n: entry.key for n, entry in record.structures.items()} == dict(labels.structures)
    assert set(np.unique(labels.array)) - {0} == set(record.structures)
    assert record.provenance.inputs["labels.nii.gz"] == sha256(folder / "labels.nii.gz")
    assert all(entry.origin == "labelled" and entry.sd == 0 for entry in record.structures.values())
    for name in ("ct", "t2"):
        assert read_image(folder / f"{name}.nii.gz").volume.grid.is_same(labels.grid)


def test_the_truth_has_every_measure_at_every_level_without_uncertainty(folder):
    record = read_record(folder / "truth.json", FindingsRecord)
    known = {(f.name, f.level) for f in record.findings}
    names = ("disc height", "canal area", "canal AP diameter", "dural sac area", "slip", "slip ratio")
    levels = ("T12/L1", "L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")
    assert {(n, level) for n in (*names, "segmental lordosis") for level in levels} <= known
    assert ("lumbar lordosis", "L1/S1") in known
    assert all(f.sd == 0 and f.value is not None and "exact" in f.method for f in record.findings)


def test_the_other_tools_labels_are_the_same_anatomy_in_its_integers(folder):
    own = read_labels(folder / "labels.nii.gz", None).labels
    other = read_labels(folder / "labels_totalsegmentator.nii.gz", None)
    assert other.scheme == "totalsegmentator_total"
    for key in ("vertebra/L3", "vertebra/S1", "sacrum", "vessel/aorta", "organ/kidney/left", "pelvis/right"):
        np.testing.assert_array_equal(own.mask(key), other.labels.mask(key))
    np.testing.assert_array_equal(own.mask("canal/dural_sac"), other.labels.mask("canal/dural_sac"))
    np.testing.assert_array_equal(own.mask("muscle/paraspinal/left"), other.labels.mask("muscle/paraspinal/left"))
    assert not other.labels.mask("disc", "root", "tissue").any()
    raw = read_labelmap(folder / "labels_totalsegmentator.nii.gz")
    assert (raw.array == 28).any()


def test_phantom_json_says_how_it_was_made(folder):
    said = json.loads((folder / "phantom.json").read_text())
    assert said["parameters"]["seed"] == 2
    assert said["parameters"]["pathologies"] == ["herniation", "central-stenosis"]
    assert np.shape(said["patient_from_phantom"]) == (4, 4)
    assert "Research use only" in said["note"]


@pytest.mark.slow
def test_the_same_seed_writes_the_same_bytes(tmp_path):
    one, two = (write_phantom(tmp_path / name, seed=3, spacing=10.0) for name in ("one", "two"))
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes(), file.name


@pytest.mark.slow
def test_dicom_holds_the_same_images(tmp_path):
    made = write_phantom(tmp_path / "dicom", seed=2, spacing=8.0, format="dicom")
    body = phantom(PhantomParameters(seed=2))
    where = body.grid(8.0)
    for name, modality, plain in (("ct", "CT", body.ct_on(where)), ("t2", "MR", body.t2_on(where))):
        image = read_image(made / name)
        assert image.modality == modality
        chosen = np.array([[0, 0, 0], [5, 7, 9], [20, 11, 3]])
        index = plain.grid.index(image.volume.grid.centres(chosen))
        np.testing.assert_allclose(index, np.round(index), atol=1e-3)
        values = plain.array[tuple(np.round(index).astype(int).T)]
        np.testing.assert_array_equal(image.volume.array[tuple(chosen.T)], values)
        assert sorted(image.volume.array.shape) == sorted(plain.array.shape)


def test_an_existing_folder_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("keep")
    with pytest.raises(InvalidInput, match="not empty"):
        write_phantom(tmp_path / "mine", spacing=8.0)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "note.txt"]
    with pytest.raises(InvalidInput, match="nifti or dicom"):
        write_phantom(tmp_path / "other", format="stl", spacing=8.0)


def test_a_stop_in_the_middle_leaves_nothing(tmp_path):
    class Stopped(Exception):
        pass

    def stop(_text, share):
        if share > 0.5:
            raise Stopped

    with pytest.raises(Stopped):
        write_phantom(tmp_path / "half", spacing=10.0, progress=stop)
    assert list(tmp_path.iterdir()) == []
