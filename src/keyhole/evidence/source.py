"""Citations by key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keyhole.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Source:
    """One citation: its key, kind (paper, standard, method or choice), text and address."""

    key: str
    kind: str
    text: str
    doi: str = ""
    pmid: str = ""
    url: str = ""

    @property
    def address(self) -> str:
        """Where the source can be opened: a DOI, a PubMed number or a URL; empty for Keyhole's own."""
        if self.doi:
            return f"doi:{self.doi}"
        return f"PMID {self.pmid}" if self.pmid else self.url


@cache
def sources() -> dict[str, Source]:
    """Every citation, by key, from `sources.toml`."""
    table = tomllib.loads(files("keyhole.evidence").joinpath("sources.toml").read_text(encoding="utf-8"))
    return {key: Source(key, **row) for key, row in table.items()}


def source(key: str) -> Source:
    """The citation `key`; an unknown key is refused."""
    if key not in sources():
        raise InvalidInput(f"no source has the key {key!r}; add it to evidence/sources.toml")
    return sources()[key]
