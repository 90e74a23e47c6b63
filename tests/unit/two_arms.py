"""A small world of two arms with a known effect, for tests of the comparison."""

import numpy as np
from scipy.special import expit

from keyhole.comparison.table import Table

EFFECT = -5.0


def world(n=600, seed=0, effect=EFFECT, strength=1.0, missing=0.0):
    """Episodes whose age, smoking and kind of operation decide both arm and outcome; `missing` share at random."""
    rng = np.random.default_rng(seed)
    age, score = rng.normal(60, 12, n), rng.normal(45, 14, n)
    smoker = np.where(rng.random(n) < 0.3, 1.0, 0.0)
    operation = rng.choice(["discectomy", "decompression", "fusion"], n, p=[0.5, 0.3, 0.2])
    lean = strength * (-0.05 * (age - 60) - 0.03 * (score - 45) - 0.4 * smoker - 0.4 * (operation == "fusion"))
    miss = np.where(rng.random(n) < expit(lean), 1.0, 0.0)
    open_mean = 28 + 0.2 * (age - 60) + 0.4 * (score - 45) + 3 * smoker + 4 * (operation == "fusion")
    y = open_mean + effect * miss + rng.normal(0, 9, n)
    early = open_mean + effect * miss + 0.7 * (y - open_mean - effect * miss) + rng.normal(0, 6, n)
    columns = {
        "episode": np.array([f"E{k}" for k in range(n)], dtype=object),
        "surgeon": np.array([f"S{k % 25}" for k in range(n)], dtype=object),
        "operation": operation.astype(object),
        "miss": miss,
        "age": age,
        "smoker": smoker,
        "odi_0": score,
        "odi_3m": early,
        "odi_12m": y,
        "reoperated": np.where(rng.random(n) < expit(-1.5 + 0.02 * (age - 60) - 0.5 * miss), 1.0, 0.0),
        "stay_days": rng.poisson(3, n).astype(float),
    }
    if missing:
        hide = expit(np.log(missing / (1 - missing)) + 0.08 * (early - early.mean()))
        columns["odi_12m"] = np.where(rng.random(n) < hide, np.nan, y)
        columns["odi_0"] = np.where(rng.random(n) < missing / 2, np.nan, score)
        columns["smoker"] = np.where(rng.random(n) < missing / 2, np.nan, smoker)
        columns["operation"] = np.where(rng.random(n) < missing / 4, "", operation).astype(object)
    return Table(columns, "world.csv")
