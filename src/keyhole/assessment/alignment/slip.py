"""Slip of one vertebra on the next: forwards, backwards and to the side."""

from __future__ import annotations

import numpy as np

from keyhole.anatomy.model import Endplate
from keyhole.assessment.model import SUPINE, Grade, Measurement, Shape, probabilities
from keyhole.geometry import Points

MEYERDING_UPPER = (25.0, 50.0, 75.0, 100.0)
"""% of the lower endplate's depth: upper bounds of grades I to IV [koslosky2020]."""

MEYERDING = ("retrolisthesis", "none", "I", "II", "III", "IV", "V")

SLIP_LEAST = 3.0
"""mm: less translation is not called spondylolisthesis [rai2019]; the same limit backwards is [keyhole-choice]."""


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
    forward = _forward(lower)
    value = float(offset @ forward)
    height = abs(float(offset @ lower.plane.normal))
    sd = float(np.sqrt(2 * corner_sd**2 + (height * np.radians(lower.tilt_sd)) ** 2))
    method = (
        "posterior-inferior corner of the upper body from the posterior-superior corner of the lower one, along the "
        "lower superior endplate; anterior is positive"
    )
    foot = lower.posterior + value * forward
    shapes = (
        Shape(np.stack([lower.posterior, lower.anterior])),
        Shape(np.stack([upper.posterior, upper.anterior])),
        Shape(np.stack([upper.posterior, foot])),
    )
    return Measurement("slip", level, value, sd, "mm", "koslosky2020", method, (SUPINE,), shapes=shapes)


def slip_ratio(found: Measurement, lower: Endplate, corner_sd: float) -> Measurement:
    """`found`, a slip in mm, as % of the depth of the `lower` superior endplate."""
    if found.value is None or found.sd is None:
        return Measurement("slip ratio", found.level, None, None, "%", found.source, found.method, found.caveats)
    ratio = found.value / lower.depth
    sd = float(np.hypot(found.sd, ratio * np.sqrt(2) * corner_sd)) / lower.depth
    method = f"slip / depth of the lower superior endplate ({lower.depth:.1f} mm)"
    return Measurement(
        "slip ratio",
        found.level,
        100 * ratio,
        100 * sd,
        "%",
        found.source,
        method,
        found.caveats,
        shapes=found.shapes,
    )


def meyerding(found: Measurement, lower: Endplate) -> Grade | None:
    """Probability of each Meyerding grade of a slip ratio; `none` within `SLIP_LEAST` mm, `retrolisthesis` behind.

    Printed tables leave a gap (25, then 26 %); a value in it takes the higher grade.
    """
    if found.value is None or found.sd is None:
        return None
    least = 100 * SLIP_LEAST / lower.depth
    note = (
        f"a slip below {SLIP_LEAST:.0f} mm is graded none, forwards [rai2019] and backwards [keyhole-choice]; "
        "Meyerding graded standing radiographs"
    )
    chances = probabilities(found.value, found.sd, (-least, least, *MEYERDING_UPPER), MEYERDING)
    return Grade(chances, "koslosky2020", (note,))


def lateral_slip(level: str, upper: Endplate, lower: Endplate, corner_sd: float) -> Measurement:
    """Slip of the upper vertebra on the lower one to the side, mm along the lower endplate, left positive.

    From the middle between the side corners of the lower superior endplate to that of the upper inferior one: the
    mean of what a frontal radiograph shows at both edges. The sd is first order: four corners, and the coronal tilt
    of the lower endplate over the disc's height.

    Parameters
    ----------
    upper : inferior endplate of the upper vertebra.
    lower : superior endplate of the lower vertebra.
    corner_sd : sd of a corner along the endplate, mm.
    """
    across = np.asarray((lower.left - lower.right) / lower.width)
    offset = (upper.left + upper.right - lower.left - lower.right) / 2
    height = abs(float(offset @ lower.plane.normal))
    tilt = np.radians(coronal_sd(lower))
    sd = float(np.sqrt(corner_sd**2 + (height * tilt) ** 2))
    method = (
        "middle between the side corners of the upper body's inferior endplate from that of the lower body's superior "
        "one, along the lower endplate; left is positive"
    )
    shapes = (Shape(np.stack([lower.left, lower.right])), Shape(np.stack([upper.left, upper.right])))
    value = float(offset @ across)
    return Measurement("lateral slip", level, value, sd, "mm", "keyhole", method, (SUPINE,), shapes=shapes)


def coronal_sd(plate: Endplate) -> float:
    """Sd of the endplate's coronal angle, deg, from that of its sagittal one.

    The wider lever makes it smaller by a tenth, on phantoms as readers draw them [keyhole-choice].
    """
    return 0.9 * plate.tilt_sd


def _forward(lower: Endplate) -> Points:
    """Anterior along the endplate, unit (3,)."""
    return np.asarray((lower.anterior - lower.posterior) / lower.depth)
