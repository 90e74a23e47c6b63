"""A hundred people, so many of them dark: a risk as a picture."""

from __future__ import annotations

from keyhole.report import svg

COLUMNS, CELL = 10, (22.0, 30.0)
WIDTH, HEIGHT = COLUMNS * CELL[0], 10 * CELL[1]
SURE, MAYBE, FREE, EDGE = "#8c2d04", "#f6c9a6", "#eceff1", "#6b7378"
_STRIPES = "M0 5L5 0M-1 1L1 -1M4 6L6 4"


def icon_array(sure: int, maybe: int, alt: str, name: str) -> str:
    """A drawing of 100 people: `sure` dark, then `maybe` striped, the others pale; told apart without colour too.

    Parameters
    ----------
    sure, maybe : people; together at most 100.
    name : of the drawing, unlike every other one of the page.
    """
    pattern = svg.element(
        "pattern",
        svg.element("rect", width=5, height=5, fill=MAYBE)
        + svg.element("path", d=_STRIPES, stroke=SURE, stroke_width=1.3),
        id=f"stripes-{name}",
        width=5,
        height=5,
        patternUnits="userSpaceOnUse",
    )
    people = [_person(n, _look(n, sure, maybe, name)) for n in range(100)]
    return svg.drawing(WIDTH, HEIGHT, svg.element("defs", pattern) + "".join(people), alt)


def _look(n: int, sure: int, maybe: int, name: str) -> dict[str, str]:
    if n < sure:
        return {"fill": SURE, "stroke": SURE, "stroke_width": "1"}
    if n < sure + maybe:
        return {"fill": f"url(#stripes-{name})", "stroke": SURE, "stroke_width": "1"}
    return {"fill": FREE, "stroke": EDGE, "stroke_width": "0.8"}


def _person(n: int, look: dict[str, str]) -> str:
    """A head and a body in the cell of person `n`, row by row from the upper left."""
    x, y = (n % COLUMNS) * CELL[0] + CELL[0] / 2, (n // COLUMNS) * CELL[1]
    head = svg.element("circle", cx=x, cy=y + 7, r=4.4, **look)
    body = f"M{x - 7:g} {y + 28:g}v-8a7 7 0 0 1 14 0v8z"
    return head + svg.element("path", d=body, **look)


def legend_icon(kind: str) -> str:
    """One person as the legend shows it: "sure", "maybe" or "free"."""
    shown = {"sure": (1, 0), "maybe": (0, 1), "free": (0, 0)}[kind]
    pattern = svg.element(
        "pattern",
        svg.element("rect", width=5, height=5, fill=MAYBE)
        + svg.element("path", d=_STRIPES, stroke=SURE, stroke_width=1.3),
        id="stripes-legend",
        width=5,
        height=5,
        patternUnits="userSpaceOnUse",
    )
    drawn = svg.element("defs", pattern) if kind == "maybe" else ""
    person = drawn + _person(0, _look(0, *shown, "legend"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CELL[0]:g} {CELL[1]:g}" width="{CELL[0]:g}" '
        f'height="{CELL[1]:g}" aria-hidden="true">{person}</svg>'
    )
