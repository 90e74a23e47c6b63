"""How far what is removed would move if the labels' boundaries did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keyhole.plan.decompress.bites import is_bone
from keyhole.plan.decompress.canal import Canal
from keyhole.plan.site import Mask, facet_keys
from keyhole.terms import SIDES

BONE = "bone"


@dataclass(frozen=True, slots=True)
class Spreads:
    """Sd of the mL removed by structure (and of all bone together), and of the % of each facet."""

    volumes: Mapping[str, float]
    facet: Mapping[str, float]


def facet_of(found: Canal, taken: Mapping[str, float]) -> dict[str, float]:
    """% of each labelled facet joint of the level that the mL by structure `taken` make up; as `site.facet_shares`."""
    if "facets" not in found.made:
        keys = {f"{found.site.frame.level}/{side}": facet_keys(found.site, side) for side in SIDES}
        found.made["facets"] = {name: (pair, found.site.volume(*pair)) for name, pair in keys.items()}
    joints: Mapping[str, tuple[tuple[str, str], float]] = found.made["facets"]
    return {
        name: 100.0 * sum(taken.get(key, 0.0) for key in pair) / whole
        for name, (pair, whole) in joints.items()
        if whole > 0
    }


def spreads(found: Canal, mask: Mask) -> Spreads:
    """By recounts of what is removed, moved by the median sd of its labels; see `harm.recount`.

    The doubt about the area that is aimed at, and so about how much has to go, is not in it.
    """
    from keyhole.plan.harm.recount import mask_recounts, median_sd, spread  # noqa: PLC0415  (it uses this room)

    labels = found.site.labels
    keys = [labels.structures[n] for n in np.unique(labels.array[mask]).tolist()]
    if not keys:
        return Spreads({}, {})
    counted = mask_recounts(found.site, mask, median_sd(found.site, keys))

    def amounts(held: Mapping[str, float]) -> dict[str, float]:
        return {**{key: held.get(key, 0.0) for key in keys}, BONE: sum(v for k, v in held.items() if is_bone(k))}

    return Spreads(spread(counted, amounts), spread(counted, lambda held: facet_of(found, held)))
