"""The harm of one corridor, of several together, or of an open operation: one count, nothing twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from keyhole.casefile import Body, HarmEntry, Quantity, TissueHarm
from keyhole.casefile.harm import Does
from keyhole.geometry import Points, Tube
from keyhole.plan.harm.branch import Branch, branches
from keyhole.plan.harm.capsule import Capsule, capsules
from keyhole.plan.harm.inside import KINDS, volumes
from keyhole.plan.harm.midline import Exposure
from keyhole.plan.harm.records import crossings, muscles, openings, plane, quantity
from keyhole.plan.harm.recount import PARTS, Amounts, mask_recounts, median_sd, recounts, shifted, spread
from keyhole.plan.site import Mask, Site
from keyhole.terms import Tissue, tissue

AROUND = (-55.0, -10.0, -60.0), (55.0, 70.0, 60.0)
"""Where modelled structures are looked for: both arches of the level, (lateral, posterior, up) mm."""

LEAST = 0.0005
"""Volumes below this are not listed, mL."""

DISPLACED = "volumes are displaced volume, not injury"
MODELLED = (
    "medial branches and facet capsules are modelled: chances of crossing them count the doubt about where they lie, "
    "not that of execution"
)
COUNTER = (
    "a smaller opening need not spare muscle: randomised, tubular against conventional microdiscectomy, creatine "
    "phosphokinase was alike and the multifidus after a year smaller with the tube (Arts 2011)"
)
WAY_IN = "removed is what lies in the way in; what is taken for the goal besides stands under decompression"
RETRACTED = (Tissue.MUSCLE, Tissue.FAT)


@dataclass(frozen=True, slots=True, eq=False)
class Harming:
    """What an operation takes: capsules by name, and the part of them that comes through the skin.

    `bodies` are named "tube", "portal", "sleeve" (these open skin and fascia), "instrument" or "screw". `opened` is
    an open exposure; `taken` (a mask on the site's grid) is tissue that is removed besides, once what bodies hold.
    """

    bodies: tuple[tuple[str, Tube], ...] = ()
    opened: Exposure | None = None
    taken: Mask | None = None
    incisions: tuple[Quantity, ...] = ()

    @property
    def tubes(self) -> tuple[Tube, ...]:
        """All capsules."""
        return tuple(tube for _, tube in self.bodies)

    @property
    def through_skin(self) -> tuple[Tube, ...]:
        """The capsules that open skin and fascia."""
        return tuple(tube for what, tube in self.bodies if what in ("tube", "portal", "sleeve"))


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What is modelled once for a site: medial branches and facet capsules."""

    branches: tuple[Branch, ...] = field(default=())
    capsules: tuple[Capsule, ...] = field(default=())


@lru_cache(maxsize=2)
def marks(site: Site) -> Marks:
    """The modelled structures of `site`; kept for the last two sites, since every corridor asks for them."""
    part = site.part(*AROUND)
    return Marks(branches(part), capsules(part))


def harm(
    site: Site,
    what: Harming | Tube | Sequence[Tube],
    *,
    counted: tuple[Amounts, Sequence[Amounts]] | None = None,
) -> HarmEntry:
    """Volume of each tissue that is dilated, cut, removed or retracted, openings, and modelled structures crossed.

    Of several capsules the union counts, so what two portals or screws share counts once. Volumes are those of
    `inside.volumes`; their sd is that of `recount.spread`: everything moved by the labels' boundary sd and recounted.

    Parameters
    ----------
    what : tubes count as docked tubes; anything else is told by `Harming`.
    counted : volumes of the union, and its `recounts`, where they are known already.
    """
    said = _told(what)
    amounts, counts = counted if counted is not None else _counts(site, said)
    does = _does(said)
    found = marks(site)
    return HarmEntry(
        bodies=tuple(
            Body(what=name, start=_triple(t.start), stop=_triple(t.stop), radius=t.radius) for name, t in said.bodies
        ),
        tissues=_tissues(amounts, counts, does),
        totals=_totals(amounts, counts, does),
        muscles=muscles(amounts, counts),
        openings=openings(site, said.through_skin, said.opened, said.incisions),
        crossings=crossings(site, found.branches, found.capsules, said.tubes, said.opened),
        plane=plane(site, said.through_skin) if said.opened is None else None,
        caveats=(*_caveats(amounts), *((WAY_IN,) if said.opened is None and said.taken is None else ())),
    )


def _told(what: Harming | Tube | Sequence[Tube]) -> Harming:
    if isinstance(what, Harming):
        return what
    tubes = (what,) if isinstance(what, Tube) else tuple(what)
    return Harming(tuple(("tube", tube) for tube in tubes))


def _counts(site: Site, said: Harming) -> tuple[Amounts, tuple[Amounts, ...]]:
    """Volumes of the union, and their recounts along the level's axes; see `recount`."""
    opened, taken = _mask(site, said), said.taken
    whole = opened if taken is None else (taken if opened is None else opened | taken)
    amounts = volumes(site.labels, said.tubes, counted=whole)
    sd = median_sd(site, [*amounts, *_present(site, whole)])

    def moved(way: Points) -> Amounts:
        return volumes(site.labels, [shifted(tube, way) for tube in said.tubes], PARTS, counted=whole)

    counts = recounts(site.frame.axes, sd, moved) if said.bodies else ({},) * 7
    if whole is not None and whole.any():
        masks = mask_recounts(site, whole, sd)
        amounts, counts = _sum(amounts, masks[0]), tuple(_sum(a, b) for a, b in zip(counts, masks, strict=True))
    return amounts, counts


def whole_mask(site: Site, part: Site, mask: Mask) -> Mask:
    """`mask` on the grid of `part` of `site`, as a mask on the grid of `site`."""
    first = np.rint(site.labels.grid.index(part.labels.grid.centres([0, 0, 0]))).astype(int)
    whole = np.zeros(site.labels.array.shape, dtype=np.bool_)
    whole[tuple(slice(int(a), int(a) + n) for a, n in zip(first, mask.shape, strict=True))] = mask
    return whole


def _mask(site: Site, said: Harming) -> Mask | None:
    """The opened volume on the site's grid."""
    return None if said.opened is None else whole_mask(site, said.opened.site, said.opened.mask)


def _present(site: Site, mask: Mask | None) -> list[str]:
    if mask is None:
        return []
    return [site.labels.structures[int(n)] for n in np.unique(site.labels.array[mask]) if n]


def _sum(one: Amounts, two: Amounts) -> dict[str, float]:
    return {key: one.get(key, 0.0) + two.get(key, 0.0) for key in {**one, **two}}


def _does(said: Harming) -> dict[Tissue, Does]:
    """What is done to each kind of tissue: an open operation retracts what a tube dilates."""
    does: dict[Tissue, Does] = dict.fromkeys(Tissue, "dilated")
    does.update(KINDS)
    if said.opened is not None:
        does.update(dict.fromkeys(RETRACTED, "retracted"))
    return does


def _tissues(amounts: Amounts, counts: Sequence[Amounts], does: Mapping[Tissue, Does]) -> tuple[TissueHarm, ...]:
    sds = spread(counts, lambda inside: inside)
    return tuple(
        TissueHarm(
            key=key,
            tissue=tissue(key).value,
            does=does[tissue(key)],
            volume=quantity(value, sds.get(key, value), "mL"),
        )
        for key, value in sorted(amounts.items())
        if value >= LEAST
    )


def _totals(amounts: Amounts, counts: Sequence[Amounts], does: Mapping[Tissue, Does]) -> dict[str, Quantity]:
    def by_deed(inside: Amounts) -> dict[str, float]:
        total: dict[str, float] = dict.fromkeys(sorted({does[tissue(key)] for key in inside}), 0.0)
        for key, value in inside.items():
            total[does[tissue(key)]] += value
        return total

    sds = spread(counts, by_deed)
    return {deed: quantity(value, sds.get(deed, value), "mL") for deed, value in by_deed(amounts).items()}


def _caveats(amounts: Amounts) -> tuple[str, ...]:
    muscle = sum(v for k, v in amounts.items() if tissue(k) is Tissue.MUSCLE)
    return (DISPLACED, MODELLED, *((COUNTER,) if muscle >= LEAST else ()))


def _triple(point: np.ndarray) -> tuple[float, float, float]:
    return float(round(point[0], 4)), float(round(point[1], 4)), float(round(point[2], 4))
