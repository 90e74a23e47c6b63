"""The registry on one page: follow-up, outcomes, what went wrong, what was done, whom to ask."""

from keyhole.report.dashboard.data import Data
from keyhole.report.dashboard.load import from_registry
from keyhole.report.dashboard.page import dashboard_page, write_dashboard
from keyhole.report.dashboard.summary import Dashboard, summary, to_json
from keyhole.report.dashboard.wide import from_table

__all__ = [
    "Dashboard",
    "Data",
    "dashboard_page",
    "from_registry",
    "from_table",
    "summary",
    "to_json",
    "write_dashboard",
]
