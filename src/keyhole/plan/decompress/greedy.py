"""The tool's places taken greedily by what they open per volume, and given back where the goal does not need them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled
from keyhole.plan.decompress.problem import Indices

TRIED = 6
"""Places that are looked at with all that they open, of those that are worth most by themselves."""

TIE = 1e-9
"""Amounts that differ by less are alike: rounding must not decide which bite goes first."""

ENOUGH = 1e-3
"""A plane lacks nothing if it lacks less than this, mm²."""

LEAST = 1e-3
"""Volume, mm³, that stands for none: what costs nothing is taken first, the most useful of it before the rest."""


@compiled()
def chance(state: Indices) -> float:
    """The next number of a fixed sequence, 0 to 1."""
    state[0] = (state[0] * 1103515245 + 12345) & 0x7FFFFFFF
    return float(state[0] / 0x80000000)


@compiled()
def counted(start: Indices, bites: Indices, cost: Points, at: int, step: int, uses: Indices) -> float:
    """Send the tool to bite `at` (`step` 1) or call it back (-1); the volume that this takes anew or leaves."""
    changed = 0.0
    for m in range(start[at], start[at + 1]):
        u = bites[m]
        uses[u] += step
        if uses[u] == (1 if step > 0 else 0):
            changed += cost[u]
    return changed


@compiled()
def opened(uses: Indices, rooted: NDArray[np.bool_], inner: Indices, gain: Points) -> tuple[NDArray[np.bool_], Points]:
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
def chains(
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
def worth_of(
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
            counted(start, bites, cost, at, 1, uses)
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
        _, total = opened(uses, rooted, inner, gain)
        won, fresh = 0.0, LEAST
        for a in range(len(lack)):
            won += max(min(total[a] - before[a], lack[a]), 0.0)
        for c in range(n):
            fresh += counted(start, bites, cost, sent[c], -1, uses)
        if won / fresh / taste[i] > most * (1 + TIE) + TIE:
            most, at = won / fresh / taste[i], i
    return at


@compiled()
def greedy(
    cost: Points, gain: Points, rooted: NDArray[np.bool_], inner: Indices, start: Indices, bites: Indices,
    deficit: Points, taste: Points, uses: Indices, worked: NDArray[np.bool_],
) -> bool:  # fmt: skip
    """Send the tool where it opens most of what is still lacking per volume, until nothing is lacking."""
    following, mark = np.empty(len(cost), dtype=np.int64), np.empty(len(cost), dtype=np.int64)
    sent, total = np.empty(len(cost), dtype=np.int64), np.empty(len(cost))
    worth, sums = np.zeros(len(cost)), np.zeros(len(deficit))
    while True:
        is_open, won = opened(uses, rooted, inner, gain)
        lack = deficit - won
        if lack.max() <= ENOUGH:
            return True
        chains(cost, rooted, inner, start, bites, taste, uses, is_open, total, following)
        mark[:], worth[:] = -1, 0.0
        for i in range(len(cost)):
            if not is_open[i] and total[i] < np.inf:
                worth[i] = worth_of(i, cost, gain, following, start, bites, lack, uses, mark, sums) / taste[i]
        at = _best(cost, gain, rooted, inner, start, bites, following, worth, taste, lack, won, uses, sent)
        if at < 0:
            return False
        for c in range(_sent(following, start, bites, cost, at, uses, sent)):
            worked[sent[c]] = True


@compiled()
def prune(
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
            saved = counted(start, bites, cost, i, -1, uses)
            counted(start, bites, cost, i, 1, uses)
            if saved > most + TIE:
                most, at = saved, i
        if at < 0:
            return
        tried[at] = True
        counted(start, bites, cost, at, -1, uses)
        _, total = opened(uses, rooted, inner, gain)
        if (deficit - total).max() <= ENOUGH:
            worked[at] = False
        else:
            counted(start, bites, cost, at, 1, uses)
