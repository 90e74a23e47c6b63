"""Images in and out: NIfTI and DICOM on disk, LPS mm inside."""

from keyhole.imaging.dicom import read_dicom
from keyhole.imaging.dicom_write import write_dicom_series
from keyhole.imaging.model import WEIGHTINGS, ImageRecord, ScanImage
from keyhole.imaging.nifti import NiftiFile, read_labelmap, read_nifti, write_nifti
from keyhole.imaging.scan import read_image
from keyhole.imaging.survey import Survey, SurveyRow, survey
from keyhole.imaging.verdict import Verdict

__all__ = [
    "WEIGHTINGS",
    "ImageRecord",
    "NiftiFile",
    "ScanImage",
    "Survey",
    "SurveyRow",
    "Verdict",
    "read_dicom",
    "read_image",
    "read_labelmap",
    "read_nifti",
    "survey",
    "write_dicom_series",
    "write_nifti",
]
