"""The rehabilitation programme on pages: a sheet for the patient, a summary for the therapist, a calendar."""

from keyhole.report.rehab.calendar import calendar
from keyhole.report.rehab.figures import figure_svg
from keyhole.report.rehab.poses import FIGURES
from keyhole.report.rehab.write import PAGES, rehab_files, write_rehab

__all__ = ["FIGURES", "PAGES", "calendar", "figure_svg", "rehab_files", "write_rehab"]
