"""Corridors through small openings, searched and compared with the open operation."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from keyhole.plan.approaches import Approach, catalogue
    from keyhole.plan.interactive import Corridor, Desk, Front, Score, desk, front, ranked, score
    from keyhole.plan.planner import plan, plan_case

__all__ = [
    "Approach",
    "Corridor",
    "Desk",
    "Front",
    "Score",
    "catalogue",
    "desk",
    "front",
    "plan",
    "plan_case",
    "ranked",
    "score",
]

_MODULES = {"Approach": "approaches", "catalogue": "approaches", "plan": "planner", "plan_case": "planner"}


def __getattr__(name: str) -> _Any:
    """A name of the planner, with its module loaded: who asks for the catalogue alone does not wait for the rest."""
    if name in __all__:
        return getattr(_import_module(f"keyhole.plan.{_MODULES.get(name, 'interactive')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is to complete at a prompt, loaded or not."""
    return sorted({*globals(), *__all__})
