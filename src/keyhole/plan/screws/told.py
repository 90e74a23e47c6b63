"""Screws of a level added to its plan."""

from __future__ import annotations

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import PlanRecord
from keyhole.plan.doubt import Budget
from keyhole.plan.screws.planner import plan_screws
from keyhole.plan.screws.record import record
from keyhole.terms import split

SCREWS = "percutaneous-screws"
"""The approach that is planned here, not searched as a corridor."""


def with_screws(made: PlanRecord, anatomy: Anatomy, budget: Budget, trajectory: str = "pedicle") -> PlanRecord:
    """The plan `made` with the screws of its level, both sides, where its goal needs any."""
    if made.goal not in ("screws", "fuse"):
        return made
    plans = plan_screws(anatomy, split(made.level), trajectory=trajectory, error=budget)
    told = tuple(r for r in made.rejected if r.approach != SCREWS)
    return made.model_copy(update={"screws": record(anatomy, plans, trajectory), "rejected": told})
