"""The command that writes what a planned decompression leaves: labels and meshes of any corridor of the plan."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("decompressed")
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--candidate",
    "rank",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="RANK",
    help="Rank of the corridor in plan.json; 1 is the best.",
)
@click.option(
    "--catalogue",
    "catalogue_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The approaches of your own that the plan was made with, if it was.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def decompressed_command(case: Path, rank: int, catalogue_file: Path | None, as_json: bool) -> None:
    """Write the label map and meshes of CASE after the decompression that plan.json holds for a corridor."""
    from keyhole.casefile import Case
    from keyhole.report.decompressed import write_decompressed

    folder = write_decompressed(Case(case), rank, catalogue_file=catalogue_file)
    if as_json:
        click.echo(json.dumps({"candidate": rank, "folder": str(folder)}))
    else:
        click.echo(f"after decompression of corridor {rank}: {folder.resolve()}")
