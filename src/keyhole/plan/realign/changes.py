"""What a realignment changes: the disc, the foramina and facets of the level, and the alignment of the whole spine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from keyhole.anatomy.endplates import corner_sd
from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.assessment.alignment.angles import coronal_wedge, front, lordosis
from keyhole.assessment.alignment.slip import lateral_slip, slip
from keyhole.assessment.disc.heights import (
    anterior_disc_height,
    disc_height,
    disc_wedge_angle,
    posterior_disc_height,
)
from keyhole.assessment.flank.foramen import foramen_area, foramen_height, foramen_width
from keyhole.assessment.flank.foramen_panel import UNITS, bone_sd
from keyhole.assessment.flank.foramen_section import narrowest
from keyhole.assessment.flank.frame import BOTH, flank, without_arch
from keyhole.assessment.model import SUPINE, Measurement, unknown
from keyhole.assessment.study import body_prefix, boundary_sd, cut, plates
from keyhole.casefile.realign import ChangeEntry
from keyhole.casefile.values import Quantity
from keyhole.plan.realign.motion import Realigned, facing
from keyhole.plan.realign.published import beside
from keyhole.terms import rank, split

NEAR = 4.0
"""Bone of two facets that is this near to each other belongs to their joint, mm [keyhole-choice]."""

CANAL_UNKNOWN = (
    "not predicted: whether flavum unfolds and the disc's bulge recedes under tension is not modelled; the published "
    "figures beside it are of other patients"
)

Side = Literal["left", "right"]


def quantity(found: Measurement) -> Quantity:
    """`found` as plan.json holds it."""
    value = None if found.value is None else round(found.value, 4)
    sd = None if found.sd is None else round(found.sd, 4)
    return Quantity(value=value, sd=sd, unit=found.unit, source=found.source, caveats=found.caveats)


def disc_measures(anatomy: Anatomy, level: str, pair: tuple[Vertebra, Vertebra]) -> tuple[Measurement, ...]:
    """Heights, angles and slips of `level`, by assessment's functions on the endplates of `pair` as they stand."""
    upper, lower = pair
    found = plates(upper, lower)
    if found is None:
        return (unknown("disc height", level, "mm", cut(upper, lower)),)
    top, over, under = found
    bounds = boundary_sd(anatomy, *(body_prefix(anatomy, one.name) for one in pair))
    sd = corner_sd(anatomy.labels.drawn_grid, bounds)
    return (
        disc_height(level, over, under),
        anterior_disc_height(level, over, under, sd),
        posterior_disc_height(level, over, under, sd),
        disc_wedge_angle(level, upper, over, under),
        coronal_wedge(level, over, under, front(pair)),
        slip(level, over, under, sd),
        lateral_slip(level, over, under, sd),
        lordosis("segmental lordosis", level, upper, (top, under)),
    )


def foramen_measures(anatomy: Anatomy, level: str) -> tuple[Measurement, ...]:
    """Height, width and area of both foramina of `level` on the labels of `anatomy`."""
    made: list[Measurement] = []
    why = without_arch(anatomy, level)
    for side in BOTH:
        at = None if why else flank(anatomy, level, side)
        found = narrowest(at) if at is not None else why or cut(*anatomy.pair(level))
        if at is None or isinstance(found, str):
            made += [unknown(name, level, unit, str(found), side) for name, unit in UNITS.items()]
            continue
        sd = bone_sd(anatomy, level)
        made += [measure(at, found, sd) for measure in (foramen_height, foramen_width, foramen_area)]
    return tuple(made)


def level_changes(
    result: Realigned,
    level: str,
    relabelled: Anatomy,
    foramina: Sequence[Measurement],
    kind: str,
    *,
    again: tuple[Vertebra, Vertebra],
) -> Iterator[ChangeEntry]:
    """Every measure of `level` before and after.

    Parameters
    ----------
    relabelled : the anatomy found anew on the moved label map.
    foramina : `foramen_measures` before the motion.
    again : both vertebrae on that map, measured over the columns their endplates had before.
    """
    before = disc_measures(result.anatomy, level, result.anatomy.pair(level))
    after = disc_measures(result.anatomy, level, result.pair(level))
    anew = {one.name: one for one in disc_measures(relabelled, level, again)}
    for one, two in zip(before, after, strict=True):
        yield change(one, two, kind, anew.get(one.name))
    for one, two in zip(foramina, foramen_measures(relabelled, level), strict=True):
        yield change(one, two, kind)
    yield from _facets(result, level)
    canal = unknown("canal area", level, "mm2", CANAL_UNKNOWN)
    yield change(canal, canal, kind)


def change(before: Measurement, after: Measurement, kind: str, again: Measurement | None = None) -> ChangeEntry:
    """One measure before and after, with published figures beside it."""
    return ChangeEntry(
        name=before.name,
        level=before.level,
        side=before.side,
        before=quantity(before),
        after=quantity(after),
        measured=None if again is None else quantity(again),
        published=beside(before, after, kind),
    )


def _facets(result: Realigned, level: str) -> Iterator[ChangeEntry]:
    """Mean distance of the bone of both facets of each joint, mm, between voxel centres."""
    upper, lower = split(level)
    labels = result.anatomy.labels
    for side in BOTH:
        keys = f"vertebra/{upper}/facet/inferior/{side}", f"vertebra/{lower}/facet/superior/{side}"
        clouds = [labels.grid.centres(np.argwhere(labels.mask(key))) for key in keys]
        if min(len(cloud) for cloud in clouds) == 0:
            continue
        before = cKDTree(clouds[1]).query(clouds[0])[0]
        joint = before <= NEAR
        if not joint.any():
            continue
        moved = [result.motions[name].apply(cloud) for name, cloud in zip((upper, lower), clouds, strict=True)]
        after = cKDTree(moved[1]).query(moved[0][joint])[0]
        method = "mean distance of the bone of both facets, between voxel centres, where they lay within 4 mm"
        sd = float(labels.grid.spacing.max() / np.sqrt(12.0))
        one, two = (
            Measurement("facet distance", level, float(d.mean()), sd, "mm", "keyhole", method, (), side)
            for d in (before[joint], after)
        )
        yield change(one, two, "")


def span(vertebrae: Mapping[str, Vertebra], upper: str, name: str) -> Measurement:
    """Lordosis from `upper` to S1 by their superior endplates, deg."""
    level = f"{upper}/S1"
    missing = [one for one in (upper, "S1") if one not in vertebrae]
    if missing:
        return unknown(name, level, "deg", f"{' and '.join(missing)} not in view; not measured")
    high, low = vertebrae[upper], vertebrae["S1"]
    if high.superior is None or low.superior is None or not (high.complete and low.complete):
        return unknown(name, level, "deg", cut(high, low))
    return lordosis(name, level, high, (high.superior, low.superior))


def spine_changes(result: Realigned, incidence: Measurement) -> Iterator[ChangeEntry]:
    """Lordosis, its share below L4, and its match with the pelvic incidence, before and after."""
    pairs = [
        [span(known, upper, name) for known in (result.anatomy.vertebrae, result.vertebrae)]
        for upper, name in (("L1", "lumbar lordosis"), ("L4", "lower lumbar lordosis"))
    ]
    for one, two in pairs:
        yield change(one, two, "")
    shares = [_share(whole, low) for whole, low in zip(*pairs, strict=True)]
    yield change(shares[0], shares[1], "")
    yield change(incidence, incidence, "")
    match = [_mismatch(incidence, found) for found in pairs[0]]
    yield change(match[0], match[1], "")


def _share(whole: Measurement, low: Measurement) -> Measurement:
    name = "lordosis distribution index"
    if whole.value is None or low.value is None or whole.sd is None or low.sd is None:
        why = next(c for found in (whole, low) if found.value is None for c in found.caveats)
        return unknown(name, "L1/S1", "%", why)
    if not whole.value > 10.0:
        return unknown(name, "L1/S1", "%", f"a lordosis of {whole.value:.0f} deg is too small to be shared out")
    value = 100 * low.value / whole.value
    sd = float(np.hypot(100 * low.sd, value * whole.sd)) / whole.value
    method = "lordosis from L4 to S1 as a share of that from L1 to S1"
    return Measurement(name, "L1/S1", value, sd, "%", "bari2021", method, (SUPINE,))


def _mismatch(incidence: Measurement, found: Measurement) -> Measurement:
    name = "incidence less lordosis"
    if incidence.value is None or found.value is None or incidence.sd is None or found.sd is None:
        why = next(c for one in (incidence, found) if one.value is None for c in one.caveats)
        return unknown(name, "L1/S1", "deg", why)
    note = "the lordosis was taken lying down, the published limits are of standing radiographs"
    sd = float(np.hypot(incidence.sd, found.sd))
    method = "pelvic incidence less lumbar lordosis"
    return Measurement(name, "L1/S1", incidence.value - found.value, sd, "deg", "rothenfluh2015", method, (note,))


def neighbour_changes(result: Realigned, levels: Sequence[str]) -> Iterator[ChangeEntry]:
    """What the levels beside `levels` see: their own lordosis stays, what lies above leans and rises."""
    names = sorted(result.vertebrae, key=rank)
    fused = {name for level in levels for name in split(level)}
    for level in result.anatomy.levels:
        if level in levels or not fused & set(split(level)):
            continue
        pairs = [result.anatomy.pair(level), result.pair(level)]
        if any(plates(*pair) is None for pair in pairs):
            continue
        one, two = (_segment(level, pair) for pair in pairs)
        yield change(one, two, "")
    lowest = result.anatomy.vertebrae[names[-1]]
    tops = {names[0], *(names[max(0, names.index(split(level)[0]) - 1)] for level in levels)}
    for name in sorted(tops, key=rank):
        lean = [_lean(known[name], lowest) for known in (result.anatomy.vertebrae, result.vertebrae)]
        yield change(lean[0], lean[1], "")


def _segment(level: str, pair: tuple[Vertebra, Vertebra]) -> Measurement:
    upper, lower = pair
    over, under = facing(upper, lower)
    return disc_wedge_angle(level, upper, over, under)


def _lean(vertebra: Vertebra, lowest: Vertebra) -> Measurement:
    """How far `vertebra` leans back over the lowest vertebra in view, deg."""
    value = float(np.degrees(np.arctan2(vertebra.up @ lowest.posterior, vertebra.up @ lowest.up)))
    tilts = [plate.tilt_sd for one in (vertebra, lowest) for plate in (one.superior,) if plate is not None]
    method = f"lean back of the vertebra's axis over that of {lowest.name}, in the latter's midsagittal plane"
    sd = float(np.linalg.norm(tilts))
    return Measurement(f"lean over {lowest.name}", vertebra.name, value, sd, "deg", "keyhole", method)
