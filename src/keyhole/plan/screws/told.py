"""Screws of a level added to its plan."""

from __future__ import annotations

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import PlanRecord
from keyhole.errors import InvalidInput
from keyhole.plan.doubt import Budget
from keyhole.plan.screws.pelvis import S2AI
from keyhole.plan.screws.planner import plan_screws
from keyhole.plan.screws.record import record
from keyhole.terms import split

SCREWS = "percutaneous-screws"
"""The approach that is planned here, not searched as a corridor."""


GOALS = ("screws", "fuse")
"""Goals that need screws."""


def check_pelvic(level: str, goal: str) -> None:
    """Refuse S2-alar-iliac screws where the plan has no screws in S1 that they would go on from."""
    lower = split(level)[1]
    if goal not in GOALS or lower != "S1":
        raise InvalidInput(
            f"S2-alar-iliac screws go on from screws in S1: they need the goal {' or '.join(GOALS)} and level L5/S1, "
            f"got {goal} at {level}"
        )


def with_screws(
    made: PlanRecord, anatomy: Anatomy, budget: Budget, trajectory: str = "pedicle", *, is_pelvic: bool = False
) -> PlanRecord:
    """The plan `made` with the screws of its level, both sides, where its goal needs any; on request into the ilium."""
    if made.goal not in GOALS:
        return made
    places = (*split(made.level), *([S2AI] if is_pelvic else []))
    plans = plan_screws(anatomy, places, trajectory=trajectory, error=budget)
    told = tuple(r for r in made.rejected if r.approach != SCREWS)
    return made.model_copy(update={"screws": record(anatomy, plans, trajectory), "rejected": told})
