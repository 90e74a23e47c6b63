"""The findings on a terminal: what is indicated, then the measures with the levels side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import click

from keyhole.cli.levels import gate_lines, others
from keyhole.cli.render import caveats, table

if TYPE_CHECKING:
    from keyhole.assessment.readers.compare import Comparison
    from keyhole.casefile import FindingEntry, FindingsRecord, IndicatedEntry

Row = tuple[str, Literal["left", "right"] | None, str]
"""Name, side and unit of a row."""

MOST = 5
"""Indicated levels and sides that are printed."""

WORST = 25
"""Differences between two readers that are printed."""

UNITS = {"mm2": "mm²", "[hnsf'U]": "HU", "deg": "°", "1": ""}
DIGITS = {"mm2": 0, "%": 0, "[hnsf'U]": 0, "1": 2}

KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Disc", ("disc ", "anterior disc", "posterior disc")),
    ("Herniation", ("herniation",)),
    ("Canal", ("canal", "least canal")),
    ("Dural sac", ("dural sac", "least dural sac", "CSF")),
    ("Lateral recess", ("lateral recess",)),
    ("Foramen", ("foramen",)),
    ("Kambin's triangle", ("Kambin",)),
    ("Facet joints", ("facet",)),
    ("Alignment, lying down", ("slip", "lateral slip", "segmental", "coronal", "lumbar", "pelvic", "sacral", "ideal")),
    ("Vertebra", ("anterior vert", "middle vert", "posterior vert", "vertebral", "pedicle")),
    ("Muscle", ("psoas", "paraspinal", "multifidus", "erector", "quadratus")),
)
"""Heading and how the names under it begin, in the order of the tables."""

DETAIL = (
    "at the facets", "at the pedicles", "circumference", "transverse", "index", "migration", "volume", "Kambin base",
    "Kambin height", "hypotenuse", "joint area", "recess angle", "sagittal angle", "wedge angle", "slip ratio",
    "for fusion", "foramen area",
)  # fmt: skip
"""What is left out of the short table: names that hold one of these."""


def show_findings(record: FindingsRecord, case: str, *, every: bool = False) -> None:
    """Print the numbering, what is indicated, and the measures; all of them with `every`."""
    click.echo("\n".join(gate_lines(record.levels)))
    _indicated(record.indicated, case)
    measured = [one for one in record.findings if one.origin == "measured"]
    shown = measured if every else [one for one in measured if not any(word in one.name for word in DETAIL)]
    levels = [one for one in shown if one.level and "/" in one.level and one.name not in _spans(measured)]
    _matrix("levels", levels)
    _matrix("vertebrae", [one for one in shown if one.level and "/" not in one.level])
    _list("whole spine", [one for one in shown if one.name in _spans(measured)])
    _readers([one for one in record.findings if one.origin == "reader"])
    _grades(shown)
    _missing(measured)
    click.echo("* beyond the published limit.  ± one sd.  Every value with source, method and caveats: findings.json")
    if not every and len(shown) < len(measured):
        click.echo(f"{len(measured) - len(shown)} more measures: keyhole assess {case} --all")
    reasons = {note for one in measured if one.value is None for note in one.caveats}
    said = [*record.caveats, *(c for one in record.findings if one.value is not None for c in one.caveats)]
    caveats([text for text in others(said) if text not in reasons])


def _spans(found: Iterable[FindingEntry]) -> set[str]:
    """Names of measures of several vertebrae."""
    return {one.name for one in found if one.name in ("lumbar lordosis", "coronal Cobb angle", "ideal lumbar lordosis")}


def _indicated(entries: Sequence[IndicatedEntry], case: str) -> None:
    from keyhole.assessment.norms.indicated import NOTHING

    if not entries:
        click.echo(f"\n{NOTHING}")
        return
    click.echo("\nPoints at (worst first; from the images alone, complaint and examination decide):")
    for one in entries[:MOST]:
        goals = " or ".join(one.goals)
        click.echo(f"  {one.rank}. {one.level}{' ' + one.side if one.side else ''}   {goals}   score {one.score:.1f}")
        for reason in one.reasons[:MOST]:
            click.echo(f"       {reason}")
        if len(one.reasons) > MOST:
            click.echo(f"       and {len(one.reasons) - MOST} more in findings.json")
        for note in one.caveats:
            if note.startswith("against it"):
                click.echo(f"     ! {note}")
    if len(entries) > MOST:
        click.echo(f"  and {len(entries) - MOST} more in findings.json")
    click.echo(f"  next: keyhole plan {case} --goal {entries[0].goals[0]}   (plans the first of them)")


def _cell(one: FindingEntry | None) -> str:
    """Value ± sd with a star beyond the limit; a dash where it could not be measured, blank where there is none."""
    if one is None:
        return ""
    if one.value is None or one.sd is None:
        return "–"
    digits = DIGITS.get(one.unit, 1)
    return f"{one.value + 0.0:.{digits}f} ±{one.sd:.{digits}f}{'*' if _is_outside(one) else ''}".replace(
        "-0.0 ", "0.0 "
    )


def _is_outside(one: FindingEntry) -> bool:
    from keyhole.assessment.norms.indicated import structure_of
    from keyhole.assessment.norms.norms import outside

    if one.value is None or one.sd is None:
        return False
    at = outside(one.name, one.value, one.sd, level=one.level, structure=structure_of(one))
    return at is not None and at.beyond is not None and at.beyond >= 0


def _matrix(title: str, found: Sequence[FindingEntry]) -> None:
    """Measures as rows under their kind, places as columns; places and rows without any value are left out."""
    places = list(dict.fromkeys(one.level or "" for one in found if one.value is not None))
    if not places:
        return
    cells = {(one.name, one.side, one.level): one for one in found}
    rows: list[list[str]] = []
    for kind, members in _by_kind(found):
        body = []
        for name, side, unit in members:
            row = [cells.get((name, side, place)) for place in places]
            if any(one is not None and one.value is not None for one in row):
                label = "  " + " ".join(filter(None, (name, side)))
                body.append([label, UNITS.get(unit, unit), *map(_cell, row)])
        if body:
            rows += [[kind, *([""] * (1 + len(places)))], *body]
    click.echo("\n" + table([title, "", *places], rows))


def _by_kind(found: Sequence[FindingEntry]) -> list[tuple[str, list[Row]]]:
    """The rows (name, side, unit) under each kind; what fits none comes last."""
    rows = list(dict.fromkeys((one.name, one.side, one.unit) for one in found))
    rest = set(rows)
    kinds: list[tuple[str, list[Row]]] = []
    for kind, starts in KINDS:
        members = [row for row in rows if row in rest and row[0].startswith(starts)]
        rest -= set(members)
        kinds.append((kind, members))
    kinds.append(("Other", [row for row in rows if row in rest]))
    return kinds


def _list(title: str, found: Sequence[FindingEntry]) -> None:
    rows = [
        [one.name, UNITS.get(one.unit, one.unit), one.level or "", _cell(one)] for one in found if one.value is not None
    ]
    if rows:
        click.echo("\n" + table([title, "", "", ""], rows))


def _readers(found: Sequence[FindingEntry]) -> None:
    """Grades that were entered."""
    if found:
        rows = [
            [one.level or "", " ".join(filter(None, (one.name, one.side))), one.grade or "", one.method]
            for one in found
        ]
        click.echo("\n" + table(["entered", "", "grade", "by"], rows))


def _grades(found: Sequence[FindingEntry]) -> None:
    """The likeliest grade of every measure that is not graded healthy, a line for each place."""
    graded = [one for one in found if one.grade and not _is_healthy(one.grade)]
    if not graded:
        return
    click.echo("\nGrades that are not healthy (the likeliest; chances of all in findings.json):")
    for place in dict.fromkeys(one.level for one in graded):
        said = [f"{one.name}{' ' + one.side if one.side else ''}: {one.grade}" for one in graded if one.level == place]
        click.echo(f"  {place or 'spine':<6} " + "; ".join(said))


def _is_healthy(grade: str) -> bool:
    return grade.startswith(("none", "normal", "unclassified", "0 ")) or grade.endswith("or more")


def _missing(found: Sequence[FindingEntry]) -> None:
    """Why measures are missing, a line for each reason, with the places and how many measures it costs."""
    reasons: dict[str, dict[str, int]] = {}
    for one in found:
        if one.value is None and one.caveats:
            place = one.level or ""
            reason = one.caveats[0].removeprefix(f"{place}: ")
            where = reasons.setdefault(reason, {})
            where[place] = where.get(place, 0) + 1
    if reasons:
        click.echo("\nNot measured:")
    for reason, where in reasons.items():
        n = sum(where.values())
        click.echo(f"  {', '.join(where)} ({n} {'measure' if n == 1 else 'measures'}): {reason}")


def show_comparison(found: Comparison, case: str, *, every: bool = False) -> None:
    """Print where two readers differ by more than their sds explain, how well they agree, and how far they overlap."""
    chosen = found.measures if every else [one for one in found.measures if not one.is_within]
    chosen = chosen if every else sorted(chosen, key=lambda one: -abs(one.difference) / (one.limit or 1e-9))[:WORST]
    rows = [
        [
            one.level or "", " ".join(filter(None, (one.name, one.side))), UNITS.get(one.unit, one.unit),
            f"{one.first:.1f}", f"{one.second:.1f}", f"{one.difference:+.2f}", f"±{one.limit:.2f}",
            "" if one.is_within else "beyond",
        ]
        for one in chosen
    ]  # fmt: skip
    if rows:
        click.echo(table(["level", "measure", "unit", "first", "second", "difference", "expected", ""], rows))
    rows = [
        [one.name, UNITS.get(one.unit, one.unit), str(one.n), f"{one.bias:+.2f}", f"{one.low:+.2f} to {one.high:+.2f}"]
        for one in found.agreement
        if every or not any(word in one.name for word in DETAIL)
    ]
    if rows:
        click.echo("\n" + table(["agreement", "unit", "n", "mean difference", "95 % limits of agreement"], rows))
    overlap = [one for one in found.overlap if every or _is_spine(one.key)]
    rows = [[one.key, f"{one.dice:.3f}", f"{one.volumes[0]:.1f}", f"{one.volumes[1]:.1f}"] for one in overlap]
    if rows:
        click.echo("\n" + table(["structure", "Dice", "mL first", "mL second"], rows))
    caveats(found.caveats)
    if not every:
        click.echo(f"every measure and structure: keyhole assess {case} --against OTHER --all")


def _is_spine(key: str) -> bool:
    """Whole vertebrae, discs, canal and sacrum."""
    head, _, rest = key.partition("/")
    return head in ("disc", "canal", "sacrum") or (head == "vertebra" and "/" not in rest)
