"""Make, migrate and look at a registry: init, migrate, status."""

from __future__ import annotations

import os
from pathlib import Path

import click

from keyhole.cli.registry.options import echo_json, json_option, key_option, registry_place


@click.command("init")
@click.argument("url", default="registry.db", envvar="KEYHOLE_REGISTRY", metavar="[FILE|URL]")
@click.option(
    "--identities",
    type=click.Choice(["none", "encrypted"]),
    default="none",
    show_default=True,
    help="Whether names may be kept: not at all, or encrypted under your key.",
)
@key_option
@click.option(
    "--instruments",
    metavar="LIST",
    help="What is asked for at every visit, as odi,nrs-back|vas-back,...: of those with | between them one is enough.",
)
@json_option
def init_command(url: str, identities: str, key: str | None, instruments: str | None, as_json: bool) -> None:
    """Make a new registry: a SQLite file (registry.db), or the tables in a PostgreSQL database."""
    from keyhole.registry.database import REVISIONS, create

    settings = _instruments(instruments)
    secret, fresh = _secret(identities, key)
    if secret is not None:
        from keyhole.registry.identity import CHECK, probe

        settings[CHECK] = probe(secret)
    try:
        with create(url, identities=identities, settings=settings) as registry:
            name, is_file = registry.name, registry.is_file
    except BaseException:
        if fresh is not None:
            fresh.unlink(missing_ok=True)
        raise
    if as_json:
        echo_json({"registry": name, "version": REVISIONS[-1], "identities": identities})
        return
    click.echo(f"{name}: a new registry, version {REVISIONS[-1]}, identities {identities}")
    if fresh is not None:
        click.echo(f"the key is {fresh}: keep a copy apart from the registry; without it the names are gone")
        if is_file and fresh.resolve().parent == Path(name).resolve().parent:
            click.echo("the key lies beside the registry: whoever copies the folder has both; put it elsewhere")


@click.command("migrate")
@click.argument("url", default="registry.db", envvar="KEYHOLE_REGISTRY", metavar="[FILE|URL]")
@click.option("--to", "target", default="head", show_default=True, help="The version to go to, up or down.")
@json_option
def migrate_command(url: str, target: str, as_json: bool) -> None:
    """Bring the tables of a registry to this Keyhole's version, in one transaction."""
    from keyhole.registry.database import migrate, open_name

    before, after = migrate(url, target)
    if as_json:
        echo_json({"registry": open_name(url), "before": before, "after": after})
    elif before == after:
        click.echo(f"{open_name(url)}: version {after} already")
    else:
        click.echo(f"{open_name(url)}: version {before} -> {after}")


@click.command("status")
@registry_place
@json_option
def status_command(url: str, as_json: bool) -> None:
    """Say what a registry holds: version, records, what was taken back, the last change."""
    from keyhole.cli.render import table
    from keyhole.registry.database import REVISIONS, open_registry
    from keyhole.registry.status import status

    with open_registry(url) as registry, registry.reading() as session:
        found = status(session)
        name, identities = registry.name, registry.settings.get("identities", "none")
    if as_json:
        counts = {one.table: {"records": one.records, "voided": one.voided} for one in found.counts}
        last = None if found.last is None else {"at": f"{found.last[0]:%Y-%m-%dT%H:%M:%SZ}", "by": found.last[1]}
        echo_json(
            {
                "registry": name,
                "version": REVISIONS[-1],
                "identities": identities,
                "counts": counts,
                "last_change": last,
                "changes": found.changes,
            }
        )
        return
    click.echo(f"{name}: version {REVISIONS[-1]}, identities {identities}")
    click.echo(table(["", "records", "taken back"], [[c.table, str(c.records), str(c.voided)] for c in found.counts]))
    if found.last is not None:
        click.echo(
            f"{found.changes} changes in the trail, the last by {found.last[1]}, {found.last[0]:%Y-%m-%d %H:%M} UTC"
        )


def _secret(identities: str, key: str | None) -> tuple[bytes | None, Path | None]:
    """The key of encrypted identities, and its file where it has just been made."""
    if identities == "none":
        if key is not None:
            raise click.UsageError("--key is for --identities encrypted")
        return None, None
    from keyhole.registry.identity import new_key, read_key

    if key is None or Path(key).exists():
        return read_key(None if key is None else Path(key), os.environ), None
    return new_key(Path(key)), Path(key)


def _instruments(given: str | None) -> dict[str, str]:
    import json

    from keyhole.recovery.instruments import instrument

    if given is None:
        return {}
    groups = [[key.strip() for key in group.split("|")] for group in given.split(",")]
    for group in groups:
        for key in group:
            instrument(key)
    return {"instruments": json.dumps(groups)}
