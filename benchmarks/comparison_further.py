"""How right the parts beyond the main comparison are on simulated registries with known truths; writes a table.

    OMP_NUM_THREADS=1 python benchmarks/comparison_further.py [--runs 200] [--write docs/comparison.md]

Times, centres and subgroups: mean estimate against the truth, and how often the 95 % interval holds it. Subgroups,
charts and funnels: how often they cry wolf where nothing is there. The table replaces what stands between the markers.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.special import expit

from keyhole.comparison.centres import mixed
from keyhole.comparison.funnel import funnel
from keyhole.comparison.hazard import hazard_ratio
from keyhole.comparison.learning import cusum
from keyhole.comparison.model import Settings
from keyhole.comparison.simulate import Settings as Registry
from keyhole.comparison.simulate import simulate
from keyhole.comparison.subgroups import subgroups
from keyhole.comparison.survival import restricted_mean, risk
from keyhole.comparison.table import Table, with_columns

BEGIN, END = "<!-- benchmark further -->", "<!-- /benchmark further -->"
MEASURES = ("bmi", "asa", "smoker", "odi_0", "leg_0", "back_0")
MAIN = Settings(imputations=1, cluster=None)


def neutral(table: Table, seed: int) -> Table:
    """The table with complications that follow the patients alone: all surgeons and centres are alike."""
    rng = np.random.default_rng([seed, 99])
    age, asa, odi = (table[name] for name in ("age", "asa", "odi_0"))
    chance = expit(-2.2 + 0.02 * (age - 58) + 0.3 * (asa - 2) + 0.005 * (odi - 45))
    return with_columns(table, {"complication": (rng.random(len(chance)) < chance).astype(float)})


def run(seed: int, patients: int, found: dict[str, list[tuple[float, ...]]]) -> None:
    """One registry; every part adds (estimate, truth, whether the interval holds it, standard error) or a share."""
    made = simulate(Registry(patients, seed, missing="mar", missing_share=0.1))
    whole = simulate(Registry(patients, seed, missing="none")).table  # the same patients: measures are not drawn again
    table, truth = with_columns(made.table, {name: whole[name] for name in MEASURES}), made.truth
    for name, part, at in (
        ("restricted mean time to recovery, days", restricted_mean, ("recovery", "restricted_mean_365_days")),
        ("risk of reoperation at 730 days", risk, ("reoperation", "risk_730_days")),
    ):
        true = truth["times"][at[0]][f"{at[1]}_difference"]
        got = part(table, at[0], adjust=(None, MAIN))
        effect = got.adjusted.estimates["aipw"]
        keep(found, f"{name}, adjusted", effect.value, true, effect.interval)
        keep(found, f"{name}, as it is", got.difference, true, got.interval)
    ratio = hazard_ratio(table)
    log = truth["times"]["reoperation"]["hazard_ratio"]
    keep(found, "hazard ratio of reoperation (log)", np.log(ratio.ratio), np.log(log), tuple(np.log(ratio.interval)))
    centre = mixed(table, "odi_12m")
    keep(
        found, "difference within centres, ODI at 12 months", centre.value, truth["effect"]["odi_12m"], centre.interval
    )
    found["the test that the difference varies, p < 0.05"].append((float(centre.p_effect_varies < 0.05),))
    split = subgroups(table, "odi_12m")
    for one in split.splits:
        found["a subgroup's test, p < 0.05"].append((float(one.p < 0.05),))
        for part_of in one.parts:
            if part_of.interval is not None:
                held = part_of.interval[0] <= -5 <= part_of.interval[1]
                found["a subgroup's interval misses the truth"].append((float(not held),))
    found["any subgroup after correction, p < 0.05"].append((float(min(s.p_corrected for s in split.splits) < 0.05),))
    alike = neutral(table, seed)
    for chart in cusum(alike, "complication", seed=seed).charts:
        found["a surgeon's chart crosses its limit"].append((float(bool(chart.alarms)),))
    places = funnel(alike, "complication").places
    for place in places:
        found["a centre outside the 95 % limits"].append((float(place.side != "within"),))
        found["a centre outside the 99.8 % limits"].append((float("99.8" in place.side),))


def keep(found: dict, name: str, value: float, true: float, interval: tuple[float, float]) -> None:
    found[name].append((value, true, float(interval[0] <= true <= interval[1])))


def table_of(found: dict[str, list[tuple[float, ...]]], runs: int, patients: int) -> str:
    lines = [f"{runs} registries of {patients:,} patients each.", ""]
    lines += ["| quantity | truth | mean estimate | sd | 95 % interval holds it |", "|---|---|---|---|---|"]
    for name, rows in found.items():
        if len(rows[0]) == 3:
            a = np.array(rows)
            lines.append(
                f"| {name} | {a[:, 1].mean():.3g} | {a[:, 0].mean():.3g} | {a[:, 0].std():.2g} | {a[:, 2].mean():.3f} |"
            )
    lines += ["", "| where nothing is there | share |", "|---|---|"]
    lines += [f"| {name} | {np.mean(rows):.3f} ({len(rows):,}) |" for name, rows in found.items() if len(rows[0]) == 1]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for seed in range(args.runs):
        run(seed, args.patients, found)
        if seed % 20 == 19:
            print(f"{seed + 1} runs", flush=True)
    told = table_of(found, args.runs, args.patients)
    print(told)
    if args.write:
        text = args.write.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        args.write.write_text(f"{head}{BEGIN}\n{told}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
