"""What a whole level costs: both sides and every approach to a decompression, growth, dragging, and the array path.

Each part runs in a process of its own, so that its memory is its own; `benchmarks/corridors.py` runs them all.

    python benchmarks/corridor_level.py PART FOLDER
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PhantomParameters, phantom
from keyhole.geometry import LabelMap, affine
from keyhole.plan import catalogue, desk, front, ranked, score
from keyhole.plan.doubt import default_budget
from keyhole.plan.search import search
from keyhole.plan.setting import setting
from keyhole.terms import Origin, Tissue, tissue

LEVEL = "L4/L5"
FINE = (2.0, 2.0)
"""Steps of the whole level, mm and degrees: the finest that the catalogue asks for."""

SPACINGS = (2.0, 1.5, 1.25, 1.0)
STEPS = ((6.0, 6.0), (4.0, 4.0), (3.0, 3.0), (2.0, 2.0), (1.5, 1.5), (1.5, 1.0))
SPLITS = (1, 2, 4, 8, 16)
ONE = "interlaminar-endoscopic"


@dataclass(frozen=True)
class Timed:
    """Seconds on the clock, and of all threads together."""

    wall: float
    cpu: float


def timed(act: Callable[[], Any]) -> tuple[Any, Timed]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = act()
    return result, Timed(time.perf_counter() - wall, time.process_time() - cpu)


def peak() -> float:
    """Largest memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def paint(folder: Path, spacing: float) -> Path:
    """The labels of the phantom patient on a grid of `spacing` mm, kept in `folder`."""
    kept = folder / f"labels-{spacing:g}.npz"
    if not kept.is_file():
        made = phantom(PhantomParameters(seed=3, pathologies=("herniation", "central-stenosis"), level=LEVEL))
        labels = made.labels_on(made.grid(spacing))
        keys = np.array([f"{n} {key}" for n, key in labels.structures.items()])
        np.savez(kept, array=labels.array, matrix=labels.patient_from_index.matrix, keys=keys)
    return kept


def patient(folder: Path, spacing: float = 1.0, parts: int = 1) -> Anatomy:
    """The phantom patient; with `parts`, whatever may not be touched is cut into so many structures."""
    kept = np.load(paint(folder, spacing))
    names = dict(line.split(" ", 1) for line in kept["keys"].tolist())
    labels = LabelMap(kept["array"], affine(kept["matrix"]), {int(n): key for n, key in names.items()})
    known = {key: Structure(key, Origin.LABELLED, "phantom", 0.3) for key in labels.keys}
    found = vertebrae(labels, structures=known)
    line = canal_line(labels, found)
    labels = labels if parts == 1 else divided(labels, parts)
    known = {key: Structure(key, Origin.LABELLED, "phantom", 0.3) for key in labels.keys}
    return Anatomy(labels, known, found, line, None, "CT", "true", True)


def divided(labels: LabelMap, parts: int) -> LabelMap:
    """Bones, nerves, vessels and organs in `parts` each, by cubes of 8 voxels."""
    index = np.indices(labels.array.shape, dtype=np.int16) // 8
    share = (index[0] + 3 * index[1] + 5 * index[2]) % parts
    solid = (Tissue.BONE, Tissue.NERVE, Tissue.VESSEL, Tissue.ORGAN)
    chosen = [n for n, key in labels.structures.items() if tissue(key) in solid]
    top, names = max(labels.structures) + 1, dict(labels.structures)
    array = labels.array.astype(np.uint16)
    for at, n in enumerate(chosen):
        first = top + at * parts
        array = np.where(labels.array == n, (first + share).astype(np.uint16), array)
        del names[n]
        names |= {first + p: f"{labels.structures[n]}/part{p}" for p in range(parts)}
    return LabelMap(array, labels.patient_from_index, names)


def warm(anatomy: Anatomy) -> None:
    """Everything compiled and loaded."""
    table = desk(anatomy, LEVEL, "left", steps=(8.0, 12.0))
    choice = front(table)
    if len(choice):
        score(table, choice.corridor(0))


def level(folder: Path) -> dict[str, Any]:
    """Two sides, every approach to a decompression, distance fields included."""
    anatomy = patient(folder)
    warm(anatomy)
    before = peak()
    table, took = timed(lambda: desk(anatomy, LEVEL, steps=FINE))
    choice, took_front = timed(lambda: front(table))
    rows = [
        {"approach": name, "side": side, "candidates": room.found.searched, "clear": len(room.found)}
        for (name, side), room in table.rooms.items()
    ]
    return {
        "voxels": anatomy.labels.array.size, "candidates": sum(r["candidates"] for r in rows), "rooms": rows,
        "wall": took.wall, "cpu": took.cpu, "front": len(choice), "front_wall": took_front.wall, "peak": peak(),
        "before": before,
    }  # fmt: skip


def drag(folder: Path) -> dict[str, Any]:
    """A hand that moves corridors about: ms per score, and for a new order of the front."""
    table = desk(patient(folder), LEVEL, "left", steps=(3.0, 3.0))
    choice = front(table)
    rng = np.random.default_rng(1)
    wall, cpu, verdicts = [], [], []
    for n in range(210):
        corridor = choice.corridor(int(rng.integers(len(choice))))
        moved = replace(
            corridor, dock=corridor.dock + rng.normal(0, 1.5, 3), entry=corridor.entry + rng.normal(0, 5, 3)
        )
        got, took = timed(lambda moved=moved: score(table, moved))
        if n >= 10:
            wall.append(1e3 * took.wall)
            cpu.append(1e3 * took.cpu)
            verdicts.append(got.verdict)
    ranked(choice, {"breach": 1})
    _, again = timed(lambda: [ranked(choice, {"breach": 1 + n, "burden": 1}) for n in range(100)])
    return {
        "scored": len(wall), "median": float(np.median(wall)), "p95": float(np.quantile(wall, 0.95)),
        "cpu": float(np.median(cpu)), "front": len(choice), "rank": 10 * again.wall,
        "verdicts": {name: verdicts.count(name) for name in sorted(set(verdicts))},
    }  # fmt: skip


def growth(folder: Path) -> dict[str, Any]:
    """Seconds of one approach on one side with the volume, the candidates and the number of structures."""
    result: dict[str, Any] = {"volume": [], "candidates": [], "structures": []}
    for spacing in SPACINGS:
        anatomy = patient(folder, spacing)
        result["volume"].append(_once(anatomy, (2.0, 2.0)))
    anatomy = patient(folder)
    result["candidates"] = [_once(anatomy, steps) for steps in STEPS]
    for parts in SPLITS:
        anatomy = patient(folder, parts=parts)
        row = _once(anatomy, (2.0, 2.0))
        table = desk(anatomy, LEVEL, "left", approaches=[ONE], steps=(3.0, 3.0))
        choice = front(table)
        corridors = [choice.corridor(n % len(choice)) for n in range(30)]
        score(table, corridors[0])
        _, took = timed(lambda table=table, corridors=corridors: [score(table, one) for one in corridors])
        result["structures"].append(row | {"score_ms": 1e3 * took.wall / len(corridors)})
    return result


def _once(anatomy: Anatomy, steps: tuple[float, float]) -> dict[str, float]:
    here = setting(anatomy, LEVEL, "left", "decompress", error=default_budget())
    approach = catalogue()[ONE]
    search(here.site, approach, here.targets, steps=(8.0, 12.0))
    found, took = timed(lambda: search(here.site, approach, here.targets, steps=steps))
    return {
        "voxels": anatomy.labels.array.size, "structures": len(anatomy.labels.keys), "candidates": found.searched,
        "wall": took.wall, "cpu": took.cpu,
    }  # fmt: skip


def arrays(folder: Path) -> dict[str, Any]:
    """The same search with compiled kernels and on arrays of numpy, and of cupy where there is one."""
    anatomy = patient(folder)
    here = setting(anatomy, LEVEL, "left", "decompress", error=default_budget())
    approach = catalogue()[ONE]
    result: dict[str, Any] = {}
    first = None
    for backend in ("cpu", "numpy", "cupy"):
        try:
            search(here.site, approach, here.targets, steps=(8.0, 12.0), backend=backend)
        except Exception as refused:
            result[backend] = {"absent": str(refused)}
            continue
        asked = {"steps": (3.0, 3.0), "backend": backend}
        found, took = timed(lambda asked=asked: search(here.site, approach, here.targets, **asked))
        first = first or found
        same = found.verdicts == first.verdicts and np.array_equal(found.gap, first.gap)
        result[backend] = {
            "candidates": found.searched, "clear": len(found), "wall": took.wall, "cpu": took.cpu,
            "same": bool(same and np.array_equal(found.dock, first.dock)),
        }  # fmt: skip
    return result


PARTS = {"level": level, "drag": drag, "growth": growth, "arrays": arrays}


def main() -> None:
    name, folder = sys.argv[1:3]
    print(json.dumps(PARTS[name](Path(folder))))


if __name__ == "__main__":
    main()
