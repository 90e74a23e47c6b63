"""Images in and out: NIfTI and DICOM on disk, LPS mm inside."""

from keyhole.imaging.dicom_write import write_dicom_series
from keyhole.imaging.model import ImageRecord, ScanImage
from keyhole.imaging.nifti import NiftiFile, read_labelmap, read_nifti, write_nifti

__all__ = [
    "ImageRecord",
    "NiftiFile",
    "ScanImage",
    "read_labelmap",
    "read_nifti",
    "write_dicom_series",
    "write_nifti",
]
