"""forecast.json: what to expect of the planned operation and of the open one, from published and own results.

Effects are planned (small opening) minus open, ratios planned over open, all as people read them: a ratio is a ratio,
not its logarithm. Probabilities are shares of 1. `interval` is 95 % unless it says otherwise.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keyhole.casefile.models import LevelState, Provenance
from keyhole.casefile.values import Quantity, Side, Strict

Word = Literal["better", "no clear difference", "worse", "unknown"]
Ends = tuple[float, float]


class StudyEntry(Strict):
    """One study of a pool: a square of the forest plot. `weight` in %."""

    name: str
    effect: float
    interval: Ends
    weight: float
    design: str
    address: str  # doi, pmid or url


class PoolEntry(Strict):
    """The table's own studies pooled. `interval` is the ordinary one; the other two are None for one study."""

    measure: Literal["md", "rr", "or"]
    model: str
    k: int
    estimate: float
    interval: Ends
    hartung_knapp: Ends | None
    prediction: Ends | None  # where the effect in a next clinic may lie
    i2: float | None  # %
    tau2: float  # on the logarithm for ratios
    designs: tuple[str, ...]
    studies: tuple[StudyEntry, ...]
    caveats: tuple[str, ...] = ()


class SynthesisEntry(Strict):
    """A published pool as its source gives it; `studies` counts those of the whole review."""

    name: str
    citation: str
    address: str
    design: str
    studies: int | None
    measure: Literal["md", "rr", "or", "smd", ""]
    estimate: float | None
    interval: Ends | None
    in_words: str  # where it prints no interval: "no difference", "lower", "higher"; else empty
    word: Word
    why: str


class AnswerEntry(Strict):
    """What is published on one question: a comparison, an outcome, a time; with the word it allows."""

    comparison: str
    comparison_title: str
    time: Literal["perioperative", "early", "middle", "late", "not said", "any"]
    word: Word
    why: str
    points_to: Word | None  # where too few studies point
    pool: PoolEntry | None
    syntheses: tuple[SynthesisEntry, ...]
    left_out: tuple[str, ...]  # "row, study: reason"


class Weighing(Strict):
    """How much the clinic's own patients weigh in planned and open values and in the difference; shares of 1.

    `prior_patients`: as how many own patients the literature counts; `conflict`: both differ beyond chance.
    """

    planned_patients: int
    open_patients: int
    planned: float
    open: float
    difference: float
    prior_patients: float
    prior: str  # how the literature's weight was set, in words
    conflict: bool = False


class CurvePoint(Strict):
    """Expected score at `months` after the operation (0: before it).

    `planned_range` and `open_range` hold `range_share` of single patients.
    """

    months: float
    planned: Quantity
    open: Quantity
    planned_range: Ends | None = None
    open_range: Ends | None = None


class ForecastOutcome(Strict):
    """One outcome after the planned and after the open operation.

    `planned`, `open`, `difference` (planned minus open; of probabilities for a risk) and `ratio` are quantities whose
    value is None, with the reason, where nobody knows. `word` says what MISS is here.
    """

    key: str
    title: str
    unit: str  # UCUM; "1" for a probability
    unit_words: str  # "mL", "days", "points of 100", "of 100 patients"
    kind: Literal["mean", "risk", "curve"]
    better: Literal["lower", "higher", ""]
    matters: float | None  # a difference below this is not called one
    word: Word
    why: str
    points_to: Word | None
    planned: Quantity
    open: Quantity
    difference: Quantity
    ratio: Quantity | None
    baseline: str  # whose patients the open (or shared) value comes from, in words
    basis: str  # whose difference is used, in words
    next_patient: Ends | None = None  # holds a single patient's value with `range_share`; only from own patients
    weighing: Weighing | None = None
    curve: tuple[CurvePoint, ...] = ()  # kind "curve": ascending months
    curve_note: str = ""  # whose course, in words
    answers: tuple[AnswerEntry, ...]  # the first is the one that `word` is from
    caveats: tuple[str, ...] = ()


class GeometryEntry(Strict):
    """What the plan costs on this patient, beside the open one. `changes`: outcomes that a source ties to it."""

    key: str
    title: str
    planned: Quantity
    open: Quantity
    changes: tuple[str, ...] = ()


class CalibrationBin(Strict):
    """A group of own patients of similar risk: mean predicted and observed share with its 95 % interval."""

    predicted: float
    observed: float
    interval: Ends
    patients: int


class CalibrationPoint(Strict):
    """A point of the calibration curve: what a predicted share was worth, with its 95 % bootstrap interval."""

    predicted: float
    expected: float
    interval: Ends


class CalibrationEntry(Strict):
    """How a published probability did on own patients, and what recalibration made of it; intervals by bootstrap."""

    patients: int
    events: int
    in_the_large: Quantity  # mean predicted minus observed share, before
    slope: Quantity  # before; 1 is right
    brier: Quantity  # before
    intercept_after: float  # applied: logit(p) -> intercept_after + slope_after * logit(p)
    slope_after: float
    brier_after: Quantity
    bins: tuple[CalibrationBin, ...]
    curve: tuple[CalibrationPoint, ...] = ()
    drift_p: float | None  # chance of this much drift in time if there were none
    drift: str  # in words
    caveats: tuple[str, ...] = ()


class RiskEntry(Strict):
    """A published score for this patient. `low` and `high`: every unknown item absent, and present (None: no limit)."""

    model: str
    title: str
    outcome: str
    form: Literal["points", "probability"]
    low: float
    high: float | None
    interval: Ends | None  # of a probability
    band: str
    present: tuple[str, ...]
    unknown: tuple[str, ...]
    performance: str
    validation: str
    citation: str
    address: str
    label: str  # "literature, not calibrated here", or whose patients recalibrated it
    calibration: CalibrationEntry | None = None
    caveats: tuple[str, ...] = ()


class ProcedureEntry(Strict):
    """Which published comparison stands for the planned operation, and why."""

    key: str  # discectomy, decompression, fusion, ...
    title: str
    approach: str  # of the plan
    approach_title: str
    comparator: str  # the open operation in plain words
    open_approach: str = ""  # of the plan; its figures stand in `geometry`
    published_as: tuple[str, ...]  # what the studies call this technique
    why: str
    citation: str
    address: str = ""  # of the citation


class CohortEntry(Strict):
    """The clinic's own patients that entered."""

    file: str
    sha256: str
    patients: int
    planned: int  # operated through a small opening, of this kind of operation
    open: int
    left_out: int
    caveats: tuple[str, ...] = ()


class AddedEntry(Strict):
    """A table of results that the clinic added to Keyhole's own, and the outcomes of this operation it bears on."""

    file: str
    sha256: str
    rows: int
    used: int  # rows of this operation's comparisons
    outcomes: tuple[str, ...]  # keys of outcomes below that such rows are about
    caveats: tuple[str, ...] = ()


class ForecastRecord(Strict):
    """forecast.json."""

    schema_: Literal["keyhole.forecast/1"] = Field("keyhole.forecast/1", alias="schema")
    level: str
    side: Side
    goal: Literal["decompress", "fuse", "screws"]
    procedure: ProcedureEntry
    range_share: float = 0.9  # of single patients, of every range of one
    outcomes: tuple[ForecastOutcome, ...]
    geometry: tuple[GeometryEntry, ...]
    risks: tuple[RiskEntry, ...]
    patient: dict[str, bool | float | str]  # the fields that the scores knew
    cohort: CohortEntry | None = None
    added: tuple[AddedEntry, ...] = ()
    levels: LevelState | None = None
    caveats: tuple[str, ...] = ()
    provenance: Provenance
