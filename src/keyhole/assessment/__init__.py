"""Measures of the spine with their uncertainty, grade and source; what they point at."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from keyhole.assessment.findings import assess, assess_case
    from keyhole.assessment.readers.case import import_readings
    from keyhole.assessment.readers.compare import Comparison, compare_case
    from keyhole.assessment.readers.table import export_findings

__all__ = ["Comparison", "assess", "assess_case", "compare_case", "export_findings", "import_readings"]

_MODULES = {
    "Comparison": "readers.compare",
    "assess": "findings",
    "assess_case": "findings",
    "compare_case": "readers.compare",
    "export_findings": "readers.table",
    "import_readings": "readers.case",
}


def __getattr__(name: str) -> _Any:
    """A name in `_MODULES`, with its module loaded: who asks for one table alone does not wait for every measure."""
    if name in _MODULES:
        return getattr(_import_module(f"keyhole.assessment.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is to complete at a prompt, loaded or not."""
    return sorted({*globals(), *__all__})
