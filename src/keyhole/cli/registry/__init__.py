"""`keyhole registry`: the clinic's own operations and their outcomes."""

from __future__ import annotations

import click

from keyhole.cli.lazy import LazyGroup

# command -> module that holds it as `<name>_command`
_COMMANDS: dict[str, tuple[str, str]] = {
    "compare": ("keyhole.cli.registry.compare", "Compare small openings with open operations on one outcome."),
    "simulate": ("keyhole.cli.registry.simulate", "Write a made-up registry with known true effects."),
}


class RegistryCommands(LazyGroup):
    """The commands of `keyhole registry`."""

    commands_of = _COMMANDS


@click.group("registry", cls=RegistryCommands)
def registry_command() -> None:
    """Keep a clinic's operations and their outcomes; compare small openings with open operations.

    Research use only. Not a medical device. Not for clinical decisions.
    """
