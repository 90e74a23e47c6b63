"""What plan.json says of the error budget and of what it means for each corridor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keyhole.casefile.values import Quantity, Side, Strict, Triple

Chance = Annotated[float, Field(ge=0, le=1)]


class BudgetTermEntry(Strict):
    """One term: sd mm along (lateral, posterior, up) of the level, and degrees per axis about the tube's tip."""

    term: Literal["image", "tracking", "breathing", "tool"]
    sd: Triple
    angle: float
    kind: Literal["systematic", "random"]
    source: str
    note: str = ""


class RegistrationEntry(Strict):
    """How scan and patient are brought together; what is None does not belong to the method."""

    method: Literal["rms", "fiducials", "frame"]
    rms: float | None = None  # mm: at the tip (rms), or at the reference frame (frame)
    angle: float | None = None  # degrees per axis
    fiducials: tuple[Triple, ...] = ()  # LPS mm
    fle: float | Triple | None = None  # mm: RMS length, or sd along LPS
    frame: Triple | None = None  # LPS mm
    distance: float | None = None  # mm from the tip to the frame, along the spine
    growth: float | None = None  # mm per mm away from the frame
    kind: Literal["systematic", "random"]
    source: str
    note: str = ""


class BudgetRecord(Strict):
    """The error budget that a plan was made with."""

    file: str  # base name
    registration: RegistrationEntry
    terms: tuple[BudgetTermEntry, ...]
    label_scale: float  # times the sd that labels.json gives each structure
    label_least: float  # and at least this share of a voxel
    label_source: str
    axes: tuple[Triple, Triple, Triple]  # lateral, posterior, up of the level, LPS; lateral of either side


class TermShare(Strict):
    """What one term adds: % of the gap's variance, and the summed breach probability if the term were 0."""

    term: str
    share: float
    breach_without: Chance


class DoubtEntry(Strict):
    """How sure the execution of one corridor is."""

    registration_rms: float  # mm, at the tip, under the budget
    breach_total: Chance  # sum over nerves, vessels, organs; at most 1
    worst: str | None  # structure in most danger
    dominant: str | None  # the term with the largest share there
    shares: tuple[TermShare, ...] = ()
    systematic_share: float | None = None  # % of that variance drawn once: placing the tube anew does not change it
    kept_clearance: Quantity | None = None  # mm kept in 95 % of executions; None: nothing is near
    robust_rank: int | None = None  # place in the order by kept clearance
    instrument_breach: dict[str, Chance] = Field(default_factory=dict)  # if the instrument were driven blind
    caveats: tuple[str, ...] = ()  # what is not counted because it is not known
    needed_accuracy: Quantity  # largest RMS registration error at the tip with a breach of 5 % or less


class NeededEntry(Strict):
    """How accurate navigation must be for the first corridor of an approach, in a sentence."""

    approach: str
    side: Side | None = None
    rank: int
    limit: float  # summed breach probability
    rms: float | None  # mm; None: see `sentence`
    sentence: str
