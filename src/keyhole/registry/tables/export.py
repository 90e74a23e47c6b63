"""The registry as files that anyone can read: the analysis table or every table, with a data dictionary.

No identities, no names of files or people who recorded, only live rows; sorted by code and key, so that the same
registry gives the same bytes, from SQLite and from PostgreSQL, before and after an import of what was exported.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyhole import __version__
from keyhole.casefile.store import RESEARCH_USE, sha256, write_bytes, write_whole
from keyhole.comparison.table import Table, write_table
from keyhole.errors import InvalidInput, MissingPart
from keyhole.registry.database import Registry
from keyhole.registry.tables import bulk
from keyhole.registry.tables.analysis import analysis_table
from keyhole.registry.tables.dictionary import as_csv, dictionary_of_analysis, dictionary_of_tables
from keyhole.registry.tables.fields import TABLES, Field, fields_of

FORMATS = ("csv", "parquet")
CONTENTS = ("analysis", "tables")
DICTIONARY, ABOUT = "dictionary.csv", "about.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an export in the order in which they were written, and the rows of each table."""

    files: tuple[Path, ...]
    rows: Mapping[str, int]


def export(registry: Registry, folder: Path, *, what: str = "analysis", form: str = "csv") -> Exported:
    """Write the registry into `folder`: the tables, ``dictionary.csv`` and ``about.json`` with every file's SHA-256.

    Parameters
    ----------
    what : "analysis" (one row an episode, analysis.csv) or "tables" (patients.csv, episodes.csv, ...).
    form : "csv", or "parquet", which needs pyarrow.
    """
    if what not in CONTENTS or form not in FORMATS:
        raise InvalidInput(f"export: expected {' or '.join(CONTENTS)} as {' or '.join(FORMATS)}, got {what} as {form}")
    if form == "parquet":
        _arrow()
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; expected a folder to write the export into")
    if what == "analysis":
        rows = _analysis(registry, folder, form)
        dictionary = dictionary_of_analysis()
    else:
        rows = _tables(registry, folder, form)
        dictionary = dictionary_of_tables(TABLES)
    write_bytes(folder / DICTIONARY, as_csv(dictionary))
    files = [*(folder / f"{name}.{form}" for name in rows), folder / DICTIONARY]
    write_bytes(folder / ABOUT, _about(what, files, rows))
    return Exported((*files, folder / ABOUT), rows)


def _about(what: str, files: Iterable[Path], rows: Mapping[str, int]) -> bytes:
    told = {
        "schema": "keyhole.export/1",
        "research_use": RESEARCH_USE,
        "keyhole": __version__,
        "what": what,
        "identities": "none: patients, surgeons and centres are the codes of the registry",
        "rows": dict(rows),
        "files": {path.name: sha256(path) for path in files},
    }
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()


def _analysis(registry: Registry, folder: Path, form: str) -> dict[str, int]:
    table = analysis_table(registry)
    if form == "csv":
        write_table(table, folder / "analysis.csv")
    else:
        write_whole(folder / "analysis.parquet", lambda path: _columns_as_parquet(table, path))
    return {"analysis": len(table)}


def _tables(registry: Registry, folder: Path, form: str) -> dict[str, int]:
    rows = {}
    with registry.reading() as session:
        connection = session.connection()
        for table in TABLES:
            known = fields_of(table)

            def fill(path: Path, table: str = table, known: tuple[Field, ...] = known) -> None:
                blocks = bulk.stream(connection, _query(table, known, bulk.is_file(connection)))
                write = _as_csv if form == "csv" else _as_parquet
                rows[table] = write(path, known, blocks)

            write_whole(folder / f"{table}.{form}", fill)
    return rows


def _query(table: str, known: Sequence[Field], is_file: bool) -> str:
    """Everything live of one table, sorted alike in both databases; ids of the database become codes."""
    join, owner = "", ""
    if table == "episodes":
        join, owner = "JOIN patients o ON o.id = t.patient_id", "o.pseudonym"
    elif table != "patients":
        join, owner = "JOIN episodes o ON o.id = t.episode_id", "o.code"
    columns = {field.name: f't."{field.name}"' for field in known}
    columns |= {name: owner for name in ("patient", "episode") if name in columns}
    for field in known:
        if field.type in {"date", "items"}:
            columns[field.name] = f"CAST({columns[field.name]} AS TEXT)"
    plain = "" if is_file else ' COLLATE "C"'
    keys = [
        f"{columns[f.name]}{plain if f.type != 'number' else ''}"
        for f in known
        if f.key or f.name in {"episode", "code"}
    ]
    listed = ", ".join(columns[field.name] for field in known)
    return f"SELECT {listed} FROM {table} t {join} WHERE t.voided_at IS NULL ORDER BY {', '.join(keys)}, t.id"


def _as_csv(path: Path, known: Sequence[Field], blocks: Iterator[Sequence[Any]]) -> int:
    count = 0
    cells = [_CELLS.get(field.type, _text) for field in known]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in known])
        for block in blocks:
            columns = zip(*block, strict=True)
            written = [list(map(cell, column)) for cell, column in zip(cells, columns, strict=True)]
            writer.writerows(zip(*written, strict=True))
            count += len(block)
    return count


def _number(value: float | None) -> str:
    if value is None:
        return ""
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _flag(value: object) -> str:
    return "" if value is None else str(int(bool(value)))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _items(value: str | None) -> str:
    return "" if value is None or value == "null" else json.dumps(json.loads(value))


_CELLS: Mapping[str, Callable[[Any], str]] = {
    "number": _number,
    "integer": _number,
    "flag": _flag,
    "items": _items,
}


def _arrow() -> Any:
    try:
        import pyarrow  # noqa: PLC0415 - an extra, loaded where it is needed
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingPart(
            'Parquet needs pyarrow, which is not installed; it comes with pip install "keyhole-spine[registry]"'
        ) from error
    return pyarrow, parquet


def _as_parquet(path: Path, known: Sequence[Field], blocks: Iterator[Sequence[Any]]) -> int:
    arrow, parquet = _arrow()
    kinds = {
        "number": arrow.float64(),
        "integer": arrow.int64(),
        "flag": arrow.bool_(),
        "date": arrow.date32(),
    }
    marks = {"research_use": RESEARCH_USE}
    schema = arrow.schema([(field.name, kinds.get(field.type, arrow.string())) for field in known], metadata=marks)
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for block in blocks:
            columns = zip(*block, strict=True)
            arrays = [_array(arrow, field, column) for field, column in zip(schema, columns, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            count += len(block)
    return count


def _array(arrow: Any, field: Any, column: Sequence[Any]) -> Any:
    if field.type == arrow.date32():
        column = [bulk.as_day(value) for value in column]
    elif field.type == arrow.bool_():
        column = [None if value is None else bool(value) for value in column]
    return arrow.array(column, type=field.type)


def _columns_as_parquet(table: Table, path: Path) -> None:
    arrow, parquet = _arrow()
    arrays = {
        name: arrow.array([cell or None for cell in values] if table.is_text(name) else values, from_pandas=True)
        for name, values in table.columns.items()
    }
    made = arrow.table(arrays).replace_schema_metadata({"research_use": RESEARCH_USE})
    parquet.write_table(made, path)
