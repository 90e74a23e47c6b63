"""The frames of the vertebrae as plan.json holds them: angles and measures of a plan are said in these."""

from __future__ import annotations

from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.casefile import PlateEntry, VertebraFrame
from keyhole.casefile.values import Triple
from keyhole.geometry import Points
from keyhole.terms import rank


def frames(anatomy: Anatomy) -> tuple[VertebraFrame, ...]:
    """The frame of every vertebra in view, cranial to caudal."""
    return tuple(_frame(anatomy.vertebrae[name]) for name in sorted(anatomy.vertebrae, key=rank))


def _frame(one: Vertebra) -> VertebraFrame:
    return VertebraFrame(
        vertebra=one.name, centre=_triple(one.centre, 4), left=_triple(one.left, 7),
        posterior=_triple(one.posterior, 7), up=_triple(one.up, 7),
        superior=None if one.superior is None else _plate(one.superior),
        inferior=None if one.inferior is None else _plate(one.inferior),
    )  # fmt: skip


def _plate(plate: Endplate) -> PlateEntry:
    return PlateEntry(
        point=_triple(plate.plane.point, 4), normal=_triple(plate.plane.normal, 7),
        anterior=_triple(plate.anterior, 4), posterior=_triple(plate.posterior, 4),
        left=_triple(plate.left, 4), right=_triple(plate.right, 4),
    )  # fmt: skip


def _triple(point: Points, digits: int) -> Triple:
    x, y, z = (float(round(value, digits)) + 0.0 for value in point)
    return x, y, z
