"""Small image and label files, good and bad, for the tests of import."""

import hashlib
import os
from pathlib import Path

import nibabel as nib
import numpy as np

from keyhole.geometry import LabelMap, Volume, affine
from keyhole.imaging import write_nifti

REAL = Path(__file__).resolve().parents[2] / "../shared/data"

KEYS = {
    1: "vertebra/L3",
    2: "vertebra/L4",
    3: "vertebra/L5",
    4: "sacrum",
    5: "canal/dural_sac",
    6: "muscle/psoas/left",
    7: "muscle/psoas/right",
}
TOTAL = {29: "vertebrae_L3", 28: "vertebrae_L4", 27: "vertebrae_L5", 25: "sacrum", 79: "spinal_cord"}


def blocks(shape=(24, 20, 40)):
    """A stack of three lumbar blocks on a sacrum, a canal behind them, a psoas on either side; axes L, P, S."""
    array = np.zeros(shape, dtype=np.uint8)
    for label, low in ((4, 2), (3, 11), (2, 20), (1, 29)):
        array[8:16, 5:12, low : low + 7] = label
    array[10:14, 13:16, 2:38] = 5
    array[17:21, 6:12, 4:34] = 6
    array[3:7, 6:12, 4:34] = 7
    return array


def placed(spacing=(3.0, 3.0, 3.0), corner=(-35.0, 20.0, -600.0), turn=None):
    """Patient from index for voxels of `spacing` with the first at `corner`, turned by a 3x3 matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if turn is None else turn) * np.asarray(spacing)
    matrix[:3, 3] = corner
    return affine(matrix)


def body(labels, at, *, modality="CT", seed=0):
    """An image of `labels`: bone 400, soft tissue 40, air -1000; positive values for MR."""
    rng = np.random.default_rng(seed)
    array = np.full(labels.shape, -1000.0)
    array[2:-2, 2:-2] = 40
    array[(labels > 0) & (labels < 5)] = 400
    array = np.rint(array + rng.normal(0, 5, labels.shape))
    return Volume((array if modality == "CT" else array + 1100).astype(np.int16), at)


def scan(folder, *, spacing=(3.0, 3.0, 3.0), names="keyhole", modality="CT"):
    """Write an image and its labels into `folder`; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    at, array = placed(spacing), blocks()
    image, labels = folder / f"{modality.lower()}.nii.gz", folder / "seg.nii.gz"
    write_nifti(body(array, at, modality=modality), image)
    if names == "keyhole":
        write_nifti(LabelMap(array, at, KEYS), labels)
    else:
        table = np.array([0, 29, 28, 27, 25, 79, 88, 89], dtype=np.uint8)
        extra = {} if names == "none" else {**TOTAL, 88: "iliopsoas_left", 89: "iliopsoas_right"}
        write_nifti(LabelMap(table[array], at), labels, extra)
    return image, labels


def raw_nifti(path, array, *, sform=None, qform=None, codes=(1, 0), unit=2, scaling=None):
    """A NIfTI file with exactly these header fields, sound or not."""
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = np.asarray(np.diag((2.0, 2.0, 2.0, 1.0)) if sform is None else sform)[row]
    if qform is not None:
        header.set_qform(qform)
    header["sform_code"], header["qform_code"], header["xyzt_units"] = *codes, unit
    if scaling:
        header["scl_slope"], header["scl_inter"] = scaling
    with path.open("wb") as stream:
        header.write_to(stream)
        stream.write(array.tobytes(order="F"))
    return path


def tree(folder):
    """Digest of every file below `folder` by relative name, hidden ones too."""
    found = {}
    for root, _, files in os.walk(folder):
        for name in files:
            file = Path(root) / name
            found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found
