"""Tables as both the page and the paper show them: words, no layout."""

from __future__ import annotations

from dataclasses import dataclass

from keyhole.evidence import sources
from keyhole.report.wording import Text


@dataclass(frozen=True, slots=True)
class Column:
    """The head of one column; numbers stand to the right."""

    label: str
    numeric: bool = False
    notes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `kind` is "group" for a heading across the table, "part" for an indented row, "" otherwise."""

    cells: tuple[Text, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, columns and rows; the first cell of each row names it. `foot` explains what the cells mean."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    foot: str = ""


class References:
    """Citations in the order in which they are first used, numbered from 1."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def cite(self, key: str) -> str:
        """The number of source `key` in brackets; a text that is no key is returned as it is."""
        if key not in sources():
            return key
        if key not in self._keys:
            self._keys.append(key)
        return f"[{self._keys.index(key) + 1}]"

    def listed(self) -> tuple[tuple[int, str, str, str], ...]:
        """Every citation used: number, text, address as text, and the address to open ("" if it has none)."""
        found = []
        for n, key in enumerate(self._keys, start=1):
            cited = sources()[key]
            found.append((n, cited.text, cited.address, _link(cited.doi, cited.pmid, cited.url)))
        return tuple(found)


def _link(doi: str, pmid: str, url: str) -> str:
    if doi:
        return f"https://doi.org/{doi}"
    return f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" if pmid else url
