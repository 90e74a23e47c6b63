"""The least removal that reaches a goal: greedy, pruned, and improved by exchange and by the best of many subsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled
from keyhole.plan.decompress.greedy import ENOUGH, TIE, chains, chance, counted, greedy, opened, prune, worth_of
from keyhole.plan.decompress.problem import NONE, Indices, Problem, Taken
from keyhole.plan.decompress.subsets import MOST, Case, best_subset, local

STARTS = 12
"""Times that the search begins from nothing."""

EXCHANGES = 5
"""Exchanges after each start: some of the tool's places are given up, and the goal is reached again another way."""

AROUND = (10, 16, 300)
"""After each exchange: surroundings looked at, places in one, and of their subsets how many are looked at."""

LAST = (150, 24, 600)
"""The same around the best that all starts have found."""

WHOLE = 20_000
"""Where so many looks settle it, every subset of all places is tried: then the least is exact."""

WORSE = 0.03
"""An exchange may make the removal larger by this share at first, by ever less later, and is kept as a way further."""

TASTE = 1.8
"""How far chance changes what a place is worth in an exchange."""

DEAR = 1.5
"""A place that takes this many times the volume that was given back is not looked at in its stead."""

SPARE = 1e-9
"""What any place is worth, times chance: what its way opens in passing is not counted otherwise."""


@compiled()
def _near(case: Case, worked: NDArray[np.bool_], state: Indices, loose: float) -> tuple[int, Points]:
    """A place in use picked by chance, and how much of its way each place in use shares, give or take `loose`."""
    places = np.flatnonzero(worked)
    picked = places[int(chance(state) * len(places))]
    beside = np.zeros(len(case.cost), dtype=np.bool_)
    for m in range(case.start[picked], case.start[picked + 1]):
        beside[case.bites[m]] = True
    shares = np.zeros(len(places))
    for c in range(len(places)):
        start, stop = case.start[places[c]], case.start[places[c] + 1]
        for m in range(start, stop):
            shares[c] += 1.0 if beside[case.bites[m]] else 0.0
        shares[c] = shares[c] / max(1, stop - start) + loose * chance(state)
    return int(picked), shares


@compiled()
def _given_up(case: Case, uses: Indices, worked: NDArray[np.bool_], state: Indices) -> None:
    """Call the tool back from some of its places: mostly from those whose ways a place picked by chance shares."""
    places = np.flatnonzero(worked)
    picked, shares = _near(case, worked, state, 0.0)
    loose = 0.02 + 0.2 * chance(state)
    for c in range(len(places)):
        i = places[c]
        if i == picked or chance(state) < loose + 0.8 * shares[c]:
            counted(case.start, case.bites, case.cost, int(i), -1, uses)
            worked[i] = False


@compiled()
def _others(
    case: Case, lack: Points, uses: Indices, is_open: NDArray[np.bool_], dear: float, state: Indices
) -> tuple[Points, Indices]:
    """What each place would give of what lacks per volume, roughly, if it takes at most `dear`; the next inwards."""
    n = len(case.cost)
    following, total, worth = np.empty(n, dtype=np.int64), np.empty(n), np.zeros(n)
    mark, sums = np.full(n, -1, dtype=np.int64), np.zeros(len(lack))
    chains(case.cost, case.rooted, case.inner, case.start, case.bites, np.ones(n), uses, is_open, total, following)
    for i in range(n):
        if not is_open[i] and total[i] < dear:
            worth[i] = worth_of(i, case.cost, case.gain, following, case.start, case.bites, lack, uses, mark, sums)
            worth[i] *= 0.4 + 1.2 * chance(state)
        if uses[i] == 0 and case.start[i + 1] > case.start[i]:
            worth[i] += SPARE * chance(state)
    return worth, following


@compiled()
def _surroundings(
    case: Case, deficit: Points, uses: Indices, worked: NDArray[np.bool_], size: int, state: Indices
) -> tuple[Indices, Indices, float, Points, NDArray[np.bool_]]:
    """Up to `size` places, in use or worth it instead; what is gone without them, the volume they free, what lacks."""
    places = np.flatnonzero(worked)
    picked, shares = _near(case, worked, state, 0.5)
    shares[places == picked] = 9.0
    n = max(1, min(len(places), int(size * (0.25 + 0.35 * chance(state)))))
    found, base, freed = np.empty(size, dtype=np.int64), uses.copy(), 0.0
    known = worked.copy()
    found[:n] = places[np.argsort(-shares, kind="mergesort")[:n]]
    for i in found[:n]:
        freed += counted(case.start, case.bites, case.cost, int(i), -1, base)
    is_open, total = opened(base, case.rooted, case.inner, case.gain)
    worth, following = _others(case, deficit - total, base, is_open, DEAR * freed + TIE, state)
    while n < size:
        j = int(np.argmax(worth))
        if not worth[j] > 0:
            break
        worth[j] = 0.0
        while j >= 0 and n < size:
            if base[j] == 0 and not known[j]:
                found[n], known[j] = j, True
                n += 1
            j = following[j]
    turn = np.argsort(-case.volume[found[:n]], kind="mergesort")
    return found[:n][turn], base, freed, deficit - total, is_open


@compiled()
def _around(
    case: Case, deficit: Points, uses: Indices, worked: NDArray[np.bool_], looks: tuple[int, int, int], state: Indices
) -> None:
    """Put the best of all subsets in the stead of some of the tool's places, as often as `looks` says."""
    number = np.full(len(case.cost), -1, dtype=np.int64)
    for _ in range(looks[0] if worked.any() else 0):
        places, base, freed, lack, is_open = _surroundings(case, deficit, uses, worked, looks[1], state)
        chosen, _whole = best_subset(local(case, places, base, is_open, lack, number), freed, looks[2])
        if chosen < 0:
            continue
        uses[:] = base
        for k in range(len(places)):
            worked[places[k]] = (chosen >> k) & 1 == 1
            if worked[places[k]]:
                counted(case.start, case.bites, case.cost, int(places[k]), 1, uses)
        if not worked.any():
            break


@compiled()
def _search(
    case: Case, deficit: Points, forced: Indices, starts: int, around: tuple[int, int, int], last: tuple[int, int, int]
) -> Indices:
    """How often each bite is used in the best solution that is found; see `STARTS`."""
    n = len(case.cost)
    state, taste = np.array([20260], dtype=np.int64), np.ones(n)
    least, kept, kept_places = np.inf, np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    for start in range(starts):
        uses, worked, spent = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_), np.inf
        uses[forced] = 1
        for turn in range(EXCHANGES + 1):
            others, places = uses.copy(), worked.copy()
            if worked.any():
                _given_up(case, others, places, state)
            for i in range(n):
                taste[i] = 1.0 if start + turn == 0 else 1.0 + TASTE * (chance(state) - 0.5)
            ways = case.cost, case.gain, case.rooted, case.inner, case.start, case.bites
            greedy(*ways, deficit, taste, others, places)
            prune(*ways, deficit, others, places)
            _around(case, deficit, others, places, around, state)
            now = case.cost[others > 0].sum()
            if now <= spent * (1 + WORSE * (1 - turn / (EXCHANGES + 1))) + TIE:
                uses, worked, spent = others, places, now
            if now < least - TIE:
                least, kept, kept_places = now, others.copy(), places.copy()
            if not places.any():
                return kept
    _around(case, deficit, kept, kept_places, last, state)
    return kept


def least(problem: Problem, *, starts: int = STARTS, whole: int = WHOLE) -> Taken:
    """The least volume found that makes up for every plane's deficit, as far as the reach allows.

    A plane that the reach cannot bring to its goal is brought as far as it can be. Where `whole` looks settle it the
    least is exact, and said to be. Elsewhere how near it comes is measured in docs/decompression.md. Chance is a fixed
    sequence.

    Parameters
    ----------
    starts : times that the search begins from nothing; what follows on the best of them grows with it.
    whole : looks at subsets of all places; 0: none.
    """
    case, deficit, known, forced = _case(problem)
    last = (LAST[0] * starts // STARTS, *LAST[1:])
    uses = _search(case, deficit, forced, starts, AROUND, last)
    uses, exact = _settled(case, deficit, forced, uses, whole)
    found = np.zeros(len(problem.cost), dtype=np.int64)
    found[known] = uses
    is_open, total = opened(found, problem.rooted, problem.inner, problem.gain)
    return Taken(found > 0, is_open, float(problem.cost[found > 0].sum()), total, exact)


def _settled(case: Case, deficit: Points, forced: Indices, uses: Indices, whole: int) -> tuple[Indices, bool]:
    """The exact least where there are few places, or what was found; and which of the two."""
    places = np.flatnonzero(np.diff(case.start) > 0)
    if len(places) > MOST or not whole:
        return uses, False
    base = np.zeros(len(case.cost), dtype=np.int64)
    base[forced] = 1
    is_open, total = opened(base, case.rooted, case.inner, case.gain)
    places = places[np.argsort(-case.volume[places], kind="stable")]
    number = np.full(len(case.cost), NONE, dtype=np.int64)
    at = local(case, places, base, is_open, deficit - total, number)
    room = float(case.cost[uses > 0].sum() - case.cost[base > 0].sum())
    chosen, exact = best_subset(at, room, whole)
    if chosen < 0:
        return uses, exact
    for k, i in enumerate(places):
        base[case.bites[case.start[i] : case.start[i + 1]]] += (chosen >> k) & 1
    return base, exact


def _case(problem: Problem) -> tuple[Case, Points, Indices, Indices]:
    """The problem without what cannot matter; what each plane left lacks; which bites it holds; those `forced`."""
    deficit = np.minimum(problem.deficit, problem.attainable - 1e-6)
    lacking = deficit > ENOUGH
    lacking[:1] |= not lacking.any()
    gain = problem.gain[:, lacking]
    bears: NDArray[np.bool_] = np.asarray((gain > 0).any(axis=1))
    _inwards(problem.rooted, problem.inner, bears)
    size = np.diff(problem.start)
    owner = np.repeat(np.arange(len(size)), size)
    useful = np.bincount(owner, bears[problem.bites], minlength=len(size)) > 0
    kept = useful[owner]
    known = np.unique(np.concatenate([problem.bites[kept], problem.forced]))
    number = np.full(len(size) + 1, NONE, dtype=np.int64)
    number[known] = np.arange(len(known))
    start = np.concatenate([[0], np.cumsum(np.where(useful, size, 0)[known])])
    inner = number[problem.inner[known]]
    inner = np.take_along_axis(inner, np.argsort(inner == NONE, axis=1, kind="stable"), axis=1)
    inner = np.ascontiguousarray(inner[:, : max(1, int((inner != NONE).sum(axis=1).max(initial=1)))])
    bites, cost = number[problem.bites[kept]], problem.cost[known]
    volume = np.bincount(number[owner[kept]], cost[bites], minlength=len(known)).astype(np.float64)
    case = Case(cost, gain[known], problem.rooted[known], inner, start, bites, bears[known], volume)
    return case, deficit[lacking], known, number[problem.forced]


@compiled()
def _inwards(rooted: NDArray[np.bool_], inner: Indices, bears: NDArray[np.bool_]) -> None:
    """Add to `bears` what may lie between such a bite and the canal."""
    for i in range(len(bears) - 1, -1, -1):
        if bears[i] and not rooted[i]:
            for m in range(inner.shape[1]):
                if inner[i, m] < 0:
                    break
                bears[inner[i, m]] = True
