"""The report of a comparison: one offline page with its plan first, its doubt beside every figure, and a checklist."""

from keyhole.report.comparison.write import write_comparison

__all__ = ["write_comparison"]
