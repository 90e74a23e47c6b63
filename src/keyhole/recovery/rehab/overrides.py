"""What the surgeon sets in place of protocol or case: KEY=VALUE from flags or a file, each recorded with a name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyhole.casefile import OverrideEntry
from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.recovery.rehab.protocol import Protocol

FACTS = ("procedure", "approach", "levels", "age", "asa")
"""What of the case may be set."""

OF_PHASE = ("to-week", "add", "without", "precaution")
"""What of a phase may be set, as PHASE.to-week=3."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """Settings in the order they were given, and who gave them."""

    settings: tuple[tuple[str, str], ...] = ()
    by: str = ""

    def __post_init__(self) -> None:
        if self.settings and not self.by.strip():
            first = "=".join(self.settings[0])
            raise InvalidInput(f"{first} is set, so the programme must say by whom: give --by NAME")

    @property
    def facts(self) -> dict[str, str]:
        """Those that are about the case."""
        return {key: value for key, value in self.settings if key in FACTS}


@dataclass(frozen=True, slots=True)
class Changes:
    """Overrides of a protocol, sorted by what they change."""

    chosen: dict[str, str]
    to_week: dict[str, int]
    of_phase: tuple[tuple[str, str, str], ...]  # phase, what, value

    def precautions(self, phase: str) -> tuple[str, ...]:
        """Sentences added to `phase`."""
        return self._of(phase, "precaution")

    def without(self, phase: str) -> tuple[str, ...]:
        """Exercises left out of `phase`."""
        return self._of(phase, "without")

    def added(self, phase: str) -> tuple[tuple[str, str], ...]:
        """Exercises added to `phase` with their dose."""
        pairs = (value.partition(":") for value in self._of(phase, "add"))
        return tuple((key.strip(), dose.strip() or "as your therapist says") for key, _, dose in pairs)

    def _of(self, phase: str, what: str) -> tuple[str, ...]:
        return tuple(value for key, asked, value in self.of_phase if key == phase and asked == what)


def parse_settings(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE texts as pairs."""
    found = []
    for text in texts:
        key, mark, value = text.partition("=")
        if not mark or not key.strip() or not value.strip():
            raise InvalidInput(f"--set takes KEY=VALUE, got {text!r}")
        found.append((key.strip(), value.strip()))
    return tuple(found)


def read_overrides(path: Path, by: str = "") -> Overrides:
    """Overrides from a TOML file: `by`, and under [set] one line KEY = VALUE or a list of values for each.

    `by` given here goes before that of the file.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableFile(f"{path.name} must be TOML in UTF-8: {error}") from error
    extra = sorted(table.keys() - {"by", "set"})
    held, whose = table.get("set", {}), by or table.get("by", "")
    if extra or not isinstance(held, dict) or not isinstance(whose, str):
        raise InvalidInput(f'{path.name} may hold by = "NAME" and a table [set], found {", ".join(extra) or "others"}')
    return Overrides(tuple(_pairs(path.name, held, "")), whose)


def _pairs(file: str, table: dict[str, object], before: str) -> Iterable[tuple[str, str]]:
    for key, value in table.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            yield from _pairs(file, value, f"{name}.")
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bool) or not isinstance(one, str | int | float) or not str(one).strip():
                raise InvalidInput(f"{file}: {name} must be words or a number, got {one!r}")
            yield name, str(one).strip()


def changes(overrides: Overrides, protocol: Protocol) -> Changes:
    """The overrides that change `protocol`; a key that means nothing there is refused with those that do."""
    conflicts = {one.key for one in protocol.conflict}
    phases = {one.key for one in protocol.phase}
    chosen: dict[str, str] = {}
    to_week: dict[str, int] = {}
    of_phase = []
    for key, value in overrides.settings:
        phase, _, what = key.partition(".")
        if key in conflicts:
            chosen[key] = value
        elif phase in phases and what == "to-week":
            to_week[phase] = _week(key, value)
        elif phase in phases and what in OF_PHASE:
            of_phase.append((phase, what, value))
        elif key not in FACTS:
            known = [*FACTS, *sorted(conflicts), *(f"{one.key}.{what}" for one in protocol.phase for what in OF_PHASE)]
            raise InvalidInput(f"nothing of this programme is called {key!r}; known are {', '.join(known)}")
    return Changes(chosen, to_week, tuple(of_phase))


def _week(key: str, value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 520:
        raise InvalidInput(f"{key} must be a week from 1 to 520, got {value!r}")
    return int(value)


def override_entries(
    overrides: Overrides, protocol: Protocol, was: Sequence[tuple[str, str]]
) -> tuple[OverrideEntry, ...]:
    """The overrides as rehab.json records them; `was` holds what the case or the protocol said, by key."""
    before = dict(was) | {one.key: one.chosen for one in protocol.conflict}
    before |= {f"{one.key}.to-week": str(one.to_week) for one in protocol.phase}
    return tuple(
        OverrideEntry(key=key, value=value, was=before.get(key, ""), by=overrides.by)
        for key, value in overrides.settings
    )
