"""Where the executed tube lies relative to the planned one: a small rigid motion with a covariance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import Points

Matrix = NDArray[np.float64]

REGISTRATION = 2.0
"""RMS target registration error where none is given, mm [keyhole-choice; navigation-motion has means of 1.6-2.0]."""

TRACKING = 0.3
"""Sd of tracking per axis, mm: the middle of 0.1-0.5 in the laboratory [navigation-review]."""


def _nothing() -> Matrix:
    return np.zeros((3, 3))


def cross_matrix(vector: ArrayLike) -> Matrix:
    """The matrix [v]x of `vector` (..., 3), so that [v]x u = v x u; (..., 3, 3)."""
    v = np.asarray(vector, dtype=np.float64)
    made = np.zeros((*v.shape[:-1], 3, 3))
    made[..., 0, 1], made[..., 0, 2], made[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    made[..., 1, 0], made[..., 2, 0], made[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return made


@dataclass(frozen=True, slots=True, eq=False)
class ExecutionError:
    """The executed tube is the planned one moved by u(x) = t + w x (x - centre), to first order.

    `covariance` (3, 3) mm² is that of t, `rotation` (3, 3) rad² that of w, `cross` (3, 3) mm rad that of t with w;
    `centre` (3,) LPS mm. Without a rotation the error is the same everywhere.
    """

    covariance: Matrix
    rotation: Matrix = field(default_factory=_nothing)
    cross: Matrix = field(default_factory=_nothing)
    centre: Points = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        for name, shape in (("covariance", (3, 3)), ("rotation", (3, 3)), ("cross", (3, 3)), ("centre", (3,))):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != shape or not np.isfinite(value).all():
                raise InvalidInput(f"the {name} of an execution error must be finite and {shape}, got {value.tolist()}")
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        least = min(self.covariance[0, 0], self.covariance[1, 1], self.covariance[2, 2], *self.rotation.diagonal())
        if not least >= -1e-9:
            raise InvalidInput(f"a covariance has no negative variance, got {least:.3g}")

    @property
    def matrix(self) -> Matrix:
        """(6, 6) covariance of (t, w)."""
        made = np.empty((6, 6))
        made[:3, :3], made[:3, 3:], made[3:, :3], made[3:, 3:] = (
            self.covariance,
            self.cross,
            self.cross.T,
            self.rotation,
        )
        return made

    @property
    def root(self) -> Matrix:
        """(6, 6) matrix R with R R^T the covariance of (t, w); columns are independent unit errors."""
        values, vectors = np.linalg.eigh((self.matrix + self.matrix.T) / 2)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    def ways(self, points: ArrayLike) -> Matrix:
        """(..., 3, 6): how `points` (..., 3) LPS mm move per unit of each independent error, mm."""
        root = self.root
        arm = np.asarray(points, dtype=np.float64) - self.centre
        return np.asarray(root[:3] - cross_matrix(arm) @ root[3:])

    def at(self, points: ArrayLike) -> Matrix:
        """(..., 3, 3) covariance, mm², of the displacement at `points` (..., 3) LPS mm."""
        ways = self.ways(points)
        return np.asarray(ways @ np.swapaxes(ways, -1, -2))

    def along(self, normal: Points, at: Points | None = None) -> float:
        """Variance of the displacement along the unit vector `normal`, mm², at `at` (3,), else at the centre."""
        covariance = self.covariance if at is None else self.at(at)
        return float(normal @ covariance @ normal)

    def rms(self, at: Points) -> float:
        """Root mean square length of the displacement at `at` (3,), mm."""
        return float(np.sqrt(np.trace(self.at(at))))

    def moved(self, centre: Points) -> ExecutionError:
        """The same error, written about another `centre`."""
        arm = cross_matrix(centre - self.centre)
        cross = self.cross - arm @ self.rotation
        return ExecutionError(self.at(centre), self.rotation, cross, centre)

    def and_shift(self, sd: float) -> ExecutionError:
        """The error with an independent shift by `sd` mm per axis."""
        return ExecutionError(self.covariance + np.eye(3) * sd**2, self.rotation, self.cross, self.centre)

    def scaled(self, factor: float) -> ExecutionError:
        """All displacements `factor` times as large."""
        square = factor**2
        return ExecutionError(square * self.covariance, square * self.rotation, square * self.cross, self.centre)

    def __add__(self, other: ExecutionError) -> ExecutionError:
        """The sum of two independent errors, about this one's centre."""
        near = other.moved(self.centre)
        return ExecutionError(
            self.covariance + near.covariance, self.rotation + near.rotation, self.cross + near.cross, self.centre
        )


def isotropic(registration: float | None = None, tracking: float = TRACKING) -> ExecutionError:
    """The isotropic shift of a registration with RMS target error `registration`, mm, and of tracking (sd per axis).

    An RMS target error is the length of a 3D shift: each axis carries a third of its square.
    """
    rms = REGISTRATION if registration is None else float(registration)
    if not (rms >= 0 and np.isfinite(rms) and tracking >= 0):
        raise InvalidInput(f"a registration error is a length >= 0 mm, got {rms}")
    return ExecutionError(np.eye(3) * (rms**2 / 3 + tracking**2))
