"""An image as a valid CT or MR Image Storage series, one file per slice."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from keyhole.casefile.store import write_bytes
from keyhole.errors import InvalidInput
from keyhole.geometry import Volume

CT_INTERCEPT = -1024
"""Stored value 0 of a written CT, Hounsfield units."""

_SERIES_NUMBER = {"CT": 1, "MR": 2}


def write_dicom_series(
    volume: Volume, folder: Path, modality: str, patient_id: str, description: str, seed: int = 0
) -> None:
    """Write `volume` into `folder` as a series of single-slice DICOM files, slices along the third axis.

    Every UID follows from `seed`, `patient_id`, `modality` and `description`: same input, same bytes; series of one
    seed and patient share their study and frame of reference. CT values are Hounsfield units, clipped below at -1024
    and rounded; MR values are rounded and must lie in 0 to 65535. The grid may be oblique but not sheared.
    """
    if modality not in _SERIES_NUMBER:
        raise InvalidInput(f"a DICOM series is written as CT or MR, got {modality!r}")
    stored = _stored(volume.array, modality)
    study = (patient_id, str(seed))
    series = (*study, modality, description)
    common = _common(modality, series, study, description)
    _place(common, volume)
    matrix = volume.patient_from_index.matrix
    for k in range(stored.shape[2]):
        slice_ = Dataset()
        slice_.update(common)
        slice_.SOPInstanceUID = _uid(*series, str(k))
        slice_.InstanceNumber = k + 1
        slice_.ImagePositionPatient = _numbers(matrix[:3, 3] + k * matrix[:3, 2])
        slice_.PixelData = np.ascontiguousarray(stored[:, :, k].T).astype("<u2").tobytes()
        write_bytes(folder / f"IM{k + 1:05d}.dcm", _encoded(slice_))


def _stored(array: NDArray[Any], modality: str) -> NDArray[np.uint16]:
    if not np.isfinite(array).all():
        raise InvalidInput("a DICOM series needs finite voxel values; found nan or inf")
    shifted = np.rint(array) - (CT_INTERCEPT if modality == "CT" else 0)
    low, high = float(shifted.min()), float(shifted.max())
    if not ((low >= 0 or modality == "CT") and high <= 65535):
        raise InvalidInput(f"{modality} values must fit 16 bits without a sign, found {low} to {high}")
    kept: NDArray[np.uint16] = np.clip(shifted, 0, 65535).astype(np.uint16)
    return kept


def _uid(*entropy: str) -> str:
    return str(generate_uid(entropy_srcs=["keyhole", *entropy]))


def _numbers(values: NDArray[np.float64]) -> list[DSfloat]:
    return [DSfloat(float(v), auto_format=True) for v in values]


def _common(modality: str, series: tuple[str, ...], study: tuple[str, ...], description: str) -> Dataset:
    """The attributes that every slice of the series shares; type 2 attributes that are not known stay empty."""
    shared = Dataset()
    shared.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    shared.PatientName, shared.PatientID = "", study[0]
    shared.PatientBirthDate = shared.PatientSex = ""
    shared.StudyInstanceUID = _uid(*study, "study")
    shared.StudyDate = shared.StudyTime = shared.AccessionNumber = shared.ReferringPhysicianName = shared.StudyID = ""
    shared.Modality, shared.Manufacturer = modality, "Keyhole"
    shared.SeriesInstanceUID = _uid(*series, "series")
    shared.SeriesNumber, shared.AcquisitionNumber = _SERIES_NUMBER[modality], 1
    shared.SeriesDescription, shared.PatientPosition = description, "HFS"
    shared.FrameOfReferenceUID, shared.PositionReferenceIndicator = _uid(*study, "frame"), ""
    shared.SamplesPerPixel, shared.PhotometricInterpretation = 1, "MONOCHROME2"
    shared.BitsAllocated = shared.BitsStored = 16
    shared.HighBit, shared.PixelRepresentation = 15, 0
    if modality == "CT":
        shared.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        shared.RescaleIntercept, shared.RescaleSlope, shared.RescaleType = CT_INTERCEPT, 1, "HU"
        shared.KVP = None
    else:
        shared.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        shared.ScanningSequence, shared.SequenceVariant, shared.ScanOptions = "RM", "NONE", ""
        shared.MRAcquisitionType = ""
        is_t2 = "T2" in description.split()
        shared.RepetitionTime, shared.EchoTime = (4000.0, 100.0) if is_t2 else (None, None)
        shared.EchoTrainLength = None
    return shared


def _place(shared: Dataset, volume: Volume) -> None:
    spacing = volume.grid.spacing
    axes = (volume.patient_from_index.matrix[:3, :3] / spacing).T
    if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-4):
        raise InvalidInput("a DICOM series needs perpendicular voxel axes; resample the sheared grid first")
    shared.Columns, shared.Rows = volume.array.shape[:2]
    shared.ImageOrientationPatient = _numbers(np.concatenate([axes[0], axes[1]]))
    shared.PixelSpacing = _numbers(spacing[[1, 0]])
    shared.SliceThickness = shared.SpacingBetweenSlices = _numbers(spacing[2:])[0]
    if shared.Modality == "CT":
        del shared.SpacingBetweenSlices


def _encoded(slice_: Dataset) -> bytes:
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID
    slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, slice_, enforce_file_format=True)
    return buffer.getvalue()
