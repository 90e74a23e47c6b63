"""What is indicated: levels and sides whose measures lie outside the norm, with the reasons."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keyhole.casefile import FindingsRecord
from keyhole.report.tables import References
from keyhole.report.wording import Notes, listed

GOALS = {"decompress": "decompression", "fuse": "fusion"}
_KEY = re.compile(r"\[([a-z0-9-]+)\]")


@dataclass(frozen=True, slots=True)
class Target:
    """One level, a side where there is one, what for, and why it is indicated."""

    level: str
    side: str
    goals: str
    reasons: tuple[str, ...]
    notes: tuple[int, ...]


def targets(findings: FindingsRecord | None, notes: Notes, references: References | None = None) -> tuple[Target, ...]:
    """The proposed targets, worst first; keys of sources in the reasons become numbers of `references`."""
    made = []
    for one in findings.indicated if findings is not None else ():
        where = " ".join(filter(None, (one.level, one.side)))
        numbers = notes.add(one.caveats, f"indicated {where}")
        reasons = tuple(_cited(reason, references) for reason in one.reasons)
        made.append(Target(one.level, one.side or "", listed([GOALS[goal] for goal in one.goals]), reasons, numbers))
    return tuple(made)


def _cited(reason: str, references: References | None) -> str:
    """`reason` with numbers in place of keys of sources."""
    return _KEY.sub(lambda found: references.cite(found[1]), reason) if references is not None else reason
