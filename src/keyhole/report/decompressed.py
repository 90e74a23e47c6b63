"""The label map and meshes after a planned decompression, to look at and to recount."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import (
    CandidateEntry,
    Case,
    LabelsRecord,
    PlanRecord,
    StructureEntry,
    provenance,
    read_record,
    sha256,
    to_json,
)
from keyhole.casefile.store import write_bytes, write_whole
from keyhole.errors import InvalidInput
from keyhole.geometry import LabelMap
from keyhole.plan.approaches import Approach, catalogue
from keyhole.plan.decompress import Goal, Removal

FOLDER = "decompressed"
SIMULATED = "what a simulated decompression takes was given to what fills it; nobody saw this"


def write_decompressed(case: Case, rank: int = 1, *, catalogue_file: Path | None = None) -> Path:
    """Write `labels.nii.gz`, `labels.json`, `removed.glb` and `left.glb` of a candidate of plan.json; the folder.

    The removal is worked out again from labels and plan.json alone, which gives the same one. Keys are those of the
    case; voxels taken are `canal/epidural` where the canal was widened and `tissue/fat` elsewhere. `left.glb` is the
    bone of the level that stays.

    Parameters
    ----------
    rank : that of the candidate in plan.json, 1 is the best.
    catalogue_file : the clinic's own approaches that the plan was made with, if it was.
    """
    from keyhole.anatomy.reading import load  # noqa: PLC0415  (heavy import)

    plan = case.read(PlanRecord)
    entry = _chosen(case, plan, rank)
    approach = _approach(plan, entry, catalogue_file)
    anatomy = load(case, with_image=False)
    removal = _removal(anatomy, plan.level, entry, approach)
    after = _whole(anatomy.labels, removal)
    folder = case.path / FOLDER
    write_whole(folder / "labels.nii.gz", lambda path: _nifti(after, path))
    write_bytes(folder / "labels.json", to_json(_record(case, after, entry)))
    for name, content in _meshes(plan.level, removal).items():
        write_bytes(folder / name, content)
    return folder


def _chosen(case: Case, plan: PlanRecord, rank: int) -> CandidateEntry:
    """The candidate of that rank; refused where the plan does not hold it or is of other labels."""
    if plan.goal != "decompress":
        raise InvalidInput(f"the plan's goal is to {plan.goal}: no decompression was planned, so none can be written")
    found = next((one for one in plan.candidates if one.rank == rank), None)
    if found is None:
        known = f"ranks 1 to {len(plan.candidates)}" if plan.candidates else "no candidate"
        raise InvalidInput(f"plan.json has {known}, got {rank}")
    then, now = plan.provenance.inputs.get("labels.nii.gz"), case.digest("labels.nii.gz").get("labels.nii.gz")
    if then is not None and then != now:
        raise InvalidInput(
            "plan.json was made with other labels than labels.nii.gz holds now; run `keyhole plan` again"
        )
    return found


def _approach(plan: PlanRecord, entry: CandidateEntry, file: Path | None) -> Approach:
    """The approach of `entry` as it was planned; a clinic's own needs the very file that the plan was made with."""
    told = next((one for one in plan.approaches if one.name == entry.approach), None)
    if file is not None and sha256(file) not in plan.provenance.inputs.values():
        raise InvalidInput(f"plan.json was not made with the catalogue {file.name} as it is now")
    known = catalogue(file)
    if entry.approach not in known or (told is not None and told.origin == "file" and file is None):
        raise InvalidInput(f"{entry.approach} is of a clinic's own catalogue: name its file with --catalogue")
    return known[entry.approach].at(plan.level)


def _removal(anatomy: Anatomy, level: str, entry: CandidateEntry, approach: Approach) -> Removal:
    from keyhole.plan.decompress import canal, decompress  # noqa: PLC0415
    from keyhole.plan.site import site  # noqa: PLC0415

    place = site(anatomy, level, entry.side)
    found, told = canal(anatomy, place), entry.decompression
    if found is None or told is None or told.goal is None:
        raise InvalidInput(f"{level}: the canal was not seen, so no decompression was planned")
    goal = Goal(told.goal.kind, told.goal.amount, told.goal.length, told.goal.root)
    way = np.array(entry.entry) - np.array(entry.dock)
    return decompress(found, approach, entry.dock, way, entry.radius, goal=goal, with_bone=False)


def _whole(labels: LabelMap, removal: Removal) -> LabelMap:
    """The whole label map with the part around the level replaced where something was taken."""
    part = removal.labels
    start = np.rint(labels.grid.index(part.grid.centres(np.zeros(3)))).astype(int)
    i, j, k = (slice(int(a), int(a) + n) for a, n in zip(start, part.array.shape, strict=True))
    structures = {**labels.structures}
    numbers = {key: n for n, key in structures.items()}
    for key in part.structures.values():
        if key not in numbers:
            numbers[key] = max(structures, default=0) + 1
            structures[numbers[key]] = key
    array = labels.array.astype(np.uint16)
    table = np.zeros(max(part.structures) + 1, dtype=np.uint16)
    for n, key in part.structures.items():
        table[n] = numbers[key]
    array[i, j, k][removal.mask] = table[part.array[removal.mask]]
    return LabelMap(array, labels.patient_from_index, structures, labels.drawn)


def _nifti(labels: LabelMap, path: Path) -> None:
    from keyhole.imaging import write_nifti  # noqa: PLC0415

    write_nifti(labels, path)


def _record(case: Case, after: LabelMap, entry: CandidateEntry) -> LabelsRecord:
    known = read_record(case.path / "labels.json", LabelsRecord)
    held = {one.key: one for one in known.structures.values()}
    fresh = {
        n: held.get(key) or StructureEntry(key=key, origin="derived", source="keyhole: decompression", sd=1.0)
        for n, key in after.structures.items()
    }
    made = provenance(
        case.digest("labels.nii.gz", "labels.json", "plan.json"), approach=entry.approach, side=entry.side,
        rank=entry.rank,
    )  # fmt: skip
    return known.model_copy(update={"structures": fresh, "caveats": (*known.caveats, SIMULATED), "provenance": made})


def _meshes(level: str, removal: Removal) -> dict[str, bytes]:
    """What is taken, and the bone of the level that stays."""
    from keyhole.report.glb import glb  # noqa: PLC0415
    from keyhole.report.meshes import surface  # noqa: PLC0415

    bones = tuple(f"vertebra/{name}" for name in level.split("/"))
    found = {}
    for name, mask, colour in (
        ("removed.glb", removal.mask, "#d1495b"),
        ("left.glb", removal.labels.mask(*bones), "#e9dcc0"),
    ):
        made = surface(name.partition(".")[0], removal.labels, mask, 20000)
        if made is not None:
            found[name] = glb(made, colour)
    return found
