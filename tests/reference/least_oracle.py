"""The least removal of a small problem by trying every set of places; of a larger one by an integer programme."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from keyhole.plan.decompress.problem import NONE, Problem

ENOUGH = 1e-3
"""A plane lacks nothing if it lacks less than this, mm²."""


def cropped(problem: Problem, places: int) -> Problem:
    """The disc-level plane of `problem` alone, with the `places` places that open something there most cheaply."""
    middle = problem.gain.shape[1] // 2
    opening = np.flatnonzero(problem.able & (problem.gain[:, middle] > 0))
    volume = np.array([problem.cost[way(problem, i)].sum() for i in opening])
    kept = np.sort(opening[np.argsort(volume, kind="stable")[:places]])
    bites = np.unique(np.concatenate([way(problem, i) for i in kept])) if len(kept) else np.zeros(0, dtype=np.int64)
    number = np.full(len(problem.cost) + 1, NONE)
    number[bites] = np.arange(len(bites))
    rows = [number[way(problem, i)] if i in kept else np.zeros(0, dtype=np.int64) for i in bites]
    inner = number[problem.inner[bites]]
    inner = np.take_along_axis(inner, np.argsort(inner == NONE, axis=1, kind="stable"), axis=1)
    gain = np.ascontiguousarray(problem.gain[bites, middle : middle + 1])
    start = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    held = np.concatenate([np.zeros(0, dtype=np.int64), *rows])
    nothing = np.zeros(0, dtype=np.int64)
    rooted, inner = problem.rooted[bites], np.ascontiguousarray(inner)
    return Problem(problem.cost[bites], gain, rooted, inner, start, held, np.zeros(1), nothing)


def way(problem: Problem, i: int) -> np.ndarray:
    """The bites on the tool's way to bite `i`."""
    return problem.bites[problem.start[i] : problem.start[i + 1]]


def exhaustive(problem: Problem, deficits: np.ndarray) -> np.ndarray:
    """Volume of the least removal that opens each of `deficits` (m, s), mm³; inf where no set of places does."""
    places = np.flatnonzero(problem.reached)
    every = (np.arange(2 ** len(places))[:, None] >> np.arange(len(places))) & 1 > 0
    removed = np.zeros((len(every), len(problem.cost)), dtype=bool)
    for column, i in zip(every.T, places, strict=True):
        for bite in way(problem, i):
            removed[:, bite] |= column
    is_open = np.zeros_like(removed)
    for i in range(len(problem.cost)):
        beside = [j for j in problem.inner[i] if j != NONE]
        is_open[:, i] = removed[:, i] & (problem.rooted[i] | is_open[:, beside].any(axis=1))
    spent, won = removed @ problem.cost, is_open @ problem.gain
    return np.array([spent[(won >= lack - ENOUGH).all(axis=1)].min(initial=np.inf) for lack in deficits])


def programme(problem: Problem, deficit: np.ndarray, seconds: float) -> tuple[float, float]:
    """Volume of the least removal found, mm³ (inf: none), and what none can be below, after at most `seconds`.

    Unknowns: whether the tool is sent to each place, whether each bite is gone, and whether it is open.
    """
    places, n = np.flatnonzero(problem.reached), len(problem.cost)
    m = len(places)
    rows: list[dict[int, float]] = []
    holders: list[list[int]] = [[] for _ in range(n)]
    for column, i in enumerate(places):
        for bite in way(problem, i):
            holders[bite].append(column)
            rows.append({column: 1.0, m + bite: -1.0})
    forced = set(problem.forced.tolist())
    for u in range(n):
        if u not in forced:
            rows.append({m + u: 1.0, **dict.fromkeys(holders[u], -1.0)})
        rows.append({m + n + u: 1.0, m + u: -1.0})
        if not problem.rooted[u]:
            beside = [m + n + int(j) for j in problem.inner[u] if j != NONE]
            rows.append({m + n + u: 1.0, **dict.fromkeys(beside, -1.0)})
    at = [(k, column, value) for k, row in enumerate(rows) for column, value in row.items()]
    which, column, value = (np.array(part) for part in zip(*at, strict=True))
    holds = sparse.csr_matrix((value, (which, column)), shape=(len(rows), m + 2 * n))
    opens = sparse.csr_matrix(np.hstack([np.zeros((len(deficit), m + n)), problem.gain.T]))
    low = np.zeros(m + 2 * n)
    low[[m + u for u in forced]] = 1.0
    found = milp(
        np.concatenate([np.zeros(m), problem.cost, np.zeros(n)]),
        constraints=[LinearConstraint(holds, ub=0.0), LinearConstraint(opens, lb=deficit - ENOUGH)],
        bounds=Bounds(low, 1.0),
        integrality=np.concatenate([np.ones(m), np.zeros(2 * n)]),
        options={"time_limit": seconds},
    )
    return (np.inf if found.fun is None else float(found.fun)), float(found.mip_dual_bound)
