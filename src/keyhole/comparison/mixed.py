"""A linear mixed model by restricted maximum likelihood, from sums alone: its cost does not grow with the rows.

y = X b + Z u + e, where u holds blocks of effects (centre, effect of the operation in the centre, surgeon), each with
an sd of its own. The profiled criterion is that of lme4 [bates2015]; sums of products of X, Z and y are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from keyhole.comparison.table import Array

SMALL = 1e-4
"""Ratio of an effect's sd to the residual's below which it is taken for none."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Effects that share an sd: each row belongs to one of `count` groups and enters with its weight."""

    group: NDArray[np.int64]
    count: int
    weight: Array


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A fitted model.

    fixed, covariance : (p,) and (p, p). effects : of each block, as predicted. joint : (p + q, p + q) covariance of
    fixed coefficients and effects (errors of prediction). sds : of each block. residual : sd. criterion : deviance.
    """

    fixed: Array
    covariance: Array
    effects: tuple[Array, ...]
    joint: Array
    sds: tuple[float, ...]
    residual: float
    criterion: float


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    n: int
    ZZ: Array
    ZX: Array
    Zy: Array
    XX: Array
    Xy: Array
    yy: float
    sizes: tuple[int, ...]


def fit(X: Array, y: Array, blocks: Sequence[Block]) -> Mixed:
    """Fit by REML; sds on the boundary come out as 0."""
    sums = _sums(X, y, blocks)
    best = _searched(sums)
    best[best < SMALL] = 0.0
    return _fitted(sums, best)


def _searched(sums: _Sums) -> Array:
    """Ratios of sds to the residual sd that make the criterion least: by its slope, then without it at a boundary."""
    bounds = [(0.0, 50.0)] * len(sums.sizes)
    found = optimize.minimize(
        lambda ratios: _criterion(sums, ratios), np.full(len(bounds), 0.2), method="L-BFGS-B", bounds=bounds
    )
    again = optimize.minimize(
        lambda ratios: _criterion(sums, ratios),
        found.x,
        method="Nelder-Mead",
        bounds=bounds,
        options={"xatol": 1e-5, "fatol": 1e-8, "maxfev": 300},
    )
    return np.asarray(again.x, dtype=np.float64)


def _sums(X: Array, y: Array, blocks: Sequence[Block]) -> _Sums:
    """Sums of products of every pair of columns of X, Z and y; Z itself is never made."""
    sizes = tuple(block.count for block in blocks)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    q = int(starts[-1])
    ZZ, ZX, Zy = np.zeros((q, q)), np.zeros((q, X.shape[1])), np.zeros(q)
    for a, one in enumerate(blocks):
        at = slice(int(starts[a]), int(starts[a + 1]))
        Zy[at] = np.bincount(one.group, one.weight * y, one.count)
        for k in range(X.shape[1]):
            ZX[at, k] = np.bincount(one.group, one.weight * X[:, k], one.count)
        for b, other in enumerate(blocks):
            pair = np.bincount(
                one.group * other.count + other.group, one.weight * other.weight, one.count * other.count
            )
            ZZ[at, int(starts[b]) : int(starts[b + 1])] = pair.reshape(one.count, other.count)
    return _Sums(len(y), ZZ, ZX, Zy, X.T @ X, X.T @ y, float(y @ y), sizes)


def _solved(sums: _Sums, scale: Array, right: Array) -> tuple[Array, float]:
    """(S ZZ S + 1)^-1 right, and the log determinant: the largest block is diagonal and goes first."""
    largest = int(np.argmax(sums.sizes))
    first = int(sum(sums.sizes[:largest]))
    own = np.zeros(len(scale), dtype=np.bool_)
    own[first : first + sums.sizes[largest]] = True
    diagonal = scale[own] ** 2 * np.diag(sums.ZZ)[own] + 1.0
    cross = scale[~own][:, None] * sums.ZZ[np.ix_(~own, own)] * scale[own]
    rest = scale[~own][:, None] * sums.ZZ[np.ix_(~own, ~own)] * scale[~own] + np.eye(int((~own).sum()))
    solved = np.empty_like(right)
    size = float(np.log(diagonal).sum())
    upper = right[~own] - cross @ (right[own] / diagonal[:, None])
    if len(rest):
        lower = linalg.cho_factor(rest - (cross / diagonal) @ cross.T)
        upper = linalg.cho_solve(lower, upper)
        size += 2.0 * float(np.log(np.abs(np.diag(lower[0]))).sum())
    solved[~own] = upper
    solved[own] = (right[own] - cross.T @ upper) / diagonal[:, None]
    return solved, size


def _profiled(sums: _Sums, ratios: Array) -> tuple[Array, Array, float, float]:
    """Information and fixed coefficients at these ratios, the residual sum of squares, the log determinant."""
    scale = np.repeat(ratios, sums.sizes)
    right = scale[:, None] * np.column_stack([sums.ZX, sums.Zy])
    solved, size = _solved(sums, scale, right)
    taken = right.T @ solved
    information = sums.XX - taken[:-1, :-1]
    target = sums.Xy - taken[:-1, -1]
    fixed: Array = linalg.solve(information, target, assume_a="pos")
    return information, fixed, sums.yy - float(taken[-1, -1]) - float(fixed @ target), size


def _criterion(sums: _Sums, ratios: Array) -> float:
    """Profiled REML deviance at these ratios of sds to the residual sd."""
    try:
        information, _, left, size = _profiled(sums, ratios)
    except linalg.LinAlgError:
        return float("inf")
    df = sums.n - len(sums.Xy)
    _, fixed_size = np.linalg.slogdet(information)
    if not left > 0:
        return float("inf")
    return float(size + fixed_size + df * (1 + np.log(2 * np.pi * left / df)))


def _fitted(sums: _Sums, ratios: Array) -> Mixed:
    scale = np.repeat(ratios, sums.sizes)
    information, fixed, left, _ = _profiled(sums, ratios)
    variance = left / (sums.n - len(sums.Xy))
    spherical = _solved(sums, scale, (scale * (sums.Zy - sums.ZX @ fixed))[:, None])[0][:, 0]
    cross = scale[:, None] * sums.ZX
    whole = np.block([[sums.XX, cross.T], [cross, scale[:, None] * sums.ZZ * scale + np.eye(len(scale))]])
    p = len(fixed)
    turn = np.concatenate([np.ones(p), scale])
    joint = variance * turn[:, None] * linalg.inv(whole) * turn
    ends = np.cumsum(sums.sizes)[:-1]
    return Mixed(
        fixed,
        variance * linalg.inv(information),
        tuple(np.split(scale * spherical, ends)),
        joint,
        tuple(float(ratio * np.sqrt(variance)) for ratio in ratios),
        float(np.sqrt(variance)),
        _criterion(sums, ratios),
    )
