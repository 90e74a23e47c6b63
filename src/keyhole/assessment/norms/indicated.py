"""Which levels and sides the findings point at, worst first, with the reasons in words.

A finding counts where it lies beyond the published limit of its norm (`norms.toml`), or where a reader's grade says
so. How far beyond is made comparable by steps: 0 at the limit, 1 at the limit of the published severe class, or one
sd of healthy people beyond the limit. Its weight is the chance that it lies beyond, times 1 + steps (at most
`MOST`). A level is proposed where at least one finding is `SURE`. Findings that tell of the same narrowing (canal,
foramen, herniation, slip) count once, by the worst. That the kinds are simply added is Keyhole's choice
[keyhole-choice]; complaints and examination are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from keyhole.assessment.norms.norms import Outside, outside
from keyhole.casefile import Case, FindingEntry, FindingsRecord, IndicatedEntry, Patient
from keyhole.errors import NotInScan, WrongCase
from keyhole.terms import rank

SURE = 0.9
"""Chance to lie beyond its limit that at least one finding of a proposed level must have [keyhole-choice]."""

MOST = 3.0
"""Steps beyond the limit that count at most [keyhole-choice]."""

NEURAL = ("canal", "recess", "foramen", "herniation")
"""Groups of findings that narrow the way of a nerve."""

READ = {
    ("spinal canal stenosis", "moderate"): ("canal", 0.5),
    ("spinal canal stenosis", "severe"): ("canal", 1.0),
    ("subarticular stenosis", "moderate"): ("recess", 0.5),
    ("subarticular stenosis", "severe"): ("recess", 1.0),
    ("neural foraminal narrowing", "moderate"): ("foramen", 0.5),
    ("neural foraminal narrowing", "severe"): ("foramen", 1.0),
    ("Schizas grade", "C"): ("canal", 0.5),
    ("Schizas grade", "D"): ("canal", 1.0),
    ("Lee foraminal grade", "2"): ("foramen", 0.5),
    ("Lee foraminal grade", "3"): ("foramen", 1.0),
}
"""A reader's grade -> group and steps beyond the limit: half way to severe, or severe [keyhole-choice]."""

FREE = {"spinal canal stenosis": "normal/mild", "neural foraminal narrowing": "normal/mild"}

CAVEATS = (
    "from the images alone: complaint and examination decide, they are not in it",
    "the weights that make different findings comparable are Keyhole's own choice",
)
SLIP_ALONE = "no narrowing was found at this level: whether the slip needs an operation is a clinical question"
NOTHING = (
    "no level is indicated: no measure lies beyond its published limit with 90 % certainty, and no reader's grade "
    "says so"
)

Goal = Literal["decompress", "fuse"]
Side = Literal["left", "right"] | None


@dataclass(frozen=True, slots=True)
class _Reason:
    """One finding beyond its limit."""

    level: str
    side: Side
    group: str
    weight: float
    chance: float
    words: str


def indicated(
    findings: Sequence[FindingEntry], levels: Iterable[str], patient: Patient | None = None
) -> tuple[IndicatedEntry, ...]:
    """Levels and sides with a finding outside the norms, worst first.

    Parameters
    ----------
    levels : the levels in view; only they can be planned.
    patient : age and sex, for norms that depend on them.
    """
    who = patient or Patient()
    found = [reason for one in findings if (reason := _reason(one, findings, who)) is not None]
    entries = [entry for level in levels for entry in _at(level, [r for r in found if r.level == level], findings)]
    entries.sort(key=lambda e: (-e.score, -rank(e.level.split("/")[0]), e.side or ""))
    return tuple(entry.model_copy(update={"rank": n}) for n, entry in enumerate(entries, 1))


def _reason(one: FindingEntry, findings: Sequence[FindingEntry], who: Patient) -> _Reason | None:
    """What the finding `one` adds, None where it is within its norms or has none."""
    if one.level is None:
        return None
    if one.origin == "reader":
        return _read(one)
    if one.value is None or one.sd is None:
        return None
    at = outside(one.name, one.value, one.sd, who.age, who.sex, level=one.level, structure=structure_of(one))
    if at is None or at.beyond is None or at.beyond < 0 or at.norm.group not in (*NEURAL, "slip"):
        return None
    side = one.side if one.name != "herniation depth" else _side_of_herniation(one.level, findings)
    weight = (at.probability or 0.0) * (1 + min(at.beyond, MOST))
    return _Reason(one.level, side, at.norm.group, weight, at.probability or 0.0, _words(one, at))


def structure_of(one: FindingEntry) -> str:
    """What a measure of the canal was taken on: "bony" where nothing that narrows it was labelled."""
    return "bony" if any("this is the bony canal" in note for note in one.caveats) else ""


def _words(one: FindingEntry, at: Outside) -> str:
    worse = "below" if at.norm.worse == "low" else "above"
    side = f"{one.side} " if one.side else ""
    unit = {"mm2": "mm²", "1": "", "deg": "°"}.get(one.unit, one.unit)
    text = f"{side}{one.name} {one.value:.1f} ± {one.sd:.1f} {unit}".rstrip()
    chance = f", {100 * at.probability:.0f} % sure" if at.probability is not None and at.probability < 0.995 else ""
    grade = f", {one.grade}" if one.grade and one.grade not in ("none", "normal") else ""
    return f"{text}{grade}: {worse} {at.norm.limit:.3g} {unit}".rstrip() + f" [{at.norm.source}]{chance}"


def _read(one: FindingEntry) -> _Reason | None:
    """A reader's grade; with probabilities, the expected steps."""
    if one.level is None or one.grade is None or (one.name, one.grade) not in READ:
        return None
    chances = one.grade_probability or {one.grade: 1.0}
    known = [(READ[one.name, grade][1], p) for grade, p in chances.items() if (one.name, grade) in READ]
    weight = sum(p * (1 + steps) for steps, p in known)
    side = f"{one.side} " if one.side else ""
    words = f"{side}{one.name} {one.grade}: {one.method.partition(',')[0]}"
    return _Reason(one.level, one.side, READ[one.name, one.grade][0], weight, 1.0, words)


def _side_of_herniation(level: str, findings: Sequence[FindingEntry]) -> Side:
    """The side that a herniation lies on; None where it is central within its sd."""
    for one in findings:
        if one.name == "herniation offset" and one.level == level and one.value is not None and one.sd is not None:
            return None if abs(one.value) < 1.645 * one.sd else ("left" if one.value > 0 else "right")
    return None


def _at(level: str, reasons: Sequence[_Reason], findings: Sequence[FindingEntry]) -> list[IndicatedEntry]:
    """One entry for each side with reasons of its own, which carries the central ones too; else one without a side."""
    if not reasons:
        return []
    sides = sorted({r.side for r in reasons if r.side is not None})
    entries = []
    for side in sides or (None,):
        own = [r for r in reasons if r.side in (None, side)]
        if not any(r.chance >= SURE for r in own):
            continue
        worst: dict[str, float] = {}
        for reason in own:
            worst[reason.group] = max(worst.get(reason.group, 0.0), reason.weight)
        neural = any(group in NEURAL for group in worst)
        goals: tuple[Goal, ...] = (*(("decompress",) if neural else ()), *(("fuse",) if "slip" in worst else ()))
        notes = (*CAVEATS, *(() if neural else (SLIP_ALONE,)), *_against(level, side, findings))
        ordered = sorted(own, key=lambda r: -r.weight)
        entries.append(
            IndicatedEntry(
                rank=0, level=level, side=side, goals=goals, score=round(sum(worst.values()), 3),
                reasons=tuple(dict.fromkeys(r.words for r in ordered)), caveats=notes,
            )
        )  # fmt: skip
    return entries


def _against(level: str, side: str | None, findings: Sequence[FindingEntry]) -> tuple[str, ...]:
    """Readers' grades that say the contrary."""
    return tuple(
        f"against it: {one.name} {one.grade}, {one.method.partition(',')[0]}"
        for one in findings
        if one.origin == "reader"
        and one.level == level
        and one.side in (None, side)
        and FREE.get(one.name) == one.grade
    )


def proposed(case: Case, goal: str, level: str | None = None, side: str | None = None) -> IndicatedEntry:
    """`target` by findings.json of `case`, which must have been made from its present labels."""
    record = case.read(FindingsRecord)
    for name, digest in case.digest("labels.nii.gz", "labels.json").items():
        if record.provenance.inputs.get(name) != digest:
            raise WrongCase(f"{case.path}: findings.json was made from another {name}; run `keyhole assess` again")
    return target(record.indicated, goal, level, side)


def target(
    entries: Sequence[IndicatedEntry], goal: str, level: str | None = None, side: str | None = None
) -> IndicatedEntry:
    """The first of `entries` for the `goal` of a plan, at `level` and `side` where they are asked for.

    An entry without a side serves both. Refused where none is left.
    """
    wanted = "decompress" if goal == "decompress" else "fuse"
    for one in entries:
        if wanted in one.goals and level in (None, one.level) and (side is None or one.side in (None, side)):
            return one
    if not entries:
        raise NotInScan(f"{NOTHING}; give --level and --side to plan one")
    others = ", ".join(" ".join(filter(None, (one.level, one.side, f"({' or '.join(one.goals)})"))) for one in entries)
    where = " ".join(filter(None, (level, side)))
    raise NotInScan(
        f"nothing is indicated{' at ' + where if where else ''} for the goal {goal}, the findings point at {others}; "
        "give --level and --side"
    )
