"""How little a decompression removes, against the exact least; whether it reaches its goal; how long it takes.

Stenotic phantoms at 1.2 mm, drawn by seed, each with a tube docked by rule. Small cases, of which every solution is
tried (tests/reference/least_oracle.py): the disc-level plane and the 16 cheapest places of the tool that open something
there, for three goals. Large cases, as they are, are compared with a search eight times as long.

    python benchmarks/decompression.py [--phantoms 50] [--write]
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/reference"))
from least_oracle import cropped, exhaustive
from stenotic import anatomy, at, docks, stenotic

from keyhole.plan.approaches import catalogue
from keyhole.plan.decompress import Canal, Removal, canal, decompress
from keyhole.plan.decompress.least import ROUNDS, least

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/decompression.md"
MARKS = ("<!-- decompression begin -->", "<!-- decompression end -->")


@dataclass(frozen=True)
class Row:
    """One phantom: what was wanted and got, mm²; whether more was within reach; volumes, mm³; seconds."""

    seed: int
    wanted: float
    got: float
    reached: bool
    bone: float
    flavum: float
    facet: float
    over: tuple[float, ...]
    bites: int
    longer: float
    seconds: float


PLACES = 16
GOALS = (0.3, 0.6, 0.9)


def fastest(found: Canal, ask: tuple[object, ...]) -> tuple[Removal, float]:
    """The removal, and the least time of two, s."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        removal = decompress(found, *ask)  # type: ignore[arg-type]
        times.append(time.perf_counter() - start)
    return removal, min(times)


def row(seed: int) -> Row:
    """Phantom `seed`."""
    parameters = stenotic(seed)
    patient = anatomy(parameters, spacing=1.2)
    place = at(patient, parameters)
    found = canal(patient, place)
    assert found is not None
    dock = docks(place)[seed % 2]
    removal, took = fastest(found, (catalogue()[dock.approach], dock.tip, dock.out, dock.radius))
    small = cropped(removal.problem, PLACES)
    goals = np.outer(GOALS, small.attainable)
    best = exhaustive(small, goals)
    ours = [least(replace(small, deficit=goal)).cost for goal in goals]
    return Row(
        seed, removal.wanted or np.nan, removal.after.area.value or np.nan, removal.reached,
        1000 * removal.removed.get("bone", 0.0), 1000 * removal.removed.get("flavum", 0.0),
        max(removal.facet.values(), default=0.0),
        tuple(100 * (a / b - 1) for a, b in zip(ours, best, strict=True) if b > 0),
        len(small.cost), _over(removal), took,
    )  # fmt: skip


def _over(removal: Removal) -> float:
    """% by which the removal is larger than what a search eight times as long finds."""
    longer = least(removal.problem, rounds=8 * ROUNDS).cost
    return 100 * (removal.taken.cost / longer - 1) if longer > 0 else 0.0


def told(rows: list[Row]) -> str:
    """The table."""
    over = np.array([value for r in rows for value in r.over])
    reached = [r for r in rows if r.reached]
    beyond = np.array([100 * (r.got / r.wanted - 1) for r in reached])
    lines = [
        "| quantity | value |",
        "|---|---|",
        f"| phantoms; goal reached; the reach does not allow it | {len(rows)}; {len(reached)}; "
        f"{len(rows) - len(reached)} |",
        f"| area got beyond the area wanted where reached, % (median, least, most) | {_three(beyond)} |",
        f"| bone removed, mm³ (median, least, most) | {_three(np.array([r.bone for r in rows]))} |",
        f"| flavum removed, mm³ | {_three(np.array([r.flavum for r in rows]))} |",
        f"| larger facet share, % | {_three(np.array([r.facet for r in rows]))} |",
        f"| small cases, all solutions tried; bites in them (median) | {len(over)}; "
        f"{np.median([r.bites for r in rows]):.0f} |",
        f"| volume above the exact least, % (median, least, most) | {_three(over)} |",
        f"| of these exact; within 5 % | {int((over < 1e-6).sum())}; {int((over <= 5).sum())} of {len(over)} |",
        f"| large cases: volume above that of a search 8 times as long, % | "
        f"{_three(np.array([r.longer for r in rows]))} |",
        f"| time of one decompression with all its measures, s (median) | {np.median([r.seconds for r in rows]):.2f} |",
    ]
    return "\n".join(lines)


def _three(values: np.ndarray) -> str:
    return f"{np.median(values):.1f}, {values.min():.1f}, {values.max():.1f}" if len(values) else "none"


def main() -> None:
    """Run, print, and with --write put the table into the document."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--phantoms", type=int, default=50)
    ask.add_argument("--write", action="store_true")
    given = ask.parse_args()
    rows = []
    for seed in range(given.phantoms):
        rows.append(row(seed))
        print(rows[-1], file=sys.stderr, flush=True)
    table = told(rows)
    print(table)
    if given.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        pattern = re.compile(re.escape(MARKS[0]) + ".*" + re.escape(MARKS[1]), re.DOTALL)
        DOCUMENT.write_text(pattern.sub(f"{MARKS[0]}\n{table}\n{MARKS[1]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
