"""Compare two arms of a table or registry on one outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from keyhole.comparison.model import Comparison
    from keyhole.comparison.table import Table


@click.command("compare")
@click.argument("table", metavar="TABLE_OR_DB")
@click.option("--outcome", required=True, metavar="COLUMN", help="What is compared, for example odi_12m or reoperated.")
@click.option("--treatment", default="miss", show_default=True, metavar="COLUMN", help="The arm of each row: 1 or 0.")
@click.option(
    "--covariates",
    metavar="A,B,..",
    help="Adjust for these columns, 'none' for none; by default for everything known before the operation.",
)
@click.option(
    "--trim",
    default="0.05",
    show_default=True,
    metavar="P|crump|none",
    help="Set aside patients whose propensity is below P or above 1 - P.",
)
@click.option(
    "--imputations", type=click.IntRange(1, 1000), help="Completed tables; by default 20, above 20 000 rows 5."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the imputation.")
@click.option(
    "--cluster",
    default="auto",
    metavar="COLUMN|none",
    help="Rows that hold together: patient, surgeon, centre; by default the surgeon where there are 20 or more.",
)
@click.option("--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Of every interval.")
@click.option("--squares", is_flag=True, help="Let both models bend: squares of measured covariates.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the report into this folder: a page and comparison.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare_command(
    table: str,
    outcome: str,
    treatment: str,
    covariates: str | None,
    trim: str,
    imputations: int | None,
    seed: int,
    cluster: str,
    level: float,
    squares: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare small openings with open operations on one OUTCOME of a table (CSV, Parquet) or registry.

    States the plan, then four estimates (naive, regression, weighted, doubly robust) with intervals, how far the
    two arms overlap, whether they are balanced, what was missing, and how strong unmeasured confounding would have to
    be. It tells an association in patients who were not drawn by lot, never a proof.
    """
    from keyhole.comparison.compare import estimate
    from keyhole.comparison.model import Settings
    from keyhole.comparison.record import plain

    settings = Settings(
        trim=_trim(trim),
        imputations=imputations,
        seed=seed,
        cluster=None if cluster == "none" else cluster,
        level=level,
        squares=squares,
    )
    held = read(table)
    found = estimate(held, outcome, treatment, _names(covariates), settings=settings)
    page = None if out is None else _written(held, found, out)
    if as_json:
        click.echo(json.dumps(plain(found), ensure_ascii=False, allow_nan=False))
        return
    from keyhole.cli.registry.compare_text import text

    click.echo(text(found))
    if page is not None:
        click.echo(f"\nReport: {page}")


def read(where: str) -> Table:
    """The analysis table in a CSV or Parquet file, or of a registry (SQLite file or URL)."""
    from keyhole.comparison.table import read_table
    from keyhole.errors import UnreadableFile

    if "://" in where:
        return _of_registry(where)
    path = Path(where)
    if not path.is_file():
        raise UnreadableFile(f"{where}: there is no such file; give a CSV or Parquet table, a registry file or its URL")
    with path.open("rb") as stream:
        is_database = stream.read(16) == b"SQLite format 3\x00"
    return _of_registry(where) if is_database else read_table(path)


def _of_registry(where: str) -> Table:
    from keyhole.registry.database import open_registry
    from keyhole.registry.tables import analysis_table

    return analysis_table(open_registry(where))


def _written(table: Table, found: Comparison, out: Path) -> Path:
    from keyhole.casefile.store import write_bytes
    from keyhole.comparison.record import plain
    from keyhole.report.comparison import write_comparison

    page = write_comparison(table, found, out)
    told = json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(out / "comparison.json", told.encode())
    return page


def _trim(word: str) -> float | str | None:
    if word in ("none", "crump"):
        return None if word == "none" else word
    try:
        return float(word)
    except ValueError:
        raise click.BadParameter(f"{word!r} is not a number, crump or none", param_hint="--trim") from None


def _names(words: str | None) -> list[str] | None:
    if words is None:
        return None
    return [] if words.strip() == "none" else [word.strip() for word in words.split(",") if word.strip()]
