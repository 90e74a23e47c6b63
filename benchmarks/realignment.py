"""Realignment: imposed against measured heights and angles, and published relations of indirect decompression.

Three parts, written to docs/realignment.md between its marks:

* phantoms: random goals at random levels of random phantoms (labels of 1 mm, poses drawn). The level is set, the moved
  label map is drawn, and the level is measured on it by the functions of `assess`: over the columns its endplates had
  before (as plan.json has it), and with the endplates found anew as on any label map; beside it the phantom's own
  exact endplates, carried along, which also hold the error of measuring the level in the first place.
* real: the same on the label maps of VerSe (as `keyhole import` brings them to its grid), every whole lumbar level.
* relations: lateral cages by Keyhole's rule in degenerate discs and narrow foramina, next to published means; nothing
  is tuned.

    python benchmarks/realignment.py [--phantoms 24] [--relations 10] [--data FOLDER] [--rows FILE] [--write]

`--rows` keeps what was measured, so that a run can be taken up again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Endplate, Structure
from keyhole.anatomy.phantom import PhantomParameters, phantom
from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.endplates import endplate
from keyhole.anatomy.reading import load
from keyhole.assessment.disc.heights import disc_height
from keyhole.errors import KeyholeError
from keyhole.geometry import Grid, LabelMap, Plane, affine
from keyhole.plan.realign import Goal, Way, after, beds, cages, fit_cage, goal_of, measured_again, realign_levels
from keyhole.plan.realign.cages import height_for
from keyhole.plan.realign.changes import disc_measures, foramen_measures
from keyhole.plan.realign.motion import angles, facing, height_at, moved_vertebra, seat_point
from keyhole.terms import Origin

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/realignment.md"
COLLIDE = 0.02  # mL that two bodies share: more is no rounding of voxels
LEVELS = ("L2/L3", "L3/L4", "L4/L5", "L5/S1")
PUBLISHED = {
    "disc height": "+68.6 [formica2020]",
    "foramen height": "+21.9 [formica2020]",
    "foramen area": "+37.7 [formica2020]; +43.7 and +45.0 [olif-position]",
}


def around(body: Phantom, level: str, spacing: float) -> Grid:
    """A grid around `level` of a phantom, along the scan's axes."""
    upper, lower = level.split("/")
    places = [body.spine.places[name].at(0, 0, 0) for name in (upper, lower)]
    corners = np.array(
        [p + np.array([x, y, z]) for p in places for x in (-48, 48) for y in (-28, 80) for z in (-42, 42)]
    )
    ends = body.patient_from_phantom.apply(corners)
    low, high = ends.min(axis=0), ends.max(axis=0)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = low
    i, j, k = (int(n) for n in np.ceil((high - low) / spacing))
    return Grid((i, j, k), affine(matrix))


def seen(labels: LabelMap, sd: float) -> Anatomy:
    """The anatomy of a label map, everything taken as labelled."""
    present = set(np.flatnonzero(np.bincount(labels.array.ravel())).tolist())
    kept = LabelMap(
        labels.array,
        labels.patient_from_index,
        {n: k for n, k in labels.structures.items() if n in present},
        labels.drawn,
    )
    structures = {key: Structure(key, Origin.LABELLED, "benchmark", sd) for key in kept.keys}
    found = vertebrae(kept, structures=structures)
    line = canal_line(kept, found) if kept.labels_of("canal") else np.zeros((0, 3))
    return Anatomy(kept, structures, found, line, None, "CT", "benchmark", levels_confirmed=True)


def drawn_goal(rng: np.random.Generator, level: str, now: float) -> Goal:
    """A goal at random: up to 2 mm lower and 7 mm higher than the disc is, -2 to 22 deg, at any place."""
    height = float(np.clip(now + rng.uniform(-2, 7), 4.0, 18.0))
    at = (float(rng.uniform(-8, 8)), float(rng.uniform(-7, 7)))
    tilt = float(rng.uniform(-5, 5)) if rng.random() < 0.5 else None
    return Goal(level, height, float(rng.uniform(-2, 22)), at, tilt, float(rng.choice([0.0, 0.5, 1.0])))


def set_and_measured(anatomy: Anatomy, goal: Goal) -> dict[str, float]:
    """Error of every measure of the disc on the moved label map against the endplates carried along.

    Over the columns of before, and (named `anew ...`) with both footprints found anew.
    """
    result = realign_levels(anatomy, [goal])
    relabelled, made = after(result, goal.level.split("/"))
    again = measured_again(beds(anatomy, goal.level), result, relabelled, goal.level)
    wanted = {m.name: m.value for m in disc_measures(anatomy, goal.level, result.pair(goal.level))}
    row: dict[str, float] = {}
    for how, pair in (("", again), ("anew ", relabelled.pair(goal.level))):
        found = {m.name: m.value for m in disc_measures(anatomy, goal.level, pair)}
        row |= {how + name: found[name] - value for name, value in wanted.items()}
    bodies = [v for pair, v in made.overlap.items() if all(key.endswith("/body") for key in pair)]
    row["overlap"], row["bodies overlap"] = sum(made.overlap.values()), sum(bodies)
    return row


def against_truth(body: Phantom, anatomy: Anatomy, goal: Goal) -> tuple[float, float]:
    """Height (mm) and sagittal angle (deg) of the phantom's exact endplates carried along, less those imposed."""
    result = realign_levels(anatomy, [goal])
    over, under = facing(*anatomy.pair(goal.level))
    upper, lower = (anatomy.vertebrae[name] for name in goal.level.split("/"))
    exact = replace(upper, inferior=true_plate(body, over, upper.name, -1))
    floor = replace(lower, superior=true_plate(body, under, lower.name, 1))
    pair = moved_vertebra(exact, result.motions[upper.name]), floor
    place = seat_point(under, goal.at)
    return height_at(*facing(*pair), place) - goal.height, angles(goal.level, *pair)[0] - goal.lordosis


def true_plate(body: Phantom, known: Endplate, name: str, sense: int) -> Endplate:
    """`known` with the exact plane of the phantom."""
    true, at = endplate(body, name, sense).plane, body.patient_from_phantom
    return replace(known, plane=Plane(at.apply(true.point), at.turn(true.normal)))


def phantom_row(seed: int) -> dict[str, Any]:
    """One phantom with one goal."""
    rng = np.random.default_rng([seed, 27])
    level = LEVELS[int(rng.integers(len(LEVELS)))]
    kinds = (("degeneration",), ("spondylolisthesis",), ("foraminal-stenosis",), ())
    chosen = kinds[int(rng.integers(len(kinds)))]
    body = phantom(PhantomParameters(seed=seed, level=level, pathologies=chosen, severity=float(rng.uniform(0.2, 0.9))))
    anatomy = seen(body.labels_on(around(body, level, 1.0)), 0.3)
    goal = drawn_goal(rng, level, disc_height(level, *facing(*anatomy.pair(level))).value or 8.0)
    row: dict[str, Any] = {"case": f"phantom {seed}", "level": level, "goal": [goal.height, goal.lordosis]}
    row |= set_and_measured(anatomy, goal)
    row["truth height"], row["truth angle"] = against_truth(body, anatomy, goal)
    return row


def verse_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Every lumbar level of the VerSe label maps, with one goal each."""
    rng = np.random.default_rng(27)
    for path in sorted(folder.glob("*.nii.gz")):
        with TemporaryDirectory() as room:
            anatomy = load(import_case(Path(room) / "case", [], labels=path, scheme="verse"), with_image=False)
        for level in anatomy.levels:
            if level.split("/")[1][0] != "L":
                continue
            try:
                goal = drawn_goal(rng, level, disc_height(level, *facing(*anatomy.pair(level))).value or 8.0)
                yield {"case": path.name[:12], "level": level, "goal": [goal.height, goal.lordosis]} | set_and_measured(
                    anatomy, goal
                )
            except KeyholeError as error:
                yield {"case": path.name[:12], "level": level, "refused": str(error)}


def relation_row(seed: int) -> dict[str, Any]:
    """Change by a lateral cage of Keyhole's rule in a degenerate disc with a narrow foramen, in front and behind."""
    level = ("L3/L4", "L4/L5")[seed % 2]
    kinds = ("degeneration", "foraminal-stenosis")
    body = phantom(PhantomParameters(seed=100 + seed, level=level, pathologies=kinds, severity=0.7))
    anatomy = seen(body.labels_on(around(body, level, 1.0)), 0.3)
    row: dict[str, Any] = {"case": f"relation {seed}", "level": level}
    bed, line = beds(anatomy, level), cages()["lateral"]
    lower = anatomy.pair(level)[1]
    middle = facing(*anatomy.pair(level))[1].centre
    now = {m.name: m.value for m in disc_measures(anatomy, level, anatomy.pair(level))}
    before = {(m.name, m.side): m.value for m in foramen_measures(anatomy, level)}
    height = height_for(line, now["disc height"], now["disc height"] + 6.0)[0]
    sizes = [line.cage(height, 10.0, length, width) for length in line.lengths for width in line.widths]
    seat = fit_cage(bed, level, sizes, Way(middle + 70 * lower.left, middle, 11.0))
    for name, shift in (("middle", 0.0), ("front", -5.0), ("behind", 5.0)):
        placed = replace(seat, at=(seat.at[0], seat.at[1] + shift))
        result = realign_levels(anatomy, [goal_of(anatomy, placed)])
        relabelled, _ = after(result, level.split("/"))
        then = {m.name: m.value for m in disc_measures(anatomy, level, result.pair(level))}
        again = {(m.name, m.side): m.value for m in foramen_measures(relabelled, level)}
        for key in ("disc height", "posterior disc height", "segmental lordosis"):
            row[f"{name}: {key}"] = [now[key], then[key]]
        for (what, side), value in again.items():
            row[f"{name}: {what} {side}"] = [before[what, side], value]
    return row


def kept(rows: list[dict[str, Any]], made: Iterator[dict[str, Any]], file: Path | None) -> None:
    """Add rows, each written down at once."""
    for row in made:
        rows.append(row)
        print(json.dumps({k: v for k, v in row.items() if k in ("case", "level", "disc height", "disc wedge angle")}))
        if file is not None:
            file.write_text(json.dumps(rows, indent=0))


def spread(values: list[float]) -> str:
    """Mean, sd and largest of errors."""
    array = np.array(values)
    return f"{array.mean():+.3f} | {array.std():.3f} | {np.abs(array).max():.3f}"


MEASURES = ("disc height", "anterior disc height", "posterior disc height", "disc wedge angle", "coronal disc wedge",
            "slip", "lateral slip")  # fmt: skip
UNITS = {"disc wedge angle": "deg", "coronal disc wedge": "deg"}


def table(rows: list[dict[str, Any]], title: str) -> list[str]:
    """Errors of what was measured on the moved label maps."""
    good = [row for row in rows if "disc height" in row and row["bodies overlap"] < COLLIDE]
    lines = [
        f"**{title}** ({len(good)} levels)", "",
        "| | same footprint | | | footprint found anew | | |", "|---|---|---|---|---|---|---|",
        "| measure | mean | sd | largest | mean | sd | largest |",
    ]  # fmt: skip
    for name in MEASURES:
        both = " | ".join(spread([row[how + name] for row in good]) for how in ("", "anew "))
        lines.append(f"| {name}, {UNITS.get(name, 'mm')} | {both} |")
    lines.append("")
    if any("truth height" in row for row in good):
        for name, what in (("truth height", "height, mm"), ("truth angle", "sagittal angle, deg")):
            mean, sd, most = spread([row[name] for row in good if name in row]).split(" | ")
            lines.append(f"- {what}, of the phantom's exact endplates carried along: {mean}, sd {sd}, largest {most}")
        lines.append("")
    within = [
        np.mean([abs(r[f"{how}disc height"]) <= 0.2 and abs(r[f"{how}disc wedge angle"]) <= 0.2 for r in good])
        for how in ("", "anew ")
    ]
    lines += [
        f"Disc height within 0.2 mm and sagittal angle within 0.2 deg: {100 * within[0]:.0f} % over the same "
        f"footprint (as plan.json has it), {100 * within[1]:.0f} % with the footprint found anew.",
    ]
    for row in rows:
        if row.get("bodies overlap", 0.0) >= COLLIDE:
            lines += [
                f"Left out, since the two bodies would collide ({row['bodies overlap']:.2f} mL; the plan says so): "
                f"{row['case']} {row['level']}, {row['goal'][0]:.1f} mm with {row['goal'][1]:.1f} deg; angle off by "
                f"{row['disc wedge angle']:+.2f} deg."
            ]
    lines += [f"Refused: {row['case']} {row['level']}: {row['refused']}" for row in rows if "refused" in row]
    return [*lines, ""]


def relations(rows: list[dict[str, Any]]) -> list[str]:
    """Changes next to published ones."""
    lines = [
        f"Lateral cages in {len(rows)} phantoms with a degenerate disc and narrow foramina (severity 0.7), height by "
        "Keyhole's rule with healthy neighbours, cage of 10 deg. Not tuned.", "",
        "| change, % | cage in the middle | 5 mm in front | 5 mm behind | published |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for key in ("disc height", "foramen height", "foramen area", "foramen width"):
        cells = []
        for where in ("middle", "front", "behind"):
            found = [v for row in rows for k, v in row.items() if k.startswith(f"{where}: {key}")]
            gains = [100 * (b / a - 1) for a, b in found if a and b]
            cells.append(f"{np.mean(gains):+.1f} (sd {np.std(gains):.1f}, n {len(gains)})" if gains else "–")
        lines.append(f"| {key} | {' | '.join(cells)} | {PUBLISHED.get(key, '')} |")
    gained = [row["middle: segmental lordosis"] for row in rows]
    raised = [row["middle: posterior disc height"] for row in rows]
    taller = [
        (b - a, (two - one))
        for row, (one, two) in zip(rows, raised, strict=True)
        for k, (a, b) in ((k, v) for k, v in row.items() if k.startswith("middle: foramen height"))
        if a and b
    ]
    slope = float(np.mean([a / b for a, b in taller if abs(b) > 0.5])) if taller else float("nan")
    lines += [
        "",
        f"Segmental lordosis {np.mean([b - a for a, b in gained]):+.1f} deg with cages of 10 deg (published +7.4 at "
        f"once, +6.1 later, standing [bakare2021]; +3.0, sd 5.1, [olif-position]): what is imposed, less what the disc "
        f"had. Per mm of posterior disc height the foramen grew by {slope:.2f} mm.",
        "",
    ]
    return lines


def written(rows: list[dict[str, Any]]) -> str:
    """The tables, as they stand in the document."""
    parts = [
        *table([r for r in rows if r["case"].startswith("phantom")], "Phantoms"),
        *table([r for r in rows if r["case"].startswith("sub")], "VerSe label maps"),
        "## Published relations of indirect decompression", "",
        *relations([r for r in rows if r["case"].startswith("relation")]),
    ]  # fmt: skip
    return "\n".join(parts)


def main() -> None:
    """Run, print, and with --write put the tables between the marks of the document."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--phantoms", type=int, default=24)
    asked.add_argument("--relations", type=int, default=10)
    asked.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/labelmaps_verse")
    asked.add_argument("--rows", type=Path)
    asked.add_argument("--write", action="store_true")
    options = asked.parse_args()
    rows: list[dict[str, Any]] = []
    if options.rows is not None and options.rows.is_file():
        rows = json.loads(options.rows.read_text())
    done = {row["case"] for row in rows}
    kept(rows, (phantom_row(n) for n in range(options.phantoms) if f"phantom {n}" not in done), options.rows)
    if options.data.is_dir() and not any(case.startswith("sub") for case in done):
        kept(rows, verse_rows(options.data), options.rows)
    kept(rows, (relation_row(n) for n in range(options.relations) if f"relation {n}" not in done), options.rows)
    text = written(rows)
    sys.stdout.write(text)
    if options.write:
        head, _, rest = DOCUMENT.read_text().partition("<!-- measured -->\n")
        _, _, tail = rest.partition("<!-- end -->")
        DOCUMENT.write_text(f"{head}<!-- measured -->\n{text}<!-- end -->{tail}")


if __name__ == "__main__":
    main()
