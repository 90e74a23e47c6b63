"""What goes with cages that sink: density of the bone, how much the disc is raised, where and how broad the cage is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Anatomy
from keyhole.assessment.disc.heights import disc_height
from keyhole.assessment.model import Measurement, unknown
from keyhole.assessment.study import body_prefix, boundary_sd
from keyhole.assessment.vertebra.density import UNIT, density, vertebral_density
from keyhole.assessment.vertebra.heights import bone_of
from keyhole.casefile.realign import PublishedEntry, RiskEntry
from keyhole.casefile.values import Quantity
from keyhole.geometry import Volume
from keyhole.plan.realign.changes import quantity
from keyhole.plan.realign.motion import Realigned, facing
from keyhole.plan.realign.seat import Seat
from keyhole.terms import rank, split

L1 = (
    PublishedEntry(
        text="below 117 HU at L1 screws loosened or cages sank 4.1 times as often after MIS-TLIF (198 patients)",
        source="yao2023",
    ),
)
SEGMENT = (
    PublishedEntry(
        text="135.02 HU, the mean of both vertebrae, parted mild from severe subsidence after lateral fusion "
        "(sensitivity 60 %, specificity 92.3 %; 68 patients)",
        source="xi-llif-hu",
    ),
    PublishedEntry(
        text="113.4 HU at the level where the cage sank, 127.9 HU where it did not, TLIF at L4/5 (18 pairs)",
        source="mi-tlif-hu",
    ),
)
LUMBAR = (
    PublishedEntry(
        text="132 HU, the lumbar mean, was the best cut-off after TLIF at L4/5 (sensitivity 83.3 %; 18 pairs)",
        source="mi-tlif-hu",
    ),
)
RAISED = (
    PublishedEntry(
        text="overdistraction went with subsidence, odds ratio 1.175 (242 patients)", source="olif-subsidence"
    ),
    PublishedEntry(
        text="the more a disc was raised the more often it sank, r = 0.27 (119 patients)", source="hu2021-endplate"
    ),
)
PLACE = (
    PublishedEntry(
        text="lateral cages behind sank more and kept less height and angle than those in front (70 levels)",
        source="llif-cage-height",
    ),
)
WIDTH = (
    PublishedEntry(
        text="lateral cages of 18 and 26 mm and a TLIF cage of 11 mm: the wider, the stiffer (24 specimens)",
        source="pimenta2012",
    ),
)


def densities(anatomy: Anatomy, image: Volume | None) -> dict[str, Measurement]:
    """Attenuation of every whole lumbar vertebra in view on the CT, HU."""
    boxes = label_boxes(anatomy.labels)
    found: dict[str, Measurement] = {}
    for name in sorted((n for n in anatomy.vertebrae if n[0] == "L"), key=rank):
        one = anatomy.vertebrae[name]
        sd = boundary_sd(anatomy, body_prefix(anatomy, name))
        bone = bone_of(anatomy.labels, boxes, one, sd) if one.complete else None
        if image is None:
            found[name] = unknown("vertebral density", name, UNIT, "the case has no CT; not measured")
        elif bone is None:
            found[name] = unknown("vertebral density", name, UNIT, f"{name} is not whole in view; not measured")
        else:
            found[name] = vertebral_density(name, density(bone, image))
    return found


def _mean(name: str, level: str, parts: Sequence[Measurement]) -> Quantity:
    """Mean attenuation of several vertebrae; those that were not measured are named."""
    known = [(one.value, one.sd) for one in parts if one.value is not None and one.sd is not None]
    lost = [one.level for one in parts if one.value is None]
    if not known:
        return Quantity(value=None, unit=UNIT, source="keyhole", caveats=(f"{name} of {level} was not measured",))
    value = float(np.mean([value for value, _ in known]))
    sd = float(np.linalg.norm([sd for _, sd in known])) / len(known)
    notes = (f"without {', '.join(lost)}, which was not measured",) if lost else ()
    return Quantity(value=round(value, 2), sd=round(sd, 2), unit=UNIT, source="keyhole", caveats=notes)


def risks(result: Realigned, seat: Seat, bone: dict[str, Measurement]) -> Iterator[RiskEntry]:
    """Every factor for which something was published, with the patient's own value."""
    level = seat.level
    first = bone.get("L1") or unknown("vertebral density", "L1", UNIT, "L1 is not in view; not measured")
    yield RiskEntry(name="density at L1", level="L1", value=quantity(first), published=L1)
    near = [bone.get(name) or unknown("vertebral density", name, UNIT, "not measured") for name in split(level)]
    yield RiskEntry(name="density beside the cage", level=level, value=_mean("density", level, near), published=SEGMENT)
    lumbar = _mean("density", "L1/L5", list(bone.values()))
    yield RiskEntry(name="mean lumbar density", level="L1/L5", value=lumbar, published=LUMBAR)
    yield RiskEntry(name="disc raised by", level=level, value=_raised(result, level), published=RAISED)
    yield RiskEntry(name="cage's middle from the front", level=level, value=_place(result, seat), published=PLACE)
    width = Quantity(value=seat.cage.width, sd=0.0, unit="mm", source="keyhole-plan")
    yield RiskEntry(name="cage's width", level=level, value=width, published=WIDTH)


def _raised(result: Realigned, level: str) -> Quantity:
    """How much higher the disc is at its middle, mm."""
    from_to = [facing(*pair) for pair in (result.anatomy.pair(level), result.pair(level))]
    before, after = (disc_height(level, over, under).value or 0.0 for over, under in from_to)
    sd = float(np.hypot(from_to[0][0].sd, from_to[0][1].sd))
    return Quantity(value=round(after - before, 4), sd=round(sd, 4), unit="mm", source="keyhole-plan")


def _place(result: Realigned, seat: Seat) -> Quantity:
    """Where along the lower endplate's depth the cage's middle stands, % from the front."""
    _, under = facing(*result.pair(seat.level))
    value = 100 * (seat.at[1] + under.depth / 2) / under.depth
    return Quantity(value=round(value, 2), sd=round(100 * under.sd / under.depth, 2), unit="%", source="keyhole-plan")
