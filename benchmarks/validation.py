"""Published relations of corridor surgery beside what Keyhole finds, reproduced or not; nothing is tuned to them.

    python benchmarks/validation.py [--data ../shared/data] [--phantoms 3] [--write]

Every level of the real CT from both sides, and phantoms without disease, are planned as a user would. Each published
figure stands beside the median and range found, with the word that follows from it alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.model import Anatomy
from keyhole.anatomy.phantom import write_phantom
from keyhole.anatomy.reading import load
from keyhole.assessment import assess_case
from keyhole.casefile import Case, PlanRecord
from keyhole.errors import KeyholeError
from keyhole.plan import plan
from keyhole.plan.frame import level_frame

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/validation.md"
MARKS = ("<!-- relations begin -->", "<!-- relations end -->")
TORSO = "ct_abdomen_3mm"
LEVELS = ("L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")
FLANK = "transforaminal-endoscopic"
FORAMINOPLASTY = "transforaminal-endoscopic-foraminoplasty"
SIDEWAYS = ("lateral-transpsoas", "oblique-antepsoas")

Values = dict[tuple[str, str], list[float]]
"""What was found, by relation and level (or vertebra)."""

PUBLISHED: dict[tuple[str, str], tuple[float, float, str]] = {
    ("Kambin cannula with root, mm", "L1/L2"): (4.03, 1.08, "pairaiturkar"),
    ("Kambin cannula with root, mm", "L5/S1"): (6.11, 1.0, "pairaiturkar"),
    ("transforaminal entry from the midline, mm", "L3/L4"): (90.0, float("nan"), "rajagopal-mri"),
    ("transforaminal entry from the midline, mm", "L4/L5"): (140.0, float("nan"), "rajagopal-mri"),
    ("transforaminal entry from the midline, mm", "L5/S1"): (180.0, float("nan"), "rajagopal-mri"),
    ("transforaminal cranial tilt, deg", "L3/L4"): (-3.0, float("nan"), "rajagopal-mri"),
    ("transforaminal cranial tilt, deg", "L4/L5"): (10.0, float("nan"), "rajagopal-mri"),
    ("transforaminal cranial tilt, deg", "L5/S1"): (27.0, float("nan"), "rajagopal-mri"),
}
"""Mean and sd. Entries are those to the posterior nucleus; tilt is that of the way out, up being positive."""


def cases(data: Path, phantoms: int, room: Path) -> Iterator[tuple[str, Case]]:
    """The real CT and phantoms without disease, imported and assessed."""
    folder = data / TORSO
    sources = [("real CT", [folder / "ct.nii.gz"], folder / "labels_totalsegmentator_total.nii.gz")]
    for seed in range(phantoms):
        made = write_phantom(room / f"phantom{seed}", seed=20 + seed, pathology="none")
        sources.append((f"phantom {20 + seed}", [made / "ct.nii.gz"], made / "labels.nii.gz"))
    for name, images, labels in sources:
        case = import_case(room / name.replace(" ", "-"), images, labels=labels)
        assess_case(case)
        yield name, case


def corridors(anatomy: Anatomy, level: str, made: PlanRecord, found: Values) -> None:
    """Entry and tilt of the best transforaminal corridor of each side; bone and facet of every decompression."""
    for side in ("left", "right"):
        frame = level_frame(anatomy, level, side)
        mine = [c for c in made.candidates if c.side == side and c.approach in (FLANK, FORAMINOPLASTY)]
        if mine:
            entry, dock = (frame.local(np.array(point)) for point in (mine[0].entry, mine[0].dock))
            way = (entry - dock) / np.linalg.norm(entry - dock)
            found["transforaminal entry from the midline, mm", level].append(float(entry[0]))
            found["transforaminal cranial tilt, deg", level].append(float(np.degrees(np.arcsin(way[2]))))


def sideways(anatomy: Anatomy, level: str, found: Values) -> None:
    """How many corridors to the disc from the flank are feasible, both sides together."""
    made = plan(anatomy, level, "both", "fuse", approaches=list(SIDEWAYS))
    for one in made.feasibility:
        found[f"feasible corridors, {one.approach}", level].append(float(one.feasible[0]))


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


def word(values: list[float], published: tuple[float, float, str] | None) -> tuple[str, str]:
    """The published figure, and whether what was found agrees with it: within 2 sd, or 25 % where no sd is given."""
    if published is None:
        return "", ""
    mean, sd, source = published
    room = 2 * sd if np.isfinite(sd) else max(0.25 * abs(mean), 5.0)
    spread = f" ± {sd:g}" if np.isfinite(sd) else ""
    middle = float(np.median(values))
    return f"{mean:g}{spread} [{source}]", "reproduced" if abs(middle - mean) <= room else "not reproduced"


def table(found: Values) -> str:
    """Every relation by level."""
    out = ["| relation | level | n | median | range | published | |", "|---|---|---|---|---|---|---|"]
    for (name, level), values in sorted(found.items()):
        low, middle, high = np.percentile(values, (0, 50, 100))
        told, verdict = word(values, PUBLISHED.get((name, level)))
        out.append(
            f"| {name} | {level} | {len(values)} | {middle:.1f} | {low:.1f} to {high:.1f} | {told} | {verdict} |"
        )
    return "\n".join(out) + "\n"


def main() -> None:
    """Plan, print and, where asked, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--phantoms", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    found: Values = defaultdict(list)
    with tempfile.TemporaryDirectory() as room:
        for name, case in cases(chosen.data, chosen.phantoms, Path(room)):
            look(name, case, found)
    text = table(found)
    print(text)
    if chosen.write:
        before, rest = DOCUMENT.read_text(encoding="utf-8").split(MARKS[0])
        DOCUMENT.write_text(f"{before}{MARKS[0]}\n{text}{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
