"""Grades that Keyhole does not measure, and the findings as a table: findings import, findings export."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group("findings")
def findings_command() -> None:
    """Bring grades of a reader or a network into a case, or write all findings as a table."""


@findings_command.command("import")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--study", metavar="ID", help="Which study_id of FILE is this patient, where it holds several.")
@click.option("--by", metavar="NAME", help="Who graded, where FILE has no column reader.")
@click.option("--json", "as_json", is_flag=True, help="Print readings.json.")
def import_command(case: Path, file: Path, study: str | None, by: str | None, as_json: bool) -> None:
    """Add the grades in the CSV FILE to CASE: RSNA 2024 conditions, Schizas, Pfirrmann, Lee, Modic.

    FILE has the columns study_id,condition,level,severity, or one row per study as RSNA 2024's train.csv, or
    row_id,normal_mild,moderate,severe (chances), or system,level,side,value; reader and date may stand beside them.
    """
    from keyhole.assessment import import_readings
    from keyhole.casefile import Case, FindingsRecord

    found = Case(case)
    record, n = import_readings(found, file, study=study, reader=by)
    if as_json:
        click.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        return
    click.echo(f"{n} grades read from {file}; {case} now holds {len(record.readings)}")
    if not found.has(FindingsRecord):
        click.echo(f"next:   keyhole assess {case}   (measures, and joins the grades to them)")
        return
    first = next(iter(found.read(FindingsRecord).indicated), None)
    if first is not None:
        click.echo(f"points at: {first.level}{' ' + first.side if first.side else ''}: {'; '.join(first.reasons[:3])}")


@findings_command.command("export")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def export_command(case: Path, out: Path) -> None:
    """Write every finding of CASE to the CSV file OUT, one row each, for statistics."""
    from keyhole.assessment import export_findings
    from keyhole.casefile import Case

    click.echo(f"{export_findings(Case(case), out)} findings written to {out}")
