"""Measures of the spine with their uncertainty, grade and source."""

from keyhole.assessment.findings import assess, assess_case

__all__ = ["assess", "assess_case"]
