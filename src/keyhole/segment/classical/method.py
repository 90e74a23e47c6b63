"""`ct_classical`: a lumbar spine's labels from a bare CT, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.canal import Canal
from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes import NamedLabels
from keyhole.casefile import VertebraEntry
from keyhole.errors import NotInScan
from keyhole.geometry import Box, Grid, LabelMap, Points, Volume, unit
from keyhole.segment.classical import bone as bones
from keyhole.segment.classical import canal, frame, grid, numbering, planes, posterior
from keyhole.segment.classical.body import Body, body, fill, fill_gap
from keyhole.segment.classical.endplates import Gap, gap
from keyhole.segment.classical.scene import UNSEEN, DiscPlane, Scene
from keyhole.terms import Origin, in_key, level

Progress = Callable[[str, float], None]

METHOD = "ct-classical"

LONGEST = 460.0
"""Length, mm, of spine above the canal's lower end that is looked at [keyhole-choice]."""

SACRAL = 29.0
"""Height, mm, of the first sacral body where its lower disc does not show [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Spine found on the fine grid."""

    hu: NDArray[np.int16]
    grid: Grid
    bone: NDArray[np.bool_]
    axis: frame.Axis
    canal: Canal
    straight: NDArray[np.float32]
    threshold: float
    noise: float


def ct_classical(image: Volume, *, progress: Progress | None = None) -> NamedLabels:
    """Vertebrae, discs, sacrum, pelvis and what surrounds them on a CT in Hounsfield units, with names and doubts."""
    tell = progress or (lambda _sentence, _share: None)
    scene, evidence = spine(image, tell)
    structures = {
        key: Structure(key, Origin.DERIVED, f"{METHOD}: bone, endplates and canal of the image", 1.0)
        for key in scene.names.values()
    }
    labels = LabelMap(scene.labels, scene.grid.patient_from_index, dict(scene.names))
    vertebrae = {name: VertebraEntry(confidence=0.5) for name in scene.whole}
    return NamedLabels(labels, structures, METHOD, "counted from the sacrum", (), vertebrae, evidence)


def spine(image: Volume, tell: Progress):  # noqa
    tell("Looking for the spine", 0.0)
    found, body_fine = _find(image)
    tell("Finding discs", 0.3)
    signals = planes.signals(found.straight, found.threshold)
    row = [s for s in planes.row(signals) if signals.disc[s] > 0.12]
    shares = [numbering.wings(found.straight, signals, s, found.threshold) for s in row]
    lowest = numbering.lumbosacral(shares)
    gaps = [_gap(found, signals, s) for s in row]
    if lowest is not None:
        row, gaps = row[: lowest + 2], gaps[: lowest + 2]
    bodies = [body(found.hu, found.grid, a, b, _back(found, a, b)) for a, b in zip(gaps, gaps[1:], strict=False)]
    tell("Naming", 0.5)
    lowest, evidence = numbering.checked(lowest, None, shares)
    return _scene(image, found, body_fine, (row, signals, gaps, bodies, lowest)), evidence


def _find(image: Volume) -> tuple[Found, NDArray[np.bool_]]:
    array = grid.whole_numbers(image)
    coarse = grid.working_grid(image.grid, grid.COARSE)
    hu = grid.on_grid(array, image.grid, coarse)
    body_ = bones.body_mask(hu)
    threshold = bones.threshold(hu, body_)
    path = canal.canal_path(hu, bones.hysteresis(hu, threshold, body_), body_, grid.COARSE)
    points = coarse.centres(path)[::-1]
    fine = _fine_grid(image.grid, coarse, body_, points)
    noise = grid.noise(array, array > -300)
    hu = grid.smoothed(grid.on_grid(array, image.grid, fine), 0.6)
    bone = bones.hysteresis(hu, threshold)
    axis = frame.axis_of(points, hu, fine)
    axis, bony = frame.canal_of(axis, bone, fine)
    straight = frame.straight(axis, hu, fine)
    body_fine = _finer(body_, coarse, fine)
    return Found(hu, fine, bone, axis, bony, straight, threshold, noise), body_fine


def _fine_grid(source: Grid, coarse: Grid, body_: NDArray[np.bool_], points: Points) -> Grid:
    whole = grid.working_grid(source, grid.FINE)
    line = coarse.index(points)[:, 2]
    low, high = line.min() - 30, min(line.max() + 15, line.min() + LONGEST / grid.COARSE)
    low, high = int(max(0, low)), int(min(coarse.shape[2], high + 1))
    held = np.argwhere(body_[:, :, low:high].any(axis=2))
    ends = np.array([[*held.min(axis=0), low], [*held.max(axis=0), high - 1]], dtype=float)
    index = whole.index(coarse.centres(ends))
    first = np.clip(np.floor(index[0]) - 2, 0, np.array(whole.shape) - 1).astype(int)
    last = np.clip(np.ceil(index[1]) + 3, first + 1, whole.shape).astype(int)
    return whole.crop(tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True)))


def _finer(mask: NDArray[np.bool_], coarse: Grid, fine: Grid) -> NDArray[np.bool_]:
    between = coarse.patient_from_index.inverse @ fine.patient_from_index
    take = [
        np.clip(np.rint(between.matrix[a, a] * np.arange(fine.shape[a]) + between.matrix[a, 3]), 0, mask.shape[a] - 1)
        for a in range(3)
    ]
    return mask[np.ix_(*(t.astype(int) for t in take))]


def _frame(found: Found, signals: planes.Signals, station: int) -> tuple[Points, Points]:
    point, left, back, up = found.axis.at(station)
    tilt, lean = np.tan(np.radians(signals.tilt[station])), np.tan(np.radians(signals.lean[station]))
    normal = unit(up + tilt * back - lean * left)
    rear = unit(back - (back @ normal) * normal)
    return point + (planes.COLUMN[0] + planes.COLUMN[1]) / 2 * back, np.stack([np.cross(rear, normal), rear, normal])


def _gap(found: Found, signals: planes.Signals, station: int) -> Gap:
    at = _frame(found, signals, station)
    return gap(found.hu, found.grid, at, float(signals.half[station]), _wall(found, at[0], at[1][1]))


def _wall(found: Found, point: Points, back: Points) -> float:
    """Distance, mm, from `point` in a body backwards to the canal's front wall."""
    n = int(np.linalg.norm(found.canal.line - point, axis=1).argmin())
    turn = found.canal.radius.shape[1]
    front = found.canal.radius[n, turn * 5 // 8 : turn * 7 // 8]
    return float((found.canal.line[n] - point) @ back - np.median(front))


def _back(found: Found, over: Gap, under: Gap) -> Points:
    return np.array(
        [
            _wall(found, one.centre + sense * one.axes[2] * 6.0, one.axes[1])
            for one, sense in ((under, 1.0), (over, -1.0))
        ]
    )


def _scene(image, found, body_fine, known):  # noqa
    row, signals, gaps, bodies, lowest = known
    names = numbering.by_sacrum(len(row), lowest)
    label = np.zeros(found.hu.shape, dtype=np.uint16)
    keys: dict[int, str] = {}
    whole = names[1 : lowest + 1]
    for n, name in enumerate(whole):
        keys[10 + n] = f"vertebra/{name}/body"
        box, mask = fill(bodies[n], found.grid)
        label[box][mask] = 10 + n
    for n in range(lowest + 1):
        upper, lower = names[n], names[n + 1]
        keys[30 + n] = f"disc/{in_key(level(upper, lower))}"
        over = bodies[n - 1] if n > 0 else None
        under = bodies[n] if n < len(bodies) else None
        box, mask = fill_gap(gaps[n], over, under, found.grid)
        part = label[box]
        part[mask & (part == 0)] = 30 + n
    _arches(found, (row, signals, gaps, bodies, lowest), names, label, keys)
    at = found.grid
    trab = {name: float(np.median(found.hu[label == 10 + n])) for n, name in enumerate(whole)}
    return Scene(
        Volume(found.hu, at.patient_from_index), found.bone, body_fine, found.canal, (), tuple(whole), (names[0],),
        label, keys, found.noise, found.threshold, trab, tuple(float(s) for s in image.grid.spacing), {},
    )  # fmt: skip


def _arches(found, known, names, label, keys):  # noqa
    row, signals, gaps, bodies, lowest = known
    box = posterior.box_of(found.grid, found.axis, 100, 60, 75)
    sub = found.grid.crop(box)
    hu, bone = found.hu[box], found.bone[box].copy()
    lab = label[box]
    is_disc = (lab >= 30) & (lab < 60)
    is_body = (lab >= 10) & (lab < 30)
    bone |= is_body
    bone &= ~is_disc
    cost = posterior.price(hu, bone, found.threshold)
    cost[is_disc] = 0
    where = posterior.places(bone & ~is_body, sub, found.axis)
    # what lies in front of the canal and beside the bodies is no arch
    seed = np.zeros(lab.shape, dtype=np.uint16)
    seed[is_body] = lab[is_body] - 9  # 1.. per whole vertebra
    n_whole = lowest
    sac, pel, cut = n_whole + 1, n_whole + 2, n_whole + 3
    discs = [float(s) for s in row[: lowest + 1]]
    cuts = posterior.lamina_rows(where, hu, discs, found.threshold, len(found.axis.line))
    idx = where.index
    front = (where.back < -6) & (np.abs(where.left) < 60)
    local = np.searchsorted(np.array(discs), where.station)  # 0 above the first
    ends = gaps[lowest]
    pts = sub.centres(idx)
    loc = ends.local(pts)
    below = ends.heights(loc)[1] < 0
    sacral = below & (np.abs(where.left) < 30) & (where.back < 2) & (loc[:, 2] < -4)
    seed[tuple(idx[sacral].T)] = sac
    pelvic = (np.abs(where.left) > 62) & (where.station > discs[lowest] - 40)
    seed[tuple(idx[pelvic].T)] = pel
    top = gaps[0].local(pts)
    over = (gaps[0].heights(top)[0] > 1) & (np.hypot(top[:, 0], top[:, 1]) < 24)
    seed[tuple(idx[over].T)] = cut
    middle = (np.abs(where.left) <= 6) & (where.back > 4) & (where.back < 26)
    place = np.searchsorted(cuts, where.station)
    off = np.min(np.abs(where.station[:, None] - cuts[None]), axis=1)
    lam = middle & (off > 4)
    who = np.where(place == 0, cut, np.where(place > lowest, sac, place))
    seed[tuple(idx[lam].T)] = who[lam]
    # nothing grows through bone in front
    block = front & ~sacral & ~over & (local > 0) & (np.abs(where.left) < 40) & (loc[:, 2] > 0)
    cost[tuple(idx[block].T)] = 0
    posterior.grow(seed, cost)
    got = seed[tuple(idx.T)]
    wide = np.abs(where.left)
    for n in range(n_whole):
        name = names[n + 1]
        keys[60 + n] = f"vertebra/{name}/posterior"
        limit = 32.0 if name.startswith("T") else 56.0
        mine = (got == n + 1) & (wide < limit) & (where.back > -18)
        at = idx[mine]
        part = lab[tuple(at.T)]
        lab[tuple(at[part == 0].T)] = 60 + n
    for code, n, key in ((sac, 80, "sacrum"), (cut, 81, f"vertebra/{names[0]}")):
        keys[n] = key
        at = idx[got == code]
        part = lab[tuple(at.T)]
        lab[tuple(at[part == 0].T)] = n
