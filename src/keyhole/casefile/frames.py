"""The vertebrae's own axes in plan.json: what angles and measures are said in."""

from __future__ import annotations

from keyhole.casefile.values import Strict, Triple


class PlateEntry(Strict):
    """One endplate, LPS mm: the plane through `point` across `normal` (cranial), and its corners on that plane."""

    point: Triple
    normal: Triple
    anterior: Triple
    posterior: Triple
    left: Triple
    right: Triple


class VertebraFrame(Strict):
    """The frame of one vertebra as docs/measures.md defines it, LPS: `centre` mm, unit directions, endplates.

    A screw's `medial` is its axis' angle to the vertebra's sagittal plane, towards the midline positive, and `cranial`
    its rise out of the plane across `up`. An endplate that is not seen whole is None.
    """

    vertebra: str
    centre: Triple
    left: Triple
    posterior: Triple
    up: Triple
    superior: PlateEntry | None = None
    inferior: PlateEntry | None = None
