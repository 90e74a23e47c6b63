"""What `keyhole evidence pool` and `summary` print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keyhole.cli.render import table
from keyhole.errors import InvalidInput
from keyhole.evidence import Outcome, Row, families, joined, question, read_table, shipped
from keyhole.forecast import (
    Chosen,
    Pool,
    Verdict,
    by_design,
    by_question,
    choose,
    leave_one_out,
    pool_any,
    regress_on,
    small_studies,
    verdict,
)
from keyhole.forecast.effects import LOGARITHMIC, MEASURES
from keyhole.forecast.pool import MODELS, Interval
from keyhole.forecast.record import plain_left_out, plain_pool, plain_verdict, shown


@dataclass(frozen=True, slots=True)
class Asked:
    """What to pool, as the command line says it."""

    path: Path | None
    measure: str
    model: str
    added: tuple[Path, ...] = ()
    hk: bool = False
    outcome: str | None = None
    comparison: str | None = None
    when: str | None = None
    together: bool = False
    one_sd: bool = False
    better: str | None = None
    covariates: tuple[str, ...] = ()
    sensitivity: bool = False


@dataclass(frozen=True, slots=True)
class _Result:
    """One question pooled: studies, pool, word."""

    chosen: Chosen
    pool: Pool
    outcome: Outcome
    verdict: Verdict


def pooled(asked: Asked, as_json: bool, plot: Path | None) -> str:
    """The pools that `asked` names, as text or JSON; the forest plot of the one there is goes to `plot`."""
    first = shipped() if asked.path is None else read_table(asked.path)
    rows = joined(first, *(read_table(path) for path in asked.added))
    groups = _groups([row for row in rows if _is_asked(row, asked)], asked.together)
    chosen = [choose(group, asked.measure, one_sd=asked.one_sd) for group in groups]
    results, refused = _results([found for found in chosen if found.studies], asked)
    if not results:
        raise refused[0][1] if refused else InvalidInput(_nothing(chosen, asked))
    if plot is not None:
        _drawn(results, asked, plot)
    if as_json:
        plain = [_plain(result, asked) for result in results]
        not_pooled = [{"question": name, "reason": str(why)} for name, why in refused]
        return json.dumps({"schema": "keyhole.pools/1", "pools": plain, "not_pooled": not_pooled}, ensure_ascii=False)
    return "\n\n".join(
        [*(_text(one, asked) for one in results), *(f"{name}: not pooled: {why}" for name, why in refused)]
    )


def _results(chosen: Sequence[Chosen], asked: Asked) -> tuple[list[_Result], list[tuple[str, InvalidInput]]]:
    """The questions pooled, and those whose studies this model cannot pool, each with the reason."""
    results, refused = [], []
    for found in chosen:
        try:
            results.append(_result(found, asked))
        except InvalidInput as why:
            about = found.question
            refused.append((f"{about.outcome.title}, {families().get(about.family, about.family)}", why))
    return results, refused


def _is_asked(row: Row, asked: Asked) -> bool:
    about = question(row)
    outcomes = {about.outcome.key, about.outcome.title.casefold(), row.outcome.casefold()}
    comparisons = {about.family.casefold(), row.procedure.casefold(), families().get(about.family, "").casefold()}
    return (
        (asked.outcome is None or asked.outcome.casefold() in outcomes)
        and (asked.comparison is None or asked.comparison.casefold() in comparisons)
        and (asked.when is None or asked.when == about.horizon)
    )


def _groups(rows: Iterable[Row], together: bool) -> list[tuple[Row, ...]]:
    groups = by_question(rows)
    if not together:
        return list(groups.values())
    joined: dict[str, tuple[Row, ...]] = {}
    for (_, outcome, when), group in groups.items():
        against_open = tuple(row for row in group if not row.is_among_miss)
        if when != "baseline" and against_open:
            joined[outcome] = joined.get(outcome, ()) + against_open
    return list(joined.values())


def _nothing(chosen: Sequence[Chosen], asked: Asked) -> str:
    left = [row for found in chosen for row in found.left_out]
    where = "Keyhole's table" if asked.path is None else asked.path.name
    if not left:
        return f"{where}: no row has the outcome, comparison and time that were asked for"
    more = f" ({len(left) - 1} more rows)" if len(left) > 1 else ""
    return f"{where}: nothing to pool as {MEASURES[asked.measure]}: {left[0].place}, {left[0].reason}{more}"


def _result(chosen: Chosen, asked: Asked) -> _Result:
    outcome = chosen.question.outcome
    if asked.better is not None:
        outcome = replace(outcome, better=asked.better)
    found = pool_any(chosen.studies, asked.measure, asked.model)
    return _Result(chosen, found, outcome, verdict(found, outcome))


def _plain(result: _Result, asked: Asked) -> dict[str, Any]:
    about = result.chosen.question
    plain = {
        "comparison": "all" if asked.together else about.family,
        "outcome": about.outcome.title,
        "unit": about.outcome.unit,
        "time": "all" if asked.together else about.horizon,
        **plain_pool(result.pool, hk=asked.hk),
        **plain_verdict(result.verdict),
        "left_out": plain_left_out(result.chosen.left_out),
    }
    small = small_studies(result.pool)
    plain["small_studies"] = (
        None if small is None else {"slope": small.slope, "t": small.t, "p": small.p, "in_words": small.words}
    )
    if asked.covariates:
        found = regress_on(result.pool, asked.covariates, asked.hk)
        plain["regression"] = {
            "coefficients": [{"name": c.name, "value": c.value, "se": c.se, "p": c.p} for c in found.coefficients],
            "tau2": found.tau2,
            "Q_left": found.q,
            "R2": None if found.explained != found.explained else found.explained,
        }
    if asked.sensitivity:
        plain["leave_one_out"] = [{"without": n, **plain_pool(p, hk=asked.hk)} for n, p in leave_one_out(result.pool)]
        plain["by_design"] = [{"design": n, **plain_pool(p, hk=asked.hk)} for n, p in by_design(result.pool)]
    return plain


def _text(result: _Result, asked: Asked) -> str:
    found, about = result.pool, result.chosen.question
    unit = "" if found.measure in {*LOGARITHMIC, "smd"} else f", {_unit(found, about.outcome)}"
    where = "" if asked.together else f", {families().get(about.family, about.family)}"
    when = "" if asked.together or about.horizon in {"any", "not said"} else f", {about.horizon}"
    lines = [f"{about.outcome.title}{where}{when}: {MEASURES[found.measure]}{unit}; {MODELS[found.model]}"]
    rows = [
        [study.name, reading(found, study.effect, study.interval), f"{weight:.1f} %", study.design]
        for study, weight in zip(found.studies, found.weights, strict=True)
    ]
    lines.append(table(["study", "effect [95 %]", "weight", "design"], rows))
    lines.extend(_pool_lines(found))
    lines.append(f"word: {result.verdict.word.upper()} ({result.verdict.why})")
    lines.extend(_further(result, asked))
    lines.extend(f"  ! {caveat}" for caveat in found.caveats)
    lines.extend(f"  left out: {row.place} ({row.name}): {row.reason}" for row in result.chosen.left_out)
    return "\n".join(lines)


def _unit(found: Pool, outcome: Outcome) -> str:
    return "share" if found.measure == "rd" else outcome.unit


def _pool_lines(found: Pool) -> list[str]:
    first = f"pooled, k = {found.k}: {reading(found, found.estimate, found.interval)} ordinary"
    lines = [first + ("" if found.hk is None else f", {interval_text(found, found.hk)} Hartung-Knapp")]
    if found.prediction is not None:
        lines.append(f"next study: {interval_text(found, found.prediction)} ({found.convention})")
    if found.k > 1:
        tau2 = "" if found.tau2_interval is None else f", tau² {found.tau2:.4g} {_plain_interval(found.tau2_interval)}"
        lines.append(f"I² {found.i2:.1f} %{tau2}, Q {found.q:.2f} (p {found.q_p:.3g})")
    return lines


def _further(result: _Result, asked: Asked) -> list[str]:
    found = result.pool
    lines = []
    small = small_studies(found)
    if small is not None:
        lines.append(f"small studies (Egger): t {small.t:.2f}, p {small.p:.3f}; {small.words}")
    if asked.covariates:
        for c in regress_on(found, asked.covariates, asked.hk).coefficients:
            lines.append(f"regression: {c.name} {c.value:.4f}, standard error {c.se:.4f}, p {c.p:.3g}")
    if asked.sensitivity:
        kinds = (("without", leave_one_out(found)), ("only", by_design(found)))
        for word, pools in kinds:
            lines.extend(
                f"{word} {name}: k = {p.k}, {reading(p, p.estimate, p.hk if asked.hk and p.hk else p.interval)}"
                for name, p in pools
            )
    return lines


def reading(found: Pool, value: float, interval: Interval) -> str:
    """A value with its interval as people read it."""
    return f"{number(shown(found, value))} {interval_text(found, interval)}"


def interval_text(found: Pool, interval: Interval) -> str:
    """An interval as people read it."""
    low, high = (number(shown(found, end)) for end in interval)
    return f"[{low}, {high}]"


def _plain_interval(interval: Interval) -> str:
    return f"[{interval[0]:.4g}, {interval[1]:.4g}]"


def number(value: float | None) -> str:
    """Three figures, without an exponent where people read on; beyond that, how far."""
    if value is None or abs(value) >= 1e6:
        return "> 1 000 000"
    if value != 0 and abs(value) < 0.005:
        return f"{value:.1g}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


def _drawn(results: Sequence[_Result], asked: Asked, plot: Path) -> None:
    if len(results) > 1:
        raise InvalidInput(
            f"a plot holds one pool, here are {len(results)}: choose with --outcome, --comparison, --time"
        )
    from keyhole.report.forest import forest

    only = results[0]
    chart = forest(only.pool, only.chosen.question, only.verdict, hk=asked.hk)
    plot.write_text(chart.svg, encoding="utf-8")
