"""The least removal that reaches a goal: greedy by what a bite opens per volume, pruned, and improved by exchange."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled
from keyhole.plan.decompress.problem import Indices, Problem, Taken

ROUNDS = 24
"""Exchanges tried: some of the tool's places are given up, and the goal is reached again by other weights."""

EVERY = (5, 3, 2)
"""Which share of the places is given up, by turns: each fifth, third, second."""

TIE = 1e-7

LEAST = 1e-3
"""Volume, mm³, that stands for none: what costs nothing is taken first, the most useful of it before the rest."""


@compiled()
def _ancestors(toward: Indices, at: int, chain: Indices) -> int:
    """Fill `chain` with `at` and what lies between it and the canal; how many they are."""
    n = 0
    while at >= 0:
        chain[n] = at
        n += 1
        at = toward[at]
    return n


@compiled()
def _add(start: Indices, bites: Indices, cost: Points, at: int, uses: Indices) -> float:
    """Send the tool to bite `at`: count its way in `uses`; the volume that this takes anew."""
    fresh = 0.0
    for m in range(start[at], start[at + 1]):
        u = bites[m]
        if uses[u] == 0:
            fresh += cost[u]
        uses[u] += 1
    return fresh


@compiled()
def _drop(start: Indices, bites: Indices, cost: Points, at: int, uses: Indices) -> float:
    """Call the tool back from bite `at`; the volume that is left standing again."""
    saved = 0.0
    for m in range(start[at], start[at + 1]):
        u = bites[m]
        uses[u] -= 1
        if uses[u] == 0:
            saved += cost[u]
    return saved


@compiled()
def _opened(uses: Indices, rooted: NDArray[np.bool_], inner: Indices, gain: Points) -> tuple[NDArray[np.bool_], Points]:
    """Which bites are open to the canal, (n,), and the gain of each plane."""
    is_open = np.zeros(len(uses), dtype=np.bool_)
    total = np.zeros(gain.shape[1])
    for i in range(len(uses)):
        if uses[i] == 0:
            continue
        held = rooted[i]
        for m in range(inner.shape[1]):
            if held or inner[i, m] < 0:
                break
            held = is_open[inner[i, m]]
        if held:
            is_open[i] = True
            total += gain[i]
    return is_open, total


@compiled()
def _worth(
    i: int, cost: Points, gain: Points, toward: Indices, start: Indices, bites: Indices, lack: Points, weight: Points,
    uses: Indices, is_open: NDArray[np.bool_], mark: Indices, chain: Indices,
) -> float:  # fmt: skip
    """What opening bite `i`, with all between it and the canal, gives of what is lacking, per volume."""
    fresh = LEAST
    sums = np.zeros(len(lack))
    for c in range(_ancestors(toward, i, chain)):
        j = chain[c]
        if is_open[j]:
            break
        sums += gain[j]
        if uses[j] > 0:
            continue
        for m in range(start[j], start[j + 1]):
            u = bites[m]
            if uses[u] == 0 and mark[u] != i:
                mark[u] = i
                fresh += cost[u]
    won = 0.0
    for a in range(len(lack)):
        won += weight[a] * max(min(sums[a], lack[a]), 0.0)
    return won / fresh


@compiled()
def _greedy(
    cost: Points, gain: Points, rooted: NDArray[np.bool_], inner: Indices, toward: Indices, start: Indices,
    bites: Indices, able: NDArray[np.bool_], deficit: Points, weight: Points, uses: Indices, worked: NDArray[np.bool_],
) -> bool:  # fmt: skip
    """Send the tool where it opens most of what is still lacking per volume, until nothing is lacking."""
    chain, mark = np.empty(len(cost), dtype=np.int64), np.empty(len(cost), dtype=np.int64)
    while True:
        is_open, total = _opened(uses, rooted, inner, gain)
        lack = deficit - total
        if lack.max() <= TIE:
            return True
        best, at = 0.0, -1
        mark[:] = -1
        for i in range(len(cost)):
            if able[i] and not is_open[i]:
                worth = _worth(i, cost, gain, toward, start, bites, lack, weight, uses, is_open, mark, chain)
                if worth > best * (1 + TIE) + TIE:
                    best, at = worth, i
        if at < 0:
            return False
        for c in range(_ancestors(toward, at, chain)):
            j = chain[c]
            if uses[j] == 0:
                _add(start, bites, cost, j, uses)
                worked[j] = True


@compiled()
def _prune(
    cost: Points, gain: Points, rooted: NDArray[np.bool_], inner: Indices, toward: Indices, start: Indices,
    bites: Indices, able: NDArray[np.bool_], deficit: Points, uses: Indices, worked: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Call the tool back from every place that the goal does not need, the largest saving first.

    Each is tried once: what is needed now is needed all the more once others have gone.
    """
    tried = np.zeros(len(cost), dtype=np.bool_)
    while True:
        most, at = 0.0, -1
        for i in range(len(cost)):
            if not worked[i] or tried[i]:
                continue
            saved = _drop(start, bites, cost, i, uses)
            _add(start, bites, cost, i, uses)
            if saved > most + TIE:
                most, at = saved, i
        if at < 0:
            return
        tried[at] = True
        _drop(start, bites, cost, at, uses)
        _, total = _opened(uses, rooted, inner, gain)
        if (deficit - total).max() <= TIE:
            worked[at] = False
        else:
            _add(start, bites, cost, at, uses)


@compiled()
def _thinned(
    cost: Points, start: Indices, bites: Indices, uses: Indices, worked: NDArray[np.bool_],
    every: int, shift: int,
) -> None:  # fmt: skip
    """Give up each `every`-th place from `shift` on, counted from the dearest or, for an odd shift, as they lie."""
    places = np.array([i for i in range(len(cost)) if worked[i]], dtype=np.int64)
    saved = np.zeros(len(places))
    for k in range(len(places)):
        if shift % 2 == 0:
            saved[k] = -_drop(start, bites, cost, places[k], uses)
            _add(start, bites, cost, places[k], uses)
    ranked = np.argsort(saved, kind="mergesort")
    for k in range(len(places)):
        if (k + shift) % every == 0:
            i = places[ranked[k]]
            _drop(start, bites, cost, i, uses)
            worked[i] = False


def least(problem: Problem, *, rounds: int = ROUNDS) -> Taken:
    """The least volume found that makes up for every plane's deficit, as far as the reach allows.

    A plane that the reach cannot bring to its goal is brought as far as it can be. The solution is feasible by
    construction; how near it comes to the exact minimum is measured in docs/decompression.md.
    """
    able, toward = problem.toward
    deficit = np.minimum(problem.deficit, problem.gain[able].sum(axis=0) - 1e-6)
    shape = problem.rooted, problem.inner
    fixed = (problem.cost, problem.gain, *shape, toward, problem.start, problem.bites, able, deficit)
    uses, worked = np.zeros(len(problem.cost), dtype=np.int64), np.zeros(len(problem.cost), dtype=np.bool_)
    uses[problem.forced] = 1
    best = np.inf, uses, worked
    for n in range(rounds + 1):
        uses, worked = best[1].copy(), best[2].copy()
        if n > 0:
            _thinned(problem.cost, problem.start, problem.bites, uses, worked, EVERY[n % len(EVERY)], n)
        _greedy(*fixed, _weights(deficit, n), uses, worked)
        _prune(*fixed, uses, worked)
        spent = float(problem.cost[uses > 0].sum())
        if spent < best[0] - TIE:
            best = spent, uses, worked
        if not worked.any():
            break
    is_open, total = _opened(best[1], *shape, problem.gain)
    return Taken(best[1] > 0, is_open, best[0], total)


def _weights(deficit: Points, n: int) -> Points:
    """What a gain on each plane is worth: all alike, or more for planes that lack more, by turns."""
    lack = np.maximum(deficit, 0.0) / max(float(deficit.max(initial=0.0)), 1e-9)
    waves = 1.0 + 0.5 * np.cos(np.arange(len(deficit)) * (1 + n % 5) + n)
    return np.asarray((np.ones(len(deficit)), 0.3 + lack, waves)[n % 3], dtype=np.float64)
