"""What a table says of each question: its own pool, the published syntheses beside it, and one word."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keyhole.evidence import Question, Row, families, outcomes, question
from keyhole.forecast.effects import LOGARITHMIC
from keyhole.forecast.pool import Interval, Pool, pool
from keyhole.forecast.select import LeftOut, by_question, choose
from keyhole.forecast.words import FEWEST, Verdict, Word, judged, verdict


@dataclass(frozen=True, slots=True)
class Synthesis:
    """A published pool as its source gives it, turned to MISS minus open (or the logarithm of MISS over open).

    `studies` counts those of the whole review: the outcome may rest on fewer.
    """

    row: Row
    measure: str
    estimate: float | None
    interval: Interval | None
    studies: int | None
    verdict: Verdict

    @property
    def is_told(self) -> bool:
        """Whether it says anything of a difference: by an interval, or in words."""
        return self.interval is not None or bool(self.row.finding)


@dataclass(frozen=True, slots=True)
class Answer:
    """One question with its pool (None: nothing to pool), the syntheses, what was left out, and the word."""

    question: Question
    pool: Pool | None
    syntheses: tuple[Synthesis, ...]
    left_out: tuple[LeftOut, ...]
    verdict: Verdict

    @property
    def title(self) -> str:
        """Title of the comparison."""
        return families().get(self.question.family, self.question.family)


def answers(rows: Iterable[Row], *, model: str = "reml", all_families: bool = False) -> tuple[Answer, ...]:
    """What `rows` say, question by question, for comparisons of MISS against open (or for every one).

    Means are pooled as mean differences, events as risk ratios (odds ratios where studies give no more). Outcomes of
    the catalogue that no row can answer in numbers stay in, as unknown.
    """
    found = []
    for key, group in by_question(rows).items():
        if (all_families or key[0] in families()) and key[2] != "baseline":
            answer = _answer(group, model)
            if key[1] in outcomes() or answer.pool is not None or any(s.is_told for s in answer.syntheses):
                found.append(answer)
    order = {key: n for n, key in enumerate(families())}
    last = len(order)
    return tuple(sorted(found, key=lambda a: (order.get(a.question.family, last), *a.question.key)))


def _answer(rows: Sequence[Row], model: str) -> Answer:
    asked = question(rows[0])
    tries = [choose(rows, measure) for measure in (("rr", "or") if asked.outcome.unit == "events" else ("md",))]
    chosen = next((found for found in tries if found.studies), tries[0])
    own = pool(chosen.studies, chosen.measure, model) if chosen.studies else None
    published = tuple(_synthesis(row) for row in rows if row.is_synthesis and row.status != "unverified")
    return Answer(asked, own, published, chosen.left_out, overall(verdict(own, asked.outcome), own, published))


def overall(own: Verdict, found: Pool | None, syntheses: Sequence[Synthesis]) -> Verdict:
    """One word from a pool of the table's own studies and the published syntheses.

    A table is no systematic search, so syntheses of three and more studies come first: better or worse is said when
    more than half of them say it and none, nor a pool of three and more studies here, says the opposite. Words without
    an interval do not silence a study here that points to worse, nor make a difference by themselves.
    """
    strong = [s for s in syntheses if s.is_told and (s.studies or 0) >= FEWEST]
    if not strong or (own.points_to == "worse" and all(s.interval is None for s in strong)):
        return own
    words = [s.verdict.word for s in strong]
    names = ", ".join(s.row.name for s in strong)
    sides: tuple[tuple[Word, Word], ...] = (("better", "worse"), ("worse", "better"))
    for word, opposite in sides:
        share = [s for s in strong if s.verdict.word == word]
        if 2 * len(share) <= len(strong):
            continue
        against = opposite in words or (found is not None and found.k >= FEWEST and own.word == opposite)
        if not against and any(s.interval is not None for s in share):
            return Verdict(word, _share(share, strong))
        if not against:
            return Verdict("unknown", f"points to {word}, but without an interval ({names})", word)
    if len(set(words)) == 1:
        return Verdict(strong[0].verdict.word, _share(strong, strong))
    return Verdict("no clear difference", f"published syntheses disagree ({names})")


def _share(share: Sequence[Synthesis], strong: Sequence[Synthesis]) -> str:
    names = ", ".join(s.row.name for s in share)
    if len(strong) == 1:
        return f"{names}: {share[0].verdict.why}"
    return f"{len(share)} of {len(strong)} published syntheses say so ({names})"


def _synthesis(row: Row) -> Synthesis:
    asked = question(row)
    measure = row.scale
    estimate, interval = _turned(row, measure, asked.factor)
    return Synthesis(row, measure, estimate, interval, row.studies, _judged(interval, row, asked, measure))


def _judged(interval: Interval | None, row: Row, asked: Question, measure: str) -> Verdict:
    if row.finding:
        return _in_words(row, asked)
    if interval is not None and row.turned is None:
        return Verdict("unknown", "its unit leaves the sign open")
    return judged([interval] if interval else [], row.studies, asked.outcome, measure=measure)


def _in_words(row: Row, asked: Question) -> Verdict:
    """The word of a synthesis that says what it found without an interval."""
    if row.finding == "no difference":
        return Verdict("no clear difference", "its authors say so without an interval")
    matters = asked.outcome.matters
    if matters is not None and row.effect is not None and abs(row.effect * asked.factor) < matters:
        return Verdict("no clear difference", f"smaller than {matters:g} {asked.outcome.unit}, which would matter")
    if not asked.outcome.better or (row.studies or 0) < FEWEST:
        return Verdict("unknown", "its authors name a difference without an interval")
    word: Word = "better" if row.finding == asked.outcome.better else "worse"
    return Verdict(word, "its authors say so without an interval")


def _turned(row: Row, measure: str, factor: float) -> tuple[float | None, Interval | None]:
    """Effect and interval on the pool's scale; None where the row does not say or the unit does not fit."""
    if not measure or math.isnan(factor):
        return None, None
    sign = (-1.0 if row.turned else 1.0) * (1.0 if measure in LOGARITHMIC else factor)

    def scaled(value: float) -> float:
        return sign * (math.log(value) if measure in LOGARITHMIC else value)

    interval: Interval | None = None
    if row.low is not None and row.high is not None:
        ends = sorted((scaled(row.low), scaled(row.high)))
        interval = (ends[0], ends[1])
    middle = None if interval is None else (interval[0] + interval[1]) / 2
    return (middle if row.effect is None else scaled(row.effect)), interval
