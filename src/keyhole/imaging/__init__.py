"""Images in and out: NIfTI and DICOM on disk, LPS mm inside."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from keyhole.imaging.model import WEIGHTINGS, ImageRecord, ScanImage
from keyhole.imaging.nifti import NiftiFile, read_labelmap, read_nifti, write_nifti
from keyhole.imaging.scan import read_image

if _TYPE_CHECKING:
    from keyhole.imaging.dicom import read_dicom
    from keyhole.imaging.dicom_write import write_dicom_series
    from keyhole.imaging.surveying import Survey, SurveyRow, survey
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

_DICOM = {
    "Survey": "surveying",
    "SurveyRow": "surveying",
    "Verdict": "verdict",
    "read_dicom": "dicom",
    "survey": "surveying",
    "write_dicom_series": "dicom_write",
}
"""What reads or writes DICOM, and its module: loaded when it is first asked for, since a case holds NIfTI alone."""


def __getattr__(name: str) -> _Any:
    """The name in `_DICOM`, with its module loaded."""
    if name in _DICOM:
        return getattr(_import_module(f"keyhole.imaging.{_DICOM[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is to complete at a prompt, loaded or not."""
    return sorted({*globals(), *__all__})
