"""Who is in the table and who is compared: numbers at each stage, setting, follow-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.comparison.model import Comparison
from keyhole.comparison.table import Mask, Table, missing, numbers, texts

SIMULATED = "SIM-E"
"""How the episodes of a simulated registry begin."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Patients of both arms at one stage (arm 1, arm 0), as written."""

    what: str
    one: str
    zero: str


def is_simulated(table: Table) -> bool:
    """Whether the table is a simulated registry, by the codes of its episodes."""
    if "episode" not in table or not len(table):
        return False
    return str(texts(table, "episode")[0]).startswith(SIMULATED)


def flow(table: Table, found: Comparison) -> list[Stage]:
    """Numbers from the rows of the table to the patients compared."""
    arm = numbers(table, found.treatment)
    known = ~missing(table, found.outcome)
    one, zero = arm == 1, arm == 0
    unknown = int((~one & ~zero).sum())
    stages = [
        Stage("Rows of the table with a known arm", f"{int(one.sum()):,}", f"{int(zero.sum()):,}"),
        Stage("with the outcome known", _share(known, one), _share(known, zero)),
        Stage("compared, after the trimming rule", f"{found.n_arms[1]:,}", f"{found.n_arms[0]:,}"),
    ]
    if unknown:
        stages.insert(0, Stage(f"{unknown:,} rows without a known arm are left out", "–", "–"))
    if "followup_days" in table:
        days = numbers(table, "followup_days")
        stages.append(Stage("Median days of follow-up", _median(days[one]), _median(days[zero])))
    return stages


def _share(known: Mask, arm: Mask) -> str:
    count = int((known & arm).sum())
    return f"{count:,} ({100 * count / max(int(arm.sum()), 1):.0f} %)"


def _median(days: Sequence[float]) -> str:
    held = np.asarray(days, dtype=np.float64)
    held = held[~np.isnan(held)]
    return f"{np.median(held):.0f}" if held.size else "not known"


def setting(table: Table) -> list[str]:
    """Places and dates that the table knows, in sentences."""
    said = []
    if "surgery_date" in table:
        dates = sorted(set(texts(table, "surgery_date").tolist()) - {""})
        if dates:
            said.append(f"Operations from {dates[0]} to {dates[-1]}.")
    counts = []
    for column, word in (("centre", "centre"), ("surgeon", "surgeon")):
        if column in table:
            many = len(set(texts(table, column).tolist()) - {""})
            counts.append(f"{many} {word}{'' if many == 1 else 's'}")
    if counts:
        said.append(f"{' and '.join(counts).capitalize()}.")
    if not said:
        said.append("The table names neither dates, centres nor surgeons.")
    return said
