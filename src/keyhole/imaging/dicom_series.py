"""The CT and MR series among the files of a folder or zip, split where one UID holds several images."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from keyhole.errors import InvalidInput, KeyholeError, UnreadableFile
from keyhole.imaging.deidentify import pseudonym, scrubbed
from keyhole.imaging.dicom_files import DAMAGED, DicomFile, Listing, listing, reason
from keyhole.imaging.dicom_planes import CT_CLASSES, TELLING, Plane, aside, checked_kind, kind, planes
from keyhole.imaging.dicom_stack import SAME_PLACE, TURNED, Stack, corner_shift, direction_of, normal_of, stacked

MOST_PARTS = 32
"""A series is split into at most so many images by one tag [keyhole-choice]."""

_NAMES = {
    "EffectiveEchoTime": "echo time",
    "InversionTime": "inversion time",
    "DiffusionBValue": "b-value",
    "FlipAngle": "flip angle",
    "TemporalPosition": "phase",
    "ImageType": "type",
    "ConvolutionKernel": "kernel",
    "ContrastBolusAgent": "contrast",
    "KVP": "kV",
    "StackID": "stack",
    "AcquisitionNumber": "acquisition",
    "TriggerTime": "trigger time",
    "AcquisitionTime": "time",
}


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The slices of one CT or MR image. `part` counts the images that one SeriesInstanceUID holds; 0: only one.

    `stack` is None where the slices form no volume; `problem` then says why.
    """

    uid: str
    modality: str
    number: int | None
    description: str
    planes: tuple[Plane, ...]
    part: int = 0
    told: str = ""
    stack: Stack | None = None
    problem: str = ""
    caveats: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        """Number, or number.part; empty where the series has no number."""
        if self.number is None:
            return ""
        return f"{self.number}.{self.part}" if self.part else str(self.number)

    def __str__(self) -> str:
        first = self.planes[0]
        across, down = first.spacing
        size = f"{first.shape[1]} x {first.shape[0]}" + (f", {across:.2f} x {down:.2f} mm" if across > 0 else "")
        number = f"number {self.label}" if self.label else "no number"
        title = " ".join(f"{text!r}" for text in (self.description, self.told) if text)
        uid = pseudonym(self.uid) if self.uid else "not stated"
        named = f"{number} {title}" if title else number
        return f"{named} {self.modality}, {len(self.planes)} slices of {size}, UID {uid}"


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What a folder or zip holds: series, objects set aside by reason, damaged files, and other files.

    `damaged` tells why by the file's name, `belongs` the series of those that still state it.
    """

    series: tuple[Series, ...]
    aside: dict[str, int]
    damaged: dict[str, str]
    others: int
    absent: tuple[str, ...]
    mixed: str = ""
    belongs: dict[str, str] = field(default_factory=dict)


def contents(path: Path) -> Contents:
    """Everything at `path`, each SeriesInstanceUID split into images that are one stack each."""
    found: Listing = listing(path)
    images: list[Plane] = []
    others: dict[str, int] = {}
    damaged, belongs = dict(found.damaged), dict[str, str]()
    for file in found.files:
        try:
            what = checked_kind(file)
            why = aside(file, what)
            if why:
                others[why] = others.get(why, 0) + 1
                continue
            images.extend(planes(file, what))
        except KeyholeError as error:
            damaged[file.name], belongs[file.name] = str(error), _uid_of(file)
        except DAMAGED as error:
            damaged[file.name] = f"{file.name} holds a DICOM value that cannot be read: {reason(error)}"
            belongs[file.name] = _uid_of(file)
    made = [part for whole in _grouped(images) for part in _split(whole)]
    mixed, aside_by_kind = _mixed(images), dict(sorted(others.items()))
    return Contents(tuple(made), aside_by_kind, damaged, found.others, found.absent, mixed, belongs)


def _uid_of(file: DicomFile) -> str:
    try:
        return str(file.header.get("SeriesInstanceUID") or "").strip()
    except DAMAGED:
        return ""


def series_in(path: Path) -> tuple[Series, ...]:
    """Every CT and MR series below the folder or inside the zip at `path`, localizers and non-images left out.

    Refused in one sentence: nothing that is DICOM, no CT or MR image, slices of two patients.
    """
    return usable(contents(path), path)


def usable(found: Contents, path: Path) -> tuple[Series, ...]:
    """The series of `found`, if there are any and all are of one patient."""
    if not found.series:
        refuse_damaged(found, None, path)
        what = f"only {', '.join(sorted(found.aside))}" if found.aside else "no DICOM file at all"
        raise UnreadableFile(f"{path} holds no CT or MR series: found {what}")
    if found.mixed:
        raise InvalidInput(f"{path} {found.mixed}")
    return found.series


def refuse_damaged(found: Contents, one: Series | None, path: Path) -> int:
    """How many damaged files belong to other series; one that may belong to `one` is refused by name."""
    near = [name for name in found.damaged if one is None or one.uid.startswith(found.belongs.get(name, ""))]
    if near:
        more = f" (and {len(near) - 1} more damaged files)" if len(near) > 1 else ""
        raise UnreadableFile(f"{path}: {found.damaged[near[0]]}{more}")
    return len(found.damaged)


def chosen(found: Sequence[Series], series: str | None, path: Path, hint: str = "") -> Series:
    """The one of `found` that `series` names: by number, place in the list (#2), or the start of its UID."""
    if series is None:
        if len(found) == 1:
            return found[0]
        raise InvalidInput(f"{path} holds {len(found)} series; choose one with --series: {_listed(found)}{hint}")
    wanted = series.strip()
    by_number = [s for s in found if s.label and s.label == wanted]
    place = int(wanted.removeprefix("#")) if wanted.removeprefix("#").isdecimal() else 0
    by_place = [found[place - 1]] if 1 <= place <= len(found) else []
    by_uid = [s for s in found if ("." in wanted or len(wanted) > 4) and wanted and _begins(s, wanted)]
    matches = by_number or by_place or by_uid
    if len(matches) != 1:
        how = "no series" if not matches else f"{len(matches)} series"
        raise InvalidInput(f"{path}: {how} of --series {wanted}; choose one of: {_listed(found)}{hint}")
    return matches[0]


def _begins(one: Series, wanted: str) -> bool:
    return bool(one.uid) and (one.uid.startswith(wanted) or pseudonym(one.uid).startswith(wanted))


def patient_of(header: Any) -> str:
    """What tells this patient from another: the ID, or else the name; empty where the file states neither."""
    return str(header.get("PatientID") or "").strip() or str(header.get("PatientName") or "").strip()


def _listed(found: Sequence[Series]) -> str:
    return "; ".join(f"[{place}] {series}" for place, series in enumerate(found, start=1))


def _mixed(images: Sequence[Plane]) -> str:
    """That slices are of two patients, or contradict themselves on who it is; files are named, not people."""
    heads = {id(plane.file): plane.file for plane in images}.values()
    for what in (patient_of, _stated("PatientBirthDate"), _stated("PatientSex")):
        known: dict[str, str] = {}
        for file in heads:
            if what(file.header):
                known.setdefault(what(file.header), file.name)
        if len(known) > 1:
            return _two(len(known), *sorted(known.values())[:2])
    names: dict[frozenset[str], str] = {}
    for file in heads:
        words = frozenset(re.findall(r"\w+", str(file.header.get("PatientName") or "").upper()))
        other = next((name for known_words, name in names.items() if words and not words & known_words), None)
        if other is not None:
            return _two(2, other, file.name)
        if words:
            names.setdefault(words, file.name)
    return ""


def _stated(tag: str) -> Callable[[Any], str]:
    return lambda header: str(header.get(tag) or "").strip()


def _two(n: int, first: str, second: str) -> str:
    return f"holds images of {n} different patients, for one {first} and {second}; separate them first"


def _grouped(images: Sequence[Plane]) -> tuple[Series, ...]:
    """Series by SeriesInstanceUID; where that is empty, by frame of reference, orientation and size."""
    groups: dict[tuple[str, ...], list[Plane]] = {}
    for image in images:
        head = image.file.header
        uid = str(head.get("SeriesInstanceUID") or "").strip()
        turned = str(np.round(image.axes.ravel(), 3).tolist())
        stated = [str(head.get(tag)) for tag in ("FrameOfReferenceUID", "SeriesNumber")]
        rest = (turned, *stated, str(image.shape), str(np.round(image.spacing, 4).tolist()))
        groups.setdefault((uid, kind(head), *(() if uid else rest)), []).append(image)
    made = []
    for key, slices in groups.items():
        head = slices[0].file.header
        number, title = head.get("SeriesNumber"), scrubbed(head.get("SeriesDescription"), head)
        modality = "CT" if key[1] in CT_CLASSES else "MR"
        made.append(Series(key[0], modality, None if number is None else int(number), title, tuple(slices)))
    return tuple(sorted(made, key=lambda s: (s.number is None, s.number or 0, s.uid, s.planes[0].name)))


def _split(whole: Series) -> tuple[Series, ...]:
    """One series as the images that it holds, each a stack of its own where it can be."""
    slices, caveats = _without_copies(whole.planes)
    parts = [
        (" ".join(filter(None, (turned, told))), group)
        for turned, flat in _by_orientation(slices)
        for told, group in _by_tag(flat, whole)
    ]
    twins = len(slices) - sum(len(group) for _, group in parts)
    if twins:
        caveats = (*caveats, f"{twins} slices lie where another with the same pixels lies; one of each was used")
    made = []
    for n, (told, group) in enumerate(parts, start=1):
        part = replace(whole, planes=tuple(group), part=n if len(parts) > 1 else 0, told=told, caveats=caveats)
        try:
            made.append(replace(part, stack=stacked(group, f"series {part.label or part.uid or 'without a number'}")))
        except KeyholeError as error:
            made.append(replace(part, problem=str(error)))
    return tuple(made)


def _without_copies(slices: Sequence[Plane]) -> tuple[list[Plane], tuple[str, ...]]:
    """`slices` without those whose object UID, place and pixels were there before."""
    seen: dict[tuple[str, int], list[Plane]] = {}
    kept = []
    for one in slices:
        uid = str(one.file.header.get("SOPInstanceUID") or "")
        before = seen.setdefault((uid, one.frame), []) if uid else []
        if not any(_is_copy(one, other) for other in before):
            kept.append(one)
            before.append(one)
    n = len(slices) - len(kept)
    return kept, ((f"{n} slices were there twice, alike in every voxel; one of each was used",) if n else ())


def _is_copy(one: Plane, other: Plane) -> bool:
    """Whether two slices are the same image: place, scaling and stored pixels."""
    if one.shape != other.shape or (one.slope, one.intercept) != (other.slope, other.intercept):
        return False
    near = np.linalg.norm(one.position - other.position) < SAME_PLACE and corner_shift(one, other) <= TURNED
    return bool(near) and one.frame == other.frame and _pixels_digest(one.file) == _pixels_digest(other.file)


def _pixels_digest(file: DicomFile) -> str:
    return hashlib.sha256(file.read()[file.pixels or 0 :]).hexdigest()


def _by_orientation(slices: Sequence[Plane]) -> list[tuple[str, list[Plane]]]:
    """Slices of one direction and size together, in the order in which they come."""
    groups: list[list[Plane]] = []
    for one in slices:
        fitting = (g for g in groups if _alike(g[0], one))
        group = next(fitting, None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    if len(groups) > MOST_PARTS:
        return [("", list(slices))]
    return [(direction(g[0]) if len(groups) > 1 else "", g) for g in groups]


def _alike(one: Plane, other: Plane) -> bool:
    if one.problem or other.problem:
        return True  # a slice without a place spoils the whole: it may belong anywhere
    frames = [str(plane.file.header.get("FrameOfReferenceUID") or "") for plane in (one, other)]
    near = bool(np.abs(one.spacing / other.spacing - 1).max() < 1e-3)
    return one.shape == other.shape and frames[0] == frames[1] and near and corner_shift(one, other) <= TURNED


def direction(plane: Plane) -> str:
    """How a slice lies in the patient; unknown where its place is not stated."""
    return "unknown" if plane.problem else direction_of(normal_of(plane.axes))


Parts = list[tuple[str, list[Plane]]]


def _by_tag(slices: list[Plane], whole: Series) -> Parts:
    """Slices of one direction as stacks: whole, or by what tells images of one place apart, or by slabs."""
    problem = _fault(slices)
    if _is_sound(slices) or len(slices) < 4 or slices[0].problem:
        return [("", slices)]
    doubled = "share a position" in problem
    for parts in itertools.chain(_by_values(slices, 1), _by_values(slices, 2)):
        if all(_is_sound(group) for _, group in parts) and (doubled or _is_natural(parts, slices, whole)):
            return parts
    if doubled:
        kept = _without_twins(slices)
        if len(kept) < len(slices) and "share a position" not in _fault(kept):
            return [("", kept)]
    for parts in _slabs(slices, by_place=not doubled):
        if all(_is_sound(group) for _, group in parts) and _is_natural(parts, slices, whole):
            return parts
    return [("", slices)]


def _fault(slices: Sequence[Plane]) -> str:
    try:
        stacked(slices, "")
    except KeyholeError as error:
        return str(error)
    return ""


def _is_sound(slices: Sequence[Plane]) -> bool:
    try:
        return stacked(slices, "").is_even
    except KeyholeError:
        return False


def _by_values(slices: Sequence[Plane], n: int) -> Iterator[Parts]:
    """Partitions by one tag, or by `n` tags together."""
    varying = [tag for tag in TELLING if len({s.telling.get(tag) for s in slices}) > 1]
    for tags in itertools.combinations(varying, n):
        groups: dict[tuple[str, ...], list[Plane]] = {}
        for one in slices:
            groups.setdefault(tuple(one.telling.get(tag, "") for tag in tags), []).append(one)
        if 1 < len(groups) <= MOST_PARTS and min(map(len, groups.values())) >= 2:
            yield [(_value_name(tags, key), groups[key]) for key in sorted(groups, key=_as_number)]


def _value_name(tags: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{_NAMES[tag]} {value or 'not stated'}" for tag, value in zip(tags, values, strict=True))


def _as_number(key: tuple[str, ...]) -> tuple[tuple[float, str], ...]:
    def one(text: str) -> tuple[float, str]:
        try:
            return float(text), text
        except ValueError:
            return float("inf"), text

    return tuple(one(text) for text in key)


def _slabs(slices: Sequence[Plane], *, by_place: bool) -> Iterator[Parts]:
    """Runs of constant step in the order of acquisition, or in the order of place: one slab for each disc."""
    normal = normal_of(slices[0].axes)
    orders: tuple[Callable[[Plane], tuple[float, str]], ...] = (
        lambda p: (float(p.number), p.name),
        lambda p: (float(p.position @ normal), p.name),
    )
    for order in orders if by_place else orders[:1]:
        runs: list[list[Plane]] = []
        for one in sorted(slices, key=order):
            if runs and _continues(runs[-1], one):
                runs[-1].append(one)
            else:
                runs.append([one])
        if 1 < len(runs) <= MOST_PARTS and min(map(len, runs)) >= 2:
            yield [(f"slab {n}", run) for n, run in enumerate(runs, start=1)]


def _continues(run: Sequence[Plane], one: Plane) -> bool:
    if len(run) < 2:
        return True
    before, now = run[-1].position - run[-2].position, one.position - run[-1].position
    return bool(np.linalg.norm(now - before) <= 0.1 * np.linalg.norm(before))


def _is_natural(parts: Parts, slices: Sequence[Plane], whole: Series) -> bool:
    """Whether a gappy stack is rather several stacks than one with slices missing.

    Slices are missing where the gaps are whole steps on one straight line; a CT is then refused, never split.
    """
    if min(len(group) for _, group in parts) < 3:
        return False
    if whole.modality == "MR":
        return True
    problem = _fault(slices)
    return "are missing" not in problem or len({s.telling.get("AcquisitionNumber") for s in slices}) == len(parts)


def _without_twins(slices: Sequence[Plane]) -> list[Plane]:
    """`slices` without those that lie where another lies and hold the same pixels."""
    kept: list[Plane] = []
    places: dict[tuple[float, ...], list[Plane]] = {}
    for one in slices:
        spot = tuple(np.round(one.position, 2).tolist())
        before = places.setdefault(spot, [])
        if not any(_is_copy(one, other) for other in before):
            kept.append(one)
            before.append(one)
    return kept
