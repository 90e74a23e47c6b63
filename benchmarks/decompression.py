"""How little a decompression removes, against the exact least; whether it reaches a stated area; how long it takes.

Stenotic phantoms at 1.2 mm, drawn by seed. Two areas are stated for each before anything is tried: half more than
there is, and the least area of the same spine without any pathology. Each is aimed at through three tubes docked by
rule: over the top, paramedian, and through the window. Small cases, of which every solution is tried
(tests/reference/least_oracle.py): the disc-level plane and the 16 cheapest places of the tool that open something
there, for three goals, solved as they are by default and by the search alone. Large cases, over the top and as they
are, are compared with a search eight times as long, wherever drawing out a fragment does not do.

    python benchmarks/decompression.py [--phantoms 50] [--jobs 1] [--write]
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/reference"))
from least_oracle import cropped, exhaustive
from stenotic import Dock, anatomy, at, docks, stenotic

from keyhole.anatomy.phantom import PhantomParameters
from keyhole.plan.approaches import catalogue
from keyhole.plan.decompress import Canal, Goal, Removal, canal, decompress
from keyhole.plan.decompress.canal import planes
from keyhole.plan.decompress.greedy import ENOUGH
from keyhole.plan.decompress.least import STARTS, least
from keyhole.plan.decompress.problem import Problem

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/decompression.md"
MARKS = ("<!-- decompression begin -->", "<!-- decompression end -->")
PLACES = 16
SHARES = (0.3, 0.6, 0.9)
STATED = ("half more than before", "as in the same spine in health")
APPROACHES = ("tubular-over-the-top", "tubular-paramedian", "interlaminar-endoscopic")


@dataclass(frozen=True)
class Made:
    """One removal: the area stated, the least of the goal's planes before and after, mm²; volumes, mm³; facet, %.

    `short` is what the planes lack, mm², if everything in reach were taken; `why` the main reason for what stays.
    `worked`: something had to go besides a fragment that was drawn out.
    """

    wanted: float
    before: float
    got: float
    reached: bool
    short: float
    why: str
    bone: float
    flavum: float
    facet: float
    worked: bool


@dataclass(frozen=True)
class Row:
    """One phantom: removals by approach and stated area, % above exact leasts and above longer searches, seconds."""

    seed: int
    made: dict[tuple[str, str], Made]
    over: tuple[float, ...]
    searched: tuple[float, ...]
    bites: tuple[int, ...]
    longer: tuple[float, ...]
    seconds: float


def row(seed: int) -> Row:
    """Phantom `seed`."""
    parameters = stenotic(seed)
    found = canal_of(parameters)
    tubes = {dock.approach: dock for dock in docks(found.site)}
    areas = dict(zip(STATED, (1.5 * found.area, in_health(parameters)), strict=True))
    made: dict[tuple[str, str], Made] = {}
    small: list[tuple[float, float]] = []
    bites, longer = [], []
    for approach in APPROACHES:
        for stated, area in areas.items():
            removal = aimed(found, tubes[approach], area)
            made[approach, stated] = told_of(removal)
            if stated == STATED[0]:
                case = cropped(removal.problem, PLACES)
                small += over_exact(case)
                bites.append(len(case.cost))
            if worked(removal) and approach == APPROACHES[0]:
                longer.append(over_longer(removal))
    seconds = took(found, tubes[APPROACHES[0]], areas[STATED[0]])
    shipped, searched = zip(*small, strict=True)
    return Row(seed, made, shipped, searched, tuple(bites), tuple(longer), seconds)


def canal_of(parameters: PhantomParameters) -> Canal:
    """The canal of the phantom at its level."""
    patient = anatomy(parameters, spacing=1.2)
    found = canal(patient, at(patient, parameters))
    assert found is not None
    return found


def in_health(parameters: PhantomParameters) -> float:
    """The least area over the goal's planes of the same spine without any pathology, mm²."""
    found = canal_of(replace(parameters, pathologies=()))
    return float(planes(found, Goal().length).areas.min())


def aimed(found: Canal, dock: Dock, area: float, *, with_bone: bool = False) -> Removal:
    """The removal that aims at `area` mm²."""
    where = catalogue()[dock.approach], dock.tip, dock.out, dock.radius
    return decompress(found, *where, goal=Goal("area", area), with_bone=with_bone)


def took(found: Canal, dock: Dock, area: float) -> float:
    """Least time of two of a decompression with all its measures, s."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        aimed(found, dock, area, with_bone=True)
        times.append(time.perf_counter() - start)
    return min(times)


def worked(removal: Removal) -> bool:
    """Whether something had to go besides a fragment that was drawn out."""
    return bool(removal.problem.deficit.max() > ENOUGH)


def told_of(removal: Removal) -> Made:
    """What is kept of a removal."""
    reasons: dict[str, float] = {}
    for one in removal.left:
        for reason in one.reasons:
            amount, _, words = reason.partition(" mL ")
            kind = "which would have to be held aside" if words.endswith("aside") else words.split(", ")[-1]
            reasons[kind] = reasons.get(kind, 0.0) + float(amount)
    lack = removal.problem.deficit - removal.problem.attainable
    return Made(
        removal.wanted or np.nan,
        removal.least[0],
        removal.least[1],
        removal.reached,
        float(lack.max()),
        max(reasons, key=reasons.__getitem__, default="nothing that may be removed"),
        1000 * removal.removed.get("bone", 0.0),
        1000 * removal.removed.get("flavum", 0.0),
        max(removal.facet.values(), default=0.0),
        worked(removal),
    )


def over_exact(case: Problem) -> list[tuple[float, float]]:
    """% above the exact least of a small case, by default and by the search alone, for each of `SHARES`."""
    goals = np.outer(SHARES, case.attainable)
    found = []
    for goal, best in zip(goals, exhaustive(case, goals), strict=True):
        task = replace(case, deficit=goal)
        if best > 0:
            found.append((100 * (least(task).cost / best - 1), 100 * (least(task, whole=0).cost / best - 1)))
    return found


def over_longer(removal: Removal) -> float:
    """% by which the removal is larger than what a search eight times as long finds."""
    longer = least(removal.problem, starts=8 * STARTS).cost
    return 100 * (removal.taken.cost / longer - 1) if longer > 0 else 0.0


def told(rows: list[Row]) -> str:
    """The table."""
    lines = ["| quantity | value |", "|---|---|"]
    for stated in STATED:
        lines += _by_goal(rows, stated)
    over = np.array([value for r in rows for value in r.over])
    searched = np.array([value for r in rows for value in r.searched])
    longer = np.array([value for r in rows for value in r.longer])
    lines += [
        f"| small cases, all solutions tried; bites in them (median) | {len(over)}; "
        f"{np.median([n for r in rows for n in r.bites]):.0f} |",
        f"| volume above the exact least, % (median, least, most) | {_three(over)} |",
        f"| of these exact; within 5 % | {int((over < 1e-6).sum())}; {int((over <= 5).sum())} of {len(over)} |",
        f"| the search alone, nothing settled by trying all: exact; within 5 % | {int((searched < 1e-6).sum())}; "
        f"{int((searched <= 5).sum())} of {len(searched)} |",
        f"| large cases; volume above that of a search 8 times as long, % | {len(longer)}; {_three(longer)} |",
        f"| of these within 5 % | {int((longer <= 5).sum())} |",
        f"| time of one decompression with all its measures, s (median) | {np.median([r.seconds for r in rows]):.2f} |",
    ]
    return "\n".join(lines)


def _by_goal(rows: list[Row], stated: str) -> list[str]:
    """Lines about one of the areas stated."""
    cases = {approach: [r.made[approach, stated] for r in rows] for approach in APPROACHES}
    top = [m for m in cases[APPROACHES[0]] if m.reached]
    any_way = sum(any(r.made[a, stated].reached for a in APPROACHES) for r in rows)
    wanted = np.array([m.wanted for m in cases[APPROACHES[0]]])
    lines = [
        f"| **stated: {stated}**, mm² (median, least, most) | {_three(wanted)} |",
        f"| reached by at least one tube | {any_way} of {len(rows)} |",
    ]
    lines += [f"| reached: {approach} | {_reached(cases[approach])} |" for approach in APPROACHES]
    bare = np.array([100 * (m.got / m.wanted - 1) for m in top if m.worked])
    lines += [
        f"| over the top, where the fragment does not do: least area beyond the stated one, % | {_three(bare)} |",
        f"| of these within 5 % | {int((np.abs(bare) <= 5).sum())} of {len(bare)} |",
        f"| over the top: bone removed, mm³ | {_three(np.array([m.bone for m in top]))} |",
        f"| over the top: flavum removed, mm³ | {_three(np.array([m.flavum for m in top]))} |",
        f"| over the top: larger facet share, % | {_three(np.array([m.facet for m in top]))} |",
    ]
    return lines


def _reached(cases: list[Made]) -> str:
    """How many reach the area; of the others what all that is in reach lacks, and why the rest stays."""
    short = [m for m in cases if not m.reached]
    said = f"{len(cases) - len(short)} of {len(cases)}"
    if not short:
        return said
    beyond = sum(m.short > ENOUGH for m in short)
    why = ", ".join(f"{words} ({n})" for words, n in Counter(m.why for m in short).most_common())
    return (
        f"{said}; in {beyond} of the other {len(short)} all that is in reach is too little; what stays is mostly {why}"
    )


def _three(values: np.ndarray) -> str:
    if not len(values):
        return "none"
    return ", ".join(f"{np.round(value, 1) + 0.0:.1f}" for value in (np.median(values), values.min(), values.max()))


def main() -> None:
    """Run, print, and with --write put the table into the document."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--phantoms", type=int, default=50)
    ask.add_argument("--jobs", type=int, default=1)
    ask.add_argument("--write", action="store_true")
    given = ask.parse_args()
    rows = []
    with ProcessPoolExecutor(given.jobs) as pool:
        for one in pool.map(row, range(given.phantoms)):
            rows.append(one)
            print(one, file=sys.stderr, flush=True)
    table = told(rows)
    print(table)
    if given.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        pattern = re.compile(re.escape(MARKS[0]) + ".*" + re.escape(MARKS[1]), re.DOTALL)
        DOCUMENT.write_text(pattern.sub(f"{MARKS[0]}\n{table}\n{MARKS[1]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
