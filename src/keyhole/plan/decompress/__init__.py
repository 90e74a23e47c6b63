"""What is removed through a docked tube, how little of it reaches a goal, and what that changes."""

from keyhole.plan.decompress.canal import Canal, canal
from keyhole.plan.decompress.curves import facet_curves
from keyhole.plan.decompress.goal import Goal
from keyhole.plan.decompress.record import decompression
from keyhole.plan.decompress.removal import Removal, decompress, laid_open

__all__ = ["Canal", "Goal", "Removal", "canal", "decompress", "decompression", "facet_curves", "laid_open"]
