"""The level gate: a person confirms the names of the vertebrae, or counts them anew; every result says which.

import or segment -> names with their evidence      confirm -> who, when, on which labels
rename -> every key, level and sentence carries the new names; results made under the old ones go to earlier/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from keyhole.anatomy.level_evidence import against, evidence, merged
from keyhole.anatomy.ribs import rib_bearers, rib_in_image
from keyhole.anatomy.row import Row, row_of
from keyhole.casefile import (
    Case,
    CaseRecord,
    EvidenceEntry,
    LabelsRecord,
    LevelAct,
    LevelConfirmation,
    LevelState,
    StructureEntry,
    read_record,
    sha256,
    to_json,
    write_bytes,
)
from keyhole.casefile.folder import carry, put_aside, remove_stale, replaced_folder
from keyhole.errors import InvalidInput, NotInScan, WrongCase
from keyhole.geometry import LabelMap, Volume
from keyhole.imaging.nifti import read_nifti, write_nifti
from keyhole.terms import counted_anew, rank, renamed_key, renamed_text

LABELS = "labels.nii.gz"
DIGEST = "labels_sha256"
"""Parameter of labels.json's provenance that holds the digest of labels.nii.gz."""

UNCONFIRMED = "not confirmed by a person"
NOT_CONFIRMED = "levels not confirmed"
AGAINST = "against the names of the levels: "
"""How the caveats begin that say so."""

_BEFORE = "by the names before the renaming: "
_CONFIRMED = " confirmed as the lowest lumbar vertebra by "
_RENAMED = "levels renamed by "


def labels_digest(known: LabelsRecord) -> str:
    """Digest of what a confirmation is made on: the voxels of labels.nii.gz and the name of every integer."""
    names = {str(n): entry.key for n, entry in sorted(known.structures.items())}
    whole = [known.provenance.parameters.get(DIGEST), names]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def is_confirmed(record: CaseRecord, known: LabelsRecord) -> bool:
    """Whether a person has confirmed the names on these very labels."""
    return record.confirmation is not None and record.confirmation.labels == labels_digest(known)


def state(record: CaseRecord, known: LabelsRecord) -> LevelState:
    """What every result says of the levels' names: how they were numbered, who confirmed them, what speaks against."""
    said = record.confirmation if is_confirmed(record, known) else None
    return LevelState(numbering=record.numbering, confirmation=said, against=against(known.evidence))


def numbered_by(now: LevelState) -> str:
    """How the levels were numbered, without the word on their confirmation."""
    return "; ".join(_basis(now.numbering))


def caveats(now: LevelState) -> tuple[str, ...]:
    """The sentences of `now` that every result carries as caveats."""
    first = () if now.confirmation else (f"{NOT_CONFIRMED}: they are numbered by {now.numbering}",)
    return (*first, *(AGAINST + text for text in now.against))


def with_evidence(
    basis: str,
    own: tuple[EvidenceEntry, ...],
    labels: LabelMap,
    image: Volume | None = None,
    row: Row | None = None,
) -> tuple[EvidenceEntry, ...]:
    """Everything that speaks for or against the names: their `basis`, the method's `own` entries, the labels'.

    Parameters
    ----------
    image : a CT in HU of the labels; None where there is none: then nothing is looked for in it.
    row : the vertebrae of `labels` in their row, where they are known already.
    """
    told = any(entry.kind == "file" for entry in own)
    first = () if told else (EvidenceEntry(kind="file", finding=f"numbered by {basis}", supports=True),)
    row = row or row_of(labels)
    rib = rib_in_image(labels, image, row) if image is not None else None
    return merged((*first, *own), evidence(labels, rib, row))


def lowest_lumbar(known: LabelsRecord) -> str:
    """The lowest lumbar vertebra by the names of the labels."""
    present = {key.split("/")[1] for key in _keys(known) if key.startswith("vertebra/L")}
    if not present:
        raise NotInScan("the labels show no lumbar vertebra; there is nothing to confirm")
    return max(present, key=rank)


def confirm(case: Case, lowest: str, by: str, *, note: str | None = None, at: datetime | None = None) -> CaseRecord:
    """Record that the person `by` has checked the levels' names: `lowest` is the lowest lumbar vertebra in view.

    Refused where the labels name another vertebra as the lowest, and where labels.nii.gz is no longer the file that
    labels.json describes: then the names are wrong, not the word of the person.

    Parameters
    ----------
    at : when; None is now.
    """
    rank(lowest)
    person = _person(by, "a confirmation", "checked")
    record, known = case.read(CaseRecord), case.read(LabelsRecord)
    found = lowest_lumbar(known)
    if found != lowest:
        raise InvalidInput(
            f"{case.path}: the labels name {found} as the lowest lumbar vertebra in view, not {lowest}; if {lowest} is "
            f"right, rename them: keyhole levels {case.path.name} --lowest-lumbar {lowest} --by NAME"
        )
    check_unchanged(case, known)
    when, digest = _time(at), labels_digest(known)
    said = LevelConfirmation(lowest_lumbar=lowest, by=person, at=when, note=note, labels=digest)
    sentence = f"{lowest}{_CONFIRMED}{person}"
    act = LevelAct(act="confirmed", by=person, at=when, finding=_with_note(sentence, note), labels=digest)
    numbering = "; ".join([*_basis(record.numbering), sentence])
    record = record.model_copy(
        update={"confirmation": said, "numbering": numbering, "level_history": (*record.level_history, act)}
    )
    case.write(record)
    return record


def check_unchanged(case: Case, known: LabelsRecord) -> None:
    """Refuse a labels.nii.gz that is not the one labels.json describes."""
    path = case.path / LABELS
    if not path.is_file():
        raise WrongCase(f"{case.path} has no {LABELS} yet; run `keyhole import` first")
    if known.provenance.parameters.get(DIGEST) != sha256(path):
        raise InvalidInput(
            f"{path} has changed since labels.json was written: its SHA-256 differs; import the case again before "
            "its levels are confirmed or renamed"
        )


def after_import(
    before: CaseRecord, old: LabelsRecord | None, new: LabelsRecord, basis: str
) -> tuple[dict[str, object], tuple[str, ...]]:
    """What case.json says of the levels after labels were imported over `old`, as an update, and caveats.

    The confirmation stays on the same voxels with the same names; else it is dropped, and that is said.
    """
    same = old is not None and labels_digest(old) == labels_digest(new)
    if same:
        kept = {"numbering": before.numbering, "confirmation": before.confirmation}
        return {**kept, "level_history": before.level_history}, ()
    lost = []
    if before.confirmation is not None:
        lost.append(f"the levels were confirmed by {before.confirmation.by} on other labels; confirm them again")
    renamed = next((act for act in reversed(before.level_history) if act.act == "renamed"), None)
    if renamed is not None and _RENAMED in before.numbering:
        lost.append(f"the renaming of the levels by {renamed.by} is undone: the labels were imported again")
    acts = [LevelAct(act="dropped", finding=text, labels=labels_digest(new)) for text in lost]
    fresh = {"numbering": f"{basis}; {UNCONFIRMED}", "confirmation": None}
    return {**fresh, "level_history": (*before.level_history, *acts)}, tuple(lost)


def rename(
    case: Case,
    lowest: str,
    by: str,
    *,
    last_thoracic: str = "T12",
    note: str | None = None,
    at: datetime | None = None,
) -> CaseRecord:
    """Count the levels anew so that the lowest lumbar vertebra in view is called `lowest`.

    No voxel changes and the anatomy is not built again: every key of labels.json and of the names inside
    labels.nii.gz is renamed, results made under the old names move to earlier/, the confirmation is dropped, and
    case.json keeps who renamed what. The folder changes in one step.

    Parameters
    ----------
    last_thoracic : name of the vertebra above L1; T13 or T11 where the patient has thirteen or eleven.
    at : when; None is now.
    """
    rank(lowest)
    person = _person(by, "a renaming", "counted the levels anew")
    remove_stale(case.path)
    record, known = case.read(CaseRecord), case.read(LabelsRecord)
    now = lowest_lumbar(known)
    check_unchanged(case, known)
    names = counted_anew(_vertebrae(known), lowest, last_thoracic)
    if all(names[name] == name for name in _vertebrae(known)):
        raise InvalidInput(f"{case.path}: {lowest} is already the lowest lumbar vertebra by these names")
    stored = read_nifti(case.path / LABELS).volume  # as it is stored: renaming back gives the same bytes
    labels = LabelMap(stored.array, stored.patient_from_index, {n: e.key for n, e in known.structures.items()})
    keys = _new_keys(labels, names)
    when = _time(at)
    also = f", the vertebra above L1 is {last_thoracic}" if last_thoracic != "T12" else ""
    sentence = _with_note(f"{_RENAMED}{person}: the lowest lumbar vertebra {now} is now {lowest}{also}", note)
    with replaced_folder(case.path) as folder:
        carry(case.path, folder)
        put_aside(folder, sha256(case.path / LABELS)[:8])
        renamed = LabelMap(labels.array, labels.patient_from_index, {n: keys[k] for n, k in labels.structures.items()})
        fresh = _rewritten(folder, renamed, known, (keys, names), sentence)
        act = LevelAct(act="renamed", by=person, at=when, finding=sentence, labels=labels_digest(fresh))
        told = [renamed_text(c, _present(known, names)) for c in record.caveats if not c.startswith(_RENAMED)]
        update = {
            "numbering": "; ".join([record.numbering.split("; ")[0], sentence.replace("; ", ", "), UNCONFIRMED]),
            "confirmation": None,
            "level_history": (*record.level_history, act),
            "caveats": (*told, sentence),
        }
        record = record.model_copy(update=update)
        write_bytes(folder / "case.json", to_json(record))
    return record


def _rewritten(
    folder: Path,
    new: LabelMap,
    known: LabelsRecord,
    names: tuple[Mapping[str, str], Mapping[str, str]],
    sentence: str,
) -> LabelsRecord:
    """Write labels.nii.gz and labels.json under the new names; `names` are those of keys and of vertebrae."""
    keys, vertebrae = names[0], _present(known, names[1])
    path = folder / LABELS
    path.unlink()
    write_nifti(new, path)
    entries = {n: _renamed_entry(entry, keys, vertebrae) for n, entry in known.structures.items()}
    own = [entry for entry in known.evidence if entry.method == "given"]
    rib = next((names[1].get(entry.vertebra) for entry in known.evidence if entry.method == "image"), None)
    user = EvidenceEntry(kind="user", finding=sentence, supports=True)
    parameters = {**known.provenance.parameters, DIGEST: sha256(path), "renamed": sentence}
    record = known.model_copy(
        update={
            "structures": entries,
            "vertebrae": {
                names[1].get(name, name): one.model_copy(
                    update={"warnings": tuple(renamed_text(w, vertebrae) for w in one.warnings)}
                )
                for name, one in known.vertebrae.items()
            },
            "evidence": merged((user, *(_earlier(e) for e in own)), evidence(new, rib)),
            "quality": tuple(
                q.model_copy(
                    update={
                        "value": renamed_text(q.value, vertebrae) if isinstance(q.value, str) else q.value,
                        "consequence": renamed_text(q.consequence, vertebrae),
                    }
                )
                for q in known.quality
            ),
            "caveats": tuple(renamed_text(c, vertebrae) for c in known.caveats),
            "provenance": known.provenance.model_copy(update={"parameters": parameters}),
        }
    )
    (folder / "labels.json").unlink()
    write_bytes(folder / "labels.json", to_json(record))
    return read_record(folder / "labels.json", LabelsRecord)


def _earlier(entry: EvidenceEntry) -> EvidenceEntry:
    """An entry of the method that named the levels, once a person has named them otherwise."""
    if entry.kind in ("user", "file") or entry.finding.startswith(_BEFORE):
        return entry.model_copy(update={"supports": None})
    return entry.model_copy(update={"finding": _BEFORE + entry.finding, "supports": False if entry.supports else None})


def _renamed_entry(entry: StructureEntry, keys: Mapping[str, str], vertebrae: Mapping[str, str]) -> StructureEntry:
    """`entry` under its new name; where it was read from stays as it was: the file's names are the file's."""
    source = entry.source if entry.origin == "labelled" else renamed_text(entry.source, vertebrae)
    told = tuple(renamed_text(caveat, vertebrae) for caveat in entry.caveats)
    return entry.model_copy(update={"key": keys[entry.key], "source": source, "caveats": told})


def _new_keys(labels: LabelMap, names: Mapping[str, str]) -> dict[str, str]:
    """New key of every key; a rib takes the number of the vertebra that it joins, where that is one to one."""
    plain = {key: renamed_key(key, names) for key in labels.keys}
    joined = {key: names[bone] for key, bone in rib_bearers(labels).items() if bone in names}
    by_joint = plain | {
        key: f"rib/{bone[1:] if bone[0] == 'T' else bone}/{key.split('/', 2)[2]}"
        for key, bone in joined.items()
        if key.count("/") == 2
    }
    return by_joint if len(set(by_joint.values())) == len(by_joint) else plain


def _keys(known: LabelsRecord) -> list[str]:
    return [entry.key for entry in known.structures.values()]


def _vertebrae(known: LabelsRecord) -> list[str]:
    return sorted({key.split("/")[1] for key in _keys(known) if key.startswith("vertebra/")} - {"S1"}, key=rank)


def _present(known: LabelsRecord, names: Mapping[str, str]) -> dict[str, str]:
    """`names` of the vertebrae that the labels know, and of their neighbours: a sentence means no others."""
    own = {part for key in _keys(known) for word in key.split("/") for part in word.split("-")}
    return {old: new for old, new in names.items() if old in own}


def _person(by: str, what: str, did: str) -> str:
    if not by.strip():
        raise InvalidInput(f"{what} needs the name of the person who {did}, got an empty one")
    return " ".join(by.split())


def _time(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_note(sentence: str, note: str | None) -> str:
    return f"{sentence} ({note})" if note else sentence


def _basis(numbering: str) -> list[str]:
    """The parts of a numbering sentence without what was said of its confirmation."""
    return [part for part in numbering.split("; ") if part != UNCONFIRMED and _CONFIRMED not in part]
