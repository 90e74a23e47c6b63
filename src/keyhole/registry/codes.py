"""The words that a registry takes: Keyhole's own lists, operations and approaches of its catalogues, instruments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keyhole.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Code:
    """One word, what it means, and where it is from."""

    key: str
    title: str
    source: str


@cache
def codes(kind: str) -> Mapping[str, Code]:
    """The words of one `kind`: indications, complications, readmissions, reoperations, grades (of complications)."""
    lists = _lists()
    if kind not in lists:
        raise InvalidInput(f"no list of codes is called {kind!r}; there are {', '.join(lists)}")
    return {key: Code(key, **row) for key, row in lists[kind].items()}


@cache
def operations() -> tuple[str, ...]:
    """The operations that published results are kept for, and ``other``."""
    text = files("keyhole.evidence").joinpath("procedures.toml").read_text(encoding="utf-8")
    return (*tomllib.loads(text), "other")


@cache
def approaches() -> Mapping[str, bool]:
    """Every approach of the catalogue and whether it is a small opening; ``other-small`` and ``other-open`` besides."""
    text = files("keyhole").joinpath("plan/approaches.toml").read_text(encoding="utf-8")  # without what planning loads
    own = {name: row.get("kind", "tube") != "open" for name, row in tomllib.loads(text).items()}
    return own | {"other-small": True, "other-open": False}


@cache
def _lists() -> Mapping[str, dict[str, dict[str, str]]]:
    return tomllib.loads(files("keyhole.registry").joinpath("codes.toml").read_text(encoding="utf-8"))
