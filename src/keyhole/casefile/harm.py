"""What plan.json says of the harm of a corridor, of several together, or of the open operation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keyhole.casefile.values import Quantity, Strict, Triple

Does = Literal["dilated", "cut", "removed", "retracted"]


class Body(Strict):
    """A capsule that was counted: `what` is tube, portal, instrument or screw; mm, LPS."""

    what: str
    start: Triple
    stop: Triple
    radius: float


class TissueHarm(Strict):
    """Volume of one structure, as it is named in labels.json, inside the union of all bodies or the opened volume."""

    key: str
    tissue: str
    does: Does
    volume: Quantity


class MuscleHarm(Strict):
    """Volume of one muscle; `is_named` False: the labels do not say which muscle it is."""

    name: str
    is_named: bool
    volume: Quantity


class OpeningEntry(Strict):
    """An opening: its greatest length and its area; of several portals, lengths are summed and areas united."""

    layer: Literal["skin", "fascia"]
    length: Quantity
    area: Quantity
    count: int  # separate openings


class CrossingEntry(Strict):
    """A medial branch or a facet capsule, placed by a model: how far from the wall, and how likely it is crossed."""

    name: str
    kind: Literal["medial branch", "facet capsule"]
    origin: Literal["modelled"] = "modelled"
    gap: Quantity  # mm from the wall of the opening, negative inside it
    probability: Annotated[float, Field(ge=0, le=1)] | None = None  # of being crossed; None: not known
    share: Quantity | None = None  # % of the capsule
    source: str


class PlaneEntry(Strict):
    """Whether the way through the muscle follows the cleft between multifidus and longissimus.

    `is_visible` False: the labels do not tell the muscles apart, and `share` is not known.
    """

    is_visible: bool
    share: Quantity  # % of the axis in these muscles that runs in the cleft
    lateral: Quantity  # mm from the midline where the axis enters muscle
    published: tuple[Quantity, ...]  # mm from the midline where others found the cleft


class HarmEntry(Strict):
    """Displaced volume, not injury, by tissue, muscle and layer; structures nobody saw are modelled and say so."""

    bodies: tuple[Body, ...] = ()
    tissues: tuple[TissueHarm, ...]
    totals: dict[str, Quantity]  # dilated, cut, removed, retracted -> mL
    muscles: tuple[MuscleHarm, ...]
    openings: tuple[OpeningEntry, ...]
    crossings: tuple[CrossingEntry, ...]
    plane: PlaneEntry | None = None
    caveats: tuple[str, ...] = ()
