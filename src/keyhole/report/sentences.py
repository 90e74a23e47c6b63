"""The sentences of the decision aid, one file a language, so that they can be translated in one place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from keyhole.errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """Every sentence by section and key, in one language."""

    lang: str
    table: Mapping[str, Any]

    def say(self, section: str, key: str, **values: object) -> str:
        """The sentence `key` of `section`, its braces filled."""
        found = self.table[section][key]
        if not isinstance(found, str):
            raise InvalidInput(f"words of the decision aid, {section}.{key}: expected a sentence, found a table")
        return found.format(**values)

    def listed(self, section: str) -> tuple[str, ...]:
        """The sentences of a list."""
        return tuple(self.table[section]["items"])

    def of(self, section: str, key: str) -> str:
        """The sentence `key` of `section`, else the one called "other"."""
        found = self.table[section]
        return str(found[key] if key in found else found["other"])

    def outcome(self, key: str, part: str, otherwise: str = "") -> str:
        """A part of what is said of an outcome: its name, unit, or what it is; `otherwise` where nothing is."""
        return str(self.table["outcome"].get(key, {}).get(part, otherwise))


@cache
def sentences(lang: str = "en") -> Sentences:
    """The sentences in language `lang`."""
    file = files("keyhole.report").joinpath("words", f"{lang}.toml")
    if not file.is_file():
        raise InvalidInput(f"the decision aid has no words in language {lang!r}")
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return Sentences(str(table["lang"]), table)
