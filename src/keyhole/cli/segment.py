"""The command that finds anatomy in a bare image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyhole.cli.render import caveats, progress

if TYPE_CHECKING:
    from keyhole.casefile import LabelsRecord
    from keyhole.geometry import Volume


@click.command("segment")
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--method",
    metavar="NAME",
    help="ct-classical (the default for a CT), or an installed tool: totalsegmentator, totalspineseg, spineps.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="MIN",
    default=240.0,
    show_default=True,
    help="How long an installed tool may run, minutes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def segment_command(case: Path, method: str | None, timeout: float, as_json: bool) -> None:
    """Find the anatomy in the image of CASE and build the labels from it."""
    from keyhole.casefile import Case
    from keyhole.cli.levels import draw
    from keyhole.segment import segment_case

    with progress("segment") as show:
        volumes: dict[str, Volume] = {}
        made = segment_case(Case(case), method, show, timeout=60 * timeout, volumes=volumes)
        picture = draw(made, volumes)
    show_segmented(case, as_json)
    if picture and not as_json:
        click.echo(f"look at: {picture}")


def show_segmented(case: Path, as_json: bool) -> None:
    """Say what a segmentation found: levels and how sure each is, and what to be wary of."""
    from keyhole.anatomy.gate import lowest_lumbar, state
    from keyhole.casefile import Case, CaseRecord, LabelsRecord
    from keyhole.cli.levels import gate_lines
    from keyhole.terms import rank

    found = Case(case)
    record, labels = found.read(CaseRecord), found.read(LabelsRecord)
    names = sorted({e.key.split("/")[1] for e in labels.structures.values() if e.key.startswith("vertebra/")}, key=rank)
    if as_json:
        sure = {name: entry.model_dump(mode="json") for name, entry in labels.vertebrae.items()}
        told = {
            "case": str(case), "numbering": record.numbering, "vertebrae": names, "confidence": sure,
            "structures": len(labels.structures), "caveats": list(labels.caveats),
        }  # fmt: skip
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(f"case:   {case}")
    click.echo("\n".join(gate_lines(state(record, labels))))
    click.echo(
        f"found:  {', '.join(_shown(name, labels) for name in names)}; {len(labels.structures)} structures in all"
    )
    warnings = [f"{name}: {text}" for name, entry in labels.vertebrae.items() for text in entry.warnings]
    caveats([*warnings, *labels.caveats])
    lowest = lowest_lumbar(labels)
    click.echo(f"next:   keyhole confirm {case} --lowest-lumbar {lowest} --by YOUR-NAME   (after checking the names)")


def _shown(name: str, labels: LabelsRecord) -> str:
    """A vertebra with the method's confidence, where it has one."""
    sure = labels.vertebrae.get(name)
    return name if sure is None else f"{name} ({100 * sure.confidence:.0f} %)"
