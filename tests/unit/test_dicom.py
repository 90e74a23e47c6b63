"""One DICOM series in and out, and what is refused."""

import shutil
import zipfile

import numpy as np
import pydicom
import pytest
from import_files import REAL, blocks, body, placed, raw_nifti
from pydicom.uid import JPEGLSLossless
from scipy.spatial.transform import Rotation

from keyhole.errors import InvalidInput, KeyholeError, UnreadableFile
from keyhole.geometry import Volume
from keyhole.imaging import read_image, read_labelmap, write_dicom_series

TURN = Rotation.from_euler("xyz", (10, -20, 35), degrees=True).as_matrix()


def _volume(modality="CT", turn=None, shape=(12, 10, 6)):
    return body(blocks((24, 20, 40))[: shape[0], : shape[1], : shape[2]], placed((0.8, 1.1, 2.5), turn=turn),
                modality=modality)  # fmt: skip


def _series(folder, modality="CT", patient="P1", description="axial", seed=1, **named):
    write_dicom_series(_volume(modality, **named), folder, modality, patient, description, seed)
    return folder


def _edit(folder, change, which=None):
    """Apply `change(dataset, n)` to every slice of a series, or to those numbered in `which`."""
    for n, file in enumerate(sorted(folder.glob("*.dcm"))):
        if which is None or n in which:
            data = pydicom.dcmread(file)
            change(data, n)
            data.save_as(file)


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("turn", [None, TURN, np.diag((-1.0, 1, 1)), TURN * (1, 1, -1)])
def test_a_written_series_is_read_back_where_it_was(tmp_path, modality, turn):
    volume = _volume(modality, turn)
    found = read_image(_series(tmp_path / "d", modality, turn=turn))
    assert found.modality == modality
    assert found.volume.array.dtype == np.int16
    index = np.argwhere(volume.array == volume.array)
    there = np.rint(found.volume.grid.index(volume.grid.centres(index))).astype(int)
    np.testing.assert_array_equal(found.volume.array[tuple(there.T)], volume.array[tuple(index.T)])
    np.testing.assert_allclose(found.volume.grid.centres(there), volume.grid.centres(index), atol=1e-4)


def test_a_written_series_is_the_same_bytes_again_and_valid(tmp_path):
    one, two = _series(tmp_path / "one"), _series(tmp_path / "two")
    files = sorted(p.name for p in one.iterdir())
    assert len(files) == 6
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)
    data = [pydicom.dcmread(one / f) for f in files]
    assert len({d.SOPInstanceUID for d in data}) == 6
    assert {d.SOPClassUID.name for d in data} == {"CT Image Storage"}
    assert all(len(str(d[tag].value)) <= 64 for d in data for tag in ("SOPInstanceUID", "StudyInstanceUID"))
    assert (data[0].RescaleIntercept, data[0].RescaleSlope, data[0].pixel_array.dtype) == (-1024, 1, np.uint16)


def test_ct_and_mr_of_one_patient_share_study_and_frame_but_not_series(tmp_path):
    ct = pydicom.dcmread(_series(tmp_path / "ct") / "IM00001.dcm")
    mr = pydicom.dcmread(_series(tmp_path / "mr", "MR") / "IM00001.dcm")
    other = pydicom.dcmread(_series(tmp_path / "x", seed=2) / "IM00001.dcm")
    assert ct.StudyInstanceUID == mr.StudyInstanceUID != other.StudyInstanceUID
    assert ct.FrameOfReferenceUID == mr.FrameOfReferenceUID
    assert ct.SeriesInstanceUID != mr.SeriesInstanceUID


def test_slices_are_sorted_by_position_not_by_name_or_number(tmp_path):
    folder = _series(tmp_path / "d")
    straight = read_image(folder).volume
    files = sorted(folder.glob("*.dcm"))
    for n, file in enumerate(files):
        file.rename(folder / f"{(n * 5) % 6}-{n}.ima")
    (folder / "notes.txt").write_text("not DICOM")
    raw_nifti(folder / "seg.nii", np.zeros((4, 4, 4), np.uint8))
    found = read_image(folder).volume
    np.testing.assert_array_equal(found.array, straight.array)


def test_a_zip_and_a_nested_folder_read_like_a_folder(tmp_path):
    folder = _series(tmp_path / "d" / "study" / "series")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"deep/er/{file.name}")
        archive.writestr("readme.txt", "no image")
    one, two = read_image(tmp_path / "d"), read_image(tmp_path / "d.zip")
    np.testing.assert_array_equal(one.volume.array, two.volume.array)
    assert one.sha256 == two.sha256


def test_slope_and_intercept_are_applied_slice_by_slice(tmp_path):
    folder = _series(tmp_path / "d", "MR")
    plain = read_image(folder).volume.array

    def scale(data, n):
        data.RescaleSlope, data.RescaleIntercept = 0.5 + n, n

    _edit(folder, scale)
    steps = np.arange(6, dtype=np.float32)
    np.testing.assert_allclose(read_image(folder).volume.array, plain * (0.5 + steps) + steps)


def test_padding_outside_the_reconstruction_is_unseen(tmp_path):
    folder = _series(tmp_path / "d")

    def pad(data, _n):
        pixels = data.pixel_array.copy()
        pixels[0, :3] = 7777
        data.PixelData = pixels.tobytes()
        data.add_new((0x0028, 0x0120), "US", 7777)

    _edit(folder, pad)
    found = read_image(folder)
    assert np.isnan(found.volume.array[:3, 0]).all()
    assert np.isnan(found.volume.array).sum() == 18
    assert any("outside the scanner's reconstruction" in c for c in found.caveats)


def test_no_name_or_number_of_the_patient_is_kept(tmp_path):
    folder = _series(tmp_path / "d")

    def name(data, _n):
        data.PatientName, data.PatientBirthDate, data.InstitutionName = "Roe^Jane", "19700101", "General"

    _edit(folder, name)
    found = read_image(folder)
    kept = " ".join([*found.identifiers.values(), found.name, *found.caveats])
    assert not any(word in kept for word in ("Roe", "P1", "1970", "General"))
    assert {"StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"} <= set(found.identifiers)


def _two_series(folder):
    _series(folder / "a", description="CT bone")
    _series(folder / "b", "MR", description="T2 sag")
    return folder


def test_several_series_are_listed_and_chosen_by_number_place_or_uid(tmp_path):
    folder = _two_series(tmp_path / "d")
    with pytest.raises(InvalidInput, match=r"holds 2 series; choose one with --series") as told:
        read_image(folder)
    for part in ("[1] number 1 'CT bone' CT, 6 slices of 12 x 10, 0.80 x 1.10 mm", "[2] number 2 'T2 sag' MR"):
        assert part in str(told.value)
    uid = read_image(folder, "2").identifiers["SeriesInstanceUID"]
    assert read_image(folder, "1").modality == "CT"
    assert read_image(folder, uid).modality == read_image(folder, uid[:-3]).modality == "MR"
    with pytest.raises(InvalidInput, match="no series of --series 7"):
        read_image(folder, "7")


def test_localizers_and_objects_that_are_no_images_are_left_out(tmp_path):
    folder = _two_series(tmp_path / "d")
    _edit(folder / "b", lambda data, _n: setattr(data, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert read_image(folder).modality == "CT"

    def report(data, _n):
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"

    _edit(folder / "a", report)
    with pytest.raises(UnreadableFile, match="no CT or MR series: found only Basic Text SR Storage, a localizer"):
        read_image(folder)


def test_two_patients_in_one_folder_are_refused_without_naming_them(tmp_path):
    _series(tmp_path / "d" / "a", patient="Jane7")
    _series(tmp_path / "d" / "b", patient="John8")
    with pytest.raises(InvalidInput, match="2 different patients") as told:
        read_image(tmp_path / "d", "1")
    assert "Jane7" not in str(told.value)
    assert "IM00001.dcm" in str(told.value)


def _move(data, n, by):
    data.ImagePositionPatient = [float(v) + d for v, d in zip(data.ImagePositionPatient, by, strict=True)]


BAD_STACKS = {
    "sideways": (lambda d, n: _move(d, n, (3.0, 0, 0)), {2, 3}, r"lie up to 2\.\d+ mm beside one straight stack"),
    "uneven": (lambda d, n: _move(d, n, (0, 0, 1.5)), {5}, r"evenly spaced, found steps from 2\.500 to 4\.000 mm"),
    "double": (lambda d, n: _move(d, n, (0, 0, -2.5)), {3}, r"2 of 6 slices share a position, for one IM00003"),
    "no position": (lambda d, n: d.pop("ImagePositionPatient"), {2}, "IM00003.dcm: the tag ImagePositionPatient must"),
    "no orientation": (lambda d, n: d.pop("ImageOrientationPatient"), {2}, "tag ImageOrientationPatient must hold 6"),
    "no spacing": (lambda d, n: d.pop("PixelSpacing"), None, "tag PixelSpacing must hold 2 numbers, found None"),
    "zero spacing": (lambda d, n: setattr(d, "PixelSpacing", [0, 1]), None, "PixelSpacing must be > 0 mm"),
    "two spacings": (lambda d, n: setattr(d, "PixelSpacing", [1, 1]), {4}, r"holds 2 series.*number 1\.2"),
    "two orientations": (
        lambda d, n: setattr(d, "ImageOrientationPatient", [0, 1, 0, 1, 0, 0]), {4}, "2 series.*'axial' CT, 5 slices"),
    "skew": (lambda d, n: setattr(d, "ImageOrientationPatient", [1, 0, 0, 0.5, 0.8, 0]), None, "perpendicular"),
    "no HU": (lambda d, n: d.pop("RescaleIntercept"), {1}, "IM00002.dcm: a CT slice needs RescaleSlope"),
    "slope 0": (lambda d, n: setattr(d, "RescaleSlope", 0), {1}, "slope must be finite and not 0"),
    "inverted": (lambda d, n: setattr(d, "PhotometricInterpretation", "MONOCHROME1"), None, "found MONOCHROME1"),
    "frames": (lambda d, n: setattr(d, "NumberOfFrames", 4), {0}, "IM00001.dcm contradicts itself: CT Image"),
    "constant": (lambda d, n: setattr(d, "PixelData", b"\0" * 240), None, "needs contrast, every voxel holds -1024"),
    "codec": (
        lambda d, n: (setattr(d.file_meta, "TransferSyntaxUID", JPEGLSLossless),
                      setattr(d, "PixelData", pydicom.encaps.encapsulate([b"\0" * 100])),
                      setattr(d["PixelData"], "is_undefined_length", True)),
        None, r"cannot be decoded \(JPEG-LS Lossless Image Compression\).*decompress the series"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "which", "sentence"), BAD_STACKS.values(), ids=BAD_STACKS)
def test_a_series_that_is_no_upright_complete_stack_is_refused(tmp_path, change, which, sentence):
    folder = _series(tmp_path / "d")
    _edit(folder, change, which)
    with pytest.raises(InvalidInput, match=sentence) as told:
        read_image(folder)
    assert "\n" not in str(told.value)


def test_missing_slices_are_counted(tmp_path):
    folder = _series(tmp_path / "d", shape=(12, 10, 9))
    for n in (4, 5):
        (folder / f"IM0000{n}.dcm").unlink()
    with pytest.raises(InvalidInput, match=r"about 2 slices are missing, the first after IM00003.dcm: .* 7\.50 mm"):
        read_image(folder)
    for n in (1, 2, 3, 6, 7, 8):
        (folder / f"IM0000{n}.dcm").unlink()
    with pytest.raises(InvalidInput, match="two slices or more, found 1"):
        read_image(folder)


@pytest.mark.parametrize("share", [0.95, 0.7, 0.55, 0.3, 0.12])
def test_a_truncated_slice_is_refused_by_name(tmp_path, share):
    folder = _series(tmp_path / "d")
    file = folder / "IM00004.dcm"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InvalidInput, match=r"IM00004\.dcm"):
        read_image(folder)


def test_what_is_no_series_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file or folder"):
        read_image(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFile, match="found no DICOM file at all"):
        read_image(tmp_path / "empty")
    folder = _series(tmp_path / "d")
    with pytest.raises(UnreadableFile, match="is one DICOM slice; give the folder"):
        read_image(folder / "IM00001.dcm")
    shutil.make_archive(str(tmp_path / "z"), "zip", folder)
    content = (tmp_path / "z.zip").read_bytes()
    (tmp_path / "bad.zip").write_bytes(content[:600] + b"\0" * 300 + content[900:])
    with pytest.raises(UnreadableFile, match=r"bad\.zip"):
        read_image(tmp_path / "bad.zip")


def test_only_what_fits_is_written(tmp_path):
    sheared = placed((1, 1, 1), turn=np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1.0]]))
    array = np.zeros((4, 4, 4), dtype=np.float32)
    cases = [
        (Volume(array, sheared), "CT", "perpendicular"),
        (Volume(array, placed()), "PT", "written as CT or MR"),
        (Volume(array - 1, placed()), "MR", "fit 16 bits"),
        (Volume(array + np.nan, placed()), "CT", "finite voxel values"),
    ]
    for volume, modality, sentence in cases:
        with pytest.raises(InvalidInput, match=sentence):
            write_dicom_series(volume, tmp_path / "x", modality, "P", "d", 0)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_gives_a_traceback(tmp_path, seed):
    rng = np.random.default_rng(seed)
    folder = _series(tmp_path / "d")
    for file in folder.iterdir():
        content = bytearray(file.read_bytes())
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(256)
        file.write_bytes(bytes(content))
    try:
        found = read_image(folder)
    except KeyholeError:
        return
    assert np.isfinite(found.volume.patient_from_index.matrix).all()


@pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")
def test_a_real_series_lies_where_its_nifti_labels_lie():
    found = read_image(REAL / "ct_dicom_20_slices" / "dicom")
    labels = read_labelmap(REAL / "ct_dicom_20_slices" / "labels_totalsegmentator_total.nii.gz")
    assert (found.modality, found.volume.array.shape) == ("CT", (512, 512, 20))
    assert found.volume.array.min() == -1024
    bone = labels.mask("vertebrae_L1", "vertebrae_T12")
    index = np.rint(found.volume.grid.index(labels.grid.centres(np.argwhere(bone)))).astype(int)
    assert found.volume.array[tuple(index.T)].mean() > 120
    assert "the files state no series" in found.caveats[0]
