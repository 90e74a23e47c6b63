"""Missing values drawn several times, by chained equations within each arm [white2011].

Measures are drawn as a drawn regression's mean plus the residual of one of five patients alike (local residual draws),
cut to the range seen; measures of few different values (ASA class, numeric ratings) by predictive mean matching, which
draws only what has been seen; 0/1 by Bayesian logistic draws; categories by one such model for each level against the
commonest, which together are a multinomial model. Every model holds all the other covariates, the outcome and the
auxiliary columns, and is fitted in each arm by itself, so that no difference between the arms is assumed away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import linalg
from scipy.special import expit

from keyhole.comparison.design import Values, Variable, columns
from keyhole.comparison.fit import held_logistic
from keyhole.comparison.table import Array, Index, Mask

DONORS = 5
FITTED_ON = 20_000
"""Most rows of an arm that a model of the imputation is fitted on, drawn anew for every completed table."""

LARGE = 20_000
"""Rows beyond which 5 completed tables and 5 cycles are made, below it 20 and 10: Keyhole's own choice."""

ROWS_PER_COLUMN = 10
"""Rows an arm must have for each column of the models, else both arms share them (with the arm as a column)."""

FEW_VALUES = 20
"""Measures of at most so many different values are drawn by predictive mean matching: Keyhole's own choice."""

_RIDGE = 1e-6
_PRECISION = 0.04  # normal prior of sd 5 on coefficients per sd: keeps separated draws finite


@dataclass(frozen=True, slots=True, eq=False)
class Imputed:
    """Drawn values: for each variable its missing rows, and the draws, (imputations, missing rows)."""

    rows: Mapping[str, Index]
    draws: Mapping[str, Array]
    imputations: int
    cycles: int
    by_arm: bool


def imputations_for(n: int) -> int:
    """How many completed tables a table of `n` rows gets unless asked otherwise."""
    return 5 if n > LARGE else 20


def completed(values: Values, imputed: Imputed, k: int) -> dict[str, Array]:
    """The values with the `k`-th draw where they were missing."""
    found = dict(values)
    for name, rows in imputed.rows.items():
        filled = values[name].copy()
        filled[rows] = imputed.draws[name][k]
        found[name] = filled
    return found


def is_coarse(values: Array) -> bool:
    """Whether a measure has few different values."""
    return len(np.unique(values[~np.isnan(values)])) <= FEW_VALUES


def impute(variables: Sequence[Variable], values: Values, treated: Mask, imputations: int, *, seed: int = 0) -> Imputed:
    """Draw every missing value `imputations` times; the same seed draws the same values.

    Parameters
    ----------
    variables : covariates, outcome and auxiliaries, in any order.
    values : nan where missing; each variable is known in some row of each arm.
    treated : (n,) arm 1.
    """
    rows = {v.name: np.flatnonzero(np.isnan(values[v.name])) for v in variables}
    rows = {name: where for name, where in rows.items() if where.size}
    if not rows:
        return Imputed({}, {}, 1, 0, True)
    n = len(treated)
    width = 1 + sum(v.width for v in variables)
    by_arm = min(int(treated.sum()), n - int(treated.sum())) >= ROWS_PER_COLUMN * width and _known_in_both(
        values, rows, treated
    )
    cycles = 1 if len(rows) == 1 else 5 if n > LARGE else 10
    strata = [np.flatnonzero(~treated), np.flatnonzero(treated)] if by_arm else [np.arange(n)]
    shared = None if by_arm else treated.astype(np.float64)
    draws = {name: np.empty((imputations, where.size)) for name, where in rows.items()}
    for k in range(imputations):
        rng = np.random.default_rng([seed, k])
        for stratum in strata:
            for name, where, drawn in _drawn(variables, values, stratum, shared, cycles, rng):
                draws[name][k, np.searchsorted(rows[name], where)] = drawn
    return Imputed(rows, draws, imputations, cycles, by_arm)


def _known_in_both(values: Values, rows: Mapping[str, Index], treated: Mask) -> bool:
    """Whether each incomplete variable is known in enough rows of both arms to be modelled there."""
    for name in rows:
        known = ~np.isnan(values[name])
        if min(int((known & treated).sum()), int((known & ~treated).sum())) < 2 * ROWS_PER_COLUMN:
            return False
    return True


def _drawn(
    variables: Sequence[Variable], values: Values, stratum: Index, shared: Array | None, cycles: int, rng: Generator
) -> Iterator[tuple[str, Index, Array]]:
    """One stratum's draws: variable, rows of the table, values."""
    state = _State.of(variables, values, stratum, shared, rng)
    for _ in range(cycles):
        for name in state.order:
            state.renew(name, rng)
    for name, where in state.holes.items():
        yield name, stratum[where], state.values[name][where]


@dataclass(slots=True, eq=False)
class _State:
    """One stratum while its chain runs: current values and the matrix of all of them."""

    variables: Mapping[str, Variable]
    values: dict[str, Array]
    holes: dict[str, Index]
    order: list[str]
    matrix: Array  # (rows, width) intercept, perhaps the arm, then each variable's columns, scaled
    where: dict[str, slice]
    scale: dict[str, tuple[Array, Array]]
    sample: Index | None  # rows that models are fitted on, None for all
    coarse: dict[str, bool]  # few different values

    @classmethod
    def of(
        cls,
        variables: Sequence[Variable],
        values: Values,
        stratum: Index,
        shared: Array | None,
        rng: Generator,
    ) -> _State:
        """The stratum with every hole filled by a value drawn among the known ones."""
        held, holes = {}, {}
        for variable in variables:
            column = values[variable.name][stratum]
            empty = np.flatnonzero(np.isnan(column))
            if empty.size:
                known = column[~np.isnan(column)]
                column[empty] = rng.choice(known, size=empty.size)
                holes[variable.name] = empty
            held[variable.name] = column
        first = 1 if shared is None else 2
        matrix = np.ones((len(stratum), first + sum(v.width for v in variables)))
        if shared is not None:
            matrix[:, 1] = shared[stratum] - shared[stratum].mean()
        where, scale = {}, {}
        for variable in variables:
            where[variable.name] = slice(first, first + variable.width)
            first += variable.width
            block = columns(variable, held[variable.name])
            spread = block.std(axis=0)
            scale[variable.name] = (block.mean(axis=0), np.where(spread > 0, spread, 1.0))
            matrix[:, where[variable.name]] = (block - scale[variable.name][0]) / scale[variable.name][1]
        order = sorted(holes, key=lambda name: (len(holes[name]), name))
        sample = rng.choice(len(stratum), FITTED_ON, replace=False) if len(stratum) > FITTED_ON else None
        coarse = {name: is_coarse(values[name]) for name in holes}
        return cls({v.name: v for v in variables}, held, holes, order, matrix, where, scale, sample, coarse)

    def renew(self, name: str, rng: Generator) -> None:
        """Draw the holes of one variable anew, given the current values of all the others."""
        variable, holes, own = self.variables[name], self.holes[name], self.where[name]
        others = np.ones(self.matrix.shape[1], dtype=np.bool_)
        others[own] = False
        known = self._fitted_on(holes)
        X, target = self.matrix[known][:, others], self.values[name][known]
        missing = self.matrix[holes][:, others]
        if variable.levels:
            drawn = _categories(X, target, missing, len(variable.levels), rng)
        elif variable.is_claim:
            drawn = _claims(X, target, missing, rng)
        else:
            drawn = _matched(X, target, missing, rng, self.coarse[name])
        self.values[name][holes] = drawn
        centre, spread = self.scale[name]
        self.matrix[holes, own] = (columns(variable, drawn) - centre) / spread

    def _fitted_on(self, holes: Index) -> Index:
        known = np.ones(len(self.matrix), dtype=np.bool_)
        known[holes] = False
        if self.sample is None:
            return np.flatnonzero(known)
        within = self.sample[known[self.sample]]
        return within if within.size >= 1000 else np.flatnonzero(known)[:FITTED_ON]


def _matched(X: Array, y: Array, missing: Array, rng: Generator, coarse: bool) -> Array:
    """A donor whose fitted mean is near the drawn one gives its value, or, for fine measures, its residual."""
    cross = X.T @ X
    cross[np.diag_indices_from(cross)] += _RIDGE * len(y)
    root: Array = linalg.cholesky(cross, lower=True)
    fitted = linalg.cho_solve((root, True), X.T @ y, check_finite=False)
    means = X @ fitted
    freedom = max(len(y) - X.shape[1], 1)
    residual = float(np.sum((y - means) ** 2))
    sigma = np.sqrt(residual / rng.chisquare(freedom))
    drawn = fitted + sigma * _spread(root, rng)
    wanted = missing @ drawn
    donors = _donors(means, wanted, rng)
    if coarse:
        return y[donors]
    filled: Array = np.clip(wanted + (y - means)[donors] * (sigma / np.sqrt(residual / freedom)), y.min(), y.max())
    return filled


def _donors(means: Array, wanted: Array, rng: Generator) -> Index:
    """For each wanted mean one of the `DONORS` nearest means, at random; equal means are all alike."""
    shuffled = rng.permutation(len(means))
    order = shuffled[np.argsort(means[shuffled], kind="stable")]
    ranked = means[order]
    low, high = np.searchsorted(ranked, wanted, "left"), np.searchsorted(ranked, wanted, "right")
    centre = rng.integers(low, high + 1)
    near = centre[:, None] + np.arange(-DONORS, DONORS)
    inside = (near >= 0) & (near < len(ranked))
    near = np.clip(near, 0, len(ranked) - 1)
    distance = np.where(inside, np.abs(ranked[near] - wanted[:, None]), np.inf)
    most = min(DONORS, len(ranked))
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :most]
    pick = nearest[np.arange(len(wanted)), rng.integers(0, most, len(wanted))]
    found: Index = order[near[np.arange(len(wanted)), pick]]
    return found


def _claims(X: Array, y: Array, missing: Array, rng: Generator) -> Array:
    """0/1 drawn with the probability that drawn logistic coefficients give."""
    chance = expit(missing @ _logistic_draw(X, y, rng))
    drawn = rng.random(len(missing)) < chance
    return np.where(drawn, 1.0, 0.0)


def _categories(X: Array, y: Array, missing: Array, count: int, rng: Generator) -> Array:
    """Codes drawn from a multinomial model, by one drawn logistic model for each level against the commonest."""
    logit = np.zeros((len(missing), count))
    for k in range(1, count):
        pair = (y == 0) | (y == k)
        logit[:, k] = missing @ _logistic_draw(X[pair], (y[pair] == k).astype(np.float64), rng)
    edges = np.cumsum(np.exp(logit - logit.max(axis=1, keepdims=True)), axis=1)
    point = rng.random(len(missing)) * edges[:, -1]
    codes: Array = np.minimum((point[:, None] > edges).sum(axis=1), count - 1).astype(np.float64)
    return codes


def _logistic_draw(X: Array, y: Array, rng: Generator) -> Array:
    """Coefficients drawn from the normal approximation of their posterior."""
    fitted, information = held_logistic(X, y, _PRECISION)
    root: Array = linalg.cholesky(information, lower=True)
    drawn: Array = fitted + _spread(root, rng)
    return drawn


def _spread(root: Array, rng: Generator) -> Array:
    """A normal draw whose precision has the lower Cholesky factor `root`."""
    noise = rng.standard_normal(len(root))
    drawn: Array = linalg.solve_triangular(root, noise, lower=True, trans="T", check_finite=False)
    return drawn
