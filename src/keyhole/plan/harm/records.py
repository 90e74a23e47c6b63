"""Harm as plan.json holds it: muscles by name, openings, crossings, the plane between the muscles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keyhole.casefile import CrossingEntry, MuscleHarm, OpeningEntry, PlaneEntry, Quantity
from keyhole.geometry import Tube
from keyhole.plan.harm import branch as nerve
from keyhole.plan.harm import capsule as joint
from keyhole.plan.harm.cleft import NEAR, VIALLE, cleft, published
from keyhole.plan.harm.midline import Exposure
from keyhole.plan.harm.openings import opening
from keyhole.plan.harm.recount import Amounts, boundary_sd, skin_sd, spread
from keyhole.plan.site import Site
from keyhole.terms import Tissue, tissue

FAR = 30.0
"""Modelled structures farther than this from every wall are not listed, mm."""

NOT_APART = "the labels do not tell multifidus from longissimus, so whether the way follows the plane is not known"
NO_FASCIA = "no label has the fascia: its place is the surface of the first muscle met"
BARE = "laid bare by the retraction; whether the capsule is opened is not known"
UNNAMED = {
    "tissue/muscle": "muscle by its density alone, not named",
    "muscle/paraspinal": "paraspinal muscle, multifidus and erector spinae not told apart",
}


def quantity(value: float, sd: float, unit: str, *caveats: str, source: str = "keyhole-plan") -> Quantity:
    """A number of a plan; None with its caveats where it is not finite."""
    if not np.isfinite(value):
        return Quantity(value=None, unit=unit, source=source, caveats=caveats or ("it could not be found",))
    return Quantity(value=round(value, 4), sd=round(sd, 4), unit=unit, source=source, caveats=caveats)


def muscle_name(key: str) -> tuple[str, bool]:
    """The muscle of structure `key` in words, and whether the label says which muscle it is."""
    if key == "tissue/muscle":
        return UNNAMED[key], False
    parts = key.split("/")[1:]
    side = next((p for p in parts if p in ("left", "right")), "")
    if parts[0] == "paraspinal" and parts[-1] in ("left", "right"):
        return f"{UNNAMED['muscle/paraspinal']}, {side}", False
    name = parts[-1] if parts[0] == "paraspinal" else parts[0]
    return f"{name.replace('_', ' ')}, {side}" if side else name.replace("_", " "), True


def muscles(amounts: Amounts, counts: Sequence[Amounts]) -> tuple[MuscleHarm, ...]:
    """Volume by muscle, the largest first; what the labels do not name is said to be so."""

    def by_name(inside: Amounts) -> dict[str, float]:
        total: dict[str, float] = {}
        for key, value in inside.items():
            if tissue(key) is Tissue.MUSCLE:
                name = muscle_name(key)[0]
                total[name] = total.get(name, 0.0) + value
        return total

    sds = spread(counts, by_name)
    named = {muscle_name(k)[0]: muscle_name(k)[1] for k in amounts if tissue(k) is Tissue.MUSCLE}
    found = sorted(by_name(amounts).items(), key=lambda item: (-round(item[1], 4), item[0]))
    return tuple(
        MuscleHarm(name=name, is_named=named[name], volume=quantity(value, sds.get(name, value), "mL"))
        for name, value in found
        if value >= 0.0005
    )


def openings(
    site: Site, tubes: Sequence[Tube], opened: Exposure | None, incisions: Sequence[Quantity]
) -> tuple[OpeningEntry, ...]:
    """Skin and fascia: an open exposure by its stated extents, tubes where they cross the layer."""
    if opened is not None:
        return _laid_open(opened)
    entries = []
    for layer, sd in (("skin", skin_sd(site)), ("fascia", boundary_sd(site, "muscle", "tissue/muscle"))):
        found = opening(site.labels, tubes, layer, site.frame.lateral, sd)
        caveats = (NO_FASCIA,) if layer == "fascia" else site.caveats
        missing = (f"no {layer if layer == 'skin' else 'muscle'} is met by the tube",)
        length = quantity(found.length, found.length_sd, "mm", *(caveats if found.count else missing))
        if layer == "skin" and incisions and all(i.value is not None for i in incisions):
            length = _summed(incisions)
        entries.append(
            OpeningEntry(
                layer=layer,  # type: ignore[arg-type]
                length=length,
                area=quantity(found.area, found.area_sd, "mm2", *(caveats if found.count else missing)),
                count=found.count,
            )
        )
    return tuple(entries)


def _summed(incisions: Sequence[Quantity]) -> Quantity:
    sd = float(np.sqrt(sum((i.sd or 0.0) ** 2 for i in incisions)))
    total = sum(i.value or 0.0 for i in incisions)
    caveats = tuple(dict.fromkeys(c for i in incisions for c in i.caveats))
    return quantity(total, sd, "mm", *caveats, source=incisions[0].source)


def _laid_open(opened: Exposure) -> tuple[OpeningEntry, ...]:
    said = "stated extent of the comparator, not a measurement"
    extent = opened.extent
    width, length = extent.right - extent.left, 2 * extent.half
    skin = OpeningEntry(
        layer="skin",
        length=quantity(opened.incision, 0.0, "mm", said),
        area=quantity(np.nan, 0.0, "mm2", "a cut is held apart as far as the retractor needs; nobody states how far"),
        count=1,
    )
    fascia = OpeningEntry(
        layer="fascia",
        length=quantity(length, 0.0, "mm", said),
        area=quantity(length * width, 0.0, "mm2", f"{said}: exposed length times exposed width"),
        count=1,
    )
    return skin, fascia


def crossings(
    site: Site,
    branches: Sequence[nerve.Branch],
    capsules: Sequence[joint.Capsule],
    tubes: Sequence[Tube],
    opened: Exposure | None,
) -> tuple[CrossingEntry, ...]:
    """Medial branches and facet capsules within `FAR` mm, nearest first, then those that could not be placed."""
    found = [_branch(site, one, tubes, opened) for one in branches]
    found += [_capsule(site, one, tubes, opened) for one in capsules]
    near = [e for e in found if e.gap.value is None or e.gap.value <= FAR]
    return tuple(sorted(near, key=lambda e: (e.gap.value is None, e.gap.value or 0.0, e.name)))


def _chance(gap: float, sd: float) -> float:
    from scipy.special import ndtr  # noqa: PLC0415  (heavy import)

    return round(float(ndtr(-gap / sd)), 4) if sd > 0 else float(gap <= 0)


def _branch(site: Site, one: nerve.Branch, tubes: Sequence[Tube], opened: Exposure | None) -> CrossingEntry:
    gap = nerve.gap(one, tubes, None if opened is None else opened.extent, site)
    known = gap is not None
    return CrossingEntry(
        name=one.name,
        kind="medial branch",
        gap=quantity(np.nan if gap is None else gap, one.sd, "mm", *one.caveats),
        probability=_chance(gap, one.sd) if gap is not None else None,
        source="medial-branch-course" if known else "keyhole-plan",
    )


def _capsule(site: Site, one: joint.Capsule, tubes: Sequence[Tube], opened: Exposure | None) -> CrossingEntry:
    extent = None if opened is None else opened.extent
    gap = joint.gap(one, tubes, extent, site)
    caveats = (*one.caveats, *((BARE,) if opened is not None else ()))
    if gap is None:
        return CrossingEntry(
            name=one.name, kind="facet capsule", gap=quantity(np.nan, 0.0, "mm", *caveats), source="keyhole-choice"
        )
    part = joint.share(one, tubes, extent, site)
    return CrossingEntry(
        name=one.name,
        kind="facet capsule",
        gap=quantity(gap, one.sd, "mm", *caveats),
        probability=_chance(gap, one.sd),
        share=quantity(100 * part, 100 * _share_sd(site, one, tubes, opened), "%", *caveats),
        source="keyhole-choice",
    )


def _share_sd(site: Site, one: joint.Capsule, tubes: Sequence[Tube], opened: Exposure | None) -> float:
    """Sd of the share: the capsule moved by its boundary's sd along the level's axes, as in `recount.spread`."""
    from dataclasses import replace  # noqa: PLC0415

    extent = None if opened is None else opened.extent
    base = joint.share(one, tubes, extent, site)
    moved = [
        joint.share(replace(one, points=one.points + sign * one.sd * way), tubes, extent, site)
        for way in site.frame.axes
        for sign in (-1.0, 1.0)
    ]
    return float(np.sqrt(sum((m - base) ** 2 for m in moved) / 2))


def plane(site: Site, tubes: Sequence[Tube]) -> PlaneEntry | None:
    """The plane between multifidus and longissimus along the first tube that goes through them; None: none does."""
    found = next((c for c in (cleft(site, tube) for tube in tubes) if c is not None), None)
    if found is None:
        return None
    sd = boundary_sd(site, "muscle/paraspinal")
    seen = quantity(100 * found.share, 0.0, "%", NOT_APART) if not found.is_visible else _share(found.share, sd)
    return PlaneEntry(
        is_visible=found.is_visible,
        share=seen,
        lateral=quantity(found.lateral, sd, "mm"),
        published=_published(site.frame.level),
    )


def _share(share: float, sd: float) -> Quantity:
    """The share with the doubt that a boundary off by `sd` makes against the band of the cleft."""
    doubt = 100 * min(1.0, sd / (2 * NEAR)) * np.sqrt(share * (1 - share))
    return quantity(100 * share, float(doubt), "%")


def _published(level: str) -> tuple[Quantity, ...]:
    mean = published(level)
    said: tuple[Quantity, ...] = ()
    if mean is not None:
        said = (Quantity(value=mean, unit="mm", source="deng2015", caveats=("mean of 30 cadavers, no spread given",)),)
    if level == "L4/L5":
        low, high = VIALLE[1]
        spread_said = f"at the spinous process of L4, 50 cadavers, range {low:.0f} to {high:.0f} mm"
        said += (Quantity(value=VIALLE[0], unit="mm", source="vialle2006", caveats=(spread_said,)),)
    return said
