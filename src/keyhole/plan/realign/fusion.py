"""A level fused with a cage: size and seat chosen, the level moved, everything measured again, written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.endplates import corner_sd
from keyhole.anatomy.model import Anatomy
from keyhole.assessment.alignment.pelvis import Head, femoral_head, pelvic_incidence
from keyhole.assessment.disc.heights import disc_height
from keyhole.assessment.model import Measurement, unknown
from keyhole.assessment.study import body_prefix, boundary_sd
from keyhole.casefile.models import CandidateEntry
from keyhole.casefile.realign import CageEntry, ContactEntry, FusionEntry, FusionRecord, MotionEntry, PassageEntry, Row
from keyhole.casefile.values import Quantity, Triple
from keyhole.errors import InvalidInput, NotInScan
from keyhole.geometry import Points, Transform, Volume
from keyhole.plan.realign.again import measured_again
from keyhole.plan.realign.cages import Cage, CageLine, Kind, cages, height_for, lordosis_for
from keyhole.plan.realign.changes import foramen_measures, level_changes, neighbour_changes, span, spine_changes
from keyhole.plan.realign.motion import Realigned, angles, facing, realign_levels
from keyhole.plan.realign.moved import BENT, LEFT_OUT, Moved, after
from keyhole.plan.realign.passage import Passage, passage
from keyhole.plan.realign.risks import densities, risks
from keyhole.plan.realign.seat import Beds, Contact, Seat, Way, beds, contact, default_way, fit_cage, goal_of, placed
from keyhole.terms import SIDES, check_side, rank, split

LATERAL = ("lateral-transpsoas", "oblique-antepsoas")
"""Approaches that bring in a lateral cage; every other one brings in a transforaminal one."""

USUAL: Mapping[Kind, str] = {"transforaminal": "bullet", "lateral": "lateral"}
"""The line of cages taken for each kind."""

MATCH = 10.0
"""Incidence less lordosis up to which nothing is asked of the cage, deg: 10 or more went with revision
[rothenfluh2015]; that lordosis is given by the cage is Keyhole's choice [keyhole-choice]."""

SHARE_LEAST = 0.05
"""Bone that two vertebrae would share and that is worth a word, mL: less is the rounding of voxels [keyhole-choice]."""

BODIES_LEAST = 0.02
"""Bone that two bodies would share and that is worth a word, mL [keyhole-choice]."""

_AROUND = 20  # voxels of labels around the two vertebrae

IMPOSED = (
    "imposed geometry: the endplates are set onto the cage's faces; a cage in a patient settles, turns and gives less "
    "(10 deg cages gave +7.4 deg at once and +6.1 later [bakare2021])"
)
RIGID = (
    "all that lies above goes along as one rigid chain; how muscles, posture and the other discs answer is not modelled"
)
SUPINE = "taken lying down: standing, lordosis and its match with the incidence differ"
SHARED = "facets and arches of both vertebrae would overlap: that angle needs bone to be taken there"
COLLIDE = "the two bodies would overlap: the cage is too low for its angle, or the endplates are too uneven for it"
TURNED = "the cage is turned straight across once it is inside the disc"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a fusion; None leaves it to the rules.

    `height` mm at the cage's middle, `lordosis` deg between its faces, `line` the line of cages by name, `reduction`
    the share of the slip taken back, 0 to 1; `table` a clinic's own file of cages, added to Keyhole's.
    """

    height: float | None = None
    lordosis: float | None = None
    line: str | None = None
    reduction: float = 0.0
    table: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What every cage of one level shares."""

    anatomy: Anatomy
    level: str
    bed: Beds
    incidence: Measurement
    density: dict[str, Measurement]
    foramina: tuple[Measurement, ...]
    lines: Mapping[str, CageLine]


def incidence(anatomy: Anatomy) -> Measurement:
    """The pelvic incidence, deg, or why there is none."""
    sacral = anatomy.vertebrae.get("S1")
    if sacral is None or sacral.superior is None or not sacral.complete:
        return unknown("pelvic incidence", "S1", "deg", "S1 is not whole in view; not measured")
    heads = [femoral_head(anatomy, side, boundary_sd(anatomy, f"femur/{side}")) for side in SIDES]
    known = [head for head in heads if isinstance(head, Head)]
    if len(known) < 2:
        why = "; ".join(dict.fromkeys(head for head in heads if isinstance(head, str)))
        return unknown("pelvic incidence", "S1", "deg", why)
    sd = corner_sd(anatomy.labels.drawn_grid, boundary_sd(anatomy, body_prefix(anatomy, "S1")))
    return pelvic_incidence(sacral.superior, (known[0], known[1]), sd)


def fusion(
    anatomy: Anatomy,
    level: str,
    side: str,
    corridors: Sequence[CandidateEntry] = (),
    *,
    wish: Wish | None = None,
    image: Volume | None = None,
) -> FusionRecord:
    """`level` fused with a cage through the best corridor of each approach in `corridors`.

    Without a corridor one transforaminal and one lateral cage are set where such cages usually stand, and the entry
    says that no corridor was found for it.

    Parameters
    ----------
    corridors : ranked candidates of the plan, best first.
    image : the CT for the density of bone; None where there is none.
    """
    check_side(side)
    asked = wish or Wish()
    near = _near(anatomy, level)
    seen = _Case(
        near, level, beds(near, level), incidence(anatomy), densities(anatomy, image),
        foramen_measures(near, level), cages(asked.table),
    )  # fmt: skip
    first = {one.approach: one for one in reversed(corridors)}
    best = [one for one in corridors if first[one.approach] is one]
    entries = [_entry(seen, one.side, one.approach, _kind(one.approach), _way(one), asked) for one in best]
    if not best:
        kinds: tuple[Kind, ...] = ("transforaminal", "lateral")
        chosen = kinds if asked.line is None else (_line(seen, asked, None).kind,)
        for kind in chosen:
            entries.append(_entry(seen, side, None, kind, default_way(near, level, side, kind), asked))
    return FusionRecord(level=level, entries=tuple(entries), caveats=(IMPOSED, RIGID, SUPINE, BENT, LEFT_OUT))


def _near(anatomy: Anatomy, level: str) -> Anatomy:
    """`anatomy` with the labels around `level` alone."""
    upper, lower = split(level)
    keys = (f"vertebra/{upper}", f"vertebra/{lower}", *(("sacrum",) if lower == "S1" else ()))
    box = union_box(label_boxes(anatomy.labels), *keys)
    if box is None:
        raise NotInScan(f"{level} is not in the label map")
    wide = [
        slice(max(0, one.start - _AROUND), min(n, one.stop + _AROUND))
        for one, n in zip(box, anatomy.labels.array.shape, strict=True)
    ]
    return replace(anatomy, labels=anatomy.labels.crop((wide[0], wide[1], wide[2])))


def _kind(approach: str) -> Kind:
    return "lateral" if approach in LATERAL else "transforaminal"


def _way(one: CandidateEntry) -> Way:
    return Way(np.array(one.dock), np.array(one.target), one.radius)


def _line(seen: _Case, asked: Wish, kind: Kind | None) -> CageLine:
    """The line of cages asked for, or the usual one of the kind."""
    if asked.line is not None and asked.line not in seen.lines:
        raise InvalidInput(f"no cage is called {asked.line!r}; known: {', '.join(seen.lines)}")
    own = None if asked.line is None else seen.lines[asked.line]
    if own is not None and kind in (None, own.kind):
        return own
    return seen.lines[USUAL[kind or "transforaminal"]]


def _entry(seen: _Case, side: str, approach: str | None, kind: Kind, way: Way, asked: Wish) -> FusionEntry:
    """One cage on one way and everything it changes."""
    seat, rules = _seat(seen, _line(seen, asked, kind), way, asked)
    goal = goal_of(seen.anatomy, seat, reduction=asked.reduction)
    result = realign_levels(seen.anatomy, [goal])
    relabelled, made = after(result, split(seen.level))
    entered = passage(seen.anatomy, seat, way) if approach is not None else None
    again = measured_again(seen.bed, result, relabelled, seen.level)
    changes = (
        *level_changes(result, seen.level, relabelled, seen.foramina, kind, again=again),
        *spine_changes(result, seen.incidence),
        *neighbour_changes(result, (seen.level,)),
    )
    return FusionEntry(
        approach=approach, level=seen.level, side=side,  # type: ignore[arg-type]
        cage=cage_entry(result, seat), rules=rules, reduction=asked.reduction,
        passage=None if entered is None else _passage(entered, way),
        contact=contacts(result, seen.bed, seat), motions=motions(result), changes=changes,
        overlap={f"{a} & {b}": _volume(v) for (a, b), v in made.overlap.items()},
        opened={name: _volume(v) for name, v in made.opened.items()},
        risks=tuple(risks(result, seat, seen.density)),
        caveats=_caveats(seen, seat, approach, entered, made),
    )  # fmt: skip


def _seat(seen: _Case, line: CageLine, way: Way, asked: Wish) -> tuple[Seat, tuple[str, ...]]:
    """The cage, where it stands, and the rules by which both were chosen."""
    upper, lower = seen.anatomy.pair(seen.level)
    over, under = facing(upper, lower)
    now = disc_height(seen.level, over, under).value or 0.0
    height, how = _height(seen, line, now)
    if asked.height is not None:
        height, how = asked.height, f"height as asked: {asked.height:g} mm"
    trial = fit_cage(seen.bed, seen.level, _sizes(line, height, line.lordoses[0]), way)
    share = abs(trial.rises[1])
    if asked.lordosis is not None:
        angle, why = asked.lordosis, f"lordosis as asked: {asked.lordosis:g} deg between the cage's faces"
    else:
        angle, why = lordosis_for(line, angles(seen.level, upper, lower)[0], _lack(seen), share)
    cage = replace(trial.cage, lordosis=angle)
    seat = replace(trial, cage=cage)
    deep = "as far in as the rims allow" if cage.kind == "transforaminal" else "nearest to the middle of the endplates"
    size = (
        f"footprint {cage.length:g} x {cage.width:g} mm: the largest of {line.name!r} that both endplates hold, {deep}"
    )
    turned = (TURNED,) if cage.kind == "lateral" else ()
    acts = f"{seat.lordosis:.1f} deg of the cage's {angle:g} act from the side as it stands"
    return seat, (how, why, size, acts, *turned)


def _height(seen: _Case, line: CageLine, now: float) -> tuple[float, str]:
    """The height by rule, from the discs beside."""
    beside = []
    for other in seen.anatomy.levels:
        pair = seen.anatomy.pair(other)
        near = set(split(other)) & set(split(seen.level)) and other != seen.level
        if near and split(other)[1][0] in "LS" and all(one.complete for one in pair):
            beside.append(disc_height(other, *facing(*pair)).value or 0.0)
    return height_for(line, now, max(beside) if beside else None)


def _lack(seen: _Case) -> float | None:
    """Lordosis lacking of the incidence less `MATCH`, deg; None where either is unknown."""
    whole = span(seen.anatomy.vertebrae, "L1", "lumbar lordosis")
    if seen.incidence.value is None or whole.value is None:
        return None
    return seen.incidence.value - whole.value - MATCH


def _sizes(line: CageLine, height: float, lordosis: float) -> list[Cage]:
    return [line.cage(height, lordosis, length, width) for length in line.lengths for width in line.widths]


def cage_entry(result: Realigned, seat: Seat) -> CageEntry:
    """The cage where it stands after realignment, as plan.json holds it."""
    made = placed(*facing(*result.pair(seat.level)), seat)
    cage = seat.cage
    return CageEntry(
        name=cage.name, kind=cage.kind, height=cage.height, angle=cage.lordosis, length=cage.length, width=cage.width,
        sources=dict(cage.sources), centre=triple(made.centre), heading=triple(made.axes[0], 6),
        across=triple(made.axes[1], 6), up=triple(made.axes[2], 6), rise=triple(made.rise, 6), fits=seat.fits,
    )  # fmt: skip


def triple(point: Points, digits: int = 4) -> Triple:
    """`point` (3,) rounded, as records hold it."""
    x, y, z = (float(round(value, digits)) + 0.0 for value in point)
    return x, y, z


def motions(result: Realigned) -> tuple[MotionEntry, ...]:
    """The motion of every vertebra in view, cranial to caudal."""
    return tuple(
        MotionEntry(vertebra=name, matrix=_rows(result.motions[name])) for name in sorted(result.motions, key=rank)
    )


def _rows(motion: Transform) -> tuple[Row, Row, Row, Row]:
    a, b, c, d = (
        (float(w) + 0.0, float(x) + 0.0, float(y) + 0.0, float(z) + 0.0) for w, x, y, z in motion.matrix.round(9)
    )
    return a, b, c, d


def contacts(result: Realigned, bed: Beds, seat: Seat) -> tuple[ContactEntry, ContactEntry]:
    """What both faces rest on, with the sd that the boundary of the labels brings."""
    upper, lower = contact(result, bed, seat)
    over, under = facing(*result.pair(seat.level))
    return _contact("upper", upper, seat, over.sd), _contact("lower", lower, seat, under.sd)


def _contact(face: str, found: Contact, seat: Seat, sd: float) -> ContactEntry:
    area = seat.cage.length * seat.cage.width / 1000
    edge = 100 * sd / seat.cage.width
    return ContactEntry(
        face=face,  # type: ignore[arg-type]
        touching=_number(100 * found.touching, edge, "%"),
        overhang=_number(100 * found.overhang, edge, "%"),
        rim=_number(100 * found.rim, edge, "%"),
        gap=_number(found.gap, sd, "mm"),
        sunk=_number(found.sunk, sd, "mm"),
        overlap=_number(found.overlap, area * sd, "mL"),
    )


def _number(value: float, sd: float, unit: str) -> Quantity:
    return Quantity(value=round(value, 4), sd=round(sd, 4), unit=unit, source="keyhole-plan")


def _volume(value: float) -> Quantity:
    return Quantity(value=round(value, 4), unit="mL", source="keyhole-plan")


def _passage(found: Passage, way: Way) -> PassageEntry:
    return PassageEntry(
        tilt=_number(found.tilt, 1.0, "deg"),
        room=_number(found.room, 0.0, "mm"),
        clearance={k: _gap(v) for k, v in found.clearance.items()},
        bone={k: _volume(v) for k, v in found.bone.items()},
    )  # fmt: skip


def _gap(value: float) -> Quantity:
    """A lower bound, rounded down, mm."""
    return Quantity(value=round(float(np.floor(value * 1000) / 1000), 4), unit="mm", source="keyhole-plan")


def _caveats(seen: _Case, seat: Seat, approach: str | None, entered: Passage | None, made: Moved) -> tuple[str, ...]:
    """What has to be said of this cage."""
    said = []
    if approach is None:
        said.append("no corridor was found or searched for this cage: it is set where such cages usually stand")
    if not seat.fits:
        said.append(f"no footprint of {seat.cage.name!r} finds room on both endplates: the smallest overhangs")
    if entered is not None and entered.room < 0:
        said.append(f"the cage does not pass the tube upright: {-entered.room:.1f} mm are missing across its diagonal")
    for key, gap in (entered.clearance if entered is not None else {}).items():
        if gap < 0:
            known = seen.anatomy.structures.get(key)
            how = f" ({known.origin}, sd {known.sd:.1f} mm)" if known is not None else ""
            said.append(f"the cage's straight way runs into {key}{how}: it would have to be held aside")
    facets = sum(v for pair, v in made.overlap.items() if any("/body" not in key for key in pair))
    if facets >= SHARE_LEAST:
        said.append(f"{SHARED} ({facets:.2f} mL)")
    bodies = sum(v for pair, v in made.overlap.items() if all("/body" in key for key in pair))
    if bodies >= BODIES_LEAST:
        said.append(f"{COLLIDE} ({bodies:.2f} mL)")
    for vertebra in seen.anatomy.pair(seen.level):
        said += [f"{vertebra.name}: {note}" for note in vertebra.caveats]
    if seen.incidence.value is None:
        said.append("the pelvic incidence is not known, so the cage's lordosis was not chosen to match it")
    return tuple(dict.fromkeys(said))
