"""Pools of counts: Mantel-Haenszel for odds ratio, risk ratio and risk difference; Peto for the odds ratio.

Both use the counts as they are; a study without an event (or with nothing but events) carries no weight for a ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keyhole.errors import InvalidInput
from keyhole.forecast.effects import Array
from keyhole.forecast.pool import Pool, Study, checked, pool, spread, summary


def pool_any(studies: Sequence[Study], measure: str, model: str) -> Pool:
    """The pool of `studies` by any model, of counts or of effects."""
    if model == "mh":
        return mantel_haenszel(studies, measure)
    return peto(studies, measure) if model == "peto" else pool(studies, measure, model)


def mantel_haenszel(studies: Sequence[Study], measure: str) -> Pool:
    """The common odds ratio, risk ratio or risk difference of Mantel and Haenszel.

    Variances: Robins, Breslow and Greenland for the odds ratio, Greenland and Robins for the other two.
    """
    ways = {"or": _odds, "rr": _risks, "rd": _differences}
    if measure not in ways:
        raise InvalidInput(f"model mh pools counts: measure or, rr or rd, got {measure!r}")
    ordered = checked(studies)
    estimate, variance, weights = ways[measure](*_counts(ordered, "mh"))
    return summary(ordered, measure, "mh", weights, estimate, math.sqrt(variance))


def peto(studies: Sequence[Study], measure: str) -> Pool:
    """Peto's one-step odds ratio, for rare events in arms of similar size."""
    if measure != "or":
        raise InvalidInput(f"model peto gives an odds ratio: measure or, got {measure!r}")
    ordered = checked(studies)
    x, n, x0, n0 = _counts(ordered, "peto")
    total, events = n + n0, x + x0
    expected = events * n / total
    variance = events * (total - events) * n * n0 / (total**2 * (total - 1))
    if not variance.sum() > 0:
        raise InvalidInput("model peto: no study has both events and patients without them")
    estimate = float((x - expected).sum() / variance.sum())
    found = summary(ordered, "or", "peto", variance, estimate, float(variance.sum() ** -0.5))
    known = variance > 0
    single = (x - expected)[known] / variance[known]
    q = float((variance[known] * (single - estimate) ** 2).sum())
    q_p, i2 = spread(q, int(known.sum()))
    return replace(found, q=q, q_p=q_p, i2=i2)


def _counts(studies: Sequence[Study], model: str) -> tuple[Array, Array, Array, Array]:
    for study in studies:
        if study.counts is None:
            raise InvalidInput(f"{study.name}: model {model} needs events and n of both arms")
    x, n, x0, n0 = np.array([study.counts for study in studies], dtype=np.float64).T
    return x, n, x0, n0


def _odds(x: Array, n: Array, x0: Array, n0: Array) -> tuple[float, float, Array]:
    total = n + n0
    r, s = x * (n0 - x0) / total, (n - x) * x0 / total
    p, q = (x + n0 - x0) / total, (n - x + x0) / total
    if not (r.sum() > 0 and s.sum() > 0):
        raise InvalidInput("model mh: the odds ratio has no value, an arm has no event (or nothing but events)")
    variance = (
        (p * r).sum() / (2 * r.sum() ** 2)
        + (p * s + q * r).sum() / (2 * r.sum() * s.sum())
        + (q * s).sum() / (2 * s.sum() ** 2)
    )
    return math.log(r.sum() / s.sum()), float(variance), s


def _risks(x: Array, n: Array, x0: Array, n0: Array) -> tuple[float, float, Array]:
    total = n + n0
    r, s = x * n0 / total, x0 * n / total
    if not (r.sum() > 0 and s.sum() > 0):
        raise InvalidInput("model mh: the risk ratio has no value, an arm has no event")
    top = (n * n0 * (x + x0) - x * x0 * total) / total**2
    return math.log(r.sum() / s.sum()), float(top.sum() / (r.sum() * s.sum())), s


def _differences(x: Array, n: Array, x0: Array, n0: Array) -> tuple[float, float, Array]:
    weights = n * n0 / (n + n0)
    top = (x * (n - x) * n0**3 + x0 * (n0 - x0) * n**3) / (n * n0 * (n + n0) ** 2)
    estimate = float((weights * (x / n - x0 / n0)).sum() / weights.sum())
    variance = float(top.sum() / weights.sum() ** 2)
    if not variance > 0:
        raise InvalidInput("model mh: the risk difference has no spread, no study has both events and their absence")
    return estimate, variance, weights
