"""Tables in and out of a registry: import, export, fields."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyhole.cli.registry.options import actor_option, echo_json, json_option, now, today_option
from keyhole.cli.render import progress

if TYPE_CHECKING:
    from keyhole.registry.tables import Imported, Plan, Text

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SIGNS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_SHOWN = 10


@click.command("import")
@click.argument("url", metavar="DB")
@click.argument("file", metavar="FILE.csv", type=click.Path(exists=True, path_type=Path))
@click.option("--mapping", type=_FILE, help="A TOML file that says which column is which field; see docs/registry.md.")
@click.option(
    "--on-error",
    type=click.Choice(["abort", "skip"]),
    default="abort",
    show_default=True,
    help="A row that cannot be: import nothing, or all the others.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write row, field, found, expected here."
)
@click.option("--dry-run", is_flag=True, help="Check every row against the registry and change nothing.")
@click.option("--again", is_flag=True, help="Look once more at a file that was imported before.")
@click.option("--separator", metavar="SIGN", help="What stands between cells: one sign, or tab, semicolon, ...")
@click.option("--decimal", type=click.Choice([".", ","]), help="How decimals are written, if not as the mapping says.")
@click.option("--encoding", metavar="NAME", help="The file's encoding, if it is not UTF-8: cp1252, utf-16, ...")
@actor_option
@today_option
@json_option
def import_command(  # one argument an option
    url: str,
    file: Path,
    mapping: Path | None,
    report: Path | None,
    actor: str,
    today: date,
    as_json: bool,
    **how: str | bool | None,
) -> None:
    """Bring the table FILE.csv into the registry DB, whole or not at all, and say row by row what could not be.

    FILE.csv is Keyhole's analysis table, one of the tables that `export --what tables` writes (or the folder with all
    of them), or any table with a --mapping. Nothing is guessed: separator, decimals and encoding are asked for.
    """
    from keyhole.registry.database import open_registry
    from keyhole.registry.tables import Asked, import_files, own_tables

    files = own_tables(file) if file.is_dir() else [file]
    plan, text = _how(mapping, how)
    with open_registry(url) as registry, progress("import") as tell:
        asked = Asked(actor, now(), today, str(how["on_error"]), bool(how["dry_run"]), bool(how["again"]), tell)
        found = import_files(registry, files, asked, plan=plan, text=text, decimal=_told(how["decimal"]), report=report)
        name = registry.name
    failed = asked.on_error == "abort" and any(one.skipped for one in found)
    if as_json:
        content = [one.plain() for one in found]
        echo_json({"registry": name, "imports": content} if file.is_dir() else {"registry": name, **content[0]})
    else:
        for one in found:
            _show(one, asked.dry_run)
        _end(found, name, report, failed or asked.dry_run)
    if failed:
        raise SystemExit(1)


def _told(value: str | bool | None) -> str | None:
    return value if isinstance(value, str) else None


def _how(mapping: Path | None, how: dict[str, str | bool | None]) -> tuple[Plan | None, Text | None]:
    """The mapping, and what the options say otherwise about the text."""
    from dataclasses import replace

    from keyhole.registry.tables import Text, check_text, read_plan

    plan = None if mapping is None else read_plan(mapping)
    text = plan.text if plan is not None else Text()
    separator, encoding = _told(how["separator"]), _told(how["encoding"])
    if separator is not None:
        text = replace(text, separator=_SIGNS.get(separator, separator))
    if encoding is not None:
        text = replace(text, encoding=encoding)
    check_text(text, "--separator")
    return plan, text


def _show(found: Imported, dry_run: bool) -> None:
    good = found.rows - found.skipped
    verb = "can be imported" if dry_run or not found.kept else "imported"
    click.echo(f"{found.file}: {found.mapping}, {found.rows:,} rows: {good:,} {verb}, {found.skipped:,} cannot be")
    for problem in found.problems[:_SHOWN]:
        click.echo(f"  ! {problem}")
    count = sum(found.wrong.values())
    if count > _SHOWN:
        by = ", ".join(f"{field} {number:,}" for field, number in list(found.wrong.items())[:8])
        click.echo(f"  ! and {count - _SHOWN:,} more; by field: {by}")
    if found.put:
        click.echo("  " + ", ".join(f"{table} {count:,}" for table, count in found.put.items()))
    for note, count in found.notes.items():
        click.echo(f"  {count:,} {note}")


def _end(found: tuple[Imported, ...], name: str, report: Path | None, unchanged: bool) -> None:
    if report is not None:
        click.echo(f"{report}: every row that cannot be")
    if unchanged:
        click.echo(f"{name}: nothing was changed")
        if any(one.skipped for one in found) and report is None:
            click.echo("put the rows right (--report FILE lists all), or leave them out with --on-error skip")
        return
    numbers = ", ".join(str(one.batch) for one in found)
    click.echo(f"{name}: import {numbers}; the trail names the file by its SHA-256")


@click.command("export")
@click.argument("url", metavar="DB")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder for the files.")
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option(
    "--what",
    type=click.Choice(["analysis", "tables"]),
    default="analysis",
    show_default=True,
    help="One row an episode for analysis, or every table as it is.",
)
@json_option
def export_command(url: str, out: Path, form: str, what: str, as_json: bool) -> None:
    """Write the registry DB into a folder, with a dictionary of every column; without identities."""
    from keyhole.casefile.store import RESEARCH_USE
    from keyhole.registry.database import open_registry
    from keyhole.registry.tables import export

    with open_registry(url) as registry:
        found = export(registry, out, what=what, form=form)
    if as_json:
        echo_json({"files": [str(path) for path in found.files], "rows": dict(found.rows)})
        return
    for name, count in found.rows.items():
        click.echo(f"{out / name}.{form}: {count:,} rows")
    click.echo(f"{out / 'dictionary.csv'}: what every column is; {out / 'about.json'}: what the files are, by SHA-256")
    click.echo(RESEARCH_USE)


@click.command("fields")
@click.argument("table", required=False)
@json_option
def fields_command(table: str | None, as_json: bool) -> None:
    """List the fields that a mapping can fill, or those of one TABLE, with what a cell may be."""
    from keyhole.cli.render import table as as_table
    from keyhole.errors import InvalidInput
    from keyhole.registry.tables import fields

    known = [field for field in fields().values() if table in (None, field.table)]
    if not known:
        tables = ", ".join(dict.fromkeys(field.table for field in fields().values()))
        raise InvalidInput(f"there is no table {table!r}; expected one of {tables}")
    if as_json:
        rows = [
            {"field": one.full, "needed": one.needed, "unit": one.unit, "cell": one.expected, "meaning": one.meaning}
            for one in known
        ]
        echo_json({"fields": rows})
        return
    lines = [[one.full, "needed" if one.needed else "", one.unit, one.expected, one.meaning] for one in known]
    click.echo(as_table(["field", "", "unit", "cell", "meaning"], lines))
