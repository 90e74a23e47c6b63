"""Measures of the spine with their uncertainty, grade and source; what they point at."""

from keyhole.assessment.findings import assess, assess_case
from keyhole.assessment.readers.case import import_readings
from keyhole.assessment.readers.compare import Comparison, compare_case
from keyhole.assessment.readers.table import export_findings

__all__ = ["Comparison", "assess", "assess_case", "compare_case", "export_findings", "import_readings"]
