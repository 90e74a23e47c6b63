"""The report's files: the page and what is behind its drawings."""

from __future__ import annotations

import json
from pathlib import Path

from keyhole.casefile.store import write_bytes
from keyhole.comparison.further import further, plain_further
from keyhole.comparison.model import Comparison
from keyhole.comparison.table import Table
from keyhole.report.comparison.page import comparison_page

PAGE, FURTHER = "index.html", "further.json"


def write_comparison(table: Table, found: Comparison, folder: Path) -> Path:
    """Write the page of `found`, and the figures of its further parts as JSON, into `folder`; returns the page's path.

    Parts that the table cannot give are named on the page with the reason.
    """
    more = further(table, found)
    told = json.dumps(plain_further(more), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = comparison_page(table, found, more)
    write_bytes(folder / FURTHER, told.encode())
    write_bytes(folder / PAGE, page)
    return folder / PAGE
