"""What `keyhole evidence summary` prints, and the tables of docs/evidence.md."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from keyhole.cli.pooling import interval_text, number, reading
from keyhole.cli.render import table
from keyhole.forecast import Answer, Synthesis, verdict
from keyhole.forecast.effects import LOGARITHMIC
from keyhole.forecast.record import shown


def summary_lines(found: Sequence[Answer]) -> str:
    """Every answer on a line, by comparison."""
    blocks = []
    for title in dict.fromkeys(answer.title for answer in found):
        rows = [
            [a.question.outcome.title, _when(a), a.verdict.word, _own(a), a.verdict.why]
            for a in found
            if a.title == title
        ]
        blocks.append(f"{title}\n" + table(["outcome", "time", "MISS is", "studies pooled here", "because"], rows))
    return "\n\n".join(blocks)


def _when(answer: Answer) -> str:
    return {"any": "", "not said": "time not said"}.get(answer.question.horizon, answer.question.horizon)


def _own(answer: Answer) -> str:
    found = answer.pool
    if found is None:
        return "–"
    return f"k {found.k}: {reading(found, found.estimate, found.hk or found.interval)}"


def summary_markdown(found: Sequence[Answer]) -> str:
    """The tables of docs/evidence.md."""
    blocks = []
    for title in dict.fromkeys(answer.title for answer in found):
        group = [a for a in found if a.title == title]
        lines = [f"### {title}", "", *_pool_table(group), *_word_table(group)]
        blocks.append("\n".join(lines).rstrip())
    return "\n\n".join(blocks)


def _pool_table(group: Sequence[Answer]) -> list[str]:
    pools = [(a, a.pool) for a in group if a.pool is not None]
    if not pools:
        return []
    head = ["outcome", "k", "effect", "ordinary 95 %", "Hartung-Knapp 95 %", "next study 95 %", "I²", "word"]
    lines = ["Studies of the table, pooled here (REML):", "", _cells(head), _cells(["---"] * len(head))]
    for answer, found in pools:
        asked = answer.question
        unit = "risk ratio" if found.is_logarithmic else f"{asked.outcome.unit}"
        when = f", {_when(answer)}" if _when(answer) else ""
        cells = [
            f"{asked.outcome.title}{when}",
            str(found.k),
            f"{number(shown(found, found.estimate))} ({unit})",
            interval_text(found, found.interval),
            "–" if found.hk is None else interval_text(found, found.hk),
            "–" if found.prediction is None else interval_text(found, found.prediction),
            "–" if found.k < 2 else f"{found.i2:.1f} %",
            verdict(found, asked.outcome).word,
        ]
        lines.append(_cells(cells))
    return [*lines, ""]


def _word_table(group: Sequence[Answer]) -> list[str]:
    head = ["outcome", "published syntheses (studies of the whole review)", "MISS is", "because"]
    lines = ["With the published syntheses beside them:", "", _cells(head), _cells(["---"] * len(head))]
    for answer in group:
        when = f", {_when(answer)}" if _when(answer) else ""
        told = "; ".join(_synthesis_text(s) for s in answer.syntheses) or "–"
        why = answer.verdict.why
        lines.append(_cells([f"{answer.question.outcome.title}{when}", told, f"**{answer.verdict.word}**", why]))
    return lines


def _synthesis_text(found: Synthesis) -> str:
    k = "" if found.studies is None else f" ({found.studies})"
    name = f"{found.row.name}{k}"
    if found.interval is None:
        words = found.row.finding or "nothing on chance"
        return f"{name}: {words}{' with MISS' if words in {'lower', 'higher'} else ''}, no interval"
    measure = found.measure.upper() + " " if found.measure != "md" else ""
    ends = found.interval
    middle = found.estimate if found.estimate is not None else sum(ends) / 2
    values = [exp(v) if found.measure in LOGARITHMIC else v for v in (middle, *ends)]
    return f"{name}: {measure}{number(values[0])} [{number(values[1])}, {number(values[2])}]"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
