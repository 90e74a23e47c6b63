"""The options of a fusion: which cage, and how much of a slip is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from keyhole.casefile import PlanRecord

SHOWN = (
    "disc height",
    "segmental lordosis",
    "slip",
    "foramen height",
    "foramen area",
    "lumbar lordosis",
    "incidence less lordosis",
)
"""The changes that are printed; plan.json holds all."""

F = TypeVar("F", bound=Callable[..., object])


def cage_options(function: F) -> F:
    """The options that say what a cage is to be; they go with the goal fuse."""
    options = (
        click.option("--cage", metavar="NAME", help="Line of cages; without it the usual one of the approach."),
        click.option(
            "--cages",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="FILE",
            help="Your own cages, added to Keyhole's: a TOML file (docs/realignment.md).",
        ),
        click.option("--cage-height", type=float, metavar="MM", help="Height at the cage's middle; else by rule."),
        click.option("--cage-lordosis", type=float, metavar="DEG", help="Angle between its faces; else by rule."),
        click.option(
            "--slip-reduction",
            type=click.FloatRange(0, 100),
            default=0.0,
            show_default=True,
            metavar="%",
            help="Share of a slip that is taken back.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def with_wish(options: dict[str, Any]) -> dict[str, Any]:
    """`options` of a command with those of the cage gathered into one, as `plan_case` takes them."""
    from keyhole.plan.realign import Wish

    kept = dict(options)
    wish = Wish(
        height=kept.pop("cage_height"),
        lordosis=kept.pop("cage_lordosis"),
        line=kept.pop("cage"),
        reduction=kept.pop("slip_reduction") / 100,
        table=kept.pop("cages"),
    )
    return kept | {"wish": wish}


def fusion_lines(record: PlanRecord) -> list[str]:
    """What a fusion changes, a few lines for each cage; none where the plan has no fusion."""
    if record.fusion is None:
        return []
    lines = [] if record.fusion.entries else [f"  no cage: {why}" for why in record.fusion.caveats]
    for one in record.fusion.entries:
        cage = one.cage
        where = one.approach or "no corridor"
        lines.append(
            f"cage ({where}): {cage.name} {cage.height:g} mm, {cage.angle:g} deg, {cage.length:g} x {cage.width:g} mm"
        )
        lines += [f"  {rule}" for rule in one.rules]
        shown = [change for change in one.changes if change.name in SHOWN and change.before.value is not None]
        for change in shown:
            side = f" {change.side}" if change.side else ""
            lines.append(
                f"  {change.name}{side} {change.level}: {change.before.value:.1f} -> {change.after.value:.1f} "
                f"{change.after.unit}"
            )
        lines += [f"  ! {note}" for note in one.caveats]
    return lines
