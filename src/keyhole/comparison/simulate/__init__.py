"""A made-up registry with known true effects, so that methods can be shown to work, and to fail."""

from keyhole.comparison.simulate.registry import Simulated, simulate
from keyhole.comparison.simulate.settings import Settings
from keyhole.comparison.simulate.write import write_simulated

__all__ = ["Settings", "Simulated", "simulate", "write_simulated"]
