"""Every measure that has a published range, on the real scans beside the repository, next to that range.

    python benchmarks/real_measures.py [--data ../shared/data] [--write]

No truth is known of these scans: the table says whether what is measured is what people have.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from keyhole.anatomy.intake import import_case
from keyhole.assessment import assess_case
from keyhole.assessment.norms.norms import norms_of
from keyhole.casefile import FindingEntry
from keyhole.errors import KeyholeError

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/real-data.md"
MARKS = ("<!-- measured begin -->", "<!-- measured end -->")

TORSO = "ct_abdomen_3mm/labels_totalsegmentator_total.nii.gz"
BODIES = ("VB1_15", *(f"VB2_0{n}" for n in (2, 4, 5, 6)), *(f"VB3_0{n}" for n in (1, 2, 3, 4)))

ENDS = ("L1/L2", "L5/S1")
RANGES = {
    **{("anterior disc height", level): text for level, text in zip(ENDS, ("6.9", "13.6"), strict=True)},
    **{
        ("disc height", level): text
        for level, text in zip(("L1/L2", "L4/L5", "L5/S1"), ("7.9", "12.0", "11.1"), strict=True)
    },
    **{
        ("posterior disc height", level): text
        for level, text in zip(("L1/L2", "L4/L5", "L5/S1"), ("5.5", "8.1", "6.9"), strict=True)
    },
}
"""Means of 106 adults by measure and level, mm [nepal-discs]; other samples differ by some mm (9 to 19 in front)."""

PEDICLES = {"pedicle width": "7.2 to 17.8, T11 to L5", "pedicle height": "13.9 to 16.7, T11 to L5"}
"""Mm, of cadavers [pedicle-safe-zone]."""

Scan = tuple[str, tuple[str, ...], str, str | None]
"""Which group it belongs to, images, labels, scheme (None where the file says it)."""

SCANS: tuple[Scan, ...] = (
    ("CT, 3 mm, all structures", ("ct_abdomen_3mm/ct.nii.gz",), TORSO, None),
    *(
        ("CT label maps, whole vertebrae", (), f"labelmaps_verse/sub-verse{n}_seg-vert_msk.nii.gz", "verse")
        for n in ("004", "010")
    ),
    *(("MR, bodies", (), f"mr_bodies_verse/{name}_labels.nii.gz", "verse") for name in BODIES),
    *(("MR, discs", (), f"mr_discs_totalspineseg/IVD_{n}_labels.nii.gz", "totalspineseg") for n in ("11", "20", "25")),
)


def measured(data: Path, scan: Scan) -> tuple[FindingEntry, ...]:
    """The findings of one scan, imported and assessed as a user would."""
    _, images, labels, scheme = scan
    with tempfile.TemporaryDirectory() as folder:
        case = import_case(Path(folder) / "case", [data / one for one in images], labels=data / labels, scheme=scheme)
        return assess_case(case).findings


def published(name: str, level: str | None) -> str:
    """Mean and sd of healthy people, or the limit of disease, with its source; empty where none was read."""
    said = [f"{RANGES[name, level]} [nepal-discs]"] if level and (name, level) in RANGES else []
    said += [f"{PEDICLES[name]} [pedicle-safe-zone]"] if name in PEDICLES else []
    for one in norms_of(name, level):
        if one.mean is not None and one.sd is not None:
            said.append(f"{one.mean:g} ± {one.sd:g} [{one.source}]")
        elif one.limit is not None:
            said.append(f"{'below' if one.worse == 'low' else 'above'} {one.limit:g} is abnormal [{one.source}]")
    return "; ".join(dict.fromkeys(said))


def table(found: dict[tuple[str, str, str | None, str], list[float]], unknown: dict[str, int]) -> str:
    """The measures by group, name and level."""
    out = [
        "| scans | measure | level | n | least | median | most | unit | published |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (group, name, level, unit), values in sorted(found.items(), key=str):
        low, middle, high = np.percentile(values, (0, 50, 100))
        out.append(
            f"| {group} | {name} | {level or ''} | {len(values)} | {low:.1f} | {middle:.1f} | {high:.1f} | {unit} "
            f"| {published(name, level)} |"
        )
    missing = "; ".join(f"{group}: {n}" for group, n in sorted(unknown.items()))
    return "\n".join(out) + f"\n\nMeasures left unknown, each with its reason: {missing}.\n"


def main() -> None:
    """Measure, print and, where asked, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    found: dict[tuple[str, str, str | None, str], list[float]] = defaultdict(list)
    unknown: dict[str, int] = defaultdict(int)
    for scan in SCANS:
        try:
            entries = measured(chosen.data, scan)
        except KeyholeError as error:
            print(f"{scan[2]}: {error}")
            continue
        known = [one for one in entries if one.value is not None]
        unknown[scan[0]] += len(entries) - len(known)
        for one in known:
            if published(one.name, one.level):
                found[scan[0], one.name, one.level, one.unit].append(float(one.value or 0.0))
        print(f"{scan[2]}: {len(known)} measures, {len(entries) - len(known)} unknown")
    text = table(found, unknown)
    print(text)
    if chosen.write:
        before, rest = DOCUMENT.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        DOCUMENT.write_text(f"{before}{MARKS[0]}\n{text}{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
