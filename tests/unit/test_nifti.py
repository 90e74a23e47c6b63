"""NIfTI in and out, and what is refused."""

import gzip

import numpy as np
import pytest
from import_files import KEYS, blocks, placed, raw_nifti
from isal import igzip

from keyhole.errors import InvalidInput, KeyholeError, StorageFailure, UnreadableFile
from keyhole.geometry import LabelMap, Volume
from keyhole.imaging import read_labelmap, read_nifti, write_nifti

RAMP = np.arange(20 * 16 * 18, dtype=np.int16).reshape(20, 16, 18)


def test_ras_on_disk_becomes_lps_inside(tmp_path):
    sform = np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]])
    found = read_nifti(raw_nifti(tmp_path / "a.nii", RAMP, sform=sform)).volume
    np.testing.assert_allclose(found.grid.centres((1, 1, 1)), (-12, -23, 34))
    assert found.array.flags.c_contiguous
    np.testing.assert_array_equal(found.array, RAMP)


def test_the_sform_wins_and_the_qform_serves_where_there_is_none(tmp_path):
    sform, qform = np.diag((2.0, 2, 2, 1)), np.diag((2.0, 2, 2, 1))
    qform[:3, 3] = 50
    both = read_nifti(raw_nifti(tmp_path / "a.nii", RAMP, sform=sform, qform=qform, codes=(1, 1)))
    np.testing.assert_allclose(both.volume.grid.centres((0, 0, 0)), 0)
    assert "the sform was used" in both.caveats[0]
    lone = read_nifti(raw_nifti(tmp_path / "b.nii", RAMP, sform=sform, qform=qform, codes=(0, 1)))
    np.testing.assert_allclose(lone.volume.grid.centres((0, 0, 0)), (-50, -50, 50))
    assert not lone.caveats


def test_scaling_is_applied_and_infinite_values_become_unknown(tmp_path):
    found = read_nifti(raw_nifti(tmp_path / "a.nii", RAMP, scaling=(0.5, -10.0))).volume
    np.testing.assert_array_equal(found.array, RAMP * np.float32(0.5) - 10)
    values = RAMP.astype(np.float64)
    values[0, 0, :3] = np.inf, -np.inf, np.nan
    found = read_nifti(raw_nifti(tmp_path / "b.nii", values)).volume
    assert found.array.dtype == np.float32
    assert np.isnan(found.array[0, 0, :3]).all()
    assert np.isfinite(found.array).sum() == RAMP.size - 3


@pytest.mark.parametrize(("unit", "scale"), [(1, 1000.0), (2, 1.0), (3, 0.001)])
def test_metres_and_microns_are_converted(tmp_path, unit, scale):
    sform = np.diag((2 / scale, 2 / scale, 2 / scale, 1))
    found = read_nifti(raw_nifti(tmp_path / "a.nii", RAMP, sform=sform, unit=unit))
    np.testing.assert_allclose(found.volume.grid.spacing, 2, rtol=1e-6)
    assert not found.caveats


def test_an_unstated_unit_is_mm_only_for_a_human_scan(tmp_path):
    found = read_nifti(raw_nifti(tmp_path / "a.nii", RAMP, unit=0))
    assert found.caveats == ("the file states no unit; it was read as mm, since 2 x 2 x 2 mm voxels and 40 mm length "
                             "are a human scan's",)  # fmt: skip
    for spacing in (0.002, 0.05, 20.0):
        with pytest.raises(InvalidInput, match=r"states no unit, and read as mm .* set xyzt_units"):
            read_nifti(raw_nifti(tmp_path / "b.nii", RAMP, sform=np.diag((spacing, spacing, spacing, 1)), unit=0))


def _flipped():
    return np.diag((-2.0, 2, 2, 1))


BAD_HEADERS = {
    "4D": ({"array": np.zeros((4, 4, 4, 3), np.int16)}, r"three axes, found 4 \(4 x 4 x 4 x 3\)"),
    "2D": ({"array": np.zeros((4, 4), np.int16)}, "three axes, found 2"),
    "one slice": ({"array": np.zeros((4, 4, 1), np.int16)}, "two voxels or more along each axis"),
    "no form": ({"codes": (0, 0)}, "sform and qform code are both 0"),
    "zero affine": ({"sform": np.zeros((4, 4))}, "sform must be invertible"),
    "flat affine": ({"sform": np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])}, "invertible"),
    "nan affine": ({"sform": np.full((4, 4), np.nan)}, "sform must be finite"),
    "mirror": ({"sform": _flipped(), "qform": np.diag((2.0, 2, 2, 1)), "codes": (1, 1)}, "left on opposite sides"),
    "half turn": (
        {"sform": np.diag((-2.0, -2, 2, 1)), "qform": np.diag((2.0, 2, 2, 1)), "codes": (1, 1)},
        "opposite sides",
    ),
    "unit": ({"unit": 5}, "found code 5"),
    "giant": ({"sform": np.diag((2.0, 2, 2, 1)), "unit": 1}, "between 0.01 and 50 mm, found 2e"),
    "colour": ({"array": np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])}, "one number each"),
    "complex": ({"array": np.zeros((4, 4, 4), np.complex64)}, "one number each"),
}


@pytest.mark.parametrize(("header", "sentence"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_cannot_be_trusted_is_refused(tmp_path, header, sentence):
    arguments = {"array": RAMP, **header}
    path = raw_nifti(tmp_path / "a.nii", arguments.pop("array"), **arguments)
    with pytest.raises(InvalidInput, match=sentence) as told:
        read_nifti(path)
    assert "\n" not in str(told.value)


def test_a_trailing_axis_of_one_volume_is_no_fourth_axis(tmp_path):
    assert read_nifti(raw_nifti(tmp_path / "a.nii", RAMP[..., None])).volume.array.shape == RAMP.shape


def _bytes(tmp_path, name="good.nii.gz"):
    write_nifti(Volume(RAMP, placed()), tmp_path / name)
    return (tmp_path / name).read_bytes()


BAD_FILES = {
    "empty": (lambda good: b"", "is empty: expected a NIfTI image, found 0 bytes"),
    "cut": (lambda good: good[: len(good) // 2], "truncated"),
    "no checksum": (lambda good: good[:-8], "truncated"),
    "header alone": (lambda good: gzip.compress(gzip.decompress(good)[:200]), "not a readable NIfTI"),
    "no voxels": (lambda good: gzip.compress(gzip.decompress(good)[:352]), "is truncated"),
    "half the voxels": (lambda good: gzip.compress(gzip.decompress(good)[:5000]), "is truncated: voxel data ends in"),
    "rubbish": (lambda good: b"not an image" * 50, "is not a readable NIfTI file"),
    "bit rot": (lambda good: good[:400] + bytes([good[400] ^ 0xFF]) + good[401:], "truncated or damaged"),
    "huge claim": (
        lambda good: gzip.compress(
            gzip.decompress(good)[:42] + b"\xff\x7f\xff\x7f\xff\x7f" + gzip.decompress(good)[48:]
        ),
        "its header claims",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_damaged_file_is_refused_by_name(tmp_path, damage, sentence):
    good = _bytes(tmp_path)
    (tmp_path / "bad.nii.gz").write_bytes(damage(good))
    with pytest.raises(UnreadableFile, match=f"bad.nii.gz.*{sentence}"):
        read_nifti(tmp_path / "bad.nii.gz")


def test_a_missing_file_and_a_foreign_ending_are_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="there is no such file"):
        read_nifti(tmp_path / "none.nii.gz")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(UnreadableFile, match=r"must end in \.nii or \.nii\.gz"):
        read_nifti(tmp_path / "a.png")


def test_labels_keep_their_names_inside_the_file(tmp_path):
    names = KEYS | {8: 'organ/<colon> & "more"'}
    array = blocks()
    array[0, 0, 0] = 8
    write_nifti(LabelMap(array, placed(), names), tmp_path / "labels.nii.gz")
    found = read_labelmap(tmp_path / "labels.nii.gz")
    assert found.structures == names
    np.testing.assert_array_equal(found.array, array)
    assert found.array.dtype == np.uint8


@pytest.mark.parametrize("value", [0.5, np.nan, -1.0, 70000.0])
def test_labels_must_be_whole_numbers(tmp_path, value):
    values = blocks().astype(np.float32)
    values[0, 0, 0] = value
    write_nifti(Volume(values, placed()), tmp_path / "labels.nii.gz")
    with pytest.raises(InvalidInput, match=r"whole numbers|between 0 and 65535"):
        read_labelmap(tmp_path / "labels.nii.gz")


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float64, ">i2"])
def test_values_survive_in_every_type(tmp_path, dtype):
    array = (RAMP % 2 if dtype is np.bool_ else RAMP % 200).astype(dtype)
    write_nifti(Volume(array, placed()), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").volume.array, array)


def test_values_that_no_nifti_can_hold_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="do not fit"):
        write_nifti(Volume(np.array([[[0, 2**40]]]), placed()), tmp_path / "a.nii.gz")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    good = _bytes(tmp_path)

    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(igzip.IGzipFile, "write", full)
    monkeypatch.setattr(igzip.IGzipFile, "close", lambda self: None)
    with pytest.raises(StorageFailure, match="No space left on device"):
        write_nifti(Volume(RAMP + 1, placed()), tmp_path / "good.nii.gz")
    assert (tmp_path / "good.nii.gz").read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["good.nii.gz"]


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_gives_a_traceback(tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = bytearray(gzip.decompress(_bytes(tmp_path)))
    for at in rng.integers(0, 360, 6):
        content[at] = rng.integers(256)
    (tmp_path / "bad.nii").write_bytes(bytes(content))
    try:
        found = read_nifti(tmp_path / "bad.nii").volume
    except KeyholeError:
        return
    assert np.isfinite(found.patient_from_index.matrix).all()
