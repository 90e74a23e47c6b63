"""Put right, take back, and see what was done: correct, void, history."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from keyhole.cli.registry.options import (
    actor_option,
    echo_json,
    json_option,
    now,
    reason_option,
    registry_option,
    today_option,
)
from keyhole.errors import Refused

_WORDS = (
    "patient",
    "episode",
    "procedure",
    "response",
    "complication",
    "readmission",
    "reoperation",
    "measure",
)


@click.command("correct")
@click.argument("entity", type=click.Choice(_WORDS))
@click.argument("key")
@click.option(
    "--set", "settings", metavar="FIELD=VALUE", multiple=True, required=True, help="What is right; repeatable."
)
@reason_option
@registry_option
@actor_option
@today_option
@json_option
def correct_command(
    entity: str, key: str, settings: tuple[str, ...], reason: str, url: str, actor: str, today: date, as_json: bool
) -> None:
    """Put right what is recorded under KEY: a pseudonym, an episode's code, or a record's number."""
    from keyhole.registry.audit import working
    from keyhole.registry.database import open_registry
    from keyhole.registry.record import correct

    changes = dict(_pair(one) for one in settings)
    with open_registry(url) as registry, working(registry, actor, now()) as work:
        made = correct(work, entity, key, changes, reason=reason, today=today)
    if as_json:
        echo_json({"corrected": {"entity": entity, **made.values}, "caveats": list(made.caveats)})
        return
    version = made.values.get("version")
    click.echo(f"{entity} {key} corrected" + (f", now version {version}" if version else f", now number {made.id}"))
    for caveat in made.caveats:
        click.echo(f"note: {caveat}")


@click.command("void")
@click.argument("entity", type=click.Choice((*_WORDS, "snapshot")))
@click.argument("key")
@reason_option
@registry_option
@actor_option
@json_option
def void_command(entity: str, key: str, reason: str, url: str, actor: str, as_json: bool) -> None:
    """Take back what is recorded under KEY and all that hangs on it; the trail keeps it."""
    from keyhole.registry.audit import working
    from keyhole.registry.database import open_registry
    from keyhole.registry.record import void

    with open_registry(url) as registry, working(registry, actor, now()) as work:
        gone = void(work, entity, key, reason=reason)
    if as_json:
        echo_json({"voided": [{"table": table, "id": number} for table, number in gone]})
    else:
        click.echo(f"taken back: {', '.join(f'{table} {number}' for table, number in gone)}")


@click.command("history")
@click.argument("entity", type=click.Choice((*_WORDS, "snapshot")))
@click.argument("key")
@registry_option
@json_option
def history_command(entity: str, key: str, url: str, as_json: bool) -> None:
    """Show who recorded and changed what is under KEY: a pseudonym, an episode's code, or a record's number."""
    from keyhole.registry.audit import history
    from keyhole.registry.database import open_registry
    from keyhole.registry.record import find

    with open_registry(url) as registry, registry.reading() as session:
        entries = history(session, find(session, entity, key, voided=True))
    if as_json:
        echo_json({"history": [_entry(one) for one in entries]})
        return
    for one in entries:
        what = f"{one.entity} {one.entity_id}" if one.entity_id is not None else f"{one.entity}, with others"
        click.echo(f"{one.at:%Y-%m-%d %H:%M} UTC  {one.actor}  {one.action}  {what}")
        if one.batch is not None:
            click.echo(f"    from {one.batch}")
        for line in _changes(one):
            click.echo(f"    {line}")
        if one.reason:
            click.echo(f"    because: {one.reason}")


def _pair(setting: str) -> tuple[str, str]:
    name, found, value = setting.partition("=")
    if not found:
        raise Refused("set", f"expected FIELD=VALUE, got {setting[:60]!r}")
    return name.strip().replace("-", "_"), value


def _entry(one: Any) -> dict[str, Any]:
    return {
        "at": f"{one.at:%Y-%m-%dT%H:%M:%SZ}",
        "by": one.actor,
        "action": one.action,
        "entity": one.entity,
        "id": one.entity_id,
        "before": one.before,
        "after": one.after,
        "reason": one.reason,
        "file": one.batch,
    }


def _changes(one: Any) -> list[str]:
    """What an entry changed, a line a field; of something new what is known of it."""
    before, after = one.before or {}, one.after or {}
    if one.action == "void":
        return [] if "replaced_by" not in after else [f"replaced by number {after['replaced_by']}"]
    hidden = {"id", "version", "batch_id", "voided_at", "replaces_id"}
    names = [name for name in after if name not in hidden and before.get(name) != after[name]]
    return [
        f"{name}: {before[name]} -> {after[name]}" if name in before else f"{name}: {after[name]}" for name in names
    ]
