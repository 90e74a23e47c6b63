"""The files of a folder, a zip or a disc, and which of them are DICOM."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial

from keyhole.errors import UnreadableFile

MOST_BYTES = 1 << 31
"""Larger files and entries of a zip are not read: no CT or MR object of a spine is that large."""

HEAD = 1 << 16
"""Bytes read first; nearly every header of one slice ends within them."""

MOST_HEADER = 24 << 20
"""A header that is longer than this has lost its end; the largest real ones, of thousands of frames, are half of it."""

UNORDERED = 1000
"""So many tags below the one before them are damage, not an unorderly writer."""

DEFLATED = b"1.2.840.10008.1.2.1.99"
PLAIN = b"1.2.840.10008.1.2.1\0\0\0"

DAMAGED = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    OSError,
    NotImplementedError,
    RecursionError,
    BytesLengthException,
    struct.error,
    zlib.error,
    InvalidDicomError,
)
"""What pydicom raises on a damaged file, when it reads it or when a value is first asked for."""

_PIXELS = frozenset((0x7FE00010, 0x7FE00008, 0x7FE00009))
_FIRST_TAGS = (b"\x08\0\0\0", b"\x08\0\x01\0", b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x12\0", b"\x08\0\x16\0")
"""How a data set without the 128 bytes before it begins."""

_NEEDED_KEYWORDS = """
SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID StudyDate SeriesDate AcquisitionTime ContentTime
AccessionNumber Modality Manufacturer StudyDescription SeriesDescription ManufacturerModelName PatientName PatientID
PatientBirthDate PatientSex PatientAge OtherPatientIDs ContrastBolusAgent BodyPartExamined ScanningSequence
SequenceVariant SliceThickness KVP RepetitionTime EchoTime InversionTime EchoNumbers MagneticFieldStrength
SpacingBetweenSlices ProtocolName TriggerTime GantryDetectorTilt ConvolutionKernel FlipAngle PatientPosition
DiffusionBValue StudyInstanceUID SeriesInstanceUID SeriesNumber AcquisitionNumber InstanceNumber
ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID TemporalPositionIdentifier StackID
SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns PixelSpacing BitsAllocated BitsStored HighBit
PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit BurnedInAnnotation RecognizableVisualFeatures
RescaleIntercept RescaleSlope RescaleType LossyImageCompression SharedFunctionalGroupsSequence
PerFrameFunctionalGroupsSequence ReferringPhysicianName PatientBirthName OtherPatientNames
ExtendedOffsetTable ExtendedOffsetTableLengths DirectoryRecordSequence
"""
_NEEDED = frozenset(int(tag_for_keyword(word) or 0) for word in _NEEDED_KEYWORDS.split())


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A file of the folder or zip: its name below it, its size, its first bytes and all of them."""

    name: str
    size: int
    head: Callable[[int], bytes]
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """One DICOM object: its name, how to read it whole, the tags Keyhole needs, and the keywords of all it has.

    `pixels` is the place of the pixel element in what `read` gives; None where there is none.
    """

    name: str
    read: Callable[[], bytes]
    header: Any
    present: frozenset[str] = frozenset()
    pixels: int | None = None


@dataclass(slots=True, eq=False)
class Listing:
    """What is in a folder or zip: DICOM objects, damaged ones with the reason, and how many files are neither."""

    files: list[DicomFile] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    others: int = 0
    absent: tuple[str, ...] = ()


def reason(error: BaseException) -> str:
    """What a library says of a failure, on one short line."""
    words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return words if len(words) <= 160 else words[:157] + "..."


def listing(path: Path) -> Listing:
    """Every DICOM object at `path`: a folder, a zip, a DICOMDIR (its folder) or one file; damaged ones are named."""
    if path.is_file() and path.name.upper() == "DICOMDIR":
        path = path.parent
    made = Listing()
    interned: dict[frozenset[int], frozenset[str]] = {}
    for found in _files(path):
        try:
            one = _opened(found, interned)
        except UnreadableFile as error:
            made.damaged[found.name] = str(error)
            continue
        if one is None:
            made.others += 1
        else:
            made.files.append(one)
    made.absent = _absent(path, made.files)
    return made


def _absent(path: Path, files: list[DicomFile]) -> tuple[str, ...]:
    """Files that a DICOMDIR names and the folder does not hold."""
    missing: list[str] = []
    for file in files:
        if not path.is_dir() or "DirectoryRecordSequence" not in file.header:
            continue
        below = (path / file.name).parent
        for record in file.header.DirectoryRecordSequence:
            parts = record.get("ReferencedFileID")
            parts = [parts] if isinstance(parts, str) else list(parts or ())
            safe = parts and all(isinstance(p, str) and p not in ("", "..") and "/" not in p for p in parts)
            if safe and not any(below.joinpath(*map(case, parts)).is_file() for case in (str, str.lower)):
                missing.append("/".join(parts))
    return tuple(missing)


def _files(path: Path) -> Iterator[Found]:
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            name = str(file.relative_to(path))
            if file.suffix.lower() == ".zip" and zipfile.is_zipfile(file):
                yield from _entries(file, name + "/")
            else:
                yield _on_disk(file, name)
    elif zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        yield from _entries(path, "")
    else:
        yield _on_disk(path, path.name)


def _on_disk(file: Path, name: str) -> Found:
    def head(n: int) -> bytes:
        with file.open("rb") as stream:
            return stream.read(n)

    return Found(name, file.stat().st_size, head, file.read_bytes)


def _entries(path: Path, prefix: str) -> Iterator[Found]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, *DAMAGED) as error:
        raise UnreadableFile(f"{path} is not a readable zip file: {reason(error)}") from error
    for entry in sorted(archive.infolist(), key=lambda e: e.filename):
        if not entry.is_dir():
            yield _packed(archive, entry, path, prefix)


def _packed(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, prefix: str) -> Found:
    def head(n: int) -> bytes:
        try:
            with archive.open(entry) as stream:
                return stream.read(min(n, MOST_BYTES))
        except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, MemoryError, *DAMAGED) as error:
            raise UnreadableFile(f"{path}: {entry.filename} cannot be unpacked: {reason(error)}") from error

    return Found(prefix + entry.filename, entry.file_size, head, lambda: head(entry.file_size))


def _opened(found: Found, interned: dict[frozenset[int], frozenset[str]]) -> DicomFile | None:
    """The object in a file; None for what is not DICOM; a damaged one is refused by name."""
    if found.name.rsplit("/", 1)[-1].startswith("._"):
        return None  # what a Mac leaves beside each file
    content = _head(found)
    bare = content[128:132] != b"DICM"
    if bare and not (content[:4] in _FIRST_TAGS and len(content) > 200):
        if found.name.lower().endswith((".dcm", ".ima")):
            raise UnreadableFile(f"{found.name} is truncated or damaged: it does not begin as a DICOM file does")
        return None
    if found.size > MOST_BYTES:
        raise UnreadableFile(f"{found.name} is larger than any slice or scan of a spine ({found.size >> 20} MiB)")
    read = found.read
    if DEFLATED in content[:2048]:
        read = _inflating(found)
        content = read()
    try:
        header, pixels = _parsed(content, bare, whole=len(content) >= found.size)
    except _More:
        try:
            header, pixels = _parsed(read()[:MOST_HEADER], bare, whole=True)
        except DAMAGED as error:
            raise UnreadableFile(f"{found.name} is truncated or damaged: {reason(error)}") from error
    except DAMAGED as error:
        raise UnreadableFile(f"{found.name} is truncated or damaged: {reason(error)}") from error
    tags = frozenset(map(int, header.keys()))
    if tags not in interned:
        interned[tags] = frozenset(keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in tags)
    return DicomFile(found.name, read, _compact(header), interned[tags], pixels)


class _More(Exception):
    """The header does not end within the first bytes."""


def _head(found: Found) -> bytes:
    try:
        content = found.head(HEAD)
    except OSError as error:
        raise UnreadableFile(f"{found.name} could not be read: {error.strerror or error}") from error
    return content


def _parsed(content: bytes, bare: bool, *, whole: bool) -> tuple[Any, int | None]:
    """The data set before the pixels, and where the pixel element begins."""
    stream = io.BytesIO(content)
    try:
        header = read_partial(stream, _until_pixels(), force=bare)
    except DAMAGED:
        if whole:
            raise
        raise _More from None
    at = stream.tell()
    little = header.original_encoding[1] is not False
    group, element = struct.unpack_from("<HH" if little else ">HH", content, at) if at + 8 <= len(content) else (0, 0)
    if (group << 16 | element) in _PIXELS:
        return header, at
    if not whole:
        raise _More
    return header, None


def _until_pixels() -> Callable[[int, str | None, int], bool]:
    """True at the pixels; tags that keep going backwards are damage (a stretch of zeros), and would take minutes."""
    last, back = 0, 0

    def stop(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal last, back
        number = int(tag)  # pydicom's own tags compare slowly
        back += number <= last
        last = number
        if back > UNORDERED:
            raise ValueError("its tags are out of order")
        return number in _PIXELS

    return stop


def _compact(header: Any) -> Any:
    """Only the tags that Keyhole needs, so that thousands of headers fit in memory."""
    tags = header.keys()
    kept = Dataset({tag: header.get_item(tag) for tag in tags if int(tag) in _NEEDED})
    kept.file_meta = getattr(header, "file_meta", None) or Dataset()
    implicit, little = header.original_encoding
    kept.set_original_encoding(implicit, little, header.original_character_set)
    return kept


def _inflating(found: Found) -> Callable[[], bytes]:
    """Read a deflated object as if it had been stored plainly."""

    def read() -> bytes:
        content = found.read()
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            group, element, kind, length, value = struct.unpack_from("<HH2sHL", content, 132)
            if (group, element, kind, length) != (2, 0, b"UL", 4):
                raise ValueError("it does not say where its data begin")
            start = 144 + value
            plain = inflater.decompress(content[start:], MOST_BYTES)
        except DAMAGED as error:
            raise UnreadableFile(f"{found.name} cannot be inflated: {reason(error)}") from error
        if inflater.unconsumed_tail:
            raise UnreadableFile(f"{found.name} inflates to more than {MOST_BYTES >> 30} GiB")
        return content[:start].replace(DEFLATED, PLAIN) + plain

    return read
