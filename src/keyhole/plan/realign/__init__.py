"""Realignment and fusion: cages, the rigid motion of a level, what it changes."""

from keyhole.plan.realign.again import measured_again
from keyhole.plan.realign.cages import Cage, CageLine, cages
from keyhole.plan.realign.fusion import Wish, fusion
from keyhole.plan.realign.motion import Goal, Realigned, realign_levels
from keyhole.plan.realign.moved import Moved, after, moved
from keyhole.plan.realign.seat import Placed, Seat, Way, beds, contact, fit_cage, goal_of, placed

__all__ = [
    "Cage",
    "CageLine",
    "Goal",
    "Moved",
    "Placed",
    "Realigned",
    "Seat",
    "Way",
    "Wish",
    "after",
    "beds",
    "cages",
    "contact",
    "fit_cage",
    "fusion",
    "goal_of",
    "measured_again",
    "moved",
    "placed",
    "realign_levels",
]
