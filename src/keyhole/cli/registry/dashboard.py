"""`keyhole registry dashboard`: the registry on one page."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from keyhole.report.dashboard import Dashboard, Data

_TABLES = {".csv", ".tsv", ".txt", ".parquet"}


@click.command("dashboard")
@click.argument("registry", metavar="DB_OR_TABLE")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for index.html, dashboard.json.")
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="The day it is made for; by default the system's.")
@click.option("--centre", default="", metavar="NAME", help="Count this centre alone.")
@click.option("--surgeon", default="", metavar="NAME", help="Count this surgeon alone.")
@click.option("--by-surgeon", is_flag=True, help="List every surgeon by name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def dashboard_command(
    registry: str,
    out: Path | None,
    today: datetime | None,
    centre: str,
    surgeon: str,
    by_surgeon: bool,
    as_json: bool,
) -> None:
    """Show follow-up, outcomes, complications, approaches and whom to ask, as one offline page.

    DB_OR_TABLE is a registry (a SQLite file or a PostgreSQL URL) or a table with one row an episode (CSV, Parquet).
    Who has not answered is shown as missing, never left out.
    """
    from keyhole.errors import InvalidInput
    from keyhole.report.dashboard import summary, to_json, write_dashboard

    if out is None and not as_json:
        raise InvalidInput("name a folder for the page with --out, or ask for --json")
    day = (today or datetime.now()).date()
    found = summary(_data(registry, day), day, centre=centre, surgeon=surgeon, by_surgeon=by_surgeon)
    page = None if out is None else write_dashboard(found, out)
    if as_json:
        click.echo(json.dumps(to_json(found), ensure_ascii=False, allow_nan=False))
        return
    _tell(found)
    click.echo(f"\nDashboard: {page}")


def _data(registry: str, today: date) -> Data:
    from keyhole.report.dashboard import from_registry, from_table

    if "://" not in registry and Path(registry).suffix.casefold() in _TABLES:
        from keyhole.comparison.table import read_table

        return from_table(read_table(Path(registry)))
    from keyhole.registry.database import open_registry

    with open_registry(registry) as opened:
        return from_registry(opened, today)


def _tell(found: Dashboard) -> None:
    from keyhole.casefile.store import RESEARCH_USE
    from keyhole.cli.render import table

    small = "" if found.small.value is None else f", {found.small.value:.0%} through small openings"
    click.echo(f"{found.operated:,} operations on {found.today}{small}")
    rows = [
        [
            v.title,
            f"{v.asked:,}",
            f"{v.answered:,}",
            "–" if v.share is None else f"{v.share:.1%}",
            f"{v.missing:,}",
            f"{v.waiting:,}",
        ]
        for v in found.visits
    ]
    click.echo(table(["visit", "asked", "answered", "share", "missing", "still open"], rows))
    for warning in found.warnings:
        click.echo(f"  ! {warning}")
    click.echo(RESEARCH_USE)
