"""The command that writes the rehabilitation programme: rehab."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyhole.cli.render import caveats

if TYPE_CHECKING:
    from keyhole.casefile import Case, RehabRecord
    from keyhole.recovery.rehab import Overrides

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("rehab")
@click.argument("case", required=False, type=click.Path(path_type=Path))
@click.option("--date", "start", metavar="YYYY-MM-DD", help="Day of the operation; without it there is no calendar.")
@click.option("--protocol", type=_FILE, help="Your own protocol, a TOML file (docs/rehabilitation.md).")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Set one thing in its place; repeatable.")
@click.option("--overrides", type=_FILE, help="A TOML file of such settings: by = NAME and a table [set].")
@click.option("--by", metavar="NAME", default="", help="Who sets or signs; recorded in the file and on the pages.")
@click.option("--sign-off-red-flags", "signs", is_flag=True, help="Record that --by answers for the list of red flags.")
@click.option("--today", metavar="YYYY-MM-DD", help="Day of the sign-off.  [default: the system's date]")
@click.option("--template", metavar="NAME", help="Print a protocol of Keyhole's to copy: decompression or fusion.")
@click.option("--json", "as_json", is_flag=True, help="Print rehab.json.")
def rehab_command(case: Path | None, signs: bool, as_json: bool, **options: Any) -> None:
    """Write the rehabilitation programme of CASE: rehab.json, a sheet for the patient, a page for the therapist.

    Phases with exercises, criteria and warning signs, from a protocol file that says where published ones conflict.
    """
    from keyhole.casefile import Case
    from keyhole.report.rehab import write_rehab

    if options["template"] is not None:
        from keyhole.recovery.rehab import shipped_text

        click.echo(shipped_text(options["template"]), nl=False)
        return
    if case is None:
        raise click.UsageError("Missing argument 'CASE'.")
    found = Case(case)
    record = _signed(found, options) if signs else _built(found, options)
    files = write_rehab(found, record)
    if as_json:
        click.echo(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False))
        return
    show_rehab(record)
    width = max(len(name) for name in files) + 2
    for name, path in files.items():
        click.echo(f"{name + ':':<{width}}{path.resolve()}")
    caveats(record.caveats, most=12)
    index = case / "report" / "index.html"
    if index.is_file() and b"rehab-patient.html" not in index.read_bytes():
        click.echo("the report does not lead to these pages yet: run `keyhole report`")


def _built(case: Case, options: dict[str, Any]) -> RehabRecord:
    from keyhole.recovery.rehab import read_protocol, rehab_case

    own = None if options["protocol"] is None else read_protocol(options["protocol"])
    return rehab_case(case, date=options["start"], overrides=_overrides(options), protocol=own)


def _overrides(options: dict[str, Any]) -> Overrides:
    """Those of the file, then those of the flags, which go before them."""
    from keyhole.recovery.rehab import Overrides, parse_settings, read_overrides

    held = Overrides() if options["overrides"] is None else read_overrides(options["overrides"], options["by"])
    flags = parse_settings(options["settings"])
    return Overrides((*held.settings, *flags), options["by"] or held.by)


def _signed(case: Case, options: dict[str, Any]) -> RehabRecord:
    from keyhole.recovery.rehab import sign_off

    given = [name for name in ("start", "protocol", "settings", "overrides") if options[name]]
    if given:
        raise click.UsageError("--sign-off-red-flags signs the programme as it is: build it first, then sign.")
    return sign_off(case, by=options["by"], today=options["today"] or datetime.date.today().isoformat())


def show_rehab(record: RehabRecord) -> None:
    """Print the programme: its parts and when they end, what was fitted, set and chosen."""
    from keyhole.report.rehab.said import measured, weeks

    click.echo(f"{', '.join(record.levels)}: {record.procedure_title}; {record.approach or 'approach not known'}")
    held = record.protocol
    whose = "the clinic's own" if held.origin == "clinic" else "Keyhole's"
    click.echo(f"protocol: {held.name}, version {held.version} ({whose}, {held.file})")
    click.echo(f"operation: {record.start or 'day not known'}")
    for n, part in enumerate(record.phases, start=1):
        click.echo(f"{n}. {part.name}, {weeks(part)}: {len(part.exercises)} exercises; ends when")
        for criterion in part.criteria:
            how = measured(criterion)
            click.echo(f"   - {criterion.text}{f' ({how})' if how else ''}")
    for one in record.conflicts:
        by = f" (set by {one.by})" if one.chosen_by == "override" else ""
        click.echo(f"sources disagree: {one.question} Followed: {one.followed}{by}")
    for fit in record.fitted:
        click.echo(f"fitted: {fit.because}: {fit.patient or fit.therapist}")
    signed = record.signature
    click.echo(
        "red flags: NOT signed off by the clinic"
        if signed is None
        else f"red flags: signed off by {signed.by} on {signed.date}"
    )


def programme(case: Case) -> str:
    """Make the programme of `case` as one stage of many; returns why there is none, or why an older one was kept.

    A programme that a person has dated, set or given a protocol of their own is never built anew here.
    """
    from keyhole.casefile import RehabRecord
    from keyhole.errors import KeyholeError
    from keyhole.recovery.rehab import rehab_case, staleness

    try:
        if case.has(RehabRecord):
            held = case.read(RehabRecord)
            if held.overrides or held.start or held.protocol.origin == "clinic":
                why = staleness(case, held)
                return f"rehab.json {why} and was left: run `keyhole rehab` again" if why else ""
        rehab_case(case)
    except KeyholeError as error:
        return f"no rehabilitation programme: {error}"
    return ""
