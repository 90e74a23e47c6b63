"""The report: one self-contained page for the surgeon, the same on paper, and the surfaces as files."""

from collections.abc import Callable as _Callable
from pathlib import Path as _Path

__all__ = ["write_report"]


def __getattr__(name: str) -> _Callable[..., _Path]:
    """`write_report`, loaded with its page, paper and meshes only when it is asked for."""
    if name == "write_report":
        from keyhole.report.write import write_report  # noqa: PLC0415  (heavy import)

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
