"""Screws: where they fit, how large they may be, what becomes of them under error, and what joins them."""

from keyhole.plan.screws.model import GRADES, Screw, ScrewPlan
from keyhole.plan.screws.planner import look, plan_screws
from keyhole.plan.screws.sizes import System, Trajectory, system, systems, trajectory

__all__ = [
    "GRADES",
    "Screw",
    "ScrewPlan",
    "System",
    "Trajectory",
    "look",
    "plan_screws",
    "system",
    "systems",
    "trajectory",
]
