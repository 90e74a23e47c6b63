"""The open comparator as an entry of plan.json."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keyhole.casefile import CandidateEntry, HarmEntry, Quantity
from keyhole.geometry import Points
from keyhole.plan.approaches import OPEN, Approach, catalogue
from keyhole.plan.decompress import Canal, Removal, decompression, laid_open
from keyhole.plan.harm.count import Harming, harm, whole_mask
from keyhole.plan.harm.inside import burden, does
from keyhole.plan.harm.midline import Exposure, exposure
from keyhole.plan.harm.recount import boundary_sd, mask_recounts, median_sd, skin_sd, spread
from keyhole.plan.site import Site, facet_shares
from keyhole.plan.targets import Targets
from keyhole.terms import Tissue, split, tissue

BONE = Tissue.BONE.value


def open_entry(site: Site, canal: Canal | None, targets: Targets) -> CandidateEntry | None:
    """The midline exposure for the same level and goal; None where no skin is known behind the spine.

    Its burden is of the opened volume and of the bone removed, not of a tube; entry, dock and radius say where the
    opening lies: skin in the midline, back of the canal, half the exposed width. The sd of burden and facets are those
    of `spread.spread`, the depth's that of skin and canal, the incision's that of the two spinous processes (0
    where it is the approach's own exposed length); that of bone does not hold the doubt about the goal's area.
    """
    approach = catalogue()[OPEN]
    if not (site.body == 2).any():
        return None
    opened = exposure(site, approach)
    if not opened.mask.any():
        return None
    half = opened.half_width, approach.exposure
    widened = None if canal is None else laid_open(canal, approach, half)
    amounts = _volumes(site, opened, widened)
    amount_sd, facet_sd = _spreads(site, opened, canal, widened)
    depth = float(np.linalg.norm(opened.entry - opened.dock))
    return CandidateEntry(
        approach=OPEN,
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
        harm=_harm(site, opened, canal, widened),
        decompression=decompression(widened, site.frame.level),
        caveats=_caveats(approach, opened),
    )


def _harm(site: Site, opened: Exposure, canal: Canal | None, widened: Removal | None) -> HarmEntry:
    """The harm of the exposure and of what is removed for the goal."""
    if canal is None or widened is None:
        return harm(site, Harming(opened=opened))
    return harm(site, Harming(opened=opened, taken=whole_mask(site, canal.site, widened.mask)))


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
    return (
        "burden is of the exposure (skin to arch between the lateral borders of the facets, "
        f"{approach.exposure:.0f} mm to either side of the disc), not of the tube that entry, dock and radius span",
        "bone is the least that widens the canal to the goal; a textbook laminectomy takes several times as much",
        *opened.caveats,
    )


def _triple(point: Points) -> tuple[float, float, float]:
    return float(round(point[0], 4)), float(round(point[1], 4)), float(round(point[2], 4))


def _quantity(value: float, sd: float, unit: str, *caveats: str) -> Quantity:
    return Quantity(value=round(value, 4), sd=round(sd, 4), unit=unit, source="keyhole-plan", caveats=caveats)
