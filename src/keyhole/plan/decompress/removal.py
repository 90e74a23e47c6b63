"""The least removal through a docked tube that reaches a goal, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keyhole.geometry import LabelMap, Points, unit
from keyhole.plan.approaches import Approach
from keyhole.plan.decompress.canal import Canal, after_removal, free_distance, plane_areas, planes
from keyhole.plan.decompress.filled import filled
from keyhole.plan.decompress.goal import Goal
from keyhole.plan.decompress.least import least
from keyhole.plan.decompress.left import Left, left_behind
from keyhole.plan.decompress.measured import Measures
from keyhole.plan.decompress.problem import Problem, Taken
from keyhole.plan.decompress.scene import Posed, Scene, posed, scene
from keyhole.plan.decompress.spreads import Spreads, spreads
from keyhole.plan.decompress.tool import Tool, from_behind, through_tube
from keyhole.plan.site import Mask, facet_shares
from keyhole.terms import tissue

SHARE = Goal()
"""The goal of a plan that names none."""

TRIES = 3
"""Times that the problem is posed anew where the area falls short of what its bites add up to."""

SHORT = 0.005
"""An area this share below the one aimed at counts as reached: rounding of bites and pixels [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """What is taken away to reach `goal`, and what comes of it.

    `mask` are the voxels taken; `labels` is the map around the level afterwards. `volumes` are mL by structure key, of
    which `by_tube` mL lies inside the docked tube itself, `facet` % of each joint. `wanted` is the area aimed at, mm²
    (None: the goal is no area), `reached` whether the goal is. `left` is what compresses and stays, with reasons.
    """

    goal: Goal
    mask: Mask
    labels: LabelMap
    volumes: Mapping[str, float]
    by_tube: float
    facet: Mapping[str, float]
    before: Measures
    after: Measures
    wanted: float | None
    reached: bool
    left: tuple[Left, ...]
    spreads: Spreads
    problem: Problem
    taken: Taken

    @property
    def removed(self) -> dict[str, float]:
        """ML by kind of tissue."""
        kinds: dict[str, float] = {}
        for key, volume in self.volumes.items():
            kinds[tissue(key).value] = kinds.get(tissue(key).value, 0.0) + volume
        return kinds


def decompress(
    found: Canal, approach: Approach, dock: ArrayLike, out: ArrayLike, radius: float, *, goal: Goal = SHARE
) -> Removal:
    """The least removal through the tube of `radius` mm docked at `dock` that reaches `goal`.

    Parameters
    ----------
    dock : (3,) tip of the tube, LPS mm.
    out : (3,) along its axis, from the tip to the skin.

    References
    ----------
    Definitions and choices: docs/decisions/0026-decompression.md.
    """
    tip = np.asarray(dock, dtype=np.float64)
    return _removal(found, approach, through_tube(found.site.frame, approach, tip, unit(out), radius), goal)


def laid_open(found: Canal, approach: Approach, half: tuple[float, float], *, goal: Goal = SHARE) -> Removal:
    """The least removal that reaches `goal` from an exposure of `half` width and half length, mm, behind the arch."""
    return _removal(found, approach, from_behind(found.site, *half), goal)


def _removal(found: Canal, approach: Approach, tool: Tool, goal: Goal) -> Removal:
    at = scene(found, approach, tool)
    wanted = _wanted(found, goal)
    more: Points | None = None
    for _ in range(TRIES):
        task = posed(at, goal, wanted, more)
        taken = least(task.problem)
        mask = _mask(at, task, taken)
        labels = filled(found.site.labels, mask, free_distance(found, without_fragment=bool(at.fragment.any())))
        short = _short(found, labels, goal, wanted, task)
        if not short.max() > 0:
            break
        more = short if more is None else more + short
    volumes, by_tube = _volumes(at, mask)
    after = after_removal(found, labels, mask)
    return Removal(
        goal, mask, labels, volumes, by_tube, facet_shares(found.site, volumes), found.before, after, wanted,
        _reached(found, labels, goal, wanted, task), left_behind(at, task, goal), spreads(found.site, mask),
        task.problem, taken,
    )  # fmt: skip


def _wanted(found: Canal, goal: Goal) -> float | None:
    """The area aimed at, mm²."""
    if goal.kind == "root":
        return None
    return goal.amount if goal.kind == "area" else found.area * (1 + goal.amount / 100)


def _mask(at: Scene, task: Posed, taken: Taken) -> Mask:
    """The voxels that go: the fragment drawn out, the bites taken, and what lies in the tube."""
    gone = np.zeros(len(at.cut), dtype=np.bool_)
    gone[task.known[taken.removed]] = True
    mask = at.fragment.copy()
    voxels = at.cut.index[gone[at.cut.of] | at.in_tube] if len(at.cut) else at.cut.index
    mask[tuple(voxels.T)] = True
    return mask


def _short(found: Canal, labels: LabelMap, goal: Goal, wanted: float | None, task: Posed) -> Points:
    """What each plane still lacks of what the reach allows, mm²; 0 within `SHORT`."""
    if wanted is None:
        return np.zeros(1)
    on = planes(found, goal.length)
    allowed = np.minimum(wanted, wanted - task.problem.deficit + task.problem.attainable)
    lack = allowed - plane_areas(found, labels, on)
    return np.where(lack > SHORT * wanted, lack, 0.0)


def _reached(found: Canal, labels: LabelMap, goal: Goal, wanted: float | None, task: Posed) -> bool:
    if wanted is None:
        touching = task.problem.gain[:, 0].sum() > 0 or task.wanted.any()
        return not touching or not (task.why[task.wanted] != 0).any()
    on = planes(found, goal.length)
    return bool((plane_areas(found, labels, on) >= (1 - 2 * SHORT) * wanted).all())


def _volumes(at: Scene, mask: Mask) -> tuple[dict[str, float], float]:
    """ML by structure key, and how much of it lies in the tube."""
    labels = at.found.site.labels
    scale = labels.grid.voxel_volume / 1000
    found, counts = np.unique(labels.array[mask], return_counts=True)
    volumes = {labels.structures[int(n)]: float(c) * scale for n, c in zip(found, counts, strict=True)}
    return volumes, float(at.in_tube.sum()) * scale
