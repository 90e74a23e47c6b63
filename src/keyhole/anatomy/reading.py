"""A case folder as an anatomy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from keyhole.anatomy import gate
from keyhole.anatomy.boxes import held_in
from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.casefile import Case, CaseRecord, ImageEntry, LabelsRecord, sha256
from keyhole.errors import InvalidInput, UnreadableFile, WrongCase
from keyhole.geometry import LabelMap, Volume
from keyhole.imaging.nifti import read_nifti, whole_numbers
from keyhole.terms import Origin, rank

LABELS = "labels.nii.gz"

FILES = ("case.json", "labels.json", LABELS)
"""What an anatomy is read from, beside the image that case.json names."""

DIGEST = "labels_sha256"
"""Parameter of labels.json's provenance that holds the digest of labels.nii.gz, where import wrote it."""

REMNANT = "{name}: only a remnant of it is in view, so it was left out"


def load(case: Case, *, with_image: bool = True, held: Anatomy | None = None) -> Anatomy:
    """The anatomy in `case`: labels, structures, vertebrae, the canal's line and one image (CT before MR, for bone).

    A file that is missing, damaged, or not the one that import wrote is refused with one sentence.

    Parameters
    ----------
    with_image : False leaves the image out, where only labels are needed.
    held : the anatomy that an earlier stage read; it is used again unless the case's files are others now.
    """
    files = case.digest(*FILES)
    record = case.read(CaseRecord)
    if held is not None and held.files == files:
        entry = _best(record) if with_image and held.image is None else None
        return held if entry is None else replace(held, image=_image(case, entry))
    known = case.read(LabelsRecord)
    labels = labels_of(case, known)
    structures = {
        one.key: Structure(one.key, Origin(one.origin), one.source, one.sd, one.caveats, one.confidence)
        for one in known.structures.values()
    }
    found = vertebrae(labels, structures=structures)
    entry = _best(record)
    return Anatomy(
        labels=labels,
        structures=structures,
        vertebrae=found,
        canal_line=canal_line(labels, found),
        image=_image(case, entry) if entry is not None and with_image else None,
        modality=entry.modality if entry is not None else "",
        numbering=record.numbering,
        levels_confirmed=gate.is_confirmed(record, known),
        caveats=tuple(
            dict.fromkeys((*_levels(record, known), *record.caveats, *known.caveats, *_left_out(labels, list(found))))
        ),
        level_state=gate.state(record, known),
        files=files,
    )


def _levels(record: CaseRecord, known: LabelsRecord) -> tuple[str, ...]:
    """Caveats of the levels' names; where nobody confirmed them each stage says so itself."""
    now = gate.state(record, known)
    told = [text for text in gate.caveats(now) if not text.startswith(gate.NOT_CONFIRMED)]
    if record.confirmation is not None and now.confirmation is None:
        told.insert(0, f"the confirmation by {record.confirmation.by} was made on other labels: it does not count")
    return tuple(told)


def labels_of(case: Case, known: LabelsRecord) -> LabelMap:
    """labels.nii.gz with the names of labels.json."""
    path = case.path / LABELS
    if not path.is_file():
        raise WrongCase(f"{case.path} has no {LABELS} yet; run `keyhole import` first")
    expected = known.provenance.parameters.get(DIGEST)
    if expected is not None and sha256(path) != expected:
        raise InvalidInput(
            f"{path} is not the file that labels.json describes: its SHA-256 differs; import the case again"
        )
    volume = read_nifti(path).volume
    array = whole_numbers(volume.array, path)
    strange = sorted(set(np.flatnonzero(held_in(array)).tolist()) - {0, *known.structures})
    if strange:
        raise InvalidInput(f"{path} holds the label {strange[0]}, which labels.json does not name")
    return LabelMap(
        array, volume.patient_from_index, {n: one.key for n, one in known.structures.items()}, known.drawn_mm
    )


def image_of(case: Case, record: CaseRecord, volumes: Mapping[str, Volume] | None = None) -> tuple[Volume | None, str]:
    """The image to look at bone with and its modality; None and "" where the case has none.

    `volumes` are images of the case, by name, that are in memory already.
    """
    entry = _best(record)
    if entry is None:
        return None, ""
    at_hand = (volumes or {}).get(entry.name)
    return _image(case, entry) if at_hand is None else at_hand, entry.modality


def images_of(case: Case, record: CaseRecord) -> dict[str, Callable[[], Volume]]:
    """How to read the first image of each kind: "CT", "T2", "T1", and "MR" whatever its weighting."""
    found: dict[str, Callable[[], Volume]] = {}
    for entry in record.images:
        for kind in dict.fromkeys(filter(None, (entry.modality, entry.weighting))):
            found.setdefault(kind, partial(_image, case, entry))
    return found


def _best(record: CaseRecord) -> ImageEntry | None:
    """The image to look at bone with: the first CT, else the first image."""
    return next((one for one in record.images if one.modality == "CT"), next(iter(record.images), None))


def _image(case: Case, entry: ImageEntry) -> Volume:
    path = case.path / entry.file
    if not path.is_file():
        raise UnreadableFile(f"{path} could not be read: case.json names it, but there is no such file")
    if sha256(path) != entry.sha256:
        raise InvalidInput(
            f"{path} is not the file that case.json describes: its SHA-256 differs; import the case again"
        )
    return read_nifti(path).volume


def _left_out(labels: LabelMap, found: list[str]) -> tuple[str, ...]:
    """A caveat for each labelled vertebra without a frame."""
    named = {key.split("/")[1] for key in labels.structures.values() if key.startswith("vertebra/")}
    return tuple(REMNANT.format(name=name) for name in sorted(named - set(found), key=rank))
