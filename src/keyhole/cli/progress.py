"""The command that follows a patient after the operation: progress."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyhole.cli.render import caveats, table

if TYPE_CHECKING:
    from keyhole.casefile import Case, ForecastRecord, RehabRecord
    from keyhole.recovery.progress import Course, Observation, Progress

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("progress")
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--observations",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A CSV table (instrument, date, value) or a JSON file of observations; repeatable.",
)
@click.option("--registry", metavar="URL", help="A registry whose responses are taken too; with --episode.")
@click.option("--episode", metavar="CODE", help="The code of the operation in the registry.")
@click.option("--rules", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The clinic's own rules.")
@click.option("--operated", type=_DAY, help="Day of the operation, where the programme and the registry do not say.")
@click.option("--today", type=_DAY, help="The day to judge from, YYYY-MM-DD.  [default: the system's date]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def progress_command(
    case: Path,
    files: tuple[Path, ...],
    registry: str | None,
    episode: str | None,
    rules: Path | None,
    operated: datetime | None,
    today: datetime | None,
    as_json: bool,
) -> None:
    """Show the course of CASE against its forecast, and whether to advance, to hold or to call the clinic.

    Reads rehab.json and forecast.json of the case; writes report/progress.html. Every advice names its rules.
    """
    from keyhole.casefile import Case, CaseRecord
    from keyhole.recovery.progress import follow, plain_progress, read_observations, read_rules
    from keyhole.report.progress import write_progress

    if (registry is None) != (episode is None):
        raise click.UsageError("--registry and --episode go together.")
    folder = Case(case)
    rehab = _programme(folder)
    forecast, note = _forecast(folder)
    rows = tuple(one for file in files for one in read_observations(file))
    start = operated.date() if operated is not None else None
    if registry is not None and episode is not None:
        more, told = _from_registry(registry, episode, folder.read(CaseRecord).id)
        rows, start = (*rows, *more), _same(start, told, episode)
    own = None if rules is None else read_rules(rules)
    day = today.date() if today is not None else date.today()
    found = follow(rehab, forecast, rows, day, start=start, rules=own)
    inputs = folder.digest("rehab.json", *(("forecast.json",) if forecast is not None else ())) | _digests(files)
    page = write_progress(folder, found, inputs)
    if as_json:
        click.echo(json.dumps(plain_progress(found, inputs) | {"page": str(page)}, ensure_ascii=False))
    else:
        show_progress(found, (*note, *found.caveats))
        click.echo(f"page: {page}")


def _programme(case: Case) -> RehabRecord:
    """The programme of the case; one of an earlier plan is refused, for its criteria may be another operation's."""
    from keyhole.casefile import RehabRecord
    from keyhole.errors import WrongCase
    from keyhole.recovery.rehab import staleness

    held = case.read(RehabRecord)
    why = staleness(case, held)
    if why:
        raise WrongCase(f"{case.path}: rehab.json {why}; run `keyhole rehab` again")
    return held


def _forecast(case: Case) -> tuple[ForecastRecord | None, tuple[str, ...]]:
    """The forecast of the case's plan; one of an earlier plan is not used, and that is said."""
    from keyhole.casefile import ForecastRecord
    from keyhole.forecast import current_forecast

    found = current_forecast(case)
    stale = found is None and case.has(ForecastRecord)
    return found, (("forecast.json is of an earlier plan: run `keyhole forecast` again",) if stale else ())


def _from_registry(url: str, code: str, case: str) -> tuple[tuple[Observation, ...], date | None]:
    """What the registry holds of the operation `code`: scores, what happened since, and its day."""
    from sqlalchemy import select

    from keyhole.errors import WrongCase
    from keyhole.recovery.progress import Observation
    from keyhole.registry.database import open_registry
    from keyhole.registry.models import Readmission, Reoperation, Response
    from keyhole.registry.record import find

    with open_registry(url) as registry, registry.reading() as session:
        episode = find(session, "episode", code)
        if episode.case_id is not None and episode.case_id != case:
            raise WrongCase(f"the registry says that {code} is of the case {episode.case_id}, this is {case}")
        rows = []
        live = select(Response).where(Response.episode_id == episode.id, Response.voided_at.is_(None))
        for one in session.scalars(live):
            if one.value is not None:
                rows.append(Observation(one.instrument, one.date, one.value, f"{code}, response {one.id}"))
        again = select(Reoperation).where(Reoperation.episode_id == episode.id, Reoperation.voided_at.is_(None))
        rows += [Observation("event/reoperation", one.date, 1, f"{code}, {one.id}") for one in session.scalars(again)]
        back = select(Readmission).where(Readmission.episode_id == episode.id, Readmission.voided_at.is_(None))
        rows += [Observation("event/readmission", one.date, 1, f"{code}, {one.id}") for one in session.scalars(back)]
        return tuple(rows), episode.surgery_date


def _same(given: date | None, told: date | None, code: str) -> date | None:
    from keyhole.errors import InvalidInput

    if told is None:
        return given
    if given is not None and given != told:
        raise InvalidInput(f"the registry says that {code} was operated on {told}, --operated says {given}")
    return told


def _digests(files: tuple[Path, ...]) -> dict[str, str]:
    from keyhole.casefile import sha256

    return {file.name: sha256(file) for file in files}


def show_progress(found: Progress, notes: tuple[str, ...]) -> None:
    """Print phase, advice with reasons, criteria, the course, tests, steps and the diary."""
    from keyhole.casefile import RESEARCH_USE

    phase = found.phase
    click.echo(
        f"day {found.day} after the operation of {found.start}; phase {phase.number} of {phase.count}: {phase.name}"
    )
    click.echo(f"advice: {_advice(found)}")
    for reason in found.advice.reasons:
        click.echo(f"  {reason.advice:<8}{reason.says} [{reason.rule}; {', '.join((reason.source, *reason.beside))}]")
        click.echo(f"          {reason.evidence}")
    if found.criteria:
        click.echo(table(["criterion", "is", "because"], [[one.text, one.state, one.why] for one in found.criteria]))
    for course in found.courses:
        click.echo(_course(course))
    for test in found.tests:
        click.echo(f"{test.title}: {test.value:g} {test.unit} on {test.date}, {test.standing}")
    if found.steps is not None:
        click.echo(_steps(found))
    for diary in (one for one in found.diaries if one.mean is not None):
        click.echo(f"{diary.title}: {diary.days} of 7 days written down, mean {diary.mean:.1f}, {diary.trend}")
    caveats(notes)
    click.echo(RESEARCH_USE)


def _advice(found: Progress) -> str:
    if found.advice.word == "advance":
        return f"ADVANCE to {found.phase.next_name}"
    return {"call": "CALL THE CLINIC", "hold": f"HOLD, stay in {found.phase.name}"}[found.advice.word]


def _course(course: Course) -> str:
    rows, digits = [], 0 if course.high > 24 else 1
    for one in course.points:
        known = one.band.low is not None and one.band.high is not None
        rows.append(
            [
                str(one.date),
                _visit(one.day),
                f"{one.value:g}",
                f"{one.band.low:.{digits}f} to {one.band.high:.{digits}f}" if known else "not known",
                one.standing,
                "–" if one.gain is None else f"{one.gain:+g}" + (" *" if one.matters else ""),
            ]
        )
    header = [f"{course.title}, {course.unit}", "visit", "value", "forecast's range", "stands", "gain"]
    return f"{table(header, rows)}\ntrend: {course.trend} ({course.trend_why}); * a gain that patients notice"


def _visit(day: int) -> str:
    from keyhole.registry.schedule import visit_of, visits

    key = visit_of(day)
    return f"day {day}" + ("" if key is None else f", {visits()[key].title}")


def _steps(found: Progress) -> str:
    steps = found.steps
    if steps is None:
        return ""
    now = "–" if steps.recent is None else f"{steps.recent:.0f}"
    share = "not known" if steps.share is None else f"{100 * steps.share:.0f} %"
    told = "not published" if steps.published_share is None else f"{100 * steps.published_share:.0f} %"
    why = f" ({steps.why})" if steps.why else ""
    return f"Steps a day: {now}, of the own baseline {share}, published for day {steps.published_day} {told}{why}"
