"""What all approaches of one plan share on one side of a level, and what becomes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import Feasibility, Rejected
from keyhole.geometry import Points
from keyhole.plan.approaches import Approach
from keyhole.plan.candidate import Figures
from keyhole.plan.clearance import Surfaces, surfaces
from keyhole.plan.decompress import Canal, canal
from keyhole.plan.doubt import Budget, ExecutionError, execution
from keyhole.plan.search import Found
from keyhole.plan.site import DANGER, EPIDURAL, Site, site
from keyhole.plan.targets import Targets, aimed_at, target
from keyhole.terms import Tissue


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A side of a level: its site, what is aimed at for the goal, and what may not be touched."""

    site: Site
    targets: Targets
    error: ExecutionError
    canal: Canal | None
    anatomy: Anatomy
    walls: Surfaces
    goal: str

    @property
    def root_sd(self) -> float:
        """Sd of the roots' boundaries, mm."""
        return max((s.sd for key, s in self.site.structures.items() if key.startswith("root/")), default=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What became of one approach on one side."""

    approach: Approach
    setting: Setting
    figures: list[Figures]
    rejected: Rejected | None = None
    feasibility: Feasibility | None = None
    found: Found | None = None
    caveats: tuple[str, ...] = ()


def setting(
    anatomy: Anatomy,
    level: str,
    side: str,
    goal: str,
    *,
    error: ExecutionError | Budget,
    aim: str | None = None,
    approaches: Sequence[Approach] = (),
) -> Setting:
    """The setting at `level` on `side`; `aim` None takes the target that the goal means there."""
    found = site(anatomy, level, side, approaches)
    solid = (*found.of_kind(*DANGER, Tissue.GAS, Tissue.BONE), EPIDURAL)
    core = found.core
    targets = target(core, aim or aimed_at(core, goal))
    if isinstance(error, Budget):
        error = execution(
            error, found.labels, found.structures, found.of_kind(*DANGER, Tissue.GAS),
            axes=found.frame.axes, middle=found.frame.origin, skin=_skin(found),
        )  # fmt: skip
    return Setting(found, targets, error, canal(anatomy, found), anatomy, surfaces(found.labels, solid), goal)


def _skin(found: Site) -> Points | None:
    """Centres of the labelled skin's voxels, LPS mm; None where no skin is labelled."""
    if not found.labels.labels_of("tissue/skin"):
        return None
    return found.labels.grid.centres(np.argwhere(found.body == 2))
