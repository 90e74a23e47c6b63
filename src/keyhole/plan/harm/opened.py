"""The open comparators as entries of plan.json."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keyhole.casefile import CandidateEntry, HarmEntry, Quantity
from keyhole.geometry import Points
from keyhole.plan.approaches import OPEN, Approach, catalogue
from keyhole.plan.decompress import Canal, Removal, decompression, laid_open
from keyhole.plan.harm.count import Harming, harm, whole_mask
from keyhole.plan.harm.inside import burden, does
from keyhole.plan.harm.midline import BASES, Exposure, exposure
from keyhole.plan.harm.recount import boundary_sd, mask_recounts, median_sd, skin_sd, spread
from keyhole.plan.site import Site, facet_shares
from keyhole.plan.targets import Targets
from keyhole.terms import Tissue, split, tissue

BONE = Tissue.BONE.value


LAMINECTOMY = "open-laminectomy"
"""The comparator that takes spinous process and laminae of the upper vertebra whole, whatever the goal needs."""


def open_entries(site: Site, canal: Canal | None, targets: Targets, goal: str) -> tuple[CandidateEntry, ...]:
    """The midline exposure, then the other open operations of the catalogue for `goal`, with their stated extents.

    Empty where no skin is known behind the spine.
    """
    others = [a for a in catalogue().values() if a.kind == "open" and a.name != OPEN and goal in a.goals]
    known: dict[object, Removal] = {}
    exposed: dict[object, Exposure | None] = {}
    entries = []
    for approach in (catalogue()[OPEN], *others):
        extent = (approach.exposure, approach.exposes, "screws" in approach.implants)
        if extent not in exposed:
            exposed[extent] = _exposed(site, approach)
        opened = exposed[extent]
        if opened is None:
            continue
        key = (approach.soft_bone(site.frame.level, site.frame.side), opened.half_width, approach.exposure)
        if canal is not None and key not in known:
            known[key] = laid_open(canal, approach, key[1:])
        entries.append(_entry(site, approach, opened, (canal, known.get(key)), targets))
    return tuple(entries)


def open_entry(
    site: Site, canal: Canal | None, targets: Targets, approach: Approach | None = None
) -> CandidateEntry | None:
    """The exposure of an open `approach` (None: the midline exposure); None where no skin is known behind the spine."""
    chosen = approach or catalogue()[OPEN]
    opened = _exposed(site, chosen)
    if opened is None:
        return None
    widened = None if canal is None else laid_open(canal, chosen, (opened.half_width, chosen.exposure))
    return _entry(site, chosen, opened, (canal, widened), targets)


def _exposed(site: Site, approach: Approach) -> Exposure | None:
    if not (site.body == 2).any():
        return None
    opened = exposure(site, approach)
    return opened if opened.mask.any() else None


def _entry(
    site: Site, approach: Approach, opened: Exposure, removal: tuple[Canal | None, Removal | None], targets: Targets
) -> CandidateEntry:
    """An open exposure as plan.json holds it.

    Its burden is of the opened volume and of the bone removed, not of a tube; entry, dock and radius say where the
    opening lies: skin in the midline, back of the canal, half the exposed width. The sd of burden and facets are those
    of `recount.spread`, the depth's that of skin and canal, the incision's that of the two spinous processes (0
    where it is the approach's own exposed length); that of bone does not hold the doubt about the goal's area.
    """
    canal, widened = removal
    harmed = _harm(site, approach, opened, canal, widened)
    amounts = _volumes(site, opened, widened)
    amount_sd, facet_sd = _spreads(site, opened, canal, widened)
    if approach.name == LAMINECTOMY:
        bone = [t.volume for t in harmed.tissues if t.tissue == BONE]
        amounts[BONE] = sum(q.value or 0.0 for q in bone)
        amount_sd[BONE] = float(np.sqrt(sum((q.sd or 0.0) ** 2 for q in bone)))
    depth = float(np.linalg.norm(opened.entry - opened.dock))
    return CandidateEntry(
        approach=approach.name,
        side=site.frame.side,  # type: ignore[arg-type]
        entry=_triple(opened.entry),
        dock=_triple(opened.dock),
        target=_triple(targets.points.mean(axis=0) if len(targets.points) else opened.dock),
        radius=round(opened.half_width, 4),
        instrument_radius=approach.instrument_radius,
        clearance={},
        instrument_clearance={},
        breach_probability={},
        burden={k: _quantity(v, amount_sd.get(k, v), "mL") for k, v in amounts.items()},
        burden_kind={k: _does(k) for k in amounts},
        facet_removed={k: _quantity(v, facet_sd[k], "%") for k, v in (widened.facet if widened else {}).items()},
        incision=_quantity(opened.incision, _incision_sd(site, approach, opened), "mm"),
        depth=_quantity(depth, float(np.hypot(skin_sd(site), boundary_sd(site, "canal"))), "mm"),
        reach=_quantity(100.0, 0.0, "%", "everything behind the disc lies open; nerves are held aside under sight"),
        harm=harmed,
        decompression=decompression(widened, site.frame.level),
        caveats=_caveats(approach, opened),
    )


def _harm(site: Site, approach: Approach, opened: Exposure, canal: Canal | None, widened: Removal | None) -> HarmEntry:
    """The harm of the exposure and of what is removed: for the goal, and by the operation's definition."""
    taken = None if canal is None or widened is None else whole_mask(site, canal.site, widened.mask)
    if approach.name == LAMINECTOMY:
        upper = split(site.frame.level)[0]
        arch = site.mask(*(f"vertebra/{upper}/{part}" for part in ("spinous", "lamina")))
        taken = arch if taken is None else taken | arch
    found = harm(site, Harming(opened=opened, taken=taken))
    return found.model_copy(update={"caveats": (*found.caveats, _extent(site, approach, opened))})


def _extent(site: Site, approach: Approach, opened: Exposure) -> str:
    """What the comparator is taken to expose and to remove, in a sentence."""
    sides = "one side" if approach.exposes == "one side" else "both sides"
    beyond = f" and {BASES:.0f} mm beyond" if "screws" in approach.implants else ""
    said = (
        f"stated extent: {sides}, from the midline to the lateral border of the facets{beyond}, "
        f"{opened.extent.half:.0f} mm to either side of the disc"
    )
    if approach.name == LAMINECTOMY:
        return f"{said}; spinous process and laminae of {split(site.frame.level)[0]} removed whole"
    return f"{said}; of bone only the least that the goal needs"


def _volumes(site: Site, opened: Exposure, widened: Removal | None) -> dict[str, float]:
    """ML by burden key of the opened volume, and of bone and flavum removed for the goal."""
    scale = site.labels.grid.voxel_volume / 1000
    labels, counts = np.unique(opened.site.labels.array[opened.mask], return_counts=True)
    found = {site.labels.structures[int(n)]: float(c) * scale for n, c in zip(labels, counts, strict=True) if n}
    amounts = _without_bone(found)
    if widened is not None:
        amounts[BONE] = widened.removed.get(Tissue.BONE.value, 0.0)
    return amounts


def _without_bone(found: Mapping[str, float]) -> dict[str, float]:
    return burden({k: v for k, v in found.items() if tissue(k) is not Tissue.BONE})


def _spreads(
    site: Site, opened: Exposure, canal: Canal | None, widened: Removal | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Sd of burden (mL) and of facet removed (%), by recounts of what is opened and removed, moved."""
    inside = [opened.site.labels.structures[int(n)] for n in np.unique(opened.site.labels.array[opened.mask]) if n]
    amounts = spread(mask_recounts(opened.site, opened.mask, median_sd(site, inside)), _without_bone)
    if canal is None or widened is None:
        return amounts, {}
    bone = widened.mask & canal.site.mask("vertebra", "sacrum")
    sd = boundary_sd(site, *(f"vertebra/{v}" for v in split(site.frame.level)))

    def shares(found: Mapping[str, float]) -> dict[str, float]:
        return {BONE: sum(v for k, v in found.items() if tissue(k) is Tissue.BONE), **facet_shares(site, found)}

    removed = spread(mask_recounts(canal.site, bone, sd), shares)
    return {**amounts, BONE: removed.pop(BONE)}, removed


def _incision_sd(site: Site, approach: Approach, opened: Exposure) -> float:
    if opened.incision <= 2.0 * approach.exposure:
        return 0.0
    upper, lower = (boundary_sd(site, f"vertebra/{v}/spinous") for v in split(site.frame.level))
    return float(np.hypot(upper, lower))


def _does(key: str) -> str:
    kind = Tissue(key) if key in ("muscle", "fat", "bone") else tissue(key)
    return "retracted" if kind in (Tissue.MUSCLE, Tissue.FAT) else does(key)


def _caveats(approach: Approach, opened: Exposure) -> tuple[str, ...]:
    least = "bone is the least that widens the canal to the goal"
    textbook = "; a textbook laminectomy takes several times as much" if approach.name == OPEN else ""
    return (
        "burden is of the exposure (skin to arch between the lateral borders of the facets, "
        f"{approach.exposure:.0f} mm to either side of the disc), not of the tube that entry, dock and radius span",
        f"{least}{textbook}",
        *opened.caveats,
    )


def _triple(point: Points) -> tuple[float, float, float]:
    return float(round(point[0], 4)), float(round(point[1], 4)), float(round(point[2], 4))


def _quantity(value: float, sd: float, unit: str, *caveats: str) -> Quantity:
    return Quantity(value=round(value, 4), sd=round(sd, 4), unit=unit, source="keyhole-plan", caveats=caveats)
