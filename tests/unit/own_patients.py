"""Simulated own patients for the tests of the forecast."""

import numpy as np

from keyhole.forecast import parse_cohort


def table(n, seed=0, *, stay=(1.0, 3.0), infection=(0.02, 0.05), operation="discectomy", arms=("miss", "open"), **more):
    """CSV of `n` patients, arms in turn: stay with these means (SD 0.8), infection with these shares, by arm."""
    rng = np.random.default_rng(seed)
    lines = [["patient", "arm", "procedure", "stay", "infection", *more]]
    for k in range(n):
        arm = arms[k % len(arms)]
        at = ("miss", "open").index(arm)
        days = max(0.0, rng.normal(stay[at], 0.8))
        event = int(rng.random() < infection[at])
        lines.append([f"p{k}", arm, operation, f"{days:.3f}", str(event), *(f"{more[c](rng, at):.3f}" for c in more)])
    return "\n".join(",".join(line) for line in lines) + "\n"


def cohort(n, seed=0, **changes):
    return parse_cohort(table(n, seed, **changes), "own.csv")
