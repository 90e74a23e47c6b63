"""What of a DICOM header goes into a case, and what is left behind.

By default nothing that names the patient is kept: a fixed table of technical tags, UIDs under other names, the
series' description without the patient's words, age (capped) and sex. The keywords of everything else are listed as
dropped, never their values. `identity` holds what is kept only when a user asks for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")

TECHNICAL = (
    "Modality",
    "SeriesNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "KVP",
    "ConvolutionKernel",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "ScanningSequence",
    "PatientPosition",
    "BodyPartExamined",
)
"""Kept as they are: numbers and codes of the machine."""

TEXTS = ("SeriesDescription", "ContrastBolusAgent")
"""Kept after the patient's name, numbers and dates were taken out."""

IDENTITY = (
    *UIDS,
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyDate",
    "SeriesDate",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
)
"""Kept with `--keep-identity`, apart from everything else."""

READ = (
    *("ImageType", "SOPClassUID", "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient"),
    *("ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("SpecificCharacterSet", "LossyImageCompression", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
"""Not listed as dropped: what they say is in the image itself."""

SALT = "KEYHOLE_UID_SALT"
"""Environment variable whose text makes the replaced UIDs unrecognisable even to those who know the originals."""

OLDEST = 89
"""Years; older patients are few enough to be recognised by their age, so that 90 stands for all of them (the safe
harbour of 45 CFR 164.514(b)(2))."""

_NAMES = (
    *("PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName", "PatientBirthDate"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_REMOVED = "[removed]"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a header leaves in a case."""

    identifiers: dict[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    identity: dict[str, str] = field(default_factory=dict)
    age: float | None = None
    sex: Literal["F", "M"] | None = None
    caveats: tuple[str, ...] = ()


def kept(header: Any, present: Iterable[str], *, keep_identity: bool = False) -> Kept:
    """What goes into a case of the object with `header`, whose tags have the keywords `present`."""
    identifiers = {tag: _text(header.get(tag)) for tag in TECHNICAL}
    identifiers |= {tag: scrubbed(header.get(tag), header) for tag in TEXTS}
    uids = {tag: _text(header.get(tag)) for tag in UIDS}
    identifiers |= {tag: uid if keep_identity else pseudonym(uid) for tag, uid in uids.items() if uid}
    identity = {tag: _text(header.get(tag)) for tag in IDENTITY} if keep_identity else {}
    identity = {tag: text for tag, text in identity.items() if text}
    left = {*TECHNICAL, *TEXTS, *READ, *identity} | (set(UIDS) if keep_identity else set())
    dropped = tuple(sorted(set(present) - left))
    years = age_of(header)
    caveats = []
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        caveats.append("the scanner marked the image as carrying burned-in text, which may name the patient")
    if str(header.get("RecognizableVisualFeatures") or "").upper() == "YES":
        caveats.append("the image is marked as showing features by which the patient can be recognised")
    if years is not None and years > OLDEST:
        caveats.append(f"the patient is older than {OLDEST}; the age is given as {OLDEST + 1}")
        years = float(OLDEST + 1)
    stated = str(header.get("PatientSex") or "").strip().upper()
    sex: Literal["F", "M"] | None = "F" if stated == "F" else "M" if stated == "M" else None
    return Kept({t: v for t, v in sorted(identifiers.items()) if v}, dropped, identity, years, sex, tuple(caveats))


def pseudonym(uid: str) -> str:
    """Another UID in place of `uid`: the same for the same one, without a way back.

    The SHA-256 of `uid` and the text in the environment variable `SALT`. Without that text a person who knows the
    original UID can still recognise it.
    """
    if not uid:
        return ""
    digest = hashlib.sha256(f"keyhole\n{os.environ.get(SALT, '')}\n{uid.strip()}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def scrubbed(text: Any, header: Any) -> str:
    """`text` on one line without any word of the patient's name, numbers and birth date, whole or in part."""
    plain = " ".join(_text(text).split())
    for word in words_of(header):
        plain = re.sub(re.escape(word), _REMOVED, plain, flags=re.IGNORECASE)
    return plain


def words_of(header: Any) -> tuple[str, ...]:
    """The words of three or more letters or digits by which the header names people, longest first."""
    texts = [_text(header.get(tag)) for tag in _NAMES]
    words = {text.strip() for text in texts} | {part for text in texts for part in re.split(r"[\s^=\\,;._/-]+", text)}
    return tuple(sorted((w for w in words if len(w) >= 3), key=lambda w: (-len(w), w)))


def file_name(name: str, header: Any, instead: str) -> str:
    """`name` of a file or folder, or `instead` where it holds a word of the patient."""
    low = name.lower()
    return instead if any(word.lower() in low for word in words_of(header)) else name


def age_of(header: Any) -> float | None:
    """Age in years at the examination: the stated age, else the years from birth to study; None where neither is."""
    stated = _text(header.get("PatientAge")).strip().upper()
    match = re.fullmatch(r"(\d{1,3})([YMWD])", stated)
    if match:
        years = int(match[1]) / {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}[match[2]]
        return round(years, 1) if years <= 120 else None
    dates = [_text(header.get(tag)) for tag in ("PatientBirthDate", "StudyDate")]
    if not all(re.fullmatch(r"\d{8}", date) for date in dates):
        return None
    born, seen = (int(date[:4]) + (int(date[4:6]) - 1) / 12 + (int(date[6:]) - 1) / 365.25 for date in dates)
    return float(int(seen - born + 1e-6)) if 0 <= seen - born <= 120 else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "\\".join(str(part) for part in value)
    return str(value)
