"""What a plan prints of its doubt: how accurate navigation must be, and the corridor that is best at 95 %."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyhole.cli.render import number

if TYPE_CHECKING:
    from keyhole.casefile import PlanRecord


def doubt_lines(record: PlanRecord) -> list[str]:
    """A sentence for each approach, then the corridor that is first in the robust order and what dominates there."""
    lines = [f"  {needed.sentence}" for needed in record.needed]
    first = next((c for c in record.candidates if c.doubt is not None and c.doubt.robust_rank == 1), None)
    if first is None or first.doubt is None:
        return lines
    kept = first.doubt.kept_clearance
    stays = "nothing is near it" if kept is None else f"it stays {number(kept.value)} mm clear in 95 % of executions"
    worst = f"; {first.doubt.dominant} error counts most, beside {first.doubt.worst}" if first.doubt.worst else ""
    return [*lines, f"  best at 95 %: corridor {first.rank}, {first.approach} from the {first.side}: {stays}{worst}"]
