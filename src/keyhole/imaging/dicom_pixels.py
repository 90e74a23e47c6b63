"""The voxel values of a stack of DICOM slices, in the units of the header."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput, KeyholeError, UnreadableFile
from keyhole.imaging import codecs
from keyhole.imaging.dicom_files import DAMAGED, DicomFile, reason
from keyhole.imaging.dicom_planes import Plane, attribute
from keyhole.imaging.dicom_stack import Stack

MOST_VOXELS = 1 << 29
"""Larger volumes (1 GiB in 16 bits) are refused: they do not fit in the memory of a small machine beside the rest."""

BLOCK = 16
"""Slices that are put into the volume at a time."""

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
_BIG_ENDIAN = NATIVE[3]
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class Format:
    """How one file stores its pixels."""

    syntax: str
    bits: int
    stored: int
    high: int
    is_signed: bool

    @property
    def n_bytes(self) -> int:
        """Bytes a pixel."""
        return self.bits // 8


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """One file in memory: its bytes, its digest and where its frames are."""

    digest: bytes
    form: Format
    frames: Sequence[Any]


class _DoesNotFit(Exception):
    """A slice holds values that int16 cannot."""


def voxels(stack: Stack, where: str, modality: str) -> tuple[NDArray[Any], tuple[str, ...], str]:
    """Rescaled values (column, row, slice), int16 where they fit and float32 otherwise, caveats, and a SHA-256.

    The SHA-256 is that of the SHA-256 of each file, in the order of the slices. CT pixels marked as padding and
    slices that are missing are nan.
    """
    rows, columns = stack.planes[0].shape
    if rows * columns * stack.depth > MOST_VOXELS:
        raise InvalidInput(
            f"{where}: a volume of {columns} x {rows} x {stack.depth} voxels is larger than Keyhole reads "
            f"({MOST_VOXELS >> 20} million); export a smaller field of view"
        )
    shared = _shared(stack.planes, where)
    is_whole = stack.depth == len(stack.planes)
    try:
        if not is_whole:
            raise _DoesNotFit
        middle = stack.planes[len(stack.planes) // 2]
        _slice(middle, _content(middle.file, shared, where), where, modality, np.int16)
        return _filled(stack, shared, where, modality, np.int16)
    except _DoesNotFit:
        return _filled(stack, shared, where, modality, np.float32)


def check_pixels(stack: Stack, where: str, modality: str) -> None:
    """Refuse a stack whose middle slice cannot be decoded or has no meaningful values."""
    middle = stack.planes[len(stack.planes) // 2]
    _slice(middle, _loaded(middle.file, where), where, modality, np.float32)


def _shared(planes: Sequence[Plane], where: str) -> dict[int, _Content]:
    """The contents of multi-frame files, read once."""
    many = {id(p.file): p.file for p in planes if p.frame > 0}
    return {key: _loaded(file, where) for key, file in many.items()}


def _content(file: DicomFile, shared: dict[int, _Content], where: str) -> _Content:
    return shared.get(id(file)) or _loaded(file, where)


def _filled(
    stack: Stack, shared: dict[int, _Content], where: str, modality: str, kind: type[np.int16] | type[np.float32]
) -> tuple[NDArray[Any], tuple[str, ...], str]:
    rows, columns = stack.planes[0].shape
    made = np.empty((columns, rows, stack.depth), dtype=kind)
    if stack.depth > len(stack.planes):
        made[:] = np.nan

    def put(first: int) -> tuple[int, list[bytes]]:
        chosen = range(first, min(first + BLOCK, len(stack.planes)))
        block = np.empty((rows, columns, len(chosen)), dtype=kind)
        padded, digests = 0, []
        for n, k in enumerate(chosen):
            content = _content(stack.planes[k].file, shared, where)
            values, unknown = _slice(stack.planes[k], content, where, modality, kind)
            block[:, :, n] = values
            padded += unknown
            digests.append(content.digest)
        places = [stack.places[k] for k in chosen]
        here = slice(places[0], places[-1] + 1) if places[-1] - places[0] + 1 == len(places) else places
        made[:, :, here] = block.transpose(1, 0, 2)
        return padded, digests

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        done = list(pool.map(put, range(0, len(stack.planes), BLOCK)))
    digest = hashlib.sha256(b"".join(dict.fromkeys(d for _, some in done for d in some))).hexdigest()
    return made, _told(stack, sum(padded for padded, _ in done), made.size), digest


def _told(stack: Stack, padded: int, size: int) -> tuple[str, ...]:
    """What to be wary of in the values."""
    caveats = []
    if padded:
        share = 100 * padded / size
        caveats.append(f"{share:.2g} % of the image lies outside the scanner's reconstruction and counts as unseen")
    header = stack.planes[0].file.header
    is_lossy = str(header.file_meta.get("TransferSyntaxUID") or "").strip() in codecs.LOSSY
    if is_lossy or str(header.get("LossyImageCompression") or "").strip() in ("1", "01"):
        caveats.append("the image was compressed with loss; its values are not those that were measured")
    units = str(attribute(stack.planes[0], "RescaleType") or "HU").strip()
    if units.upper() not in ("HU", "US", "NORMALIZED") or units == "US":
        caveats.append(f"the header states the values' unit as {units[:16]!r}")
    return tuple(caveats)


def _loaded(file: DicomFile, where: str) -> _Content:
    """A file's bytes, digest and frames."""
    content = file.read()
    try:
        form = _format(file)
        frames = _frames(file, form, content, where)
    except (MemoryError, KeyholeError):
        raise
    except Exception as error:
        raise UnreadableFile(f"{where}: {file.name} is truncated or damaged: {reason(error)}") from error
    return _Content(hashlib.sha256(content).digest(), form, frames)


def _format(file: DicomFile) -> Format:
    header = file.header
    is_implicit, is_little = header.original_encoding
    unstated = NATIVE[0] if is_implicit else NATIVE[1] if is_little else _BIG_ENDIAN
    syntax = str(header.file_meta.get("TransferSyntaxUID") or unstated).strip()
    bits = int(header.get("BitsAllocated") or 0)
    stored = int(header.get("BitsStored") or bits)
    given = header.get("HighBit")
    form = Format(
        syntax,
        bits,
        stored,
        stored - 1 if given is None else int(given),
        bool(int(header.get("PixelRepresentation") or 0)),
    )
    if bits not in (8, 16, 32) or not (1 <= stored <= form.high + 1 <= bits):
        raise UnreadableFile(
            f"{file.name} contradicts itself: {stored} bits up to bit {form.high} in {bits} allocated bits"
        )
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise UnreadableFile(f"{file.name} must hold one grey value a pixel, found {header.SamplesPerPixel}")
    return form


def _frames(file: DicomFile, form: Format, content: bytes, where: str) -> Sequence[Any]:
    """The bytes of each frame: uncompressed as they lie in the file, compressed as one stream each."""
    if file.pixels is None:
        raise UnreadableFile(f"{where}: {file.name} is truncated or damaged: it has no pixels")
    n = int(file.header.get("NumberOfFrames") or 1)
    start, length = _element(file, form, content)
    if form.syntax not in NATIVE:
        if form.syntax not in codecs.READ:
            name = file.header.file_meta.TransferSyntaxUID.name
            raise UnreadableFile(f"{where}: {file.name} is compressed as {name}, which is not read; decompress it")
        from pydicom.encaps import generate_frames  # noqa: PLC0415

        tables = [file.header.get(tag) for tag in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
        offsets = (tables[0], tables[1]) if all(tables) else None
        found = list(generate_frames(content[start:], number_of_frames=n, extended_offsets=offsets))
        if len(found) != n:
            raise UnreadableFile(f"{where}: {file.name} holds {len(found)} frames where its header states {n}")
        return found
    each = int(file.header.Rows) * int(file.header.Columns) * form.n_bytes
    held = min(length, len(content) - start)
    if held < each * n or length > each * n + 1:
        raise UnreadableFile(
            f"{where}: {file.name} is truncated or damaged: it holds {held} of {each * n} bytes of pixels"
        )
    whole = memoryview(content)
    return [whole[start + k * each : start + (k + 1) * each] for k in range(n)]


def _element(file: DicomFile, form: Format, content: bytes) -> tuple[int, int]:
    """Where the value of the pixel element begins, and its stated length."""
    at = file.pixels or 0
    if content[at : at + 4] not in (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10"):
        raise UnreadableFile(f"{file.name} holds floating-point pixels, which no CT or MR image has")
    end = ">" if form.syntax == _BIG_ENDIAN else "<"
    if form.syntax == NATIVE[0]:
        return at + 8, int(struct.unpack_from(end + "L", content, at + 4)[0])
    if content[at + 4 : at + 6] in (b"OW", b"OB", b"UN"):
        return at + 12, int(struct.unpack_from(end + "L", content, at + 8)[0])
    return at + 8, int(struct.unpack_from(end + "L", content, at + 4)[0])


def _slice(
    plane: Plane, content: _Content, where: str, modality: str, kind: type[np.int16] | type[np.float32]
) -> tuple[NDArray[Any], int]:
    """The values of one slice (row, column) in `kind`, and how many of its pixels are padding."""
    raw = _stored(plane, content, where)
    a, b = _scaling(plane, modality)
    padding = _padding(plane, raw, modality)
    n = 0 if padding is None else int(padding.sum())
    if kind is np.float32:
        values = (raw.astype(np.float64) * a + b).astype(np.float32)
        if padding is not None:
            values[padding] = np.nan
        return values, n
    low, high = int(raw.min()) + b, int(raw.max()) + b
    if n or a != 1 or b != int(b) or low < _INT16.min or high > _INT16.max:
        raise _DoesNotFit
    whole = raw.astype(np.int16)  # wraps where raw alone does not fit; adding b wraps back
    whole += np.int16((int(b) + 32768) % 65536 - 32768)
    return whole, 0


def _scaling(plane: Plane, modality: str) -> tuple[float, float]:
    """Slope and intercept."""
    header = plane.file.header
    if str(header.get("PhotometricInterpretation")) != "MONOCHROME2":
        raise InvalidInput(
            f"{plane.name}: a CT or MR image is MONOCHROME2, found {header.get('PhotometricInterpretation')}"
        )
    if modality == "CT" and (plane.slope is None or plane.intercept is None):
        raise InvalidInput(f"{plane.name}: a CT slice needs RescaleSlope and RescaleIntercept to give Hounsfield units")
    a, b = (1.0 if plane.slope is None else plane.slope), (0.0 if plane.intercept is None else plane.intercept)
    if not (np.isfinite(a) and np.isfinite(b) and a != 0 and max(abs(a), abs(b)) < 1e9):
        raise InvalidInput(f"{plane.name}: slope must be finite and not 0 and intercept finite, found {a} and {b}")
    return a, b


def _padding(plane: Plane, raw: NDArray[Any], modality: str) -> NDArray[np.bool_] | None:
    """Where a CT slice lies outside the reconstruction."""
    header = plane.file.header
    value, limit = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
    if value is None or modality != "CT":
        return None
    try:
        ends = sorted((int(value), int(value if limit is None else limit)))
    except DAMAGED as error:
        raise UnreadableFile(f"{plane.name}: PixelPaddingValue must be a number, found {str(value)[:40]}") from error
    is_padding: NDArray[np.bool_] = (raw >= ends[0]) & (raw <= ends[1])
    return is_padding


def _stored(plane: Plane, content: _Content, where: str) -> NDArray[Any]:
    """The stored integers of one slice, bits above the stored ones removed, with their sign."""
    form = content.form
    frame = content.frames[plane.frame]
    try:
        if form.syntax in NATIVE:
            order = ">" if form.syntax == _BIG_ENDIAN else "<"
            raw = np.frombuffer(frame, dtype=f"{order}u{form.n_bytes}").reshape(plane.shape)
        else:
            raw = codecs.decoded(form.syntax, bytes(frame), plane.shape, form.n_bytes)
    except MemoryError:
        raise
    except Exception as error:  # codecs raise what they like
        if form.syntax in NATIVE:
            raise UnreadableFile(f"{where}: {plane.name} is truncated or damaged: {reason(error)}") from error
        name = plane.file.header.file_meta.TransferSyntaxUID.name
        raise UnreadableFile(
            f"{where}: {plane.name} cannot be decoded ({name}): {reason(error)}; decompress the series first"
        ) from error
    if raw.dtype.kind == "i":
        return raw
    unused, width = form.high + 1 - form.stored, form.n_bytes * 8
    if unused == 0 and form.stored == width:
        return raw.view(raw.dtype.str.replace("u", "i")) if form.is_signed else raw
    wide: NDArray[np.int64] = raw.astype(np.int64 if width == 32 else np.int32)
    wide >>= unused
    wide &= (1 << form.stored) - 1
    if form.is_signed:
        half = 1 << (form.stored - 1)
        wide ^= half
        wide -= half
    return wide
