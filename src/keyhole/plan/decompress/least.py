"""The least removal that reaches a goal: greedy by what a bite opens per volume, pruned, and improved by exchange."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled
from keyhole.plan.decompress.problem import Indices, Problem, Taken

ROUNDS = 320
"""Exchanges tried: some of the tool's places are given up, and the goal is reached again another way."""

ANEW = 12
"""Times that the exchanges begin from nothing."""

WORSE = 0.03
"""An exchange may make the removal larger by this share at first, by ever less later, and is kept as a way further."""

TASTE = 1.8
"""How far chance changes what a place is worth in an exchange."""

TRIED = 6
"""Places that are looked at with all that they open, of those that are worth most by themselves."""

TIE = 1e-9
"""Amounts that differ by less are alike: rounding must not decide which bite goes first."""

ENOUGH = 1e-3
"""A plane lacks nothing if it lacks less than this, mm²."""

LEAST = 1e-3
"""Volume, mm³, that stands for none: what costs nothing is taken first, the most useful of it before the rest."""


@compiled()
def _chance(state: Indices) -> float:
    """The next number of a fixed sequence, 0 to 1."""
    state[0] = (state[0] * 1103515245 + 12345) & 0x7FFFFFFF
    return float(state[0] / 0x80000000)


@compiled()
def _count(start: Indices, bites: Indices, cost: Points, at: int, step: int, uses: Indices) -> float:
    """Send the tool to bite `at` (`step` 1) or call it back (-1); the volume that this takes anew or leaves."""
    changed = 0.0
    for m in range(start[at], start[at + 1]):
        u = bites[m]
        uses[u] += step
        if uses[u] == (1 if step > 0 else 0):
            changed += cost[u]
    return changed


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
def _chains(
    cost: Points, rooted: NDArray[np.bool_], inner: Indices, start: Indices, bites: Indices, taste: Points,
    uses: Indices, is_open: NDArray[np.bool_], total: Points, following: Indices,
) -> None:  # fmt: skip
    """Fill `total` with the volume that opening each bite takes from here, and `following` with the next one inwards.

    Ways that overlap are counted twice here. inf: it cannot be opened; -1: the canal, or an open bite, is next.
    """
    for i in range(len(cost)):
        following[i], total[i] = -1, 0.0
        if is_open[i]:
            continue
        if uses[i] == 0:
            if start[i] == start[i + 1]:
                total[i] = np.inf
                continue
            for m in range(start[i], start[i + 1]):
                total[i] += cost[bites[m]] if uses[bites[m]] == 0 else 0.0
            total[i] *= taste[i]
        if rooted[i]:
            continue
        best = np.inf
        for m in range(inner.shape[1]):
            j = inner[i, m]
            if j < 0:
                break
            if is_open[j]:
                best, following[i] = 0.0, -1
                break
            if total[j] < best - TIE:
                best, following[i] = total[j], j
        total[i] += best


@compiled()
def _worth(
    i: int, cost: Points, gain: Points, following: Indices, start: Indices, bites: Indices, lack: Points,
    uses: Indices, mark: Indices, sums: Points,
) -> float:  # fmt: skip
    """What opening bite `i`, with all between it and the canal, gives of what is lacking, per volume."""
    fresh, j = LEAST, i
    sums[:] = 0.0
    while j >= 0:
        sums += gain[j]
        if uses[j] == 0:
            for m in range(start[j], start[j + 1]):
                u = bites[m]
                if uses[u] == 0 and mark[u] != i:
                    mark[u] = i
                    fresh += cost[u]
        j = following[j]
    won = 0.0
    for a in range(len(lack)):
        won += max(min(sums[a], lack[a]), 0.0)
    return won / fresh


@compiled()
def _sent(
    following: Indices, start: Indices, bites: Indices, cost: Points, at: int, uses: Indices, sent: Indices
) -> int:
    """Send the tool to bite `at` and to all between it and the canal that still stand; fill `sent`, and how many."""
    n = 0
    while at >= 0:
        if uses[at] == 0:
            _count(start, bites, cost, at, 1, uses)
            sent[n] = at
            n += 1
        at = following[at]
    return n


@compiled()
def _best(
    cost: Points, gain: Points, rooted: NDArray[np.bool_], inner: Indices, start: Indices, bites: Indices,
    following: Indices, worth: Points, taste: Points, lack: Points, before: Points, uses: Indices, sent: Indices,
) -> int:  # fmt: skip
    """The best of the `TRIED` bites that are worth most, now with all that they open in passing; -1: none."""
    most, at = 0.0, -1
    for _ in range(TRIED):
        i = int(np.argmax(worth >= (1 - TIE) * worth.max()))
        if not worth[i] > 0:
            break
        worth[i] = 0.0
        n = _sent(following, start, bites, cost, i, uses, sent)
        _, total = _opened(uses, rooted, inner, gain)
        won, fresh = 0.0, LEAST
        for a in range(len(lack)):
            won += max(min(total[a] - before[a], lack[a]), 0.0)
        for c in range(n):
            fresh += _count(start, bites, cost, sent[c], -1, uses)
        if won / fresh / taste[i] > most * (1 + TIE) + TIE:
            most, at = won / fresh / taste[i], i
    return at


@compiled()
def _greedy(
    cost: Points, gain: Points, rooted: NDArray[np.bool_], inner: Indices, start: Indices, bites: Indices,
    deficit: Points, taste: Points, uses: Indices, worked: NDArray[np.bool_],
) -> bool:  # fmt: skip
    """Send the tool where it opens most of what is still lacking per volume, until nothing is lacking."""
    following, mark = np.empty(len(cost), dtype=np.int64), np.empty(len(cost), dtype=np.int64)
    sent, total = np.empty(len(cost), dtype=np.int64), np.empty(len(cost))
    worth, sums = np.zeros(len(cost)), np.zeros(len(deficit))
    while True:
        is_open, won = _opened(uses, rooted, inner, gain)
        lack = deficit - won
        if lack.max() <= ENOUGH:
            return True
        _chains(cost, rooted, inner, start, bites, taste, uses, is_open, total, following)
        mark[:], worth[:] = -1, 0.0
        for i in range(len(cost)):
            if not is_open[i] and total[i] < np.inf:
                worth[i] = _worth(i, cost, gain, following, start, bites, lack, uses, mark, sums) / taste[i]
        at = _best(cost, gain, rooted, inner, start, bites, following, worth, taste, lack, won, uses, sent)
        if at < 0:
            return False
        for c in range(_sent(following, start, bites, cost, at, uses, sent)):
            worked[sent[c]] = True


@compiled()
def _prune(
    cost: Points, gain: Points, rooted: NDArray[np.bool_], inner: Indices, start: Indices, bites: Indices,
    deficit: Points, uses: Indices, worked: NDArray[np.bool_],
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
            saved = _count(start, bites, cost, i, -1, uses)
            _count(start, bites, cost, i, 1, uses)
            if saved > most + TIE:
                most, at = saved, i
        if at < 0:
            return
        tried[at] = True
        _count(start, bites, cost, at, -1, uses)
        _, total = _opened(uses, rooted, inner, gain)
        if (deficit - total).max() <= ENOUGH:
            worked[at] = False
        else:
            _count(start, bites, cost, at, 1, uses)


@compiled()
def _given_up(
    cost: Points, start: Indices, bites: Indices, uses: Indices, worked: NDArray[np.bool_], state: Indices
) -> None:
    """Call the tool back from some of its places: mostly from those whose ways a place picked by chance shares."""
    places = np.flatnonzero(worked)
    picked = places[int(_chance(state) * len(places))]
    beside = np.zeros(len(cost), dtype=np.bool_)
    for m in range(start[picked], start[picked + 1]):
        beside[bites[m]] = True
    loose = 0.02 + 0.2 * _chance(state)
    for i in places:
        shared = 0
        for m in range(start[i], start[i + 1]):
            shared += 1 if beside[bites[m]] else 0
        share = shared / max(1, start[i + 1] - start[i])
        if i == picked or _chance(state) < loose + 0.8 * share:
            _count(start, bites, cost, int(i), -1, uses)
            worked[i] = False


@compiled()
def _search(
    cost: Points, gain: Points, rooted: NDArray[np.bool_], inner: Indices, start: Indices, bites: Indices,
    deficit: Points, forced: Indices, rounds: int,
) -> Indices:  # fmt: skip
    """How often each bite is used in the best solution that `rounds` exchanges find, begun anew `ANEW` times."""
    state, taste = np.array([20260], dtype=np.int64), np.ones(len(cost))
    least, kept = np.inf, np.zeros(len(cost), dtype=np.int64)
    uses, worked, spent = kept.copy(), np.zeros(len(cost), dtype=np.bool_), np.inf
    per = max(1, (rounds + ANEW - 1) // ANEW)
    for n in range(rounds + 1):
        begins = n % per == 0
        others, places = uses.copy(), worked.copy()
        if begins:
            others[:], places[:] = 0, False
            others[forced] = 1
        elif worked.any():
            _given_up(cost, start, bites, others, places, state)
        for i in range(len(cost)):
            taste[i] = 1.0 if n == 0 else 1.0 + TASTE * (_chance(state) - 0.5)
        _greedy(cost, gain, rooted, inner, start, bites, deficit, taste, others, places)
        _prune(cost, gain, rooted, inner, start, bites, deficit, others, places)
        now = cost[others > 0].sum()
        if begins or now <= spent * (1 + WORSE * (1 - (n % per) / per)) + TIE:
            uses, worked, spent = others, places, now
        if now < least - TIE:
            least, kept = now, others.copy()
        if not places.any():
            break
    return kept


def least(problem: Problem, *, rounds: int = ROUNDS) -> Taken:
    """The least volume found that makes up for every plane's deficit, as far as the reach allows.

    A plane that the reach cannot bring to its goal is brought as far as it can be. What is found reaches the goal by
    construction; how near it comes to the exact least is measured in docs/decompression.md. Chance is a fixed sequence.
    """
    deficit = np.minimum(problem.deficit, problem.attainable - 1e-6)
    shape = problem.rooted, problem.inner
    ways = problem.start, problem.bites
    uses = _search(problem.cost, problem.gain, *shape, *ways, deficit, problem.forced, rounds)
    is_open, total = _opened(uses, *shape, problem.gain)
    return Taken(uses > 0, is_open, float(problem.cost[uses > 0].sum()), total)
