"""Small openings against open operations in patients who were not drawn by lot: estimates, and what they rest on."""

from keyhole.comparison.compare import estimate
from keyhole.comparison.model import Comparison, Effect, Settings
from keyhole.comparison.record import plain
from keyhole.comparison.table import Table, read_table, write_table

__all__ = ["Comparison", "Effect", "Settings", "Table", "estimate", "plain", "read_table", "write_table"]
