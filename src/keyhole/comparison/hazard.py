"""The hazard ratio of reoperation, by Cox's model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.comparison.adjust import completed_designs
from keyhole.comparison.model import Interval
from keyhole.comparison.rubin import interval, pooled
from keyhole.comparison.survival import times_of
from keyhole.comparison.table import Array, Mask, Table, taken, with_columns
from keyhole.errors import InvalidInput, MissingPart

MOST = 20_000
"""Rows beyond which Cox's model is fitted to a drawn sample of so many: its tests take minutes on more."""
EVENTS_PER_COLUMN = 10
"""Events that the model needs for each of its columns: Keyhole's own choice, the usual rule."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """Hazard of arm 1 over that of arm 0, adjusted; `p_proportional` tests that the ratio stays the same over time."""

    clock: str
    n: int
    events: int
    ratio: float
    interval: Interval
    p_proportional: float
    covariates: tuple[str, ...]
    caveats: tuple[str, ...]


def cox(days: Array, event: Mask, columns: Mapping[str, Array]) -> tuple[Array, Array, float, Array]:
    """Coefficients, their covariance, the log likelihood and p values of proportionality, of Cox's model (Efron ties).

    Fitted by lifelines, which is in the extra `registry`.
    """
    try:
        import pandas  # noqa: PLC0415  # an extra, loaded where it is needed
        from lifelines import CoxPHFitter  # noqa: PLC0415
        from lifelines.exceptions import ConvergenceError  # noqa: PLC0415
        from lifelines.statistics import proportional_hazard_test  # noqa: PLC0415
    except ImportError as error:
        needed = 'pip install "keyhole-spine[registry]"'
        raise MissingPart(f"the hazard ratio needs lifelines: {needed}") from error
    frame = pandas.DataFrame({"days": np.maximum(days, 0.5), "event": event.astype(int), **columns})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that say little; the standard errors say it too
        try:
            found = CoxPHFitter().fit(frame, "days", "event")
        except ConvergenceError as error:
            raise InvalidInput(
                "Cox's model has no finite answer for these columns: an event tells one apart"
            ) from error
        tests = proportional_hazard_test(found, frame, time_transform="rank")
    return (
        found.params_.to_numpy(),
        found.variance_matrix_.to_numpy(),
        float(found.log_likelihood_),
        np.atleast_1d(tests.p_value),
    )


def hazard_ratio(
    table: Table,
    clock: str = "reoperation",
    treatment: str = "miss",
    covariates: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Hazard:
    """Adjusted hazard ratio on the clock; covariates are left out where events are too few for them."""
    sampled = len(table) > MOST
    if sampled:
        table = taken(table, np.sort(np.random.default_rng(seed).choice(len(table), MOST, replace=False)))
    found = times_of(table, clock, treatment)
    for arm in (0, 1):
        if not found.event[found.treated == bool(arm)].any():
            raise InvalidInput(f"{table.name}: no {clock} with {treatment} = {arm}: there is no hazard ratio")
    name = f"{clock} event"
    held = with_columns(taken(table, found.rows), {name: found.event.astype(np.float64)})
    designs = completed_designs(held, name, treatment, covariates, seed=seed)
    events, caveats = int(found.event.sum()), list(found.caveats)
    width = len(designs.names)
    if sampled:
        caveats.append(f"the hazard ratio is from a sample of {MOST:,} rows, drawn by lot")
    if events < EVENTS_PER_COLUMN * (width + 1):
        caveats.append(f"{events} events are too few for {width} covariates: the hazard ratio is not adjusted")
        width = 0
    values, variances, tests = [], [], []
    for X in designs.designs if width else designs.designs[:1]:
        columns = {"arm": found.treated.astype(np.float64)} | {f"x{k}": X[:, k + 1] for k in range(width)}
        fixed, covariance, _, p = cox(found.days, found.event, columns)
        values.append(float(fixed[0]))
        variances.append(float(covariance[0, 0]))
        tests.append(float(p[0]))
    total = pooled(values, variances)
    low, high = interval(total.value, total.se, total.df)
    proportional = float(np.median(tests))
    if proportional < 0.05:
        caveats.append(f"the hazard ratio changes over time (p {proportional:.2g}): one figure for all of it misleads")
    return Hazard(
        clock,
        len(found.days),
        events,
        float(np.exp(total.value)),
        (float(np.exp(low)), float(np.exp(high))),
        proportional,
        designs.covariates if width else (),
        tuple(dict.fromkeys(caveats)),
    )
