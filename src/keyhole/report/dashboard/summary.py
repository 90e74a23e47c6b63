"""The whole dashboard as values, and what must be said first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from keyhole import __version__
from keyhole.casefile.store import RESEARCH_USE
from keyhole.errors import InvalidInput
from keyhole.report.dashboard.counts import (
    Counted,
    Done,
    Share,
    Unit,
    approaches,
    complications,
    readmissions,
    reoperations,
    share,
    units,
)
from keyhole.report.dashboard.data import BOTH, MISS, OPEN, UNKNOWN, Data, chosen
from keyhole.report.dashboard.follow import Completeness, Person, ToAsk, completeness, to_ask
from keyhole.report.dashboard.outcomes import Outcome, outcomes

ENOUGH = 0.80
"""Below this share of answers a visit is warned of (Keyhole's own choice)."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What a registry comes to on a day."""

    name: str
    today: date
    only: str
    episodes: int
    operated: int
    first: str
    last: str
    small: Share
    both: int
    unknown_arm: int
    warnings: tuple[str, ...]
    visits: tuple[Completeness, ...]
    ask: tuple[ToAsk, ...]
    persons: tuple[Person, ...]
    outcomes: tuple[Outcome, ...]
    complications: tuple[Counted, ...]
    readmissions: tuple[Counted, ...]
    reoperations: tuple[Counted, ...]
    years: tuple[str, ...]
    approaches: tuple[Done, ...]
    has_approaches: bool
    centres: tuple[Unit, ...]
    surgeons: tuple[Unit, ...]
    caveats: tuple[str, ...]


def summary(data: Data, today: date, *, centre: str = "", surgeon: str = "", by_surgeon: bool = False) -> Dashboard:
    """Count everything in `data` as it stands on `today`.

    Parameters
    ----------
    centre, surgeon : count these alone; an unknown name is refused.
    by_surgeon : list every surgeon by name; off by default, since single surgeons are known by it.
    """
    data = _only(data, centre, surgeon)
    data, future = _past(data, today)
    operated = data.surgery[data.operated]
    visits = completeness(data, today)
    ask, persons = to_ask(data, today)
    years, done = approaches(data)
    scores = outcomes(data, today)
    key = scores[0].key if scores else ""
    arms = {arm: int(((data.arm == arm) & data.operated).sum()) for arm in (MISS, OPEN, BOTH, UNKNOWN)}
    return Dashboard(
        name=data.name,
        today=today,
        only=", ".join(
            word for word in (f"centre {centre}" * bool(centre), f"surgeon {surgeon}" * bool(surgeon)) if word
        ),
        episodes=len(data),
        operated=len(operated),
        first=str(operated.min()) if len(operated) else "",
        last=str(operated.max()) if len(operated) else "",
        small=share(arms[MISS], arms[MISS] + arms[OPEN]),
        both=arms[BOTH],
        unknown_arm=arms[UNKNOWN],
        warnings=_warnings(visits, len(operated)),
        visits=visits,
        ask=ask,
        persons=persons,
        outcomes=scores,
        complications=complications(data),
        readmissions=readmissions(data),
        reoperations=reoperations(data),
        years=years,
        approaches=done,
        has_approaches=data.has_approaches,
        centres=units(data, today, "centre", key),
        surgeons=units(data, today, "surgeon", key) if by_surgeon else (),
        caveats=_caveats(data, future),
    )


def _only(data: Data, centre: str, surgeon: str) -> Data:
    for column, name, what in ((data.centre, centre, "centre"), (data.surgeon, surgeon, "surgeon")):
        if not name:
            continue
        if name not in column.names:
            known = ", ".join(column.names[:12]) or "none"
            raise InvalidInput(f"{data.name}: no {what} is called {name!r}; there are {known}")
    rows = np.ones(len(data), dtype=bool)
    if centre:
        rows &= data.centre.index == data.centre.names.index(centre)
    if surgeon:
        rows &= data.surgeon.index == data.surgeon.names.index(surgeon)
    return data if rows.all() else chosen(data, rows)


def _past(data: Data, today: date) -> tuple[Data, int]:
    """Operations after `today` have not been yet; how many there are."""
    future = data.operated & (data.surgery > np.datetime64(today, "D"))
    if not future.any():
        return data, 0
    surgery = data.surgery.copy()
    surgery[future] = np.datetime64("NaT")
    return replace(data, surgery=surgery), int(future.sum())


def _warnings(visits: tuple[Completeness, ...], operated: int) -> tuple[str, ...]:
    if not operated:
        return ("No operation is recorded, so there is nothing to show yet.",)
    low = [v for v in visits if v.share is not None and v.share < ENOUGH]
    if not low:
        return ()
    told = "; ".join(
        f"{v.title}: {v.answered:,} of {v.asked:,} answered ({v.share:.1%}), {v.missing:,} missing" for v in low
    )
    return (
        f"Follow-up is incomplete. {told}. Scores below are of those who answered, and may not hold for the others.",
    )


def _caveats(data: Data, future: int) -> tuple[str, ...]:
    said = [
        "The two kinds of operation are shown side by side, not compared: patients were not drawn by lot. "
        "keyhole registry compare adjusts for what is known.",
        "A complication, readmission or reoperation that nobody recorded counts here as none. Recent operations had "
        "less time for one.",
        "Each episode counts once in a line, however often something happened.",
        f"Answered means one instrument or more. A visit is warned of below {ENOUGH:.0%} (Keyhole's own choice).",
    ]
    if future:
        said.append(f"{future:,} operations lie after the day of this page and count as not yet done.")
    return (*said, *data.notes)


def to_json(found: Dashboard) -> dict[str, Any]:
    """The dashboard as plain JSON, with shares worked out."""
    plain = {"research_use": RESEARCH_USE, "keyhole": __version__, **asdict(found), "today": found.today.isoformat()}
    for visit, counted in zip(plain["visits"], found.visits, strict=True):
        visit["share"] = counted.share
    done: dict[str, Any] = _shares(plain)
    return done


def _shares(value: Any) -> Any:
    """Every {count, of, interval} with its value."""
    if isinstance(value, dict):
        done = {key: _shares(item) for key, item in value.items()}
        if set(done) == {"count", "of", "interval"}:
            done["value"] = done["count"] / done["of"] if done["of"] else None
        return done
    return [_shares(item) for item in value] if isinstance(value, list | tuple) else value
