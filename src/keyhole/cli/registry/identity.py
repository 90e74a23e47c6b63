"""`keyhole registry identity`: who a patient is, where that is kept."""

from __future__ import annotations

import os
from pathlib import Path

import click

from keyhole.cli.registry.options import actor_option, echo_json, json_option, key_option, now, registry_option


@click.command("identity")
@click.argument("patient")
@click.option("--forget", is_flag=True, help="Erase who it is; what is recorded under the pseudonym stays.")
@click.option("--reason", default="", help="Why it is erased.")
@key_option
@registry_option
@actor_option
@json_option
def identity_command(
    patient: str, forget: bool, reason: str, key: str | None, url: str, actor: str, as_json: bool
) -> None:
    """Show who PATIENT (a pseudonym) is; the trail keeps that you looked."""
    from keyhole.registry.audit import working
    from keyhole.registry.database import open_registry
    from keyhole.registry.identity import check_kept, read_key, reveal, unlock
    from keyhole.registry.identity import forget as erase
    from keyhole.registry.record import find

    with open_registry(url) as registry:
        check_kept(registry)
        vault = None if forget else unlock(registry, read_key(None if key is None else Path(key), os.environ))
        with working(registry, actor, now()) as work:
            row = find(work.session, "patient", patient)
            found = {} if vault is None else reveal(work, vault, row)
            if forget:
                erase(work, row, reason)
    if as_json:
        echo_json({"patient": patient, "forgotten": True} if forget else {"patient": patient, "identity": found})
        return
    if forget:
        click.echo(f"who {patient} is has been erased")
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' ')}: {value}")
