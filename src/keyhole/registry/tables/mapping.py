"""Which column of a file is which field of the registry, and how its cells are written.

A mapping is a TOML file (docs/registry.md), or one of those that Keyhole brings: for its analysis table, and for each
table that `keyhole registry export --what tables` writes. A header that is no mapping's is refused; nothing is guessed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.registry.tables.cells import ISO, MISSING, Reading, factor_of
from keyhole.registry.tables.fields import TABLES, WIDE, Field, fields, fields_of
from keyhole.registry.tables.rows import Text
from keyhole.registry.tables.vocabulary import instrument_field, words

WIDE_TABLES = ("patients", "episodes", "procedures", "responses", WIDE)
_TEXTS = ("title", "format", "table", "encoding", "separator", "quote", "decimal", "date")
_TOP: Mapping[str, type] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("missing", "ignore", "required"), list),
    **dict.fromkeys(("columns", "constants"), dict),
    "nominal_dates": bool,
}
_COLUMN: Mapping[str, type] = {
    **dict.fromkeys(("field", "instrument", "visit", "on", "date", "decimal", "unit"), str),
    "values": dict,
    "factor": object,
}
_KINDS = {str: "text", list: "a list of texts", dict: "a table", bool: "true or false"}
_USUAL, _PLAIN = Reading(), Text()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file: its field and how it is written; an outcome's instrument, visit and column of days."""

    name: str
    field: Field
    reading: Reading = _USUAL
    instrument: str = ""
    visit: str = ""
    on: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file is read: `table` is the one that a row belongs to, or "" where a row is a whole episode."""

    title: str
    table: str
    columns: tuple[Column, ...]
    text: Text = _PLAIN
    constants: Mapping[str, str] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    required: frozenset[str] | None = None
    nominal_dates: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether a row is a whole episode."""
        return not self.table


def read_plan(path: Path) -> Plan:
    """The mapping in the TOML file at `path`."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path.name} must be UTF-8 text; byte {error.start} is not") from error
    except tomllib.TOMLDecodeError as error:
        raise UnreadableFile(f"{path.name} is no TOML file: {error}") from error
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror or error}") from error
    return parse_plan(found, path.name)


def parse_plan(found: Mapping[str, Any], name: str) -> Plan:
    """The mapping that a TOML file holds; `name` is the file's, for messages."""
    _check_keys(found, _TOP, name)
    table = _table(found, name)
    text = Text(found.get("encoding", "utf-8"), found.get("separator", ","), found.get("quote", '"'))
    check_text(text, name)
    usual = Reading(found.get("date", ISO), _decimal(found, name), tuple(found.get("missing", MISSING)))
    given = found.get("columns")
    if not isinstance(given, dict) or not given:
        raise InvalidInput(f"{name}: expected a table [columns] that names the columns of the file")
    columns = tuple(_column(key, row, usual, name) for key, row in given.items())
    required = found.get("required")
    plan = Plan(
        str(found.get("title", name)),
        table,
        columns,
        text,
        {str(key): str(value) for key, value in found.get("constants", {}).items()},
        frozenset(found.get("ignore", ())),
        None if required is None else frozenset(required),
        bool(found.get("nominal_dates", False)),
    )
    _check_plan(plan, name)
    return plan


def analysis_plan() -> Plan:
    """The mapping of Keyhole's own analysis table."""
    text = files("keyhole.registry.tables").joinpath("mappings", "analysis.toml").read_text(encoding="utf-8")
    return parse_plan(tomllib.loads(text), "analysis.toml")


def table_plan(table: str) -> Plan:
    """The mapping of one of the registry's own tables, as an export writes it."""
    known = fields_of(table)
    columns = tuple(Column(field.name, field) for field in known)
    needed = frozenset(field.name for field in known if field.needed)
    return Plan(f"the registry's table {table}", table, columns, required=needed)


def plan_for(header: Sequence[str], name: str, text: Text) -> Plan:
    """The shipped mapping that the header is of; a header of none, or of more than one, is refused."""
    plans = [plan for plan in (analysis_plan(), *map(table_plan, TABLES)) if _is_of(header, plan)]
    if len(plans) == 1:
        return replace(plans[0], text=text)
    if len(header) == 1 and any(sign in header[0] for sign in ";\t|"):
        sign = max(";\t|", key=header[0].count)
        raise InvalidInput(
            f"{name}, row 1: one column, {header[0][:60]!r}; expected columns apart by {text.separator!r}. "
            f"If they are apart by {sign!r}, say --separator {'tab' if sign == chr(9) else repr(sign)}, "
            f"or separator = {sign!r} in a mapping"
        )
    which = "more than one table has this header" if plans else _nearest(header)
    raise InvalidInput(f"{name}, row 1: {which}; say with --mapping FILE.toml which column is which field")


def check_header(plan: Plan, header: Sequence[str], name: str) -> None:
    """Refuse a header that has columns which the mapping does not know, or lacks those it needs."""
    known = {column.name for column in plan.columns} | {column.on for column in plan.columns} | plan.ignore
    strange = [column for column in header if column not in known]
    if strange:
        raise InvalidInput(
            f"{name}, row 1: the mapping does not know the column {strange[0]!r}{_more(strange)}; "
            "name it under [columns], or under ignore = [...] if it is not wanted"
        )
    needed = {column.name for column in plan.columns} if plan.required is None else plan.required
    wanted = [name for column in plan.columns for name in (column.name, column.on) if name and column.name in needed]
    lacking = [name for name in wanted if name not in header]
    if lacking:
        raise InvalidInput(
            f"{name}, row 1: the column {lacking[0]!r}{_more(lacking)} of the mapping is not in the file; "
            f"the file has {', '.join(header[:12])}{' ...' if len(header) > 12 else ''}"
        )


def with_decimal(plan: Plan, decimal: str) -> Plan:
    """The mapping with decimals written with the sign `decimal` in every column."""
    columns = (replace(column, reading=replace(column.reading, decimal=decimal)) for column in plan.columns)
    return replace(plan, columns=tuple(columns))


def _is_of(header: Sequence[str], plan: Plan) -> bool:
    return set(header) <= {column.name for column in plan.columns} and (plan.required or set()) <= set(header)


def _nearest(header: Sequence[str]) -> str:
    known = {column.name for column in analysis_plan().columns}
    strange = [column for column in header if column not in known]
    if len(strange) <= len(header) / 2:
        lacking = sorted((analysis_plan().required or frozenset()) - set(header))
        said = [f"the column {strange[0]!r}{_more(strange)} is not in it"] if strange else []
        said += [f"the column {lacking[0]!r}{_more(lacking)} is missing"] if lacking else []
        return f"this is nearly Keyhole's analysis table, but {' and '.join(said)}"
    return "the header is of none of the tables that Keyhole knows"


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _check_keys(found: Mapping[str, Any], known: Mapping[str, type], where: str) -> None:
    for key, value in found.items():
        if key not in known:
            raise InvalidInput(f"{where}: {key!r} is not known; expected {', '.join(sorted(known))}")
        if not _is_of_kind(value, known[key]):
            raise InvalidInput(f"{where}: {key} must be {_KINDS[known[key]]}, got {value!r}")


def _is_of_kind(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, kind)


def _table(found: Mapping[str, Any], name: str) -> str:
    form = found.get("format")
    if form == "wide":
        if "table" in found:
            raise InvalidInput(f"{name}: a wide file fills several tables; leave out table = {found['table']!r}")
        return ""
    if form == "long":
        table = found.get("table", "responses")
        if table not in TABLES:
            raise InvalidInput(f"{name}: table = {table!r} is not known; expected one of {', '.join(TABLES)}")
        return str(table)
    raise InvalidInput(
        f'{name}: expected format = "wide" (one row an episode) or "long" (one row a record), got {form!r}'
    )


def _decimal(found: Mapping[str, Any], name: str) -> str:
    decimal = found.get("decimal", ".")
    if decimal not in {".", ","}:
        raise InvalidInput(f'{name}: expected decimal = "." or ",", got {decimal!r}')
    return str(decimal)


def check_text(text: Text, name: str) -> None:
    """Refuse a separator or quote that is not one sign."""
    for what, sign in (("separator", text.separator), ("quote", text.quote)):
        if not isinstance(sign, str) or len(sign) != 1 or sign in "\r\n\0":
            raise InvalidInput(f"{name}: {what} must be one character, got {sign!r}")
    if text.separator == text.quote:
        raise InvalidInput(f"{name}: separator and quote must differ, both are {text.quote!r}")


def _column(key: str, row: Any, usual: Reading, name: str) -> Column:
    where = f"{name}, [columns] {key}"
    row = {"field": row} if isinstance(row, str) else row
    if not isinstance(row, dict):
        raise InvalidInput(f'{where}: expected "table.field" or a table, got {row!r}')
    _check_keys(row, _COLUMN, where)
    field = _field(row, where)
    reading = replace(
        usual,
        date=row.get("date", usual.date),
        decimal=_decimal({"decimal": row.get("decimal", usual.decimal)}, where),
        values={str(cell): str(value) for cell, value in row.get("values", {}).items()},
        factor=_factor(row, field, where),
    )
    return Column(key, field, reading, row.get("instrument", ""), row.get("visit", ""), row.get("on", ""))


def _field(row: Mapping[str, Any], where: str) -> Field:
    if "instrument" in row or "visit" in row:
        if "field" in row or not {"instrument", "visit"} <= set(row):
            raise InvalidInput(f"{where}: an outcome needs instrument and visit, and no field")
        if row["visit"] not in words("visits"):
            raise InvalidInput(f"{where}: visit must be one of {', '.join(words('visits'))}, got {row['visit']!r}")
        return _outcome(str(row["instrument"]), where)
    full = str(row.get("field"))
    if full not in fields():
        raise InvalidInput(f"{where}: there is no field {full!r}; `keyhole registry fields` lists them")
    return fields()[full]


def _outcome(instrument: str, where: str) -> Field:
    if instrument not in words("instruments"):
        raise InvalidInput(f"{where}: instrument must be one of {', '.join(words('instruments'))}, got {instrument!r}")
    low, high, unit = instrument_field(instrument)
    return replace(fields()["responses.value"], low=low, high=high, unit=unit)


def _factor(row: Mapping[str, Any], field: Field, where: str) -> float:
    if "factor" not in row and "unit" not in row:
        return 1.0
    if field.type not in {"number", "integer"} or ("factor" in row and "unit" in row):
        raise InvalidInput(f"{where}: a number has either a unit or a factor, and nothing else has one")
    if "unit" in row:
        return factor_of(field, str(row["unit"]))
    factor = row["factor"]
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < abs(factor) < float("inf"):
        raise InvalidInput(f"{where}: factor must be a number other than 0, got {factor!r}")
    return float(factor)


def _check_plan(plan: Plan, name: str) -> None:
    allowed = WIDE_TABLES if plan.is_wide else (plan.table,)
    filled: list[str] = []
    for column in plan.columns:
        if column.field.table not in allowed or (
            plan.is_wide and column.field.full.startswith("responses.") and not column.instrument
        ):
            raise InvalidInput(f"{name}, [columns] {column.name}: {column.field.full} is no field of such a row")
        filled.append(f"{column.instrument}@{column.visit}" if column.instrument else column.field.full)
    for full in plan.constants:
        if full not in fields() or fields()[full].table not in allowed:
            raise InvalidInput(f"{name}, [constants]: {full!r} is no field of such a row")
        filled.append(full)
    twice = sorted({full for full in filled if filled.count(full) > 1})
    if twice:
        raise InvalidInput(f"{name}: {twice[0]} is filled twice")
    needed = _needed(plan)
    lacking = [full for full in needed if full not in filled]
    if lacking:
        raise InvalidInput(f"{name}: nothing fills {lacking[0]}{_more(lacking)}, which no row can be without")
    _check_days(plan, name)


def _needed(plan: Plan) -> list[str]:
    if plan.is_wide:
        return [
            "episodes.code",
            "patients.pseudonym",
            "episodes.surgery_date",
            "procedures.operation",
            "procedures.is_miss",
        ]
    return [field.full for field in fields_of(plan.table) if field.needed]


def _check_days(plan: Plan, name: str) -> None:
    """Every answer has its day: from a column, or the visit's own where the mapping says so."""
    if plan.nominal_dates:
        return
    bare = [column.name for column in plan.columns if column.instrument and not column.on]
    if bare:
        raise InvalidInput(
            f"{name}, [columns] {bare[0]}{_more(bare)}: on which day was this answered? Name its column (on = ...), "
            "or say nominal_dates = true to take the day of the visit"
        )
    if plan.table == "responses" and not any(column.field.full == "responses.date" for column in plan.columns):
        raise InvalidInput(f"{name}: nothing fills responses.date; name its column, or say nominal_dates = true")
