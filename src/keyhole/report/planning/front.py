"""The Pareto front as a chart to hover, and the numbers with which the page ranks it by the reader's own weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from keyhole.casefile import CandidateEntry, PlanRecord
from keyhole.report import svg
from keyhole.report.charts import FAINT, INK, RULE, ticks
from keyhole.report.compare import closest, largest_facet, title
from keyhole.report.palette import approach_colours
from keyhole.report.wording import number, with_unit

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 78.0, 740.0, 18.0, 380.0


@dataclass(frozen=True, slots=True)
class Aim:
    """Something corridors are compared by; `more` is True where more of it is better."""

    key: str
    label: str
    unit: str
    more: bool
    value: Callable[[CandidateEntry], float | None]


def _breach(c: CandidateEntry) -> float | None:
    if c.doubt is not None:
        return 100 * c.doubt.breach_total
    return 100 * min(1.0, sum(c.breach_probability.values())) if c.breach_probability else None


def _tissue(c: CandidateEntry) -> float | None:
    if c.harm is None:
        return None
    return sum(q.value or 0.0 for q in c.harm.totals.values())


def _gap(c: CandidateEntry) -> float | None:
    found = closest(c)
    return found.clearance.value if found is not None else None


def _facet(c: CandidateEntry) -> float | None:
    found = largest_facet(c)
    return found.value if found is not None else None


def _needed(c: CandidateEntry) -> float | None:
    return c.doubt.needed_accuracy.value if c.doubt is not None else None


def _muscle(c: CandidateEntry) -> float | None:
    found = c.burden.get("muscle")
    return found.value if found is not None else None


AIMS = (
    Aim("breach", "Breach probability, all structures", "%", False, _breach),
    Aim("tissue", "Tissue displaced, cut and removed", "mL", False, _tissue),
    Aim("muscle", "Muscle displaced", "mL", False, _muscle),
    Aim("reach", "Reach of the target", "%", True, lambda c: c.reach.value),
    Aim("facet", "Facet removed", "%", False, _facet),
    Aim("gap", "Smallest clearance", "mm", True, _gap),
    Aim("needed", "Registration error it can bear", "mm", True, _needed),
    Aim("incision", "Incision", "mm", False, lambda c: c.incision.value),
    Aim("depth", "Skin to dock", "mm", False, lambda c: c.depth.value),
)
FIRST = ("tissue", "breach")
"""What the chart shows when the page opens: across and up."""

WEIGHED = ("breach", "tissue", "reach", "facet", "gap", "incision")
"""What the reader can weigh."""


@dataclass(frozen=True, slots=True)
class Front:
    """The chart, what it needs to be redrawn, and its legend."""

    svg: str
    alt: str
    data: dict[str, object]
    legend: tuple[tuple[str, str], ...]  # approach's title, colour
    axes: tuple[tuple[str, str], ...]  # key, label with unit
    weighed: tuple[tuple[str, str], ...]


def front(plan: PlanRecord) -> Front | None:
    """The chart of every corridor of the plan; None where there is none."""
    if not plan.candidates:
        return None
    names = tuple(dict.fromkeys(c.approach for c in plan.candidates))
    colours = approach_colours(names)
    values = [{aim.key: _rounded(aim.value(c)) for aim in AIMS} for c in plan.candidates]
    known = {aim.key for aim in AIMS if any(v[aim.key] is not None for v in values)}
    shown = [aim for aim in AIMS if aim.key in known]
    first = (FIRST[0] if FIRST[0] in known else "muscle", FIRST[1] if FIRST[1] in known else "gap")
    points = [_point(c, n in plan.pareto) for n, c in enumerate(plan.candidates)]
    alt = (
        f"{len(points)} corridors, {len(plan.pareto)} of them on the Pareto front (filled): no other corridor of the "
        "plan is at least as good in breach probability, tissue, reach and facet and better in one."
    )
    rows = zip(points, values, plan.candidates, strict=True)
    data: dict[str, object] = {
        "points": [{**p, "values": v, "colour": colours[c.approach]} for p, v, c in rows],
        "aims": {a.key: {"label": a.label, "unit": a.unit, "more": a.more} for a in shown},
        "first": list(first),
        "box": [LEFT, RIGHT, TOP, BOTTOM],
    }
    drawn = _drawn(plan, values, colours, first)
    return Front(
        svg.drawing(WIDTH, HEIGHT, drawn, alt).replace('role="img"', 'role="group"', 1),
        alt,
        data,
        tuple((title(name), colours[name]) for name in names),
        tuple((a.key, _label(a)) for a in shown),
        tuple((a.key, a.label) for a in shown if a.key in WEIGHED),
    )


def _label(aim: Aim) -> str:
    return f"{aim.label}, {aim.unit}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _point(candidate: CandidateEntry, is_front: bool) -> dict[str, object]:
    return {
        "rank": candidate.rank,
        "approach": title(candidate.approach),
        "side": candidate.side,
        "link": f"#approach-{candidate.approach}",
        "front": is_front,
    }


def _drawn(
    plan: PlanRecord, values: list[dict[str, float | None]], colours: dict[str, str], first: tuple[str, str]
) -> str:
    """The chart as it stands before anything is chosen."""
    across, up = (next(a for a in AIMS if a.key == key) for key in first)
    x_ticks, y_ticks = (_span([v[key] or 0.0 for v in values]) for key in first)
    drawn = [_grid(x_ticks, y_ticks, across, up)]
    for n, (candidate, found) in enumerate(zip(plan.candidates, values, strict=True)):
        x, y = found[first[0]], found[first[1]]
        at = "" if x is None or y is None else f"translate({_x(x, x_ticks):.1f} {_y(y, y_ticks):.1f})"
        drawn.append(_mark(n, candidate, found, at, colours[candidate.approach], n in plan.pareto))
    return "".join(drawn)


def _span(values: list[float]) -> list[float]:
    return ticks(min([0.0, *values]), max([1e-6, *values]))


def _x(value: float, at: list[float]) -> float:
    return LEFT + (value - at[0]) / (at[-1] - at[0]) * (RIGHT - LEFT)


def _y(value: float, at: list[float]) -> float:
    return BOTTOM - (value - at[0]) / (at[-1] - at[0]) * (BOTTOM - TOP)


def _grid(x_ticks: list[float], y_ticks: list[float], across: Aim, up: Aim) -> str:
    """Axes with their numbers, in a group that the page draws anew when other axes are chosen."""
    made = []
    for t in y_ticks:
        y = _y(t, y_ticks)
        made.append(svg.element("line", x1=LEFT, y1=y, x2=RIGHT, y2=y, stroke=RULE))
        made.append(svg.text(f"{t:g}", LEFT - 8, y + 5, 13, text_anchor="end", fill=FAINT))
    for t in x_ticks:
        x = _x(t, x_ticks)
        made.append(svg.element("line", x1=x, y1=BOTTOM, x2=x, y2=BOTTOM + 5, stroke=FAINT))
        made.append(svg.text(f"{t:g}", x, BOTTOM + 20, 13, text_anchor="middle", fill=FAINT))
    middle = (LEFT + RIGHT) / 2
    made.append(svg.text(_label(across), middle, BOTTOM + 44, 14, text_anchor="middle", fill=INK))
    turn = f"rotate(-90 16 {svg.short((TOP + BOTTOM) / 2)})"
    made.append(svg.text(_label(up), 16, (TOP + BOTTOM) / 2, 14, text_anchor="middle", fill=INK, transform=turn))
    return svg.element("g", "".join(made), id="front-grid")


def _mark(
    n: int, candidate: CandidateEntry, found: dict[str, float | None], at: str, colour: str, is_front: bool
) -> str:
    """One corridor as a link to its approach; its name says its numbers."""
    said = [
        f"{aim.label.lower()} {with_unit(number(found[aim.key] or 0.0, aim.unit), aim.unit)}"
        for aim in AIMS[:6]
        if found[aim.key] is not None
    ]
    words = f"Rank {candidate.rank}, {title(candidate.approach)}, {candidate.side}: {', '.join(said)}"
    look = {"fill": colour, "stroke": "#fff"} if is_front else {"fill": "#fff", "stroke": colour}
    halo = svg.element("circle", r=13, fill="transparent")
    inside = svg.element("title", escape(words)) + halo + svg.element("circle", r=6.5, stroke_width=1.8, **look)
    place = {"transform": at} if at else {"visibility": "hidden"}
    return svg.element(
        "a", inside, href=f"#approach-{candidate.approach}", class_="mark", data_n=n, aria_label=words, **place
    )
