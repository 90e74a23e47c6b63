"""The least removal through a docked tube that reaches a goal, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from keyhole.assessment.canal.size import FREE
from keyhole.geometry import LabelMap, Points, bounding_box, unit
from keyhole.plan.approaches import Approach
from keyhole.plan.decompress.bites import FLAVUM
from keyhole.plan.decompress.canal import Canal, after_removal, free_distance, mask_of, plane_areas, planes
from keyhole.plan.decompress.filled import filled
from keyhole.plan.decompress.goal import Goal
from keyhole.plan.decompress.least import least
from keyhole.plan.decompress.left import Left, left_behind
from keyhole.plan.decompress.measured import Measures
from keyhole.plan.decompress.problem import Problem, Taken
from keyhole.plan.decompress.scene import Posed, Scene, posed, scene
from keyhole.plan.decompress.spreads import Spreads, facet_of, spreads
from keyhole.plan.decompress.tool import Tool, from_behind, through_tube
from keyhole.plan.site import Mask
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

    `canal` is what it was found in, `mask` are the voxels taken; `labels` is the map around the level afterwards.
    `volumes` are mL by structure key, of which `by_tube` mL lies inside the docked tube itself, `facet` % of each
    joint. `least` is the least area over the goal's planes before and after, mm², `wanted` the area aimed at (None: the
    goal is no area), `reached` whether the goal is. `left` is what compresses and stays, with reasons.
    """

    goal: Goal
    canal: Canal
    mask: Mask
    labels: LabelMap
    volumes: Mapping[str, float]
    by_tube: float
    facet: Mapping[str, float]
    before: Measures
    after: Measures
    least: tuple[float, float]
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
    found: Canal,
    approach: Approach,
    dock: ArrayLike,
    out: ArrayLike,
    radius: float,
    *,
    goal: Goal = SHARE,
    with_bone: bool = True,
) -> Removal:
    """The least removal through the tube of `radius` mm docked at `dock` that reaches `goal`.

    Parameters
    ----------
    dock : (3,) tip of the tube, LPS mm.
    out : (3,) along its axis, from the tip to the skin.
    with_bone : measure recess, foramen and pars afterwards too; they take most of the time.

    References
    ----------
    Definitions and choices: docs/decisions/0026-decompression.md.
    """
    tip = np.asarray(dock, dtype=np.float64)
    tool = through_tube(found.site.frame, approach, tip, unit(out), radius)
    return _removal(found, approach, tool, goal, with_bone=with_bone)


def laid_open(found: Canal, approach: Approach, half: tuple[float, float], *, goal: Goal = SHARE) -> Removal:
    """The least removal that reaches `goal` from an exposure of `half` width and half length, mm, behind the arch."""
    return _removal(found, approach, from_behind(found.site, *half), goal)


def _removal(found: Canal, approach: Approach, tool: Tool, goal: Goal, *, with_bone: bool = True) -> Removal:
    at = scene(found, approach, tool)
    wanted = _wanted(found, goal)
    on = planes(found, goal.length)
    more: Points | None = None
    distance = free_distance(found, without_fragment=bool(at.fragment.any()))
    for _ in range(TRIES):
        task = posed(at, goal, wanted, more)
        taken = least(task.problem)
        mask = _mask(at, task, taken)
        labels = filled(found.site.labels, mask, mask_of(found, *FREE), distance)
        areas = plane_areas(found, labels, on)
        short = _short(areas, wanted, task, more)
        if not short.max() > 0:
            break
        more = short if more is None else more + short
    volumes, by_tube = _volumes(at, mask)
    reached = not _still_touching(task) if wanted is None else bool((areas >= (1 - 2 * SHORT) * wanted).all())
    return Removal(
        goal, found, mask, labels, volumes, by_tube, facet_of(found, volumes), found.before,
        after_removal(found, labels, mask, with_bone=with_bone), (float(on.areas.min()), float(areas.min())), wanted,
        reached, left_behind(at, task, goal), spreads(found, mask), task.problem, taken,
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
    return mask | islands(at, mask)


def islands(at: Scene, mask: Mask) -> Mask:
    """Crumbs of what may be removed that hang on nothing any more once `mask` is gone: they are taken too."""
    box = bounding_box(mask, margin=2)
    found = np.zeros(mask.shape, dtype=np.bool_)
    if box is None:
        return found
    whole = mask_of(at.found, "vertebra", "sacrum", "disc", FLAVUM)[box]
    parts, n = ndimage.label(whole & ~mask[box])
    held = np.zeros(n + 1, dtype=np.bool_)
    rim = np.ones(parts.shape, dtype=np.bool_)
    rim[1:-1, 1:-1, 1:-1] = False
    held[np.unique(parts[rim | (whole & ~mask[box] & (at.cut.at[box] < 0))])] = True
    held[0] = True
    beside = np.unique(parts[ndimage.binary_dilation(mask[box])])
    loose = np.setdiff1d(beside, np.flatnonzero(held))
    found[box] = np.isin(parts, loose)
    return found


def _short(areas: Points, wanted: float | None, task: Posed, more: Points | None) -> Points:
    """What each plane still lacks of what the reach allows, mm²; 0 within `SHORT`."""
    if wanted is None:
        return np.zeros(1)
    started = wanted - task.problem.deficit + (0.0 if more is None else more)
    lack = np.minimum(wanted, started + task.problem.attainable) - areas
    return np.where(lack > SHORT * wanted, lack, 0.0)


def _still_touching(task: Posed) -> bool:
    """Whether anything that may be removed stays at the root."""
    return bool((task.why[task.wanted] != 0).any())


def _volumes(at: Scene, mask: Mask) -> tuple[dict[str, float], float]:
    """ML by structure key, and how much of it lies in the tube."""
    labels = at.found.site.labels
    scale = labels.grid.voxel_volume / 1000
    found, counts = np.unique(labels.array[mask], return_counts=True)
    volumes = {labels.structures[int(n)]: float(c) * scale for n, c in zip(found, counts, strict=True)}
    return volumes, float(at.in_tube.sum()) * scale
