"""Commands that work on a case: assess, plan, report, run (with the forecast between)."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keyhole.cli.cage import cage_options, fusion_lines, with_wish
from keyhole.cli.doubt import doubt_lines
from keyhole.cli.levels import gate_lines, others
from keyhole.cli.make import part
from keyhole.cli.render import Progress, caveats, number, progress, table
from keyhole.cli.summary_screws import show_screws

if TYPE_CHECKING:
    from keyhole.casefile import CandidateEntry, Case, ForecastRecord, PlanRecord

F = TypeVar("F", bound=Callable[..., object])


def _question(function: F) -> F:
    """The options that say what is to be planned."""
    options = (
        click.option("--level", metavar="L4/L5", help="Level to operate on; without it the first that is indicated."),
        click.option(
            "--side",
            type=click.Choice(["left", "right", "both"]),
            help="The patient's side; both are planned and ranked together; without it the worse.",
        ),
        click.option("--goal", required=True, type=click.Choice(["decompress", "fuse", "screws"])),
        click.option("--approach", "approaches", multiple=True, metavar="NAME", help="Only this approach; repeatable."),
        click.option(
            "--target",
            type=click.Choice(["fragment", "recess", "canal", "foramen", "disc"]),
            help="What must be reached; without it what the goal means here.",
        ),
        click.option(
            "--catalogue",
            "catalogue_file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="FILE",
            help="Your own approaches, added to Keyhole's or changing them: a TOML file (docs/planning.md).",
        ),
        click.option(
            "--registration-error",
            type=click.FloatRange(0, 20),
            metavar="MM",
            help="RMS target error of navigation, mm; in place of that of the error budget.",
        ),
        click.option(
            "--budget",
            "budget_file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="FILE",
            help="Your own error budget, a TOML file (docs/uncertainty.md).",
        ),
        click.option(
            "--s2ai",
            is_flag=True,
            help="Also an S2-alar-iliac screw on each side; goes with L5/S1 and the goals screws and fuse.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return cage_options(function)


@click.command("assess")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--all", "every", is_flag=True, help="Print every measure, not the main ones only.")
@click.option(
    "--against",
    metavar="OTHER",
    type=click.Path(path_type=Path),
    help="A case or label file of the same scan by a second reader: compare the measures; CASE stays as it is.",
)
@click.option("--scheme", help="How the integers of a label file OTHER are named, as for import.")
@click.option("--json", "as_json", is_flag=True, help="Print findings.json, or the comparison.")
def assess_command(case: Path, every: bool, against: Path | None, scheme: str | None, as_json: bool) -> None:
    """Measure what is wrong in CASE and say which levels it points at: findings.json."""
    from keyhole.assessment import assess_case, compare_case
    from keyhole.casefile import Case
    from keyhole.cli.summary_findings import show_comparison, show_findings

    if against is not None:
        with progress("assess") as show:
            compared = compare_case(Case(case), against, scheme=scheme, progress=show)
        if as_json:
            click.echo(json.dumps(asdict(compared), ensure_ascii=False))
        else:
            show_comparison(compared, str(case), every=every)
        return
    if scheme is not None:
        raise click.UsageError("--scheme names the integers of the label file of --against; give both")
    with progress("assess") as show:
        record = assess_case(Case(case), progress=show)
    if as_json:
        click.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
    else:
        show_findings(record, str(case), every=every)


@click.command("plan")
@click.argument("case", type=click.Path(path_type=Path))
@_question
@click.option(
    "--write-decompressed",
    is_flag=True,
    help="Also write the label map and meshes after a corridor's decompression.",
)
@click.option(
    "--candidate",
    "rank",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="RANK",
    help="Rank of the corridor whose decompression is written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print plan.json.")
def plan_command(
    case: Path,
    level: str | None,
    side: str | None,
    goal: str,
    approaches: tuple[str, ...],
    as_json: bool,
    rank: int,
    **options: Any,
) -> None:
    """Search every small opening to LEVEL in CASE and compare with the open operation: plan.json."""
    from keyhole.casefile import Case
    from keyhole.plan import plan_case

    is_wanted, own = options.pop("write_decompressed"), options["catalogue_file"]
    if is_wanted and goal != "decompress":
        raise click.UsageError(f"--write-decompressed goes with --goal decompress, got {goal}")
    at, toward = _asked(Case(case), level, side, goal, err=as_json)
    with progress("plan") as show:
        record = plan_case(
            Case(case), at, toward, goal,
            approaches=list(approaches) or None, progress=show, **with_wish(options),
        )  # fmt: skip
    _show_plan(record, as_json)
    if is_wanted and not record.candidates:
        click.echo("no corridor was found, so nothing was written after a decompression", err=as_json)
    elif is_wanted:
        from keyhole.report.decompressed import write_decompressed

        folder = write_decompressed(Case(case), rank, catalogue_file=own)
        click.echo(f"after decompression of corridor {rank}: {folder.resolve()}", err=as_json)


def _asked(case: Case, level: str | None, side: str | None, goal: str, *, err: bool) -> tuple[str, str]:
    """The level and side to plan: as asked, else the first that is indicated for the goal; says which and why."""
    from keyhole.assessment.norms.indicated import proposed

    if level is not None and side is not None:
        return level, side
    first = proposed(case, goal, level, None if side == "both" else side)
    toward = side or first.side or "left"
    why = "; ".join(first.reasons[:3])
    click.echo(f"target: {first.level} {toward}, the first that is indicated: {why}", err=err)
    if side is None and first.side is None:
        click.echo("        neither side is worse: planned from the left; give --side to plan from the other", err=err)
    return first.level, toward


def _show_plan(record: PlanRecord, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        return
    click.echo("\n".join(gate_lines(record.levels)))
    sides = " and ".join(record.sides or (record.side,))
    aim = next((f" for the {target.what}" for target in record.targets if target.is_aim), "")
    click.echo(f"{record.level} {sides}, {record.goal}{aim}: {record.searched:,} corridors searched")
    best = list({(c.approach, c.side): c for c in reversed(record.candidates)}.values())
    chosen = sorted(best, key=lambda c: c.rank or 0)
    rows = [_row(c, several=len(sides.split()) > 1) for c in (*chosen, *([record.open] if record.open else []))]
    header = [
        "rank",
        "approach",
        "radius mm",
        "clearance mm",
        "breach",
        "muscle mL",
        "bone mL",
        "facet %",
        "incision mm",
        "reach %",
    ]
    click.echo(table(header, rows))
    for line in doubt_lines(record):
        click.echo(line)
    for rejected in record.rejected:
        where = f" from the {rejected.side}" if len(record.sides) > 1 and rejected.side else ""
        click.echo(f"  no {rejected.approach}{where}: {rejected.reason}")
        for change in rejected.changes:
            click.echo(f"     {'+' if change.opens else '-'} {change.change}: {change.finding}")
    for line in fusion_lines(record):
        click.echo(line)
    show_screws(record)
    caveats(others(record.caveats))


def _row(candidate: CandidateEntry, *, several: bool = False) -> list[str]:
    nearest = min(candidate.clearance.items(), key=lambda item: item[1].value or 0.0, default=None)
    facet = [q.value for q in candidate.facet_removed.values() if q.value is not None]
    burden = {key: quantity.value for key, quantity in candidate.burden.items()}
    return [
        "–" if candidate.rank is None else str(candidate.rank),
        f"{candidate.approach} {candidate.side}" if several else candidate.approach,
        number(candidate.radius) + "".join(f" + {number(portal.radius)}" for portal in candidate.portals),
        "–" if nearest is None else f"{number(nearest[1].value)} {nearest[0]}",
        f"{max(candidate.breach_probability.values()):.1%}" if candidate.breach_probability else "–",
        number(burden.get("muscle"), digits=2),
        number(burden.get("bone"), digits=2),
        number(max(facet, default=None), digits=0),
        number(candidate.incision.value, digits=0),
        number(candidate.reach.value, digits=0),
    ]


@click.command("report")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report_command(case: Path, as_json: bool) -> None:
    """Write the report of CASE: one offline page, a PDF, pictures and meshes."""
    from keyhole.anatomy.gate import state
    from keyhole.casefile import Case, CaseRecord, LabelsRecord
    from keyhole.report import write_report

    found = Case(case)
    with progress("report") as show:
        page = write_report(found, progress=show)
    _show_report(page, as_json)
    if not as_json:
        known = found.read(LabelsRecord)
        click.echo("\n".join(gate_lines(state(found.read(CaseRecord), known))))


def _show_report(page: Path, as_json: bool) -> None:
    beside = {
        "pdf": "report.pdf",
        "patient": "patient.html",
        "forecast": "forecast.html",
        "recovery": "rehab-patient.html",
    }
    files = {name: page.with_name(file) for name, file in beside.items() if page.with_name(file).is_file()}
    if as_json:
        click.echo(json.dumps({"report": str(page)} | {name: str(file) for name, file in files.items()}))
        return
    width = max(len(name) for name in ("report", *files)) + 2
    for name, file in {"report": page, **files}.items():
        click.echo(f"{name + ':':<{width}}{file.resolve()}")
    if "patient" not in files and (page.parent.parent / "plan.json").is_file():
        why = "is of an earlier plan" if (page.parent.parent / "forecast.json").is_file() else "is missing"
        click.echo(f"no page for the patient: forecast.json {why}; run `keyhole forecast`")
    if "recovery" not in files and (page.parent.parent / "rehab.json").is_file():
        click.echo("no pages of the rehabilitation: rehab.json is of an earlier plan; run `keyhole rehab`")


@click.command("run")
@click.argument("case", type=click.Path(path_type=Path))
@_question
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run_command(
    case: Path,
    level: str | None,
    side: str | None,
    goal: str,
    approaches: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Run every stage after import on CASE: segment where a CT has no labels, assess, plan, forecast and report."""
    from keyhole.anatomy.reading import load
    from keyhole.assessment import assess_case
    from keyhole.casefile import Case, LabelsRecord
    from keyhole.cli.beside import has_two_cores, measuring
    from keyhole.cli.forecast import forecasted, show_forecast
    from keyhole.cli.rehab import programme
    from keyhole.plan import plan_case
    from keyhole.report import write_report

    segmented: list[bool] = []
    left: list[str] = []

    found = Case(case)

    def stages(show: Progress) -> tuple[PlanRecord, tuple[ForecastRecord | None, str], Path]:
        if not found.has(LabelsRecord):
            from keyhole.segment import segment_case

            segment_case(found, progress=part(show, 0.0, 0.1))
            segmented.append(True)
        show("Reading the case", 0.1)
        is_beside = level is not None and side is not None and has_two_cores()
        with measuring(found) if is_beside else nullcontext():
            anatomy = load(found, with_image=False)
            if not is_beside:
                assess_case(found, progress=part(show, 0.1, 0.25), held=anatomy)
            at, toward = _asked(found, level, side, goal, err=as_json)
            plan = plan_case(
                found, at, toward, goal, approaches=list(approaches) or None, held=anatomy,
                progress=part(show, 0.1 if is_beside else 0.25, 0.65), **with_wish(options),
            )  # fmt: skip
        expected = forecasted(found)
        left.append(programme(found))
        return plan, expected, write_report(found, progress=part(show, 0.65, 1.0), held=anatomy)

    with progress("run") as show:
        plan, (expected, why_not), page = stages(show)
    if segmented:
        click.echo("the case had no labels: its CT was segmented by Keyhole's own method first", err=as_json)
    if not as_json:
        _show_plan(plan, as_json=False)
    if expected is not None and not as_json:
        show_forecast(expected)
    for said in (why_not, *left):
        if said:
            click.echo(said, err=as_json)
    _show_report(page, as_json)
