"""The best of all subsets of a few of the tool's places, by branch and bound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled
from keyhole.plan.decompress.greedy import ENOUGH, TIE
from keyhole.plan.decompress.problem import Indices

MOST = 62
"""Places that a set in one integer can hold."""


class Local(NamedTuple):
    """What a few places, numbered from 0, bear on: the bites on their ways, those first that may open something.

    `mask` (n,) is the set of places, as bits, whose ways hold each bite, `own` (n,) its volume. Of the first b, from
    the canal outwards, `gain` (b, s) is what each opens; `firm` ones hang on the canal or on what is open in any case,
    the others on one of the `linked` (b,) bites `links`. Place k takes `held[row[k] : row[k + 1]]`. `lack` (s,) is what
    is still to be opened.
    """

    mask: Indices
    own: Points
    gain: Points
    firm: NDArray[np.bool_]
    links: Indices
    linked: Indices
    row: Indices
    held: Indices
    lack: Points


class Case(NamedTuple):
    """The arrays of a `Problem`, and the `volume` (n,) of each bite's way, mm³.

    `bears` says which bites open something, or lie between one that does and the canal.
    """

    cost: Points
    gain: Points
    rooted: NDArray[np.bool_]
    inner: Indices
    start: Indices
    bites: Indices
    bears: NDArray[np.bool_]
    volume: Points


@compiled()
def _numbered(
    case: Case, places: Indices, uses: Indices, is_open: NDArray[np.bool_], number: Indices
) -> tuple[Indices, int]:
    """The bites that `places` bear on, those that may open something first, and how many these are; fill `number`."""
    for i in places:
        for m in range(case.start[i], case.start[i + 1]):
            u = case.bites[m]
            if uses[u] == 0 or not is_open[u]:
                number[u] = 0
    for u in range(len(uses)):
        if uses[u] > 0 and case.bears[u] and not is_open[u]:
            number[u] = 0
    standing = np.flatnonzero(number == 0)
    known = np.concatenate((standing[case.bears[standing]], standing[~case.bears[standing]]))
    for c in range(len(known)):
        number[known[c]] = c
    return known, int(case.bears[standing].sum())


@compiled()
def local(
    case: Case, places: Indices, uses: Indices, is_open: NDArray[np.bool_], lack: Points, number: Indices
) -> Local:
    """What `places` bear on once `uses` has gone and `is_open` is open; `number` (n,) is -1 before and after."""
    known, bearing = _numbered(case, places, uses, is_open, number)
    n, start = len(known), case.start
    mask, own = np.zeros(n, dtype=np.int64), np.zeros(n)
    row, f = np.zeros(len(places) + 1, dtype=np.int64), 0
    held = np.empty((start[places + 1] - start[places]).sum(), dtype=np.int64)
    for k in range(len(places)):
        for m in range(start[places[k]], start[places[k] + 1]):
            c = number[case.bites[m]]
            if c >= 0:
                mask[c] |= np.int64(1) << k
                held[f] = c
                f += 1
        row[k + 1] = f
    for c in range(n):
        if uses[known[c]] > 0:
            mask[c] = -1  # gone in any case, but shut off so far
        else:
            own[c] = case.cost[known[c]]
    opens, firm, links, count = _hung(case, known[:bearing], is_open, number)
    number[known] = -1
    return Local(mask, own, opens, firm, links, count, row, held[:f], lack)


@compiled()
def _hung(
    case: Case, known: Indices, is_open: NDArray[np.bool_], number: Indices
) -> tuple[Points, NDArray[np.bool_], Indices, Indices]:
    """What each of the bites `known` opens, and what it hangs on; see `Local`."""
    n, most = len(known), case.inner.shape[1]
    opens, firm = np.zeros((n, case.gain.shape[1])), np.zeros(n, dtype=np.bool_)
    links, count = np.zeros((n, most), dtype=np.int64), np.zeros(n, dtype=np.int64)
    for c in range(n):
        u = known[c]
        opens[c], firm[c] = case.gain[u], case.rooted[u]
        for m in range(most):
            j = case.inner[u, m]
            if j < 0:
                break
            if is_open[j]:
                firm[c] = True
            elif 0 <= number[j] < c:
                links[c, count[c]] = number[j]
                count[c] += 1
    return opens, firm, links, count


@compiled()
def _reaches(at: Local, chosen: int, is_open: NDArray[np.bool_], total: Points) -> bool:
    """Whether the set `chosen` of the places opens all that lacks."""
    total[:] = 0.0
    for c in range(len(at.firm)):
        is_open[c] = False
        if at.mask[c] & chosen == 0:
            continue
        hangs = at.firm[c]
        for m in range(at.linked[c]):
            if hangs:
                break
            hangs = is_open[at.links[c, m]]
        if hangs:
            is_open[c] = True
            for a in range(len(total)):
                total[a] += at.gain[c, a]
    return bool((at.lack - total).max() <= ENOUGH)


@compiled()
def _fresh(at: Local, k: int, chosen: int) -> float:
    """The volume that place `k` adds to the set `chosen`, mm³."""
    volume = 0.0
    for m in range(at.row[k], at.row[k + 1]):
        c = at.held[m]
        if at.mask[c] & chosen == 0:
            volume += at.own[c]
    return volume


@compiled()
def best_subset(at: Local, room: float, limit: int) -> tuple[int, bool]:
    """The set, as bits, of least volume below `room` that opens what lacks (-1: none), and whether all were tried.

    Depth first. A place is left out first: then what is still allowed must reach the goal. Then it is taken: then what
    is taken must stay below the least volume known. After `limit` places looked at it stops.
    """
    n = len(at.row) - 1
    is_open, total = np.zeros(len(at.firm), dtype=np.bool_), np.zeros(len(at.lack))
    state, added = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1)  # state: 0 new, 1 left out, 2 taken
    allowed, taken, best = (1 << n) - 1, 0, -1
    spent, k, looked = 0.0, 0, 0
    if not _reaches(at, allowed, is_open, total):
        return best, True
    while k >= 0:
        bit = 1 << k
        if k == n:
            if spent < room - TIE:
                room, best = spent, taken
            k -= 1
        elif state[k] == 2:
            spent, taken, state[k] = spent - added[k], taken & ~bit, 0
            k -= 1
        elif state[k] == 0:
            looked += 1
            if looked > limit:
                return best, False
            state[k], added[k] = 1, _fresh(at, k, taken)
            if added[k] > 0 and _reaches(at, allowed & ~bit, is_open, total):
                allowed &= ~bit
                k += 1
                state[k] = 0
        else:
            allowed, state[k] = allowed | bit, 2
            taken, spent = taken | bit, spent + added[k]
            if spent < room - TIE:
                k += 1
                state[k] = 0
    return best, True
