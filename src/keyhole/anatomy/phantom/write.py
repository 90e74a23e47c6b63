"""A phantom as files: images, label maps and the truth about it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom, phantom
from keyhole.anatomy.phantom.parameters import PhantomParameters
from keyhole.anatomy.phantom.truth import findings
from keyhole.anatomy.schemes import totalsegmentator
from keyhole.casefile import FindingsRecord, LabelsRecord, Provenance, StructureEntry, provenance, sha256, to_json
from keyhole.errors import InvalidInput, StorageFailure
from keyhole.geometry import Grid, LabelMap, Transform, Volume
from keyhole.imaging import write_dicom_series, write_nifti

Progress = Callable[[str, float], None]

SOURCE = "phantom: true label"

# What the tool's label covers, where its name for it is wider or other than Keyhole's.
_TOTAL = {
    "autochthon_left": ("muscle/paraspinal/left",),
    "autochthon_right": ("muscle/paraspinal/right",),
    "iliopsoas_left": ("muscle/psoas/left", "muscle/iliacus/left"),
    "iliopsoas_right": ("muscle/psoas/right", "muscle/iliacus/right"),
    "gluteus_maximus_left": ("muscle/gluteus/maximus/left",),
    "gluteus_maximus_right": ("muscle/gluteus/maximus/right",),
    "gluteus_medius_left": ("muscle/gluteus/medius/left",),
    "gluteus_medius_right": ("muscle/gluteus/medius/right",),
    "rib_left_12": ("rib/12/left",),
    "rib_right_12": ("rib/12/right",),
}


def write_phantom(
    folder: Path,
    *,
    seed: int = 0,
    pathology: str | tuple[str, ...] = "herniation",
    level: str = "L4/L5",
    side: str = "left",
    severity: float = 0.6,
    spacing: float | tuple[float, float, float] = 1.0,
    format: Literal["nifti", "dicom"] = "nifti",
    pose: Transform | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a phantom into the new folder `folder` and return it; all of it or nothing.

    Files: ct and t2 (`.nii.gz`, or folders of DICOM), labels.nii.gz with labels.json (the true partition),
    labels_totalsegmentator.nii.gz (what that tool's `total` task would label), truth.json, phantom.json.

    Parameters
    ----------
    pathology : one name, several, or "none".
    severity : 0 (none) to 1 (severe).
    spacing : mm along left, posterior, up; one number for all.
    pose : rigid map from the upright phantom into the patient's space; default a small seeded turn and shift.
    """
    if format not in ("nifti", "dicom"):
        raise InvalidInput(f"a phantom is written as nifti or dicom, got {format!r}")
    names = (pathology,) if isinstance(pathology, str) else tuple(pathology)
    wanted = PhantomParameters(
        seed=seed, pathologies=tuple(n for n in names if n != "none"), level=level, side=side, severity=severity
    )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is already there and not empty; a phantom needs a new folder")
    body = phantom(wanted, pose)
    return _whole(folder, lambda work: _fill(work, body, body.grid(spacing), (format, progress or _silent)))


def _silent(_text: str, _share: float) -> None:
    return


def _whole(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Let `fill` work in a hidden sibling of `folder`, then rename it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".keyhole-phantom-", dir=folder.parent))
        try:
            fill(work)
            work.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        if isinstance(error, StorageFailure):
            raise
        raise StorageFailure(f"{folder} could not be written: {error.strerror or error}; nothing was left") from error
    return folder


def _fill(work: Path, body: Phantom, grid: Grid, how: tuple[str, Progress]) -> None:
    form, progress = how
    progress("painting the phantom", 0.0)
    labels, ct, t2 = body.render(grid)
    progress("writing its images", 0.45)
    _images(work, body, {"ct": ct, "t2": t2}, form)
    progress("writing its labels", 0.7)
    labels = _used(labels)
    write_nifti(labels, work / "labels.nii.gz")
    write_nifti(*_totalsegmentator(labels, work / "labels_totalsegmentator.nii.gz"))
    made = made_by(body, grid)
    digest = sha256(work / "labels.nii.gz")
    entries = {
        n: StructureEntry(key=key, origin="labelled", source=SOURCE, sd=0.0) for n, key in labels.structures.items()
    }
    record = LabelsRecord(
        schema="keyhole.labels/1",
        structures=entries,
        provenance=provenance({"labels.nii.gz": digest}, **made.parameters),
    )
    (work / "labels.json").write_bytes(to_json(record))
    progress("measuring the truth", 0.85)
    truth = FindingsRecord(schema="keyhole.findings/1", findings=findings(body), provenance=made)
    (work / "truth.json").write_bytes(to_json(truth))
    (work / "phantom.json").write_text(json.dumps(_described(body, grid), indent=1) + "\n", encoding="utf-8")
    progress("done", 1.0)


def made_by(body: Phantom, grid: Grid) -> Provenance:
    """The provenance block of everything that comes from the phantom."""
    p = body.parameters
    return provenance(
        {},
        seed=p.seed,
        pathologies=list(p.pathologies),
        level=p.level,
        side=p.side,
        severity=p.severity,
        age=p.age,
        spacing=[f"{s:.4f}" for s in grid.spacing],
    )


def _described(body: Phantom, grid: Grid) -> dict[str, object]:
    return {
        "schema": "keyhole.phantom/1",
        "parameters": asdict(body.parameters),
        "spacing": [round(float(s), 6) for s in grid.spacing],
        "patient_from_phantom": body.patient_from_phantom.matrix.round(9).tolist(),
        "dimensions": asdict(body.size),
        "note": "Synthetic anatomy: nobody's images. Research use only.",
    }


def _images(work: Path, body: Phantom, images: dict[str, Volume], form: str) -> None:
    for name, volume in images.items():
        if form == "nifti":
            write_nifti(volume, work / f"{name}.nii.gz")
            continue
        modality = "CT" if name == "ct" else "MR"
        patient = f"PHANTOM-{body.parameters.seed:05d}"
        words = "Phantom CT" if name == "ct" else "Phantom T2"
        write_dicom_series(volume, work / name, modality, patient, words, body.parameters.seed)


def _used(labels: LabelMap) -> LabelMap:
    """`labels` naming only what is in it, renumbered from 1 without gaps."""
    counts = np.bincount(labels.array.ravel(), minlength=max(labels.structures) + 1)
    present = [n for n in sorted(labels.structures) if counts[n] > 0]
    table = np.zeros(len(counts), dtype=np.uint8)
    table[present] = np.arange(1, len(present) + 1)
    names = {i: labels.structures[n] for i, n in enumerate(present, 1)}
    return LabelMap(table[labels.array], labels.patient_from_index, names)


def totalsegmentator_labels(labels: LabelMap) -> tuple[LabelMap, dict[int, str]]:
    """`labels` as TotalSegmentator's `total` task would give them, and the names of its integers."""
    table = np.zeros(max(labels.structures) + 1, dtype=np.uint8)
    names: dict[int, str] = {}
    for name, row in totalsegmentator().items():
        found = labels.labels_of(*_TOTAL.get(name, (row.key,)))
        if row.label is None or not found:
            continue
        table[list(found)] = row.label
        names[row.label] = name
    mapped: NDArray[np.uint8] = table[labels.array]
    return LabelMap(mapped, labels.patient_from_index, names), names


def _totalsegmentator(labels: LabelMap, path: Path) -> tuple[LabelMap, Path, dict[int, str]]:
    mapped, names = totalsegmentator_labels(labels)
    return mapped, path, names
