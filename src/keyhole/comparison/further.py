"""Everything beyond the main comparison, part by part; a part that cannot be told leaves its reason instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from keyhole.casefile.store import RESEARCH_USE
from keyhole.comparison.centres import CentreEffects, mixed
from keyhole.comparison.funnel import Funnel, funnel
from keyhole.comparison.hazard import Hazard, hazard_ratio
from keyhole.comparison.learning import Learning, cusum
from keyhole.comparison.model import Comparison, Settings
from keyhole.comparison.record import plain
from keyhole.comparison.subgroups import Subgroups, subgroups
from keyhole.comparison.survival import Restricted, Survival, Times, kaplan_meier, restricted_mean, risk, times_of
from keyhole.comparison.table import Table, texts
from keyhole.errors import KeyholeError

SCHEMA = "keyhole.comparison-further/1"
EVENTS = ("complication", "readmitted", "reoperated")
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, eq=False)
class Further:
    """Parts of the report; None where a part could not be made. not_done : part and reason, in one sentence."""

    subgroups: Subgroups | None
    centres: CentreEffects | None
    reoperation: Survival | None
    reoperation_times: Times | None
    reoperation_risk: Restricted | None
    hazard: Hazard | None
    recovery: Survival | None
    recovery_times: Times | None
    recovery_mean: Restricted | None
    learning: tuple[Learning, ...]
    funnels: tuple[Funnel, ...]
    not_done: tuple[tuple[str, str], ...]


class _Parts:
    """Makes parts and keeps the reasons of those that could not be made."""

    def __init__(self) -> None:
        self.not_done: list[tuple[str, str]] = []

    def of(self, name: str, make: Callable[[], Part]) -> Part | None:
        try:
            return make()
        except (KeyholeError, np.linalg.LinAlgError) as error:
            self.not_done.append((name, str(error)))
            return None


def further(table: Table, main: Comparison) -> Further:
    """Subgroups, centres, reoperation, recovery, surgeons and funnels of the table that `main` was made from.

    Covariates are those of the main comparison; times are adjusted with fewer completed tables than the main result.
    """
    parts, arm, named = _Parts(), main.treatment, list(main.covariates)
    trim = None if main.trimmed.low is None or main.trimmed.high is None else (main.trimmed.low, main.trimmed.high)
    lighter = _lighter(main.settings)
    seed = main.settings.seed
    return Further(
        parts.of("Subgroups", lambda: subgroups(table, main.outcome, arm, named, trim=trim, seed=seed)),
        parts.of("Centres", lambda: mixed(table, main.outcome, arm, named, seed=seed)),
        parts.of("Time to reoperation", lambda: kaplan_meier(table, "reoperation", arm)),
        _quietly(lambda: times_of(table, "reoperation", arm)),
        parts.of("Risk of reoperation", lambda: risk(table, "reoperation", arm, adjust=(named, lighter))),
        parts.of("Hazard ratio of reoperation", lambda: hazard_ratio(table, "reoperation", arm, named, seed=seed)),
        parts.of("Time to recovery", lambda: kaplan_meier(table, "recovery", arm)),
        _quietly(lambda: times_of(table, "recovery", arm)),
        parts.of("Mean time to recovery", lambda: restricted_mean(table, "recovery", arm, adjust=(named, lighter))),
        _several(
            parts,
            "Surgeons in their order",
            ("complication", "minutes"),
            lambda name: _numbered(cusum(table, name, arm, named, seed=seed), table),
        ),
        _several(parts, "Funnel of centres", EVENTS, lambda name: funnel(table, name, arm, named, seed=seed)),
        tuple(parts.not_done),
    )


def _numbered(held: Learning, table: Table) -> Learning:
    """The charts with surgeons numbered in the order of their codes in the table, which may be names."""
    codes = sorted(set(texts(table, "surgeon").tolist()) - {""})
    number = {code: f"surgeon {n:0{len(str(len(codes)))}d}" for n, code in enumerate(codes, start=1)}
    charts = tuple(replace(one, surgeon=number[one.surgeon]) for one in held.charts)
    return replace(held, charts=charts, too_few=tuple((number[name], count) for name, count in held.too_few))


def _lighter(settings: Settings) -> Settings:
    return replace(settings, imputations=min(settings.imputations or 5, 5), auxiliary=())


def _quietly(make: Callable[[], Part]) -> Part | None:
    """The part, None where the same reason was already told."""
    return _Parts().of("", make)


def _several(parts: _Parts, title: str, names: tuple[str, ...], make: Callable[[str], Part]) -> tuple[Part, ...]:
    def one(name: str) -> Callable[[], Part]:
        return lambda: make(name)

    found = [parts.of(f"{title}: {name}", one(name)) for name in names]
    return tuple(part for part in found if part is not None)


def plain_further(found: Further) -> dict[str, Any]:
    """All parts as plain values for JSON; curves and times as steps, what is not finite as null."""
    told = {
        name: _plain(getattr(found, name))
        for name in ("subgroups", "centres", "reoperation", "reoperation_risk", "hazard", "recovery", "recovery_mean")
    }
    told |= {"learning": _plain(found.learning), "funnels": _plain(found.funnels)}
    not_done = [{"part": part, "reason": reason} for part, reason in found.not_done]
    return {"schema": SCHEMA, "notice": RESEARCH_USE} | told | {"not_done": not_done}


def _plain(value: Any) -> Any:
    if isinstance(value, Comparison):
        return plain(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _fields(value)}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _fields(value: Any) -> tuple[str, ...]:
    return tuple(value.__dataclass_fields__)
