"""Screws on phantoms and on label maps of real spines: own labels, labels drawn at 3 mm, time, grades, recount.

Every screw is recounted by brute force: points of its shaft, 0.25 mm apart, against the voxels they lie in. Plans made
on labels degraded to 3 mm (majority of each 3 mm cell, brought back to 1 mm as an import does) are judged on the fine
bone. The tables are written into docs/screws.md between its two markers.

    python benchmarks/screws.py [--phantoms N] [--write] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import numpy as np

from keyhole.anatomy.derive import complete
from keyhole.anatomy.landmarks import vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom.model import phantom
from keyhole.anatomy.phantom.parameters import PhantomParameters
from keyhole.anatomy.placement import on_keyhole_grid
from keyhole.anatomy.schemes import read_labels
from keyhole.geometry import Grid, LabelMap, affine
from keyhole.plan.screws import ScrewPlan, _axes, plan_screws
from keyhole.plan.screws.bone import Bone, bone
from keyhole.plan.screws.model import Screw
from keyhole.plan.screws.place import place
from keyhole.plan.screws.sizes import system, trajectory
from keyhole.terms import Origin

ROOT = Path(__file__).resolve().parents[1]
CELL = 3.0
MARGINS = (0.0, 0.5, 1.0)
LUMBAR = ("L1", "L2", "L3", "L4", "L5", "S1")


@dataclass(frozen=True)
class Spine:
    """One spine: its name and its fine labels of whole vertebrae."""

    name: str
    labels: LabelMap


def spine_of_phantom(seed: int) -> Spine:
    """Whole vertebrae L1 to S1 of a phantom at 1 mm."""
    body = phantom(PhantomParameters(seed=seed, pathologies=()))
    top, low = body.spine.places["L1"].at(0, 0, 22), body.spine.places["S1"].at(0, 0, -22)
    middle = (np.asarray(top) + np.asarray(low)) / 2 + [0, 18, 0]
    half = np.array([56.0, 62.0, 10 + abs(top[2] - low[2]) / 2])
    matrix = body.patient_from_phantom.matrix.copy()
    matrix[:3, 3] = body.patient_from_phantom.apply(middle) - matrix[:3, :3] @ half
    i, j, k = np.ceil(2 * half).astype(int)
    return Spine(f"phantom {seed}", whole(body.labels_on(Grid((i, j, k), affine(matrix)))))


def whole(labels: LabelMap) -> LabelMap:
    """Vertebrae as one label each, and the sacrum."""
    names: dict[str, int] = {}
    table = np.zeros(max(labels.structures) + 1, dtype=np.uint16)
    for n, key in labels.structures.items():
        head = key.split("/")
        if head[0] in ("vertebra", "sacrum"):
            table[n] = names.setdefault("/".join(head[:2]), len(names) + 1)
    return LabelMap(table[labels.array], labels.patient_from_index, {n: k for k, n in names.items()})


def spine_of_file(path: Path) -> Spine:
    """Whole vertebrae of a VerSe label map on Keyhole's grid."""
    labels, _ = on_keyhole_grid(read_labels(path, "verse").labels, path)
    return Spine(path.name.split("_")[0], labels)


def degraded(labels: LabelMap, phase: int) -> LabelMap:
    """`labels` as drawn on 3 mm cells that begin `phase` voxels off, brought back to 1 mm as an import does."""
    side = round(CELL / float(labels.grid.spacing[0]))
    pad = [(phase, (-(n + phase)) % side) for n in labels.array.shape]
    array = np.pad(labels.array, pad)
    shape = [n // side for n in array.shape]
    cells = array.reshape(shape[0], side, shape[1], side, shape[2], side)
    best, out = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=labels.array.dtype)
    for n in (0, *labels.structures):
        count = (cells == n).sum(axis=(1, 3, 5))
        out[count > best], best = n, np.maximum(best, count)
    matrix = labels.patient_from_index.matrix.copy()
    matrix[:3, 3] += matrix[:3, :3] @ (np.full(3, (side - 1) / 2 - phase))
    matrix[:3, :3] = matrix[:3, :3] * side
    present = set(np.unique(out).tolist())
    coarse = LabelMap(out, affine(matrix), {n: k for n, k in labels.structures.items() if n in present})
    return on_keyhole_grid(coarse, Path("degraded"))[0]


def anatomy(labels: LabelMap, sd: float) -> Anatomy:
    """The anatomy of whole vertebrae: their parts and frames."""
    known = {key: Structure(key, Origin.LABELLED, "benchmark", sd) for key in labels.keys}
    full, structures, caveats = complete(labels, known, None, "CT")
    found = vertebrae(full, structures=structures)
    return Anatomy(full, structures, found, np.empty((0, 3)), None, "CT", "benchmark", True, caveats)


def breach(seen: Bone, screw: Screw) -> float:
    """How deep points of the shaft lie outside the bone, mm: 0 without any. Brute force, no shared code."""
    reach = screw.radius
    one = np.cross(screw.way, [1.0, 0, 0] if abs(screw.way[0]) < 0.9 else [0, 1.0, 0])
    one /= np.linalg.norm(one)
    steps = np.arange(-reach, reach + 1e-9, 0.25)
    u, v, t = (a.ravel() for a in np.meshgrid(steps, steps, np.arange(0, screw.length, 0.25), indexing="ij"))
    cap = np.maximum(0.0, t - (screw.length - screw.radius))
    inside = u**2 + v**2 + cap**2 <= reach**2
    points = screw.entry + t[inside, None] * screw.way
    points = points + u[inside, None] * one + v[inside, None] * np.cross(screw.way, one)
    index = np.rint(seen.grid.index(points)).astype(int)
    held = ((index >= 0) & (index < np.array(seen.mask.shape))).all(axis=1)
    bony = np.zeros(len(points), dtype=bool)
    bony[held] = seen.mask[tuple(index[held].T)]
    beside = np.linalg.norm(seen.grid.centres(index) - screw.entry, axis=1) <= screw.radius + 3.0
    out = ~bony & ~beside
    depth = reach - np.sqrt(u[inside][out] ** 2 + v[inside][out] ** 2 + cap[inside][out] ** 2)
    return float(depth.max(initial=0.0))


def on_fine(seen: Bone, screw: Screw) -> Screw | None:
    """The same axis and tip in another reading of the bone: the entry is where the axis enters it."""
    neck = screw.entry + 0.4 * screw.length * screw.way
    matrix = np.ascontiguousarray(seen.grid.patient_from_index.inverse.matrix[:3])
    back = _axes.leaves(seen.depth, neck, -screw.way, matrix, 0.25)
    return None if back < 0 else replace(screw, entry=neck - back * screw.way)


@dataclass
class Tally:
    """What was seen of one kind of spine."""

    screws: int = 0
    pedicles: int = 0
    refused: int = 0
    own: int = 0
    worst: float = 0.0
    seconds: float = 0.0
    facets: Counter = None
    sizes: Counter = None
    expected: list = None

    def __post_init__(self) -> None:
        self.facets, self.sizes, self.expected = Counter(), Counter(), []


def count_own(tally: Tally, seen: Anatomy, kind: str) -> list[ScrewPlan]:
    """Plans on the spine's own labels, recounted."""
    names = [
        n
        for n in LUMBAR
        if n in seen.vertebrae and seen.vertebrae[n].complete and not (kind == "cortical" and n == "S1")
    ]
    start = time.perf_counter()
    plans = plan_screws(seen, names, trajectory=kind)
    tally.seconds += time.perf_counter() - start
    tally.pedicles += len(plans)
    for plan in plans:
        if plan.screw is None:
            tally.refused += 1
            print(f"      {plan.vertebra} {plan.side} {kind}: {plan.reason}")
            continue
        deep = breach(bone(seen, plan.vertebra), plan.screw)
        tally.screws += 1
        tally.own += deep <= 0
        tally.worst = max(tally.worst, deep)
        tally.facets[plan.facet] += 1
        tally.sizes[(plan.vertebra, 2 * plan.screw.radius)] += 1
        tally.expected.append(list(plan.grades.values()))
    return plans


def judged(fine: Anatomy, coarse: Anatomy, kind: str, margin: float) -> list[float]:
    """Breach on the fine bone, mm, of every plan made on the coarse labels that keeps `margin`."""
    found = []
    for name in (n for n in LUMBAR if all(n in a.vertebrae and a.vertebrae[n].complete for a in (fine, coarse))):
        if kind == "cortical" and name == "S1":
            continue
        seen, rough = bone(fine, name), bone(coarse, name)
        for side in ("left", "right"):
            placed = place(rough, side, trajectory(kind, name), system(), margin)
            if placed.screw is None or placed.gap < margin + rough.coarse:
                continue
            moved = on_fine(seen, placed.screw)
            found.append(placed.screw.radius if moved is None else max(0.0, breach(seen, moved)))
    return found


def parts(labels: LabelMap, sd: float) -> Anatomy:
    """The frames of whole vertebrae alone."""
    known = {key: Structure(key, Origin.LABELLED, "benchmark", sd) for key in labels.keys}
    found = vertebrae(labels, structures=known)
    return Anatomy(labels, known, found, np.empty((0, 3)), None, "CT", "benchmark", True)


def table(groups: dict[str, list[Spine]], own: dict, coarse: dict) -> str:
    """Both tables in Markdown."""
    lines = [
        "| spines | trajectory | places | screws | none | A, own labels | deepest, mm | expected A / A+B | s each |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (group, kind), t in own.items():
        mean = np.mean(t.expected, axis=0)
        lines.append(
            f"| {len(groups[group])} {group} | {kind} | {t.pedicles} | {t.screws} | {t.refused} "
            f"| {t.own} of {t.screws} | {t.worst:.2f} | {100 * mean[0]:.0f} / {100 * mean[:2].sum():.0f} % "
            f"| {t.seconds / t.pedicles:.2f} |"
        )
    lines += [
        "",
        "| spines | trajectory | margin at 3 mm, mm | plans | breach on fine | over 0.5 mm | over 2 mm | deepest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (group, kind, margin), found in coarse.items():
        deep = np.array(found or [0.0])
        shares = " | ".join(f"{100 * (deep > limit).mean():.1f} %" for limit in (0.0, 0.5, 2.0))
        lines.append(f"| {group} | {kind} | {margin:g} | {len(found)} | {shares} | {deep.max():.2f} mm |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=3)
    parser.add_argument("--phases", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "labelmaps_verse")
    parser.add_argument("--margins", type=float, nargs="*", default=MARGINS)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/screws.md")
    options = parser.parse_args()
    groups = {
        "phantoms": [spine_of_phantom(seed) for seed in range(options.phantoms)],
        "VerSe": [spine_of_file(path) for path in sorted(options.data.glob("*.nii.gz"))],
    }
    own: dict[tuple[str, str], Tally] = {}
    coarse: dict[tuple[str, str, float], list[float]] = {}
    for group, spines in groups.items():
        for spine in spines:
            fine = anatomy(spine.labels, 0.5)
            for kind in ("pedicle", "cortical"):
                count_own(own.setdefault((group, kind), Tally()), fine, kind)
            for phase in range(options.phases):
                rough = parts(degraded(spine.labels, phase), 1.0)
                for margin in options.margins:
                    coarse.setdefault((group, "pedicle", margin), []).extend(judged(fine, rough, "pedicle", margin))
                coarse.setdefault((group, "cortical", 1.0), []).extend(judged(fine, rough, "cortical", 1.0))
            print(spine.name, flush=True)
            print(table(groups, own, coarse), flush=True)
    if options.write:
        page = ROOT / "docs" / "screws.md"
        before, rest = page.read_text(encoding="utf-8").split("<!-- begin -->\n")
        after = rest.split("<!-- end -->")[1]
        page.write_text(f"{before}<!-- begin -->\n{table(groups, own, coarse)}\n<!-- end -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
