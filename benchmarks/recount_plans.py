"""Every number of plans recounted by code of its own, on random phantoms and the real CT, into docs/recount.md.

Phantoms of every pathology, level and side, turned by up to 20 degrees and shifted, every fourth mirrored, every third
on an oblique anisotropic grid; and the real CT, from files, both sides. Each is planned to decompress and to fuse (cage
and screws). The recount (tests/e2e/recount*.py) knows labels, plan.json, the CT and the tables of numbers, nothing of
Keyhole.

    python benchmarks/recount_plans.py [--cases 20] [--first 0] [--real] [--shard 1/2] [--doubt] [--goal fuse] [--write]

With --write each row goes into the document once it is counted; rows of other cases that are there already stay, so two
processes can each make one half (--shard 1/2 and --shard 2/2, the real CT counted with the first).
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/e2e"))

from recount import Scene, check_plan, scene
from recount_decompress import check_decompression
from recount_doubt import Doubted, check_doubt
from recount_frames import check_frames, check_screw_angles
from recount_fusion import check_fusion
from recount_geometry import (
    check_alignment,
    check_operations,
    check_passage,
    check_portals,
    check_rims,
    check_rods,
    check_standing,
    check_thinner,
    check_tried,
)
from recount_harm import check_places
from recount_measures import check_after_motion, check_bone
from recount_screws import check_screws
from recount_search import check_search

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PATHOLOGIES, PHANTOM, PhantomParameters, phantom
from keyhole.casefile import to_json
from keyhole.geometry import PATIENT, Grid, Transform, affine
from keyhole.imaging.nifti import read_nifti
from keyhole.plan import plan, plan_case
from keyhole.terms import Origin

ROOT = Path(__file__).resolve().parents[1]
CT = ROOT.parent / "shared/data/ct_abdomen_3mm"
DOCUMENT = ROOT / "docs/recount.md"
MARKS = ("<!-- recount begin -->", "<!-- recount end -->")


def oblique(grid: Grid, seed: int) -> Grid:
    """An anisotropic grid over the same space, its axes turned by up to 12 degrees."""
    rng = np.random.default_rng([seed, 5])
    turn = Rotation.from_rotvec(np.radians(12) * rng.uniform(-0.6, 0.6, 3)).as_matrix()
    spacing, centre = np.array([1.1, 1.3, 1.5]), grid.centres((np.array(grid.shape) - 1) / 2)
    shape = np.ceil(np.array(grid.shape) * grid.spacing / spacing).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = turn * spacing
    matrix[:3, 3] = centre - matrix[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(matrix))


def patient(seed: int) -> tuple[Anatomy, PhantomParameters, str]:
    """The phantom of `seed`, its parameters, and how it lies."""
    rng = np.random.default_rng([seed, 4])
    mirrored, slanted = seed % 4 == 1, seed % 3 == 2
    asked = PhantomParameters(
        seed=seed, pathologies=((), *((name,) for name in PATHOLOGIES))[seed % 6],
        level=("L3/L4", "L4/L5", "L5/S1")[(seed // 2) % 3], side=("left", "right")[seed % 2],
        severity=float(rng.uniform(0.2, 1)), is_mirrored=mirrored,
    )  # fmt: skip
    pose = np.eye(4)
    axis = rng.normal(size=3)
    pose[:3, :3] = Rotation.from_rotvec(np.radians(rng.uniform(0, 20)) * axis / np.linalg.norm(axis)).as_matrix()
    pose[:3, 3] = rng.uniform(-50, 50, 3)
    body = phantom(asked, pose=Transform(PATIENT, PHANTOM, pose))
    grid = body.grid(1.25)
    labels = body.labels_on(oblique(grid, seed) if slanted else grid)
    known = {key: Structure(key, Origin.LABELLED, "phantom", 0.3) for key in labels.keys}
    found = vertebrae(labels, structures=known)
    anatomy = Anatomy(labels, known, found, canal_line(labels, found), None, "CT", "true", True)
    return anatomy, asked, "turned" + ", mirrored" * mirrored + ", oblique grid" * slanted


Image = tuple[np.ndarray, np.ndarray]
Counted = tuple[str, Scene, dict, dict[str, float], Image | None]
"""A plan to recount: its name, labels, plan.json, the sd of each structure, and the CT with its affine."""


def phantoms(first: int, cases: int, goals: list[str]) -> Iterator[Counted]:
    for seed in range(first, first + cases):
        anatomy, asked, lying = patient(seed)
        where = Scene(anatomy.labels.array, anatomy.labels.patient_from_index.matrix, dict(anatomy.labels.structures))
        name = f"phantom {seed}: {', '.join(asked.pathologies) or 'healthy'}, {asked.level} {asked.side}, {lying}"
        for goal in goals:
            made = json.loads(to_json(plan(anatomy, asked.level, asked.side, goal)))
            yield f"{name}, {goal}", where, made, {k: s.sd for k, s in anatomy.structures.items()}, None


def real(goals: list[str]) -> Iterator[Counted]:
    if not CT.is_dir():
        print(f"the real CT is not at {CT}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        case = import_case(
            Path(folder) / "case", [CT / "ct.nii.gz"], labels=CT / "labels_totalsegmentator_total.nii.gz"
        )
        sds = {s["key"]: s["sd"] for s in json.loads((case.path / "labels.json").read_text())["structures"].values()}
        ct = read_nifti(CT / "ct.nii.gz").volume
        for level, goal in itertools.product(("L3/L4", "L4/L5"), goals):
            plan_case(case, level, "both", goal)
            made = json.loads((case.path / "plan.json").read_text())
            image = (ct.array, ct.patient_from_index.matrix)
            yield f"real CT, 3 mm: {level}, both sides, {goal}", scene(case.path), made, sds, image


def numbers(made: dict) -> int:
    """How many quantities the corridors, cages, screws and operations of a plan hold."""
    text = json.dumps([made[part] for part in ("candidates", "open", "comparators", "fusion", "screws", "operations")])
    return text.count('"value"') + sum(len(c["breach_probability"]) for c in made["candidates"])


def recounted(case: Counted) -> list[str]:
    """Every disagreement, in words."""
    _, where, made, sds, image = case
    on_labels = (
        check_plan, check_search, check_decompression, check_bone, check_fusion, check_after_motion, check_passage,
        check_rims, check_frames, check_screw_angles, check_operations, check_tried,
    )  # fmt: skip
    wrong = [line for check in on_labels for line in check(where, made)]
    wrong += check_places(where.array, where.affine, where.keys, made)
    wrong += check_screws(where, made, sds, image) + check_thinner(where, made, sds)
    return wrong + [
        line for check in (check_alignment, check_rods, check_portals, check_standing) for line in check(made)
    ]


def row(case: Counted, doubt: bool) -> tuple[str, ...]:
    name, where, made, sds, _ = case
    try:
        wrong = recounted(case)
        if doubt:
            wrong += check_doubt(Doubted(where, sds, made), made["candidates"])
    except Exception as error:  # one case must not end a night's run: it stands in the table as a disagreement
        wrong = [f"the recount came to no end: {error!r}"]
    name += ", with doubt" * doubt
    for said in wrong:
        print(f"{name}: {said}", file=sys.stderr)
    cages, screws = (len((made[a] or {b: ()})[b]) for a, b in (("fusion", "entries"), ("screws", "screws")))
    counts = str(len(made["candidates"])), f"{cages} / {screws}", f"{made['searched']:,}", str(numbers(made))
    return name, *counts, str(len(wrong)), "; ".join(wrong[:2]).replace("|", "/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first phantom")
    parser.add_argument("--real", action="store_true", help="the real CT too")
    parser.add_argument("--goal", action="append", choices=["decompress", "fuse"], help="without it both")
    parser.add_argument("--doubt", action="store_true", help="simulate the doubt of every candidate too (slow)")
    parser.add_argument("--write", action="store_true", help="into docs/recount.md")
    parser.add_argument("--shard", default="1/1", help="1/2: the first of two halves of the phantoms, with the real CT")
    asked = parser.parse_args()
    rows = []
    begin = time.process_time()
    for n, case in enumerate(_cases(asked)):
        rows.append(row(case, asked.doubt))
        print(f"{n}: {rows[-1][:6]} {time.process_time() - begin:.0f} s", file=sys.stderr, flush=True)
        begin = time.process_time()
        if asked.write:
            _write(rows[-1])
    print(_table(rows))


HEAD = ("case", "corridors", "cages / screws", "searched", "numbers in plan.json", "disagreements", "which")


def _table(rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [HEAD, tuple("---" for _ in HEAD), *rows])


def _write(row: tuple[str, ...]) -> None:
    """Put one row into the document's table, in the place of an older one of the same case."""
    with DOCUMENT.open("r+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        text = stream.read()
        start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
        old = [
            tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in text[start:end].strip().splitlines()[2:]
        ]
        kept = [one for one in old if len(one) == len(HEAD) and one[0] != row[0]]
        table = _table(sorted([*kept, row], key=_place))
        stream.seek(0)
        stream.write(f"{text[:start]}\n{table}\n{text[end:]}")
        stream.truncate()


def _place(row: tuple[str, ...]) -> tuple[bool, int, str]:
    """The real CT first, then the phantoms by number; what is simulated besides comes last of a case."""
    number = row[0].removeprefix("phantom ").split(":")[0]
    return number.isdigit(), int(number) if number.isdigit() else 0, row[0]


def _cases(asked: argparse.Namespace) -> Iterator[Counted]:
    goals = asked.goal or ["decompress", "fuse"]
    part, parts = (int(n) for n in asked.shard.split("/"))
    if asked.real and part == 1:
        yield from real(goals)
    for seed in range(asked.first, asked.first + asked.cases):
        if seed % parts == part - 1:
            yield from phantoms(seed, 1, goals)


if __name__ == "__main__":
    sys.exit(main())
