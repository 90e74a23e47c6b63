"""Rehabilitation protocols, exercises and red flags: files that a clinic can edit, checked when they are read."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from keyhole.casefile import CitedSource, CriterionEntry, RedFlagEntry
from keyhole.casefile.rehab import flags_digest
from keyhole.casefile.values import Strict
from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import sources
from keyhole.recovery.instruments import instruments

SHIPPED = ("decompression", "fusion")
FIELDS = ("age", "asa", "levels", "facet", "muscle_stripped", "psoas", "goal_missed")
"""What of a case a protocol may be fitted to."""

Text = Annotated[str, Field(min_length=1)]
Key = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Week = Annotated[int, Field(ge=1, le=520)]


class Exercise(Strict):
    """An exercise in plain words."""

    title: Text
    how: Annotated[tuple[Text, ...], Field(min_length=1)]
    stop: str = ""


class Dosed(Strict):
    """How much of an exercise in a phase."""

    key: Key
    dose: Text


class Added(Dosed):
    """An exercise that a phase gets because of the case."""

    phase: Key


class Phase(Strict):
    """A phase up to the end of `to_week`; it begins where the one before ends."""

    key: Key
    name: Text
    to_week: Week
    about: str = ""
    goals: Annotated[tuple[Text, ...], Field(min_length=1)]
    precautions: tuple[Text, ...] = ()
    exercise: tuple[Dosed, ...] = ()
    criterion: tuple[CriterionEntry, ...] = ()
    sources: Annotated[tuple[Text, ...], Field(min_length=1)]


class Position(Strict):
    """What some say on a question; `patient` is the sentence that the patient gets where it is followed."""

    key: Key
    says: Text
    patient: Text
    sources: Annotated[tuple[Text, ...], Field(min_length=1)]
    to_week: dict[Key, Week] = Field(default_factory=dict)


class Conflict(Strict):
    """A question on which the sources disagree, and the position that the protocol follows."""

    key: Key
    question: Text
    phases: tuple[Key, ...] = ()
    chosen: Key
    why: Text
    position: Annotated[tuple[Position, ...], Field(min_length=2)]


class Fit(Strict):
    """What changes where a figure of the case is at least, above or below a value."""

    key: Key
    field: Literal["age", "asa", "levels", "facet", "muscle_stripped", "psoas", "goal_missed"]
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    unknown: Literal["apply", "say", "ignore"]
    because: str = ""
    patient: str = ""
    therapist: str = ""
    refuse: str = ""
    without: tuple[Key, ...] = ()
    add: tuple[Added, ...] = ()
    sources: Annotated[tuple[Text, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Fit:
        if sum(one is not None for one in (self.at_least, self.above, self.below)) != 1:
            raise ValueError("a fit needs one of at_least, above and below")
        return self

    def holds(self, value: float) -> bool:
        """Whether `value` is where the fit applies."""
        if self.at_least is not None:
            return value >= self.at_least
        return value > self.above if self.above is not None else value < (self.below or 0.0)


class RedFlags(Strict):
    """Signs on which to act at once, as a file holds them."""

    version: Text
    sources: tuple[Text, ...] = ()
    flag: Annotated[tuple[RedFlagEntry, ...], Field(min_length=1)]

    @property
    def digest(self) -> str:
        """SHA-256 of the list alone: what a sign-off is of."""
        return flags_digest(self.flag)


class Protocol(Strict):
    """A protocol file."""

    schema_: Literal["keyhole.protocol/1"] = Field(alias="schema")
    key: Key
    name: Text
    version: Text
    procedures: Annotated[tuple[Key, ...], Field(min_length=1)]
    sources: Annotated[tuple[Text, ...], Field(min_length=1)]
    phase: Annotated[tuple[Phase, ...], Field(min_length=1)]
    conflict: tuple[Conflict, ...] = ()
    fit: tuple[Fit, ...] = ()
    exercise: dict[Key, Exercise] = Field(default_factory=dict)
    red_flags: RedFlags | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ProtocolFile:
    """A protocol, the file it came from, its exercises (Keyhole's and its own) and its red flags."""

    protocol: Protocol
    file: str
    sha256: str
    is_own: bool
    exercises: Mapping[str, Exercise]
    red_flags: RedFlags


@cache
def exercises() -> dict[str, Exercise]:
    """Keyhole's own exercises by key."""
    table = tomllib.loads(_shipped("exercises.toml").decode())
    return {key: Exercise(**row) for key, row in table.items()}


@cache
def red_flags() -> RedFlags:
    """Keyhole's own list of red flags."""
    return RedFlags(**tomllib.loads(_shipped("red_flags.toml").decode()))


@cache
def shipped(key: str) -> ProtocolFile:
    """The protocol `key` that comes with Keyhole."""
    return _checked(_shipped("protocols", f"{key}.toml"), f"{key}.toml", is_own=False)


def shipped_text(key: str) -> str:
    """The file of the protocol `key` that comes with Keyhole, to be copied and changed."""
    if key not in SHIPPED:
        raise InvalidInput(f"no protocol of Keyhole's is called {key!r}; there are {', '.join(SHIPPED)}")
    return _shipped("protocols", f"{key}.toml").decode("utf-8")


def protocol_for(procedure: str) -> ProtocolFile:
    """The protocol that comes with Keyhole for `procedure`; where there is none, that is said."""
    for key in SHIPPED:
        if procedure in shipped(key).protocol.procedures:
            return shipped(key)
    known = ", ".join(name for key in SHIPPED for name in shipped(key).protocol.procedures)
    raise InvalidInput(
        f"no rehabilitation protocol comes with Keyhole for {procedure!r}, only for {known}; "
        "give your own with --protocol FILE"
    )


def read_protocol(path: Path) -> ProtocolFile:
    """The clinic's own protocol at `path`; one sentence says what is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error
    return _checked(content, path.name, is_own=True)


def cited(keys: Iterable[str]) -> tuple[CitedSource, ...]:
    """The sources `keys`, each once; what is no key of Keyhole's is a citation of the clinic's own."""
    known = sources()
    return tuple(
        CitedSource(key=key, text=known[key].text, address=known[key].address)
        if key in known
        else CitedSource(key=key, text=key, address="")
        for key in dict.fromkeys(keys)
    )


def _shipped(*names: str) -> bytes:
    return files("keyhole.recovery.rehab").joinpath(*names).read_bytes()


def _checked(content: bytes, name: str, *, is_own: bool) -> ProtocolFile:
    protocol = _parsed(content, name)
    known = exercises() | protocol.exercise
    flags = protocol.red_flags or red_flags()
    for wrong in (*_wrong_phases(protocol, known), *_wrong_questions(protocol, known), *_wrong_flags(flags)):
        raise InvalidInput(f"{name} is no valid protocol: {wrong}")
    return ProtocolFile(protocol, name, hashlib.sha256(content).hexdigest(), is_own, known, flags)


def _parsed(content: bytes, name: str) -> Protocol:
    try:
        return Protocol.model_validate(tomllib.loads(content.decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableFile(f"{name} must be TOML in UTF-8: {error}") from error
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(n + 1) if isinstance(n, int) else str(n) for n in first["loc"]) or "the file"
        raise InvalidInput(f"{name} is no valid protocol: {where}: {first['msg']}") from error


def _wrong_phases(protocol: Protocol, known: Mapping[str, Exercise]) -> Iterable[str]:
    yield from _twice("phase", (one.key for one in protocol.phase))
    yield from wrong_weeks({one.key: one.to_week for one in protocol.phase})
    for phase in protocol.phase:
        yield from _twice(f"exercise of phase {phase.key!r}", (one.key for one in phase.exercise))
        yield from _twice(f"criterion of phase {phase.key!r}", (one.key for one in phase.criterion))
        for used in phase.exercise:
            if used.key not in known:
                yield f"phase {phase.key!r} uses the exercise {used.key!r}, which is neither Keyhole's nor in the file"
        for one in phase.criterion:
            yield from _wrong_criterion(phase.key, one)


def wrong_weeks(to_week: Mapping[str, int]) -> Iterable[str]:
    """A sentence for each phase that ends no later than the one before."""
    last, before = 0, ""
    for key, week in to_week.items():
        if week <= last:
            yield f"phase {key!r} ends with week {week}, no later than {before!r} before it ({last})"
        last, before = week, key


def _wrong_criterion(phase: str, one: CriterionEntry) -> Iterable[str]:
    where = f"criterion {one.key!r} of phase {phase!r}"
    if one.test is None and (one.rule is not None or one.threshold is not None):
        yield f"{where} has a threshold but no test"
    if one.test is None:
        return
    if one.test not in instruments():
        yield f"{where} names the test {one.test!r}; known are {', '.join(instruments())}"
    elif one.rule is None or one.threshold is None:
        yield f"{where} has the test {one.test!r}, so it needs rule (at most, at least) and threshold"
    else:
        yield from _out_of_range(where, one)


def _out_of_range(where: str, one: CriterionEntry) -> Iterable[str]:
    test, threshold = instruments()[one.test or ""], one.threshold or 0.0
    if not test.low <= threshold <= test.high:
        yield f"{where} has the threshold {threshold:g}, but {one.test} runs from {test.low:g} to {test.high:g}"
    elif (one.rule == "at most") != (test.better == "lower"):
        yield f"{where} asks for {one.rule} {threshold:g}, but of {one.test} {test.better} is better"


def _wrong_questions(protocol: Protocol, known: Mapping[str, Exercise]) -> Iterable[str]:
    phases = {one.key for one in protocol.phase}
    yield from _twice("conflict", (one.key for one in protocol.conflict))
    yield from _twice("fit", (one.key for one in protocol.fit))
    for one in protocol.conflict:
        yield from _twice(f"position of conflict {one.key!r}", (position.key for position in one.position))
        if one.chosen not in {position.key for position in one.position}:
            yield f"conflict {one.key!r} follows {one.chosen!r}, which is none of its positions"
        named = {*one.phases, *(key for position in one.position for key in position.to_week)}
        yield from (
            f"conflict {one.key!r} names the phase {key!r}, which is not there" for key in sorted(named - phases)
        )
    for fit in protocol.fit:
        for added in fit.add:
            if added.phase not in phases or added.key not in known:
                yield f"fit {fit.key!r} adds {added.key!r} to phase {added.phase!r}, one of which is not there"


def _wrong_flags(flags: RedFlags) -> Iterable[str]:
    yield from _twice("red flag", (one.key for one in flags.flag))


def _twice(what: str, keys: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            yield f"the {what} {key!r} is there twice"
        seen.add(key)
