"""Panel of a disc's measures: heights, wedge, volume, signal, and what of it lies beyond its endplates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.endplates import corner_sd
from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.disc import herniation as beyond
from keyhole.assessment.disc.heights import (
    anterior_disc_height,
    disc_height_index,
    disc_volume,
    disc_wedge_angle,
    posterior_disc_height,
)
from keyhole.assessment.disc.ring import Displaced, body_solid, disc_frame, displaced, ring
from keyhole.assessment.disc.signal import disc_signal_ratio
from keyhole.assessment.model import Finding, unknown
from keyhole.assessment.study import Study, body_notes, body_prefix, boundary_sd, cut, origin_notes, plates
from keyhole.geometry import Box, LabelMap
from keyhole.terms import LUMBAR_LEVELS, Origin, belongs, in_key

HEIGHTS = {
    "anterior disc height": "mm",
    "posterior disc height": "mm",
    "disc height index": "1",
    "disc wedge angle": "deg",
}
BEYOND = {
    "herniation depth": "mm",
    "herniation volume": "mL",
    "herniation circumference": "%",
    "herniation offset": "mm",
    "herniation migration": "mm",
}
_MARGIN = 4  # voxels around what is cropped for one level

NO_VERTEBRAE = "no vertebra is labelled: the disc has no endplates to measure from"
NO_DISC = "the disc is neither labelled nor to be derived here"
GAP = "the volume is that of the gap between the bodies' labels: it holds the endplates too and overstates the disc"
DERIVED = (
    "the disc is not labelled: it was taken as the gap between the endplates, which cannot show a bulge or herniation"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One level with both endplates: the labels around it, and the sd of a corner, mm."""

    name: str
    pair: tuple[Vertebra, Vertebra]
    planes: tuple[Endplate, Endplate]
    labels: LabelMap
    corner: float


def disc_panel(study: Study) -> Iterator[Finding]:
    """Heights, wedge, volume and signal of every disc, and its bulge or herniation."""
    boxes = label_boxes(study.anatomy.labels)
    for level in study.levels:
        yield from _level(study, level, boxes)
    if not study.anatomy.vertebrae:
        yield from _alone(study, boxes)


def _alone(study: Study, boxes: Mapping[str, Box]) -> Iterator[Finding]:
    """Discs without any vertebra: their volume."""
    for level in LUMBAR_LEVELS:
        key = f"disc/{in_key(level)}"
        if key not in boxes:
            continue
        notes = (*study.general, *origin_notes(study.anatomy, key))
        yield _volume(study, level, boxes, notes)
        for name, unit in {"disc height": "mm", **HEIGHTS, "disc signal ratio": "1", **BEYOND}.items():
            yield Finding(unknown(name, level, unit, NO_VERTEBRAE), caveats=notes)


def _level(study: Study, level: str, boxes: Mapping[str, Box]) -> Iterator[Finding]:
    anatomy = study.anatomy
    pair = anatomy.pair(level)
    key = f"disc/{in_key(level)}"
    notes = (*study.general, *body_notes(anatomy, *pair))
    of_disc = (*notes, *origin_notes(anatomy, key))
    found = plates(*pair)
    prefixes = tuple(body_prefix(anatomy, one.name) for one in pair)
    yield _volume(study, level, boxes, of_disc)
    if found is None:
        for name, unit in {**HEIGHTS, "disc signal ratio": "1", **BEYOND}.items():
            yield Finding(unknown(name, level, unit, cut(*pair)), caveats=notes)
        return
    sd = corner_sd(anatomy.labels.drawn_grid, boundary_sd(anatomy, *prefixes))
    one = _Level(level, pair, found[1:], _near(anatomy.labels, boxes, key, *prefixes), sd)
    yield from _heights(one, notes)
    yield _signal(study, one, of_disc)
    yield from _beyond(study, one, of_disc)


def _near(labels: LabelMap, boxes: Mapping[str, Box], *prefixes: str) -> LabelMap:
    """The part of `labels` around what lies at or below `prefixes`."""
    box = union_box(boxes, *prefixes)
    if box is None:
        return labels.crop((slice(0, 1),) * 3)
    wide = [
        slice(max(0, s.start - _MARGIN), min(n, s.stop + _MARGIN)) for s, n in zip(box, labels.array.shape, strict=True)
    ]
    return labels.crop((wide[0], wide[1], wide[2]))


def _heights(one: _Level, notes: tuple[str, ...]) -> Iterator[Finding]:
    for measure in (anterior_disc_height, posterior_disc_height, disc_height_index):
        yield Finding(measure(one.name, *one.planes, one.corner), caveats=notes)
    yield Finding(disc_wedge_angle(one.name, one.pair[0], *one.planes), caveats=notes)


def _volume(study: Study, level: str, boxes: Mapping[str, Box], notes: tuple[str, ...]) -> Finding:
    anatomy, key = study.anatomy, f"disc/{in_key(level)}"
    found = disc_volume(level, _near(anatomy.labels, boxes, key), boundary_sd(anatomy, key))
    gap = () if is_labelled(study, level) else (GAP,)
    return Finding(found or unknown("disc volume", level, "mL", NO_DISC), caveats=(*gap, *notes))


def _signal(study: Study, one: _Level, notes: tuple[str, ...]) -> Finding:
    """The disc's signal against the fluid's, or the reason why not."""
    anatomy, name, image = study.anatomy, "disc signal ratio", study.image("T2")
    why = ""
    if image is None:
        why = "the case has no image known to be T2-weighted"
    elif not is_labelled(study, one.name):
        why = "the disc is not labelled: the gap between the endplates may hold other tissue"
    elif not _has_sac(study):
        why = "the dural sac is not labelled: the fluid's signal is not known"
    if why or image is None:
        return Finding(unknown(name, one.name, "1", why), caveats=notes)
    frame = disc_frame(one.pair, *one.planes)
    sd = boundary_sd(anatomy, f"disc/{in_key(one.name)}", "canal/dural_sac")
    found = disc_signal_ratio(one.name, one.labels, frame, image, sac="canal/dural_sac", sd=sd)
    return Finding(unknown(name, one.name, "1", found) if isinstance(found, str) else found, caveats=notes)


def _has_sac(study: Study) -> bool:
    """Whether the dural sac itself is labelled, not a cord that stands for it."""
    sac = study.anatomy.structures.get("canal/dural_sac")
    return sac is not None and sac.origin is Origin.LABELLED and not any("cord" in note for note in sac.caveats)


def is_labelled(study: Study, level: str) -> bool:
    """Whether the disc of `level` was drawn, not derived."""
    key = f"disc/{in_key(level)}"
    return any(belongs(k, key) and one.origin is Origin.LABELLED for k, one in study.anatomy.structures.items())


def _beyond(study: Study, one: _Level, notes: tuple[str, ...]) -> Iterator[Finding]:
    """What of the disc lies beyond the ring of its endplates, or why that is not known."""
    found = _displaced(study, one)
    if isinstance(found, str):
        for name, unit in BEYOND.items():
            yield Finding(unknown(name, one.name, unit, found), caveats=notes)
        return
    anatomy = study.anatomy
    discs, bodies = (f"disc/{in_key(one.name)}",), [body_prefix(anatomy, v.name) for v in one.pair]
    voxel = float(anatomy.labels.drawn_grid.spacing.max())
    doubt = beyond.HerniationDoubt(boundary_sd(anatomy, *discs, *bodies), voxel)
    depth = beyond.herniation_depth(one.name, found, doubt)
    share = beyond.herniation_circumference(one.name, found, doubt)
    yield Finding(depth, caveats=notes)
    yield Finding(beyond.herniation_volume(one.name, found, doubt), caveats=notes)
    yield Finding(share, beyond.contour(share, depth), notes)
    yield from _place(study, one, found, doubt, notes)


def _displaced(study: Study, one: _Level) -> Displaced | str:
    if not is_labelled(study, one.name):
        return DERIVED
    frame = disc_frame(one.pair, *one.planes)
    solids = [body_solid(one.labels, body_prefix(study.anatomy, v.name)) for v in one.pair]
    if solids[0] is None or solids[1] is None:
        return cut(*one.pair)
    around = ring(frame, (solids[0], solids[1]), one.planes)
    if around is None:
        return "the outline of an endplate was not found all round"
    return displaced(one.labels, one.name, around) or NO_DISC


def _place(
    study: Study, one: _Level, found: Displaced, doubt: beyond.HerniationDoubt, notes: tuple[str, ...]
) -> Iterator[Finding]:
    """Where the displaced disc lies."""
    offset = beyond.herniation_offset(one.name, found, doubt)
    moved = beyond.herniation_migration(one.name, found, doubt, study.anatomy.canal_line)
    if offset is None or moved is None:
        for name in ("herniation offset", "herniation migration"):
            yield Finding(unknown(name, one.name, "mm", beyond.NONE), caveats=notes)
        return
    borders = beyond.zone_borders(one.labels, one.name, found.ring.frame, one.corner)
    missing = () if borders else ("facets and pedicles are not told apart: the zone is not graded",)
    yield Finding(offset, beyond.zone(offset, borders) if borders else None, (*notes, *missing))
    yield Finding(moved, caveats=notes)
