"""Rows of a CSV file, a block at a time, with their numbers and with what is wrong with them.

The text is asked, never guessed: encoding and separator are what the mapping says. Bytes that the encoding does not
have, NUL bytes, rows of another width and broken quotes belong to the row they stand in, and the other rows go on; only
what makes every later row number doubtful (a quote that is never closed) refuses the file.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keyhole.errors import InvalidInput, UnreadableFile

AT_ONCE = 10_000
LONGEST_QUOTE = 50  # lines that one quoted cell may go over; a longer one is a quote that nobody closed
_STRANGE = re.compile("[\udc80-\udcff]")  # bytes that the encoding does not have, as they were let through
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a row: the spreadsheet's row number, the field, what stands there and what was expected."""

    row: int
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.field}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Text:
    """How the bytes of a file become cells."""

    encoding: str = "utf-8"
    separator: str = ","
    quote: str = '"'


@dataclass(slots=True)
class Block:
    """Some rows in the order of the file: their numbers, their cells, and the rows that could not be read."""

    numbers: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    read: int = 0  # characters of the file up to here


class _Lines:
    """The lines of a file, which remembers what was wrong with those since it was last asked."""

    def __init__(self, lines: Iterator[str]):
        self._lines, self._wrong, self.since, self.read = lines, "", 0, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.since += 1
        self.read += len(line)
        if self.since > LONGEST_QUOTE:
            raise csv.Error("quote")
        if "\0" in line:
            self._wrong = "a NUL byte"
            line = line.replace("\0", "")
        if not line.isascii():
            self._wrong = _strange_byte(line) or self._wrong
        return line

    def wrong(self) -> str:
        """What was wrong with the lines of the row just read."""
        told, self._wrong, self.since = self._wrong, "", 0
        return told


def header_and_blocks(path: Path, text: Text, at_once: int = AT_ONCE) -> tuple[list[str], Iterator[Block]]:
    """The names of the columns, and the rows below them in blocks of `at_once`.

    Row numbers are a spreadsheet's: the header is row 1, blank rows count and are passed over.
    """
    _check_start(path, text)
    lines = _Lines(_opened(path, text))
    reader = csv.reader(lines, delimiter=text.separator, quotechar=text.quote, strict=True)
    header = _header(reader, lines, path.name)
    return header, _blocks(reader, lines, len(header), (path.name, text.separator, at_once))


def _opened(path: Path, text: Text) -> Iterator[str]:
    encoding = "utf-8-sig" if text.encoding.replace("_", "-").lower() in {"utf-8", "utf8"} else text.encoding
    try:
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as stream:
            yield from stream
    except UnicodeError as error:
        raise UnreadableFile(f"{path.name} is not {text.encoding} text: {error.__class__.__name__}") from error
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror or error}") from error


def _check_start(path: Path, text: Text) -> None:
    try:
        codecs.lookup(text.encoding)
    except LookupError as error:
        raise InvalidInput(f"no encoding is called {text.encoding!r}; for example utf-8, cp1252 or utf-16") from error
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror or error}") from error
    if not start:
        raise UnreadableFile(f"{path.name} is empty; expected a first row that names the columns")
    for mark, name in _MARKS:
        if start.startswith(mark) and not text.encoding.lower().startswith(name):
            right = "utf-8" if name == "utf" else name
            raise UnreadableFile(
                f"{path.name} begins with the mark of {right.upper()} text, expected {text.encoding}; "
                f'say encoding = "{right}" in the mapping or --encoding {right}'
            )


def _header(reader: Iterator[list[str]], lines: _Lines, name: str) -> list[str]:
    try:
        header = [cell.strip() for cell in next(reader, [])]
    except csv.Error as error:
        raise UnreadableFile(f"{name}, row 1: not a row of a CSV table: {_broken(error)}") from error
    wrong = lines.wrong()
    if wrong:
        raise UnreadableFile(f"{name}, row 1: found {wrong} among the names of the columns")
    if not any(header):
        raise UnreadableFile(f"{name}, row 1: empty; expected a first row that names the columns")
    for n, column in enumerate(header):
        if not column:
            raise InvalidInput(f"{name}, row 1: column {n + 1} has no name")
        if column in header[:n]:
            raise InvalidInput(f"{name}, row 1: the column {column!r} is there twice")
    return header


def _blocks(reader: Iterator[list[str]], lines: _Lines, width: int, about: tuple[str, str, int]) -> Iterator[Block]:
    name, separator, at_once = about
    block, row = Block(), 1
    while True:
        row += 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if str(error) == "quote" or "unexpected end of data" in str(error):
                raise UnreadableFile(f"{name}, row {row}: a quoted cell begins here that does not end") from error
            block.problems.append(Problem(row, "the row", _broken(error), "cells as in the header"))
            lines.wrong()
            continue
        wrong = lines.wrong()
        if len(cells) != width:
            if not cells or (not any(cells) and not wrong):
                continue
            wrong = wrong or f"{len(cells)} cells"
        if wrong:
            block.problems.append(Problem(row, "the row", wrong, _expected(wrong, width, separator)))
            continue
        if any(cells):
            block.numbers.append(row)
            block.cells.append(cells)
        if len(block.cells) >= at_once:
            block.read = lines.read
            yield block
            block = Block()
    if block.numbers or block.problems:
        yield block


def _expected(wrong: str, width: int, separator: str) -> str:
    if wrong.endswith("cells"):
        return f"{width} cells as in the header, apart by {separator!r}"
    return "text of the encoding that the mapping names"


def _broken(error: csv.Error) -> str:
    return {"quote": "a quoted cell that does not end"}.get(str(error), str(error))


def _strange_byte(line: str) -> str:
    found = _STRANGE.search(line)
    return f"byte 0x{ord(found.group()) - 0xDC00:02X}" if found else ""
