"""Published risk scores for one patient."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from keyhole.forecast import Risk, Score


@click.command("risk")
@click.option(
    "--patient",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file of fields; what it leaves out, or gives as null, is unknown.",
)
@click.option(
    "--set", "settings", metavar="FIELD=VALUE", multiple=True, help="One field: true, false, a number, F or M."
)
@click.option("--fields", "only_fields", is_flag=True, help="Print the fields a patient may have.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def risk_command(patient: Path | None, settings: tuple[str, ...], only_fields: bool, as_json: bool) -> None:
    """Say what published risk scores make of a patient, and the range that unknown items leave.

    Literature, not calibrated on your patients: how well each score did elsewhere stands beside it.
    """
    from keyhole.forecast import fields, scores
    from keyhole.forecast.record import plain_score

    if only_fields:
        known = {"height_cm": ("height, cm",), "weight_kg": ("weight, kg",), **fields()}
        click.echo(json.dumps(known) if as_json else "\n".join(f"{name}: {'; '.join(w)}" for name, w in known.items()))
        return
    found = scores(read_fields(patient, settings))
    if as_json:
        click.echo(json.dumps({"scores": [plain_score(one) for one in found]}, ensure_ascii=False))
        return
    click.echo("\n\n".join(_text(one) for one in found))


def read_fields(path: Path | None, settings: tuple[str, ...]) -> dict[str, bool | float | str | None]:
    """Fields of a patient from a JSON file and from FIELD=VALUE settings, which go before the file."""
    from keyhole.errors import InvalidInput, UnreadableFile

    found: dict[str, bool | float | str | None] = {}
    if path is not None:
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UnreadableFile(f"{path.name} must be JSON: {error}") from error
        if not isinstance(held, dict):
            raise InvalidInput(f"{path.name} must hold one object of fields, got {type(held).__name__}")
        found.update(held)
    for setting in settings:
        name, mark, value = setting.partition("=")
        if not mark:
            raise InvalidInput(f"--set takes FIELD=VALUE, got {setting!r}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def _text(found: Score | Risk) -> str:
    from keyhole.evidence import source
    from keyhole.forecast import Risk

    model = found.model
    if isinstance(found, Risk):
        reach = (
            f"{100 * found.low:.1f} %"
            if found.low == found.high
            else f"{100 * found.low:.1f} to {100 * found.high:.1f} %"
        )
        ends = f"95 % interval {100 * found.interval[0]:.1f} to {100 * found.interval[1]:.1f} %"
        first = f"{model.title}: {reach} ({ends})"
    else:
        first = f"{model.title}: {_points(found.low, found.high)}{f', {found.word}' if found.word else ''}"
    lines = [first, f"  for: {model.outcome}; literature, not calibrated here"]
    if found.unknown:
        lines.append(f"  not known ({len(found.unknown)}): {', '.join(found.unknown)}")
    lines += [f"  performance: {model.performance}", f"  elsewhere: {model.validation}"]
    lines.append(f"  source: {source(model.source).text} {source(model.source).address}")
    return "\n".join([*lines, *(f"  ! {caveat}" for caveat in model.caveats)])


def _points(low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {low:g} points"
    return f"{low:g} points" if low == high else f"{low:g} to {high:g} points"
