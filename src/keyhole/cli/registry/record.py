"""`keyhole registry record`: one patient, operation, response, ... at a time."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyhole.cli.lazy import LazyGroup
from keyhole.cli.registry.options import (
    actor_option,
    echo_json,
    json_option,
    key_option,
    now,
    registry_place,
    today_option,
)
from keyhole.errors import Refused

if TYPE_CHECKING:
    from keyhole.registry.audit import Work
    from keyhole.registry.database import Registry
    from keyhole.registry.record import Recorded

_ABOUT = {
    "patient": "A patient, under a pseudonym.",
    "episode": "A patient's stay for an operation, also before the operation.",
    "operation": "An operation, with the plan, forecast, findings and programme of a case folder.",
    "snapshot": "Plan, forecast, findings and programme of a case folder, as they are now.",
    "response": "A score, or the answers to the items of a questionnaire.",
    "complication": "Something that went wrong.",
    "readmission": "Back in hospital.",
    "reoperation": "Operated on again.",
    "measure": "A measure of an image.",
}


class RecordCommands(LazyGroup):
    """The commands of `keyhole registry record`, made from the table of fields when one is used."""

    commands_of = {name: (__name__, about) for name, about in _ABOUT.items()}  # noqa: RUF012 - as in every group

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `cmd_name`, or None."""
        if cmd_name not in _ABOUT:
            return None
        special = {"operation": _operation, "snapshot": _snapshot}
        return special[cmd_name]() if cmd_name in special else _plain(cmd_name)


@click.group("record", cls=RecordCommands)
def record_command() -> None:
    """Record what happened to a patient; every record says who made it and when."""


def _plain(entity: str) -> click.Command:
    """The command that records one `entity`: an option for each of its fields."""

    def run(url: str, actor: str, today: date, as_json: bool, **given: Any) -> None:
        identity, key = given.pop("identity", None), given.pop("key", None)
        answers = given.pop("answers", None)
        if answers is not None:
            given["items"] = _items(answers)
        with _work(url, actor) as (work, registry):
            from keyhole.registry.record import record

            made = record(work, entity, _without_none(given), today=today)
            if identity is not None:
                _identify(work, registry, made.id, identity, key)
        _show((made,), made.caveats, as_json, given.get("episode"))

    options = [] if entity != "patient" else [_identity_option(), key_option]
    if entity == "response":
        options = [_answers_option()]
    names = [name for name in _fields(entity) if name != "items"]
    return _command(entity, run, [*(_option(entity, name) for name in names), *options])


def _operation() -> click.Command:
    """The command that records an operation: the fields of episode and procedure, or a case folder."""

    def run(url: str, actor: str, today: date, as_json: bool, case: str | None, **given: Any) -> None:
        from keyhole.casefile import Case

        with _work(url, actor) as (work, _):
            from keyhole.registry.operation import record_operation

            folder = None if case is None else Case(Path(case))
            made, caveats = record_operation(work, _without_none(given), today=today, case=folder)
        _show(made, caveats, as_json, given.get("episode"))

    of_episode = [name for name in _fields("episode") if name not in ("code", "surgery_date")]
    day = click.option("--date", "--surgery-date", "surgery_date", help="day of the operation; a day, YYYY-MM-DD")
    folder = click.option(
        "--case", type=click.Path(), help="A case folder: what was planned is what was done, unless said otherwise."
    )
    options = [folder, day, *(_option("procedure", name) for name in _fields("procedure"))]
    return _command("operation", run, [*options, *(_option("episode", name) for name in of_episode)])


def _snapshot() -> click.Command:
    """The command that keeps the files of a case folder with an episode."""

    def run(url: str, actor: str, today: date, as_json: bool, episode: str, case: str) -> None:
        from keyhole.casefile import Case

        with _work(url, actor) as (work, _):
            from keyhole.registry.operation import record_snapshots

            made, caveats = record_snapshots(work, episode, Case(Path(case)))
        _show(made, caveats if made or as_json else ("all of it is kept already", *caveats), as_json, episode)

    code = click.option("--episode", required=True, help="The episode's code.")
    return _command("snapshot", run, [code, click.option("--case", required=True, help="A case folder.")])


def _command(name: str, run: Callable[..., None], options: Sequence[Callable[..., Any]]) -> click.Command:
    decorated: Any = run
    for option in reversed([*options, registry_place, actor_option, today_option, json_option]):
        decorated = option(decorated)
    return click.command(name, help=_ABOUT[name])(decorated)


@contextmanager
def _work(url: str, actor: str) -> Iterator[tuple[Work, Registry]]:
    from keyhole.registry.audit import working
    from keyhole.registry.database import open_registry

    with open_registry(url) as registry, working(registry, actor, now()) as work:
        yield work, registry


def _fields(entity: str) -> tuple[str, ...]:
    from keyhole.registry.edge import TABLE_OF
    from keyhole.registry.tables.fields import fields_of

    return tuple(field.name for field in fields_of(TABLE_OF[entity]))


def _option(entity: str, name: str) -> Callable[..., Any]:
    from keyhole.registry.edge import TABLE_OF
    from keyhole.registry.tables.fields import fields

    field = fields()[f"{TABLE_OF[entity]}.{name}"]
    return click.option(f"--{name.replace('_', '-')}", name, help=f"{field.meaning}: {field.expected}")


def _answers_option() -> Callable[..., Any]:
    return click.option("--answers", metavar="1,2,-,...", help="The items' answers in order, - for one left out.")


def _identity_option() -> Callable[..., Any]:
    return click.option(
        "--identity", metavar="FILE|-", help="A JSON file (or - for the input) of name, birth_date, ..."
    )


def _items(answers: str) -> list[float | None]:
    found: list[float | None] = []
    for word in answers.replace(";", ",").split(","):
        bare = word.strip()
        try:
            found.append(None if bare in ("", "-") else float(bare))
        except ValueError:
            expected = "expected numbers with commas between them, - for one left out"
            raise Refused("answers", f"{expected}, got {bare[:40]!r}") from None
    return [None if x is None else int(x) if x == int(x) else x for x in found]


def _identify(work: Work, registry: Registry, number: int, identity: str, key: str | None) -> None:
    from keyhole.registry.identity import check_kept, identify, read_key, unlock
    from keyhole.registry.models import Patient

    check_kept(registry)
    vault = unlock(registry, read_key(None if key is None else Path(key), os.environ))
    try:
        text = sys.stdin.read() if identity == "-" else Path(identity).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise Refused("identity", "expected a readable JSON file of an object") from error
    if not isinstance(found, dict):
        raise Refused("identity", 'expected a JSON object such as {"name": "..."}')
    identify(work, vault, work.session.get_one(Patient, number), found)


def _show(made: Sequence[Recorded], caveats: Sequence[str], as_json: bool, episode: str | None) -> None:
    if as_json:
        records = [{"entity": one.entity, **one.values} for one in made]
        echo_json({"recorded": records, "caveats": list(caveats)})
        return
    for one in made:
        click.echo(f"{one.entity} {one.id} recorded: {_told(one.values, episode)}")
    for caveat in caveats:
        click.echo(f"note: {caveat}")


def _told(values: Mapping[str, Any], episode: str | None) -> str:
    hidden = {"id", "version", "batch_id", "voided_at", "replaces_id", "patient_id", "episode_id", "made_at"}
    said = [] if episode is None or "code" in values else [f"episode {episode}"]
    for name, value in values.items():
        if name not in hidden and value not in (None, ""):
            shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
            said.append(f"{name.replace('_', ' ')} {'yes' if value is True else 'no' if value is False else shown}")
    return ", ".join(said)


def _without_none(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
