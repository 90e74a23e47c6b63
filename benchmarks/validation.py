"""Published relations of corridor surgery beside what Keyhole finds, reproduced or not; nothing is tuned to them.

    python benchmarks/validation.py [--data ../shared/data] [--phantoms 3] [--relation NAME ..] [--write]

Every level of the real CT from both sides, and phantoms without disease, are planned as a user would; what a
decompression takes is looked at on stenotic phantoms. Each published figure stands beside the median and range found,
with the word that follows from it alone. Rows that a run does not make anew are kept.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.phantom import PhantomParameters, phantom, write_phantom
from keyhole.anatomy.reading import load
from keyhole.assessment import assess_case
from keyhole.casefile import Case, PlanRecord
from keyhole.errors import KeyholeError
from keyhole.geometry import unit
from keyhole.plan import plan
from keyhole.plan.frame import level_frame
from keyhole.terms import Origin, split

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/validation.md"
MARKS = ("<!-- relations begin -->", "<!-- relations end -->")
TORSO = "ct_abdomen_3mm"
LEVELS = ("L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")
FLANK = "transforaminal-endoscopic"
FORAMINOPLASTY = "transforaminal-endoscopic-foraminoplasty"
SIDEWAYS = ("lateral-transpsoas", "oblique-antepsoas")

RELATIONS = ("corridors", "window", "removal")
"""What can be run: corridors with Kambin's circle and pedicles; the interlaminar window; facet against bone removed."""

TUBES = ("tubular-paramedian", "interlaminar-endoscopic", "biportal-endoscopic", "tubular-over-the-top")

Values = dict[tuple[str, str], list[float]]
"""What was found, by relation and level (or vertebra)."""

Figure = tuple[float, float, str]
"""A published mean, its sd (nan: none is given), and the key of its source."""

NAN = float("nan")
OVER_THE_TOP, ENDOSCOPIC = "tubular-over-the-top", ("interlaminar-endoscopic", "biportal-endoscopic")
TAKEN = "facet of the side for half more canal, %"
TAKEN_OTHER = "facet of the other side for half more canal, %"

PUBLISHED: dict[tuple[str, str], tuple[Figure, ...]] = {
    ("Kambin cannula with root, mm", "L1/L2"): ((4.03, 1.08, "pairaiturkar"), (5.74, NAN, "kumari-kambin")),
    ("Kambin cannula with root, mm", "L4/L5"): ((7.71, NAN, "kumari-kambin"),),
    ("Kambin cannula with root, mm", "L5/S1"): ((6.11, 1.0, "pairaiturkar"),),
    ("transforaminal entry from the midline, mm", "L1/L2"): ((58.9, 10.2, "endoscopic-entry"),),
    ("transforaminal entry from the midline, mm", "L2/L3"): ((63.3, 9.8, "endoscopic-entry"),),
    ("transforaminal entry from the midline, mm", "L3/L4"): (
        (67.8, 12.8, "endoscopic-entry"),
        (90.0, NAN, "rajagopal-mri"),
    ),
    ("transforaminal entry from the midline, mm", "L4/L5"): (
        (83.9, 13.7, "endoscopic-entry"),
        (140.0, NAN, "rajagopal-mri"),
    ),
    ("transforaminal entry from the midline, mm", "L5/S1"): (
        (95.3, 19.4, "endoscopic-entry"),
        (180.0, NAN, "rajagopal-mri"),
    ),
    **{
        (f"transforaminal cranial tilt {how}, deg", level): ((tilt, NAN, "rajagopal-mri"),)
        for how in ("against the axial plane", "seen from the side")
        for level, tilt in (("L3/L4", -3.0), ("L4/L5", 10.0), ("L5/S1", 27.0))
    },
    ("interlaminar window width, mm", "L2/L3"): ((16.3, 3.4, "sakci2018"),),
    ("interlaminar window width, mm", "L3/L4"): ((17.3, 3.3, "sakci2018"),),
    ("interlaminar window width, mm", "L4/L5"): ((21.7, 3.4, "sakci2018"),),
    ("interlaminar window width, mm", "L5/S1"): ((27.7, 4.0, "sakci2018"), (23.55, 4.91, "wang2021-window")),
    ("interlaminar window height, mm", "L2/L3"): ((14.0, 4.1, "sakci2018"),),
    ("interlaminar window height, mm", "L5/S1"): ((11.1, 2.4, "sakci2018"), (9.35, 2.46, "wang2021-window")),
    ("pedicle width, mm", "L5"): ((16.1, 2.3, "cook2021"),),
    (f"{TAKEN}, {OVER_THE_TOP}", "L4/L5"): ((30.0, 4.0, "papavero2021"), (12.0, 6.0, "papavero2021")),
    (f"{TAKEN_OTHER}, {OVER_THE_TOP}", "L4/L5"): ((13.0, 6.0, "papavero2021"), (9.0, 6.0, "papavero2021")),
    **{(f"{TAKEN}, {one}", "L4/L5"): ((5.3, 2.6, "endoscopic-bone"),) for one in ENDOSCOPIC},
    **{(f"{TAKEN_OTHER}, {one}", "L4/L5"): ((4.3, 4.9, "endoscopic-bone"),) for one in ENDOSCOPIC},
}
"""Entries of rajagopal-mri are those to the posterior nucleus, those of endoscopic-entry the best for an endoscopic
fusion; tilt is that of the way out, up being positive; its abstract does not say against what. Of papavero2021 the
usual and the facet-sparing way; sd of endoscopic-bone from its 95 % interval of 21 levels."""


def cases(data: Path, phantoms: int, room: Path) -> Iterator[tuple[str, Case]]:
    """The real CT, where it is, and phantoms without disease, imported and assessed."""
    folder = data / TORSO
    sources = [("real CT", [folder / "ct.nii.gz"], folder / "labels_totalsegmentator_total.nii.gz")]
    sources = [one for one in sources if one[2].is_file()]
    for seed in range(phantoms):
        made = write_phantom(room / f"phantom{seed}", seed=20 + seed, pathology="none")
        sources.append((f"phantom {20 + seed}", [made / "ct.nii.gz"], made / "labels.nii.gz"))
    for name, images, labels in sources:
        case = import_case(room / name.replace(" ", "-"), images, labels=labels)
        assess_case(case)
        yield name, case


def corridors(anatomy: Anatomy, level: str, made: PlanRecord, found: Values) -> None:
    """Entry and tilt of the best transforaminal corridor of each side.

    The way out's tilt is said three ways: against the disc's plane, against the patient's axial plane, and as it looks
    from the side on a sagittal image. The abstract that was read calls it a sagittal tilt and leaves open which.
    """
    for side in ("left", "right"):
        frame = level_frame(anatomy, level, side)
        mine = [c for c in made.candidates if c.side == side and c.approach in (FLANK, FORAMINOPLASTY)]
        if mine:
            way = unit(np.array(mine[0].entry) - np.array(mine[0].dock))
            found["transforaminal entry from the midline, mm", level].append(float(frame.local(mine[0].entry)[0]))
            tilts = {
                "against the disc": np.arcsin(way @ frame.up),
                "against the axial plane": np.arcsin(way[2]),
                "seen from the side": np.arctan2(way[2], way[1]),
            }
            for how, tilt in tilts.items():
                found[f"transforaminal cranial tilt {how}, deg", level].append(float(np.degrees(tilt)))


def sideways(anatomy: Anatomy, level: str, found: Values) -> None:
    """How many corridors to the disc from the flank are feasible, both sides together."""
    made = plan(anatomy, level, "both", "fuse", approaches=list(SIDEWAYS))
    for one in made.feasibility:
        found[f"feasible corridors, {one.approach}", level].append(float(one.feasible[0]))


def window(anatomy: Anatomy, level: str) -> tuple[float, float] | None:
    """Width and height of the interlaminar window seen from behind, mm; None where it is not closed by bone.

    Laminae and articular processes of both vertebrae behind the disc's border, without the spinous processes, on a
    lattice of 1 mm: the longest free run across between two pieces of bone, over the rows between the laminae, and the
    longest upright one within 8 mm of the midline.
    """
    frame = level_frame(anatomy, level, "left")
    upper, lower = split(level)
    labels = anatomy.labels
    parts = [f"vertebra/{v}/{p}" for v in (upper, lower) for p in ("lamina", "facet")]
    mask = labels.mask(*parts, *(("sacrum", "vertebra/S1") if lower == "S1" else ()))
    local = frame.local(labels.grid.centres(np.argwhere(mask)))
    local = local[(local[:, 1] > frame.border + 8) & (np.abs(local[:, 0]) < 30) & (np.abs(local[:, 2]) < 35)]
    seen = np.zeros((61, 71), dtype=bool)
    for a, b in itertools.product((-0.3, 0.3), repeat=2):
        seen[tuple((np.rint(local[:, [0, 2]] + np.array([a, b])) + np.array([30, 35])).astype(int).T)] = True
    tall = [run for column in seen[22:39] for run in _runs(column)]
    if not tall:
        return None
    low, high = max(tall, key=lambda run: run[1] - run[0])
    wide = [run[1] - run[0] for row in seen[:, low:high].T for run in _runs(row) if run[0] <= 30 <= run[1]]
    return (float(max(wide)), float(high - low)) if wide else None


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Starts and ends of the free runs between two pieces of bone."""
    bone = np.flatnonzero(line)
    return [(int(a) + 1, int(b)) for a, b in itertools.pairwise(bone) if b - a > 1]


def windows(anatomy: Anatomy, found: Values) -> None:
    """The window of every level in view."""
    for level in LEVELS:
        if all(name in anatomy.vertebrae for name in split(level)):
            size = window(anatomy, level)
            if size is not None:
                found["interlaminar window width, mm", level].append(size[0])
                found["interlaminar window height, mm", level].append(size[1])


def removals(phantoms: int, found: Values) -> None:
    """Bone and facet that half more canal takes through small tubes, on stenotic phantoms at L4/L5."""
    for seed in range(phantoms):
        asked = PhantomParameters(seed=40 + seed, pathologies=("central-stenosis",), level="L4/L5", severity=0.7)
        anatomy = anatomy_of(asked)
        for one in plan(anatomy, "L4/L5", "left", "decompress", approaches=list(TUBES)).candidates:
            told = one.decompression
            share = None if told is None else told.facet_removed.get("L4/L5/left")
            if told is None or told.bone is None or share is None or told.goal is None or not told.goal.reached:
                continue
            bone, facet = float(told.bone.value or 0.0), float(share.value or 0.0)
            other = told.facet_removed.get("L4/L5/right")
            found[f"bone for half more canal, mL, {one.approach}", "L4/L5"].append(bone)
            found[f"{TAKEN}, {one.approach}", "L4/L5"].append(facet)
            found[f"{TAKEN_OTHER}, {one.approach}", "L4/L5"].append(0.0 if other is None else float(other.value or 0.0))
            if bone > 0.05:
                found[f"facet per bone removed, % per mL, {one.approach}", "L4/L5"].append(facet / bone)


def anatomy_of(asked: PhantomParameters) -> Anatomy:
    """A phantom's exact labels as an anatomy."""
    body = phantom(asked)
    labels = body.labels_on(body.grid(1.25))
    known = {key: Structure(key, Origin.LABELLED, "phantom", 0.3) for key in labels.keys}
    frames = vertebrae(labels, structures=known)
    return Anatomy(labels, known, frames, canal_line(labels, frames), None, "CT", "true", True)


def look(name: str, case: Case, found: Values) -> None:
    """All relations of one case."""
    for one in assess_case(case).findings:
        if one.value is None or one.level is None:
            continue
        if one.name.startswith("Kambin cannula"):
            found[f"{one.name}, mm", one.level].append(float(one.value))
        if one.name == "pedicle width":
            found["pedicle width, mm", one.level].append(float(one.value))
    anatomy = load(case, with_image=False)
    for level in LEVELS:
        try:
            corridors(
                anatomy, level, plan(anatomy, level, "both", "decompress", approaches=[FLANK, FORAMINOPLASTY]), found
            )
            if level in ("L4/L5", "L5/S1"):
                sideways(anatomy, level, found)
        except KeyholeError as error:
            print(f"{name} {level}: {error}")
        print(f"{name} {level} done", flush=True)


def word(values: list[float], published: tuple[Figure, ...]) -> tuple[str, str]:
    """The published figures, and whether what was found agrees with each: within 2 sd, or 25 % where none is given."""
    told, verdicts = [], []
    for mean, sd, source in published:
        room = 2 * sd if np.isfinite(sd) else max(0.25 * abs(mean), 5.0)
        told.append(f"{mean:g}" + (f" ± {sd:g}" if np.isfinite(sd) else "") + f" [{source}]")
        verdicts.append("reproduced" if abs(float(np.median(values)) - mean) <= room else "not reproduced")
    return "; ".join(told), "; ".join(verdicts)


def rows(found: Values, where: str) -> dict[tuple[str, ...], str]:
    """The rows of the table, by relation, level and where it was found."""
    out = {}
    for (name, level), values in found.items():
        low, middle, high = np.percentile(values, (0, 50, 100))
        told, verdict = word(values, PUBLISHED.get((name, level), ()))
        line = f"| {name} | {level} | {where} | {len(values)} | {middle:.1f} | {low:.1f} to {high:.1f} | {told} |"
        out[name, level, where] = f"{line} {verdict} |"
    return out


def kept(text: str) -> dict[tuple[str, ...], str]:
    """The rows of an earlier table."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| relation")]
    return {tuple(cell.strip() for cell in line.split("|")[1:4]): line for line in lines}


def table(lines: Mapping[tuple[str, ...], str]) -> str:
    """Every relation by level."""
    head = ["| relation | level | in | n | median | range | published | |", "|---|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *(lines[key] for key in sorted(lines))]) + "\n"


def main() -> None:
    """Plan, print and, where asked, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--phantoms", type=int, default=3)
    parser.add_argument("--relation", action="append", choices=RELATIONS, help="without it all")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    found: dict[str, Values] = {"real CT": defaultdict(list), "phantoms": defaultdict(list)}
    run(chosen, found)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(MARKS[0])
    earlier, after = rest.split(MARKS[1])
    lines = kept(earlier)
    for where, values in found.items():
        lines |= rows(values, where)
    print(table(lines))
    if chosen.write:
        DOCUMENT.write_text(f"{before}{MARKS[0]}\n{table(lines)}{MARKS[1]}{after}", encoding="utf-8")


def run(chosen: argparse.Namespace, found: dict[str, Values]) -> None:
    """Every relation that is asked for, into `found` by where it was found."""
    relations = chosen.relation or RELATIONS
    if "removal" in relations:
        removals(chosen.phantoms, found["phantoms"])
    if "corridors" in relations:
        with tempfile.TemporaryDirectory() as room:
            for name, case in cases(chosen.data, chosen.phantoms, Path(room)):
                values = found["real CT" if name == "real CT" else "phantoms"]
                look(name, case, values)
                windows(load(case, with_image=False), values)
    elif "window" in relations:
        for seed in range(chosen.phantoms):
            windows(anatomy_of(PhantomParameters(seed=20 + seed, pathologies=())), found["phantoms"])


if __name__ == "__main__":
    main()
