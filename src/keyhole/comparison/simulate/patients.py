"""Who comes: correlated measures before the operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from keyhole.comparison.simulate.settings import parameters

Array: TypeAlias = NDArray[np.float64]
_CUT = 2.5  # standard measures are cut here, so that no mean can leave its scale


@dataclass(frozen=True, slots=True, eq=False)
class Patients:
    """`columns` as a registry holds them; `standard` the same with mean 0 and sd 1, cut at 2.5; `hidden` in none."""

    columns: Mapping[str, Array]
    standard: Mapping[str, Array]
    hidden: Array

    def __len__(self) -> int:
        return len(self.hidden)

    def sum(self, weights: Mapping[str, float]) -> Array:
        """The sum of the standard measures, each times its weight."""
        total = np.zeros(len(self))
        for name, weight in weights.items():
            total += weight * self.standard[name]
        return total


def patients(n: int, rng: np.random.Generator) -> Patients:
    """`n` patients: normal scores that share frailty and disability, turned into the columns' own scales.

    Claims and classes are cut from the same scores, so that a smoker with diabetes and a higher ASA class is as
    common as the shared part makes it.
    """
    found = parameters()["patients"]
    frailty, disability = rng.standard_normal(n), rng.standard_normal(n)
    scores = {name: _score(name, found, frailty, disability, rng) for name in found["loading"]}
    columns: dict[str, Array] = {"sex": np.where(rng.random(n) < found["male"], 1.0, 0.0)}
    for name in ("age", "bmi", "odi_0", "leg_0", "back_0"):
        mean, sd, low, high = found[name]
        columns[name] = np.clip(mean + sd * scores[name], low, high)
    columns["bmi"] = np.round(columns["bmi"], 1)
    columns["odi_0"] = 2.0 * np.round(columns["odi_0"] / 2.0)
    for name in ("age", "leg_0", "back_0"):
        columns[name] = np.round(columns[name])
    for name in ("smoker", "diabetes", "prior_surgery"):
        columns[name] = np.where(scores[name] > ndtri(1 - found[name]), 1.0, 0.0)
    for name in ("asa", "levels"):
        columns[name] = 1.0 + np.searchsorted(ndtri(np.array(found[name])), scores[name]).astype(np.float64)
    standard = {name: _standard(values) for name, values in columns.items()}
    return Patients(columns, standard, np.clip(rng.standard_normal(n), -_CUT, _CUT))


def _score(name: str, found: Mapping[str, Any], frailty: Array, disability: Array, rng: np.random.Generator) -> Array:
    """A normal score of sd 1 that shares its loadings with the others."""
    shared, own = found["loading"][name], found["disability"].get(name, 0.0)
    rest = np.sqrt(1 - shared**2 - own**2)
    score: Array = shared * frailty + own * disability + rest * rng.standard_normal(len(frailty))
    return score


def _standard(values: Array) -> Array:
    """`values` with mean 0 and sd 1, cut at 2.5."""
    spread = float(values.std())
    standard: Array = np.clip((values - values.mean()) / (spread or 1.0), -_CUT, _CUT)
    return standard
