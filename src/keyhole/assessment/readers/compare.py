"""Two readers' labels of one scan: their measures side by side, how well they agree, and how far they overlap."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.model import Anatomy
from keyhole.anatomy.reading import images_of, load
from keyhole.assessment.findings import measured
from keyhole.assessment.model import entry
from keyhole.assessment.study import Study, position_of
from keyhole.casefile import Case, CaseRecord, FindingEntry
from keyhole.errors import WrongCase
from keyhole.geometry import LabelMap
from keyhole.terms import Origin, rank

LIMIT = 1.96
"""Sd of the difference within which two readers are expected to lie, 95 %."""

APART = 20.0
"""Mm: vertebrae of one name further apart are not the same bone [keyhole-choice]."""

LEAST = 3
"""Pairs of a measure that limits of agreement need [keyhole-choice]."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class MeasurePair:
    """One measure by both readers; `limit` is what both sds allow for 95 of 100 differences."""

    name: str
    level: str | None
    side: Literal["left", "right"] | None
    unit: str
    first: float
    second: float
    limit: float

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def is_within(self) -> bool:
        """Whether the difference is one that the stated sds explain."""
        return abs(self.difference) <= self.limit


@dataclass(frozen=True, slots=True)
class Agreement:
    """Bland and Altman's figures of one measure over its `n` levels and sides: bias and 95 % limits of agreement."""

    name: str
    unit: str
    n: int
    bias: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Dice coefficient of one structure, and its volumes, mL, by the first and the second reader."""

    key: str
    dice: float
    volumes: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two readers' labels of one scan give."""

    measures: tuple[MeasurePair, ...]
    agreement: tuple[Agreement, ...]
    overlap: tuple[Overlap, ...]
    caveats: tuple[str, ...]


def compare_case(case: Case, other: Path, *, scheme: str | None = None, progress: Progress | None = None) -> Comparison:
    """The measures of `case` against those of `other`, a case or a label file of the same scan by a second reader.

    A label file goes through the same import as the case's own, with the case's images. Refused where the images
    differ or the vertebrae of the same name lie elsewhere: that is another patient, frame or numbering.

    Parameters
    ----------
    scheme : how a label file's integers are named; None: the file says.
    """
    tell = progress or (lambda _sentence, _share: None)
    tell("Reading the first labels", 0.0)
    record = case.read(CaseRecord)
    first = load(case, with_image=False)
    with tempfile.TemporaryDirectory() as folder:
        tell("Reading the second labels", 0.1)
        twin = _twin(case, record, other, scheme, Path(folder))
        second = load(twin, with_image=False)
        _check_place(first, second, other)
        results = []
        for n, (anatomy, one) in enumerate(((first, case), (second, twin))):
            tell("Measuring", 0.3 + 0.3 * n)
            now = one.read(CaseRecord)
            found = measured(Study(anatomy, images_of(one, now), record.patient, position_of(one, now)))
            results.append([entry(f) for f in found])
    tell("Comparing", 0.9)
    return compared(results[0], results[1], overlaps(first, second))


def _twin(case: Case, record: CaseRecord, other: Path, scheme: str | None, folder: Path) -> Case:
    """`other` as a case: itself, or its labels imported beside the images of `case`."""
    if (other / "case.json").is_file():
        _check_images(case, record, Case(other))
        return Case(other)
    images = [case.path / one.file for one in record.images]
    return import_case(folder / "case", images, labels=other, scheme=scheme, patient=record.patient)


def _check_images(case: Case, record: CaseRecord, twin: Case) -> None:
    """Two cases with images must have one in common."""
    ours, theirs = ({one.sha256 for one in r.images} for r in (record, twin.read(CaseRecord)))
    if ours and theirs and not ours & theirs:
        raise WrongCase(
            f"{twin.path} cannot be compared with {case.path}: no image is the same, so it is another scan or patient"
        )


def _check_place(first: Anatomy, second: Anatomy, other: Path) -> None:
    """Vertebrae of the same name must be in the same place."""
    names = sorted(set(first.vertebrae) & set(second.vertebrae), key=rank)
    if not names:
        seen = [", ".join(sorted(one.vertebrae, key=rank)) or "none" for one in (first, second)]
        raise WrongCase(f"{other} cannot be compared: it shows {seen[1]}, this case {seen[0]}; no vertebra in common")
    apart = {n: float(np.linalg.norm(first.vertebrae[n].centre - second.vertebrae[n].centre)) for n in names}
    worst = max(names, key=lambda name: apart[name])
    if apart[worst] > APART:
        raise WrongCase(
            f"{other} cannot be compared: its {worst} lies {apart[worst]:.0f} mm from this case's {worst}, so it is "
            "another patient or frame, or the levels are named otherwise"
        )


def compared(
    first: Sequence[FindingEntry], second: Sequence[FindingEntry], overlap: tuple[Overlap, ...] = ()
) -> Comparison:
    """Measures that both have, agreement per measure, and in words what only one of them has."""
    keyed = [{(f.name, f.level, f.side): f for f in found if f.value is not None} for found in (first, second)]
    pairs = tuple(
        MeasurePair(
            a.name, a.level, a.side, a.unit, a.value, b.value, LIMIT * float(np.hypot(a.sd or 0.0, b.sd or 0.0))
        )
        for key, a in keyed[0].items()
        if (b := keyed[1].get(key)) is not None and a.value is not None and b.value is not None
    )
    caveats = []
    for name, ours, theirs in (("first", keyed[0], keyed[1]), ("second", keyed[1], keyed[0])):
        alone = [key for key in ours if key not in theirs]
        if alone:
            some = "; ".join(" ".join(filter(None, (key[1], key[0], key[2]))) for key in alone[:3])
            more = ", .." if len(alone) > 3 else ""
            caveats.append(f"{len(alone)} measures could be taken on the {name} labels only: {some}{more}")
    beyond = sum(not pair.is_within for pair in pairs)
    if pairs:
        caveats.append(
            f"{beyond} of {len(pairs)} differences lie beyond what the stated sds explain in 95 of 100 "
            f"({100 * beyond / len(pairs):.0f} %)"
        )
    names = dict.fromkeys(pair.name for pair in pairs)
    tables = (agreement([pair for pair in pairs if pair.name == name]) for name in names)
    return Comparison(pairs, tuple(one for one in tables if one is not None), overlap, tuple(caveats))


def agreement(pairs: Sequence[MeasurePair]) -> Agreement | None:
    """Mean difference and 95 % limits of agreement (mean ± 1.96 sd of the differences) of one measure.

    None with fewer than `LEAST` pairs: their spread says nothing.
    """
    if len(pairs) < LEAST:
        return None
    off = np.array([pair.difference for pair in pairs])
    bias, spread = float(off.mean()), LIMIT * float(off.std(ddof=1))
    return Agreement(pairs[0].name, pairs[0].unit, len(pairs), bias, bias - spread, bias + spread)


def overlaps(first: Anatomy, second: Anatomy) -> tuple[Overlap, ...]:
    """Dice of every structure that both have labelled, and of whole vertebrae, on the first one's grid."""
    ours, theirs = first.labels, on_grid(second.labels, first.labels)
    counts = _joint(ours, theirs)
    voxel = ours.grid.voxel_volume / 1000
    found = []
    for key in _shared(first, second):
        a, b = list(ours.labels_of(key)), list(theirs.labels_of(key))
        sizes = float(counts[a].sum()), float(counts[:, b].sum())
        if min(sizes) > 0:
            both = float(counts[np.ix_(a, b)].sum())
            found.append(Overlap(key, 2 * both / sum(sizes), (sizes[0] * voxel, sizes[1] * voxel)))
    return tuple(found)


def _shared(first: Anatomy, second: Anatomy) -> list[str]:
    """Keys that both labelled, vertebrae also as a whole; cranial to caudal."""
    labelled = [
        {key for key, one in a.structures.items() if one.origin is Origin.LABELLED and not key.startswith("tissue")}
        for a in (first, second)
    ]
    whole = [{"/".join(key.split("/")[:2]) for key in keys if key.startswith("vertebra/")} for keys in labelled]

    def place(key: str) -> tuple[bool, int, str]:
        name = key.split("/")[1] if key.startswith("vertebra/") else ""
        return not name, rank(name) if name else 0, key

    return sorted((labelled[0] & labelled[1]) | (whole[0] & whole[1]), key=place)


def _joint(ours: LabelMap, theirs: LabelMap) -> NDArray[np.int64]:
    """How many voxels carry each pair of labels, slab by slab."""
    shape = int(ours.array.max(initial=0)) + 1, int(theirs.array.max(initial=0)) + 1
    tall = max([shape[0], *(n + 1 for n in ours.structures)]), max([shape[1], *(n + 1 for n in theirs.structures)])
    total = np.zeros(tall, dtype=np.int64)
    for a, b in zip(ours.array, theirs.array, strict=True):
        pair = a.astype(np.int64).ravel() * tall[1] + b.ravel()
        total += np.bincount(pair, minlength=tall[0] * tall[1]).reshape(tall)
    return total


def on_grid(labels: LabelMap, other: LabelMap) -> LabelMap:
    """`labels` on the grid of `other`: the same where the grids are, else by the nearest voxel."""
    if labels.grid.is_same(other.grid):
        return labels
    step = (labels.patient_from_index.inverse @ other.patient_from_index).matrix
    array = ndimage.affine_transform(
        labels.array, step[:3, :3], step[:3, 3], output_shape=other.array.shape, order=0, mode="constant", cval=0
    )
    return LabelMap(array, other.patient_from_index, labels.structures)
