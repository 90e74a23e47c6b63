"""Published figures beside a patient's own: never a threshold, always with their source."""

from __future__ import annotations

from keyhole.assessment.model import Measurement
from keyhole.casefile.realign import PublishedEntry

_GAIN = {
    "disc height": (("+68.6 % on average after lateral fusion (42 papers, 3,779 levels)", "formica2020"),),
    "foramen height": (("+21.9 % on average after lateral fusion (42 papers, 3,779 levels)", "formica2020"),),
    "foramen area": (
        ("+37.7 % on average after lateral fusion (42 papers, 3,779 levels)", "formica2020"),
        ("+43.7 % (left) and +45.0 % (right) after oblique fusion (68 levels)", "olif-position"),
    ),
    "canal area": (
        ("+29.3 % on average after lateral fusion (42 papers, 3,779 levels)", "formica2020"),
        ("+33.3 % after oblique fusion (68 levels)", "olif-position"),
    ),
    "segmental lordosis": (
        ("+3.0 deg, sd 5.1, after oblique fusion, standing (68 levels)", "olif-position"),
        ("+3.1 deg with cages of 6 deg, +7.4 with 10 deg at once; +2.3, +6.1 and +5.9 deg (12 deg) later; lateral "
         "fusion, standing", "bakare2021"),
    ),
    "lordosis distribution index": (("50 to 80 % is called normal, standing", "bari2021"),),
    "incidence less lordosis": (
        ("10 deg or more went with revision for adjacent segment disease, odds ratio 10.6, standing (84 patients)",
         "rothenfluh2015"),
    ),
}  # fmt: skip


def beside(before: Measurement, after: Measurement, kind: str) -> tuple[PublishedEntry, ...]:
    """What was published of the change of this measure; a transforaminal cage is told that it was another operation."""
    told = []
    gained = before.value is not None and after.value is not None and before.value > 0 and after.unit in ("mm", "mm2")
    here = f"; here {100 * ((after.value or 0) / (before.value or 1) - 1):+.1f} %" if gained else ""
    for text, key in _GAIN.get(before.name, ()):
        other = " (another operation than this)" if kind == "transforaminal" and "fusion" in text else ""
        told.append(PublishedEntry(text=f"{text}{other}{here}", source=key))
    return tuple(told)
