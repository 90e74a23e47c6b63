"""Make a case from images and labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from keyhole.anatomy import coverage, gate
from keyhole.anatomy.gate import UNCONFIRMED, confirm
from keyhole.anatomy.model import Structure
from keyhole.anatomy.placement import check_lumbar, on_keyhole_grid, own_image
from keyhole.anatomy.row import row_of
from keyhole.anatomy.schemes import NamedLabels, read_labels
from keyhole.casefile import (
    Case,
    CaseRecord,
    EvidenceEntry,
    ImageEntry,
    LabelsRecord,
    Patient,
    QualityItem,
    StructureEntry,
    provenance,
    read_record,
    sha256,
    to_json,
    write_bytes,
)
from keyhole.casefile.folder import RESULTS, carry, put_aside, remove_stale, replaced_folder
from keyhole.errors import InvalidInput, WrongCase
from keyhole.geometry import LabelMap, Volume
from keyhole.imaging import WEIGHTINGS, ImageRecord, ScanImage, quality, read_image, read_nifti, write_nifti

__all__ = ["RESULTS", "adopt", "confirm", "import_case"]

Progress = Callable[[str, float], None]

NO_LABELS = "no labels yet; the levels have no names"


@dataclass(frozen=True, slots=True, eq=False)
class _Anatomy:
    """What a label file became."""

    labels: LabelMap
    structures: Mapping[str, Structure]
    named: NamedLabels
    caveats: tuple[str, ...]
    made_from: Mapping[str, str]
    quality: tuple[QualityItem, ...]
    evidence: tuple[EvidenceEntry, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)


def import_case(
    path: Path,
    images: Sequence[Path],
    *,
    labels: Path | Sequence[Path] | None = None,
    scheme: str | Sequence[str] | None = None,
    series: str | None = None,
    weighting: str | None = None,
    patient: Patient | None = None,
    complaint: str | None = None,
    keep_identity: bool = False,
    progress: Progress | None = None,
) -> Case:
    """Make the case folder `path` from images and, where given, label files; an existing case is added to.

    Everything is read, checked and completed before anything is written, and the folder appears in one step: bad
    input, a full disk or a kill leaves `path` as it was. In an existing case new images join the old ones, new
    labels replace the old ones, and results made from other labels move to earlier/; nothing is deleted.

    Parameters
    ----------
    images : NIfTI files, DICOM folders or zips.
    labels : label maps, folders of masks, DICOM SEG or RTSTRUCT; where several disagree the first one wins.
    scheme : how each label file's integers are named, in the same order, where the files do not say so themselves.
    series : which DICOM series of a folder or zip: its number, its place in the list, or the start of its UID.
    weighting : "T1" or "T2" of every MR among `images`; else their headers or names say it, where they do.
    patient : what the user says; age and sex that he does not say come from a DICOM header, where it has them.
    keep_identity : keep UIDs, name, numbers and dates of a DICOM header in images/NAME.json.
    """
    tell = progress or (lambda _sentence, _share: None)
    path = path.resolve()
    remove_stale(path)
    before = _existing(path)
    files = [] if labels is None else [labels] if isinstance(labels, Path) else list(labels)
    if not images and not files:
        raise InvalidInput(f"{path}: an import needs an image or a label file, got neither")
    tell("Reading images", 0.0)
    found = _one_patient([read_image(p, series, keep_identity=keep_identity) for p in images])
    read = [_judged(_weighted(image, weighting)) for image in found]
    anatomy, inputs = None, {image.source_file: image.sha256 for image in read}
    if files:
        at_hand = [*read, *(_stored_images(path, before, read) if before else [])]
        tell("Reading labels", 0.1)
        named = read_labels(files, scheme, at_hand)
        anatomy = _anatomy(named, files[0], at_hand, digests(files), tell)
        inputs |= anatomy.made_from
    parameters = {"scheme": scheme if scheme is None or isinstance(scheme, str) else list(scheme)}
    parameters["series"] = series if series is None or len(series) <= 8 else "chosen by UID"  # UIDs stay outside
    tell("Writing the case", 0.85)
    with replaced_folder(path) as folder:
        record = _fill(folder, path, before, read, anatomy)
        record = record.model_copy(update=_told(record, _with_stated(patient, record.patient, read), complaint))
        made_from = {**(before.provenance.inputs if before else {}), **inputs}
        record = record.model_copy(update={"provenance": provenance(made_from, **parameters)})
        write_bytes(folder / "case.json", to_json(record))
    tell("Case written", 1.0)
    return Case(path)


def adopt(
    case: Case,
    named: NamedLabels,
    made_from: Mapping[str, str],
    progress: Progress | None = None,
    *,
    parameters: Mapping[str, str] | None = None,
    volumes: Mapping[str, Volume] | None = None,
) -> Case:
    """Give an existing case the labels `named`, exactly as importing them from a file would.

    Parameters
    ----------
    made_from : name -> SHA-256 of what the labels were made from.
    parameters : what else labels.json has to say of how they were made.
    volumes : images of the case, by name, that were read already.
    """
    tell = progress or (lambda _sentence, _share: None)
    path = case.path.resolve()
    remove_stale(path)
    before = case.read(CaseRecord)
    anatomy = _anatomy(named, path, _stored_images(path, before, [], volumes), made_from, tell)
    anatomy = replace(anatomy, parameters=dict(parameters or {}))
    tell("Writing the case", 0.85)
    with replaced_folder(path) as folder:
        record = _fill(folder, path, before, [], anatomy)
        inputs = {**before.provenance.inputs, **made_from}
        told = {**before.provenance.parameters, "scheme": named.scheme}
        record = record.model_copy(update={"provenance": provenance(inputs, **told)})
        write_bytes(folder / "case.json", to_json(record))
    tell("Case written", 1.0)
    return Case(path)


def digests(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each of `files` by its name; of a folder, those of the files in it."""
    found: dict[str, str] = {}
    for file in files:
        inside = sorted(p for p in file.iterdir() if p.is_file()) if file.is_dir() else [file]
        found |= {(f"{file.name}/{p.name}" if file.is_dir() else p.name): sha256(p) for p in inside}
    return found


def _fill(
    folder: Path, path: Path, before: CaseRecord | None, read: Sequence[ScanImage], anatomy: _Anatomy | None
) -> CaseRecord:
    """Fill the new `folder` that is to stand at `path`, but for case.json, which is returned."""
    if before:
        carry(path, folder)
    entries = _write_images(folder, read, before)
    if anatomy:
        _write_labels(folder, anatomy)
    record = _record(path, folder, entries, before, anatomy)
    _put_aside(path if before else None, folder)
    return record


def _existing(path: Path) -> CaseRecord | None:
    """The record of the case at `path`; None where there is nothing yet; refused where there is something else."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    if not path.is_dir():
        raise WrongCase(f"{path} is a file; a case is a folder")
    if not (path / "case.json").is_file():
        kind = "a phantom" if (path / "truth.json").is_file() else "not a case"
        raise WrongCase(f"{path} is {kind}: it holds files but no case.json; name a new folder for the case")
    return read_record(path / "case.json", CaseRecord)


def _one_patient(images: list[ScanImage]) -> list[ScanImage]:
    known = {image.patient: image.source_file for image in images if image.patient}
    if len(known) > 1:
        raise InvalidInput(f"{' and '.join(sorted(known.values())[:2])} are images of different patients")
    return images


def _weighted(image: ScanImage, weighting: str | None) -> ScanImage:
    """`image`, if it is an MR, with the weighting that the user gives."""
    if weighting is None or image.modality != "MR":
        return image
    if weighting not in WEIGHTINGS:
        raise InvalidInput(f"a weighting is one of {', '.join(WEIGHTINGS)}, got {weighting}")
    kept = tuple(caveat for caveat in image.caveats if not caveat.startswith("taken as "))
    return replace(image, weighting=weighting, caveats=kept)


def _judged(image: ScanImage) -> ScanImage:
    """`image` with its quality, and what follows from it as caveats."""
    items = quality.quality(image.volume, image.modality)
    return replace(image, quality=items, caveats=_once([*image.caveats, *quality.caveats(items)]))


def _stored_images(
    path: Path, before: CaseRecord, read: Sequence[ScanImage], volumes: Mapping[str, Volume] | None = None
) -> list[ScanImage]:
    """The images that the case already has and that were not read again; `volumes` are in memory, by name."""
    made = []
    for entry in before.images:
        at_hand = (volumes or {}).get(entry.name)
        volume = read_nifti(path / entry.file).volume if at_hand is None else at_hand
        known = read_record(path / "images" / f"{entry.name}.json", ImageRecord)
        if not any(_is_same(volume, image.volume) for image in read):
            image = ScanImage(volume, entry.modality, entry.name, entry.source_file, known.identifiers)
            made.append(replace(image, quality=known.quality))
    return made


def _is_same(one: Volume, other: Volume) -> bool:
    if not one.grid.is_same(other.grid):
        return False
    return bool(np.array_equal(one.array, other.array, equal_nan=np.issubdtype(one.array.dtype, np.floating)))


def _anatomy(
    named: NamedLabels, where: Path, images: Sequence[ScanImage], made_from: Mapping[str, str], tell: Progress
) -> _Anatomy:
    check_lumbar(named.labels, where)
    image, seen = own_image(named.labels, images, where)
    tell("Bringing the labels to Keyhole's grid", 0.15)
    labels, moved = on_keyhole_grid(named.labels, where)
    kept = {key: named.structures[key] for key in labels.keys}
    tell("Building the anatomy", 0.3)
    volume = image.volume if image else None
    modality = image.modality if image and quality.are_hounsfield(image.quality) else ""
    full, structures, doubts = _completed(labels, kept, volume, modality, tell)
    tell("Looking at what the labels tell", 0.82)
    row = row_of(full)
    items = coverage.label_quality(full, volume, is_hu=modality == "CT", row=row)
    told = (*named.caveats, *seen, *moved, *doubts, *coverage.caveats(items))
    evidence = gate.with_evidence(named.basis, named.evidence, full, volume if modality == "CT" else None, row)
    return _Anatomy(full, structures, named, told, made_from, items, evidence)


def _completed(
    labels: LabelMap, structures: Mapping[str, Structure], image: Volume | None, modality: str, tell: Progress
) -> tuple[LabelMap, dict[str, Structure], tuple[str, ...]]:
    from keyhole.anatomy.derive import complete  # noqa: PLC0415  (heavy import)

    def within(sentence: str, share: float) -> None:
        tell(sentence, 0.3 + 0.5 * share)

    return complete(labels, structures, image, modality, progress=within)


def _write_images(folder: Path, images: Sequence[ScanImage], before: CaseRecord | None) -> tuple[ImageEntry, ...]:
    """Each image as images/NAME.nii.gz with NAME.json; one that is there already is not written twice."""
    entries = list(before.images) if before else []
    for image in images:
        name = _free_name(image.name, [entry.name for entry in entries])
        file = folder / "images" / f"{name}.nii.gz"
        write_nifti(image.volume, file)
        digest = sha256(file)
        same = next((n for n, e in enumerate(entries) if (e.sha256, e.modality) == (digest, image.modality)), None)
        if same is not None:
            file.unlink()
            told = {"weighting": image.weighting} if image.weighting else {}
            entries[same] = entries[same].model_copy(update=told)
            continue
        grid = image.volume.grid
        spacing = [round(float(s), 6) for s in grid.spacing]
        record = ImageRecord.model_validate(
            {
                "name": name,
                "modality": image.modality,
                "shape": grid.shape,
                "spacing_mm": spacing,
                "identifiers": dict(image.identifiers),
                "dropped": image.dropped,
                "identity": dict(image.identity),
                "acquired": image.acquired,
                "quality": image.quality,
                "caveats": image.caveats,
            }
        )
        write_bytes(file.with_name(f"{name}.json"), to_json(record))
        entries.append(
            ImageEntry.model_validate(
                {
                    "name": name,
                    "file": f"images/{name}.nii.gz",
                    "modality": image.modality,
                    "weighting": image.weighting or None,
                    "source_file": image.source_file,
                    "sha256": digest,
                }
            )
        )
    return tuple(entries)


def _free_name(name: str, taken: Sequence[str]) -> str:
    """`name` in letters, digits, dash and underscore, with a number where it is taken."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "image"
    used = {t.lower() for t in taken}
    return next(c for c in (plain, *(f"{plain}-{n}" for n in range(2, len(taken) + 3))) if c.lower() not in used)


def _write_labels(folder: Path, anatomy: _Anatomy) -> None:
    for name in ("labels.nii.gz", "labels.json"):
        (folder / name).unlink(missing_ok=True)
    write_nifti(anatomy.labels, folder / "labels.nii.gz")
    entries = {}
    for label, key in sorted(anatomy.labels.structures.items()):
        one = anatomy.structures[key]
        entries[label] = StructureEntry.model_validate(
            {
                "key": key,
                "origin": one.origin.value,
                "source": one.source,
                "sd": one.sd,
                "confidence": one.confidence,
                "caveats": one.caveats,
            }
        )
    record = LabelsRecord(
        schema="keyhole.labels/1",
        structures=entries,
        drawn_mm=anatomy.labels.drawn,
        vertebrae=dict(anatomy.named.vertebrae),
        evidence=anatomy.evidence,
        quality=anatomy.quality,
        caveats=_once(anatomy.caveats),
        provenance=provenance(
            dict(anatomy.made_from),
            scheme=anatomy.named.scheme,
            labels_sha256=sha256(folder / "labels.nii.gz"),
            **anatomy.parameters,
        ),
    )
    write_bytes(folder / "labels.json", to_json(record))


def _once(caveats: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(caveats))


def _record(
    path: Path, folder: Path, entries: tuple[ImageEntry, ...], before: CaseRecord | None, anatomy: _Anatomy | None
) -> CaseRecord:
    """case.json without what the user told."""
    old = () if before is None else tuple(entry.name for entry in before.images)
    images = [read_record(folder / "images" / f"{entry.name}.json", ImageRecord) for entry in entries]
    seen = [caveat for image in images for caveat in image.caveats]
    if anatomy is None and before is not None and (path / "labels.nii.gz").is_file():
        later = [entry.name for entry in entries if entry.name not in old]
        late = [f"the image {name} was added after the anatomy was built" for name in later]
        return before.model_copy(update={"images": entries, "caveats": _once([*before.caveats, *seen, *late])})
    levels, lost = _levels(path, folder, before, anatomy)
    made = CaseRecord(
        schema="keyhole.case/1",
        id=before.id if before else path.name,
        patient=before.patient if before else Patient(),
        complaint=before.complaint if before else None,
        images=entries,
        numbering=NO_LABELS,
        caveats=_once([*seen, *(anatomy.caveats if anatomy else ()), *lost]),
        provenance=provenance({}),
    )
    return made.model_copy(update=levels)


def _levels(
    path: Path, folder: Path, before: CaseRecord | None, anatomy: _Anatomy | None
) -> tuple[dict[str, object], tuple[str, ...]]:
    """What case.json says of the levels' names, as an update, and what was lost of it."""
    if anatomy is None:
        return ({} if before is None else {"numbering": before.numbering}), ()
    basis = anatomy.named.basis
    if before is None:
        return {"numbering": f"{basis}; {UNCONFIRMED}"}, ()
    old = read_record(path / "labels.json", LabelsRecord) if (path / "labels.json").is_file() else None
    return gate.after_import(before, old, read_record(folder / "labels.json", LabelsRecord), basis)


def _told(record: CaseRecord, patient: Patient | None, complaint: str | None) -> dict[str, object]:
    """What the user said now, over what was said before."""
    said = patient.model_dump(exclude_none=True) if patient else {}
    known = record.patient.model_dump() | said
    return {"patient": Patient.model_validate(known), "complaint": complaint or record.complaint}


def _with_stated(said: Patient | None, before: Patient, images: Sequence[ScanImage]) -> Patient:
    """What the user says, with the age and sex of the images' headers where neither he nor the case has them."""
    known = said or Patient()
    stated = {
        name: next((value for image in images if (value := getattr(image, name)) is not None), None)
        for name in ("age", "sex")
    }
    new = {
        n: v for n, v in stated.items() if v is not None and getattr(known, n) is None and getattr(before, n) is None
    }
    return Patient.model_validate(known.model_dump() | new)


def _labels_changed(path: Path, folder: Path) -> bool:
    names = ("labels.nii.gz", "labels.json")
    return any(_digest(path / name) != _digest(folder / name) for name in names)


def _digest(file: Path) -> str:
    return sha256(file) if file.is_file() else ""


def _put_aside(path: Path | None, folder: Path) -> None:
    """Move results that were made from other labels to earlier/, under the first digits of those labels' SHA-256."""
    if path is None or not _labels_changed(path, folder):
        return
    put_aside(folder, _digest(path / "labels.nii.gz")[:8] or "without-labels")
