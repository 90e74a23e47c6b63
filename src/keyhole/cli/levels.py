"""The level gate and the quality of images: levels, confirm, quality."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyhole.cli.render import table

if TYPE_CHECKING:
    from keyhole.casefile import Case, LevelState, QualityItem
    from keyhole.geometry import Volume

_SAYS = {True: "for", False: "AGAINST", None: "neither"}
_UNITS = {"[hnsf'U]": "HU", "1": ""}
_NAME = "Name of the lowest lumbar vertebra in view, as you count it."


@click.command("levels")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--lowest-lumbar", metavar="L5", help=f"Count anew: {_NAME.lower()}")
@click.option(
    "--last-thoracic",
    metavar="T12",
    default="T12",
    show_default=True,
    help="Name of the vertebra above L1: T11 to T13.",
)
@click.option("--by", metavar="NAME", help="Who counted anew.")
@click.option("--note", help="Why, in a few words: it is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def levels_command(
    case: Path, lowest_lumbar: str | None, last_thoracic: str, by: str | None, note: str | None, as_json: bool
) -> None:
    """Show how the levels of CASE were numbered and what speaks for and against it, or count them anew.

    With --lowest-lumbar and --by every level, disc and root is renamed so that the lowest lumbar vertebra in view
    carries that name. No voxel changes; results made under the old names move to earlier/, a confirmation is dropped.
    """
    from keyhole.anatomy.gate import rename
    from keyhole.casefile import Case

    found = Case(case)
    if lowest_lumbar is not None:
        if by is None:
            raise click.UsageError("--lowest-lumbar renames the levels; say who counted them with --by NAME")
        rename(found, lowest_lumbar, by, last_thoracic=last_thoracic, note=note)
        draw(found)
    elif by is not None or note is not None:
        raise click.UsageError(f"to rename the levels give --lowest-lumbar; to confirm them: keyhole confirm {case}")
    _show(found, as_json)


@click.command("confirm")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--lowest-lumbar", metavar="L5", help=_NAME)
@click.option("--by", metavar="NAME", help="Who checked. Without it nothing is confirmed, only shown.")
@click.option("--note", help="On what it rests, in a few words: it is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def confirm_command(case: Path, lowest_lumbar: str | None, by: str | None, note: str | None, as_json: bool) -> None:
    """Record that a person has checked the names of the levels in CASE; without --by show what to check them on."""
    from keyhole.anatomy.gate import confirm
    from keyhole.casefile import Case, CaseRecord, LabelsRecord

    found = Case(case)
    if by is None:
        _show(found, as_json)
        return
    if lowest_lumbar is None:
        raise click.UsageError("say which vertebra is the lowest lumbar one in view with --lowest-lumbar L5")
    confirm(found, lowest_lumbar, by, note=note)
    draw(found)
    if as_json:
        record = found.read(CaseRecord)
        click.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        return
    click.echo(f"levels confirmed: lowest lumbar vertebra {lowest_lumbar}, by {by}")
    for entry in found.read(LabelsRecord).evidence:
        if entry.supports is False:
            click.echo(f"  ! against it: {entry.finding}{f': {entry.means}' if entry.means else ''}")


@click.command("quality")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def quality_command(case: Path, as_json: bool) -> None:
    """Show how good each image of CASE is, property by property, and what follows for the later stages."""
    from keyhole.casefile import Case

    found = qualities(Case(case))
    if as_json:
        plain = {name: [item.model_dump(mode="json") for item in items] for name, items in found.items()}
        click.echo(json.dumps(plain, ensure_ascii=False))
        return
    for name, items in found.items():
        click.echo(f"{name}:")
        rows = [[item.name, shown(item), item.verdict, item.consequence] for item in items]
        click.echo(table(["property", "value", "verdict", "what follows"], rows) + "\n" if rows else "  not judged\n")


def qualities(case: Case) -> dict[str, tuple[QualityItem, ...]]:
    """The quality of every image of `case` by its name, and under "labels" what the labels tell."""
    from keyhole.casefile import CaseRecord, LabelsRecord, read_record
    from keyhole.imaging import ImageRecord

    entries = case.read(CaseRecord).images
    found = {e.name: read_record(case.path / "images" / f"{e.name}.json", ImageRecord).quality for e in entries}
    if case.has(LabelsRecord) and case.read(LabelsRecord).quality:
        found["labels"] = case.read(LabelsRecord).quality
    return found


def shown(item: QualityItem) -> str:
    """The value of `item` with its unit."""
    if item.value is None:
        return "–"
    value = item.value if isinstance(item.value, str) else f"{item.value:.3g}"
    return f"{value} {_UNITS.get(item.unit, item.unit)}".rstrip()


def poor(case: Case) -> list[str]:
    """A line for each property of an image of `case` that is limited or unusable."""
    return [
        f"{name}: {item.name} {shown(item)}, {item.verdict}: {item.consequence}"
        for name, items in qualities(case).items()
        for item in items
        if item.verdict in ("limited", "unusable")
    ]


def gate_lines(now: LevelState | None) -> list[str]:
    """How the levels were numbered, whether they are confirmed, and what speaks against them."""
    from keyhole.anatomy.gate import numbered_by

    if now is None:
        return []
    said = now.confirmation
    word = (
        "NOT CONFIRMED by a person" if said is None else f"confirmed by {said.by}{f' on {said.at}' if said.at else ''}"
    )
    return [f"levels: numbered by {numbered_by(now)}; {word}", *(f"  ! against it: {text}" for text in now.against)]


def others(caveats: Iterable[str]) -> list[str]:
    """`caveats` without those that `gate_lines` says already."""
    from keyhole.anatomy.gate import AGAINST, NOT_CONFIRMED

    return [caveat for caveat in caveats if not caveat.startswith((AGAINST, NOT_CONFIRMED))]


def draw(case: Case, volumes: Mapping[str, Volume] | None = None) -> Path | None:
    """Draw the numbered spine of `case`; its path, None where there is none to draw; `volumes` are in memory."""
    from keyhole.report.levels import write_levels

    return write_levels(case, volumes)


def _show(case: Case, as_json: bool) -> None:
    """The numbering of `case`: evidence, history, and the picture to look at."""
    from keyhole.anatomy.gate import lowest_lumbar, state
    from keyhole.casefile import CaseRecord, LabelsRecord
    from keyhole.report.levels import FILE

    record, known = case.read(CaseRecord), case.read(LabelsRecord)
    picture = case.path / FILE if (case.path / FILE).is_file() else draw(case)
    now, lowest = state(record, known), lowest_lumbar(known)
    if as_json:
        plain = {
            **now.model_dump(mode="json"),
            "lowest_lumbar": lowest,
            "evidence": [entry.model_dump(mode="json") for entry in known.evidence],
            "history": [act.model_dump(mode="json") for act in record.level_history],
            "picture": str(picture) if picture else None,
        }
        click.echo(json.dumps(plain, ensure_ascii=False))
        return
    click.echo(gate_lines(now)[0])
    click.echo(f"lowest lumbar vertebra in view: {lowest}\n")
    rows = [[e.kind, _SAYS[e.supports], e.finding + (f": {e.means}" if e.means else "")] for e in known.evidence]
    click.echo(table(["evidence", "speaks", "finding"], rows))
    for act in record.level_history:
        click.echo(f"{act.at or ''} {act.act}: {act.finding}".strip())
    if picture:
        click.echo(f"\nlook at: {picture}")
    click.echo(f"right:   keyhole confirm {case.path} --lowest-lumbar {lowest} --by YOUR-NAME")
    other = "L6" if lowest == "L5" else "L5"
    click.echo(f"wrong:   keyhole levels {case.path} --lowest-lumbar {other} --by YOUR-NAME   (as you count)")
