"""The exact least removal of a small problem: by integer programming, and by trying every set of places."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_matrix

from keyhole.plan.decompress.problem import NONE, Problem


def exact(problem: Problem, deficit: np.ndarray, *, seconds: float = 60.0) -> tuple[float, float]:
    """Volume of the least removal that makes up for `deficit`, mm³, and a lower bound of it (alike if it was proved).

    Variables: a bite is removed, the tool is sent to it, it is open. What is removed lies on a way of the tool; what is
    open is removed and lies on the canal or beside an open bite nearer to it.
    """
    n = len(problem.cost)
    places = np.flatnonzero(problem.reached)
    forced = np.zeros(n)
    forced[problem.forced] = 1
    rows: list[tuple[dict[int, float], float]] = []  # sum of coefficients >= bound
    through: list[list[int]] = [[] for _ in range(n)]
    for k, i in enumerate(places):
        for u in problem.bites[problem.start[i] : problem.start[i + 1]]:
            rows.append(({int(u): 1.0, n + k: -1.0}, 0.0))
            through[int(u)].append(n + k)
    opened = n + len(places)
    for i in range(n):
        rows.append(({i: -1.0} | dict.fromkeys(through[i], 1.0), -forced[i]))
        rows.append(({i: 1.0, opened + i: -1.0}, 0.0))
        if not problem.rooted[i]:
            inner = {opened + int(j): 1.0 for j in problem.inner[i] if j != NONE}
            rows.append((inner | {opened + i: -1.0}, 0.0))
    for s, lack in enumerate(deficit):
        rows.append(({opened + i: float(problem.gain[i, s]) for i in range(n) if problem.gain[i, s] > 0}, float(lack)))
    matrix = lil_matrix((len(rows), opened + n))
    for r, (row, _) in enumerate(rows):
        for column, value in row.items():
            matrix[r, column] = value
    low = np.concatenate([forced, np.zeros(len(places) + n)])
    found = milp(
        np.concatenate([problem.cost, np.full(len(places) + n, 1e-7)]),
        integrality=np.ones(opened + n),
        bounds=Bounds(low, np.ones(opened + n)),
        constraints=LinearConstraint(matrix.tocsr(), np.array([bound for _, bound in rows]), np.inf),
        options={"time_limit": seconds, "mip_rel_gap": 1e-4},
    )
    if found.x is None:
        return np.inf, 0.0
    return float(problem.cost[found.x[:n] > 0.5].sum()), float(found.mip_dual_bound)


def tried(problem: Problem, deficit: np.ndarray) -> float:
    """The same by trying every set of places: for at most 16 of them."""
    places = np.flatnonzero(problem.reached)
    best = np.inf
    for size in range(len(places) + 1):
        for chosen in itertools.combinations(places, size):
            removed = np.zeros(len(problem.cost), dtype=bool)
            removed[problem.forced] = True
            for i in chosen:
                removed[problem.bites[problem.start[i] : problem.start[i + 1]]] = True
            spent = float(problem.cost[removed].sum())
            if spent < best and (opened_by(problem, removed) >= deficit - 1e-6).all():
                best = spent
    return best


def opened_by(problem: Problem, removed: np.ndarray) -> np.ndarray:
    """What each plane gains if these bites are removed, mm²: grown outwards from the canal until nothing changes."""
    is_open = removed & problem.rooted
    while True:
        beside = np.array([any(j != NONE and is_open[j] for j in row) for row in problem.inner])
        more = removed & (is_open | beside)
        if np.array_equal(more, is_open):
            return problem.gain[is_open].sum(axis=0)
        is_open = more
