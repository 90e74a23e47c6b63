"""Screws and whole operations of a plan, as the command line prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyhole.cli.render import number, table

if TYPE_CHECKING:
    from keyhole.casefile import OperationRecord, PlanRecord, ScrewEntry, ScrewsRecord

HEADER = ["screw", "mm", "clearance mm", "expected A / A+B", "medial°", "cranial°", "HU", "facet above"]


def show_screws(record: PlanRecord) -> None:
    """Print the screws of a plan, what joins them, and what runs into what; nothing where it has none."""
    if record.screws is not None:
        _screws(record.screws)
    for operation in record.operations:
        _operation(operation)


def _screws(found: ScrewsRecord) -> None:
    if found.screws:
        click.echo(table(HEADER, [_row(s) for s in found.screws]))
    for screw in found.screws:
        if screw.corridor is not None:
            click.echo(f"  {_iliac(screw)}")
    for none in found.none:
        click.echo(f"  no screw {none.vertebra} {none.side}: {none.reason}")
    for rod in found.rods:
        lean = max((q.value or 0.0) for q in rod.lean.values())
        off = max((q.value or 0.0) for q in rod.residual.values())
        fits = "fits" if rod.fits else "DOES NOT FIT"
        click.echo(
            f"  rod {rod.side}: {number(rod.length.value, digits=0)} mm, {fits}; heads {off:.1f} mm off, "
            f"swing {lean:.0f} deg"
        )
    for cut in found.incisions:
        click.echo(f"  incision {number(cut.length.value, digits=0)} mm: {', '.join(cut.through)}")
    for near in found.contacts:
        _near(near.first, near.second, near.gap.value, collides=near.is_collision)


def _iliac(screw: ScrewEntry) -> str:
    """What a screw through sacrum and ilium runs through and comes near."""
    parts = ", ".join(f"{name} {number(length.value)}" for name, length in screw.crossed.items())
    widest = number(screw.corridor.value if screw.corridor is not None else None)
    near = "; ".join(f"{number(gap.value)} mm to {key}" for key, gap in list(screw.near.items())[:3])
    notch = number(screw.walls["notch"].value) if "notch" in screw.walls else "–"
    return (
        f"{screw.vertebra} {screw.side}: {parts} mm; the ilium admits {widest} mm about its axis, "
        f"{notch} mm to the notch{f'; {near}' if near else ''}"
    )


def _row(screw: ScrewEntry) -> list[str]:
    grades = screw.grades
    facet = "–" if screw.facet_grade is None else str(screw.facet_grade)
    return [
        f"{screw.vertebra} {screw.side}",
        f"{screw.diameter.value:g} x {screw.length.value:g}",
        number(screw.clearance.value),
        f"{grades['A']:.0%} / {grades['A'] + grades['B']:.0%}",
        number(screw.medial.value, digits=0),
        number(screw.cranial.value, digits=0),
        number(screw.density.value, digits=0),
        facet,
    ]


def _operation(whole: OperationRecord) -> None:
    click.echo(
        f"operation {whole.name}: {number(whole.together.value)} mL together "
        f"({number(whole.apart.value)} one by one), incisions {number(whole.incision.value, digits=0)} mm"
    )
    for near in whole.contacts:
        if near.is_collision:
            _near(near.first, near.second, near.gap.value, collides=True)


def _near(first: str, second: str, gap: float | None, *, collides: bool) -> None:
    word = "COLLIDE" if collides else "are near"
    click.echo(f"  {first} and {second} {word}: {number(gap)} mm")
