"""The `keyhole` command and how its errors are shown."""

from __future__ import annotations

import importlib

import click

from keyhole import __version__
from keyhole.errors import KeyholeError

# command -> module that holds it as `<name>_command`; loaded only when it is run, so that `--help` answers at once
_COMMANDS = {
    "demo": ("keyhole.cli.make", "Make a phantom patient, run every stage on it, print where the report is."),
    "phantom": ("keyhole.cli.make", "Write a parametric spine with CT, T2, labels and its true measures."),
    "inspect": ("keyhole.cli.inspect", "Say what images a folder, disc or zip holds and what each is good for."),
    "import": ("keyhole.cli.intake", "Bring images and labels into a case folder and build the anatomy."),
    "segment": ("keyhole.cli.segment", "Find the anatomy in a bare image, by Keyhole's own method or a tool."),
    "quality": ("keyhole.cli.levels", "Show how good each image is and what follows from it."),
    "levels": ("keyhole.cli.levels", "Show what the names of the levels rest on, or count them anew."),
    "confirm": ("keyhole.cli.levels", "Record that a person has checked the names of the levels."),
    "assess": ("keyhole.cli.stages", "Measure every level and say which one it points at: findings.json."),
    "findings": ("keyhole.cli.findings", "Bring in grades of a reader or network; write the findings as CSV."),
    "plan": ("keyhole.cli.stages", "Search every small opening and compare with the open operation: plan.json."),
    "forecast": ("keyhole.cli.forecast", "Say what to expect after the planned and the open operation: forecast.json."),
    "report": ("keyhole.cli.stages", "Write the report: one offline page, a PDF, pictures and meshes."),
    "run": ("keyhole.cli.stages", "Assess, plan, forecast and report in one go."),
    "evidence": ("keyhole.cli.evidence", "List, check and pool published results, MISS against open."),
}


class Commands(click.Group):
    """A group that loads a command when it is used and shows a KeyholeError as one line with exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order a user meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `cmd_name`, or None."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyholeError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keyhole")
def main() -> None:
    """Plan minimally invasive spine surgery from CT and MR.

    Research use only. Not a medical device. Not for clinical decisions.
    """
