"""Corridors through small openings, searched and compared with the open operation."""

from keyhole.plan.approaches import Approach, catalogue
from keyhole.plan.planner import plan, plan_case

__all__ = ["Approach", "catalogue", "plan", "plan_case"]
