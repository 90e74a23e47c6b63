"""Series that are easily read wrong: read to the header's own positions, or refused with the reason."""

import io
import time
import zipfile
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_traps import OBLIQUE, Slice, Trap, disc_slabs, stack, tilted, traps, turned, worst, write
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from scipy.spatial.transform import Rotation

from keyhole.errors import InvalidInput, KeyholeError, UnreadableFile
from keyhole.imaging import read_image, survey
from keyhole.imaging.dicom_series import series_in

EXACT = 0.01
"""mm, as issue and documents promise; the stored values themselves are rounded to 0.005 mm in each direction."""


def _errors(trap, folder):
    """Worst position error of every image in the trap, mm."""
    for axis, name in enumerate("xyz"):
        write(trap, folder / name, axis)
    labels = [s.label for s in series_in(folder / "x")]
    found = [[read_image(folder / a, label if len(labels) > 1 else None).volume for a in "xyz"] for label in labels]
    return [worst([v.array for v in images], images[0].patient_from_index.matrix) for images in found]


@pytest.mark.parametrize("name", traps())
def test_a_trap_is_read_where_its_header_says_or_refused(tmp_path, name):
    trap = traps()[name]
    if trap.outcome == "refused":
        with pytest.raises(InvalidInput) as told:
            _errors(trap, tmp_path)
        assert "\n" not in str(told.value)
        return
    errors = _errors(trap, tmp_path)
    assert max(errors) < EXACT
    assert (len(errors) > 1) == (trap.outcome == "parts")


@pytest.mark.parametrize("matrix", [OBLIQUE, np.diag((-1.0, 1, 1)), OBLIQUE @ np.diag((1, 1, -1.0))])
def test_a_tilted_patient_turned_or_mirrored_is_read_as_exactly(tmp_path, matrix):
    trap = Trap(turned([replace(s, spacing=(0.8, 1.3)) for s in tilted(15)], matrix), signed=True)
    assert max(_errors(trap, tmp_path)) < EXACT


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("degrees", [3.0, -20.0])
def test_the_angle_of_a_tilt_is_told_and_the_sheared_grid_kept(tmp_path, axis, degrees):
    lean = Rotation.from_euler("xyz"[axis], degrees, degrees=True).as_matrix()
    slices = [replace(s, axes=s.axes @ lean.T) for s in stack()]
    write(Trap(slices), tmp_path, 0)
    found = read_image(tmp_path)
    assert any(f"lean {abs(degrees):.1f} degrees" in caveat for caveat in found.caveats)
    sheared = np.array(found.acquired.patient_from_index)
    for k, one in enumerate(slices):
        np.testing.assert_allclose(sheared @ (0, 0, k, 1), [*one.position, 1], atol=1e-6)
    columns = found.volume.patient_from_index.matrix[:3, :3] / found.volume.grid.spacing
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-6)
    assert np.isnan(found.volume.array).any()


def test_slices_that_one_affine_describes_within_rounding_are_not_resampled(tmp_path):
    rounded = [replace(s, position=np.round(s.position, 2)) for s in stack(step=(0, 0, 0.625))]
    write(Trap(rounded), tmp_path, 0)
    found = read_image(tmp_path)
    assert found.acquired is None
    assert found.volume.grid.shape == (36, 32, 14)
    assert not [c for c in found.caveats if "resampled" in c]


@pytest.mark.parametrize("matrix", [np.eye(3), OBLIQUE, np.diag((1.0, -1, 1))])
def test_uneven_tilted_and_missing_slices_together_are_as_exact(tmp_path, matrix):
    rng = np.random.default_rng(5)
    slices = [
        replace(s, position=s.position + np.array((0, 0, d)))
        for s, d in zip(stack(40), rng.uniform(-0.4, 0.4, 40), strict=True)
    ]
    leaning = Rotation.from_euler("x", 12, degrees=True).as_matrix()
    slices = [replace(s, axes=s.axes @ leaning.T) for s in slices[:20] + slices[21:]]
    trap = Trap(turned(slices, matrix))
    assert max(_errors(trap, tmp_path)) < EXACT
    found = read_image(tmp_path / "x")
    words = " ".join(found.caveats)
    assert "lean 1" in words and "resampled once onto" in words and "1 of 40 slices are missing" in words  # noqa: PT018
    np.testing.assert_allclose(found.acquired.positions, sorted_along(trap.slices), atol=1e-6)
    seen = np.isfinite(found.volume.array).any(axis=(0, 1))
    assert 36 <= seen.sum() < 40


def sorted_along(slices):
    normal = np.cross(*slices[0].axes)
    return sorted((s.position.tolist() for s in slices), key=lambda p: float(np.dot(p, normal)))


def test_a_missing_slice_is_unseen_and_the_others_stay_where_they_were(tmp_path):
    whole = stack(30)
    write(Trap(whole[:11] + whole[12:]), tmp_path, 2)
    found = read_image(tmp_path)
    assert np.isnan(found.volume.array[:, :, 11]).all()
    assert np.isnan(found.volume.array).sum() == found.volume.array[:, :, 0].size
    assert any("1 of 30 slices are missing, the first after (-20.0, -15.0, 5.0) mm" in c for c in found.caveats)


@pytest.mark.parametrize(("kept", "sentence"), [(slice(0, 27, 1), None), (slice(None, None, 2), None)])
def test_slices_missing_at_an_end_or_every_second_one_are_no_gap(tmp_path, kept, sentence):
    write(Trap(stack(30)[kept]), tmp_path, 2)
    assert sentence is None
    assert np.isfinite(read_image(tmp_path).volume.array).all()


def test_slabs_and_echoes_are_listed_with_what_tells_them_apart(tmp_path):
    write(Trap(disc_slabs(), "MR"), tmp_path / "slabs", 0)
    write(traps()["two echoes of one place"], tmp_path / "echoes", 0)
    slabs = survey(tmp_path / "slabs").rows
    assert [row.slices for row in slabs] == [4] * 5
    assert {row.orientation for row in slabs} >= {"axial", "axial 14°", "axial 31°"}
    echoes = survey(tmp_path / "echoes").rows
    assert [row.description for row in echoes] == ["echo time 12.0", "echo time 95.0"]
    assert [row.choice for row in echoes] == ["3.1", "3.2"]


def test_a_frame_of_reference_of_its_own_makes_a_series_of_its_own(tmp_path):
    other = "1.2.3.4"
    moved = [replace(s, tags={"FrameOfReferenceUID": other}) for s in stack(start=(-20, -15, 17))]
    write(Trap(stack() + moved), tmp_path, 0)
    assert len(series_in(tmp_path)) == 2


def _damage(path, change):
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)


LIES = {
    "rows": lambda d: setattr(d, "Rows", 4000),
    "fewer rows": lambda d: setattr(d, "Rows", 10),
    "huge": lambda d: (setattr(d, "Rows", 65000), setattr(d, "Columns", 65000)),
    "bits": lambda d: setattr(d, "BitsAllocated", 8),
    "odd bits": lambda d: setattr(d, "BitsAllocated", 12),
    "high bit": lambda d: setattr(d, "HighBit", 3),
    "colour": lambda d: setattr(d, "SamplesPerPixel", 3),
    "frames": lambda d: setattr(d, "NumberOfFrames", 70000),
    "endless position": lambda d: setattr(d, "ImagePositionPatient", ["1e300", "0", "0"]),
    "short cosines": lambda d: setattr(d, "ImageOrientationPatient", [0.9, 0, 0, 0, 1, 0]),
    "kind": lambda d: setattr(d.file_meta, "MediaStorageSOPClassUID", "1.2.840.10008.5.1.4.1.1.88.11"),
    "birth date": lambda d: setattr(d, "PatientBirthDate", "19700101"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_is_refused_by_name_and_listed(tmp_path, name):
    slices = [replace(s, tags={"PatientBirthDate": "19600101"}) for s in stack(4)]
    write(Trap(slices), tmp_path, 0)
    _damage(tmp_path / "IM0002", LIES[name])
    with pytest.raises(InvalidInput, match=r"IM0002|IM0000 and IM000|holds 2 series|slices are missing"):
        read_image(tmp_path)
    found = survey(tmp_path)
    assert found.damaged or found.problem or found.aside or any(row.verdict.use == "nothing" for row in found.rows)


@pytest.mark.parametrize("change", [
    lambda d: setattr(d, "NumberOfFrames", 9),
    lambda d: d.PerFrameFunctionalGroupsSequence.pop(),
    lambda d: d.pop("PerFrameFunctionalGroupsSequence"),
    lambda d: d.PerFrameFunctionalGroupsSequence[3].pop("PlanePositionSequence"),
    lambda d: d.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence"),
    lambda d: d.SharedFunctionalGroupsSequence[0].pop("PixelValueTransformationSequence"),
    lambda d: setattr(d, "PixelData", d.PixelData[:-2000]),
])  # fmt: skip
def test_a_contradictory_multi_frame_file_is_refused(tmp_path, change):
    write(traps()["enhanced CT"], tmp_path, 0)
    _damage(tmp_path / "IM1", change)
    with pytest.raises(InvalidInput, match="IM1"):
        read_image(tmp_path)


def test_a_long_stretch_of_zeros_is_refused_at_once(tmp_path):
    write(traps()["enhanced CT"], tmp_path, 0)
    with (tmp_path / "IM1").open("r+b") as stream:
        stream.seek(900)
        stream.write(bytes(30 << 20))
    start = time.monotonic()
    with pytest.raises(InvalidInput, match="IM1 is truncated or damaged"):
        read_image(tmp_path)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(("step", "sentence"), [((0, 40.0, 10.0), "no gantry tilts so far"), ((0, 0, 70.0), "50 mm")])
def test_a_stack_that_no_scanner_makes_is_refused(tmp_path, step, sentence):
    write(Trap(stack(4, step=step, start=(-20, -60, -60))), tmp_path, 0)
    with pytest.raises(InvalidInput, match=sentence):
        read_image(tmp_path)


def test_a_multi_frame_file_is_read_by_itself(tmp_path):
    write(traps()["enhanced CT"], tmp_path, 2)
    one, whole = read_image(tmp_path / "IM1"), read_image(tmp_path)
    np.testing.assert_array_equal(one.volume.array, whole.volume.array)
    assert one.identifiers["SliceThickness"] == "3"


def test_what_is_no_slice_is_set_aside_or_ignored_and_counted(tmp_path):
    write(Trap(stack()), tmp_path / "a" / "b", 2)
    plain = read_image(tmp_path).volume
    for n, (tag, value) in enumerate(
        [("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), ("ImageType", ["DERIVED", "SECONDARY", "MIP"])]
    ):
        data = pydicom.dcmread(tmp_path / "a" / "b" / "IM0003")
        setattr(data, tag, value)
        data.save_as(tmp_path / f"other{n}")
    for n, sop in enumerate(("7", "88.67", "11.1")):  # secondary capture, dose report, presentation state
        data = pydicom.dcmread(tmp_path / "a" / "b" / "IM0003")
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = f"1.2.840.10008.5.1.4.1.1.{sop}"
        data.save_as(tmp_path / f"object{n}")
    (tmp_path / "autorun.inf").write_text("no image")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "a" / "._IM0003.dcm").write_bytes(b"\0\x05\x16\x07" * 50)
    np.testing.assert_array_equal(read_image(tmp_path).volume.array, plain.array)
    found = survey(tmp_path)
    assert found.aside["a localizer"] == found.aside["a projection"] == 1
    assert {"Secondary Capture Image Storage", "X-Ray Radiation Dose SR Storage"} < set(found.aside)
    assert found.others == 3


def test_zips_in_folders_bare_data_sets_and_discs_are_read(tmp_path):
    write(Trap(stack()), tmp_path / "d", 2)
    plain = read_image(tmp_path / "d").volume.array
    with zipfile.ZipFile(tmp_path / "half.zip", "w") as archive:
        for n in range(7):
            archive.write(tmp_path / "d" / f"IM{n:04d}", f"x/{n}")
            (tmp_path / "d" / f"IM{n:04d}").unlink()
    (tmp_path / "half.zip").rename(tmp_path / "d" / "half.zip")
    for name, is_implicit in (("IM0008", True), ("IM0010", False)):
        data = pydicom.dcmread(tmp_path / "d" / name)
        with (tmp_path / "d" / name).open("wb") as stream:
            pydicom.filewriter.write_dataset(_bare(stream, is_implicit), Dataset(dict(data.items())))
    np.testing.assert_array_equal(read_image(tmp_path / "d").volume.array, plain)
    (tmp_path / "d" / "DICOMDIR").write_bytes(_directory("IM0009", "GONE"))
    found = survey(tmp_path / "d" / "DICOMDIR")
    assert found.absent == ("GONE",)
    assert found.rows[0].slices == 14
    assert any("names 1 files that are not there" in c for c in read_image(tmp_path / "d" / "DICOMDIR").caveats)


def _bare(stream, is_implicit):
    from pydicom.filebase import DicomFileLike

    made = DicomFileLike(stream)
    made.is_little_endian, made.is_implicit_VR = True, is_implicit
    return made


def _directory(*names):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = "1.2.840.10008.1.3.10", "1.2"
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    records = []
    for name in names:
        record = Dataset()
        record.ReferencedFileID = name
        records.append(record)
    data.DirectoryRecordSequence = records
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_unused_bits_and_a_second_scale_do_not_reach_the_image(tmp_path):
    write(Trap(stack()), tmp_path, 0)
    twelve = np.arange(36 * 32, dtype=np.uint16).reshape(32, 36) % 4096

    def change(data):
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -24
        data.PixelData = (twelve | 0xA000).tobytes()

    for file in tmp_path.iterdir():
        _damage(file, change)
    array = read_image(tmp_path).volume.array
    signed = np.where(twelve >= 2048, twelve.astype(int) - 4096, twelve) - 24
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array[:, :, 5], signed.T)


@pytest.mark.parametrize(("one", "two", "is_mixed"), [
    ("Roe^Jane", "ROE^JANE^MARY", False), ("Roe^Jane", "Doe^John", True), ("Roe^Jane", "", False),
])  # fmt: skip
def test_names_without_a_common_word_are_two_patients_whatever_the_number_says(tmp_path, one, two, is_mixed):
    write(Trap([replace(s, tags={"PatientName": one if n < 7 else two}) for n, s in enumerate(stack())]), tmp_path, 0)
    assert bool(survey(tmp_path).problem) == is_mixed
    if is_mixed:
        with pytest.raises(InvalidInput, match="2 different patients, for one IM0000 and IM0007") as told:
            read_image(tmp_path)
        assert "Roe" not in str(told.value)


def test_lossy_baseline_jpeg_is_read_with_a_caveat(tmp_path):
    write(Trap(stack(4)), tmp_path, 0)
    grey = np.tile(np.arange(36, dtype=np.uint8) * 5, (32, 1))
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=95)

    def change(data):
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit, data.RescaleSlope, data.RescaleIntercept = 7, 1, -100
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
        data.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
        data["PixelData"].VR = "OB"

    for file in tmp_path.iterdir():
        _damage(file, change)
    found = read_image(tmp_path)
    assert any("compressed with loss" in caveat for caveat in found.caveats)
    assert np.abs(found.volume.array[:, :, 0].T + 100 - grey).max() <= 8


def test_floating_point_pixels_are_refused(tmp_path):
    write(Trap(stack(4)), tmp_path, 0)
    content = (tmp_path / "IM0001").read_bytes()
    (tmp_path / "IM0001").write_bytes(content.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x08\x00OF"))
    with pytest.raises(UnreadableFile, match="IM0001 holds floating-point pixels"):
        read_image(tmp_path)


def test_a_truncated_slice_is_listed_and_nothing_is_read(tmp_path):
    write(Trap(stack()), tmp_path, 0)
    content = (tmp_path / "IM0004").read_bytes()
    (tmp_path / "IM0004").write_bytes(content[:300])
    with pytest.raises(UnreadableFile, match="IM0004 is truncated"):
        read_image(tmp_path)
    assert list(survey(tmp_path).damaged) == ["IM0004"]


def test_a_damaged_slice_of_another_series_is_a_caveat_one_of_no_known_series_is_refused(tmp_path):
    write(Trap(stack()), tmp_path / "a", 0)
    write(Trap(stack()), tmp_path / "b", 0, seed="other")
    _damage(tmp_path / "b" / "IM0004", LIES["huge"])
    whole, broken = (row.choice for row in sorted(survey(tmp_path).rows, key=lambda row: -row.slices))
    assert "1 damaged files of other series were left out" in read_image(tmp_path, whole).caveats
    with pytest.raises(InvalidInput, match="b/IM0004"):
        read_image(tmp_path, broken)
    (tmp_path / "c.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    with pytest.raises(InvalidInput, match=r"c\.dcm"):
        read_image(tmp_path, whole)


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_to_any_kind_of_file_gives_more_than_a_sentence(tmp_path, seed, capfd):
    rng = np.random.default_rng(seed)
    names = ["enhanced CT", "enhanced CT, JPEG-LS", "MR slabs along the discs", "gantry tilt +15°"]
    names += [name for name in traps() if name.startswith("syntax")]
    trap = traps()[names[seed % len(names)]]
    write(replace(trap, slices=[replace(s, shape=(32, 32)) for s in trap.slices[:6]]), tmp_path, 1)
    for file in tmp_path.iterdir():
        if rng.random() < 0.5 or trap.frames:
            content = bytearray(file.read_bytes())
            for at in rng.integers(128, min(len(content), 2500), 4):
                content[at] = rng.integers(256)
            file.write_bytes(bytes(content[: rng.integers(1, len(content))] if rng.random() < 0.2 else content))
    sentences = []
    for act in (survey, read_image):
        try:
            act(tmp_path)
        except KeyholeError as error:
            sentences.append(str(error))
    assert not any("\n" in sentence for sentence in sentences)
    said = capfd.readouterr()
    assert not said.err
    assert not said.out


def test_a_slice_is_where_it_says(tmp_path):
    one = Slice(np.array((1.0, 2, 3)))
    np.testing.assert_allclose(one.places()[2, 5], (1 + 5 * 1.4, 2 + 2 * 1.1, 3))
