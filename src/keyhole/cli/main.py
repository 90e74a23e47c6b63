"""The `keyhole` command and how its errors are shown."""

from __future__ import annotations

import os

import click

from keyhole import __version__
from keyhole.cli.lazy import LazyGroup

# the products here are of thousands of points by three: a second thread of BLAS only spins beside the first
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

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
    "decompressed": ("keyhole.cli.decompressed", "Write the labels and meshes after a planned decompression."),
    "forecast": ("keyhole.cli.forecast", "Say what to expect after the planned and the open operation: forecast.json."),
    "rehab": ("keyhole.cli.rehab", "Write the rehabilitation programme: rehab.json, sheets, calendar."),
    "progress": ("keyhole.cli.progress", "Show the course after the operation and whether to advance, hold or call."),
    "report": ("keyhole.cli.stages", "Write the report: one offline page, a PDF, pictures and meshes."),
    "run": ("keyhole.cli.stages", "Assess, plan, forecast and report in one go."),
    "score": ("keyhole.cli.score", "Score a questionnaire or test, and say what is known about a change."),
    "registry": ("keyhole.cli.registry", "The clinic's own operations and outcomes, and small openings against open."),
    "evidence": ("keyhole.cli.evidence", "List, check and pool published results, MISS against open."),
}


class Commands(LazyGroup):
    """The commands of `keyhole`."""

    commands_of = _COMMANDS


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keyhole")
def main() -> None:
    """Plan minimally invasive spine surgery from CT and MR.

    Research use only. Not a medical device. Not for clinical decisions.
    """
