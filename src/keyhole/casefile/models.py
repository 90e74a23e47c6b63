"""The JSON files of a case folder, exactly as DESIGN.md section 4 has them; unknown fields are an error."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keyhole.casefile.decompress import Decompression, FacetCurve
from keyhole.casefile.doubt import BudgetRecord, DoubtEntry, NeededEntry
from keyhole.casefile.frames import VertebraFrame
from keyhole.casefile.harm import HarmEntry
from keyhole.casefile.planning import ApproachEntry, ChangeEntry, FrontEntry, PortalEntry, TargetEntry, TriedEntry
from keyhole.casefile.realign import FusionRecord
from keyhole.casefile.screws import OperationRecord, ScrewsRecord
from keyhole.casefile.values import Quantity, Side, Strict, Triple


class Provenance(Strict):
    """What made a file: Keyhole's version, SHA-256 of each input, parameters. No date: same inputs, same bytes."""

    keyhole: str
    inputs: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, str | int | float | bool | list[str] | None] = Field(default_factory=dict)


class Patient(Strict):
    """What is known of the patient; None is not known."""

    age: Annotated[float, Field(ge=0, le=120)] | None = None
    sex: Literal["F", "M"] | None = None
    height_cm: Annotated[float, Field(gt=30, lt=260)] | None = None
    weight_kg: Annotated[float, Field(gt=2, lt=400)] | None = None
    asa: Annotated[int, Field(ge=1, le=5)] | None = None


class ImageEntry(Strict):
    """One image of the case."""

    name: str
    file: str  # relative to the case folder
    modality: Literal["CT", "MR"]
    weighting: Literal["T1", "T2"] | None = None  # of MR; None: not known
    source_file: str  # base name of what was imported; never a path of the importing machine
    sha256: str


class LevelConfirmation(Strict):
    """A person's word that the vertebrae carry the right names."""

    lowest_lumbar: str
    by: str
    at: str | None = None  # UTC, "2026-01-31T12:00:00Z": a record of an act, so it has a date
    note: str | None = None
    labels: str | None = None  # digest of the names and voxels it was made on; None: not known, so it counts for none


class LevelAct(Strict):
    """Something that happened to the names of the levels."""

    act: Literal["confirmed", "renamed", "dropped"]
    by: str | None = None
    at: str | None = None
    finding: str  # one sentence
    labels: str | None = None  # digest of the labels after it


class LevelState(Strict):
    """What was known of the levels' names when a result was made."""

    numbering: str
    confirmation: LevelConfirmation | None = None
    against: tuple[str, ...] = ()  # what spoke against the names


class CaseRecord(Strict):
    """case.json."""

    schema_: Literal["keyhole.case/1"] = Field("keyhole.case/1", alias="schema")
    id: str
    patient: Patient = Patient()
    complaint: str | None = None
    images: tuple[ImageEntry, ...] = ()
    numbering: str  # the basis on which levels were named, in words
    confirmation: LevelConfirmation | None = None
    level_history: tuple[LevelAct, ...] = ()
    caveats: tuple[str, ...] = ()
    provenance: Provenance


class QualityItem(Strict):
    """One property of an image, how good it is for planning, and what follows from it."""

    name: str
    value: float | str | None  # None: it could not be known
    unit: str = ""  # UCUM; empty for words
    verdict: Literal["good", "limited", "unusable", "unknown"]
    consequence: str  # one sentence, for the later stages


class StructureEntry(Strict):
    """One integer of labels.nii.gz."""

    key: str
    origin: Literal["labelled", "derived", "modelled", "classed"]
    source: str  # file and scheme, or the method
    sd: Annotated[float, Field(ge=0)]  # positional sd of its boundary, mm
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None  # of the method that found it; None: it gives none
    caveats: tuple[str, ...] = ()


class VertebraEntry(Strict):
    """How sure the method that found a vertebra is of its outline, and what speaks against it."""

    confidence: Annotated[float, Field(ge=0, le=1)]
    warnings: tuple[str, ...] = ()


class EvidenceEntry(Strict):
    """One reason for or against the names of the vertebrae."""

    kind: Literal["file", "sacrum", "ribs", "count", "shape", "pelvis", "user"]
    finding: str  # one sentence
    supports: bool | None  # None: it says nothing either way
    means: str = ""  # what would follow for the names, if it is so
    method: Literal["given", "labels", "image"] = "given"  # by what named the levels; or seen here in labels or image
    vertebra: str = ""  # by its name here, where the finding is about one and has to follow it through a renaming


class LabelsRecord(Strict):
    """labels.json."""

    schema_: Literal["keyhole.labels/1"] = Field("keyhole.labels/1", alias="schema")
    structures: dict[int, StructureEntry]
    drawn_mm: Triple | None = None  # voxel sides on which outlines were drawn, where labels.nii.gz is another grid
    vertebrae: dict[str, VertebraEntry] = Field(default_factory=dict)
    evidence: tuple[EvidenceEntry, ...] = ()
    quality: tuple[QualityItem, ...] = ()  # what the labels tell of the image: whole levels, sides
    caveats: tuple[str, ...] = ()
    provenance: Provenance


class FindingEntry(Strict):
    """One measure, or a grade that a reader or a network gave (`origin` reader: value None, grade given).

    `value` None of a measure: not measurable here; a caveat says why.
    """

    name: str
    level: str | None
    side: Side | None
    value: float | None
    sd: float | None
    unit: str
    grade: str | None = None
    grade_probability: dict[str, float] | None = None
    source: str
    method: str
    caveats: tuple[str, ...] = ()
    origin: Literal["measured", "reader"] = "measured"


class IndicatedEntry(Strict):
    """A level, and a side where one is worse, whose findings lie outside the norms; the first is the worst."""

    rank: int
    level: str
    side: Side | None
    goals: tuple[Literal["decompress", "fuse"], ...]
    score: float  # how far outside: the sum over kinds of finding of chance x (1 + steps beyond the limit)
    reasons: tuple[str, ...]
    caveats: tuple[str, ...] = ()


class FindingsRecord(Strict):
    """findings.json, and a phantom's truth.json."""

    schema_: Literal["keyhole.findings/1"] = Field("keyhole.findings/1", alias="schema")
    findings: tuple[FindingEntry, ...]
    indicated: tuple[IndicatedEntry, ...] = ()
    levels: LevelState | None = None
    caveats: tuple[str, ...] = ()
    provenance: Provenance


class ReadingEntry(Strict):
    """One grade of one level (and side) by a reader or a network, as it was entered."""

    system: Literal["rsna2024", "schizas", "pfirrmann", "lee", "modic"]
    name: str  # as in findings.json: "spinal canal stenosis", "Pfirrmann grade"
    level: str
    side: Side | None
    grade: str
    probability: dict[str, float] | None = None  # of each grade, where a network gave them
    reader: str
    date: str | None = None  # as entered, YYYY-MM-DD
    row: int  # line of the file it came from
    file: str  # base name of that file


class ReadingsRecord(Strict):
    """readings.json: grades that Keyhole does not measure. `lowest_lumbar`: by the names they were entered for."""

    schema_: Literal["keyhole.readings/1"] = Field("keyhole.readings/1", alias="schema")
    readings: tuple[ReadingEntry, ...]
    lowest_lumbar: str | None = None
    provenance: Provenance


class DrawnShape(Strict):
    """A line of points, LPS mm; `is_closed` joins the last to the first."""

    points: tuple[Triple, ...]
    is_closed: bool = False


class DrawnEntry(Strict):
    """Where the measure `name` of findings.json at `level` and `side` was taken, for painting it on slices."""

    name: str
    level: str | None
    side: Side | None
    shapes: tuple[DrawnShape, ...]


class DrawingsRecord(Strict):
    """drawings.json."""

    schema_: Literal["keyhole.drawings/1"] = Field("keyhole.drawings/1", alias="schema")
    frame: Literal["LPS mm"] = "LPS mm"
    drawings: tuple[DrawnEntry, ...]
    provenance: Provenance


class CandidateEntry(Strict):
    """One corridor, or the open comparator."""

    rank: int | None = None
    approach: str
    side: Side
    entry: Triple
    dock: Triple
    target: Triple
    radius: float
    instrument_radius: float
    clearance: dict[str, Quantity]
    instrument_clearance: dict[str, Quantity]
    breach_probability: dict[str, float]
    burden: dict[str, Quantity]
    burden_kind: dict[str, str] = Field(default_factory=dict)  # burden key -> dilated | cut | removed | retracted
    facet_removed: dict[str, Quantity]
    incision: Quantity
    depth: Quantity
    reach: Quantity
    decompression: Decompression | None = None
    harm: HarmEntry | None = None
    doubt: DoubtEntry | None = None
    reaches: dict[str, Quantity] = Field(default_factory=dict)  # target -> % of it that the instrument can touch
    portals: tuple[PortalEntry, ...] = ()  # further tubes, whose burden and breach are in the sums above
    caveats: tuple[str, ...] = ()


class Rejected(Strict):
    """An approach without a feasible corridor, and the reason in a sentence."""

    approach: str
    reason: str
    side: Side | None = None
    structure: str | None = None  # what is in the way, and by how much
    missing: Quantity | None = None
    tried: TriedEntry | None = None  # the corridor that lacks them; None where nothing was in the way of one
    changes: tuple[ChangeEntry, ...] = ()


class Feasibility(Strict):
    """How many corridors of an approach keep each margin to every hard structure."""

    approach: str
    searched: int
    margins: tuple[float, ...]  # mm
    feasible: tuple[int, ...]
    side: Side | None = None


class PlanRecord(Strict):
    """plan.json."""

    schema_: Literal["keyhole.plan/1"] = Field("keyhole.plan/1", alias="schema")
    level: str
    side: Side
    goal: Literal["decompress", "fuse", "screws"]
    frame: Literal["LPS mm"] = "LPS mm"
    candidates: tuple[CandidateEntry, ...]
    open: CandidateEntry | None
    comparators: tuple[CandidateEntry, ...] = ()  # further open operations with stated extents
    rejected: tuple[Rejected, ...]
    searched: int
    pareto: tuple[int, ...]
    feasibility: tuple[Feasibility, ...] = ()
    sides: tuple[Side, ...] = ()  # that were planned; `side` is that of the first candidate
    approaches: tuple[ApproachEntry, ...] = ()
    targets: tuple[TargetEntry, ...] = ()
    fronts: tuple[FrontEntry, ...] = ()
    facet_curves: tuple[FacetCurve, ...] = ()  # published effects of taking facet away: no limits, and they disagree
    budget: BudgetRecord | None = None
    needed: tuple[NeededEntry, ...] = ()  # how accurate navigation must be
    fusion: FusionRecord | None = None  # the cage and what it does to the level
    screws: ScrewsRecord | None = None
    operations: tuple[OperationRecord, ...] = ()  # corridors and implants counted together
    frames: tuple[VertebraFrame, ...] = ()  # of every vertebra in view, cranial to caudal
    levels: LevelState | None = None
    caveats: tuple[str, ...] = ()
    provenance: Provenance
