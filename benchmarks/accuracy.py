"""Every measure of `keyhole assess` against the truth of random phantoms: bias, limits of agreement, coverage.

Two rounds. `exact`: labels sampled at 1 mm, nobody errs but the voxels. `read`: in plane 0.5 to 1 mm, slices of 1 to
4 mm in any of three directions, outlines off as a reader's are (tests/reference/reader.py) by the sd that Keyhole takes
for labels of that spacing. Poses, pathologies, severities, levels and sides are drawn. Every sixteenth case shows the
whole lumbar spine with its muscles and comes with noisy images; the others show the diseased level and its neighbours.

    python benchmarks/accuracy.py [--cases 200] [--exact 32] [--processes 2] [--rows FILE] [--scans FOLDER] [--write]

`--scans` keeps the painted scans, `--rows` what was measured, so that a run can be taken up again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/reference"))
from reader import drawn_on

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PATHOLOGIES, PHANTOM, PhantomParameters, findings, phantom
from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.parameters import NAMES
from keyhole.anatomy.placement import on_keyhole_grid
from keyhole.anatomy.schemes import boundary_sd
from keyhole.assessment.findings import measured
from keyhole.assessment.model import entry
from keyhole.assessment.study import Study
from keyhole.casefile import Patient
from keyhole.errors import KeyholeError
from keyhole.geometry import Grid, LabelMap, Transform, Volume, affine
from keyhole.geometry.transform import PATIENT
from keyhole.terms import LUMBAR_LEVELS, SIDES, Origin

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/accuracy.md"
MARKS = ("<!-- accuracy begin -->", "<!-- accuracy end -->")
NINETY = 1.645
"""Half width of a 90 % interval, sd."""

SPINE, TRUNK = (36.0, 26.0, 64.0), (88.0, 34.0, 92.0)
"""Mm to the sides, in front and behind that are scanned around each vertebra: bones only, or the muscles too."""

DIAMETER, AREA, ANGLE, PEDICLE = 1.0, 0.08, 2.0, 0.8
"""What 95 % of the cases at 1 mm must keep: mm, share, degrees, mm."""

TITLES = {True: "Exact labels at 1 mm", False: "Labels as readers draw them, 0.5 to 1 mm by 1 to 4 mm"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """One case: which phantom, how it lies, on which voxels, drawn how well, and how much of it is in view."""

    seed: int
    parameters: PhantomParameters
    pose: Transform
    spacing: tuple[float, float, float]
    sd: float
    is_wide: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The vertebrae in view."""
        upper = NAMES.index(self.parameters.level.split("/")[0])
        return NAMES[1:] if self.is_wide else NAMES[max(0, upper - 1) : upper + 3]


def draw(seed: int, *, is_exact: bool) -> Draw:
    """Case `seed` of a round."""
    rng = np.random.default_rng([seed, 314])
    kinds = [name for name in PATHOLOGIES if rng.random() < 0.35]
    parameters = PhantomParameters(
        seed=seed,
        pathologies=tuple(kinds),
        level=LUMBAR_LEVELS[int(rng.integers(5))],
        side=SIDES[int(rng.integers(2))],
        severity=float(rng.uniform(0.0, 1.0)),
        age=float(rng.uniform(25.0, 85.0)),
        is_mirrored=bool(rng.random() < 0.3),
    )
    axis = rng.normal(size=3)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(np.radians(rng.uniform(0, 20)) * axis / np.linalg.norm(axis)).as_matrix()
    pose[:3, 3] = rng.uniform(-50, 50, 3)
    plane, slices = rng.uniform(0.5, 1.0), rng.uniform(1.0, 4.0)
    spacing = [plane, plane, plane]
    spacing[(2, 0, 2, 1)[seed % 4 if seed % 8 else seed // 8 % 4]] = (
        slices  # half axial, a quarter sagittal, a quarter coronal
    )
    if is_exact:
        spacing = [1.0, 1.0, 1.0]
    sd = 0.0 if is_exact else boundary_sd(np.array(spacing))
    at = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    return Draw(seed, parameters, Transform(PATIENT, PHANTOM, pose), at, sd, is_wide=seed % 16 == 0)


def window(body: Phantom, one: Draw) -> Grid:
    """Scanner axes around the vertebrae in view."""
    aside, front, back = TRUNK if one.is_wide else SPINE
    box = [(a, b, c) for a in (-aside, aside) for b in (-front, back) for c in (-22, 22)]
    corners = body.patient_from_phantom.apply(
        np.array([body.spine.places[name].at(*corner) for name in one.names for corner in box])
    )
    low, high = corners.min(axis=0), corners.max(axis=0)
    matrix = np.diag([*one.spacing, 1.0])
    matrix[:3, 3] = low + np.random.default_rng([one.seed, 7]).uniform(0, 1, 3) * one.spacing
    i, j, k = (int(n) for n in np.ceil((high - low) / one.spacing))
    return Grid((i, j, k), affine(matrix))


def painted(body: Phantom, one: Draw, keep: Path | None) -> tuple[LabelMap, list[Volume]]:
    """The labels, and CT and T2 of a wide case; from the folder `keep` where they are there already."""
    grid = window(body, one)
    file = None if keep is None else keep / f"{'exact' if one.sd == 0 else 'read'}-{one.seed}.npz"
    if file is not None and file.is_file():
        with np.load(file) as kept:
            arrays = [kept[name] for name in kept.files]
    else:
        arrays = [drawn_on(body, grid, one.sd, one.seed).array]
        arrays += [body.ct_on(grid).array, body.t2_on(grid).array] if one.is_wide else []
        if file is not None:
            np.savez_compressed(file, *arrays)
    at = grid.patient_from_index
    return LabelMap(arrays[0], at, body.named), [Volume(array, at) for array in arrays[1:]]


def study(body: Phantom, one: Draw, keep: Path | None = None) -> Study:
    """What `keyhole assess` would have before it after an import of these labels."""
    labels, scans = painted(body, one, keep)
    labels, _ = on_keyhole_grid(labels, Path("phantom"))
    structures = {key: Structure(key, Origin.LABELLED, "phantom", one.sd) for key in labels.keys}
    found = vertebrae(labels, structures=structures)
    images = {kind: (lambda scan=scan: scan) for kind, scan in zip(("CT", "T2"), scans, strict=False)}
    line = canal_line(labels, found)
    anatomy = Anatomy(labels, structures, found, line, scans[0] if scans else None, "CT", "true", levels_confirmed=True)
    return Study(anatomy, images, Patient(age=one.parameters.age, sex="F"))


Case = tuple[int, bool, Path | None]
"""Seed, whether its labels are exact, and the folder of painted scans."""


def rows(case: Case) -> list[Row]:
    """Every measure of one case beside its truth."""
    seed, is_exact, keep = case
    one = draw(seed, is_exact=is_exact)
    body = phantom(one.parameters, pose=one.pose)
    start = time.perf_counter()
    try:
        found = measured(study(body, one, keep))
    except KeyholeError as error:
        return [{"seed": seed, "exact": is_exact, "name": "REFUSED", "why": str(error)}]
    seconds = time.perf_counter() - start
    true = {(f.name, f.level, f.side): f.value for f in findings(body, _levels(one))}
    made = []
    for got in map(entry, found):
        truth = true.pop((got.name, got.level, got.side), None)
        if truth is None:
            continue  # no truth: listed by the tests of that measure
        made.append(
            {"seed": seed, "exact": is_exact, "name": got.name, "level": got.level, "side": got.side, "unit": got.unit,
             "truth": truth, "value": got.value, "sd": got.sd, "why": got.caveats[0] if got.value is None else ""}
        )  # fmt: skip
    for name, level, side in true:
        if not (level or "T").startswith("T"):  # assess measures the lumbar spine
            made.append({"seed": seed, "exact": is_exact, "name": name, "level": level, "side": side, "missing": True})
    made.append({"seed": seed, "exact": is_exact, "name": "TIME", "seconds": seconds})
    return made


def _levels(one: Draw) -> tuple[str, ...]:
    return tuple(f"{a}/{b}" for a, b in itertools.pairwise(one.names))


@dataclass(frozen=True)
class Line:
    """One measure in one round."""

    name: str
    unit: str
    n: int
    unknown: int
    bias: float
    low: float
    high: float
    within: float | None
    covered: float
    median_sd: float


def summary(found: Iterable[Row]) -> list[Line]:
    """Bias, 95 % limits of agreement, share within the target, coverage of the 90 % interval, by measure."""
    of: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        if "truth" in row:
            of[row["name"]].append(row)
    return [_line(name, of[name]) for name in sorted(of)]


def _line(name: str, of: list[Row]) -> Line:
    known = [row for row in of if row["value"] is not None]
    unit = of[0]["unit"]
    if not known:
        nan = float("nan")
        return Line(name, unit, 0, len(of), nan, nan, nan, None, nan, nan)
    value, truth, sd = (np.array([row[key] for row in known], dtype=float) for key in ("value", "truth", "sd"))
    off = value - truth
    limit = _limit(name, unit, truth)
    low, high = np.percentile(off, (2.5, 97.5))
    inside = np.abs(off) <= NINETY * sd + 5e-4
    within = None if limit is None else float((np.abs(off) <= limit).mean())
    middle = float(np.median(sd))
    return Line(
        name, unit, len(known), len(of) - len(known), float(off.mean()), low, high, within, float(inside.mean()), middle
    )


def _limit(name: str, unit: str, truth: np.ndarray) -> np.ndarray | None:
    if name == "pedicle width":
        return np.full(len(truth), PEDICLE)
    if unit == "mm2":
        return AREA * truth
    return {"mm": np.full(len(truth), DIAMETER), "deg": np.full(len(truth), ANGLE)}.get(unit)


def table(lines: list[Line]) -> str:
    """The lines as Markdown."""
    out = [
        "| measure | unit | n (unknown) | bias | 95 % limits | within target | 90 % interval covers | median sd |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in lines:
        if one.n == 0:
            out.append(f"| {one.name} | {one.unit} | 0 ({one.unknown}) | | | | | |")
            continue
        within = "" if one.within is None else f"{100 * one.within:.1f} %"
        off = f"{one.bias:+.2f} | {one.low:+.2f} to {one.high:+.2f}"
        known = f"{one.name} | {one.unit} | {one.n} ({one.unknown})"
        out.append(f"| {known} | {off} | {within} | {100 * one.covered:.0f} % | {one.median_sd:.2f} |")
    return "\n".join(out)


def run(cases: list[Case], processes: int, keep: Path | None) -> Iterator[Row]:
    """Rows of all cases; those in `keep` are not computed again, new ones are added to it."""
    done: list[Row] = []
    if keep is not None and keep.is_file():
        done = [json.loads(line) for line in keep.read_text().splitlines()]
    seen = {(row["seed"], row["exact"]) for row in done}
    wanted = {case[:2] for case in cases}
    yield from (row for row in done if (row["seed"], row["exact"]) in wanted)
    left = [case for case in cases if case[:2] not in seen]
    with multiprocessing.get_context("spawn").Pool(processes, _alone, maxtasksperchild=40) as pool:
        for n, made in enumerate(pool.imap_unordered(rows, left), 1):
            print(f"{n}/{len(left)} seed {made[0]['seed']}", file=sys.stderr, flush=True)
            if keep is not None:
                with keep.open("a") as stream:
                    stream.writelines(json.dumps(row) + "\n" for row in made)
            yield from made


def _alone() -> None:
    """One thread for each process."""
    import numba  # noqa: PLC0415  (heavy import)

    numba.set_num_threads(1)


def main() -> None:
    """Run both rounds and print, or write, the tables."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--cases", type=int, default=200)
    asked.add_argument("--exact", type=int, default=32)
    asked.add_argument("--processes", type=int, default=2)
    asked.add_argument("--rows", type=Path)
    asked.add_argument("--scans", type=Path)
    asked.add_argument("--write", action="store_true")
    options = asked.parse_args()
    exact = [(n, True, options.scans) for n in range(options.exact)]
    cases = exact + [(n, False, options.scans) for n in range(options.cases)]
    found = list(run(cases, options.processes, options.rows))
    text = report(found)
    print(text)
    if options.write:
        document = DOCUMENT.read_text()
        before, after = document.split(MARKS[0])[0], document.split(MARKS[1])[1]
        DOCUMENT.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def report(found: list[Row]) -> str:
    """Both rounds in words and tables."""
    parts = []
    for is_exact, title in (
        (True, "Exact labels at 1 mm"),
        (False, "Labels as readers draw them, 0.5 to 1 mm by 1 to 4 mm"),
    ):
        mine = [row for row in found if row["exact"] is is_exact]
        refused = [row for row in mine if row["name"] == "REFUSED"]
        missing = sorted({row["name"] for row in mine if row.get("missing")})
        n = len({row["seed"] for row in mine})
        parts += [f"### {title}: {n} phantoms", ""]
        if refused:
            parts += [f"Refused: {len(refused)}; the first: {refused[0]['why']}", ""]
        if missing:
            parts += [f"True values that assess does not give at all: {', '.join(missing)}", ""]
        parts += [table(summary(mine)), ""]
    return re.sub(r"[ \t]+\n", "\n", "\n".join(parts)).rstrip()


if __name__ == "__main__":
    main()
