"""What share of every target a docked tube's instrument can touch, whatever the plan aims at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from keyhole.casefile import Quantity
from keyhole.geometry import Points, Volume
from keyhole.plan.candidate import Figures
from keyhole.plan.corridor import gaps
from keyhole.plan.reach import aim
from keyhole.plan.targets import Targets


def share(found: Figures, field: Volume, points: Points) -> float:
    """Share of `points` that the instrument of corridor `found` can touch; `field` is what it may not touch, mm."""
    thin = found.approach.instrument_radius
    dock = found.dock[None]
    wide = gaps(field, np.repeat(dock, len(points), axis=0), points, thin, floor=-thin).astype(np.float32)[None]
    out = (found.entry - found.dock) / np.linalg.norm(found.entry - found.dock)
    one = replace(found.approach, radii=(found.radius,))
    shafts = np.zeros((1, 3), dtype=np.int32)
    touched, _ = aim(one, shafts, dock, out[None], points, (wide, wide > -thin))
    return float(touched[0])


def reaches(found: Figures, field: Volume, targets: Mapping[str, Targets]) -> dict[str, Quantity]:
    """Reach of corridor `found` in every target that is there, %; the sd is that of counting points."""
    made = {}
    for name, target in targets.items():
        n = len(target.points)
        if n:
            part = share(found, field, np.ascontiguousarray(target.points))
            sd = 100 * np.sqrt(max(part * (1 - part), 0.0) / n)
            made[name] = Quantity(
                value=round(100 * part, 4),
                sd=round(float(sd), 4),
                unit="%",
                source="keyhole-plan",
                caveats=target.caveats,
            )
    return made
