"""What plan.json says of a simulated decompression."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keyhole.casefile.values import Quantity, Side, Strict, Triple


class BeforeAfter(Strict):
    """A measure of docs/measures.md before and after the removal; `side` None: of the level."""

    name: str
    side: Side | None = None
    before: Quantity
    after: Quantity


class GoalEntry(Strict):
    """The aim: `amount` in % ("share"), mm² ("area") or mm ("root"), over `length` mm to either side of the disc."""

    kind: Literal["share", "area", "root"]
    amount: float
    length: float
    root: Literal["traversing", "exiting"] = "traversing"
    words: str
    reached: bool


class LeftEntry(Strict):
    """What presses on the canal, may be removed, and is out of reach; the volume's caveats say why."""

    key: str
    volume: Quantity


class PlanesEntry(Strict):
    """Where the canal is measured: a plane through `point`, LPS mm, and those a multiple of `apart` mm along `normal`.

    `left` and `back` lie in the planes; the area counts within 20 mm of `point` along both.
    """

    point: Triple
    normal: Triple
    left: Triple
    back: Triple
    apart: float


class Decompression(Strict):
    """Area before and after the simulated removal at the level, and what it takes.

    `removed` is mL by structure key; `bone` their sum over bones, of which `in_tube` lies in the docked tube itself.
    `voxels` are the voxels of labels.nii.gz that go, as runs "first:length" in order of the index
    (i * nj + j) * nk + k of voxel (i, j, k) in an array of (ni, nj, nk) voxels. Of these, what lies within `fill` mm of
    the free canal (what is drawn out of the disc counts as free) and hangs on it becomes canal, the rest fat.
    `is_least`: no other set of places of the tool takes less; False: the least that a search found.
    """

    canal_area_before: Quantity
    canal_area_after: Quantity
    goal: GoalEntry | None = None
    measures: tuple[BeforeAfter, ...] = ()
    removed: dict[str, Quantity] = Field(default_factory=dict)
    bone: Quantity | None = None
    in_tube: Quantity | None = None
    facet_removed: dict[str, Quantity] = Field(default_factory=dict)
    left: tuple[LeftEntry, ...] = ()
    planes: PlanesEntry | None = None
    voxels: str | None = None
    fill: float | None = None  # mm
    is_least: bool | None = None
    caveats: tuple[str, ...] = ()


class FacetCurve(Strict):
    """A published effect of taking away facet: none of them is a limit, and they disagree."""

    removed: str  # how much of which facets
    effect: str
    model: str  # finite elements, cadaver, ..
    source: str
