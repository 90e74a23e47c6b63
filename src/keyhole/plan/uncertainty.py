"""How likely the executed tube touches what the planned one misses."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import Points

REGISTRATION = 2.0
"""RMS target registration error where none is given, mm [keyhole-choice; navigation-motion has means of 1.6-2.0]."""

TRACKING = 0.3
"""Sd of tracking per axis, mm: the middle of 0.1-0.5 in the laboratory [navigation-review]."""


@dataclass(frozen=True, slots=True, eq=False)
class ExecutionError:
    """Where the executed tube lies relative to the planned one: a shift with `covariance` (3, 3), mm², LPS."""

    covariance: NDArray[np.float64]

    def along(self, normal: Points) -> float:
        """Variance of the shift along the unit vector `normal`, mm²."""
        return float(normal @ self.covariance @ normal)


def execution_error(registration: float | None = None, tracking: float = TRACKING) -> ExecutionError:
    """The isotropic error of a registration with RMS target error `registration`, mm, and of tracking.

    An RMS target error is the length of a 3D shift: each axis carries a third of its square.
    """
    rms = REGISTRATION if registration is None else float(registration)
    if not (rms >= 0 and np.isfinite(rms) and tracking >= 0):
        raise InvalidInput(f"a registration error is a length >= 0 mm, got {rms}")
    return ExecutionError(np.eye(3) * (rms**2 / 3 + tracking**2))


def breach_probability(gap: float, normal: Points, error: ExecutionError, sd: float) -> float:
    """Chance that the executed tube touches a structure that the planned one clears by `gap` mm.

    The wall is taken as flat at its nearest point, with unit `normal`: P = Phi(-gap / s), where s² is the variance of
    the shift along the normal plus that of the structure's own boundary, `sd`² mm². For a convex structure the flat
    wall contains it, so the chance is never understated; the gap itself is a lower bound.
    """
    spread = sqrt(error.along(normal) + sd**2)
    if not spread > 0:
        return 0.0 if gap > 0 else 1.0
    return 0.5 * (1.0 + erf(-gap / (spread * sqrt(2.0))))


def total(probabilities: list[float]) -> float:
    """Upper bound of the chance of any breach: the sum, at most 1 (exact only if they exclude each other)."""
    return float(min(1.0, sum(probabilities)))
