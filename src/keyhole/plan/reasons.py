"""Why an approach has no corridor here, in a sentence."""

from __future__ import annotations

import numpy as np

from keyhole.plan.approaches import Approach
from keyhole.plan.candidate import tubes
from keyhole.plan.clearance import Surfaces, clearances
from keyhole.plan.corridor import sweep
from keyhole.plan.search import LONGEST, Found, space
from keyhole.plan.site import Site
from keyhole.plan.targets import Targets


def reason(site: Site, approach: Approach, found: Found, walls: Surfaces, targets: Targets) -> str:
    """What keeps `approach` out: the structure and the mm that are missing, unseen space, or the envelope."""
    if found.searched == 0:
        return f"its docking place at {site.frame.level} {site.frame.side} is not labelled and could not be placed"
    if not (site.body == 2).any():
        return "no skin is known in this scan, so no entry point can be placed: unseen is never safe"
    return _unreached(approach, found, targets) or _blocked(site, approach, found, walls) or _unentered(approach, found)


def _unreached(approach: Approach, found: Found, targets: Targets) -> str:
    """Tubes were clear, but cost too much bone or let no instrument through; empty if none was clear."""
    if len(found) or found.verdicts["too much bone"]:
        return (
            f"every clear corridor would remove more than {approach.max_bone:.1f} mL of bone or "
            f"{approach.max_facet:.0f} % of the facet inside its tube"
        )
    if found.verdicts["unreached"]:
        return (
            f"{found.verdicts['unreached']:,} tubes reach the docking place, but from none can an instrument touch "
            f"{targets.what} without meeting something hard"
        )
    return ""


def _blocked(site: Site, approach: Approach, found: Found, walls: Surfaces) -> str:
    """The structure that blocks the least blocked corridor; empty if none is merely blocked."""
    nearest = _nearest(site, approach, walls)
    if nearest is None:
        return ""
    key, missing = nearest
    known = site.structures.get(key)
    origin = f" ({known.origin}, sd {known.sd:.1f} mm)" if known is not None else ""
    return f"{key}{origin} is in the way: the best of {found.searched:,} corridors lacks {missing:.1f} mm"


def _unentered(approach: Approach, found: Found) -> str:
    """No corridor has an entry: the scan ends, or the skin lies elsewhere."""
    low, high = approach.entry_lateral
    if found.verdicts["unseen"]:
        return f"unseen: {found.verdicts['unseen']:,} corridors leave the scan before they reach the skin"
    return f"no corridor meets the skin {low:.0f} to {high:.0f} mm from the midline in this scan"


def _nearest(site: Site, approach: Approach, walls: Surfaces) -> tuple[str, float] | None:
    """Structure that blocks the least blocked corridor of the smallest tube, and by how many mm."""
    room, _ = space(site, approach)
    if not len(room.docks):
        return None
    thin = approach.radii[0]
    gaps, lengths, verdicts = sweep(
        room.tube,
        room.site.body,
        room.docks,
        room.out,
        (thin,),
        lateral=(site.frame.local(room.docks)[:, 0], room.local[:, 0].copy()),
        entry=approach.entry_lateral,
        longest=LONGEST,
        floor=-thin - 1.0,
    )
    usable = np.where((verdicts == 0) & np.isfinite(gaps[..., 0]), gaps[..., 0], -np.inf)
    if not np.isfinite(usable).any():
        return None
    i, j = np.unravel_index(int(np.argmax(np.round(usable, 3))), usable.shape)
    dock = room.docks[i]
    tube, _ = tubes(dock + float(lengths[i, j]) * room.out[j], dock, dock - room.out[j], thin, 1.0)
    found = clearances(walls, tube)
    key, (gap, _) = next(iter(found.items()), ("", (0.0, dock)))
    return (key, max(0.0, -gap)) if key else None
