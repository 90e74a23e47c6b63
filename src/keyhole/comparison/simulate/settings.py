"""What a simulated registry shall be like, and the magnitudes behind it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from keyhole.errors import InvalidInput

Missing = Literal["none", "mcar", "mar", "mnar"]
Overlap = Literal["good", "poor"]
Curved = Literal["none", "treatment", "outcome", "both"]

LIMITS: dict[str, tuple[float, float]] = {
    "patients": (20, 2_000_000),
    "seed": (0, 2**63 - 1),
    "effect": (-15, 15),
    "confounding": (0, 3),
    "hidden": (0, 2),
    "missing_share": (0, 0.6),
    "centres": (1, 200),
    "surgeons": (1, 1000),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the registry shall be like.

    Parameters
    ----------
    patients : rows, 20 to 2,000,000.
    seed : same seed and settings, same rows.
    effect : true effect of a small opening on ODI at 12 months, points, -15 to 15; negative is better.
    confounding : how strongly what a patient has decides which operation is done; 0 as if by lot, 1 the default.
    hidden : strength of a confounder that is in no column; 0 none. An estimate cannot remove it.
    overlap : "poor" makes the choice nearly certain for many patients.
    missing : "none"; "mcar" by chance alone; "mar" by what is in the table; "mnar" by the missing value itself.
    missing_share : share of ODI at 12 months that is missing, 0 to 0.6.
    centres, surgeons : how many; every centre has at least one surgeon.
    curved : whether the choice, the outcome or both follow the square of a measure, which a straight model misses.
    """

    patients: int
    seed: int
    effect: float = -5.0
    confounding: float = 1.0
    hidden: float = 0.0
    overlap: Overlap = "good"
    missing: Missing = "mar"
    missing_share: float = 0.2
    centres: int = 8
    surgeons: int = 24
    curved: Curved = "none"

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidInput(f"{name.replace('_', ' ')} must be {low:g} to {high:g}, got {value:g}")
        for name, kind in (("overlap", Overlap), ("missing", Missing), ("curved", Curved)):
            if getattr(self, name) not in get_args(kind):
                raise InvalidInput(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        if self.surgeons < self.centres:
            raise InvalidInput(f"every centre needs a surgeon: got {self.surgeons} surgeons for {self.centres} centres")


@cache
def parameters() -> dict[str, Any]:
    """The magnitudes, from `parameters.toml`; each block names its source."""
    text = files("keyhole.comparison.simulate").joinpath("parameters.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
