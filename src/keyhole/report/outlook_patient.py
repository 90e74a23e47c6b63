"""What of the surgeon's page concerns this patient: the plan's own figures, published scores, their calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keyhole.casefile import ForecastRecord, GeometryEntry, Quantity, RiskEntry
from keyhole.report.calibration import calibration_chart, calibration_words
from keyhole.report.content import Line
from keyhole.report.outlook_sources import Sources
from keyhole.report.outlook_words import ends
from keyhole.report.tables import Column, Row, Table
from keyhole.report.wording import NOT_KNOWN, Text, number, with_unit


def geometry_table(found: Sequence[GeometryEntry]) -> Table:
    """The planned corridor beside the open exposure."""
    rows = [
        Row((Text(one.title), _quantity(one.planned), _quantity(one.open), Text(", ".join(one.changes) or "none")))
        for one in found
    ]
    columns = (Column("Figure of the plan"), Column("Planned", True), Column("Open", True), Column("Changes"))
    foot = "Changes: the outcomes that a source ties to the figure. Where it says none, the figure moved no number."
    return Table("geometry", "The plan's own figures", columns, tuple(rows), foot)


def _quantity(found: Quantity) -> Text:
    if found.value is None:
        return Text(f"{NOT_KNOWN}: {'; '.join(found.caveats)}", known=False)
    if found.unit == "1":
        return Text(f"{100 * found.value:.2g} %")
    spread = f" ± {number(found.sd, found.unit)}" if found.sd else ""
    return Text(with_unit(number(found.value, found.unit) + spread, found.unit))


def scores(found: Sequence[RiskEntry], sources: Sources) -> tuple[tuple[str, tuple[Line, ...]], ...]:
    """Published scores, each with its title and lines; unknown items leave a range."""
    return tuple(
        (
            one.title,
            (
                Line("Of what", Text(f"{one.outcome} {sources.cite(one.citation, one.address)}")),
                Line("This patient", Text(_range(one))),
                Line("Present", Text(", ".join(one.present) or "none of the known items")),
                Line("Not known", Text(", ".join(one.unknown) or "nothing")),
                Line("Published performance", Text(f"{one.performance}; {one.validation}")),
                Line("Standing", Text("; ".join((one.label, *one.caveats)))),
            ),
        )
        for one in found
    )


def known(record: ForecastRecord) -> str:
    """What the scores knew of the patient."""
    said = ", ".join(f"{key} {_plain(value)}" for key, value in sorted(record.patient.items())) or "nothing"
    return f"Known of the patient: {said}. An unknown item leaves a range: from absent to present."


def _plain(value: bool | float | str) -> str:
    return (
        {True: "yes", False: "no"}[value]
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else value
    )


def _range(one: RiskEntry) -> str:
    if one.form == "probability":
        high = one.low if one.high is None else one.high
        low = f"{100 * one.low:.1f}"
        said = f"{low} %" if one.low == high else f"{low} to {100 * high:.1f} %"
        return said + ends(one.interval, 100.0, 1)
    if one.high is None:
        said = f"at least {one.low:g} points"
    else:
        said = f"{one.low:g} points" if one.low == one.high else f"{one.low:g} to {one.high:g} points"
    return f"{said}; {one.band}" if one.band else said


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How one published probability did on own patients: a drawing with its words, and the figures as a table."""

    name: str
    title: str
    svg: str
    alt: str
    table: Table


def calibrations(found: Sequence[RiskEntry]) -> tuple[Calibrated, ...]:
    """How published probabilities did on own patients."""
    made = []
    for one in found:
        fit = one.calibration
        if fit is None:
            continue
        figures = [
            ("Mean predicted minus observed, before", fit.in_the_large),
            ("Slope, before (1 is right)", fit.slope),
            ("Brier score, before", fit.brier),
            ("Brier score, after", fit.brier_after),
        ]
        rows = [Row((Text(name), Text(_figure(value)))) for name, value in figures]
        rows.append(Row((Text("Applied"), Text(f"{fit.intercept_after:.3g} + {fit.slope_after:.3g} × logit(p)"))))
        rows.append(Row((Text("Drift in time"), Text(fit.drift))))
        rows += [
            Row(
                (
                    Text(f"Predicted {100 * b.predicted:.1f} %, {b.patients} patients"),
                    Text(_observed(b.observed, b.interval)),
                )
            )
            for b in fit.bins
        ]
        foot = "; ".join((f"{fit.patients} own patients, {fit.events} events", *fit.caveats))
        columns = (Column("Figure"), Column("Value [95 %]", True))
        title = f"Calibration: {one.title}"
        name = f"calibration-{one.model}"
        made.append(
            Calibrated(
                name,
                title,
                calibration_chart(fit, title),
                calibration_words(fit, title),
                Table(name, "Its figures", columns, tuple(rows), foot),
            )
        )
    return tuple(made)


def _figure(found: Quantity) -> str:
    return NOT_KNOWN if found.value is None else f"{found.value:.3f}{ends(found.interval, 1.0, 3)}".replace("-", "−")


def _observed(share: float, interval: tuple[float, float]) -> str:
    return f"observed {100 * share:.1f} %{ends(interval, 100.0, 1)}"
