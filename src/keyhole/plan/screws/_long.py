"""Compiled loops over long axes through two bones, by the depth of the bone alone."""

from __future__ import annotations

import numpy as np

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled
from keyhole.plan.screws._axes import DEEPER, PIVOT, STEP, Field, at, leaves

SAMPLE = 1.0
"""Sampling along an axis, mm."""

LONGER = 0.03
"""What a mm of length is worth, mm of gap [keyhole-choice]."""

FIRST, LAST = 2.0, 0.24
"""Steps of a long axis' refinement, mm: the first, and where it ends."""


@compiled()
def through(guess: Points, door: tuple[Field, Points], rule: Points) -> float:
    """How far from its entry the axis `guess` leaves the bone that it enters for good, mm; `rule` as in `value`."""
    field, matrix = door
    p = np.array([guess[0], rule[0], guess[1]])
    cosine = np.cos(guess[3])
    way = np.array([-np.sin(guess[2]) * cosine, -np.cos(guess[2]) * cosine, np.sin(guess[3])])
    back = leaves(field, p, -way, matrix, STEP)
    last, t = 0.0, 0.0
    while t <= rule[2]:
        q = p + (t - back) * way
        found = at(
            field,
            matrix[0, 0] * q[0] + matrix[0, 1] * q[1] + matrix[0, 2] * q[2] + matrix[0, 3],
            matrix[1, 0] * q[0] + matrix[1, 1] * q[1] + matrix[1, 2] * q[2] + matrix[1, 3],
            matrix[2, 0] * q[0] + matrix[2, 1] * q[1] + matrix[2, 2] * q[2] + matrix[2, 3],
        )
        if found > 0:
            last = t
        t += SAMPLE
    return last


@compiled()
def value(guess: Points, scene: tuple[Field, Points], door: tuple[Field, Points], rule: Points) -> tuple[float, float]:
    """What the axis `guess` (lateral, up, medial rad, cranial rad) is worth, mm, and at which length, mm.

    `rule`: posterior coordinate of the plane, shortest, longest, bone ahead of the tip, how far from the entry the
    depth counts, and counts once more, both caps, where it may enter (lateral and up, least and most), and how much of
    it has to lie beyond the bone that it enters. Of all lengths the best: least depths, and `LONGER` a mm.
    """
    field, matrix = scene
    p = np.array([guess[0], rule[0], guess[1]])
    cosine = np.cos(guess[3])
    way = np.array([-np.sin(guess[2]) * cosine, -np.cos(guess[2]) * cosine, np.sin(guess[3])])
    back = leaves(door[0], p, -way, door[1], STEP)
    if back < 0:
        return -9.0, 0.0
    door_at = p - back * way
    if door_at[0] < rule[8] or door_at[0] > rule[9] or door_at[2] < rule[10] or door_at[2] > rule[11]:
        return -9.0, 0.0
    near, far, best, chosen, t = rule[6], rule[7], -9.0, 0.0, rule[4]
    least = max(rule[1], through(guess, door, rule) + rule[12])
    while t <= rule[2] + rule[3]:
        q = p + (t - back) * way
        found = at(
            field,
            matrix[0, 0] * q[0] + matrix[0, 1] * q[1] + matrix[0, 2] * q[2] + matrix[0, 3],
            matrix[1, 0] * q[0] + matrix[1, 1] * q[1] + matrix[1, 2] * q[2] + matrix[1, 3],
            matrix[2, 0] * q[0] + matrix[2, 1] * q[1] + matrix[2, 2] * q[2] + matrix[2, 3],
        )
        if found < 0.5:
            break
        near = min(near, found)
        if t >= rule[5]:
            far = min(far, found)
        length = t - rule[3]
        worth = near + DEEPER * far + LONGER * length
        if length >= least and worth > best:
            best, chosen = worth, length
        t += SAMPLE
    return best, chosen


@compiled()
def polish(
    guesses: Points, bounds: Points, scene: tuple[Field, Points], door: tuple[Field, Points], rule: Points
) -> tuple[Points, Points]:
    """Each guess moved to the best place near it inside `bounds` (4, 2), and its (worth, length); see `value`."""
    best, found = guesses.copy(), np.empty((len(guesses), 2))
    for n in range(len(guesses)):
        step = np.array([FIRST, FIRST, FIRST / PIVOT, FIRST / PIVOT])
        top, length = value(best[n], scene, door, rule)
        while step[0] > LAST:
            improved = False
            for a in range(6):
                for sense in (-1.0, 1.0):
                    trial = best[n].copy()
                    if a < 4:
                        trial[a] += sense * step[a]
                    else:  # about a point ahead, which stays where it is
                        trial[a - 4] += sense * step[a - 4]
                        trial[a - 2] += sense * step[a - 2] * (1.0 if a == 4 else -1.0)
                    for b in range(4):
                        trial[b] = min(max(trial[b], bounds[b, 0]), bounds[b, 1])
                    worth, to = value(trial, scene, door, rule)
                    if worth > top + 1e-6:
                        for b in range(4):
                            best[n, b] = trial[b]
                        top, length, improved = worth, to, True
            if not improved:
                for a in range(4):
                    step[a] /= 2
        found[n, 0], found[n, 1] = top, length
    return best, found
