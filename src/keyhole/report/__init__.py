"""The report: one self-contained page for the surgeon, the same on paper, and the surfaces as files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keyhole.report.write import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    """`write_report`, loaded with its page, paper and meshes only when it is asked for."""
    if name == "write_report":
        return importlib.import_module("keyhole.report.write").write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
