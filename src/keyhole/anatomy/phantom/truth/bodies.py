"""The exact heights of discs, slips and lordosis of a phantom."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.endplates import along, lean
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.casefile import FindingEntry
from keyhole.geometry import Plane


def body_truth(_body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Disc height, slips, segmental lordosis and coronal wedge at every level; lumbar lordosis and Cobb angle in view.

    A phantom is its own mirror image but for its disease: it neither slips to a side nor curves.
    """
    for level in plates.levels:
        above = level.split("/")[0]
        roof, floor = plates.facing(level)
        middle = Plane((roof.centre + floor.centre) / 2, roof.plane.normal + floor.plane.normal)
        slip = float((roof.posterior - floor.posterior) @ (floor.anterior - floor.posterior)) / floor.depth
        angle = lean(floor.plane.normal) - lean(plates.of(above, +1).plane.normal)
        yield true("disc height", level, along(roof.plane, middle) - along(floor.plane, middle), "mm")
        yield true("slip", level, slip, "mm")
        yield true("slip ratio", level, 100 * slip / floor.depth, "%")
        yield true("segmental lordosis", level, angle, "deg")
        yield true("lateral slip", level, 0.0, "mm")
        yield true("coronal disc wedge", level, 0.0, "deg")
    if {"L1", "S1"} <= set(plates.names):
        angle = lean(plates.of("S1", +1).plane.normal) - lean(plates.of("L1", +1).plane.normal)
        yield true("lumbar lordosis", "L1/S1", angle, "deg")
    lumbar = [name for name in plates.names if name[0] == "L"]
    if len(lumbar) >= 2:
        yield true("coronal Cobb angle", f"{lumbar[0]}/{lumbar[-1]}", 0.0, "deg")
