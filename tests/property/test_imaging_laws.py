"""Laws of reading and writing: what goes out comes back, wherever the patient lies."""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from keyhole.geometry import LabelMap, Volume, affine
from keyhole.imaging import read_image, read_labelmap, read_nifti, write_dicom_series, write_nifti

seeds = st.integers(0, 2**32 - 1)


def pose(rng, *, low=0.3, high=4.0):
    """Oblique, anisotropic, left- or right-handed."""
    matrix = np.eye(4)
    turn = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
    matrix[:3, :3] = turn * rng.uniform(low, high, 3) * rng.choice([-1, 1], 3)
    matrix[:3, 3] = rng.uniform(-500, 500, 3)
    return affine(matrix)


@given(seeds)
@settings(max_examples=40)
def test_a_nifti_file_gives_back_values_place_and_bytes(seed):
    rng = np.random.default_rng(seed)
    array = rng.integers(-1000, 2000, rng.integers(2, 40, 3)).astype(np.int16)
    volume = Volume(array, pose(rng))
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one.nii.gz", Path(folder) / "two.nii.gz"
        write_nifti(volume, one)
        found = read_nifti(one)
        write_nifti(found.volume, two)
        assert one.read_bytes() == two.read_bytes()
        seen = nib.load(one)
        index = rng.integers(0, array.shape)
        other = np.asarray(seen.affine) @ [*index, 1]
    np.testing.assert_array_equal(found.volume.array, array)
    assert found.volume.grid.is_same(volume.grid)
    assert not found.caveats
    np.testing.assert_allclose(other[:3] * (-1, -1, 1), volume.grid.centres(index), atol=1e-3)


@given(seeds)
@settings(max_examples=20)
def test_a_label_file_gives_back_labels_and_names(seed):
    rng = np.random.default_rng(seed)
    labels = LabelMap(
        rng.integers(0, 300, (5, 6, 7)).astype(np.uint16), pose(rng), {n: f"organ/part{n}" for n in range(1, 300)}
    )
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".nii", ".nii.gz"):
            write_nifti(labels, Path(folder) / f"labels{ending}")
            found = read_labelmap(Path(folder) / f"labels{ending}")
            np.testing.assert_array_equal(found.array, labels.array)
            assert found.structures == labels.structures


@given(seeds)
@settings(max_examples=25)
def test_qform_alone_and_sform_alone_say_the_same(seed):
    rng = np.random.default_rng(seed)
    volume = Volume(rng.integers(0, 100, (6, 5, 4)).astype(np.int16), pose(rng))
    with tempfile.TemporaryDirectory() as folder:
        write_nifti(volume, Path(folder) / "a.nii")
        content = bytearray((Path(folder) / "a.nii").read_bytes())
        grids = []
        for at in (252, 254):  # the codes of qform and sform
            other = content.copy()
            other[at : at + 2] = b"\0\0"
            (Path(folder) / "b.nii").write_bytes(bytes(other))
            grids.append(read_nifti(Path(folder) / "b.nii").volume.grid)
    corners = np.array([[0, 0, 0], [5, 4, 3]])
    np.testing.assert_allclose(grids[0].centres(corners), grids[1].centres(corners), atol=0.01)


@given(seeds)
@settings(max_examples=20)
def test_a_dicom_series_gives_back_every_value_at_its_place(seed):
    rng = np.random.default_rng(seed)
    modality = str(rng.choice(["CT", "MR"]))
    low = -1024 if modality == "CT" else 0
    volume = Volume(rng.integers(low, 3000, rng.integers(2, 9, 3)).astype(np.float32), pose(rng))
    with tempfile.TemporaryDirectory() as folder:
        write_dicom_series(volume, Path(folder) / "d", modality, "P", "d", seed)
        found = read_image(Path(folder) / "d")
    index = np.argwhere(np.isfinite(volume.array))
    there = found.volume.grid.index(volume.grid.centres(index))
    np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
    where = tuple(np.rint(there).astype(int).T)
    np.testing.assert_array_equal(found.volume.array[where], volume.array[tuple(index.T)])
    assert found.modality == modality
