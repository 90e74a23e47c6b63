"""How far what is removed would move if the labels' boundaries did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keyhole.plan.decompress.bites import is_bone
from keyhole.plan.site import Mask, Site, facet_shares

BONE = "bone"


@dataclass(frozen=True, slots=True)
class Spreads:
    """Sd of the mL removed by structure (and of all bone together), and of the % of each facet."""

    volumes: Mapping[str, float]
    facet: Mapping[str, float]


def spreads(site: Site, mask: Mask) -> Spreads:
    """By recounts of what is removed, moved by the median sd of its labels; see `harm.recount`.

    The doubt about the area that is aimed at, and so about how much has to go, is not in it.
    """
    from keyhole.plan.harm.recount import mask_recounts, median_sd, spread  # noqa: PLC0415  (it uses this room)

    labels = site.labels
    keys = [labels.structures[n] for n in set(labels.array[mask].tolist())]
    if not keys:
        return Spreads({}, {})
    counted = mask_recounts(site, mask, median_sd(site, keys))

    def amounts(found: Mapping[str, float]) -> dict[str, float]:
        return {**{key: found.get(key, 0.0) for key in keys}, BONE: sum(v for k, v in found.items() if is_bone(k))}

    return Spreads(spread(counted, amounts), spread(counted, lambda found: facet_shares(site, found)))
