"""Published probabilities against own patients: how well they fit, and what makes them fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, kolmogorov, logit

from keyhole.errors import InvalidInput
from keyhole.forecast.effects import Array
from keyhole.forecast.pool import NORMAL, Figure, Interval

LEAST_EVENTS = 10
"""Events, and patients without, below which only the intercept is recalibrated [keyhole-choice]."""

BOOTSTRAPS = 500
CURVE_POINTS = 25
_EDGE = 1e-6  # probabilities are kept this far from 0 and 1
_STEPS = 30


@dataclass(frozen=True, slots=True)
class Bin:
    """A group of patients of similar predicted risk."""

    predicted: float
    observed: float
    interval: Interval
    patients: int


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the calibration curve: what a predicted risk was worth, with its bootstrap interval."""

    predicted: float
    expected: Figure


@dataclass(frozen=True, slots=True)
class Drift:
    """How far observed and expected drifted apart in time, in standard deviations, and its chance without drift."""

    distance: float
    p: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Predicted probabilities against what happened, and the recalibration logit(p) -> intercept + slope logit(p).

    `in_the_large` is the mean predicted minus the observed share; `slope` is 1 where the spread of predictions fits.
    """

    patients: int
    events: int
    in_the_large: Figure
    slope: Figure
    brier: Figure
    intercept_after: float
    slope_after: float
    brier_after: Figure
    bins: tuple[Bin, ...]
    curve: tuple[CurvePoint, ...]
    caveats: tuple[str, ...]

    def applied(self, probability: float | Array) -> Array:
        """`probability` after recalibration."""
        found: Array = expit(self.intercept_after + self.slope_after * _logit(np.asarray(probability)))
        return found


def calibration(predicted: Array, happened: Array, *, seed: int = 0) -> Calibration:
    """How `predicted` probabilities fit what `happened` (0 or 1), with intervals from `BOOTSTRAPS` resamples.

    Recalibrates intercept and slope by maximum likelihood; with fewer than `LEAST_EVENTS` events, or one prediction
    for everybody, the intercept alone.
    """
    known = np.isfinite(predicted) & np.isfinite(happened)
    p, y = np.clip(predicted[known], _EDGE, 1 - _EDGE), happened[known]
    if len(y) == 0 or ((y != 0) & (y != 1)).any():
        raise InvalidInput("calibration needs patients with a probability and an outcome of 0 or 1")
    events = int(y.sum())
    if events in (0, len(y)):
        raise InvalidInput(f"calibration needs patients with and without the event, got {events} events in {len(y)}")
    x = _logit(p)
    caveats = []
    both = min(events, len(y) - events) >= LEAST_EVENTS and float(np.ptp(x)) > 1e-6
    if not both:
        why = "the slope is kept: too few events, or one prediction for everybody"
        caveats.append(why)
    intercept, slope = fit(x[None], y[None], with_slope=both)
    picked = np.random.default_rng(seed).integers(len(y), size=(BOOTSTRAPS, len(y)))
    xs, ys = x[picked], y[picked]
    able = (ys.min(axis=1) == 0) & (ys.max(axis=1) == 1)
    xs, ys, ps = xs[able], ys[able], p[picked][able]
    again = fit(xs, ys, with_slope=both)
    after = expit(intercept[0] + slope[0] * x)
    return Calibration(
        patients=len(y),
        events=events,
        in_the_large=Figure(float(p.mean() - y.mean()), _middle(ps.mean(axis=1) - ys.mean(axis=1))),
        slope=Figure(float(slope[0]), _middle(again[1]) if both else (float(slope[0]), float(slope[0]))),
        brier=Figure(float(((p - y) ** 2).mean()), _middle(((ps - ys) ** 2).mean(axis=1))),
        intercept_after=float(intercept[0]),
        slope_after=float(slope[0]),
        brier_after=_brier(after, y, picked),
        bins=bins(p, y),
        curve=_curve(x, (float(intercept[0]), float(slope[0])), again),
        caveats=tuple(caveats),
    )


def _curve(x: Array, line: tuple[float, float], again: tuple[Array, Array]) -> tuple[CurvePoint, ...]:
    """The recalibrated `line` over the predictions at hand, and where the resampled lines `again` lie."""
    low, high = float(expit(x.min())), float(expit(x.max()))
    shares = np.linspace(low, high, CURVE_POINTS) if high - low > _EDGE else np.array([(low + high) / 2])
    at = _logit(shares)
    lines = expit(again[0][:, None] + again[1][:, None] * at)
    middle = expit(line[0] + line[1] * at)
    return tuple(
        CurvePoint(float(share), Figure(float(value), _middle(column)))
        for share, value, column in zip(shares, middle, lines.T, strict=True)
    )


def _brier(p: Array, y: Array, picked: NDArray[np.int64]) -> Figure:
    single = (p - y) ** 2
    return Figure(float(single.mean()), _middle(single[picked].mean(axis=1)))


def _middle(found: Array) -> Interval:
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _logit(p: Array) -> Array:
    found: Array = logit(np.clip(p, _EDGE, 1 - _EDGE))
    return found


def fit(x: Array, y: Array, *, with_slope: bool) -> tuple[Array, Array]:
    """Intercepts and slopes of logistic regressions, one for each row of `x` and `y` (b, n); slope 1 if not wanted.

    Newton steps, halved where they would be large, so that separated data end at a large slope, not at infinity.
    """
    intercept = logit(np.clip(y.mean(axis=1), 1e-4, 1 - 1e-4)) - (0.0 if with_slope else x.mean(axis=1))
    slope = np.zeros(len(x)) if with_slope else np.ones(len(x))
    for _ in range(_STEPS):
        p = expit(intercept[:, None] + slope[:, None] * x)
        w, r = p * (1 - p), y - p
        g0, h00 = r.sum(axis=1), w.sum(axis=1) + 1e-9
        if not with_slope:
            step0, step1 = g0 / h00, np.zeros(len(x))
        else:
            g1, h01, h11 = (r * x).sum(axis=1), (w * x).sum(axis=1), (w * x * x).sum(axis=1) + 1e-9
            det = np.maximum(h00 * h11 - h01**2, 1e-12)
            step0, step1 = (h11 * g0 - h01 * g1) / det, (h00 * g1 - h01 * g0) / det
        short = 1 / np.maximum(1.0, np.maximum(abs(step0), abs(step1)) / 2)
        intercept, slope = intercept + short * step0, slope + short * step1
        if max(abs(step0).max(), abs(step1).max()) < 1e-9:
            break
    return intercept, slope


def bins(predicted: Array, happened: Array, most: int = 10) -> tuple[Bin, ...]:
    """Points of a calibration plot: groups by predicted risk of about equal size, with Wilson's interval.

    Patients of one prediction are never parted: any order among them would make groups that differ by outcome.
    """
    _, which, sizes = np.unique(predicted, return_inverse=True, return_counts=True)
    groups = max(1, min(most, len(predicted) // 20))
    middle = np.cumsum(sizes) - sizes / 2
    group = np.minimum((middle * groups / len(predicted)).astype(np.int64), groups - 1)[np.ravel(which)]
    picked = [np.flatnonzero(group == n) for n in range(groups)]
    return tuple(
        Bin(float(predicted[g].mean()), float(happened[g].mean()), wilson(int(happened[g].sum()), len(g)), len(g))
        for g in picked
        if len(g)
    )


def wilson(events: int, n: int) -> Interval:
    """Wilson's 95 % interval of a share."""
    z2 = NORMAL**2
    middle = (events + z2 / 2) / (n + z2)
    half = NORMAL / (n + z2) * np.sqrt(events * (n - events) / n + z2 / 4)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def drift(predicted: Array, happened: Array, day: Array) -> Drift | None:
    """Whether observed and expected part in time; None where fewer than two days are known.

    The running sum of observed minus expected, tied down at its end, over its standard deviation; without drift its
    largest distance is that of a Brownian bridge (Kolmogorov's distribution). `predicted` should be recalibrated.
    """
    known = np.isfinite(predicted) & np.isfinite(happened) & np.isfinite(day)
    if len(np.unique(day[known])) < 2:
        return None
    order = np.lexsort((happened[known], predicted[known], day[known]))
    p, y, when = (column[known][order] for column in (predicted, happened, day))
    total, spread = np.cumsum(y - p), np.cumsum(p * (1 - p))
    bridge = (total - spread / spread[-1] * total[-1]) / np.sqrt(spread[-1])
    last = np.append(when[1:] != when[:-1], True)  # within a day there is no order
    distance = float(abs(bridge[last]).max())
    return Drift(distance, float(kolmogorov(distance)))
