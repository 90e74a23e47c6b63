"""What the labels themselves say for and against the names of the vertebrae."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.model import Structure
from keyhole.casefile import EvidenceEntry
from keyhole.geometry import Box, LabelMap, Points, unit
from keyhole.terms import counted_anew, lineage_of, rank

NEXT_TO = 15.0
"""Largest gap, mm, of the lowest lumbar vertebra to the sacrum below it: a disc's height [keyhole-choice]."""

JOINS = 8.0
"""Largest distance, mm, between a rib and the vertebra that bears it [keyhole-choice]."""

TOUCHES = 1.6
"""Largest distance, mm, between voxel centres of a transverse process and the sacrum that touch [keyhole-choice]."""

CONTACT = 80.0
"""Least area, mm², of a transverse process that touches the sacrum, to be named: coarse labels of healthy spines that
were looked at touch on up to 50 mm² [keyhole-choice]."""

LATERAL = 25.0
"""Distance from the middle of the body, mm, beyond which only transverse process is left [keyhole-choice]."""

JUMP = 0.30
"""Share by which a body's volume may differ from that of its neighbours [keyhole-choice]."""

RUDIMENTARY = 0.35
"""Share of the height of the disc above below which the lowest disc is called rudimentary [keyhole-choice]."""

EDGE = 2
"""Voxels from the array's edge at which a structure counts as cut."""


@dataclass(frozen=True, slots=True, eq=False)
class _One:
    """One vertebra of the row: voxel centres of the whole and of its body (n, 3) LPS mm; whether the scan cuts it."""

    name: str
    points: Points
    body: Points
    cut: bool

    @property
    def centre(self) -> Points:
        return np.asarray(self.body.mean(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """The thoracic and lumbar vertebrae in view, cranial to caudal, and the boxes of every key."""

    labels: LabelMap
    boxes: Mapping[str, Box]
    bones: tuple[_One, ...]
    sacrum: Points
    step: float  # mm between the samples

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.bones)

    @property
    def lowest(self) -> _One:
        return self.bones[-1]

    @property
    def last_thoracic(self) -> str:
        """The vertebra above L1 by these names."""
        return next(name for name in reversed(lineage_of(self.names)) if name.startswith("T"))


def evidence(labels: LabelMap, structures: Mapping[str, Structure]) -> tuple[EvidenceEntry, ...]:
    """What speaks for or against the names of the lumbar vertebrae, from `labels` alone.

    Sacrum below the lowest, ribs at the last thoracic, the count between both, pelvis, and shapes that jump. Every
    entry that speaks against the names says what it would mean. Nothing of it is a verdict: a person decides.
    """
    row = _row(labels, structures)
    if row is None:
        return ()
    bearing, seen = _bearing(row)
    found = (*_sacrum(row), *_ribs(row, bearing, seen), *_count(row, bearing), *_pelvis(row), *_shapes(row))
    return tuple(entry.model_copy(update={"method": "labels"}) for entry in found)


def merged(own: Sequence[EvidenceEntry], computed: Sequence[EvidenceEntry]) -> tuple[EvidenceEntry, ...]:
    """`own` entries of a method and the `computed` ones; what says nothing gives way to what says something."""
    told = {entry.kind for entry in own if entry.supports is not None}
    kept = [entry for entry in computed if not (entry.supports is None and entry.kind in told and not entry.means)]
    return tuple(dict.fromkeys((*own, *kept)))


def against(entries: Sequence[EvidenceEntry]) -> tuple[str, ...]:
    """The findings among `entries` that speak against the names, each with what it would mean."""
    return tuple(f"{e.finding}{f': {e.means}' if e.means else ''}" for e in entries if e.supports is False)


def rib_bearers(labels: LabelMap, structures: Mapping[str, Structure]) -> dict[str, str]:
    """Rib key -> the vertebra that it joins, for the ribs whose head is in view beside one."""
    row = _row(labels, structures)
    return _joined(row) if row is not None else {}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Where a vertebra lies: middle of its body, of the whole bone, LPS mm, and whether the label map's edge cuts it.

    `canal` is the middle of the canal beside the body, None where none is labelled there.
    """

    name: str
    body: Points
    whole: Points
    canal: Points | None
    cut: bool


def seen_in(labels: LabelMap) -> tuple[Seen, ...]:
    """The thoracic and lumbar vertebrae of `labels`, cranial to caudal, without frames: quick."""
    row = _row(labels, {})
    if row is None:
        return ()
    canal = _cloud(labels, row.boxes, 2, "canal")
    found = []
    for place, one in enumerate(row.bones):
        away = canal - one.centre
        near = canal[(np.abs(away @ _up(row, place)) < 8) & (np.linalg.norm(away, axis=1) < 45)]
        middle = near.mean(axis=0) if len(near) >= 8 else None
        found.append(Seen(one.name, one.centre, one.points.mean(axis=0), middle, one.cut))
    return tuple(found)


def vertebrae_in_view(labels: LabelMap, structures: Mapping[str, Structure]) -> tuple[tuple[str, bool], ...]:
    """The thoracic and lumbar vertebrae, cranial to caudal, each with whether the label map's edge cuts it."""
    row = _row(labels, structures)
    return tuple((one.name, one.cut) for one in row.bones) if row is not None else ()


# --- the row


def _row(labels: LabelMap, structures: Mapping[str, Structure]) -> _Row | None:
    boxes = label_boxes(labels)
    present = {key.split("/")[1] for key in boxes if key.startswith("vertebra/") and "/" in key}
    names = sorted((n for n in present if n != "S1"), key=rank)
    if not names or not names[-1].startswith("L"):
        return None
    stride = max(1, round(2.0 / float(labels.grid.spacing.max())))
    bones = [one for name in names if (one := _one(labels, boxes, name, stride)) is not None]
    if not bones or not bones[-1].name.startswith("L"):
        return None
    sacrum = _cloud(labels, boxes, stride, "sacrum", "vertebra/S1")
    return _Row(labels, boxes, tuple(bones), sacrum, stride * float(labels.grid.spacing.max()))


def _one(labels: LabelMap, boxes: Mapping[str, Box], name: str, stride: int) -> _One | None:
    key = f"vertebra/{name}"
    whole = _cloud(labels, boxes, stride, key)
    body = _cloud(labels, boxes, stride, f"{key}/body")
    if len(whole) < 10:
        return None
    box = union_box(boxes, key)
    return _One(name, whole, body if len(body) >= 10 else whole, box is not None and _is_cut(box, labels, key))


def _is_cut(box: Box, labels: LabelMap, key: str) -> bool:
    """Whether voxels of `key` lie at the array's edge."""
    for axis, (side, n) in enumerate(zip(box, labels.array.shape, strict=True)):
        ends = [slice(0, EDGE)] * (side.start < EDGE) + [slice(n - EDGE, n)] * (side.stop > n - EDGE)
        for end in ends:
            face = tuple(end if a == axis else box[a] for a in range(3))
            if labels.mask(key, box=(face[0], face[1], face[2])).any():
                return True
    return False


def _cloud(
    labels: LabelMap, boxes: Mapping[str, Box], stride: int, *prefixes: str, within: tuple[str, ...] | None = None
) -> Points:
    """Every `stride`-th voxel centre, (n, 3) LPS mm, of the keys at or below `prefixes` or, in their box, `within`."""
    box = union_box(boxes, *prefixes)
    if box is None:
        return np.empty((0, 3))
    thin = slice(box[0].start, box[0].stop, stride), slice(box[1].start, box[1].stop, stride)
    mask = labels.mask(*(within or prefixes), box=(*thin, slice(box[2].start, box[2].stop, stride)))
    index = np.argwhere(mask) * stride + [s.start for s in box]
    at = labels.grid.patient_from_index.matrix
    return np.asarray(index @ at[:3, :3].T + at[:3, 3])


def _gap(one: Points, other: Points) -> float:
    """Least distance between two clouds, mm; inf where one is empty."""
    if not len(one) or not len(other):
        return float("inf")
    return float(cKDTree(other).query(one)[0].min())


def _up(row: _Row, place: int) -> Points:
    """Cranial direction at the vertebra at `place`."""
    above, below = row.bones[max(0, place - 1)], row.bones[min(len(row.bones) - 1, place + 1)]
    if above is below:
        return np.array([0.0, 0.0, 1.0])
    return unit(above.centre - below.centre)


def _anew(row: _Row, lowest: str, last_thoracic: str = "T12") -> str:
    """What the lowest two levels would be called if the row were counted otherwise."""
    try:
        names = counted_anew(row.names, lowest, last_thoracic)
    except ValueError:
        return ""
    upper, lower = (row.names[-2], row.names[-1]) if len(row.names) > 1 else ("", row.names[-1])
    level = f"{upper}/{lower}" if upper else lower
    new = f"{names[upper]}/{names[lower]}" if upper else names[lower]
    return f"what is called {level} here would be {new}"


# --- sacrum, ribs, count


def _sacrum(row: _Row) -> list[EvidenceEntry]:
    lowest = row.lowest
    if not len(row.sacrum):
        text = f"no sacrum is labelled: {lowest.name} is the lowest lumbar vertebra in view, perhaps not the lowest"
        return [EvidenceEntry(kind="sacrum", finding=text, supports=None)]
    gap = max(0.0, _gap(lowest.body, row.sacrum) - row.step / 2)
    if gap > NEXT_TO:
        text = f"{gap:.0f} mm lie between {lowest.name}, the lowest labelled lumbar vertebra, and the sacrum"
        means = "a vertebra in between has no label, or the sacrum's label begins too low"
        return [EvidenceEntry(kind="sacrum", finding=text, supports=False, means=means)]
    text = f"the sacrum begins {gap:.0f} mm below the body of {lowest.name}"
    if lowest.name == "L5":
        return [EvidenceEntry(kind="sacrum", finding=text, supports=True)]
    means = (
        f"either the patient has {lowest.name[1:]} lumbar vertebrae or every name is off by one; "
        f"with five lumbar vertebrae {_anew(row, 'L5')}"
    )
    return [EvidenceEntry(kind="sacrum", finding=text, supports=False, means=means)]


def _joined(row: _Row) -> dict[str, str]:
    """Rib key -> the vertebra that it joins."""
    trees = {one.name: cKDTree(one.points) for one in row.bones}
    stride = max(1, round(2.0 / float(row.labels.grid.spacing.max())))
    found = {}
    for key in sorted(row.boxes):
        if not key.startswith("rib/"):
            continue
        cloud = _cloud(row.labels, row.boxes, stride, key)
        gaps = {name: float(tree.query(cloud)[0].min()) for name, tree in trees.items()} if len(cloud) else {}
        if gaps and min(gaps.values()) <= JOINS:
            found[key] = min(gaps, key=lambda name: (gaps[name], -rank(name)))
    return found


def _bearing(row: _Row) -> tuple[str | None, bool]:
    """The lowest vertebra that bears a rib, and whether any rib is labelled."""
    joined = _joined(row)
    seen = any(key.startswith("rib/") for key in row.boxes)
    return (max(joined.values(), key=rank) if joined else None), seen


def _ribs(row: _Row, bearing: str | None, seen: bool) -> list[EvidenceEntry]:
    last = row.last_thoracic
    if bearing is None:
        what = "no labelled rib joins a vertebra in view" if seen else "no ribs are labelled"
        text = f"{what}: nothing says from above which vertebra is L1"
        return [EvidenceEntry(kind="ribs", finding=text, supports=None)]
    text = f"the lowest labelled rib joins {bearing}"
    if bearing == last:
        return [EvidenceEntry(kind="ribs", finding=text, supports=True)]
    if rank(bearing) > rank(last):
        means = f"a thirteenth rib, so T13, or a lumbar rib, or every name off by one: then {_shifted(row, bearing)}"
        return [EvidenceEntry(kind="ribs", finding=text, supports=False, means=means)]
    between = next((one for one in row.bones if one.name == last), None)
    if between is None or between.cut:
        more = f"{last} is not whole in view, so its ribs may not be either"
        return [EvidenceEntry(kind="ribs", finding=f"{text}; {more}", supports=None)]
    means = f"{last} has rudimentary ribs or none, or every name is off by one: then {_shifted(row, bearing)}"
    return [EvidenceEntry(kind="ribs", finding=f"{text}, and none joins {last}", supports=False, means=means)]


def _shifted(row: _Row, bearing: str) -> str:
    """What the lowest levels would be called if `bearing` were T12."""
    full = lineage_of(row.names)
    below = len(full) - 1 - full.index(bearing)
    return _anew(row, f"L{below}") if 1 <= below <= 6 else "the count is not five"


def _count(row: _Row, bearing: str | None) -> list[EvidenceEntry]:
    """Vertebrae without ribs above the sacrum."""
    if bearing is None or not len(row.sacrum) or _gap(row.lowest.body, row.sacrum) > NEXT_TO + row.step:
        text = "the vertebrae between the ribs and the sacrum cannot be counted: not both ends are in view"
        return [EvidenceEntry(kind="count", finding=text, supports=None)]
    full = lineage_of(row.names)
    between = full[full.index(bearing) + 1 :]
    missing = [name for name in between if name not in row.names]
    if missing:
        text = f"between the ribs and the sacrum {', '.join(missing)} has no label"
        return [EvidenceEntry(kind="count", finding=text, supports=False, means="the count rests on the names alone")]
    text = f"{len(between)} vertebrae without ribs lie between {bearing} and the sacrum"
    if len(between) == 5:
        if bearing == row.last_thoracic:
            return [EvidenceEntry(kind="count", finding=text, supports=True)]
        means = f"if {bearing} is T12, {_shifted(row, bearing)}"
        return [EvidenceEntry(kind="count", finding=text, supports=False, means=means)]
    why = {
        4: "T13 or lumbar ribs above, or a fifth lumbar vertebra taken up by the sacrum (sacralised L5)",
        6: "L6, a lumbarised S1, or a T12 without ribs",
    }.get(len(between), "labels missing or names wrong")
    means = f"{why}; counted from the ribs {_shifted(row, bearing)}"
    return [EvidenceEntry(kind="count", finding=text, supports=False, means=means)]


# --- pelvis and shapes


def _pelvis(row: _Row) -> list[EvidenceEntry]:
    """The level of the iliac crests: usual at L4 or L4/L5, no proof."""
    crest = _cloud(row.labels, row.boxes, max(1, round(row.step)), "pelvis")
    if len(crest) < 100 or len(row.bones) < 2:
        return []
    up = _up(row, len(row.bones) - 1)
    top = float(np.percentile(crest @ up, 99.9))
    heights = [
        (one.name, float(np.percentile(one.body @ up, 5)), float(np.percentile(one.body @ up, 95))) for one in row.bones
    ]
    at = next((name for name, low, high in heights if low <= top <= high), None)
    if at is None:
        above = [name for name, low, _ in heights if low > top]
        below = [name for name, _, high in heights if high < top]
        if not above or not below:
            return []
        at = f"{above[-1]}/{below[0]}"
    text = f"the iliac crests reach the height of {at}; the usual is L4 to L4/L5, but it varies"
    return [EvidenceEntry(kind="pelvis", finding=text, supports=None)]


def _shapes(row: _Row) -> list[EvidenceEntry]:
    return [*_sizes(row), *_processes(row), *_lowest_disc(row)]


def _sizes(row: _Row) -> list[EvidenceEntry]:
    """Bodies whose volume jumps against their neighbours': labels mixed up, or a transitional vertebra."""
    whole = [one for one in row.bones if not one.cut and one.body is not one.points]
    found = []
    for n, one in enumerate(whole):
        beside = [len(other.body) for other in (*whole[max(0, n - 1) : n], *whole[n + 1 : n + 2])]
        usual = float(np.mean(beside)) if beside else 0.0
        change = len(one.body) / usual - 1 if usual else 0.0
        if abs(change) > JUMP:
            kind = "larger" if change > 0 else "smaller"
            text = f"the body of {one.name} is {abs(change):.0%} {kind} than its neighbours"
            means = "a label that holds parts of two vertebrae, a collapsed body, or a transitional vertebra"
            found.append(EvidenceEntry(kind="shape", finding=text, supports=False, means=means))
    return found


def _processes(row: _Row) -> list[EvidenceEntry]:
    """Transverse processes of the lowest lumbar vertebra that touch the sacrum."""
    lowest, left = row.lowest, _frame(row)
    if left is None or not len(row.sacrum):
        return []
    areas = {side: _contact(row, outward) for side, outward in (("left", left), ("right", -left))}
    touching = [f"{side} ({area:.0f} mm²)" for side, area in areas.items() if area >= CONTACT]
    if not touching:
        return []
    text = f"the transverse process of {lowest.name} touches the sacrum on the {' and the '.join(touching)}"
    means = (
        f"a transitional vertebra, a sacralised {lowest.name} or a lumbarised S1"
        f"{', on one side only' if len(touching) == 1 else ''}; which of them, only a count from above tells"
    )
    return [EvidenceEntry(kind="shape", finding=text, supports=False, means=means)]


def _frame(row: _Row) -> Points | None:
    """The patient's left at the lowest lumbar vertebra: posterior x up, posterior from the body to the whole bone."""
    lowest = row.lowest
    if lowest.body is lowest.points or len(row.bones) < 2:
        return None
    up = _up(row, len(row.bones) - 1)
    back = lowest.points.mean(axis=0) - lowest.centre
    back = back - (back @ up) * up
    if not np.linalg.norm(back) > 3:
        return None
    return unit(np.cross(unit(back), up))


def _contact(row: _Row, outward: Points) -> float:
    """Area, mm², on which the process towards `outward` touches the sacrum."""
    labels, key = row.labels, f"vertebra/{row.lowest.name}"
    box = union_box(row.boxes, key)
    if box is None:
        return 0.0
    bone, sacrum = (_cloud(labels, {key: box}, 1, key, within=which) for which in ((key,), ("sacrum", "vertebra/S1")))
    own, beyond = (cloud[(cloud - row.lowest.centre) @ outward > LATERAL] for cloud in (bone, sacrum))
    if not len(own) or not len(beyond):
        return 0.0
    reach = max(TOUCHES, TOUCHES * float(labels.grid.spacing.max()))
    near = np.isfinite(cKDTree(beyond).query(own, distance_upper_bound=reach)[0])
    return float(near.sum() * labels.grid.voxel_volume ** (2 / 3))


def _lowest_disc(row: _Row) -> list[EvidenceEntry]:
    """A lowest disc much lower than the one above it."""
    if len(row.bones) < 2 or not len(row.sacrum):
        return []
    above, lowest = row.bones[-2], row.lowest
    keys = f"disc/{above.name}-{lowest.name}", f"disc/{lowest.name}-S1"
    heights = [_height(row, key) for key in keys]
    if heights[0] is None or heights[1] is None or not heights[1] < RUDIMENTARY * heights[0]:
        return []
    text = f"the disc below {lowest.name} is {heights[1]:.1f} mm high, the one above it {heights[0]:.1f} mm"
    means = f"a degenerated disc, or the rudimentary disc of a sacralised {lowest.name}"
    return [EvidenceEntry(kind="shape", finding=text, supports=None, means=means)]


def _height(row: _Row, key: str) -> float | None:
    """Volume of a disc over its area, mm."""
    cloud = _cloud(row.labels, row.boxes, 1, key)
    if len(cloud) < 200:
        return None
    _, spread, _ = np.linalg.svd(cloud - cloud.mean(axis=0), full_matrices=False)
    axes: NDArray[np.float64] = spread / np.sqrt(len(cloud)) * 2  # half axes of an ellipse
    volume = len(cloud) * row.labels.grid.voxel_volume
    return float(volume / (np.pi * axes[0] * axes[1]))
