"""Corridors through small openings, searched and compared with the open operation."""

from keyhole.plan.approaches import Approach, catalogue
from keyhole.plan.interactive import Corridor, Desk, Front, Score, desk, front, ranked, score
from keyhole.plan.planner import plan, plan_case

__all__ = [
    "Approach",
    "Corridor",
    "Desk",
    "Front",
    "Score",
    "catalogue",
    "desk",
    "front",
    "plan",
    "plan_case",
    "ranked",
    "score",
]
