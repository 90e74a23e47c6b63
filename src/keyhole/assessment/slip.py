"""Slip of one vertebra on the next."""

from __future__ import annotations

import numpy as np

from keyhole.anatomy.model import Endplate
from keyhole.assessment.model import SUPINE, Grade, Measurement, probabilities
from keyhole.geometry import Points

MEYERDING_UPPER = (25.0, 50.0, 75.0, 100.0)
"""% of the lower endplate's depth: upper bounds of grades I to IV [koslosky2020]."""

MEYERDING = ("none", "I", "II", "III", "IV", "V")

SLIP_LEAST = 3.0
"""mm: less anterior translation is not called spondylolisthesis [rai2019]."""


def slip(level: str, upper: Endplate, lower: Endplate, corner_sd: float) -> Measurement:
    """Slip of the upper vertebra on the lower one, mm along the lower endplate, anterior positive.

    From the posterior-superior corner of the lower body to the posterior-inferior corner of the upper one. In a
    lordotic disc without slip the upper corner lies behind the lower one by height x tan(half the disc's angle).
    The sd is first order: both corners, and the tilt of the lower endplate over the disc's height.

    Parameters
    ----------
    upper : inferior endplate of the upper vertebra.
    lower : superior endplate of the lower vertebra.
    corner_sd : sd of a corner along the endplate, mm.

    References
    ----------
    [koslosky2020] for the landmarks.
    """
    offset = upper.posterior - lower.posterior
    value = float(offset @ _forward(lower))
    height = abs(float(offset @ lower.plane.normal))
    sd = float(np.sqrt(2 * corner_sd**2 + (height * np.radians(lower.tilt_sd)) ** 2))
    method = (
        "posterior-inferior corner of the upper body from the posterior-superior corner of the lower one, along the "
        "lower superior endplate; anterior is positive"
    )
    return Measurement("slip", level, value, sd, "mm", "koslosky2020", method, (SUPINE,))


def slip_ratio(found: Measurement, lower: Endplate, corner_sd: float) -> Measurement:
    """`found`, a slip in mm, as % of the depth of the `lower` superior endplate."""
    if found.value is None or found.sd is None:
        return Measurement("slip ratio", found.level, None, None, "%", found.source, found.method, found.caveats)
    ratio = found.value / lower.depth
    sd = float(np.hypot(found.sd, ratio * np.sqrt(2) * corner_sd)) / lower.depth
    method = f"slip / depth of the lower superior endplate ({lower.depth:.1f} mm)"
    return Measurement("slip ratio", found.level, 100 * ratio, 100 * sd, "%", found.source, method, found.caveats)


def meyerding(found: Measurement, lower: Endplate) -> Grade | None:
    """Probability of each Meyerding grade of a slip ratio; `none` below `SLIP_LEAST` mm or behind.

    Printed tables leave a gap (25, then 26 %); a value in it takes the higher grade.
    """
    if found.value is None or found.sd is None:
        return None
    limits = (100 * SLIP_LEAST / lower.depth, *MEYERDING_UPPER)
    note = f"an anterior slip below {SLIP_LEAST:.0f} mm is graded none [rai2019]; Meyerding graded standing radiographs"
    return Grade(probabilities(found.value, found.sd, limits, MEYERDING), "koslosky2020", (note,))


def _forward(lower: Endplate) -> Points:
    """Anterior along the endplate, unit (3,)."""
    return np.asarray((lower.anterior - lower.posterior) / lower.depth)
