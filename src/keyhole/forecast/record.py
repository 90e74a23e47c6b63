"""Pools and answers as plain values for JSON; what is not known is null."""

from __future__ import annotations

import math
from typing import Any

from keyhole.evidence import families, source
from keyhole.forecast.answers import Answer, Synthesis
from keyhole.forecast.pool import MODELS, Interval, Pool
from keyhole.forecast.risk import LABEL, Risk, Score
from keyhole.forecast.select import LeftOut
from keyhole.forecast.words import Verdict

Plain = dict[str, Any]
WALD = "normal quantile, ordinary standard error"
HK = "t with k - 1 degrees of freedom, Hartung-Knapp standard error"


def plain_pool(found: Pool, *, hk: bool = False) -> Plain:
    """A pool; `interval` and `p` are Hartung-Knapp's with `hk` where the model has them, else the ordinary ones.

    Numbers are on the pool's `scale`; `shown` holds estimate and intervals as people read them (ratios as ratios).
    """
    by_hk = hk and found.hk is not None
    interval, p = (found.hk, found.hk_p) if by_hk else (found.interval, found.p)
    return {
        "measure": found.measure,
        "model": found.model,
        "model_in_words": MODELS[found.model],
        "scale": "logarithm" if found.is_logarithmic else "as measured",
        "k": found.k,
        "estimate": found.estimate,
        "se": found.hk_se if by_hk else found.se,
        "interval": _ends(interval),
        "interval_by": HK if by_hk else WALD,
        "p": known(p),
        "wald": {"se": found.se, "interval": _ends(found.interval), "p": known(found.p)},
        "hartung_knapp": None
        if found.hk is None
        else {"se": found.hk_se, "interval": _ends(found.hk), "p": known(found.hk_p), "df": found.k - 1},
        "prediction": None
        if found.prediction is None
        else {"interval": _ends(found.prediction), "convention": found.convention},
        "shown": _shown(found, interval),
        "I2": known(found.i2),
        "tau2": found.tau2,
        "tau2_interval": _ends(found.tau2_interval),
        "Q": found.q,
        "Q_p": known(found.q_p),
        "studies": [_study(found, n) for n in range(found.k)],
        "caveats": list(found.caveats),
    }


def _shown(found: Pool, interval: Interval | None) -> Plain:
    def turned(ends: Interval | None) -> list[float | None] | None:
        return None if ends is None else [shown(found, end) for end in ends]

    return {
        "estimate": shown(found, found.estimate),
        "interval": turned(interval),
        "hartung_knapp": turned(found.hk),
        "prediction": turned(found.prediction),
    }


def shown(found: Pool, value: float) -> float | None:
    """`value` as people read it; None where a ratio is too large for a number."""
    try:
        return found.shown(value)
    except OverflowError:
        return None


def _study(found: Pool, n: int) -> Plain:
    study = found.studies[n]
    return {
        "name": study.name,
        "effect": study.effect,
        "se": math.sqrt(study.variance),
        "interval": _ends(study.interval),
        "weight": found.weights[n],
        "design": study.design,
        "cohort": study.cohort,
    }


def plain_verdict(found: Verdict) -> Plain:
    """A word and its reason."""
    return {"word": found.word, "why": found.why}


def plain_left_out(rows: tuple[LeftOut, ...]) -> list[Plain]:
    """Rows that did not enter, with the reason."""
    return [{"row": row.place, "study": row.name, "reason": row.reason} for row in rows]


def plain_answer(answer: Answer) -> Plain:
    """An answer: question, word, own pool, published syntheses, what was left out."""
    asked = answer.question
    return {
        "comparison": asked.family,
        "comparison_title": families().get(asked.family, asked.family),
        "outcome": asked.outcome.key,
        "outcome_title": asked.outcome.title,
        "unit": asked.outcome.unit,
        "time": asked.horizon,
        **plain_verdict(answer.verdict),
        "pool": None if answer.pool is None else plain_pool(answer.pool),
        "syntheses": [_synthesis(found) for found in answer.syntheses],
        "left_out": plain_left_out(answer.left_out),
    }


def _synthesis(found: Synthesis) -> Plain:
    row = found.row
    return {
        "name": row.name,
        "source": row.source,
        "address": row.address,
        "design": row.design,
        "studies": found.studies,
        "measure": found.measure,
        "estimate": found.estimate,
        "interval": _ends(found.interval),
        "in_words": row.finding or None,
        **plain_verdict(found.verdict),
    }


def known(value: float | None) -> float | None:
    """`value`, or None where it is nan."""
    return None if value is None or math.isnan(value) else value


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def plain_score(found: Score | Risk) -> Plain:
    """A score or risk of one patient with its source, performance and what is unknown."""
    model = found.model
    plain: Plain = {
        "model": model.key,
        "title": model.title,
        "outcome": model.outcome,
        "unknown": list(found.unknown),
        "performance": model.performance,
        "validation": model.validation,
        "source": source(model.source).text,
        "address": source(model.source).address,
        "label": LABEL,
        "caveats": list(found.caveats),
    }
    if isinstance(found, Risk):
        return plain | {"probability": [found.low, found.high], "interval": list(found.interval)}
    high = None if math.isinf(found.high) else found.high
    return plain | {"points": [found.low, high], "band": found.word or None, "present": list(found.present)}
