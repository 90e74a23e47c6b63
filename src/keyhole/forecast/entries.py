"""Answers and scores as the entries of forecast.json; ratios as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keyhole.casefile import AnswerEntry, PoolEntry, Quantity, StudyEntry, SynthesisEntry
from keyhole.evidence import Row
from keyhole.forecast.answers import Answer, Synthesis
from keyhole.forecast.pool import MODELS, Interval, Pool
from keyhole.forecast.record import known

DIGITS = 6


def rounded(value: float) -> float:
    """`value` to six significant digits, so that one machine's last digit is not another's."""
    return float(f"{value:.{DIGITS}g}")


def ends(interval: Interval) -> Interval:
    """Both ends to six significant digits."""
    return rounded(interval[0]), rounded(interval[1])


def quantity(value: float, unit: str, source: str, interval: Interval | None, caveats: Sequence[str] = ()) -> Quantity:
    """A number that is known."""
    return Quantity(
        value=rounded(value),
        interval=None if interval is None else ends(interval),
        unit=unit,
        source=source,
        caveats=tuple(caveats),
    )


def nobody_knows(unit: str, why: str) -> Quantity:
    """A number that is not known, and why."""
    return Quantity(value=None, unit=unit, source="keyhole-evidence", caveats=(why,))


def answer_entry(found: Answer, rows: Sequence[Row]) -> AnswerEntry:
    """One answer; `rows` give the addresses of its studies."""
    asked = found.question
    return AnswerEntry(
        comparison=asked.family,
        comparison_title=found.title,
        time=asked.horizon,  # type: ignore[arg-type]  # one of HORIZONS but baseline
        word=found.verdict.word,
        why=found.verdict.why,
        points_to=found.verdict.points_to,
        pool=None if found.pool is None else _pool(found.pool, {row.name: row.address for row in rows}),
        syntheses=tuple(_synthesis(one) for one in found.syntheses),
        left_out=tuple(f"{one.place}, {one.name}: {one.reason}{_noted(one.place, rows)}" for one in found.left_out),
    )


def _noted(place: str, rows: Sequence[Row]) -> str:
    """What the table notes of a row that has no interval: often what its abstract says in words."""
    note = next((row.note for row in rows if row.place == place and row.low is None), "")
    return f" ({note})" if note else ""


def _pool(found: Pool, addresses: dict[str, str]) -> PoolEntry:
    def shown(interval: Interval | None) -> Interval | None:
        return None if interval is None else ends((_read(found, interval[0]), _read(found, interval[1])))

    studies = tuple(
        StudyEntry(
            name=study.name,
            effect=rounded(_read(found, study.effect)),
            interval=shown(study.interval) or (0.0, 0.0),
            weight=rounded(weight),
            design=study.design,
            address=addresses.get(study.name) or addresses.get(study.name.rpartition(" (")[0], ""),
        )
        for study, weight in zip(found.studies, found.weights, strict=True)
    )
    i2 = known(found.i2)
    return PoolEntry(
        measure=found.measure,  # type: ignore[arg-type]  # answers pool md, rr and or
        model=MODELS[found.model],
        k=found.k,
        estimate=rounded(_read(found, found.estimate)),
        interval=shown(found.interval) or (0.0, 0.0),
        hartung_knapp=shown(found.hk),
        prediction=shown(found.prediction),
        i2=None if i2 is None else rounded(i2),
        tau2=rounded(found.tau2),
        designs=tuple(dict.fromkeys(study.design for study in found.studies)),
        studies=studies,
        caveats=found.caveats,
    )


def _read(found: Pool, value: float) -> float:
    """`value` as people read it; a ratio beyond every number is the largest one."""
    return math.exp(min(value, 700.0)) if found.is_logarithmic else value


def _synthesis(found: Synthesis) -> SynthesisEntry:
    ratio = found.measure in {"or", "rr"}

    def read(value: float) -> float:
        return rounded(math.exp(min(value, 700.0)) if ratio else value)

    interval = found.interval
    return SynthesisEntry(
        name=found.row.name,
        citation=found.row.source,
        address=found.row.address,
        design=found.row.design,
        studies=found.studies,
        measure=found.measure,  # type: ignore[arg-type]  # the scales of Row.scale
        estimate=None if found.estimate is None else read(found.estimate),
        interval=None if interval is None else (read(interval[0]), read(interval[1])),
        in_words=found.row.finding,
        word=found.verdict.word,
        why=found.verdict.why,
    )
