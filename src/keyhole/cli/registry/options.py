"""The options that the commands of a registry share."""

from __future__ import annotations

import functools
import getpass
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

registry_option = click.option(
    "--registry",
    "-r",
    "url",
    default="registry.db",
    show_default=True,
    envvar="KEYHOLE_REGISTRY",
    metavar="FILE|URL",
    help="The registry: a SQLite file, or postgresql://user@host/name; else KEYHOLE_REGISTRY.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
reason_option = click.option("--reason", required=True, help="Why, in a few words; it goes into the trail.")
key_option = click.option(
    "--key",
    type=click.Path(dir_okay=False),
    help="The file of the identities' key; else KEYHOLE_IDENTITY_KEY.",
)


def registry_place(command: Callable[..., Any]) -> Callable[..., Any]:
    """The registry as the first word, as import and export take it, or by `--registry`."""

    @functools.wraps(command)
    def run(*, place: str | None, url: str, **rest: Any) -> Any:
        return command(url=place or url, **rest)

    argument = click.argument("place", required=False, metavar="[FILE|URL]")
    return registry_option(argument(run))


def actor_option(command: Command) -> Command:
    """`--by`: who records; the name under which the machine knows the user, where nothing is said."""
    return click.option(
        "--by", "actor", default=_user, envvar="KEYHOLE_ACTOR", help="Who records; else KEYHOLE_ACTOR, else your login."
    )(command)


def today_option(command: Command) -> Command:
    """`--today`: the day that counts as today."""
    return click.option(
        "--today",
        type=click.DateTime(["%Y-%m-%d"]),
        callback=lambda _, __, given: date.today() if given is None else given.date(),
        help="The day that counts as today, YYYY-MM-DD; else the system's.",
    )(command)


def now() -> datetime:
    """The time of an act, for the trail."""
    return datetime.now(UTC).replace(microsecond=0)


def echo_json(content: Mapping[str, Any]) -> None:
    """Print `content` as one JSON object that says what it may be used for."""
    from keyhole.casefile import RESEARCH_USE

    click.echo(json.dumps({"research_use": RESEARCH_USE, **content}, ensure_ascii=False, allow_nan=False, default=str))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
