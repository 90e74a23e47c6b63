"""`keyhole registry due`: who is to be asked what, today."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

import click

from keyhole.cli.registry.options import echo_json, json_option, registry_place, today_option


@click.command("due")
@click.option("--open", "only_open", is_flag=True, help="Only visits for which answers still count.")
@click.option("--centre", metavar="NAME", help="Only this centre.")
@registry_place
@today_option
@json_option
def due_command(only_open: bool, centre: str | None, url: str, today: date, as_json: bool) -> None:
    """List the questionnaires that are due and overdue, with days: before, 6 weeks, 3, 6, 12 and 24 months after.

    Due: from the first day of the visit's window. Overdue: after the day meant. The list goes from the most pressing.
    """
    from keyhole.cli.render import table
    from keyhole.registry.database import open_registry
    from keyhole.registry.due import due, instruments_asked

    with open_registry(url) as registry, registry.reading() as session:
        found = due(session, today, groups=instruments_asked(registry.settings))
    found = tuple(one for one in found if (one.is_open or not only_open) and (centre is None or one.centre == centre))
    late = sum(one.status == "overdue" for one in found)
    if as_json:
        counts = {"due": len(found) - late, "overdue": late}
        echo_json({"today": today.isoformat(), **counts, "visits": [asdict(one) for one in found]})
        return
    click.echo(f"{today}: {len(found) - late} due, {late} overdue")
    if found:
        rows = [
            [
                one.episode,
                one.patient,
                one.visit,
                f"overdue by {_days(one.days)}" if one.status == "overdue" else f"due in {_days(one.days)}",
                "-" if one.closes is None else f"until {one.closes}" if one.is_open else f"too late since {one.closes}",
                ", ".join(one.missing),
            ]
            for one in found
        ]
        click.echo(table(["episode", "patient", "visit", "when", "answers count", "not answered"], rows))


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"
