"""One published result, MISS against open, as a table holds it."""

from __future__ import annotations

import re
from dataclasses import dataclass

STATUSES = {
    "read": "taken from the named source's page, abstract or table",
    "measured": "counted by the clinic on its own patients",
    "unverified": "from general knowledge; shown as such and never pooled",
}
FINDINGS = ("", "no difference", "lower", "higher")
"""What a synthesis says in words where it prints no interval: MISS against open, by its own significance."""
_RATIOS = {"or": re.compile(r"OR\b(?!/)"), "rr": re.compile(r"RR\b(?!/)"), "smd": re.compile(r"SMD\b")}
_NO_DIFFERENCE = re.compile(r"(OR|RR|HR|SMD|events|text)\b")
_TURNED = re.compile(r"positive\s*=|open minus|open vs", re.IGNORECASE)
_ASIDE = re.compile(r"\[.*?\]|\(.*?\)")
_NAME = 40  # letters that a line of a forest plot has room for
_SYNTHESIS = re.compile(r"meta-analysis|systematic review", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Arm:
    """What is known of one arm; None where the source does not say."""

    n: int | None = None
    mean: float | None = None
    sd: float | None = None
    events: int | None = None
    pct: float | None = None
    median: float | None = None
    q1: float | None = None
    q3: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One result of one source; `place` is the file and its row as a spreadsheet counts, the header being row 1.

    `effect`, `low` and `high` are as published: MISS minus open, or MISS over open, unless `turned`, which is None
    where the row's words leave the sign open. `cohort` names the patients; `studies` counts those of a synthesis.
    """

    place: str
    procedure: str
    comparator: str
    outcome: str
    unit: str
    timepoint: str
    miss: Arm
    open: Arm
    effect: float | None
    low: float | None
    high: float | None
    source: str
    ids: tuple[str, ...]
    url: str
    status: str
    design: str
    note: str
    cohort: str = ""
    studies: int | None = None
    turned: bool | None = False
    covariates: tuple[tuple[str, float], ...] = ()
    label: str = ""
    finding: str = ""

    @property
    def name(self) -> str:
        """A short name of the study: its label, else the first words of its source."""
        if self.label:
            return self.label
        words = _ASIDE.sub("", self.source).strip(" .,;")
        return words if len(words) <= _NAME else words[:_NAME].rsplit(" ", 1)[0].rstrip(" ,;.") + "…"

    @property
    def patients(self) -> str:
        """Whose results these are: the named cohort, else the first identifier, else the source's words."""
        return (self.cohort or (self.ids[0] if self.ids else "") or self.source).casefold()

    @property
    def is_synthesis(self) -> bool:
        """Whether the row is itself a pool of other studies."""
        return bool(_SYNTHESIS.search(self.design))

    @property
    def is_among_miss(self) -> bool:
        """Whether the row says that it compares one small opening with another."""
        return "miss vs miss" in f"{self.procedure} {self.comparator}".casefold()

    @property
    def scale(self) -> str:
        """Scale of `effect`: or, rr, smd or md; empty where the unit names none of these alone."""
        for name, pattern in _RATIOS.items():
            if pattern.match(self.unit):
                return name
        return "" if _NO_DIFFERENCE.match(self.unit) else "md"

    @property
    def address(self) -> str:
        """Where the source can be opened."""
        return self.ids[0] if self.ids else self.url


def sign_is_open(unit: str) -> bool:
    """Whether the words of `unit` say or suggest that the effect is not MISS minus open."""
    return bool(_TURNED.search(unit))
