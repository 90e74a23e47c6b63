"""How right `keyhole registry compare` is on simulated registries with a known effect; writes a table into the docs.

    OMP_NUM_THREADS=1 python benchmarks/comparison.py [--runs 200] [--only NAME] [--write docs/comparison.md]
    python benchmarks/comparison.py --scale 200000      seconds and memory of one large comparison from its CSV

Every row is a kind of registry, analysed `--runs` times with new seeds: the mean of each estimate, the spread of the
doubly robust one, its mean standard error, and how often its 95 % interval holds the truth. The table replaces what
stands between the two markers of the document.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keyhole.comparison.compare import estimate
from keyhole.comparison.model import METHODS, Settings
from keyhole.comparison.simulate import Settings as Registry
from keyhole.comparison.simulate import simulate
from keyhole.comparison.simulate.write import csv_of
from keyhole.comparison.table import read_table

STRONG = ("odi_0", "levels", "prior_surgery", "asa")
COVARIATES = (
    "age", "sex", "bmi", "asa", "smoker", "diabetes", "prior_surgery", "levels", "odi_0", "leg_0", "back_0"
)  # fmt: skip
WEAK = tuple(name for name in COVARIATES if name not in STRONG)
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"


@dataclass(frozen=True)
class Case:
    """A kind of registry and how it is analysed."""

    title: str
    registry: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    outcome: str = "odi_12m"
    patients: int = 2000


CASES = {
    "right": Case("both models right"),
    "unclustered": Case("the same, surgeons not told (`--cluster none`)", {}, {"cluster": None}),
    "curved-treatment": Case("choice curved: propensity wrong", {"curved": "treatment"}),
    "curved-outcome": Case("outcome curved: outcome model wrong", {"curved": "outcome"}),
    "curved-both": Case("both curved: both models wrong", {"curved": "both"}),
    "curved-squares": Case("both curved, `--squares`", {"curved": "both"}, {"squares": True}),
    "propensity": Case("propensity without four confounders", {}, {"propensity": WEAK, "outcome": COVARIATES}),
    "outcome": Case("outcome model without them", {}, {"propensity": COVARIATES, "outcome": WEAK}),
    "neither": Case("both without them", {}, {"propensity": WEAK, "outcome": WEAK}),
    "hidden": Case("a confounder in no column", {"hidden": 1.0}),
    "poor": Case("poor overlap", {"overlap": "poor"}),
    "risk": Case("complication (risk difference)", {}, {}, "complication"),
    "missing": Case(
        "20 % missing at random, 5 draws", {"missing": "mar", "missing_share": 0.2}, {"imputations": 5}, patients=1000
    ),
    "much-missing": Case(
        "40 % missing at random, 5 draws", {"missing": "mar", "missing_share": 0.4}, {"imputations": 5}, patients=1000
    ),
    "not-random": Case(
        "40 % missing, the worse the likelier",
        {"missing": "mnar", "missing_share": 0.4},
        {"imputations": 5},
        patients=1000,
    ),
}


def one(case: Case, seed: int) -> tuple[dict[str, float], float, float, tuple[float, float], bool]:
    """Every estimate, the truth, AIPW's standard error and interval, whether overlap was called poor."""
    found = simulate(Registry(patients=case.patients, seed=seed, **({"missing": "none"} | case.registry)))
    covariates = None if "propensity" in case.settings else [*COVARIATES, "operation"]
    result = estimate(found.table, case.outcome, "miss", covariates, settings=Settings(**case.settings))
    values = {name: result.estimates[name].value for name in METHODS}
    aipw = result.estimates["aipw"]
    return values, found.truth["effect"][case.outcome], aipw.se, aipw.interval, result.overlap.is_poor


def row(case: Case, runs: int, first: int) -> str:
    """One line of the table."""
    results = [one(case, first + k) for k in range(runs)]
    truth = np.array([result[1] for result in results])
    errors = {name: np.array([result[0][name] for result in results]) - truth for name in METHODS}
    covered = np.mean([low <= t <= high for (_, t, _, (low, high), _) in results])
    poor = np.mean([result[4] for result in results])
    digits = 4 if case.outcome == "complication" else 2
    cells = [case.title, f"{truth.mean():.{digits}f}"]
    cells += [f"{truth.mean() + errors[name].mean():.{digits}f}" for name in METHODS]
    cells += [f"{errors['aipw'].std(ddof=1):.{digits}f}", f"{np.mean([r[2] for r in results]):.{digits}f}"]
    return "| " + " | ".join([*cells, f"{covered:.3f}", f"{100 * poor:.0f} %"]) + " |"


def scale(patients: int) -> None:
    """Seconds and memory of reading and comparing one large table with missing values."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.csv"
        path.write_bytes(csv_of(simulate(Registry(patients=patients, seed=1))))
        start, busy = time.perf_counter(), time.process_time()
        table = read_table(path)
        read = time.perf_counter() - start
        found = estimate(table, "odi_12m", "miss")
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    aipw = found.estimates["aipw"]
    print(f"{patients} rows, {len(table.columns)} columns, {found.missing.imputations} completed tables")
    print(f"{seconds:.1f} s ({busy:.1f} s of processor), {read:.1f} s of them reading; {memory:.2f} GiB at most")
    print(f"AIPW {aipw.value:.2f}, interval {aipw.interval[0]:.2f} to {aipw.interval[1]:.2f}, truth -5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--only", choices=list(CASES), action="append")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--scale", type=int)
    asked = parser.parse_args()
    if asked.scale:
        scale(asked.scale)
        return
    lines = [
        "| registry | truth | naive | regression | IPW | AIPW | sd of AIPW | its se | coverage | overlap called poor |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for name in asked.only or CASES:
        start = time.perf_counter()
        lines.append(row(CASES[name], asked.runs, asked.seed))
        print(lines[-1], f"<!-- {time.perf_counter() - start:.0f} s -->", flush=True)
    if asked.write:
        text = asked.write.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        asked.write.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
