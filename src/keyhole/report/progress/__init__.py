"""The page of the course after the operation."""

from keyhole.report.progress.page import progress_page, write_progress

__all__ = ["progress_page", "write_progress"]
