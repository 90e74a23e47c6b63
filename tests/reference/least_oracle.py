"""The least removal of a small problem by trying every set of places that the tool can be sent to."""

from __future__ import annotations

import numpy as np

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
