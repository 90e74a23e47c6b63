"""Sagittal angles between endplates."""

from __future__ import annotations

import numpy as np

from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.model import SUPINE, Measurement


def lordosis(name: str, level: str, upper: Vertebra, plates: tuple[Endplate, Endplate]) -> Measurement:
    """Angle between two superior endplates, deg, in the midsagittal plane of `upper`; lordosis is positive.

    Parameters
    ----------
    name : "segmental lordosis" or "lumbar lordosis".
    plates : superior endplate of the upper and of the lower vertebra.
    """
    high, low = (_lean(plate, upper) for plate in plates)
    sd = float(np.hypot(plates[0].tilt_sd, plates[1].tilt_sd))
    method = (
        "angle between the superior endplate planes in the upper vertebra's midsagittal plane; lordosis is positive"
    )
    return Measurement(name, level, high - low, sd, "deg", "keyhole", method, (SUPINE,))


def _lean(plate: Endplate, frame: Vertebra) -> float:
    """How far the endplate's normal leans back in the frame's midsagittal plane, deg."""
    normal = plate.plane.normal
    return float(np.degrees(np.arctan2(normal @ frame.posterior, normal @ frame.up)))
