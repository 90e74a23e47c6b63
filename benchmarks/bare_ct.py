"""How well `ct-classical` finds the spine on a bare CT: a real CT, scans painted from label maps, and phantoms.

Prints one line per scan and the table of targets. The real CT's truth is a network's labels at 3 mm; the painted
scans' truth is exact. Figures on painted scans say what the method does with known difficulties; they are not a
measure of how it does on patients.

    python benchmarks/bare_ct.py [--cases 50] [--only real,verse,phantom] [--worlds FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bare"))

from cases import FINE, Case, phantom_cases, verse_cases
from painter import Painted, paint
from score import CaseScore, Totals, score, totals
from worlds import DATA, World, phantom_world, verse_world

from keyhole.anatomy.schemes import read_labels
from keyhole.geometry import LabelMap, Volume, affine
from keyhole.imaging import read_nifti
from keyhole.segment.classical.method import ct_classical

REAL = DATA / "ct_abdomen_3mm"

TARGETS = {  # name: (target, more is better)
    "real": {"mean": 0.90, "worst": 0.87, "body": 0.93, "discs": 0.87},
    "painted": {"mean": 0.90},
}


def real() -> tuple[str, Volume, LabelMap, tuple[str, ...]] | None:
    """The 3 mm CT with TotalSegmentator's labels, whole vertebrae and bodies."""
    if not (REAL / "ct.nii.gz").is_file():
        return None
    image = read_nifti(REAL / "ct.nii.gz").volume
    named = read_labels(REAL / "labels_totalsegmentator_total.nii.gz")
    keys = dict(named.labels.structures)
    array = named.labels.array.astype(np.int32)
    bodies = read_nifti(REAL / "labels_totalsegmentator_vertebrae_body.nii.gz").volume.array
    top = max(keys) + 1
    for n, key in sorted(named.labels.structures.items()):
        if key.startswith("vertebra/L"):
            keys[top] = f"{key}/body"
            array[(array == n) & (bodies == 1)] = top
            top += 1
    _discs(array, keys, np.asarray(bodies == 2), top)
    truth = LabelMap(array, image.patient_from_index, keys)
    return "abdomen, 3 mm", image, truth, ("L1", "L2", "L3", "L4", "L5")


def _discs(array: np.ndarray, keys: dict[int, str], mask: np.ndarray, top: int) -> None:
    """Name each voxel of the tool's one disc label by the two bodies nearest to it."""
    names = ("T12", "L1", "L2", "L3", "L4", "L5", "S1")
    lumps, n = ndimage.label(mask)
    heights = {}
    for name in names:
        numbers = [k for k, v in keys.items() if v in (f"vertebra/{name}/body", f"vertebra/{name}")]
        cells = np.argwhere(np.isin(array, numbers))
        if len(cells):
            heights[name] = cells[:, 2].mean()
    for lump in range(1, n + 1):
        cells = np.argwhere(lumps == lump)
        if len(cells) < 20:
            continue
        z = cells[:, 2].mean()
        above = [m for m in heights if heights[m] > z]
        below = [m for m in heights if heights[m] <= z]
        if above and below:
            pair = min(above, key=lambda m: heights[m]), max(below, key=lambda m: heights[m])
            key = f"disc/{pair[0]}-{pair[1]}"
            number = next((k for k, v in keys.items() if v == key), top)
            keys[number] = key
            top = max(top, number + 1)
            array[lumps == lump] = number


def kept_world(case: Case, folder: Path | None) -> World | None:
    """The case's world, from `folder` where it was kept there before: painting many looks then costs seconds."""
    if isinstance(case.source, str):
        made = None
        name = f"verse-{case.source}"
    else:
        name = f"phantom-{case.source.seed}-{'-'.join(case.source.pathologies) or 'none'}"
    file = folder / f"{name}.npz" if folder else None
    if file is not None and file.is_file():
        with np.load(file) as held:
            names = {int(n): str(k) for n, k in zip(held["numbers"], held["keys"], strict=True)}
            return World(name, LabelMap(held["labels"], affine(held["matrix"]), names), held["material"])
    made = verse_world(case.source) if isinstance(case.source, str) else phantom_world(case.source, FINE)
    if file is not None and made is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            file,
            labels=made.labels.array,
            material=made.material,
            matrix=made.grid.patient_from_index.matrix,
            numbers=np.array(list(made.labels.structures)),
            keys=np.array(list(made.labels.structures.values())),
        )
    return made


def scans(kinds: set[str], n: int, folder: Path | None) -> Iterator[tuple[Case, Painted]]:
    """Painted scans one after another."""
    chosen = [*(verse_cases() if "verse" in kinds else ()), *(phantom_cases(n) if "phantom" in kinds else ())]
    for case in chosen:
        world = kept_world(case, folder)
        if world is None:
            print(f"{case.name}: left out, its label map is not here")
            continue
        yield case, paint(world, case.look)


def line(found: CaseScore, words: str) -> str:
    head = f"{found.name:<14} {found.seconds:5.1f} s {found.memory / 1024:4.1f} GiB "
    if found.refusal:
        return f"{head} refused: {found.refusal[:150]}   [{words}]"
    wrong = "WRONG " + ",".join(f"{v.name}->{v.found_as}" for v in found.wrong) if found.wrong else ""
    each = " ".join(
        f"{v.name} {v.dice:.2f}{'!' if v.warnings else ''}{'' if v.is_whole else '(cut)'}"
        for v in found.vertebrae
        if v.name[0] == "L"
    )
    gaps = [abs(d) for d in found.canal.values() if np.isfinite(d)]
    canal = f"canal {np.mean(gaps):.1f} mm" if gaps else "no canal"
    return f"{head} {each} {canal} {wrong}   [{words}]"


def table(title: str, found: Totals, targets: dict[str, float]) -> str:
    rows = [
        f"{title}: {found.cases} scans, {found.refused} refused",
        f"  levels named right / wrong / not found  {found.named_right} / {found.named_wrong} / {found.missed}",
    ]
    for key, value in (
        ("mean", found.mean),
        ("worst", found.worst),
        ("body", found.body),
        ("posterior", found.posterior),
        ("discs", found.discs),
        ("disc_l5", found.disc_l5),
    ):
        target = f"target {targets[key]:.2f} {'met' if value >= targets[key] else 'MISSED'}" if key in targets else ""
        rows.append(f"  Dice {key:<10} {value:.3f}  {target}")
    if np.isfinite(found.canal_mean):
        within = f"{100 * found.canal_within:.0f} % within 1 mm"
        rows.append(f"  canal AP off by {found.canal_mean:.2f} mm on average, {within}")
    if found.low:
        rows.append(f"  levels under Dice 0.7 with a warning  {found.low_warned} of {found.low} (target 90 %)")
    if found.clean:
        rows.append(f"  false warnings on clean scans  {found.clean_warned} of {found.clean} (target at most 10 %)")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50, help="phantoms")
    parser.add_argument("--only", default="real,verse,phantom")
    parser.add_argument("--worlds", type=Path, help="folder that keeps the worlds between runs")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    wanted = parser.parse_args()
    kinds = set(wanted.only.split(","))
    kept: dict[str, list[CaseScore]] = {}
    if "real" in kinds and (given := real()) is not None:
        name, image, truth, whole = given
        found = score(name, image, truth, whole, ct_classical)
        print(
            line(found, "real"), {k: round(v, 2) for k, v in {**found.discs, **found.muscles, **found.vessels}.items()}
        )
        print(table("real CT", totals([found]), TARGETS["real"]))
        kept["real"] = [found]
    for case, scan in scans(kinds, wanted.cases, wanted.worlds):
        begin = time.perf_counter()
        found = score(case.name, scan.image, scan.truth, scan.whole, ct_classical, is_clean=case.is_clean)
        words = scan.name.split(", ", 1)[1]
        print(line(found, words), f"{time.perf_counter() - begin:.0f} s", flush=True)
        kept.setdefault(case.name.split()[0], []).append(found)
        gc.collect()
    for kind in ("verse", "phantom"):
        if kind in kept:
            print(table(f"painted from {kind}", totals(kept[kind]), TARGETS["painted"]))
    if wanted.json:
        wanted.json.write_text(json.dumps({k: [asdict(c) for c in v] for k, v in kept.items()}, indent=1))


if __name__ == "__main__":
    main()
