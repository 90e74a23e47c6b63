"""How much a pool rests on one study or on one kind of study."""

from __future__ import annotations

from keyhole.forecast.counts import pool_any
from keyhole.forecast.pool import Pool


def leave_one_out(found: Pool) -> tuple[tuple[str, Pool], ...]:
    """The pool again without each study in turn, by that study's name; empty for one study."""
    if found.k < 2:
        return ()
    rest = ((study.name, tuple(other for other in found.studies if other is not study)) for study in found.studies)
    return tuple((name, pool_any(others, found.measure, found.model)) for name, others in rest)


def by_design(found: Pool) -> tuple[tuple[str, Pool], ...]:
    """The pool again within each design, by the design's words."""
    designs = sorted({study.design for study in found.studies})
    groups = ((name, tuple(study for study in found.studies if study.design == name)) for name in designs)
    return tuple((name, pool_any(group, found.measure, found.model)) for name, group in groups)
