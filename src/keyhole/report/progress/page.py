"""The page of the course after the operation: the advice first, then all that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from keyhole import __version__
from keyhole.casefile import RESEARCH_USE, Case, CaseRecord, write_bytes
from keyhole.recovery.progress import Course, Progress
from keyhole.recovery.progress.model import Diary, Steps
from keyhole.registry.schedule import visit_of, visits
from keyhole.report.content import Line
from keyhole.report.page import environment
from keyhole.report.progress.chart import course_svg, daily_svg, shown
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import NOT_KNOWN, Text

PAGE = "progress.html"
BESIDE = (
    ("index.html", "Report"),
    ("forecast.html", "What to expect"),
    ("rehab-patient.html", "For the patient"),
    ("rehab-therapist.html", "For the therapist"),
)
"""Pages that may stand beside this one."""

FEWEST = 3
"""A diary is drawn from so many days of the last week on [keyhole-choice]."""

WORDS = {"call": "Call the clinic", "hold": "Hold", "advance": "Advance"}
SIGNS = {"call": "!", "hold": "=", "advance": "→"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One course or series: its title, what is said of it, the drawing and the table."""

    key: str
    title: str
    lead: str
    svg: str
    legend: tuple[tuple[str, str], ...]
    table: Table | None
    foot: str = ""


@dataclass(frozen=True, slots=True)
class Reasons:
    """The reasons of one urgency."""

    word: str
    title: str
    rows: tuple[tuple[str, str, str, str], ...]  # rule, says, evidence, source


@dataclass(frozen=True, slots=True)
class View:
    """The page, in its order."""

    case: str
    version: str
    research_use: str
    links: tuple[tuple[str, str], ...]
    word: str
    sign: str
    advice: str
    does: str
    reasons: tuple[Reasons, ...]
    lines: tuple[Line, ...]
    caveats: tuple[str, ...]
    criteria: Table | None
    courses: tuple[Drawn, ...]
    tests: Table | None
    series: tuple[Drawn, ...]
    digests: tuple[tuple[str, str], ...]
    sources: tuple[tuple[int, str, str, str], ...]


def write_progress(case: Case, found: Progress, inputs: Mapping[str, str]) -> Path:
    """Write report/progress.html of `case`, whole or not at all, and return its path."""
    folder = case.path / "report"
    links = tuple((name, title) for name, title in BESIDE if (folder / name).is_file())
    page = folder / PAGE
    write_bytes(page, progress_page(case.read(CaseRecord), found, inputs, links))
    return page


def progress_page(
    case: CaseRecord, found: Progress, inputs: Mapping[str, str], links: Sequence[tuple[str, str]] = ()
) -> bytes:
    """The page as one HTML file that needs nothing else; `links` lead to pages beside it."""
    style = files("keyhole.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    html = environment().get_template("progress.html").render(v=view(case, found, inputs, links), style=style)
    return html.lstrip().encode()


def view(case: CaseRecord, found: Progress, inputs: Mapping[str, str], links: Sequence[tuple[str, str]] = ()) -> View:
    """What the page says."""
    cited = References()
    reasons = _reasons(found, cited)
    courses = tuple(_course(one, found, cited) for one in found.courses)
    steps = (_steps(found.steps, found, cited),) if found.steps is not None else ()
    series = (*steps, *(_diary(one, found) for one in found.diaries if one.days >= FEWEST))
    title, version, digest = found.rules
    return View(
        case=case.id,
        version=__version__,
        research_use=RESEARCH_USE,
        links=tuple(links),
        word=found.advice.word,
        sign=SIGNS[found.advice.word],
        advice=WORDS[found.advice.word],
        does=_does(found),
        reasons=reasons,
        lines=_lines(found),
        caveats=found.caveats,
        criteria=_criteria(found),
        courses=courses,
        tests=_tests(found, cited),
        series=series,
        digests=(*sorted(inputs.items()), (f"{title}, version {version}", digest)),
        sources=cited.listed(),
    )


def _does(found: Progress) -> str:
    phase = found.phase
    if found.advice.word == "advance":
        return f"to phase {phase.number + 1} of {phase.count}: {phase.next_name}"
    if found.advice.word == "hold":
        return f"stay in phase {phase.number} of {phase.count}: {phase.name}"
    return f"and stay in phase {phase.number} of {phase.count}, {phase.name}, until it has answered"


def _reasons(found: Progress, cited: References) -> tuple[Reasons, ...]:
    made = []
    for word, title in (("call", "Why to call"), ("hold", "What holds"), ("advance", "Why to advance")):
        rows = tuple(
            (one.rule, one.says, one.evidence, " ".join(map(cited.cite, (one.source, *one.beside))))
            for one in found.advice.reasons
            if one.advice == word
        )
        if rows:
            made.append(Reasons(word, title, rows))
    return tuple(made)


def _lines(found: Progress) -> tuple[Line, ...]:
    phase = found.phase
    recorded = "taken as the first: nobody recorded one" if phase.recorded is None else f"recorded on {phase.recorded}"
    later = "none" if phase.next_name is None else f"{phase.next_name}, from day {phase.next_day}"
    return (
        Line("Operation", Text(str(found.start))),
        Line("Today", Text(f"{found.today}, day {found.day}")),
        Line(
            "Phase",
            Text(f"{phase.number} of {phase.count}: {phase.name}, days {phase.from_day} to {phase.to_day}; {recorded}"),
        ),
        Line("Next phase", Text(later)),
        Line("Values", Text(f"{found.observations} up to today")),
    )


def _criteria(found: Progress) -> Table | None:
    if not found.criteria:
        return None
    rows = tuple(
        Row((Text(one.text), Text({"met": "✓ met", "not met": "✗ not met"}.get(one.state, "? not known"),
                                  known=one.state != "unknown"), Text(one.why)))
        for one in found.criteria
    )  # fmt: skip
    columns = (Column("Criterion"), Column("Is"), Column("Because"))
    return Table("criteria", f"What opens the phase after {found.phase.name}", columns, rows)


def _course(course: Course, found: Progress, cited: References) -> Drawn:
    rows, digits = [], 0 if course.high > 24 else 1
    for one in shown(course.points):
        known = one.band.low is not None and one.band.high is not None
        gain = "–" if one.gain is None else f"{one.gain:+g}".replace("-", "−") + (" (noticed)" if one.matters else "")
        rows.append(
            Row(
                (
                    Text(_when(one.day)),
                    Text(str(one.date)),
                    Text(f"{one.value:g}"),
                    Text(
                        f"{one.band.low:.{digits}f} to {one.band.high:.{digits}f}" if known else NOT_KNOWN, known=known
                    ),
                    Text(_stands(one.standing), known=known),
                    Text(gain),
                    Text(one.band.why),
                )
            )
        )
    columns = (
        Column(""), Column("Day"), Column("Value", numeric=True), Column("Range", numeric=True), Column("Stands"),
        Column("Gain", numeric=True), Column("Range is of"),
    )  # fmt: skip
    share = "" if course.share is None else f"{100 * course.share:.0f} %"
    legend = _legend(course, share)
    foot = f"Range: {course.note}." if course.note else ""
    if course.mark is not None:
        foot += f" Smallest gain that patients notice: {cited.cite(course.mark_source)}."
    if len(rows) < len(course.points):
        foot += f" Of {len(course.points)} values the one nearest to each visit and the last are listed."
    table = Table(
        f"course-{course.outcome}-{course.unit.split()[0].lower()}",
        f"{course.title}, {course.unit}",
        columns,
        tuple(rows),
    )
    lead = f"{course.trend.capitalize() if course.trend != 'unknown' else 'Trend not known'}: {course.trend_why}."
    return Drawn(
        course.outcome, f"{course.title}, {course.unit}", lead, course_svg(course, found.day), legend, table, foot
    )


def _legend(course: Course, share: str) -> tuple[tuple[str, str], ...]:
    arms = {one.arm for run in course.ranges for _, one in run}
    said = [("dot", "value inside the range"), ("down", "worse than the range"), ("up", "better than the range")]
    said += [("ring", "range not known then")]
    shown = {one.standing for one in course.points}
    keep = {"dot": "inside", "down": "worse", "up": "better", "ring": "unknown"}
    legend = [one for one in said if keep[one[0]] in shown]
    if "planned" in arms:
        legend.append(("planned", f"where {share} of single patients are expected after the planned operation"))
    if "open" in arms:
        legend.append(("open", f"where {share} are expected after the open one, as nobody knows it for the planned"))
    if course.mark is not None:
        less = "less" if course.better == "lower" else "more"
        legend.append(("mark", f"smallest gain that patients notice: {course.mark:g} or {less}"))
    return tuple(legend)


def _stands(standing: str) -> str:
    return {"inside": "inside", "better": "▲ better", "worse": "▼ worse"}.get(standing, NOT_KNOWN)


def _when(day: int) -> str:
    key = visit_of(day)
    if day <= 0:
        return "before the operation"
    return f"day {day}" + ("" if key is None else f", {visits()[key].title}")


def _tests(found: Progress, cited: References) -> Table | None:
    if not found.tests:
        return None
    rows = tuple(
        Row(
            (
                Text(one.title),
                Text(f"{one.value:g} {_unit(one.unit)}"),
                Text(f"{one.date}{'' if one.fresh else ', stale'}"),
                Text("–" if one.change is None else f"{one.change:+g}".replace("-", "−")),
                Text(f"{one.standing} {cited.cite(one.source) if one.source else ''}".strip(), known=bool(one.source)),
            )
        )
        for one in found.tests
    )
    columns = (
        Column("Test"),
        Column("Value", numeric=True),
        Column("Day"),
        Column("Better by", numeric=True),
        Column("Stands"),
    )
    return Table("tests", "Functional tests", columns, rows, "Better by: against the last value before the operation.")


def _unit(ucum: str) -> str:
    return ucum.strip("{}").replace("{steps}/d", "a day")


def _steps(steps: Steps, found: Progress, cited: References) -> Drawn:
    now = (
        NOT_KNOWN if steps.recent is None else f"{steps.recent:.0f} a day over the last week ({steps.recent_days} days)"
    )
    own = NOT_KNOWN if steps.baseline is None else f"{steps.baseline:.0f} ({steps.baseline_days} days)"
    lead = f"{now}; before the operation {own}."
    if steps.share is not None:
        lead += f" That is {100 * steps.share:.0f} % of the own baseline"
        told = steps.published_share
        lead += (
            "."
            if told is None
            else f"; published for day {steps.published_day}: {100 * told:.0f} % {cited.cite(steps.source)}."
        )
    lead += f" {steps.why}." if steps.why else ""
    return Drawn("steps", "Steps a day", lead, daily_svg(steps.rows, "Steps", found.day, ()), (), None)


def _diary(diary: Diary, found: Progress) -> Drawn:
    mean = NOT_KNOWN if diary.mean is None else f"{diary.mean:.1f}"
    before = NOT_KNOWN if diary.before is None else f"{diary.before:.1f}"
    lead = (
        f"{diary.days} of the last 7 days written down: mean {mean}, worst {diary.worst:g}; the week before {before}; "
    )
    lead += "trend not known." if diary.trend == "unknown" else f"{diary.trend}."
    return Drawn(diary.instrument, diary.title, lead, daily_svg(diary.rows, diary.title, found.day, ()), (), None)
