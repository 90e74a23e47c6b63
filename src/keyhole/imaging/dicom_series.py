"""The CT and MR series among the files of a folder or zip."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

from keyhole.errors import InvalidInput, UnreadableFile

CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2",)
MR_CLASSES = ("1.2.840.10008.5.1.4.1.1.4",)
MULTIFRAME = (
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.3",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
"""Enhanced and legacy converted enhanced CT and MR: many slices in one file."""

MOST_BYTES = 1 << 31
"""Larger entries of a zip are not slices."""

DAMAGED = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    OSError,
    NotImplementedError,
    BytesLengthException,
    struct.error,
    InvalidDicomError,
)
"""What pydicom raises on a damaged file, when it reads it or when a value is first asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class SliceFile:
    """One DICOM image file: its name, how to read it whole, and its header without pixels."""

    name: str
    read: Callable[[], bytes]
    header: Any


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The slices of one CT or MR series, in the order of their file names."""

    uid: str
    modality: str
    number: int | None
    description: str
    slices: tuple[SliceFile, ...] = field(default=())

    def __str__(self) -> str:
        head = self.slices[0].header
        spacing = [float(s) for s in head.get("PixelSpacing") or ()]
        size = f"{head.Columns} x {head.Rows}" + (f", {spacing[1]:.2f} x {spacing[0]:.2f} mm" if spacing else "")
        number = "no number" if self.number is None else f"number {self.number}"
        title = f" {self.description!r}" if self.description else ""
        return f"{number}{title} {self.modality}, {len(self.slices)} slices of {size}, UID {self.uid or 'not stated'}"


def series_in(path: Path) -> tuple[Series, ...]:
    """Every CT and MR series below the folder or inside the zip at `path`, localizers and non-images left out.

    Refused in one sentence: nothing that is DICOM, no CT or MR image, multi-frame files, slices of two patients.
    """
    others: list[str] = []
    images: list[SliceFile] = []
    for name, read, open_header in _files(path):
        header = open_header()
        if header is None:
            continue
        kind = _kind(header)
        if kind in MULTIFRAME or int(header.get("NumberOfFrames") or 1) > 1:
            raise InvalidInput(
                f"{path}: {name} holds many slices in one file (multi-frame DICOM), which is not read yet; export the "
                "series as one file per slice"
            )
        if kind not in CT_CLASSES + MR_CLASSES:
            others.append(UID(kind).name)
        elif "LOCALIZER" in (header.get("ImageType") or ()):
            others.append("a localizer")
        else:
            images.append(SliceFile(name, read, header))
    if not images:
        found = f"only {', '.join(sorted(set(others)))}" if others else "no DICOM file at all"
        raise UnreadableFile(f"{path} holds no CT or MR series: found {found}")
    _one_patient(path, images)
    return _grouped(images)


def chosen(found: Sequence[Series], series: str | None, path: Path) -> Series:
    """The one of `found` that `series` names: by series number, by place in the list, or by the start of its UID."""
    if series is None:
        if len(found) == 1:
            return found[0]
        raise InvalidInput(f"{path} holds {len(found)} series; choose one with --series: {_listed(found)}")
    wanted = series.strip()
    by_number = [s for s in found if s.number is not None and str(s.number) == wanted]
    by_place = [found[int(wanted) - 1]] if wanted.isdigit() and 1 <= int(wanted) <= len(found) else []
    by_uid = [s for s in found if wanted and ("." in wanted or len(wanted) > 4) and s.uid.startswith(wanted)]
    matches = by_number or by_place or by_uid
    if len(matches) != 1:
        how = "no series" if not matches else f"{len(matches)} series"
        raise InvalidInput(f"{path}: {how} of --series {wanted}; choose one of: {_listed(found)}")
    return matches[0]


def patient_of(header: Any) -> str:
    """What tells this patient from another: the ID, or else the name; empty where the file states neither."""
    return str(header.get("PatientID") or "").strip() or str(header.get("PatientName") or "").strip()


def reason(error: BaseException) -> str:
    """What a library says of a failure, on one short line."""
    words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return words if len(words) <= 160 else words[:157] + "..."


def _listed(found: Sequence[Series]) -> str:
    return "; ".join(f"[{place}] {series}" for place, series in enumerate(found, start=1))


def _kind(header: Any) -> str:
    """SOP class of a file; anonymisers empty it in the data set but leave it in the file's own header."""
    return str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")


def _files(path: Path) -> Iterator[tuple[str, Callable[[], bytes], Callable[[], Any]]]:
    """Name, reader of the whole file and reader of its header, for every file in `path`, by name."""
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            yield str(file.relative_to(path)), file.read_bytes, _file_header(file)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UnreadableFile(f"{path} is not a readable zip file: {reason(error)}") from error
    with archive:
        for entry in sorted(archive.infolist(), key=lambda e: e.filename):
            if entry.is_dir() or entry.file_size > MOST_BYTES:
                continue
            read = _entry_reader(path, entry)
            yield entry.filename, read, _entry_header(entry.filename, read)


def _entry_reader(path: Path, entry: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.read(entry)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, *DAMAGED) as error:
            raise UnreadableFile(f"{path}: {entry.filename} cannot be unpacked: {reason(error)}") from error

    return read


def _file_header(file: Path) -> Callable[[], Any]:
    def read() -> Any:
        with file.open("rb") as stream:
            return _header(file.name, stream)

    return read


def _entry_header(name: str, read: Callable[[], bytes]) -> Callable[[], Any]:
    return lambda: _header(name, io.BytesIO(read()))


def _header(name: str, stream: Any) -> Any:
    """The data set before the pixels; None for a file that is not DICOM; a damaged one is refused by name."""
    preamble = stream.read(132)
    if preamble[128:] != b"DICM":
        if name.lower().endswith((".dcm", ".ima")):
            raise UnreadableFile(f"{name} is truncated or damaged: it does not begin as a DICOM file does")
        return None
    stream.seek(0)
    try:
        found = pydicom.dcmread(stream, stop_before_pixels=True)
        kind = _kind(found)
        stored = str(found.file_meta.get("MediaStorageSOPClassUID") or kind)
        complete = all(tag in found for tag in ("Rows", "Columns"))
    except DAMAGED as error:
        raise UnreadableFile(f"{name} is truncated or damaged: {reason(error)}") from error
    if not kind or stored != kind:
        raise UnreadableFile(f"{name} is truncated or damaged: it does not say clearly what kind of object it holds")
    if kind in CT_CLASSES + MR_CLASSES and not complete:
        raise UnreadableFile(f"{name} is truncated or damaged: it ends before the size of its image")
    return found


def _one_patient(path: Path, images: Sequence[SliceFile]) -> None:
    """Refuse slices of two patients; the message names files, not people."""
    known = {patient_of(s.header): s.name for s in reversed(images) if patient_of(s.header)}
    if len(known) > 1:
        first, second = sorted(known.values())[:2]
        raise InvalidInput(
            f"{path} holds images of {len(known)} different patients, for one {first} and {second}; separate them first"
        )


def _grouped(images: Sequence[SliceFile]) -> tuple[Series, ...]:
    """Series by SeriesInstanceUID; where that is empty, by frame of reference, orientation and size."""
    groups: dict[tuple[str, ...], list[SliceFile]] = {}
    for image in images:
        head = image.header
        uid = str(head.get("SeriesInstanceUID") or "")
        rest = [head.get(tag) for tag in ("FrameOfReferenceUID", "SeriesNumber", "Rows", "Columns", "PixelSpacing")]
        key = (uid,) if uid else ("", _kind(head), str(_rounded(head)), *map(str, rest))
        groups.setdefault(key, []).append(image)
    made = []
    for key, slices in groups.items():
        head = slices[0].header
        number = head.get("SeriesNumber")
        modality = "CT" if _kind(head) in CT_CLASSES else "MR"
        title = " ".join(str(head.get("SeriesDescription") or "").split())
        made.append(Series(key[0], modality, None if number is None else int(number), title, tuple(slices)))
    return tuple(sorted(made, key=lambda s: (s.number is None, s.number or 0, s.uid, s.slices[0].name)))


def _rounded(header: Any) -> list[float]:
    try:
        return [float(v) for v in np.round([float(v) for v in header.get("ImageOrientationPatient") or ()], 3)]
    except (TypeError, ValueError):
        return []
