"""How well labels found on a scan agree with the truth."""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.schemes import NamedLabels
from keyhole.errors import KeyholeError
from keyhole.geometry import Box, LabelMap, Points, Volume
from keyhole.geometry.resample import resample
from keyhole.terms import rank

LEAST = 0.3  # share of a vertebra that a found one must cover to count as found there
REMNANT = 0.5  # share of the median vertebra's volume up to which one at the edge counts as a remnant
MUSCLES = ("muscle/psoas/left", "muscle/psoas/right", "muscle/paraspinal/left", "muscle/paraspinal/right")
VESSELS = ("vessel/aorta", "vessel/ivc")


@dataclass(frozen=True)
class VertebraScore:
    """One true vertebra: `found_as` is the name it was given ("" where nothing was found there).

    `share`: how much of it is in view, against the median of all.
    """

    name: str
    is_whole: bool
    share: float
    found_as: str
    dice: float
    body: float
    posterior: float
    confidence: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CaseScore:
    """One scan. `refusal` is the sentence of the refusal, "" where labels came; values are nan where absent."""

    name: str
    refusal: str
    vertebrae: tuple[VertebraScore, ...] = ()
    discs: dict[str, float] = field(default_factory=dict)
    canal: dict[str, float] = field(default_factory=dict)  # level or vertebra -> found minus true AP, mm
    muscles: dict[str, float] = field(default_factory=dict)
    vessels: dict[str, float] = field(default_factory=dict)  # share of the found vessel inside the true one
    seconds: float = float("nan")
    memory: float = float("nan")  # MiB, peak of the process so far
    is_clean: bool = True

    @property
    def wrong(self) -> tuple[VertebraScore, ...]:
        """Vertebrae, remnants at the edge aside, that carry another one's name."""
        return tuple(v for v in self.vertebrae if v.share > REMNANT and v.found_as not in ("", v.name))

    @property
    def lumbar(self) -> tuple[VertebraScore, ...]:
        """Whole L1 to L5 that were found under their own name."""
        return tuple(v for v in self.vertebrae if v.is_whole and v.name[0] == "L" and v.found_as == v.name)


def score(
    name: str,
    image: Volume,
    truth: LabelMap,
    whole: Sequence[str],
    method: Callable[[Volume], NamedLabels],
    *,
    is_clean: bool = True,
) -> CaseScore:
    """What `method` finds on `image` against `truth` (any keys; on the image's own grid or another)."""
    begin = time.perf_counter()
    try:
        found = method(image)
    except KeyholeError as error:
        return CaseScore(name, str(error), seconds=time.perf_counter() - begin, memory=_memory(), is_clean=is_clean)
    seconds = time.perf_counter() - begin
    labels = found.labels
    onto = resample(Volume(labels.array.astype(np.float32), labels.patient_from_index), truth.grid, order=0, fill=0.0)
    here = LabelMap(np.asarray(onto.array).astype(np.int32), truth.patient_from_index, labels.structures)
    names = sorted({k.split("/")[1] for k in truth.keys if k.startswith("vertebra/")}, key=rank)
    counts = _Counts.of(truth, here)
    usual = float(np.median([counts([f"vertebra/{n}"], None) for n in names]))
    scores = tuple(s for n in names if (s := _vertebra(n, n in whole, counts, found, usual)) is not None)
    discs = {k.split("/")[1]: counts.dice(k) for k in truth.keys if k.startswith("disc/") and k.count("/") == 1}
    return CaseScore(
        name, "", scores, {k: d for k, d in discs.items() if np.isfinite(d)}, _canal(truth, labels, names),
        _muscles(truth, here), {k: _inside(counts, k) for k in VESSELS},
        seconds, _memory(), is_clean,
    )  # fmt: skip


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True, eq=False)
class _Counts:
    """How many voxels carry each pair of a true and a found label."""

    table: NDArray[np.int64]
    truth: LabelMap
    found: LabelMap

    @classmethod
    def of(cls, truth: LabelMap, found: LabelMap) -> _Counts:
        n, m = (int(max([*lm.structures, int(lm.array.max())])) + 1 for lm in (truth, found))
        pairs = truth.array.astype(np.int64) * m
        pairs += found.array
        return cls(np.bincount(pairs.ravel(), minlength=n * m).reshape(n, m), truth, found)

    def __call__(self, true: Sequence[str] | None, found: Sequence[str] | None, *, but: str = "") -> int:
        """Voxels at or below `true` and `found` keys, without those at or below `but`; None stands for any."""
        rows, columns = (
            np.arange(side)
            if keys is None
            else np.array([n for n in labels.labels_of(*keys) if n not in labels.labels_of(but)], dtype=int)
            for side, keys, labels in zip(self.table.shape, (true, found), (self.truth, self.found), strict=True)
        )
        return int(self.table[np.ix_(rows, columns)].sum())

    def dice(self, key: str, *, but: str = "") -> float:
        """Overlap; nan where the truth holds nothing."""
        total = self([key], None, but=but)
        both = self([key], [key], but=but)
        return 2 * both / (total + self(None, [key], but=but)) if total else float("nan")


def _muscles(truth: LabelMap, found: LabelMap) -> dict[str, float]:
    """Overlap of the muscles between the top of L1 and the top of the pelvis, by height along L5 to L1."""
    ends = [np.argwhere(truth.mask(f"vertebra/{n}"))[::5] for n in ("L1", "L5")]
    if min(len(e) for e in ends) < 20:
        return {}
    top, low = (truth.grid.centres(e) for e in ends)
    up = np.array([0.0, 0.0, 1.0])
    hip = truth.grid.centres(np.argwhere(truth.mask("pelvis"))[::5]) if truth.labels_of("pelvis") else low
    bounds = float((hip @ up).max()), float((top @ up).max())
    cells = np.argwhere(truth.mask("muscle") | found.mask("muscle"))
    height = truth.grid.centres(cells) @ up
    kept = cells[(height > bounds[0]) & (height < bounds[1])]
    if len(kept) < 100:
        return {}
    pairs = [
        LabelMap(lm.array[tuple(kept.T)][:, None, None], lm.patient_from_index, lm.structures) for lm in (truth, found)
    ]
    counts = _Counts.of(pairs[0], pairs[1])
    return {k: counts.dice(k) for k in MUSCLES}


def _inside(counts: _Counts, key: str) -> float:
    """Share of the found `key` that lies inside the true one; nan where it was not found ('unknown')."""
    found = counts(None, [key])
    return counts([key], [key]) / found if found else float("nan")


def _vertebra(name: str, is_whole: bool, counts: _Counts, given: NamedLabels, usual: float) -> VertebraScore | None:
    key, body = f"vertebra/{name}", f"vertebra/{name}/body"
    own = counts([key], None)
    if not own:
        return None
    names = sorted({k.split("/")[1] for k in counts.found.keys if k.startswith("vertebra/")}, key=rank)
    shares = {n: counts([key], [f"vertebra/{n}"]) for n in names}
    best = max(shares, key=lambda k: shares[k], default="")
    found_as = best if best and shares[best] >= LEAST * own else ""
    entry = given.vertebrae.get(name)
    split = bool(counts.truth.labels_of(body))
    return VertebraScore(
        name,
        is_whole,
        own / usual,
        found_as,
        counts.dice(key),
        counts.dice(body),
        counts.dice(key, but=body) if split else float("nan"),
        entry.confidence if entry else float("nan"),
        entry.warnings if entry else (),
    )


# --- canal ---


def _centres(labels: LabelMap, names: Sequence[str]) -> dict[str, Points]:
    found = {}
    for name in names:
        keys = f"vertebra/{name}/body" if labels.labels_of(f"vertebra/{name}/body") else f"vertebra/{name}"
        cells = np.argwhere(labels.mask(keys))
        if len(cells) > 50:
            found[name] = labels.grid.centres(cells.mean(axis=0))
    return found


def _canal(truth: LabelMap, found: LabelMap, names: Sequence[str]) -> dict[str, float]:
    """Found minus true AP diameter of the canal at L1 to L5 and at the discs between, mm."""
    if not truth.labels_of("canal/epidural"):  # a cord or a sac is no canal
        return {}
    between = bool(truth.labels_of("canal/flavum"))  # else nothing bounds the true canal between the arches
    box = tuple(
        slice(int(a), int(b) + 1)
        for a, b in zip(*(f(np.argwhere(truth.mask("vertebra")), axis=0) for f in (np.min, np.max)), strict=True)
    )
    truth = truth.crop(box)  # type: ignore[arg-type]
    centres = _centres(truth, [n for n in names if n[0] == "L" or n in ("T12", "S1")])
    cells = np.argwhere(truth.mask("canal"))
    points = truth.grid.centres(cells[:: max(1, len(cells) // 200000)])
    fields = [_field(m) for m in (truth, found)]
    row = [n for n in names if n in centres]
    places = {n: (centres[n], row[i - 1] if i else n, row[i + 1]) for i, n in enumerate(row[:-1]) if n[0] == "L"}
    for a, b in itertools.pairwise(row):
        if between and f"disc/{a}-{b}" in truth.keys and a[0] == "L":
            cells = np.argwhere(truth.mask(f"disc/{a}-{b}"))
            if len(cells) > 50:
                places[f"{a}/{b}"] = (truth.grid.centres(cells.mean(axis=0)), a, b)
    made = {}
    for what, (at, upper, lower) in places.items():
        if upper == lower or lower not in centres:
            continue
        up = centres[upper] - centres[lower]
        chords = _chords(fields, points, at, up / np.linalg.norm(up))
        if np.isfinite(chords[0]):
            made[what] = chords[1] - chords[0]
    return made


def _field(labels: LabelMap) -> tuple[LabelMap, NDArray[np.float32], Box]:
    mask = labels.mask("canal")
    cells = np.argwhere(mask)
    if not len(cells):
        nothing = slice(0, 1)
        return labels, np.zeros((1, 1, 1), dtype=np.float32), (nothing, nothing, nothing)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(cells.min(0), cells.max(0), strict=True))
    return labels, mask[box].astype(np.float32), box  # type: ignore[return-value]


def _chords(
    fields: list[tuple[LabelMap, NDArray[np.float32], Box]], cloud: Points, at: Points, up: Points
) -> list[float]:
    """AP diameter in the plane across `up` through `at`, true and found: mean of three lines near the middle."""
    near = cloud[(np.abs((cloud - at) @ up) < 2.0) & (np.linalg.norm(cloud - at, axis=1) < 60)]
    if len(near) < 20:
        return [float("nan")] * 2
    middle = near.mean(axis=0)
    back = middle - at - ((middle - at) @ up) * up
    back /= np.linalg.norm(back)
    left = np.cross(back, up)
    ticks = np.arange(-20, 20.01, 0.2)
    out = []
    for labels, mask, box in fields:
        lengths = []
        for aside in (-2.0, 0.0, 2.0):
            line = labels.grid.index(middle + aside * left + ticks[:, None] * back) - [s.start for s in box]
            inside = ndimage.map_coordinates(mask, line.T, order=1, mode="constant", cval=0.0) > 0.5
            runs, _ = ndimage.label(inside)
            hit = runs[np.abs(ticks) < 3]
            lengths.append(0.2 * float((runs == hit[hit > 0][0]).sum()) if (hit > 0).any() else float("nan"))
        out.append(float(np.mean(lengths)))
    return out


# --- many cases ---


@dataclass(frozen=True)
class Totals:
    """What many cases come to; shares are 0 to 1, nan where nothing counts."""

    cases: int
    refused: int
    named_right: int
    named_wrong: int
    missed: int
    mean: float
    worst: float
    body: float
    posterior: float
    discs: float
    disc_l5: float
    canal_mean: float
    canal_within: float
    low: int
    low_warned: int
    clean: int
    clean_warned: int


def totals(cases: Sequence[CaseScore], *, low: float = 0.7) -> Totals:
    """Sums over whole lumbar vertebrae; a false warning is one on a clean scan at Dice `low` or more."""
    lumbar = [v for c in cases for v in c.lumbar]
    dices = [v.dice for v in lumbar]
    wanted = [v for c in cases if not c.refusal for v in c.vertebrae if v.is_whole and v.name[0] == "L"]
    bad = [v for v in lumbar if v.dice < low]
    fine = [v for c in cases if c.is_clean for v in c.lumbar if v.dice >= low]
    upper = [d for c in cases for k, d in c.discs.items() if k in ("L1-L2", "L2-L3", "L3-L4", "L4-L5")]
    lowest = [d for c in cases for k, d in c.discs.items() if k == "L5-S1"]
    gaps = [abs(d) for c in cases for d in c.canal.values() if np.isfinite(d)]
    return Totals(
        len(cases), sum(bool(c.refusal) for c in cases), sum(v.found_as == v.name for v in wanted),
        sum(len(c.wrong) for c in cases), sum(v.found_as == "" for v in wanted),
        _mean(dices), min(dices, default=float("nan")), _mean([v.body for v in lumbar]),
        _mean([v.posterior for v in lumbar]), _mean(upper), _mean(lowest), _mean(gaps),
        _mean([float(g <= 1.0) for g in gaps]), len(bad), sum(bool(v.warnings) for v in bad),
        len(fine), sum(bool(v.warnings) for v in fine),
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")
