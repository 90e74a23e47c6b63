"""A table of episodes as columns: read from CSV or Parquet, written as CSV, without pandas.

A column of numbers is float64 with nan where a cell is empty; any other column is an object array of strings, empty
where a cell is. Codes of patients, centres and the like are text even where they look like numbers.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keyhole.casefile.store import write_whole
from keyhole.errors import InvalidInput, MissingPart, UnreadableFile

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Index: TypeAlias = NDArray[np.int64]

IDENTIFIERS = ("episode", "patient", "centre", "surgeon")
DATES = ("surgery_date",)
TEXTS = frozenset({*IDENTIFIERS, *DATES, "operation", "sex"})
MISSING = frozenset({"", "na", "n/a", "nan", "null", "."})
"""What a cell says that holds nothing (upper or lower case)."""

_AT_ONCE = 20_000
_YES, _NO = frozenset({"true", "yes"}), frozenset({"false", "no"})


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of equal length, one row an episode. `name` is what messages call it."""

    columns: Mapping[str, NDArray[Any]]
    name: str = "the table"

    def __post_init__(self) -> None:
        held: dict[str, NDArray[Any]] = {}
        for name, values in self.columns.items():
            array = np.asarray(values)
            held[name] = array.astype(object if array.dtype.kind in "OUST" else np.float64)
            held[name].flags.writeable = False
        if len({len(values) for values in held.values()}) > 1:
            lengths = ", ".join(f"{name} {len(values)}" for name, values in list(held.items())[:6])
            raise InvalidInput(f"{self.name}: columns must be of one length, got {lengths}")
        object.__setattr__(self, "columns", held)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.columns:
            raise InvalidInput(f"{self.name}: there is no column {name!r}; it has {_listed(self.columns)}")
        return self.columns[name]

    def is_text(self, name: str) -> bool:
        """Whether the column holds words rather than numbers."""
        return self[name].dtype == object


def numbers(table: Table, name: str) -> Array:
    """The column `name` as numbers, nan where missing; a column of words is refused with the first row and word."""
    values = table[name]
    if values.dtype != object:
        return values
    for row, cell in enumerate(values):
        if cell and not _is_number(cell):
            raise InvalidInput(f"{table.name}: the column {name!r} must hold numbers, row {row + 1} holds {cell!r}")
    return np.array([cell or "nan" for cell in values], dtype=np.float64)


def texts(table: Table, name: str) -> NDArray[np.object_]:
    """The column `name` as words, empty where missing; whole numbers are written without a point."""
    values = table[name]
    if values.dtype == object:
        return values
    return np.array([_cell(value) for value in values.tolist()], dtype=object)


def missing(table: Table, name: str) -> Mask:
    """Where the column `name` holds nothing."""
    values = table[name]
    if values.dtype == object:
        return np.fromiter((not cell for cell in values), dtype=np.bool_, count=len(values))
    found: Mask = np.isnan(values)
    return found


def taken(table: Table, rows: Mask | Index) -> Table:
    """The table of the chosen rows, in that order."""
    return Table({name: values[rows] for name, values in table.columns.items()}, table.name)


def with_columns(table: Table, added: Mapping[str, NDArray[Any]]) -> Table:
    """The table with columns added or replaced."""
    return Table({**table.columns, **added}, table.name)


def read_table(path: Path, text_columns: Iterable[str] = ()) -> Table:
    """The table in a CSV file (comma, semicolon or tab; first row names the columns) or in a `.parquet` file.

    Parameters
    ----------
    path : the file; empty cells, NA and nan are missing.
    text_columns : columns to keep as words even where every cell is a number; `TEXTS` are so always.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    text = TEXTS | set(text_columns)
    try:
        while True:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                columns, late = _columns(stream, path.name, text)
            if not late:
                return Table(columns, path.name)
            text |= late  # words further down than the first part: read again, as text from the start
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path.name} must be UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise UnreadableFile(f"{path.name} is no CSV table: {error}") from error


def write_table(table: Table, path: Path) -> None:
    """Write the table as CSV, whole or not at all; missing cells are empty, whole numbers have no point."""
    columns = [texts(table, name) for name in table.columns]

    def fill(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(table.columns)
            writer.writerows(zip(*columns, strict=True))

    write_whole(path, fill)


def _columns(stream: TextIO, name: str, text: frozenset[str]) -> tuple[dict[str, NDArray[Any]], frozenset[str]]:
    """Columns of the CSV, and those that turned out to hold words after numbers had been read."""
    first = stream.readline()
    stream.seek(0)
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(stream, delimiter=delimiter)
    header = [cell.strip() for cell in next(reader, [])]
    _check_header(header, name)
    parts: dict[str, list[NDArray[Any]]] = {column: [] for column in header}
    words = set(text)
    late: set[str] = set()
    for block in _blocks(reader, len(header), name):
        for column, cells in zip(header, zip(*block, strict=True), strict=True):
            part = _part(cells, column in words)
            if part.dtype == object and column not in words:
                words.add(column)
                late |= {column} if parts[column] else set()
            parts[column].append(part)
    if not any(parts.values()):
        raise InvalidInput(f"{name} holds no row: expected a header and at least one row")
    joined = {column: np.concatenate(found) for column, found in parts.items()} if not late else {}
    _check_finite(joined, name)
    return {column: _claims(values, column) for column, values in joined.items()}, frozenset(late)


def _blocks(reader: Iterator[list[str]], width: int, name: str) -> Iterator[list[list[str]]]:
    """Rows by the thousand, blank lines left out, each of the header's width."""
    row = 0
    while block := list(islice(reader, _AT_ONCE)):
        kept = []
        for cells in block:
            if not any(cells):
                continue
            row += 1
            if len(cells) != width:
                raise InvalidInput(f"{name}, row {row}: expected {width} cells, found {len(cells)}")
            kept.append(cells)
        if kept:
            yield kept


def _check_header(header: Sequence[str], name: str) -> None:
    if not any(header):
        raise InvalidInput(f"{name} is empty: expected a first row that names the columns")
    for n, column in enumerate(header):
        if not column:
            raise InvalidInput(f"{name}: column {n + 1} has no name in the first row")
        if column in header[:n]:
            raise InvalidInput(f"{name}: the column {column!r} is there twice")


def _part(cells: Sequence[str], is_text: bool) -> NDArray[Any]:
    """Cells as numbers, or as words where one of them is none."""
    if not is_text:
        try:
            return np.array([cell or "nan" for cell in cells], dtype=np.float64)
        except ValueError:  # a missing mark, or words
            plain = ["nan" if cell.strip().lower() in MISSING else cell for cell in cells]
        try:
            return np.array(plain, dtype=np.float64)
        except ValueError:
            pass
    seen: dict[str, str] = {}
    return np.array([_word(cell, seen) for cell in cells], dtype=object)


def _word(cell: str, seen: dict[str, str]) -> str:
    found = seen.get(cell)
    if found is None:
        bare = cell.strip()
        found = seen[cell] = "" if bare.lower() in MISSING else bare
    return found


def _claims(values: NDArray[Any], column: str) -> NDArray[Any]:
    """A column of yes and no (true and false) as 1 and 0; any other as it is."""
    if values.dtype != object or column in TEXTS:
        return values
    found = {cell.lower() for cell in set(values.tolist())} - {""}
    if not found or not found <= _YES | _NO:
        return values
    return np.array([np.nan if not cell else float(cell.lower() in _YES) for cell in values])


def _check_finite(columns: Mapping[str, NDArray[Any]], name: str) -> None:
    for column, values in columns.items():
        if values.dtype != object and np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0]) + 1
            raise InvalidInput(f"{name}, row {row}: the column {column!r} must hold finite numbers, found infinity")


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _parquet(path: Path) -> Table:
    """The table in a Parquet file; numbers and truth values become numbers, everything else words."""
    try:
        import pyarrow  # noqa: PLC0415  # an extra, loaded where it is needed
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        needed = 'pip install "keyhole-spine[registry]"'
        raise MissingPart(f"{path.name}: reading Parquet needs pyarrow: {needed}") from error
    try:
        found = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise UnreadableFile(f"{path.name} is no Parquet table: {error}") from error
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror or error}") from error
    if not found.num_rows:
        raise InvalidInput(f"{path.name} holds no row: expected at least one")
    columns = {name: _values(found.column(name).to_pylist(), name) for name in found.column_names}
    _check_finite(columns, path.name)
    return Table(columns, path.name)


def _values(held: Sequence[Any], name: str) -> NDArray[Any]:
    if name not in TEXTS and all(cell is None or isinstance(cell, bool | int | float) for cell in held):
        return np.array([np.nan if cell is None else float(cell) for cell in held])
    seen: dict[str, str] = {}
    return np.array(["" if cell is None else _word(str(cell), seen) for cell in held], dtype=object)


def _listed(names: Iterable[str], most: int = 12) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
