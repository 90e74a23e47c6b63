"""The decision aid: what a patient reads of forecast.json and plan.json, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keyhole import __version__
from keyhole.casefile import CandidateEntry, CaseRecord, ForecastOutcome, ForecastRecord, GeometryEntry, Quantity
from keyhole.errors import WrongCase
from keyhole.evidence import procedures
from keyhole.report.course import Said, course_chart
from keyhole.report.icons import icon_array
from keyhole.report.opening import Opening
from keyhole.report.plain import count, days, rounded, share_of
from keyhole.report.sentences import Sentences

SIZES = ("incision", "muscle", "bone", "facet", "depth")
"""What of the plan's geometry a patient is shown."""

TOGETHER = "any"
"""The comparison of studies that put several operations together."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way for one risk: its name, "About 6 of 100 people", how sure that is, and the picture."""

    way: str
    count: str
    range: str
    svg: str
    alt: str
    name: str


@dataclass(frozen=True, slots=True)
class Risk:
    """Something that can go wrong; `arms` is empty, and `note` says why, where not both ways have a number."""

    title: str
    about: str
    word: str
    kind: str
    arms: tuple[Arm, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Amount:
    """A row: what, both ways with how sure, and what the studies say."""

    title: str
    planned: tuple[str, str]
    open: tuple[str, str]
    word: str
    kind: str


@dataclass(frozen=True, slots=True)
class Course:
    """A score over the months: a chart, the same as a table, and how people differ."""

    key: str
    title: str
    about: str
    word: str
    kind: str
    svg: str
    alt: str
    rows: tuple[tuple[str, str, str], ...]
    people: str
    is_partly_unknown: bool


@dataclass(frozen=True, slots=True)
class Glance:
    """What has one of the four words."""

    kind: str
    title: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One of the two ways: its name, how it is done, and its pictures."""

    name: str
    text: str
    opening: Opening | None


@dataclass(frozen=True, slots=True)
class Aid:
    """Everything that the decision aid says, in the order of the page."""

    lang: str
    case: str
    version: str
    warnings: tuple[str, ...]
    about: tuple[str, ...]
    ways: tuple[Way, ...]
    alts: tuple[tuple[str, str], ...]
    glance: tuple[Glance, ...]
    lines: tuple[str, ...]
    sizes: tuple[tuple[str, str, str], ...]
    sizes_notes: tuple[str, ...]
    risks_basis: str
    risks: tuple[Risk, ...]
    amounts: tuple[Amount, ...]
    courses: tuple[Course, ...]
    unknown: tuple[str, ...]
    sources: tuple[str, ...]


def aid(
    case: CaseRecord,
    record: ForecastRecord,
    openings: Sequence[Opening],
    words: Sentences,
    *,
    is_confirmed: bool,
    alts: Sequence[tuple[str, str]] = (),
) -> Aid:
    """The decision aid of a case.

    Parameters
    ----------
    openings : of the planned and of the open way; empty where the plan has no open operation or no picture.
    alts : what the pictures of each opening show.
    is_confirmed : whether a person has confirmed the names of the levels.
    """
    kinds = {kind: [one for one in record.outcomes if one.kind == kind] for kind in ("risk", "mean", "curve")}
    return Aid(
        lang=words.lang,
        case=case.id,
        version=__version__,
        warnings=() if is_confirmed else (words.say("page", "unconfirmed"),),
        about=_about(record, words),
        ways=_ways(record, openings, words),
        alts=tuple(alts),
        glance=_glance(record.outcomes, words),
        lines=_lines(openings, words),
        sizes=_sizes(record.geometry, words),
        sizes_notes=_sizes_notes(record, words),
        risks_basis=words.say("risks", "basis" if record.cohort is None else "basis_own"),
        risks=tuple(_risk(one, words) for one in kinds["risk"]),
        amounts=tuple(_amount(one, words) for one in kinds["mean"]),
        courses=tuple(_course(one, record.range_share, words) for one in kinds["curve"]),
        unknown=_unknown(record, words),
        sources=_sources(record, words),
    )


def candidate_of(record: ForecastRecord, candidates: Sequence[CandidateEntry]) -> CandidateEntry:
    """The corridor that the forecast is of: the best of its approach."""
    found = [one for one in candidates if one.approach == record.procedure.approach]
    if not found:
        raise WrongCase(
            f"forecast.json is of {record.procedure.approach}, which plan.json does not hold; "
            "run `keyhole forecast` again"
        )
    return min(found, key=lambda one: one.rank or len(candidates) + 1)


def described(record: ForecastRecord, shown: Sequence[CandidateEntry], words: Sentences) -> list[tuple[str, str]]:
    """What the slice and the skin of each of `shown` show, for those who cannot see them."""
    made = []
    for one in shown:
        way = words.say("about", "open" if one.approach.startswith("open") else "planned")
        length = words.say("amounts", "unknown") if one.incision.value is None else f"{rounded(one.incision.value)} mm"
        made.append(
            (
                words.say("opening", "alt_slice", way=way, level=record.level),
                words.say("opening", "alt_skin", way=way, length=length),
            )
        )
    return made


def _about(record: ForecastRecord, words: Sentences) -> tuple[str, ...]:
    side = words.say("about", record.side)
    return (
        words.say("about", "why", level=record.level, side=side),
        words.of("operation", record.procedure.key),
        words.say("about", "two"),
        words.say("about", "others"),
    )


def _ways(record: ForecastRecord, openings: Sequence[Opening], words: Sentences) -> tuple[Way, ...]:
    drawn = tuple(openings) if len(openings) == 2 else (None, None)
    texts = (words.of("approach", record.procedure.approach), words.of("approach", _open_way(record, words)))
    names = (words.say("about", "planned"), words.say("about", "open"))
    return tuple(Way(name, text, one) for name, text, one in zip(names, texts, drawn, strict=True))


def _open_way(record: ForecastRecord, words: Sentences) -> str:
    """The key of the open approach's words: its own where there are some, else those of any open operation."""
    key = record.procedure.open_approach
    return key if key in words.table["approach"] else "open"


_GLANCE = {"better": "better", "worse": "worse", "no clear difference": "same", "unknown": "unknown"}


def _glance(outcomes: Sequence[ForecastOutcome], words: Sentences) -> tuple[Glance, ...]:
    made = []
    for word, kind in _GLANCE.items():
        names = tuple(_named(one, words) for one in outcomes if one.word == word)
        made.append(Glance(kind, words.say("glance", kind), names))
    return tuple(made)


def _named(one: ForecastOutcome, words: Sentences) -> str:
    name = words.outcome(one.key, "name", one.title)
    if one.word == "unknown" and one.points_to in ("better", "worse"):
        return words.say("glance", f"points_{one.points_to}", name=name)
    return name


def _lines(openings: Sequence[Opening], words: Sentences) -> tuple[str, ...]:
    drawn = {name for one in openings for name in one.groups}
    return tuple(
        words.say("opening", f"line_{name}") for name in ("sac", "root", "disc", "herniation") if name in drawn
    )


def _sizes(geometry: Sequence[GeometryEntry], words: Sentences) -> tuple[tuple[str, str, str], ...]:
    by_key = {one.key: one for one in geometry}
    return tuple(
        (words.say("opening", key), _size(by_key[key].planned, words), _size(by_key[key].open, words))
        for key in SIZES
        if key in by_key
    )


def _size(found: Quantity, words: Sentences) -> str:
    if found.value is None:
        return words.say("amounts", "unknown")
    if found.value == 0 and not found.interval:
        return words.say("opening", "nothing")
    unit = f"\N{NO-BREAK SPACE}{found.unit}"
    ends = found.interval
    if ends is None and found.sd:
        ends = (max(found.value - 2 * found.sd, 0.0), found.value + 2 * found.sd)
    value = rounded(found.value) + unit
    if ends is None or rounded(ends[0]) == rounded(ends[1]):
        return words.say("opening", "about", value=value)
    return words.say("opening", "between", value=value, low=rounded(ends[0]), high=rounded(ends[1]) + unit)


def _sizes_notes(record: ForecastRecord, words: Sentences) -> tuple[str, ...]:
    keys = {one.key for one in record.geometry}
    some = [words.say("opening", "spoon")] if keys & {"muscle", "bone"} else []
    some += [words.say("opening", "open_bone")] if "bone" in keys else []
    known = procedures().get(record.procedure.key)
    is_other = known is not None and record.procedure.open_approach not in ("", known.open)
    some += [words.say("opening", "other_open")] if is_other else []
    return (*some, words.say("opening", "smaller")) if keys else ()


def _word(one: ForecastOutcome, words: Sentences) -> str:
    if one.word == "unknown" and not one.answers:
        return words.say("word", "none")
    if one.word == "unknown" and one.points_to in ("better", "worse"):
        return words.say("word", f"points_{one.points_to}")
    return words.say("word", one.word)


def _risk(one: ForecastOutcome, words: Sentences) -> Risk:
    title = words.outcome(one.key, "name", one.title)
    names = (words.say("about", "planned"), words.say("about", "open"))
    values = [one.planned.value is not None, one.open.value is not None]
    arms = tuple(
        _arm(one.key, way, found, name, words)
        for way, found, name in zip(("planned", "open"), (one.planned, one.open), names, strict=True)
        if all(values)
    )
    is_mixed = bool(one.answers) and one.answers[0].comparison == TOGETHER
    note = "" if not is_mixed else words.say("risks", "together")
    if not arms:
        note = words.say("risks", "half" if any(values) else "unknown")
    return Risk(title, words.outcome(one.key, "about"), _word(one, words), _GLANCE[one.word], arms, note)


def _arm(key: str, way: str, found: Quantity, name: str, words: Sentences) -> Arm:
    value = found.value or 0.0
    sure = count(value)
    said = words.say("risks", "count", n=sure) if sure else words.say("risks", "under_one")
    maybe, range_ = 0, words.say("risks", "no_range")
    if found.interval is not None:
        low, high = (count(end) for end in found.interval)
        maybe = max(min(high, 100) - sure, 0)
        range_ = words.say("risks", "range", low=low, high=max(high, 1))
        if high - low > 20:
            range_ = f"{range_} {words.say('risks', 'wide')}"
    label = f"{key}-{way}"
    alt = words.say("risks", "alt", way=name, count=said, range=range_)
    return Arm(name, said, range_, icon_array(sure, maybe, alt, label), alt, label)


def _amount(one: ForecastOutcome, words: Sentences) -> Amount:
    unit = words.outcome(one.key, "unit", one.unit_words)

    def cell(found: Quantity) -> tuple[str, str]:
        if found.value is None:
            return words.say("amounts", "unknown"), ""
        said = words.say("amounts", "cell", value=f"{rounded(found.value)}\N{NO-BREAK SPACE}{unit}")
        if found.interval is None:
            return said, ""
        low, high = found.interval
        return said, words.say("amounts", "range", low=rounded(low), high=rounded(high))

    title = words.outcome(one.key, "name", one.title)
    return Amount(title, cell(one.planned), cell(one.open), _word(one, words), _GLANCE[one.word])


def _course(one: ForecastOutcome, range_share: float, words: Sentences) -> Course:
    title = words.outcome(one.key, "name", one.title)
    top = 100.0 if "100" in one.unit_words else 10.0
    unknown = words.say("course", "unknown")

    def shown(found: Quantity) -> str:
        return unknown if found.value is None else rounded(found.value)

    rows = tuple((days(point.months, words), shown(point.planned), shown(point.open)) for point in one.curve)
    said = " ".join(words.say("course", "point", time=t, planned=a, open=b) for t, a, b in rows)
    chart = alt = ""
    if one.curve:
        alt = words.say("course", "alt", name=title, top=f"{top:g}", points=said)
        names = (words.say("about", "planned"), words.say("about", "open"))
        chart = course_chart(one.curve, top, Said(*names, words.say("course", "axis"), alt))
    return Course(
        one.key,
        title,
        words.outcome(one.key, "about"),
        _word(one, words),
        _GLANCE[one.word],
        chart,
        alt,
        rows,
        _people(one, range_share, words),
        any(point.planned.value is None for point in one.curve),
    )


def _people(one: ForecastOutcome, range_share: float, words: Sentences) -> str:
    """How single people differ at the last time that has a range of them."""
    for point in reversed(one.curve):
        ends = point.planned_range or point.open_range
        if ends is not None:
            low, high = rounded(ends[0]), rounded(ends[1])
            time = days(point.months, words)
            share = share_of(range_share)
            return words.say("course", "people", time=time[:1].upper() + time[1:], share=share, low=low, high=high)
    return ""


def _unknown(record: ForecastRecord, words: Sentences) -> tuple[str, ...]:
    said = list(words.listed("unknown"))
    names = [words.outcome(one.key, "name", one.title) for one in record.outcomes if not one.answers]
    if names:
        said.insert(0, words.say("unknown", "none_for", names="; ".join(names)))
    if not record.procedure.published_as:
        said.append(words.say("unknown", "technique"))
    if record.cohort is not None:
        said.append(words.say("unknown", "own_patients", n=record.cohort.planned + record.cohort.open))
    return tuple(said)


def _sources(record: ForecastRecord, words: Sentences) -> tuple[str, ...]:
    said = [words.say("sources", "made")]
    said += [words.say("sources", "added", file=one.file, used=one.used, rows=one.rows) for one in record.added]
    for one in record.outcomes:
        name = words.outcome(one.key, "name", one.title)
        if one.basis or one.baseline:
            none = words.say("amounts", "unknown")
            said.append(
                words.say("sources", "outcome", name=name, basis=one.basis or none, baseline=one.baseline or none)
            )
        else:
            said.append(words.say("sources", "no_basis", name=name))
    digest = record.provenance.inputs.get("studies.csv", "–")
    said += [words.say("sources", "open"), words.say("sources", "old")]
    return (*said, words.say("sources", "version", version=__version__, digest=digest[:12]))
