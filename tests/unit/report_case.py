"""A small made-up case for the tests of the report: a torso of ellipsoids, three approaches, an open operation."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keyhole.anatomy.model import Anatomy, Endplate, Structure, Vertebra
from keyhole.casefile import (
    CandidateEntry,
    Case,
    CaseRecord,
    Decompression,
    Feasibility,
    FindingEntry,
    FindingsRecord,
    ImageEntry,
    LabelsRecord,
    LevelConfirmation,
    Patient,
    PlanRecord,
    Quantity,
    Rejected,
    StructureEntry,
    provenance,
)
from keyhole.geometry import LabelMap, Plane, Volume, affine
from keyhole.terms import Origin

NAMES = ("L3", "L4", "L5", "S1")
PITCH = 36.0  # mm from one vertebra's centre to the next


@dataclass(frozen=True)
class Pose:
    """Where the made-up patient lies: a rotation (3, 3) and a shift (3,) of LPS mm, and the voxels' size and axes."""

    turn: np.ndarray
    shift: np.ndarray
    spacing: tuple[float, float, float] = (3.0, 3.0, 3.0)
    flipped: bool = False


STILL = Pose(np.eye(3), np.zeros(3))


def _height(name: str) -> float:
    return 54.0 - PITCH * NAMES.index(name)


def _solids() -> list[tuple[str, np.ndarray]]:
    """Key and quadratic solid (centre, half axes), later ones on top, in the patient's own LPS mm."""
    found: list[tuple[str, tuple[float, ...]]] = [
        ("tissue/skin", (0, 20, 0, 150, 100, 400)),
        ("tissue/fat", (0, 20, 0, 147, 97, 400)),
        ("muscle/psoas/left", (45, -8, 0, 20, 20, 400)),
        ("muscle/psoas/right", (-45, -8, 0, 20, 20, 400)),
        ("muscle/paraspinal/left/multifidus", (30, 68, 0, 27, 30, 400)),
        ("muscle/paraspinal/right/multifidus", (-30, 68, 0, 27, 30, 400)),
        ("vessel/aorta", (8, -38, 0, 9, 9, 400)),
        ("vessel/ivc", (-18, -36, 0, 11, 9, 400)),
        ("organ/kidney/left", (70, 5, 60, 22, 25, 45)),
    ]
    for name in NAMES:
        z = _height(name)
        found += [
            (f"vertebra/{name}/lamina/left", (9, 52, z - 6, 10, 5, 12)),
            (f"vertebra/{name}/lamina/right", (-9, 52, z - 6, 10, 5, 12)),
            (f"vertebra/{name}/spinous", (0, 66, z - 10, 4, 18, 9)),
            (f"vertebra/{name}/facet/superior/left", (20, 44, z + 14, 7, 6, 9)),
            (f"vertebra/{name}/facet/superior/right", (-20, 44, z + 14, 7, 6, 9)),
            (f"vertebra/{name}/pedicle/left", (16, 24, z + 6, 6, 12, 7)),
            (f"vertebra/{name}/pedicle/right", (-16, 24, z + 6, 6, 12, 7)),
            (f"vertebra/{name}/body", (0, 0, z, 25, 18, 15)),
        ]
    found.append(("canal/epidural", (0, 32, 0, 11, 10, 400)))
    found.append(("canal/dural_sac", (0, 32, 0, 8, 7, 400)))
    found += [(f"disc/{a}-{b}", (0, 0, (_height(a) + _height(b)) / 2, 24, 18, 6)) for a, b in itertools.pairwise(NAMES)]
    found.append(("disc/L4-L5/herniation", (6, 21, 0, 7, 6, 6)))
    for name in NAMES[:3]:
        found += [
            (f"root/{name}/left", (20, 26, _height(name) - 8, 16, 3, 4)),
            (f"root/{name}/right", (-20, 26, _height(name) - 8, 16, 3, 4)),
        ]
    return [(key, np.array(solid, dtype=float)) for key, solid in found]


def anatomy(pose: Pose = STILL, with_image: bool = True) -> Anatomy:
    """The made-up patient on a grid, placed by `pose`."""
    shape, at = _grid(pose)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    own = ((at.apply(index) - pose.shift) @ pose.turn).reshape(-1, 3).astype(np.float32)  # the patient's own axes
    array = np.zeros(len(own), dtype=np.uint8)
    keys: dict[int, str] = {}
    for n, (key, solid) in enumerate(_solids(), start=1):
        keys[n] = key
        near = np.flatnonzero(np.abs(own[:, 0] - solid[0]) <= solid[3])
        near = near[np.abs(own[near, 1] - solid[1]) <= solid[4]]
        array[near[(((own[near] - solid[:3]) / solid[3:]) ** 2).sum(axis=1) <= 1]] = n
    array = array.reshape(shape)
    labels = LabelMap(array, at, keys)
    vertebrae = {name: _vertebra(name, pose) for name in NAMES}
    line = np.array([[0, 32, z] for z in range(60, -60, -1)], dtype=float) @ pose.turn.T + pose.shift
    image = Volume(_hounsfield(labels), at) if with_image else None
    structures = {key: _structure(key) for key in labels.keys}
    caveats = ("levels not confirmed",)
    return Anatomy(labels, structures, vertebrae, line, image, "CT", "counted from the sacrum", False, caveats)


def _grid(pose: Pose):
    spacing = np.array(pose.spacing)
    reach = np.array([160.0, 105.0, 80.0])
    shape = tuple(int(n) for n in np.ceil(2 * reach / spacing))
    matrix = np.eye(4)
    matrix[:3, :3] = pose.turn @ np.diag(spacing)
    matrix[:3, 3] = pose.turn @ (np.array([0, 20, 0]) - reach) + pose.shift
    if pose.flipped:
        matrix[:3, 3] += matrix[:3, 0] * (shape[0] - 1)
        matrix[:3, 0] *= -1
    return shape, affine(matrix)


def _structure(key: str) -> Structure:
    modelled = key.startswith("root/")
    return Structure(
        key,
        Origin.MODELLED if modelled else Origin.LABELLED,
        "keyhole" if modelled else "labels.nii.gz, made-up scheme",
        2.0 if modelled else 0.5,
        ("modelled: no scan shows this root",) if modelled else (),
    )


def _vertebra(name: str, pose: Pose) -> Vertebra:
    rows = pose.turn.T  # left, posterior, up of the patient, in LPS
    centre = np.array([0, 0, _height(name)])

    def placed(*point: float):
        return pose.turn @ (centre + np.array(point, dtype=float)) + pose.shift

    def endplate(z: float) -> Endplate:
        corners = (placed(0, -18, z), placed(0, 18, z), placed(25, 0, z), placed(-25, 0, z))
        return Endplate(Plane(placed(0, 0, z), rows[2]), *corners, 0.5, 1.0)

    inferior = None if name == "S1" else endplate(-14)
    return Vertebra(name, placed(0, 0, 0), rows[0], rows[1], rows[2], endplate(14), inferior, True)


def _hounsfield(labels: LabelMap) -> np.ndarray:
    values = {"vertebra": 450, "tissue/fat": -90, "muscle": 55, "canal": 15, "disc": 80, "vessel": 130, "organ": 60}
    table = np.full(max(labels.structures) + 1, 30, dtype=np.int16)
    table[0] = -1000
    for label, key in labels.structures.items():
        table[label] = next((hu for head, hu in values.items() if key.startswith(head)), 30)
    noise = np.random.default_rng(5).normal(0, 18, labels.array.shape)
    return (table[labels.array] + noise).astype(np.int16)


def quantity(value: float | None, unit_: str, sd: float | None = None, *caveats: str) -> Quantity:
    """A quantity with the source of Keyhole's own geometry."""
    return Quantity(value=value, sd=sd, unit=unit_, source="keyhole", caveats=caveats)


def candidate(
    approach: str, rank: int | None, entry, dock, target, radius: float, pose: Pose = STILL
) -> CandidateEntry:
    """A made-up corridor whose numbers differ from approach to approach; points are the patient's own."""
    n = float(rank or 5)

    def placed(point):
        return tuple(float(x) for x in pose.turn @ np.array(point, dtype=float) + pose.shift)

    return CandidateEntry(
        rank=rank,
        approach=approach,
        side="left",
        entry=placed(entry),
        dock=placed(dock),
        target=placed(target),
        radius=radius,
        instrument_radius=1.75,
        clearance={
            "root/L4/left": quantity(1.31 + 0.1 * n, "mm", 0.9, "the root is modelled"),
            "canal/dural_sac": quantity(3.7 + n, "mm", 0.5),
            "vessel/aorta": quantity(None, "mm", None, "the vessel leaves the scan"),
        },
        instrument_clearance={"canal/dural_sac": quantity(1.2 + n, "mm", 0.5)},
        breach_probability={"root/L4/left": 0.031 / n, "canal/dural_sac": 0.00002},
        burden={
            "muscle": quantity(2.4 * n**2, "mL"),
            "fat": quantity(1.1 * n, "mL"),
            "bone": quantity(0.06 * n, "mL", 0.01),
            "muscle/paraspinal/left/multifidus": quantity(2.4 * n**2, "mL"),
        },
        burden_kind={
            "muscle": "dilated",
            "fat": "dilated",
            "bone": "removed",
            "muscle/paraspinal/left/multifidus": "dilated",
        },
        facet_removed={"L4/L5/left": quantity(7.0 * n, "%", 3.0)},
        incision=quantity(2 * radius, "mm"),
        depth=quantity(62.0 + n, "mm", 1.0),
        reach=quantity(88.0 - n, "%"),
        decompression=Decompression(
            canal_area_before=quantity(103.0, "mm2", 9.0), canal_area_after=quantity(160.0 + n, "mm2", 12.0)
        ),
        caveats=(f"{approach}: depends on a modelled root",),
    )


def plan(inputs: dict[str, str], pose: Pose = STILL) -> PlanRecord:
    """Three approaches, one of them twice, the open operation, and a rejected approach."""
    return PlanRecord(
        level="L4/L5",
        side="left",
        goal="decompress",
        candidates=(
            candidate("transforaminal-endoscopic", 1, (105, 92, 30), (24, 34, 3), (11, 24, 0), 4.0, pose),
            candidate("interlaminar-endoscopic", 2, (14, 117, 4), (8, 50, 1), (7, 27, 0), 4.0, pose),
            candidate("tubular-paramedian", 3, (28, 114, 0), (13, 56, 0), (8, 28, 0), 9.0, pose),
            candidate("transforaminal-endoscopic", 4, (98, 95, 22), (24, 36, 3), (11, 24, 0), 3.5, pose),
        ),
        open=candidate("open-midline", None, (0, 118, 0), (0, 56, 0), (6, 30, 0), 20.0, pose),
        rejected=(Rejected(approach="lateral-transpsoas", reason="The iliac crest stands in every path to L4/L5."),),
        searched=1443600,
        pareto=(0, 1),
        feasibility=(
            Feasibility(
                approach="transforaminal-endoscopic",
                searched=905000,
                margins=(0, 0.5, 1, 2),
                feasible=(4999, 800, 111, 0),
            ),
            Feasibility(
                approach="interlaminar-endoscopic",
                searched=338600,
                margins=(0, 0.5, 1, 2),
                feasible=(22000, 9000, 700, 12),
            ),
            Feasibility(
                approach="tubular-paramedian", searched=200000, margins=(0, 0.5, 1, 2), feasible=(9000, 7000, 3100, 40)
            ),
        ),
        caveats=("clearance to roots rests on modelled roots",),
        provenance=provenance(inputs, registration_error=1.5, level="L4/L5"),
    )


def findings(inputs: dict[str, str]) -> FindingsRecord:
    """Two measures at three levels, one of them not measurable."""
    made = []
    for n, level in enumerate(("L3/L4", "L4/L5", "L5/S1")):
        made.append(_finding("disc height", level, 8.4 - n, 0.6, "mm"))
        area = None if level == "L5/S1" else 181.0 - 60 * n
        made.append(_finding("canal area", level, area, 11.0, "mm2"))
    made.append(_finding("lumbar lordosis", "L1/S1", 47.2, 2.5, "deg"))
    return FindingsRecord(findings=tuple(made), caveats=("supine images",), provenance=provenance(inputs))


def _finding(name: str, level: str, value: float | None, sd: float, unit_: str) -> FindingEntry:
    graded = name == "canal area" and value is not None
    return FindingEntry(
        name=name,
        level=level,
        side=None,
        value=value,
        sd=sd if value is not None else None,
        unit=unit_,
        grade="narrow" if graded else None,
        grade_probability={"narrow": 0.82, "normal": 0.18} if graded else None,
        source="koslosky2020" if name == "disc height" else "keyhole",
        method="on the disc-level plane",
        caveats=("the canal is cut by the scan",) if value is None else (),
    )


def case(folder: Path, *, with_plan: bool = True, confirmed: bool = False, pose: Pose = STILL) -> tuple[Case, Anatomy]:
    """A case folder of the made-up patient, and the anatomy that belongs to it."""
    found = anatomy(pose)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.nii.gz").write_bytes(b"stands for the label map in these tests")
    record = CaseRecord(
        id="made-up",
        patient=Patient(age=54, sex="F", height_cm=168, weight_kg=70),
        complaint="left leg pain",
        images=(
            ImageEntry(name="ct", file="images/ct.nii.gz", modality="CT", source_file="ct.nii.gz", sha256="0" * 64),
        ),
        numbering="counted upward from the sacrum of the label map",
        confirmation=LevelConfirmation(lowest_lumbar="L5", by="A. Reader") if confirmed else None,
        caveats=("no weight-bearing images",),
        provenance=provenance({}),
    )
    (folder / "case.json").write_text(record.model_dump_json(by_alias=True))
    made = Case(folder)
    entries = {
        n: StructureEntry(
            key=key,
            origin=found.structures[key].origin.value,
            source=found.structures[key].source,
            sd=found.structures[key].sd,
            caveats=found.structures[key].caveats,
        )
        for n, key in found.labels.structures.items()
    }
    made.write(LabelsRecord(structures=entries, caveats=("labels are made up",), provenance=provenance({})))
    inputs = made.digest("labels.nii.gz", "labels.json")
    made.write(findings(inputs))
    if with_plan:
        made.write(plan(inputs, pose))
    return made, found
