"""What the table holds for one operation: its answers, its open arms, and the difference that a forecast uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from keyhole.evidence import (
    AddedTable,
    Procedure,
    Row,
    Technique,
    every_row,
    horizon,
    procedure,
    question,
    source,
)
from keyhole.evidence.catalogue import last_day
from keyhole.forecast.answers import Answer, Synthesis, answers
from keyhole.forecast.pool import NORMAL, Interval, Pool, Study, pool
from keyhole.forecast.shrink import LEAST_PATIENTS, Guess, at_least
from keyhole.forecast.words import FEWEST

TOGETHER = "any"
"""The family of studies that put several lumbar operations together; asked where the operation's own has nothing."""

EXPECTED_I2 = {"md": 0.40, "rr": 0.22, "or": 0.22}
"""Median I² of a next meta-analysis, for syntheses that print no tau² [rhodes2016]."""

_TIMES = ("late", "middle", "not said", "any", "perioperative", "early")


@dataclass(frozen=True, slots=True, eq=False)
class Literature:
    """The rows and answers that concern one operation by one technique."""

    procedure: Procedure
    technique: Technique
    rows: tuple[Row, ...]
    answers: tuple[Answer, ...]
    added: tuple[AddedTable, ...] = ()

    @property
    def families(self) -> tuple[str, ...]:
        """The comparisons that answer, its own first."""
        return (self.procedure.family, *((TOGETHER,) if self.procedure.together else ()))

    def of(self, outcome: str) -> tuple[Answer, ...]:
        """Answers on `outcome`, latest first; of operations together where the operation has none of its own."""
        for family in self.families:
            found = [a for a in self.answers if a.question.family == family and a.question.outcome.key == outcome]
            if found:
                return tuple(sorted(found, key=lambda a: _TIMES.index(a.question.horizon)))
        return ()


@lru_cache(maxsize=64)
def literature(key: str, approach: str, added: tuple[AddedTable, ...] = ()) -> Literature:
    """What the shipped table and those `added` hold for the operation `key` by `approach`; unknown ones are refused."""
    asked = procedure(key)
    technique = asked.technique(approach)
    wanted = {asked.family, TOGETHER} if asked.together else {asked.family}
    table = every_row(added)
    own = tuple(row for row in table if question(row).family in wanted)
    return Literature(asked, technique, table, answers(own), added)


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference a forecast uses: on the scale of `measure` (logarithm of ratios), with the spread of hospitals.

    `estimate.variance` is that of the published mean, `tau2` between hospitals.
    """

    measure: str
    estimate: Guess
    interval: Interval
    tau2: float
    studies: int
    basis: str
    citation: str
    days: float | None = None  # when it was measured, where one time is known
    patients: frozenset[str] = frozenset()  # of the table's own studies, where it is their pool

    @property
    def next_clinic(self) -> Guess:
        """The difference in one further hospital."""
        return Guess(self.estimate.value, self.estimate.variance + self.tau2)


def effect(found: Answer) -> Effect | None:
    """The largest published synthesis with an interval, else the table's own pool; None: nobody gives a number."""
    able = [
        s for s in found.syntheses if s.interval is not None and s.measure in EXPECTED_I2 and s.row.turned is not None
    ]
    able = [s for s in able if not math.isnan(found.question.factor)]
    large = [s for s in able if (s.studies or 0) >= FEWEST]
    if large:
        return _of_synthesis(min(large, key=lambda s: (-(s.studies or 0), s.row.name)), found.pool)
    if found.pool is not None:
        return _of_pool(found.pool)
    return _of_synthesis(min(able, key=lambda s: s.row.name), None) if able else None


def _of_synthesis(chosen: Synthesis, own: Pool | None) -> Effect:
    low, high = chosen.interval or (math.nan, math.nan)
    middle = chosen.estimate if chosen.estimate is not None else (low + high) / 2
    variance = ((high - low) / (2 * NORMAL)) ** 2
    k = max(chosen.studies or 1, 1)
    tau2 = EXPECTED_I2[chosen.measure] * k * variance
    if own is not None and own.k > 1 and own.is_logarithmic == (chosen.measure != "md"):
        tau2 = max(tau2, own.tau2)
    basis = f"published synthesis {chosen.row.name} ({k} {'study' if k == 1 else 'studies'} in the whole review)"
    when = last_day(chosen.row.timepoint)
    return Effect(chosen.measure, Guess(middle, variance), (low, high), tau2, k, basis, chosen.row.address, when)


def _of_pool(own: Pool) -> Effect:
    interval = own.interval
    if own.hk is not None and own.k >= FEWEST:
        interval = (min(interval[0], own.hk[0]), max(interval[1], own.hk[1]))
    tau2 = own.tau2 if own.k > 1 else _expected(own)
    names = ", ".join(study.name for study in own.studies)
    basis = f"{own.k} {'study' if own.k == 1 else 'studies'} of the table ({names})"
    whose = frozenset(study.cohort for study in own.studies)
    return Effect(own.measure, Guess(own.estimate, own.se**2), interval, tau2, own.k, basis, names, patients=whose)


def _expected(own: Pool) -> float:
    share = EXPECTED_I2.get(own.measure, 0.4)
    return share / (1 - share) * own.se**2


@dataclass(frozen=True, slots=True)
class Baseline:
    """The open arm of one published study (or the planned arm where `is_planned`), never a mean over countries.

    `sd` of single patients; `patients` is what it counts as against own patients, `why` says how that was found.
    """

    row_name: str
    citation: str
    value: float
    sd: float | None
    n: int | None
    patients: float
    why: str
    words: str
    notes: tuple[str, ...] = ()

    def guess(self, spread: float | None, *, learning: bool) -> Guess | None:
        """The mean as published, or `learning`, as a prior for own patients; None where no interval can be given."""
        sd = self.sd if self.sd is not None else spread
        n = self.patients if learning else self.n
        return None if sd is None or n is None else Guess(self.value, sd**2 / n)


@dataclass(frozen=True, slots=True)
class _ArmFound:
    row: Row
    n: int | None
    value: float
    sd: float | None
    rank: tuple[int, int, int, int, str]


def baseline(held: Literature, outcome: str, *, is_risk: bool, among: frozenset[str] = frozenset()) -> Baseline | None:
    """The open arm to start from: own studies of the operation first, trials before cohorts, then the largest.

    `among`: patients of the studies that the difference comes from; an open arm of theirs goes before all others, so
    that both arms are of one place. Before them go rows that the clinic measured itself: its own baseline.
    """
    arms = [arm for row in held.rows if (arm := _open_arm(held, row, outcome, is_risk=is_risk)) is not None]
    here = [arm for arm in arms if arm.row.status == "measured"]
    arms = here or [arm for arm in arms if arm.row.patients in among] or arms
    if not arms:
        return _shared(held, outcome) if is_risk else None
    best = min(arms, key=lambda arm: arm.rank)
    alike = [arm for arm in arms if arm.rank[0] == best.rank[0] and arm.sd is not None and arm.n is not None]
    patients, why = _worth(best, alike, is_risk=is_risk)
    other = "" if best.rank[0] == 0 else ", several lumbar operations together"
    counted = "" if best.n is None else f", {best.n} patients"
    measured = ", measured here" if here else ""
    words = f"open arm of {best.row.name}{counted}, {best.row.design}{other}{measured}"
    notes = _notes(best, is_risk=is_risk)
    return Baseline(best.row.name, best.row.address, best.value, best.sd, best.n, patients, why, words, notes)


def _notes(best: _ArmFound, *, is_risk: bool) -> tuple[str, ...]:
    """What the study itself had after the small opening, and what the table notes of it."""
    row, arm = best.row, best.row.miss
    if is_risk:
        share, _ = _share_of(arm.events, arm.n, arm.pct)
        own = None if share is None else f"{100 * share:.1f} %"
    else:
        own = None if arm.mean is None else f"{question(row).factor * arm.mean:.3g} {question(row).outcome.unit}"
    said = () if own is None else (f"in {row.name} itself it was {own} after the small opening",)
    return (*said, *((f"{row.name}: {row.note}",) if row.note else ()))


def _open_arm(held: Literature, row: Row, outcome: str, *, is_risk: bool) -> _ArmFound | None:
    asked = question(row)
    known = asked.outcome.key == outcome and asked.family in held.families
    if (
        not known
        or asked.horizon == "baseline"
        or row.is_synthesis
        or row.status == "unverified"
        or not asked.factor > 0
    ):
        return None
    arm = row.open
    if is_risk:
        share, n = _share_of(arm.events, arm.n, arm.pct)
        if share is None or n is None:
            return None
        return _ArmFound(row, n, share, math.sqrt(max(share * (1 - share), 0.25 / n)), _rank(held, row, n, 0))
    if arm.mean is None:
        return None
    sd = None if arm.sd is None else asked.factor * arm.sd
    return _ArmFound(row, arm.n, asked.factor * arm.mean, sd, _rank(held, row, arm.n or 0, sd is None))


def _share_of(events: int | None, n: int | None, pct: float | None) -> tuple[float | None, int | None]:
    if n is None:
        return None, None
    if events is not None:
        return (events + 0.0) / n, n
    return (None if pct is None else pct / 100), n


def _rank(held: Literature, row: Row, n: int, spreadless: int) -> tuple[int, int, int, int, str]:
    design = row.design.casefold()
    kind = 0 if "rct" in design else 1 if design.startswith("prospective") else 2
    return (question(row).family != held.procedure.family, int(spreadless), kind, -n, row.place)


def _worth(best: _ArmFound, alike: Sequence[_ArmFound], *, is_risk: bool) -> tuple[float, str]:
    """As how many own patients an arm counts: less where published arms disagree, `LEAST_PATIENTS` at least."""
    if best.sd is None or best.n is None:
        return LEAST_PATIENTS, "no spread is published"
    if len(alike) < 2:
        return LEAST_PATIENTS, f"one published arm: it counts as {LEAST_PATIENTS:.0f} own patients (Keyhole's choice)"
    # of two papers on the same patients one is enough
    by_patients = {arm.row.patients: arm for arm in alike}
    studies = [
        Study(f"{n}", arm.value, (arm.sd or 0.0) ** 2 / max(arm.n or 1, 1))
        for n, arm in enumerate(by_patients.values())
    ]
    tau2 = pool(studies, "md", "dl").tau2 if len(studies) > 1 else 0.0
    patients = best.sd**2 / (best.sd**2 / best.n + tau2)
    apart = math.sqrt(tau2) * (100 if is_risk else 1)
    word = "%" if is_risk else "units"
    shown = f"published arms differ by a standard deviation of {apart:.3g} {word} between hospitals"
    floored = min(max(patients, LEAST_PATIENTS), float(best.n)) if best.n > LEAST_PATIENTS else LEAST_PATIENTS
    return floored, f"{shown}: this one counts as {floored:.0f} own patients"


def _shared(held: Literature, outcome: str) -> Baseline | None:
    for one in held.procedure.shares:
        if one.outcome == outcome:
            said = source(one.source)
            sd = math.sqrt(one.value * (1 - one.value))
            why = f"one published share: it counts as {LEAST_PATIENTS:.0f} own patients (Keyhole's choice)"
            name = said.text.split(".")[0]
            words = f"{name}, {one.patients} patients: {one.words}"
            return Baseline(name, said.address, one.value, sd, one.patients, LEAST_PATIENTS, why, words)
    return None


def planned_alone(held: Literature, outcome: str) -> Baseline | None:
    """The arm of a study without comparison that used the planned technique."""
    names = {name.casefold() for name in held.technique.published_as}
    for row in held.rows:
        asked = question(row)
        arm = row.miss
        fits = row.procedure.casefold() in names and row.comparator.casefold() == "none"
        if not fits or asked.outcome.key != outcome or arm.mean is None or row.status == "unverified":
            continue
        counted = "" if arm.n is None else f", {arm.n} patients"
        words = f"{row.name}{counted}, no comparison"
        return Baseline(row.name, row.address, arm.mean, arm.sd, arm.n, LEAST_PATIENTS, "", words)
    return None


def ratio_of_means(held: Literature, outcome: str) -> Effect | None:
    """Pooled logarithm of the ratio of means [friedrich2008], for places where the difference exceeds the open mean."""
    studies = []
    for row in held.rows:
        asked = question(row)
        arms = (row.miss, row.open)
        if (
            asked.family != held.procedure.family
            or asked.outcome.key != outcome
            or horizon(row.timepoint) == "baseline"
        ):
            continue
        if any(a.n is None or a.sd is None or not (a.mean or 0) > 0 for a in arms) or row.status == "unverified":
            continue
        spread = sum((a.sd or 0) ** 2 / ((a.n or 1) * (a.mean or 1) ** 2) for a in arms)
        studies.append(
            Study(row.name, math.log((row.miss.mean or 1) / (row.open.mean or 1)), spread, cohort=row.patients)
        )
    kept = list({study.cohort: study for study in studies}.values())
    return None if not kept else replace(_of_pool(pool(kept, "rr")), measure="rom")


def as_difference(ratio: Effect, level: float) -> Effect:
    """A ratio of means as a difference at the open mean `level`."""
    estimate = level * (math.exp(ratio.estimate.value) - 1)
    scale = (level * math.exp(ratio.estimate.value)) ** 2
    ends = [level * (math.exp(end) - 1) for end in ratio.interval]
    return replace(
        ratio,
        measure="md",
        estimate=Guess(estimate, scale * ratio.estimate.variance),
        interval=(ends[0], ends[1]),
        tau2=scale * ratio.tau2,
        basis=f"ratio of means of {ratio.basis}",
    )


def prior_difference(found: Effect, sd: float | None) -> Guess:
    """The difference of a next hospital as a prior, worth no less than the literature's least."""
    guess = found.next_clinic
    return Guess(guess.value, float(np.maximum(at_least(guess.variance, sd, 2), 1e-12)))
