"""What is published on one question, as the surgeon's page shows it: plots, studies, syntheses, what was left out."""

from __future__ import annotations

from dataclasses import dataclass

from keyhole.casefile import AnswerEntry, ForecastOutcome, PoolEntry
from keyhole.report.content import Line
from keyhole.report.forest import ForestPlot
from keyhole.report.outlook_forest import pool_plot, syntheses_plot
from keyhole.report.outlook_sources import Sources
from keyhole.report.tables import Column, Row, Table
from keyhole.report.wording import Text, listed

MEASURES = {"md": "mean difference", "rr": "risk ratio", "or": "odds ratio", "smd": "standardised mean difference"}
TIMES = {
    "any": "",
    "not said": "follow-up not said",
    "perioperative": "around the operation",
    "early": "early follow-up",
    "middle": "middle follow-up",
    "late": "follow-up of a year and more",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One answer: its pool in figures, plots, tables of studies and syntheses, and what was left out and why."""

    title: str
    word: str
    why: str
    name: str
    pool: tuple[Line, ...]
    plots: tuple[ForestPlot, ...]
    studies: Table | None
    syntheses: Table | None
    left_out: tuple[str, ...]
    caveats: tuple[str, ...]


def evidence(outcome: ForecastOutcome, n: int, answer: AnswerEntry, sources: Sources) -> Evidence:
    """Answer number `n` of an outcome."""
    when = TIMES.get(answer.time, answer.time)
    plots = (pool_plot(outcome, answer), syntheses_plot(outcome, answer))
    name = f"{outcome.key}-{n}"
    return Evidence(
        title=f"{answer.comparison_title}{f', {when}' if when else ''}",
        word=answer.word if answer.points_to is None else f"{answer.word}, points to {answer.points_to}",
        why=answer.why,
        name=name,
        pool=() if answer.pool is None else _pool(answer.pool),
        plots=tuple(plot for plot in plots if plot is not None),
        studies=None if answer.pool is None else _studies(answer.pool, name, sources),
        syntheses=_syntheses(answer, name, sources),
        left_out=answer.left_out,
        caveats=() if answer.pool is None else answer.pool.caveats,
    )


def _span(interval: tuple[float, float] | None) -> Text:
    if interval is None:
        return Text("needs two studies", known=False)
    return Text(f"{_number(interval[0])} to {_number(interval[1])}")


def _number(value: float) -> str:
    """As the plots have it."""
    size = abs(value)
    if size > 1e6:
        return "> 10⁶"
    if 0 < size < 0.005:
        return f"{value:.1g}".replace("-", "−")
    return f"{value:.{2 if size < 10 else 1 if size < 1000 else 0}f}".replace("-", "−")


def _pool(found: PoolEntry) -> tuple[Line, ...]:
    return (
        Line("Pool", Text(f"{MEASURES[found.measure]} {_number(found.estimate)}, {found.model}")),
        Line("k", Text(str(found.k))),
        Line("Ordinary interval", _span(found.interval)),
        Line("Hartung-Knapp", _span(found.hartung_knapp)),
        Line("Prediction interval", _span(found.prediction)),
        Line("I²", Text("needs two studies", known=False) if found.i2 is None else Text(f"{found.i2:.1f} %")),
        Line("τ²", Text(_number(found.tau2))),
        Line("Designs", Text(listed(found.designs))),
    )


def _studies(found: PoolEntry, name: str, sources: Sources) -> Table:
    rows = [
        Row(
            (
                Text(f"{one.name} {sources.cite(one.name, one.address)}"),
                Text(one.design or "not said", known=bool(one.design)),
                Text(f"{_number(one.effect)} [{_number(one.interval[0])}, {_number(one.interval[1])}]"),
                Text(f"{one.weight:.1f} %"),
            )
        )
        for one in found.studies
    ]
    columns = (
        Column("Study"),
        Column("Design"),
        Column(f"{MEASURES[found.measure]} [95 %]", True),
        Column("Weight", True),
    )
    return Table(f"studies-{name}", "Studies of the pool", columns, tuple(rows))


def _syntheses(answer: AnswerEntry, name: str, sources: Sources) -> Table | None:
    if not answer.syntheses:
        return None
    rows = []
    for one in answer.syntheses:
        said = one.in_words or "no interval"
        if one.interval is not None and one.estimate is not None:
            measure = MEASURES.get(one.measure, "")
            said = f"{measure} {_number(one.estimate)} [{_number(one.interval[0])}, {_number(one.interval[1])}]"
        rows.append(
            Row(
                (
                    Text(f"{one.name} {sources.cite(one.citation, one.address)}"),
                    Text(one.design or "not said", known=bool(one.design)),
                    Text("not said" if one.studies is None else str(one.studies), known=one.studies is not None),
                    Text(said),
                    Text(f"{one.word}: {one.why}"),
                )
            )
        )
    columns = (Column("Synthesis"), Column("Design"), Column("Studies in it", True), Column("Says"), Column("Word"))
    return Table(f"syntheses-{name}", "Published syntheses, not pooled here", columns, tuple(rows))
