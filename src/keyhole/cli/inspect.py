"""The inspect command: what is in a folder, disc or file, before anything is imported."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from keyhole.imaging import Survey, SurveyRow

WIDTH = 150
"""Columns of the table where it goes into a file or pipe."""


@click.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect_command(path: Path, as_json: bool) -> None:
    """List the images in PATH (folder, zip, DICOMDIR, DICOM or NIfTI file) and what each is good for."""
    from keyhole.imaging import survey

    found = survey(path)
    if as_json:
        rows = [asdict(row) | {"use": row.verdict.use} for row in found.rows]
        click.echo(json.dumps(asdict(found) | {"rows": rows}, ensure_ascii=False))
        return
    _print_table(found)
    for line in _below(path, found):
        click.echo(line)


def _print_table(found: Survey) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not found.rows:
        return
    table = Table(box=box.HORIZONTALS, show_lines=True, pad_edge=False, padding=(0, 1, 0, 0))
    for name, settings in _COLUMNS.items():
        table.add_column(name, **settings)
    for row in found.rows:
        table.add_row(*_cells(row))
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    with console.capture() as kept:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in kept.get().splitlines() if line.strip()))


_COLUMNS: dict[str, Any] = {
    "series": {"overflow": "fold", "max_width": 28},
    "kind": {"no_wrap": True},
    "description": {"overflow": "fold", "max_width": 26},
    "slices": {"justify": "right", "no_wrap": True},
    "spacing mm": {"no_wrap": True},
    "direction": {"no_wrap": True},
    "L x P x S mm": {"no_wrap": True},
    "tilt": {"justify": "right", "no_wrap": True},
    "usable for": {"overflow": "fold", "ratio": 1, "min_width": 30},
}


def _cells(row: SurveyRow) -> list[str]:
    """The row as text, safe from being taken for markup."""
    from rich.markup import escape

    colour = "green" if row.verdict.for_bone else "yellow" if row.verdict.for_canal else "red"
    spacing = "–" if row.spacing is None else " x ".join(f"{s:.3g}" for s in row.spacing)
    size = "–" if row.extent is None else " x ".join(f"{s:.0f}" for s in row.extent)
    caveats = "".join(f"\n! {escape(caveat)}" for caveat in row.caveats)
    return [
        escape(row.choice),
        row.modality,
        escape(row.description) or "–",
        str(row.slices or "–"),
        spacing,
        row.orientation,
        size,
        f"{row.tilt:.1f}°" if row.tilt else "–",
        f"[{colour}]{row.verdict.use}[/]: {escape(row.verdict.reason)}{caveats}",
    ]


def _below(path: Path, found: Survey) -> list[str]:
    """What stands under the table."""
    lines = [f"aside:     {n} x {what}" for what, n in found.aside.items()]
    damaged = list(found.damaged.values())
    lines += [f"damaged:   {why}" for why in damaged[:5]]
    if len(damaged) > 5:
        lines.append(f"damaged:   and {len(damaged) - 5} more files")
    if found.others:
        lines.append(f"ignored:   {found.others} other files, neither DICOM nor NIfTI")
    if found.absent:
        lines.append(f"missing:   {len(found.absent)} files that the disc's index names, for one {found.absent[0]}")
    if found.problem:
        lines.append(f"refused:   {path} {found.problem}")
    elif found.suggested:
        lines.append(f"suggested: keyhole import CASE --image {path} --series {found.suggested}")
    return lines
