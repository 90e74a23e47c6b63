"""`keyhole registry`: the clinic's own operations and their outcomes."""

from __future__ import annotations

import click

from keyhole.cli.lazy import LazyGroup

# command -> module that holds it as `<name>_command`
_COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("keyhole.cli.registry.make", "Make a new registry: a SQLite file, or tables in PostgreSQL."),
    "record": ("keyhole.cli.registry.record", "Record a patient, an operation, a response, a complication, ..."),
    "due": ("keyhole.cli.registry.due", "List the questionnaires that are due and overdue."),
    "correct": ("keyhole.cli.registry.change", "Put right what is recorded, with the reason."),
    "void": ("keyhole.cli.registry.change", "Take back what is recorded, with the reason."),
    "history": ("keyhole.cli.registry.change", "Show who recorded and changed something."),
    "identity": ("keyhole.cli.registry.identity", "Show or erase who a patient is, where that is kept."),
    "status": ("keyhole.cli.registry.make", "Say what a registry holds."),
    "migrate": ("keyhole.cli.registry.make", "Bring a registry to this Keyhole's version."),
    "import": ("keyhole.cli.registry.tables", "Bring a CSV table in, whole or not at all, with a row report."),
    "export": ("keyhole.cli.registry.tables", "Write the analysis table or all tables, with a data dictionary."),
    "fields": ("keyhole.cli.registry.tables", "List the fields that a mapping can fill."),
    "compare": ("keyhole.cli.registry.compare", "Compare small openings with open operations on one outcome."),
    "dashboard": ("keyhole.cli.registry.dashboard", "Show follow-up, outcomes and whom to ask on one page."),
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
