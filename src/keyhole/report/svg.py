"""Scalable drawings, written as text: the same bytes for the same picture."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points

_EFFORT = 4
"""Of 9: a third of the time of zlib's 6 for files some 7 % larger."""


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """One SVG element; underscores in attribute names become hyphens, numbers are cut to two decimals."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else short(value)


def short(value: float) -> str:
    """`value` with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def text(words: str, x: float, y: float, size: float = 13, **attributes: str | float) -> str:
    """A line of text at (x, y)."""
    return element("text", escape(words), x=x, y=y, font_size=size, **attributes)


def path(lines: Iterable[Points], closed: bool = False) -> str:
    """Path data through `lines`, each (n, 2); a line that ends where it began is closed."""
    pieces = []
    for line in lines:
        shut = closed or _is_same(line[0].tolist(), line[-1].tolist())
        points = line[:-1] if shut and not closed and len(line) > 2 else line
        pieces.append("M" + "L".join([f"{x:.1f} {y:.1f}" for x, y in points.tolist()]) + ("Z" if shut else ""))
    return "".join(pieces)


def _is_same(one: list[float], other: list[float]) -> bool:
    """Whether two points are one but for rounding."""
    return all(abs(a - b) <= 1e-8 + 1e-5 * abs(b) for a, b in zip(one, other, strict=True))


def drawing(width: float, height: float, content: str, alt: str, font: str = "sans-serif") -> str:
    """A whole SVG of `width` by `height` px with the description `alt`."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {short(width)} {short(height)}" '
        f'width="{short(width)}" height="{short(height)}" role="img" aria-label="{escape(alt)}" '
        f'font-family="{escape(font)}">{content}</svg>'
    )


def png(samples: NDArray[np.uint8]) -> bytes:
    """A PNG of `samples` (rows, columns, channels) 0 to 255: grey, opacity (2), colour (3), colour, opacity (4).

    Opacity is left out of what is opaque throughout.
    """
    if samples.shape[2] in (2, 4) and bool((samples[..., -1] == 255).all()):
        samples = samples[..., :-1]
    rows, columns, channels = samples.shape
    flat = samples.reshape(rows, -1)
    raw = np.empty((rows, 1 + channels * columns), dtype=np.uint8)
    raw[:, 1:] = flat
    raw[:, 1 + channels :] -= flat[:, :-channels]
    raw[:, 0] = 1  # each sample as the difference to its left neighbour
    header = struct.pack(">IIBBBBB", columns, rows, 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw.tobytes(), _EFFORT)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_uri(content: bytes, kind: str) -> str:
    """`content` as a data: address of media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
