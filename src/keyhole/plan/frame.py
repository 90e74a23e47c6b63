"""The anatomical frame of a level: everything about a corridor is said in it, never in the axes of the scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.geometry import Points, unit
from keyhole.terms import check_side


@dataclass(frozen=True, slots=True, eq=False)
class LevelFrame:
    """Axes (lateral, posterior, up) at the disc's centre, LPS mm; lateral points to the operated side.

    So a mirrored patient operated on the other side has the same coordinates. `border` is the height of the disc's
    posterior border on the posterior axis, mm.
    """

    level: str
    side: str
    origin: Points
    lateral: Points
    posterior: Points
    up: Points
    border: float

    @property
    def axes(self) -> Points:
        """(3, 3) rows lateral, posterior, up."""
        return np.stack([self.lateral, self.posterior, self.up])

    def local(self, points: ArrayLike) -> Points:
        """`points`, shape (..., 3), LPS mm, as (lateral, posterior, up) mm."""
        return np.asarray((np.asarray(points, dtype=np.float64) - self.origin) @ self.axes.T)

    def patient(self, local: ArrayLike) -> Points:
        """The LPS mm of `local`, shape (..., 3)."""
        return np.asarray(np.asarray(local, dtype=np.float64) @ self.axes + self.origin)

    def turn(self, local: ArrayLike) -> Points:
        """The patient's directions of local directions `local`, shape (..., 3)."""
        return np.asarray(np.asarray(local, dtype=np.float64) @ self.axes)


def _facing(vertebra: Vertebra, endplate: Endplate | None, toward: float) -> tuple[Points, Points, Points]:
    """Centre, cranial normal and posterior corner of an endplate; guessed from the body where it is not seen."""
    if endplate is not None:
        return endplate.centre, endplate.plane.normal, endplate.posterior
    centre = vertebra.centre + toward * 13.0 * vertebra.up
    return centre, vertebra.up, centre + 17.0 * vertebra.posterior


def level_frame(anatomy: Anatomy, level: str, side: str) -> LevelFrame:
    """The frame of `level` seen from `side`: the mean of the two facing endplates; refused where not in the scan."""
    upper, lower = anatomy.pair(level)
    above = _facing(upper, upper.inferior, -1.0)
    below = _facing(lower, lower.superior, 1.0)
    origin = (above[0] + below[0]) / 2
    up = unit(above[1] + below[1])
    back = upper.posterior + lower.posterior
    posterior = unit(back - (back @ up) * up)
    left = np.cross(posterior, up)
    border = float(((above[2] + below[2]) / 2 - origin) @ posterior)
    lateral = left if check_side(side) == "left" else -left
    return LevelFrame(level, side, origin, lateral, posterior, up, border)
