"""What to expect, for the surgeon: every number of forecast.json with its studies, intervals and origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keyhole import __version__
from keyhole.anatomy.gate import NOT_CONFIRMED
from keyhole.casefile import RESEARCH_USE, CaseRecord, ForecastOutcome, ForecastRecord, Quantity
from keyhole.forecast import AS_ASKED, TOO_LARGE
from keyhole.report.content import UNCONFIRMED, Line
from keyhole.report.course import Said, course_chart
from keyhole.report.outlook_evidence import Evidence, evidence
from keyhole.report.outlook_patient import Calibrated, calibrations, geometry_table, known, scores
from keyhole.report.outlook_sources import Sources
from keyhole.report.outlook_words import ends, figure
from keyhole.report.tables import Column, Row, Table
from keyhole.report.wording import Text, listed, parameters

CONVENTIONS = (
    ("Effects", "planned (MISS) minus open, ratios planned over open; all intervals 95 % unless said"),
    (
        "Model",
        "REML random effects of the table's own studies; published syntheses stand beside it and are never pooled",
    ),
    (
        "Hartung-Knapp interval",
        "t with k − 1 degrees of freedom; a difference is called one only if both intervals say so",
    ),
    ("Prediction interval", "where the effect in a next clinic may lie: t with k − 1, Hartung-Knapp standard error"),
    ("Words", "better or worse only from three studies on; fewer stay unknown, with what they point to"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One outcome: the word, where its numbers come from, its curve (svg, alt), and what is published."""

    key: str
    title: str
    word: str
    why: str
    lines: tuple[Line, ...]
    curve: tuple[str, str]
    curve_note: str
    answers: tuple[Evidence, ...]
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The page, in its order."""

    title: str
    case: str
    version: str
    research_use: str
    warnings: tuple[str, ...]
    caveats: tuple[str, ...]
    lines: tuple[Line, ...]
    summary: Table
    weighing: Table | None
    parts: tuple[Part, ...]
    geometry: Table
    known: str
    scores: tuple[tuple[str, tuple[Line, ...]], ...]
    calibrations: tuple[Calibrated, ...]
    conventions: tuple[Line, ...]
    made: tuple[Line, ...]
    digests: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    sources: tuple[tuple[int, str, str, str], ...]


def outlook(case: CaseRecord, record: ForecastRecord, *, is_confirmed: bool) -> Outlook:
    """The surgeon's page of what to expect."""
    sources = Sources()
    found = record.procedure
    asked = _lines(record, sources.cite(found.citation, found.address))
    parts = tuple(_part(one, record.range_share, sources) for one in record.outcomes)
    return Outlook(
        title=f"{record.level} {record.side}: what to expect",
        case=case.id,
        version=__version__,
        research_use=RESEARCH_USE,
        warnings=() if is_confirmed else (UNCONFIRMED,),
        caveats=tuple(one for one in record.caveats if not (is_confirmed and one.startswith(NOT_CONFIRMED))),
        lines=asked,
        summary=_summary(record),
        weighing=_weighing(record.outcomes),
        parts=parts,
        geometry=geometry_table(record.geometry),
        known=known(record),
        scores=scores(record.risks, sources),
        calibrations=calibrations(record.risks),
        conventions=tuple(Line(term, Text(said)) for term, said in CONVENTIONS),
        made=_made(record),
        digests=tuple(sorted(record.provenance.inputs.items())),
        commands=_commands(case, record),
        sources=sources.listed(),
    )


def _lines(record: ForecastRecord, cited: str) -> tuple[Line, ...]:
    found = record.procedure
    own = record.cohort
    lines = [
        Line("Operation", Text(f"{found.title}: {found.why}")),
        Line("Planned", Text(f"{found.approach_title} ({found.approach})")),
        Line("Beside it", Text(found.comparator)),
        Line("Studies call it", Text(f"{listed(found.published_as) or 'no study in the table used it'} {cited}")),
    ]
    if own is None:
        lines.append(Line("Own patients", Text("none given: the literature alone", known=False)))
    else:
        said = f"{own.file}: {own.planned} small opening, {own.open} open, {own.left_out} of other operations"
        lines.append(Line("Own patients", Text(said)))
        lines += [Line("", Text(caveat)) for caveat in own.caveats]
    for one in record.added:
        about = f" ({listed(_titles(record, one.outcomes))})" if one.outcomes else ""
        lines.append(
            Line("Added results", Text(f"{one.file}: {one.used} of {one.rows} rows are of this operation{about}"))
        )
        lines += [Line("", Text(caveat)) for caveat in one.caveats]
    return tuple(lines)


def _titles(record: ForecastRecord, keys: Sequence[str]) -> list[str]:
    return [one.title.lower() for one in record.outcomes if one.key in keys]


def _summary(record: ForecastRecord) -> Table:
    heads = ("Outcome", "Planned", "Open", "Difference or ratio", "MISS is", "k", "I²", "Syntheses")
    columns = tuple(Column(head, n in {1, 2, 3, 5, 6, 7}) for n, head in enumerate(heads))
    foot = (
        "95 % intervals of means and shares, not of single patients. k and I² are of the table's own studies; "
        "syntheses with a result count, others stand in the part of the outcome. Curves: values at the last time."
    )
    shrunk = [one.title for one in record.outcomes if any(TOO_LARGE in caveat for caveat in one.caveats)]
    if shrunk:
        foot += f" {listed(shrunk)}: {TOO_LARGE}, so planned minus open is smaller than the difference."
    return Table("summary", "All outcomes", columns, tuple(_summary_row(one) for one in record.outcomes), foot)


def _summary_row(one: ForecastOutcome) -> Row:
    first = one.answers[0] if one.answers else None
    pool = None if first is None else first.pool
    told = [] if first is None else [s for s in first.syntheses if s.interval is not None or s.in_words]
    word = one.word if one.points_to is None else f"{one.word}, points to {one.points_to}"
    return Row(
        (
            Text(f"{one.title}, {'%' if one.kind == 'risk' else one.unit_words}"),
            figure(one.planned, one.kind),
            figure(one.open, one.kind),
            effect(one),
            Text(word),
            Text("–" if pool is None else str(pool.k)),
            Text("–" if pool is None or pool.i2 is None else f"{pool.i2:.0f} %"),
            Text(str(len(told)) if told else "–"),
        )
    )


def effect(one: ForecastOutcome) -> Text:
    """The ratio of a risk, else the difference, with its interval."""
    ratio: Quantity | None = one.ratio
    if ratio is not None and ratio.value is not None:
        return Text(f"× {ratio.value:.2f}{ends(ratio.interval, 1.0, 2)}")
    return figure(one.difference, one.kind, signed=True)


def _weighing(outcomes: Sequence[ForecastOutcome]) -> Table | None:
    """How own patients weigh; None without any."""
    rows = []
    for one in outcomes:
        if one.weighing is None:
            continue
        said = one.weighing
        shares = (said.planned, said.open, said.difference)
        conflict = "own and published differ by more than chance" if said.conflict else ""
        cells = [one.title, str(said.planned_patients), str(said.open_patients), *(f"{100 * s:.0f} %" for s in shares)]
        cells += [f"{said.prior_patients:.0f}: {said.prior}", conflict]
        rows.append(Row(tuple(Text(cell) for cell in cells)))
    if not rows:
        return None
    heads = ("Outcome", "Own, planned", "Own, open", "Weight planned", "Weight open", "Weight difference")
    columns = (*(Column(head, n > 0) for n, head in enumerate(heads)), Column("Literature counts as"), Column(""))
    foot = "Weights of own patients against the literature; own patients move the numbers, never the word."
    return Table("weighing", "How own patients weigh", columns, tuple(rows), foot)


def _part(one: ForecastOutcome, share: float, sources: Sources) -> Part:
    lines = [
        Line("Planned", figure(one.planned, one.kind, unit=one.unit_words)),
        Line("Open", figure(one.open, one.kind, unit=one.unit_words)),
        Line("Difference", figure(one.difference, one.kind, signed=True, unit=one.unit_words)),
    ]
    if one.ratio is not None:
        lines.append(Line("Ratio", effect(one)))
    if one.next_patient is not None:
        said = f"{100 * share:.0f} % of single own patients{ends(one.next_patient, 1.0, 1)}"
        lines.append(Line("Next patient", Text(said)))
    for term, words in (("Open value from", one.baseline), ("Difference from", one.basis)):
        lines.append(Line(term, Text(words or "nobody", known=bool(words))))
    if one.matters is not None:
        lines.append(Line("Matters from", Text(f"{one.matters:g} {one.unit_words}")))
    gaps = [c for q in (one.planned, one.open, one.difference, one.ratio) if q is not None for c in q.caveats]
    return Part(
        one.key,
        one.title,
        one.word if one.points_to is None else f"{one.word}, points to {one.points_to}",
        one.why,
        tuple(lines),
        _curve(one, share),
        one.curve_note,
        tuple(evidence(one, n, answer, sources) for n, answer in enumerate(one.answers)),
        tuple(dict.fromkeys([*one.caveats, *gaps])),
    )


def _curve(one: ForecastOutcome, share: float) -> tuple[str, str]:
    if not one.curve:
        return "", ""
    top = 100.0 if "100" in one.unit_words else 10.0
    known = [
        f"{p.months:g} months: planned {figure(p.planned, 'curve').text}, open {figure(p.open, 'curve').text}"
        for p in one.curve
    ]
    alt = f"{one.title} over time, {one.unit_words}; {'; '.join(known)}"
    axis = f"months; bands hold {100 * share:.0f} % of single patients"
    return course_chart(one.curve, top, Said("planned", "open", axis, alt), band=True), alt


def _made(record: ForecastRecord) -> tuple[Line, ...]:
    given = parameters(record.provenance.parameters)
    return (Line("Keyhole", Text(record.provenance.keyhole)), *(Line(name, Text(said)) for name, said in given))


def _commands(case: CaseRecord, record: ForecastRecord) -> tuple[str, ...]:
    """What makes forecast.json again from the same case, and what checks the table behind it."""
    said = ["keyhole forecast CASE"]
    said += [f"--operation {record.procedure.key}"] if record.procedure.why == AS_ASKED else []
    said += [f"--approach {record.procedure.approach}"]
    said += [] if record.cohort is None else [f"--cohort {record.cohort.file}"]
    said += [f"--add {one.file}" for one in record.added]
    known = case.patient.model_dump()
    said += [f"--set {key}={_set(value)}" for key, value in record.patient.items() if known.get(key) != value]
    tables = "".join(f" {one.file}" for one in record.added)
    lists = "".join(f" --add {one.file}" for one in record.added)
    return (" ".join(said), f"keyhole evidence check{tables}", f"keyhole evidence list{lists}", "keyhole report CASE")


def _set(value: bool | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
