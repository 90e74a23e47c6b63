"""What presses on the canal and stays because the tube cannot reach it, by name, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.plan.decompress.bites import FILL
from keyhole.plan.decompress.canal import fragment_mask
from keyhole.plan.decompress.goal import Goal
from keyhole.plan.decompress.scene import Posed, Scene
from keyhole.plan.decompress.tool import FAR
from keyhole.plan.site import EPIDURAL
from keyhole.terms import belongs

LEAST = 0.005
"""Less than this is not worth a line, mL."""


@dataclass(frozen=True, slots=True)
class Left:
    """What stays of the structure `key`: mL, and for which reasons, the largest first."""

    key: str
    volume: float
    reasons: tuple[str, ...]


def left_behind(at: Scene, task: Posed, goal: Goal) -> tuple[Left, ...]:
    """What lies within `FILL` mm of the free canal over the goal's length, may be removed, and is out of reach."""
    site = at.found.site
    amounts: dict[str, dict[str, float]] = {}
    index, of = at.cut.index, at.cut.of
    if len(index):
        out = (task.why[of] != 0) & ~at.in_tube & (task.near[of] <= FILL)
        height = np.abs(at.found.at.plane.height(site.labels.grid.centres(index)))
        out &= height <= max(goal.length, 1.0)
        labels = site.labels.array[tuple(index[out].T)].astype(np.int64)
        pairs, counts = np.unique(np.stack([labels, task.why[of[out]]], axis=1), axis=0, return_counts=True)
        for (label, why), count in zip(pairs, counts, strict=True):
            reasons = amounts.setdefault(site.labels.structures[int(label)], {})
            words = _words(at, int(why))
            reasons[words] = reasons.get(words, 0.0) + float(count) * at.voxel / 1000
    _fragment(at, amounts)
    found = [Left(key, sum(r.values()), _sorted(r)) for key, r in sorted(amounts.items())]
    return tuple(one for one in found if one.volume >= LEAST)


def _fragment(at: Scene, amounts: dict[str, dict[str, float]]) -> None:
    if not fragment_mask(at.found).any():
        return
    key = next(k for k in at.found.site.labels.keys if k.endswith("/herniation") and k.split("/")[1] in
               at.found.site.frame.level.replace("/", "-"))  # fmt: skip
    for why, volume in at.fragment_why.items():
        reasons = amounts.setdefault(key, {})
        reasons[_words(at, why)] = reasons.get(_words(at, why), 0.0) + volume / 1000


def _sorted(reasons: dict[str, float]) -> tuple[str, ...]:
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return tuple(f"{volume:.2f} mL {words}" for words, volume in ranked)


def _words(at: Scene, why: int) -> str:
    """The reason in words."""
    if why == FAR:
        return "beyond the instruments' reach from the dock"
    if why < 0:
        return "aside of what the instruments can lean to"
    key = at.found.site.labels.structures.get(why)
    if key is None:
        return "behind what was not seen"
    nerve = belongs(key, "canal", "root") and not belongs(key, EPIDURAL)
    return f"behind {key}, which would have to be held aside" if nerve else f"behind {key}, which may not be cut"
