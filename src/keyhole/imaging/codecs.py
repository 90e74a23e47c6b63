"""Pixels of one compressed frame: RLE, JPEG lossless and baseline, JPEG-LS, JPEG 2000 and HTJ2K."""

from __future__ import annotations

import functools
import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import UnreadableFile
from keyhole.geometry._kernels import compiled

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203))
"""Transfer syntaxes; 201 to 203 are high-throughput JPEG 2000."""

ENCAPSULATED = "1.2.840.10008.1.2.1.98"
"""Uncompressed, but cut into fragments."""

LOSSY = (*JPEG_BASELINE, JPEG_LS[1], JPEG_2000[1], JPEG_2000[4])
"""Syntaxes that may have lost something."""

READ = (ENCAPSULATED, RLE, *JPEG_BASELINE, *JPEG_LOSSLESS, *JPEG_LS, *JPEG_2000)

_NO_LENGTH = (0x01, *range(0xD0, 0xDA))
_FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)


def decoded(syntax: str, data: bytes, shape: tuple[int, int], n_bytes: int) -> NDArray[Any]:
    """The stored integers of one grey frame, `shape` (rows, columns), of `n_bytes` each.

    The size that the compressed stream itself states is compared with `shape` before anything is allocated.
    """
    if syntax == ENCAPSULATED:
        return np.frombuffer(data, f"<u{n_bytes}", shape[0] * shape[1]).reshape(shape)
    if syntax == RLE:
        return _rle(data, shape, n_bytes)
    if syntax in JPEG_2000:
        return _jpeg_2000(data, shape)
    markers = _markers(data)
    if markers.size != shape or markers.components != 1:
        raise UnreadableFile(
            f"the compressed stream holds {markers.components} x {markers.size[1]} x {markers.size[0]} samples where "
            f"the header has 1 x {shape[1]} x {shape[0]}"
        )
    if syntax in JPEG_LOSSLESS:
        return _jpeg_lossless(data, markers)
    return _jpeg_ls(data, shape, markers) if syntax in JPEG_LS else _jpeg_baseline(data, shape, markers)


class _Markers:
    """What the marker segments of a JPEG stream state."""

    def __init__(self) -> None:
        self.kind, self.precision, self.components, self.restart = 0, 0, 0, 0
        self.size = (0, 0)
        self.tables: dict[int, bytes] = {}
        self.scan, self.start = b"", 0


def _markers(data: bytes) -> _Markers:
    """Read marker segments up to the first scan."""
    found = _Markers()
    at = data.find(b"\xff\xd8") + 2
    if at < 2:
        raise UnreadableFile("the compressed stream has no beginning")
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0xFF, *_NO_LENGTH):
            at += 1
            continue
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body, at = data[at + 4 : at + 2 + length], at + 2 + length
        if marker in _FRAME_HEADERS and len(body) >= 6:
            found.kind = marker
            found.precision, rows, columns, found.components = struct.unpack(">BHHB", body[:6])
            found.size = rows, columns
        elif marker == 0xC4:
            _read_tables(body, found.tables)
        elif marker == 0xDD and len(body) >= 2:
            found.restart = int.from_bytes(body[:2], "big")
        elif marker == 0xDA:
            found.scan, found.start = body, at
            return found
    raise UnreadableFile("the compressed stream ends before its pixels")


def _read_tables(body: bytes, tables: dict[int, bytes]) -> None:
    """Huffman tables: class and number, 16 counts, values."""
    at = 0
    while at + 17 <= len(body):
        n = sum(body[at + 1 : at + 17])
        tables[body[at]] = body[at + 1 : at + 17 + n]
        at += 17 + n


def _jpeg_lossless(data: bytes, markers: _Markers) -> NDArray[Any]:
    """ITU-T T.81 process 14, one component; predictors 1 to 7, point transform and restart intervals."""
    if markers.kind != 0xC3 or len(markers.scan) < 6 or markers.scan[0] != 1:
        raise UnreadableFile("the compressed stream is not JPEG lossless")
    table = markers.tables.get(markers.scan[2] >> 4)
    predictor, shift = markers.scan[3], markers.scan[5] & 15
    if table is None or not (1 <= predictor <= 7 and 2 <= markers.precision <= 16 and shift < markers.precision):
        raise UnreadableFile("the compressed stream is damaged: its JPEG lossless parameters make no sense")
    rows, columns = markers.size
    if markers.restart % columns:
        raise UnreadableFile("the compressed stream is damaged: it restarts within a line")
    out = np.zeros((rows, columns), dtype=np.int32)
    raw = np.frombuffer(data, dtype=np.uint8)
    start = 1 << (markers.precision - shift - 1)
    done = _undo(raw, markers.start, _lookup(table), predictor, start, markers.restart // columns, out)
    if done != rows:
        raise UnreadableFile(f"the compressed stream is damaged in line {max(done, 0) + 1} of {rows}")
    return (out << shift).astype(np.uint16)


@functools.lru_cache(maxsize=32)
def _lookup(table: bytes) -> NDArray[np.uint16]:
    """For every 16 bits: length of the code they begin with (0: none) in the high byte, its value in the low."""
    found = np.zeros(1 << 16, dtype=np.uint16)
    code, at = 0, 16
    for length in range(1, 17):
        for _ in range(table[length - 1]):
            low, high = code << (16 - length), (code + 1) << (16 - length)
            if at >= len(table) or high > 1 << 16 or table[at] > 16:
                raise UnreadableFile("the compressed stream is damaged: its Huffman table makes no sense")
            found[low:high] = length << 8 | table[at]
            code, at = code + 1, at + 1
        code <<= 1
    return found


@compiled()
def _undo(
    data: NDArray[np.uint8],
    at: int,
    lookup: NDArray[np.uint16],
    predictor: int,
    start: int,
    restart: int,
    out: NDArray[np.int32],
) -> int:
    """Fill `out` line by line; returns the number of sound lines."""
    bits, n, past = 0, 0, 0
    rows, columns = out.shape
    for y in range(rows):
        fresh = y == 0
        if restart > 0 and y > 0 and y % restart == 0:
            bits, n, past, fresh = 0, 0, 0, True
            at = _after_restart(data, at)
        for x in range(columns):
            bits, n, at, past = _refilled(data, bits, n, at, past)
            entry = int(lookup[(bits >> (n - 16)) & 0xFFFF])
            length, size = entry >> 8, entry & 0xFF
            if length == 0:
                return y
            n -= length
            difference = 32768 if size == 16 else 0
            if 0 < size < 16:
                n -= size
                difference = (bits >> n) & ((1 << size) - 1)
                if difference < 1 << (size - 1):
                    difference -= (1 << size) - 1
            bits &= (1 << n) - 1
            if x == 0:
                guess = start if fresh else out[y - 1, 0]
            elif fresh:
                guess = out[y, x - 1]
            else:
                guess = _guess(predictor, out[y, x - 1], out[y - 1, x], out[y - 1, x - 1])
            out[y, x] = (guess + difference) & 0xFFFF
        if 8 * past > n:
            return y  # bits were used that are not in the data
    return int(rows)


@compiled()
def _refilled(data: NDArray[np.uint8], bits: int, n: int, at: int, past: int) -> tuple[int, int, int, int]:
    """More than 32 bits to read from; zeros where a marker or the end of the data is reached, counted in `past`."""
    while n <= 32:
        byte = 0
        if at < data.size:
            byte = int(data[at])
        if at >= data.size or (byte == 0xFF and (at + 1 >= data.size or data[at + 1] != 0)):
            byte, past = 0, past + 1
        else:
            at += 2 if byte == 0xFF else 1
        bits, n = (bits << 8) | byte, n + 8
    return bits, n, at, past


@compiled()
def _after_restart(data: NDArray[np.uint8], at: int) -> int:
    """The place behind the next restart marker."""
    while at + 1 < data.size and not (data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7):
        at += 1
    return at + 2


@compiled()
def _guess(predictor: int, a: int, b: int, c: int) -> int:
    """Table H.1 of ITU-T T.81: what is expected from the left, upper and upper left neighbour."""
    if predictor <= 3:
        return a if predictor == 1 else b if predictor == 2 else c
    if predictor == 4:
        return a + b - c
    if predictor == 5:
        return a + ((b - c) >> 1)
    return b + ((a - c) >> 1) if predictor == 6 else (a + b) >> 1


def _rle(data: bytes, shape: tuple[int, int], n_bytes: int) -> NDArray[Any]:
    """DICOM PS3.5 Annex G: one run-length coded segment per byte, the most significant first."""
    if len(data) < 64:
        raise UnreadableFile("the run-length coded frame has no header")
    n, *offsets = struct.unpack("<16L", data[:64])
    if n != n_bytes:
        raise UnreadableFile(f"the run-length coded frame has {n} segments where the header has {n_bytes} bytes")
    raw, size = np.frombuffer(data, dtype=np.uint8), shape[0] * shape[1]
    planes = np.zeros((n_bytes, size), dtype=np.uint8)
    ends = [*offsets[1:n], len(data)]
    for k in range(n):
        if not 64 <= offsets[k] <= ends[k] <= len(data) or _unpack(raw[offsets[k] : ends[k]], planes[k]) != size:
            raise UnreadableFile("the run-length coded frame is truncated or damaged")
    values = np.ascontiguousarray(planes[::-1].T).view(f"<u{n_bytes}")
    return values.reshape(shape)


@compiled()
def _unpack(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Undo PackBits; returns how many bytes came out."""
    at, done = 0, 0
    while at < data.size and done < out.size:
        head = int(data[at])
        at += 1
        if head < 128:
            n = min(head + 1, out.size - done, data.size - at)
            for _ in range(n):
                out[done] = data[at]
                done, at = done + 1, at + 1
        elif head > 128 and at < data.size:
            for _ in range(min(257 - head, out.size - done)):
                out[done] = data[at]
                done += 1
            at += 1
    return done


def _jpeg_ls(data: bytes, shape: tuple[int, int], markers: _Markers) -> NDArray[Any]:
    import jpeg_ls  # noqa: PLC0415  (heavy import)

    raw = jpeg_ls.decode_from_buffer(data + b"\xff\xd9")  # without an end it looks for one through 2**31 bits
    return np.frombuffer(raw, dtype="<u1" if markers.precision <= 8 else "<u2").reshape(shape)


def _jpeg_baseline(data: bytes, shape: tuple[int, int], markers: _Markers) -> NDArray[Any]:
    if markers.precision != 8:
        raise UnreadableFile(f"lossy JPEG of {markers.precision} bits is not read")
    from PIL import Image  # noqa: PLC0415  (heavy import)

    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return np.asarray(image, dtype=np.uint8).reshape(shape)


def _jpeg_2000(data: bytes, shape: tuple[int, int]) -> NDArray[Any]:
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 44 > len(data):
        raise UnreadableFile("the compressed stream is not JPEG 2000")
    x1, y1, x0, y0 = struct.unpack_from(">4L", data, at + 8)
    n = int.from_bytes(data[at + 40 : at + 42], "big")
    if (y1 - y0, x1 - x0) != shape or n != 1 or x0 or y0:
        raise UnreadableFile(
            f"the compressed stream holds {n} x {x1 - x0} x {y1 - y0} samples where the header has 1 x {shape[1]} x "
            f"{shape[0]}"
        )
    import openjpeg  # noqa: PLC0415  (heavy import)

    values: NDArray[Any] = openjpeg.decode(data)
    return values.reshape(shape)
