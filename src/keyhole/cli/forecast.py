"""The command that says what to expect: forecast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyhole.cli.render import caveats, table

if TYPE_CHECKING:
    from keyhole.casefile import Case, ForecastOutcome, ForecastRecord, Quantity, RiskEntry


@click.command("forecast")
@click.argument("case", required=False, type=click.Path(path_type=Path))
@click.option(
    "--cohort",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV table of your own patients; published and own results are then weighed together.",
)
@click.option(
    "--add",
    "added",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A table of results of your own (docs/evidence.md), read together with Keyhole's; repeatable.",
)
@click.option("--columns", is_flag=True, help="Print the columns that a table of own patients may have.")
@click.option(
    "--patient",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file of fields for the risk scores; what it leaves out is unknown.",
)
@click.option("--set", "settings", metavar="FIELD=VALUE", multiple=True, help="One such field; repeatable.")
@click.option("--operation", metavar="NAME", help="discectomy, decompression, ...; without it what the plan means.")
@click.option("--approach", metavar="NAME", help="The plan's best corridor of this approach, not the first of all.")
@click.option("--json", "as_json", is_flag=True, help="Print forecast.json.")
def forecast_command(
    case: Path | None,
    cohort: Path | None,
    added: tuple[Path, ...],
    columns: bool,
    patient: Path | None,
    settings: tuple[str, ...],
    operation: str | None,
    approach: str | None,
    as_json: bool,
) -> None:
    """Say what to expect after the planned operation of CASE and after the open one: forecast.json.

    Published results, with k, intervals and sources in the file; what nobody knows is shown as unknown.
    """
    from keyhole.casefile import Case
    from keyhole.cli.risk import read_fields
    from keyhole.evidence import read_added
    from keyhole.forecast import cohort_columns, forecast_case, read_cohort

    if columns:
        known = cohort_columns()
        click.echo(json.dumps(known) if as_json else "\n".join(f"{name}: {what}" for name, what in known.items()))
        return
    if case is None:
        raise click.UsageError("Missing argument 'CASE'.")
    own = None if cohort is None else read_cohort(cohort)
    record = forecast_case(
        Case(case),
        own,
        patient=read_fields(patient, settings),
        operation=operation,
        approach=approach,
        added=read_added(added),
    )
    if as_json:
        click.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
    else:
        show_forecast(record)


def forecasted(case: Case) -> tuple[ForecastRecord | None, str]:
    """The forecast of `case`, one stage of many; where none can be made an earlier one goes, and the reason is said."""
    from keyhole.errors import InvalidInput, WrongCase
    from keyhole.forecast import forecast_case

    try:
        return forecast_case(case), ""
    except (InvalidInput, WrongCase) as error:
        (case.path / "forecast.json").unlink(missing_ok=True)
        return None, f"no forecast: {error}"


def show_forecast(record: ForecastRecord) -> None:
    """Print the forecast as a table, the scores and the caveats."""
    from keyhole.forecast import TOO_LARGE

    asked = record.procedure
    click.echo(f"{record.level} {record.side}: {asked.title} ({asked.why})")
    click.echo(f"planned: {asked.approach_title}; beside it: {asked.comparator}")
    if record.cohort is not None:
        own = record.cohort
        click.echo(f"own patients: {own.planned} with a small opening, {own.open} open ({own.file})")
    for one in record.added:
        about = f": {', '.join(one.outcomes)}" if one.outcomes else ""
        click.echo(f"added results: {one.file}, {one.used} of {one.rows} rows are of this operation{about}")
    rows = [_row(one) for one in record.outcomes]
    header = ["outcome", "planned", "open", "difference [95 %]", "MISS is", "from", *(["own"] if record.cohort else [])]
    click.echo(table(header, [row if record.cohort else row[:-1] for row in rows]))
    click.echo("risk scores, literature unless they say otherwise:")
    for risk in record.risks:
        click.echo(f"  {_risk(risk)}")
    said = [f"{one.title.lower()}: {note}" for one in record.outcomes for note in one.caveats if TOO_LARGE in note]
    conflict = [_FAR] if any(_has_conflict(one) for one in record.outcomes) else []
    caveats([*record.caveats, *said, *conflict])


_FAR = "own patients differ from the literature by more than chance: find out why before using either"


def _has_conflict(one: ForecastOutcome) -> bool:
    return one.weighing is not None and one.weighing.conflict


def _row(one: ForecastOutcome) -> list[str]:
    share = 100.0 if one.kind == "risk" else 1.0
    unit = "%" if one.kind == "risk" else one.unit_words
    gap = "–"
    if one.ratio is not None and one.ratio.value is not None:
        gap = f"× {one.ratio.value:.2f}{_interval(one.ratio, 1.0, 2)}"
    elif one.difference.value is not None:
        gap = f"{one.difference.value * share:+.1f}{_interval(one.difference, share, 1)}"
    pool = one.answers[0].pool if one.answers else None
    told = [s for a in one.answers[:1] for s in a.syntheses]
    origin = [f"{len(told)} {'synthesis' if len(told) == 1 else 'syntheses'}"] if told else []
    origin += [f"k {pool.k}" + ("" if pool.i2 is None else f", I² {pool.i2:.0f} %")] if pool is not None else []
    own = "–" if one.weighing is None else f"{100 * max(one.weighing.planned, one.weighing.open):.0f} %"
    return [
        f"{one.title} ({unit})",
        _value(one.planned, share),
        _value(one.open, share),
        gap,
        one.word if one.points_to is None else f"{one.word}, points to {one.points_to}",
        ", ".join(origin) or "–",
        own,
    ]


def _value(found: Quantity, share: float) -> str:
    return "unknown" if found.value is None else f"{found.value * share:.1f}{_interval(found, share, 1)}"


def _interval(found: Quantity, share: float, digits: int) -> str:
    if found.interval is None:
        return ""
    low, high = (end * share for end in found.interval)
    return f" [{low:.{digits}f}, {high:.{digits}f}]"


def _risk(one: RiskEntry) -> str:
    if one.form == "probability":
        ends = (
            f"{100 * one.low:.1f} %" if one.low == one.high else f"{100 * one.low:.1f} to {100 * (one.high or 1):.1f} %"
        )
    elif one.high is None:
        ends = f"at least {one.low:g} points"
    else:
        ends = f"{one.low:g} points" if one.low == one.high else f"{one.low:g} to {one.high:g} points"
    missing = f"; {len(one.unknown)} {'item' if len(one.unknown) == 1 else 'items'} not known" if one.unknown else ""
    return f"{one.title}: {ends}{missing} ({one.label})"
