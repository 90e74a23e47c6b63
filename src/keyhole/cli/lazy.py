"""Groups of commands that load a command only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from keyhole.errors import KeyholeError


class LazyGroup(click.Group):
    """A group that loads a command when it is used and shows a KeyholeError as one line with exit status 1.

    `commands_of` maps a command's name to the module that holds it as ``<name>_command`` and to what it does.
    """

    commands_of: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order a user meets them."""
        return list(self.commands_of)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `cmd_name`, or None."""
        if cmd_name not in self.commands_of:
            return None
        module = importlib.import_module(self.commands_of[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        rows = [(name, about) for name, (_, about) in self.commands_of.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyholeError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error
