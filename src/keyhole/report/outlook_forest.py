"""Forest plots of the answers in forecast.json: its own pool by study, and the published syntheses beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from keyhole.casefile import AnswerEntry, ForecastOutcome, PoolEntry, SynthesisEntry
from keyhole.evidence import Outcome, Question
from keyhole.forecast import MODELS, Pool, Study, Verdict, pool, verdict
from keyhole.forecast.effects import LOGARITHMIC
from keyhole.forecast.pool import NORMAL
from keyhole.report import svg
from keyhole.report.forest import FAINT, FONT, INK, POOL, RULE, ForestPlot, forest

WIDTH, ROW, TOP = 1000, 32, 58
PLOT = (330.0, 690.0)


def pool_plot(outcome: ForecastOutcome, answer: AnswerEntry) -> ForestPlot | None:
    """The forest plot of an answer's pool with the numbers of the file; None where a study cannot be drawn.

    Its word is that of this pool alone: the answer's may rest on published syntheses.
    """
    if answer.pool is None:
        return None
    found = pool_of(answer.pool)
    if found is None:
        return None
    about = Outcome(outcome.key, outcome.title, outcome.unit_words, outcome.better, matters=outcome.matters)
    own = verdict(found, about)
    said = own if own.word == answer.word else Verdict(own.word, f"{own.why}; this pool alone", own.points_to)
    return forest(found, Question(answer.comparison, about, answer.time, 1.0), said)


def pool_of(entry: PoolEntry) -> Pool | None:
    """The pool that `entry` tells of, on its own scale; Q alone is worked out anew, from the studies as written."""
    is_log = entry.measure in LOGARITHMIC

    def own(value: float) -> float:
        return math.log(value) if is_log else value

    def ends(interval: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if interval is None else (own(interval[0]), own(interval[1]))

    if is_log and any(min(one.effect, *one.interval) <= 0 for one in entry.studies):
        return None
    if any(not one.interval[1] > one.interval[0] for one in entry.studies):
        return None
    studies = []
    for one in entry.studies:
        low, high = own(one.interval[0]), own(one.interval[1])
        studies.append(Study(one.name, own(one.effect), ((high - low) / (2 * NORMAL)) ** 2, one.design))
    model = next((key for key, title in MODELS.items() if title == entry.model), "reml")
    again = pool(studies, entry.measure, model if model not in {"mh", "peto"} else "reml")
    return replace(
        again,
        model=model,
        weights=tuple(one.weight for one in entry.studies),
        estimate=own(entry.estimate),
        interval=ends(entry.interval) or again.interval,
        hk=ends(entry.hartung_knapp),
        prediction=ends(entry.prediction),
        i2=again.i2 if entry.i2 is None else entry.i2,
        tau2=entry.tau2,
        caveats=entry.caveats,
    )


def syntheses_plot(outcome: ForecastOutcome, answer: AnswerEntry) -> ForestPlot | None:
    """The published syntheses of one measure below one another, never pooled; None where none has an interval."""
    drawn = [one for one in answer.syntheses if one.interval is not None and one.estimate is not None]
    kinds = list(dict.fromkeys(one.measure for one in drawn))
    if not drawn:
        return None
    kind = max(kinds, key=lambda name: sum(one.measure == name for one in drawn))
    shown = [one for one in drawn if one.measure == kind and _drawable(one)]
    if not shown:
        return None
    rows = "".join(_row(one, n, _Scale(shown)) for n, one in enumerate(shown))
    height = TOP + ROW * len(shown) + 60
    unit = outcome.unit_words if kind == "md" else _NAMES.get(kind, kind)
    content = _frame(outcome, _Scale(shown), TOP + ROW * len(shown), unit) + rows
    title = f"{outcome.title}: published syntheses, each as its source gives it"
    alt = f"{title}. " + "; ".join(f"{one.name} {_said(one)}" for one in shown)
    return ForestPlot(title, alt, svg.drawing(WIDTH, height, content, alt, FONT), WIDTH, height)


_NAMES = {"rr": "risk ratio", "or": "odds ratio", "smd": "standardised mean difference"}


def _drawable(one: SynthesisEntry) -> bool:
    return one.measure not in LOGARITHMIC or (one.interval is not None and min(one.interval) > 0)


class _Scale:
    """Places on the axis of some syntheses of one measure."""

    def __init__(self, shown: Sequence[SynthesisEntry]) -> None:
        self.is_log = shown[0].measure in LOGARITHMIC
        ends = [self._own(end) for one in shown if one.interval for end in one.interval]
        low, high = min(0.0, *ends), max(0.0, *ends)
        margin = 0.06 * ((high - low) or 1.0)
        self.low, self.high = low - margin, high + margin

    def _own(self, value: float) -> float:
        return math.log(value) if self.is_log else value

    def x(self, value: float) -> float:
        """Place of `value`, as people read it, px across."""
        return self.at(self._own(value))

    def at(self, value: float) -> float:
        """Place of `value` on the scale of the axis."""
        return PLOT[0] + (value - self.low) / (self.high - self.low) * (PLOT[1] - PLOT[0])

    def ticks(self) -> list[tuple[float, str]]:
        """Places of round values and how they are written."""
        if self.is_log:
            values = [f * 10.0**n for n in range(-3, 4) for f in (1, 2, 5)]
            return [(self.x(v), f"{v:g}") for v in values if self.low <= math.log(v) <= self.high]
        raw = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(self.at(n * step), f"{n * step:.6g}".replace("-", "−")) for n in range(first, last + 1)]


def _frame(outcome: ForecastOutcome, scale: _Scale, bottom: float, unit: str) -> str:
    none = scale.at(0.0)
    heads = {"lower": ("MISS better", "MISS worse"), "higher": ("MISS worse", "MISS better")}
    left, right = heads.get(outcome.better, ("", ""))
    drawn = svg.text("Synthesis (studies in it)", 20, 24, 15, fill=INK, font_weight=600)
    drawn += svg.text("Effect [95 %]", 710, 24, 15, fill=INK, font_weight=600)
    drawn += svg.text(left, PLOT[0], 48, 14, fill=FAINT) + svg.text(
        right, PLOT[1], 48, 14, fill=FAINT, text_anchor="end"
    )
    drawn += svg.element("line", x1=none, y1=TOP - 4, x2=none, y2=bottom, stroke=INK, stroke_width=1.2)
    drawn += svg.element("line", x1=PLOT[0], y1=bottom, x2=PLOT[1], y2=bottom, stroke=RULE, stroke_width=1)
    for x, words in scale.ticks():
        drawn += svg.element("line", x1=x, y1=bottom, x2=x, y2=bottom + 5, stroke=FAINT, stroke_width=1)
        drawn += svg.text(words, x, bottom + 21, 14, fill=FAINT, text_anchor="middle")
    return drawn + svg.text(unit, (PLOT[0] + PLOT[1]) / 2, bottom + 44, 15, fill=INK, text_anchor="middle")


def _row(one: SynthesisEntry, n: int, scale: _Scale) -> str:
    low, high = one.interval or (0.0, 0.0)
    y = TOP + ROW * n + ROW / 2
    x1, x, x2 = scale.x(low), scale.x(one.estimate or 0.0), scale.x(high)
    corners = " ".join(f"{svg.short(a)},{svg.short(b)}" for a, b in ((x1, y), (x, y - 8), (x2, y), (x, y + 8)))
    name = one.name if len(one.name) <= 34 else one.name[:33].rstrip() + "…"
    count = "" if one.studies is None else f" ({one.studies})"
    return (
        svg.text(name + count, 20, y + 5, 14, fill=INK)
        + svg.element("polygon", points=corners, fill="none", stroke=POOL, stroke_width=1.8)
        + svg.text(_said(one), 710, y + 5, 14, fill=INK)
    )


def _said(one: SynthesisEntry) -> str:
    low, high = one.interval or (0.0, 0.0)
    return f"{one.estimate or 0.0:.3g} [{low:.3g}, {high:.3g}]".replace("-", "−")
