"""The report: one self-contained page for the surgeon, the same on paper, and the surfaces as files."""

from keyhole.report.write import write_report

__all__ = ["write_report"]
