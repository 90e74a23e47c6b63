"""Bulge or herniation: what of a labelled disc lies beyond the ring of its endplates.

A disc's label says where tissue was drawn, not whether the annulus is torn: protrusion and extrusion are not told
apart, and nothing here calls a patient's disc symptomatic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.endplates import CORRELATION
from keyhole.assessment.disc.ring import EDGE, DiscFrame, Displaced
from keyhole.assessment.model import Grade, Measurement, Shape, probabilities
from keyhole.geometry import LabelMap, Points, bounding_box, unit
from keyhole.terms import SIDES, split

LEAST = 5.0
"""Mm³: the outermost part of a disc that does not count for its depth, a few voxels [keyhole]."""

SECTORS, HELD = 36, 3.0
"""Sectors about the disc's centre, and mm³ of displaced disc from which one counts [keyhole]."""

CONTOUR = (25.0, 50.0)
"""% of the circumference: below the first focal, above the second a bulge [disc-contour]."""

APART, VOXEL = 0.25, 0.2
"""Share of a boundary's error that a disc's outline and the rim beside it do not have in common, and sd, voxels, of
rounding, both from simulated readers [keyhole-choice]."""

TIP, SHELL = 1.5, 0.65
"""How much less sure the farthest point of an outline is than any one, and how much surer a whole shell of it: from
phantoms as readers draw them, benchmarks/accuracy.py [keyhole-choice]."""

MIDLINE = 0.2
"""Sd, mm, of the midsagittal plane behind the disc, which a fragment turns by pushing the canal's middle aside; from
simulation [keyhole-choice]."""

ZONES = ("central", "subarticular", "foraminal", "extraforaminal")

CHORD = 10.0
"""Half length, mm, of the chord of the canal's line that gives its direction [keyhole]."""

UNDER = "labels of discs often end short of an extruded fragment: it may reach farther than this"
ROUND = "the disc bulges on more than half of its circumference: where its middle lies says little"
NONE = f"nothing of the disc's label lies more than {EDGE:.0f} mm beyond the ring of its endplates"


@dataclass(frozen=True, slots=True)
class HerniationDoubt:
    """Sd, mm, of the labels' boundaries, and the side of a voxel on which they were drawn."""

    boundary: float
    voxel: float

    def at(self, depth: float) -> float:
        """Sd, mm, of how far a point that lies `depth` mm beyond the ring does so.

        A reader's errors are alike over 10 mm: near the ring the disc's outline and the rim's go together but for a
        quarter, the tip of a fragment is off on its own.
        """
        alike = float(np.exp(-(depth**2) / (2 * CORRELATION**2)))
        apart = 2 * (1 - alike) + APART**2
        return float(np.sqrt(apart * self.boundary**2 + (VOXEL * self.voxel) ** 2))


def herniation_depth(level: str, found: Displaced, doubt: HerniationDoubt) -> Measurement:
    """The largest distance, mm, of the disc beyond the ring of its endplates, in the posterior half of the disc.

    All but the outermost 5 mm³ stay within it. The distance is taken across the disc's axis from the endplates'
    outlines, weighted by height between them; 0 where the disc stays inside the ring.
    """
    behind = found.behind()
    depth = behind.depth(LEAST)
    method = "largest distance of the disc's label beyond the ring of its endplates, behind the disc's centre"
    shapes = (_line(behind), _ring(found)) if depth > 0 else (_ring(found),)
    return Measurement(
        "herniation depth", level, depth, TIP * doubt.at(depth), "mm", "keyhole", method, (UNDER,), shapes=shapes
    )


def herniation_volume(level: str, found: Displaced, doubt: HerniationDoubt) -> Measurement:
    """Volume, mL, of the disc that lies more than 2 mm beyond the ring of its endplates, behind the disc's centre."""
    behind = found.behind()
    volume = behind.volume(EDGE)
    shell = doubt.at(EDGE)
    slope = (behind.volume(EDGE - shell) - behind.volume(EDGE + shell)) / 2
    sd = SHELL * float(np.hypot(slope, _surface(behind) * doubt.at(behind.depth(LEAST)) + 2 * found.voxel))
    method = f"voxels of the disc more than {EDGE:.0f} mm beyond the ring of its endplates, behind the disc's centre"
    return Measurement("herniation volume", level, volume / 1000, sd / 1000, "mL", "keyhole", method, (UNDER,))


def herniation_circumference(level: str, found: Displaced, doubt: HerniationDoubt) -> Measurement:
    """Share, %, of the disc's circumference on which it lies more than 2 mm beyond the ring of its endplates.

    Of 36 sectors about the disc's centre, those with more than 3 mm³ so far out. The sd is half the difference that
    a ring farther in or out by its own sd makes.
    """
    share = found.sectors(EDGE, HELD, SECTORS)
    near, far = (found.sectors(EDGE + sign * doubt.at(EDGE), HELD, SECTORS) for sign in (-1, 1))
    sd = SHELL * float(np.hypot((near - far) / 2, 100.0 / SECTORS / 2))
    method = f"share of {SECTORS} sectors in which the disc lies more than {EDGE:.0f} mm beyond the ring"
    return Measurement(
        "herniation circumference", level, share, sd, "%", "keyhole", method, (UNDER,), shapes=(_ring(found),)
    )


def contour(share: Measurement, depth: Measurement) -> Grade | None:
    """Probability that the disc's contour is normal, focal, broad-based or a bulge [disc-contour]."""
    if share.value is None or share.sd is None or depth.value is None or depth.sd is None:
        return None
    normal = probabilities(depth.value, depth.sd, (EDGE,), ("none", "displaced"))
    classes = probabilities(share.value, share.sd, CONTOUR, ("focal", "broad-based", "bulge"))
    whole = {"none": normal["none"]} | {name: round(p * normal["displaced"], 6) for name, p in classes.items()}
    note = f"up to {EDGE:.0f} mm beyond the ring counts as none [keyhole-choice]"
    return Grade(whole, "disc-contour", (note,))


def herniation_offset(level: str, found: Displaced, doubt: HerniationDoubt) -> Measurement | None:
    """How far left of the midsagittal plane the displaced disc lies, mm; None where none is displaced.

    The centroid of what lies farther beyond the ring than half of its depth, and more than 2 mm.
    """
    middle, spread = _middle(found, doubt)
    if middle is None:
        return None
    method = "centroid of the disc beyond the ring, from the midsagittal plane; left is positive"
    foot = found.ring.frame.patient(np.stack([middle, middle * np.array([0.0, 1.0, 1.0])]))
    own = doubt.at(found.behind().depth(LEAST))
    sd = float(np.sqrt(spread[0] ** 2 + own**2 + MIDLINE**2))
    return Measurement(
        "herniation offset", level, float(middle[0]), sd, "mm", "keyhole", method, _round(found), shapes=(Shape(foot),)
    )


def herniation_migration(level: str, found: Displaced, doubt: HerniationDoubt, line: Points) -> Measurement | None:
    """How far above the back of the disc the displaced disc lies along the canal, mm; None where none is displaced.

    Its centroid as for the offset, from the point midway between the posterior corners; the canal's direction is the
    chord over 10 mm to both sides. Cranial is positive.

    Parameters
    ----------
    line : (n, 3) along the canal, cranial to caudal, LPS mm; where it does not pass, the disc's axis is taken.
    """
    middle, spread = _middle(found, doubt)
    if middle is None:
        return None
    planes = found.ring.planes
    start = (planes[0].posterior + planes[1].posterior) / 2
    way, notes = _canal_way(line, start, found.ring.frame)
    place = found.ring.frame.patient(middle)
    value = float((place - start) @ way)
    own = doubt.at(found.behind().depth(LEAST))
    sd = float(np.sqrt(spread[2] ** 2 + own**2 / 2 + (planes[0].sd ** 2 + planes[1].sd ** 2) / 4))
    method = "centroid of the disc beyond the ring, along the canal from the disc's back; cranial is positive"
    shapes = (Shape(np.stack([start, start + value * way])),)
    notes = (*notes, *_round(found))
    return Measurement("herniation migration", level, value, sd, "mm", "keyhole", method, notes, shapes=shapes)


@dataclass(frozen=True, slots=True)
class ZoneBorders:
    """Borders of the zones on one side, mm from the midsagittal plane, ascending; `sd` of each."""

    limits: tuple[float, float, float]
    sd: float


def zone_borders(labels: LabelMap, level: str, frame: DiscFrame, sd: float) -> dict[str, ZoneBorders] | None:
    """Where the zones of a herniation end on both sides; None where facets or pedicles are not told apart.

    Central ends at the medial edge of the superior articular process of the lower vertebra, subarticular at the medial
    border of the pedicles, foraminal at their lateral border (mean of the pedicles above and below) [disc-zones].
    """
    upper, lower = split(level)
    found = {}
    for side in SIDES:
        sign = 1.0 if side == "left" else -1.0
        process = _aside(labels, f"vertebra/{lower}/facet/superior/{side}", frame, sign)
        pedicles = [_aside(labels, f"vertebra/{name}/pedicle/{side}", frame, sign) for name in (upper, lower)]
        held = [p for p in pedicles if len(p)]
        if not len(process) or not held:
            return None
        medial, lateral = (float(np.mean([np.percentile(p, q) for p in held])) for q in (10, 90))
        edge = min(float(np.percentile(process, 5)), medial)
        found[side] = ZoneBorders((edge, medial, lateral), sd)
    return found


def zone(offset: Measurement, borders: dict[str, ZoneBorders]) -> Grade | None:
    """Probability of each zone of a herniation with this `offset`; both sides of a zone together [disc-zones]."""
    if offset.value is None or offset.sd is None:
        return None
    left, right = borders["left"], borders["right"]
    limits = (*(-x for x in right.limits[::-1]), *left.limits)
    names = ("r3", "r2", "r1", "central", "l1", "l2", "l3")
    sd = float(np.hypot(offset.sd, max(left.sd, right.sd)))
    apart = probabilities(offset.value, sd, limits, names)
    whole = {"central": apart["central"]}
    whole |= {ZONES[n]: round(apart[f"l{n}"] + apart[f"r{n}"], 6) for n in (1, 2, 3)}
    side = left if offset.value >= 0 else right
    ends = ", ".join(f"{x:.0f}" for x in side.limits)
    return Grade(whole, "disc-zones", (f"the zones end {ends} mm beside the midsagittal plane",))


def _aside(labels: LabelMap, key: str, frame: DiscFrame, sign: float) -> Points:
    """How far to their own side the voxels of `key` lie, (n,) mm; empty without any."""
    box = bounding_box(labels.mask(key)) if labels.labels_of(key) else None
    if box is None:
        return np.empty(0)
    points = labels.grid.crop(box).centres(np.argwhere(labels.mask(key, box=box)))
    return np.asarray(sign * frame.local(points)[:, 0])


def _middle(found: Displaced, doubt: HerniationDoubt) -> tuple[Points | None, Points]:
    """Centroid of the half that reaches farthest, and how far it moves where the ring lies off by its sd."""
    behind = found.behind()
    depth = behind.depth(LEAST)
    if not depth > EDGE:
        return None, np.zeros(3)
    edge = max(EDGE, depth / 2)
    middle = behind.middle(edge)
    step = doubt.at(depth)
    others = [behind.middle(max(0.5, edge + way * step)) for way in (-1.0, 0.5)]
    off = [np.abs(other - middle) for other in others if other is not None and middle is not None]
    return middle, np.max(off, axis=0) if off else np.zeros(3)


def _round(found: Displaced) -> tuple[str, ...]:
    return (UNDER, ROUND) if found.sectors(EDGE, HELD, SECTORS) > CONTOUR[1] else (UNDER,)


def _canal_way(line: Points, at: Points, frame: DiscFrame) -> tuple[Points, tuple[str, ...]]:
    """Cranial along the canal beside `at`, unit (3,), and a caveat where the disc's axis stands for it."""
    if len(line) >= 2:
        steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        near = int(np.linalg.norm(line - at, axis=1).argmin())
        if CHORD <= steps[near] <= steps[-1] - CHORD:
            ends = [np.array([np.interp(s, steps, line[:, a]) for a in range(3)]) for s in _both(float(steps[near]))]
            return unit(ends[0] - ends[1]), ()
    return frame.axes[2], ("the canal is not in view here: taken along the disc's own axis",)


def _both(at: float) -> tuple[float, float]:
    return at - CHORD, at + CHORD


def _surface(behind: Displaced) -> float:
    """Area of the far surface of what is displaced, mm²: its volume's derivative, summed over its depth."""
    if not behind.volume(EDGE) > 0:
        return 0.0
    kept = behind.local[behind.beyond > EDGE]
    cells = np.unique(np.round(kept[:, [0, 2]] / 2.0), axis=0)
    return 4.0 * len(cells)


def _line(behind: Displaced) -> Shape:
    """From the ring to the farthest point of the disc, along the way out."""
    order = np.argsort(behind.beyond)[::-1][: max(1, round(LEAST / behind.voxel))]
    tip = behind.local[order].mean(axis=0)
    far = float(behind.beyond[order].mean())
    step = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    slope = np.array([float(np.diff(behind.ring.beyond(np.stack([tip - s, tip + s])))[0]) for s in step])
    way = unit(np.array([*slope, 0.0])) if np.linalg.norm(slope) > 0 else np.array([0.0, 1.0, 0.0])
    return Shape(behind.ring.frame.patient(np.stack([tip - far * way, tip])))


def _ring(found: Displaced) -> Shape:
    return Shape(found.ring.outline, is_closed=True)
