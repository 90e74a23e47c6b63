"""rehab.json: the rehabilitation programme of a case, what it rests on, and what is still to be signed off.

Days are counted from the operation (day 0), so a programme needs no date; `start` is None until one is given.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from keyhole.casefile.models import Provenance
from keyhole.casefile.values import Strict

Day = Annotated[int, Field(ge=0)]
ISO_DATE = r"^\d{4}-\d{2}-\d{2}$"
Date = Annotated[str, Field(pattern=ISO_DATE)]


class CitedSource(Strict):
    """A source of the protocol: its key, its text, and where it can be opened (empty: nowhere)."""

    key: str
    text: str
    address: str


class ProtocolEntry(Strict):
    """The protocol that the programme was built from. `origin` clinic: a file of the clinic's own, `file` its name."""

    key: str
    name: str
    version: str
    origin: Literal["keyhole", "clinic"]
    file: str
    sha256: str
    sources: tuple[CitedSource, ...]


class PositionEntry(Strict):
    """What one or several sources say on a question they disagree about."""

    key: str
    says: str
    sources: tuple[str, ...]


class ConflictEntry(Strict):
    """A question on which published protocols disagree, what they say, and what is followed here.

    `followed` is the sentence that the patient gets. `chosen` is a key of `positions`; empty: own words of `by`.
    """

    key: str
    question: str
    positions: tuple[PositionEntry, ...]
    chosen: str
    followed: str
    why: str
    chosen_by: Literal["protocol", "override"]
    by: str = ""


class ExerciseEntry(Strict):
    """One exercise of a phase. `how` and `stop` are for the patient; `dose` is what to do of it, in words."""

    key: str
    title: str
    how: tuple[str, ...]
    stop: str = ""
    dose: str
    drawn: bool  # whether Keyhole has a drawing of it


class CriterionEntry(Strict):
    """What must be so before the next phase.

    `test` is the key of an instrument or test that tells (`keyhole.recovery.instruments`), met when its value is
    `rule` `threshold` (in the instrument's own unit). `test` None: a person answers yes or no.
    """

    key: str
    text: str
    test: str | None = None
    rule: Literal["at most", "at least"] | None = None
    threshold: float | None = None
    unit: str = ""
    sources: tuple[str, ...] = ()


class PhaseEntry(Strict):
    """A phase from `from_day` to `to_day`, both included. Its criteria open the next one; time alone does not."""

    key: str
    name: str
    from_day: Day
    to_day: Day
    about: str
    goals: tuple[str, ...]
    exercises: tuple[ExerciseEntry, ...]
    precautions: tuple[str, ...]
    criteria: tuple[CriterionEntry, ...]
    sources: tuple[str, ...]


class RedFlagEntry(Strict):
    """A sign on which to act at once. `act` now: an emergency department; today: call the clinic the same day."""

    key: str
    text: str
    act: Literal["now", "today"]


def flags_digest(flags: tuple[RedFlagEntry, ...]) -> str:
    """SHA-256 of a list of red flags: what a sign-off is of."""
    plain = [one.model_dump(mode="json") for one in flags]
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class SignOff(Strict):
    """A person of the clinic answers for the list of red flags whose digest is `sha256`."""

    by: str
    date: Date
    sha256: str


class FittedEntry(Strict):
    """What was changed because of this case, why, and on which figure; `assumed`: the figure is not known."""

    key: str
    because: str
    patient: str = ""
    therapist: str = ""
    sources: tuple[str, ...]
    assumed: bool = False


class OverrideEntry(Strict):
    """What a person set in place of the protocol or the case."""

    key: str
    value: str
    was: str
    by: str


class FactEntry(Strict):
    """A figure of the case that the programme was built on; `value` in words, "not known" where it is not."""

    key: str
    title: str
    value: str
    origin: str  # file of the case, or who set it
    note: str = ""


class RehabRecord(Strict):
    """rehab.json."""

    schema_: Literal["keyhole.rehab/1"] = Field("keyhole.rehab/1", alias="schema")
    research_use: str = "Research use only. Not a medical device. Not for clinical decisions."
    procedure: str  # a key of keyhole.evidence.procedures
    procedure_title: str
    levels: tuple[str, ...]
    approach: str  # of the plan; empty: not known
    protocol: ProtocolEntry
    start: Date | None  # day of the operation
    phases: Annotated[tuple[PhaseEntry, ...], Field(min_length=1)]
    conflicts: tuple[ConflictEntry, ...]
    red_flags: Annotated[tuple[RedFlagEntry, ...], Field(min_length=1)]
    red_flags_version: str
    red_flags_sha256: str
    signed_off: SignOff | None = None
    facts: tuple[FactEntry, ...]
    fitted: tuple[FittedEntry, ...]
    overrides: tuple[OverrideEntry, ...]
    caveats: tuple[str, ...] = ()
    calendar: str  # what the calendar's entries are named by: no word of the patient in it
    revision: Annotated[int, Field(ge=0)] = 0  # grows when a programme is built anew and differs
    provenance: Provenance

    @property
    def signature(self) -> SignOff | None:
        """The sign-off, where there is one and it is of this very list of red flags."""
        found = self.signed_off
        return found if found is not None and found.sha256 == flags_digest(self.red_flags) else None
