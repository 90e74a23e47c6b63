"""How far each vertebra that was found can be believed, and what speaks against it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.casefile import VertebraEntry
from keyhole.geometry import Points
from keyhole.segment.classical import planes
from keyhole.segment.classical.frame import FRONT
from keyhole.segment.classical.scene import DiscPlane, Scene
from keyhole.terms import rank

SPARSE = 2
"""Every so many voxels along each axis are counted."""

TREND = 1.04
"""How much larger a vertebra is than the one above it [keyhole-choice]."""

TURN = 3.0
"""Degrees by which the scan is turned for the second look [bare-ct-prototype]."""

STEPS_IN = (0.5, 1.1)
"""Weights of the pedicles' beat in the two second looks [keyhole-choice]."""

AROUND = (32.0, -42.0, 50.0)
"""Reach, mm, about the canal's line in which bone should belong to something: aside, in front, behind
[keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A signal of failure: from `low` to `high` it is unremarkable; beyond, the sentence is a warning."""

    signal: str
    low: float
    high: float
    words: str


LIMITS = (
    Limit("body", 0.65, 1.50, "its body's volume is {:.0%} of its neighbours'"),
    Limit("arch", 0.55, 1.75, "its arch's volume is {:.0%} of its neighbours'"),
    Limit("height", 0.70, 1.40, "its height is {:.0%} of its neighbours'"),
    Limit("lean", -1.0, 0.30, "its arch differs by {:.0%} between left and right"),
    Limit("canal", 0.60, 1.60, "the canal there is {:.0%} as wide as at its neighbours"),
    Limit("clear", 0.08, np.inf, "an endplate is only {:.0%} as clear as usual in this scan"),
    Limit(
        "moved", -np.inf, 3.0, "a disc plane moves by {:.0f} mm when the scan is looked at again, turned and blurred"
    ),
    Limit("loose", -1.0, 0.30, "{:.0%} of the bone beside it belongs to nothing that was found"),
    Limit("pale", 1.0, np.inf, "its marrow stands out from soft tissue by only {:.1f} times the noise"),
    Limit("dark", 0.0, np.inf, "a tenth of its body is as dark as fat, {:.0f} HU"),
)
"""3 mm are from the prototype's list of failure signals [bare-ct-prototype]; its 25 % against neighbours warned of too
many sound vertebrae, so these and the other limits were set on painted scans [keyhole-choice]."""

SOFT = 50.0
"""HU of muscle, above which marrow stands out [keyhole-choice]."""

SHAKEN = 6.0
"""Movement, mm, of a disc's plane at a second look beyond which it is doubtful; two are too many [keyhole-choice]."""

FARTHEST = 48.0
"""Most mm between the middles of two neighbouring lumbar discs [bare-ct-prototype]."""

MERGED, SPLIT = 1.45, 0.62
"""Distance of two discs, as a share of the usual one, from which two vertebrae were taken for one, and up to which two
in a row are one [keyhole-choice]."""

NOISE, SLICE = 55.0, 4.0
"""HU of noise and mm of slice beyond which every level carries a warning [keyhole-choice]."""


def confidence(scene: Scene, moved: Mapping[str, float] | None = None) -> dict[str, VertebraEntry]:
    """Confidence, 0 to 1, and warnings of every vertebra of `scene`.

    Confidence falls with each signal's distance from what is usual; a warning is any signal beyond its limit.

    Parameters
    ----------
    moved : how far each disc's plane moves in a second look, mm, by level, as `retest` gives it.
    """
    found = signals(scene, moved or {})
    general = _general(scene)
    made = {}
    for name in sorted(found, key=rank):
        values = found[name]
        warnings = [_said(limit, values[limit.signal]) for limit in LIMITS if _is_beyond(limit, values)]
        if name in scene.cut:
            warnings.append("the scan's edge cuts it")
        made[name] = VertebraEntry(
            confidence=round(_belief(values, name in scene.cut), 2), warnings=(*warnings, *general)
        )
    return made


def _general(scene: Scene) -> tuple[str, ...]:
    """What makes every level doubtful."""
    said = []
    if not scene.noise <= NOISE:
        said.append(f"the image's noise is {scene.noise:.0f} HU")
    if not max(scene.spacing) <= SLICE:
        said.append(f"the voxels are {max(scene.spacing):.1f} mm long")
    return tuple(said)


def _is_beyond(limit: Limit, values: Mapping[str, float]) -> bool:
    value = values.get(limit.signal, np.nan)
    return bool(np.isfinite(value) and not limit.low <= value <= limit.high)


def _said(limit: Limit, value: float) -> str:
    return limit.words.format(value)


def _belief(values: Mapping[str, float], is_cut: bool) -> float:
    """The product of what each signal leaves: 1 in the middle of its limits, 0.6 at them, falling beyond."""
    belief = 0.5 if is_cut else 0.98
    for limit in LIMITS:
        value = values.get(limit.signal, np.nan)
        if not np.isfinite(value):
            continue
        belief *= float(np.clip(1.0 - 0.4 * _strain(limit, value) ** 4, 0.15, 1.0))
    return float(np.clip(belief, 0.02, 0.98))


def _strain(limit: Limit, value: float) -> float:
    """0 where a signal is as it should be, 1 at its limit."""
    if limit.low > 0 and np.isfinite(limit.high):  # a ratio
        return abs(float(np.log(max(value, 1e-3)))) / abs(float(np.log(limit.low if value < 1 else limit.high)))
    if np.isfinite(limit.high):
        return max(value, 0.0) / limit.high
    if limit.low == 0:
        return 0.0 if value >= 0 else 1.5
    return min(limit.low / max(value, 1e-3), 2.0) if value < 2 * limit.low else 0.0


def misplaced(found: Sequence[DiscPlane]) -> str | None:
    """Why the row of discs cannot be right, as a sentence; None where nothing speaks against it.

    Two vertebrae taken for one stand twice as far apart as the others, one taken for two half as far: every name
    beyond would be wrong.
    """
    steps = np.array([np.linalg.norm(a.centre - b.centre) for a, b in itertools.pairwise(found)])
    if len(steps) < 3:
        return None
    usual = float(np.median(steps))
    short = steps < SPLIT * usual
    for n in np.flatnonzero(short[:-1] & short[1:]).tolist():
        return (
            f"{found[n + 1].upper} and {found[n + 1].lower}: their discs lie {steps[n]:.0f} and {steps[n + 1]:.0f} mm "
            f"apart, the others {usual:.0f} mm: one vertebra was taken for two"
        )
    for n in np.flatnonzero(steps > min(MERGED * usual, FARTHEST)).tolist():
        return (
            f"{found[n + 1].upper}: its discs lie {steps[n]:.0f} mm apart, the others {usual:.0f} mm: "
            "a disc was missed, and every name above it would be wrong"
        )
    return None


def restless(moved: Mapping[str, float]) -> str | None:
    """Why discs that are found elsewhere at a second look name nothing, as a sentence; `moved` as `retest` gives."""
    shaken = [level for level, far in moved.items() if far > SHAKEN]
    if len(shaken) < 2:
        return None
    most = max(moved[level] for level in shaken)
    return f"the discs {', '.join(shaken)} lie up to {most:.0f} mm elsewhere when the scan is looked at again"


# --- signals ---


def signals(scene: Scene, moved: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The failure signals of every vertebra with a body, S1 aside; nan where one cannot be had."""
    names = [n for n in _named(scene) if n != "S1"]
    sizes = _sizes(scene, names)
    whole = [n for n in names if n not in scene.cut]
    found: dict[str, dict[str, float]] = {}
    for name in names:
        found[name] = {
            **{what: _ratio(sizes[what], name, whole) for what in ("body", "arch", "height", "canal")},
            "lean": sizes["lean"].get(name, np.nan),
            "loose": sizes["loose"].get(name, np.nan),
            "pale": sizes["pale"].get(name, np.nan),
            "dark": sizes["dark"].get(name, np.nan),
            "clear": _clarity(scene.planes, name),
            "moved": _moved(scene.planes, name, moved),
        }
    return found


def _named(scene: Scene) -> list[str]:
    """Vertebrae with a body, cranial to caudal."""
    keys = [key.split("/") for key in scene.names.values()]
    return sorted({k[1] for k in keys if k[0] == "vertebra" and k[-1] == "body"}, key=rank)


def _ratio(values: Mapping[str, float], name: str, whole: Sequence[str]) -> float:
    """A vertebra's value over the median of its whole neighbours', two on each side; nan with fewer than two.

    Each neighbour's value is brought to the vertebra's place by the usual trend.
    """
    above = [n for n in whole if rank(n) < rank(name)][-2:]
    below = [n for n in whole if rank(n) > rank(name)][:2]
    known = [values.get(n, np.nan) * TREND ** (rank(name) - rank(n)) for n in (*above, *below)]
    known = [value for value in known if np.isfinite(value)]
    own = values.get(name, np.nan)
    return float(own / np.median(known)) if len(known) > 1 and np.median(known) > 0 else float("nan")


def _sizes(scene: Scene, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Volumes, heights, canal widths, asymmetry and loose bone by vertebra, from every `SPARSE`-th voxel."""
    step = (slice(None, None, SPARSE),) * 3
    labels, bone = scene.labels[step], scene.bone[step]
    count = np.bincount(labels.ravel(), minlength=max([*scene.names, 0]) + 1)
    values = np.asarray(scene.hu.array)[step]
    body, arch, lean, pale, dark = {}, {}, {}, {}, {}
    of = {key: n for n, key in scene.names.items()}
    place = _placer(scene)
    for name in names:
        parts = [n for key, n in of.items() if key.startswith(f"vertebra/{name}/") and not key.endswith("/body")]
        body[name] = float(count[of[f"vertebra/{name}/body"]])
        marrow = values[labels == of[f"vertebra/{name}/body"]]
        if len(marrow) > 30:
            pale[name] = float(np.median(marrow) - SOFT) / max(scene.noise, 1.0)
            dark[name] = float(np.percentile(marrow, 10))
        arch[name] = float(count[parts].sum()) if parts else np.nan
        cells = np.argwhere(np.isin(labels, parts)) if parts else np.empty((0, 3), dtype=np.int64)
        lean[name] = _asymmetry(place(SPARSE * cells)[1]) if len(cells) > 30 else np.nan
    loose = _loose(scene, SPARSE * np.argwhere(bone & (labels == 0)), SPARSE * np.argwhere(labels > 0), place)
    return {
        "body": body,
        "arch": arch,
        "lean": lean,
        "loose": loose,
        "pale": pale,
        "dark": dark,
        "height": _heights(scene),
        "canal": _widths(scene),
    }


Placer = Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], Points, Points]]


def _placer(scene: Scene) -> Placer:
    """Voxel indices (n, 3) -> station on the canal's line, mm to the left of it and behind it."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    canal = scene.canal
    tree = cKDTree(canal.line)

    def place(cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], Points, Points]:
        points = scene.grid.centres(cells)
        _, station = tree.query(points)
        off = points - canal.line[station]
        left, back = (off * canal.left[station]).sum(axis=1), (off * canal.posterior[station]).sum(axis=1)
        return station, left, back

    return place


def _asymmetry(left: Points) -> float:
    """Difference of left and right over their sum, midline aside."""
    sides = np.count_nonzero(left > 4), np.count_nonzero(left < -4)
    return abs(sides[0] - sides[1]) / max(sum(sides), 1)


def _spans(scene: Scene) -> dict[str, tuple[float, float]]:
    """Stations between the planes above and below each vertebra."""
    at = [float(((scene.canal.line - plane.centre) ** 2).sum(axis=1).argmin()) for plane in scene.planes]
    over = {plane.lower: station for plane, station in zip(scene.planes, at, strict=True)}
    under = {plane.upper: station for plane, station in zip(scene.planes, at, strict=True)}
    return {n: (over[n], under[n]) for n in over if n in under}


def _heights(scene: Scene) -> dict[str, float]:
    """Distance of the facing endplates of the planes above and below each vertebra, mm."""
    over = {plane.lower: plane for plane in scene.planes}
    under = {plane.upper: plane for plane in scene.planes}
    return {
        n: float(np.linalg.norm(over[n].centre - under[n].centre)) - over[n].below - under[n].above
        for n in over
        if n in under
    }


def _widths(scene: Scene) -> dict[str, float]:
    """Median width of the canal between left and right wall, at the pedicles of each vertebra, mm."""
    radius = scene.canal.radius
    n = radius.shape[1]
    wide = np.median(radius[:, [0, 1, n - 1]], axis=1) + np.median(radius[:, n // 2 - 1 : n // 2 + 2], axis=1)
    made = {}
    for name, (a, b) in _spans(scene).items():
        part = wide[int(a + 0.25 * (b - a)) : int(a + 0.55 * (b - a)) + 1]
        if len(part) and np.isfinite(part).any():
            made[name] = float(np.nanmedian(part))
    return made


def _loose(scene: Scene, free: NDArray[np.int64], taken: NDArray[np.int64], place: Placer) -> dict[str, float]:
    """Share of the bone about the canal beside each vertebra that has no label."""
    counts: list[NDArray[np.int64]] = []
    for cells in (free, taken):
        box = scene.grid.index(scene.canal.line)
        low, high = box.min(axis=0) - 55 / scene.grid.spacing, box.max(axis=0) + 55 / scene.grid.spacing
        some = cells[((cells >= low) & (cells <= high)).all(axis=1)]
        if not len(some):
            counts.append(np.empty(0, dtype=np.int64))
            continue
        station, left, back = place(some)
        near = (np.abs(left) < AROUND[0]) & (back > AROUND[1]) & (back < AROUND[2])
        counts.append(station[near])
    made = {}
    for name, (a, b) in _spans(scene).items():
        off, on = (int(np.count_nonzero((c >= a) & (c < b))) for c in counts)
        made[name] = off / max(off + on, 1)
    return made


def _clarity(found: Sequence[DiscPlane], name: str) -> float:
    """The lower score of the planes beside a vertebra, over the median of all."""
    scores = [plane.score for plane in found if name in (plane.upper, plane.lower)]
    usual = float(np.median([plane.score for plane in found])) if found else 0.0
    return min(scores) / usual if scores and usual > 0 else float("nan")


def _moved(found: Sequence[DiscPlane], name: str, moved: Mapping[str, float]) -> float:
    values = [moved[p.level] for p in found if name in (p.upper, p.lower) and p.level in moved]
    return max(values) if values else float("nan")


# --- a second look ---


def retest(straight: NDArray[np.float32], found: Sequence[DiscPlane]) -> dict[str, float]:
    """How far each disc's plane moves, mm, when discs are looked for again in the scan turned and blurred; by level.

    The pedicles count less in one look and more in the other: where endplates and pedicles disagree, discs move.

    Parameters
    ----------
    straight : the scan straightened along the canal, (station, left, posterior), 1 mm.
    """
    worst = {plane.level: 0.0 for plane in found}
    for sign, step_in in zip((1.0, -1.0), STEPS_IN, strict=True):
        again = _turned(straight, sign * TURN)
        row = np.array(planes.row(planes.signals(again, step_in)), dtype=np.float64)
        for plane in found:
            worst[plane.level] = max(worst[plane.level], float(np.abs(row - plane.station).min(initial=99.0)))
    return worst


def _turned(straight: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """`straight` sheared as a turn about the body column's middle would, and slightly blurred."""
    known = np.isfinite(straight)
    filled = ndimage.gaussian_filter(np.where(known, straight, 0.0).astype(np.float32), 0.8)
    weight = ndimage.gaussian_filter(known.astype(np.float32), 0.8)
    smooth = np.where(known, filled / np.maximum(weight, 1e-3), np.nan).astype(np.float32)
    middle = (planes.COLUMN[0] + planes.COLUMN[1]) / 2 + FRONT
    out = np.empty_like(smooth)
    for column in range(smooth.shape[2]):
        shift = round((column - middle) * np.tan(np.radians(degrees)))
        out[:, :, column] = np.roll(smooth[:, :, column], shift, axis=0)
    return out
