"""What each image is good for, and which of several is suggested."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_traps import Trap, stack, turned, write
from import_files import REAL, scan

from keyhole.errors import InvalidInput
from keyhole.imaging import read_image, survey
from keyhole.imaging.verdict import verdict

TALL = np.array((200.0, 200.0, 150.0))


@pytest.mark.parametrize(
    ("modality", "spacing", "weighting", "use"),
    [
        ("CT", (0.5, 0.5, 0.8), "", "bone planning and canal measures"),
        ("CT", (0.9, 0.9, 3.0), "", "bone planning and canal measures"),
        ("CT", (0.9, 0.9, 5.0), "", "nothing"),
        ("MR", (0.6, 0.6, 4.0), "T2", "canal measures"),
        ("MR", (4.0, 0.6, 0.6), "", "canal measures"),
        ("MR", (0.6, 0.6, 4.0), "T1", "nothing"),
        ("MR", (0.6, 0.6, 4.0), "map", "nothing"),
        ("MR", (1.6, 1.6, 4.0), "T2", "nothing"),
        ("MR", (0.6, 0.6, 9.0), "T2", "nothing"),
    ],
)
def test_a_verdict_follows_kind_voxels_and_weighting(modality, spacing, weighting, use):
    assert verdict(modality, spacing, TALL, weighting).use == use
    short = verdict(modality, spacing, np.array((200.0, 200.0, 25.0)), weighting)
    assert short.use == ("canal measures" if use == "canal measures" else "nothing")
    assert not verdict(modality, spacing, np.array((200.0, 200.0, 5.0)), weighting).for_canal


def _study(folder):
    thin = [replace(s, spacing=(1.0, 1.0)) for s in stack(60, step=(0, 0, 1.0))]
    write(Trap(thin), folder / "thin", 2, seed="thin")
    write(Trap(stack(12, step=(0, 0, 5.0))), folder / "thick", 2, seed="thick")
    sagittal = turned(stack(14), np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]))
    tall = [
        replace(s, shape=(60, 60), spacing=(1.0, 1.0), tags={"EchoTime": 100, "RepetitionTime": 3000}) for s in sagittal
    ]
    write(Trap(tall, "MR"), folder / "t2", 0, seed="t2")
    for n, name in enumerate(("thick", "t2", "thin"), start=1):
        for file in (folder / name).iterdir():
            data = pydicom.dcmread(file)
            data.SeriesNumber = n
            data.save_as(file)
    return folder


def test_the_series_that_serves_most_is_suggested_by_inspect_and_import(tmp_path):
    folder = _study(tmp_path)
    found = survey(folder)
    assert [row.verdict.use for row in found.rows] == ["nothing", "canal measures", "bone planning and canal measures"]
    assert found.rows[1].orientation == "sagittal"
    assert found.suggested == "3"
    with pytest.raises(InvalidInput, match=r"suggested: --series 3 \(bone planning and canal measures\)"):
        read_image(folder)
    assert "T2-weighted" in found.rows[1].verdict.reason


def test_series_of_one_number_are_chosen_by_their_place(tmp_path):
    for name in ("a", "b"):
        write(Trap(stack(8 if name == "a" else 9)), tmp_path / name, 2, seed=name)
    rows = survey(tmp_path).rows
    assert [row.choice for row in rows] == ["#1", "#2"]
    assert [read_image(tmp_path, row.choice).volume.array.shape[2] for row in rows] == [row.slices for row in rows]


def test_a_series_whose_pixels_cannot_be_read_serves_nothing(tmp_path):
    write(Trap(stack(60, step=(0, 0, 1.0))), tmp_path, 2)
    for file in tmp_path.iterdir():
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
        data.PixelData = pydicom.encaps.encapsulate([b"0" * 50])
        data["PixelData"].VR = "OB"
        data.save_as(file)
    row = survey(tmp_path).rows[0]
    assert row.verdict.use == "nothing"
    assert "which is not read" in row.verdict.reason


def test_nifti_images_and_label_maps_are_told_apart(tmp_path):
    scan(tmp_path / "n", names="none")
    image, labels = survey(tmp_path / "n").rows
    assert (image.choice, image.modality, image.verdict.for_bone) == ("ct.nii.gz", "CT", True)
    assert (labels.choice, labels.modality, labels.verdict.use) == ("seg.nii.gz", "labels", "nothing")
    assert survey(tmp_path / "n" / "ct.nii.gz").rows == (image,)
    (tmp_path / "n" / "bad.nii.gz").write_bytes(b"nothing")
    assert "not a readable NIfTI" in survey(tmp_path / "n").rows[0].verdict.reason


@pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")
def test_a_real_series_is_described_as_it_is():
    (row,) = survey(REAL / "ct_dicom_20_slices" / "dicom").rows
    assert (row.modality, row.slices, row.size, row.orientation, row.tilt) == ("CT", 20, (512, 512), "axial", 0.0)
    np.testing.assert_allclose(row.spacing, (0.9765625, 0.9765625, 2.0))
