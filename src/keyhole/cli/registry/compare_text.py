"""A comparison as text for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from keyhole.casefile.store import RESEARCH_USE
from keyhole.cli.render import table
from keyhole.comparison.balance import UNBALANCED
from keyhole.comparison.model import METHODS, Comparison, Effect, Overlap
from keyhole.comparison.wording import figure

_WIDTH = 100
_BARS = " ▁▂▃▄▅▆▇█"
_MOST_ROWS = 25


def text(found: Comparison) -> str:
    """Plan, result, and what it rests on, in the order a reader should meet them."""
    zero, one = found.arms
    head = f"{found.outcome}: {one} against {zero} in {found.source} ({found.n} rows)"
    parts = [head, _plan(found), _result(found)]
    parts += [_overlap(found.overlap, found.arms), _balance(found), _strength(found), _missing(found), _caveats(found)]
    return "\n\n".join([*(part for part in parts if part), RESEARCH_USE])


def _plan(found: Comparison) -> str:
    lines = ["PLAN, stated before the result"]
    for heading, words in found.plan:
        lines += textwrap.wrap(f"{heading}: {words}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _result(found: Comparison) -> str:
    zero, one = found.arms
    scale = 100.0 if found.is_binary else 1.0
    unit = " (percentage points)" if found.is_binary else ""
    lines = [f"RESULT: {one} minus {zero}{unit}"]
    if found.overlap.is_poor:
        lines += _wrapped(f"WARNING: {found.caveats[0]}")
    header = ["", "difference", f"{100 * found.settings.level:g} % interval", *found.arms, "patients"]
    header += ["risk ratio", "interval"] if found.is_binary else []
    rows = [_row(METHODS[name], found.estimates[name], scale, found.is_binary) for name in METHODS]
    rows += [_row(f"  {name}", effect, scale, found.is_binary) for name, effect in found.further.items()]
    lines += [f"  {line}" for line in table(header, rows).splitlines()]
    return "\n".join([*lines, "", *_wrapped(found.verdict)])


def _row(name: str, effect: Effect, scale: float, is_binary: bool) -> list[str]:
    se = effect.se * scale
    low, high = (figure(scale * end, se) for end in effect.interval)
    zero, one = (figure(scale * mean, se) for mean in effect.means)
    row = [name, figure(scale * effect.value, se), f"{low} to {high}", zero, one, str(effect.n)]
    if not is_binary:
        return row
    if effect.ratio is None:
        return [*row, "–", "–"]
    return [*row, f"{effect.ratio.value:.2f}", f"{effect.ratio.interval[0]:.2f} to {effect.ratio.interval[1]:.2f}"]


def _overlap(found: Overlap, arms: tuple[str, str]) -> str:
    lines = [f"OVERLAP: {'POOR' if found.is_poor else 'no warning'}"]
    width = max(len(name) for name in arms)
    lines.append(f"  {'propensity':<{width}} 0 {'-' * len(found.counts[0])} 1")
    for name, counts, many, worth in zip(arms, found.counts, found.n, found.effective, strict=True):
        lines.append(f"  {name:<{width}}   {_spark(counts)}   {many} patients, worth {worth:.0f} after weighting")
    lines.append(
        f"  outside common support {100 * found.outside_support:.1f} %; under 0.05 or over 0.95 "
        f"{100 * found.extreme:.1f} %; largest weight of one patient {100 * found.largest_weight:.1f} % of an arm"
    )
    lines += [f"  ! {reason}" for reason in found.reasons]
    return "\n".join(lines)


def _spark(counts: Sequence[float]) -> str:
    most = max(counts) or 1.0
    return "".join(_BARS[0 if not count else max(1, round(count / most * (len(_BARS) - 1)))] for count in counts)


def _balance(found: Comparison) -> str:
    if not found.balance:
        return ""
    rows = sorted(found.balance, key=lambda row: -abs(row.smd_before))
    shown = [
        [
            row.covariate,
            f"{row.smd_before:+.2f}",
            f"{row.smd_after:+.2f}" + (" !" if abs(row.smd_after) > UNBALANCED else ""),
            "" if row.variance_ratio_before is None else f"{row.variance_ratio_before:.2f}",
            "" if row.variance_ratio_after is None else f"{row.variance_ratio_after:.2f}",
        ]
        for row in rows[:_MOST_ROWS]
    ]
    header = ["", "difference before", "after", "variance ratio before", "after"]
    more = [f"  and {len(rows) - _MOST_ROWS} more in --json"] if len(rows) > _MOST_ROWS else []
    title = f"BALANCE: standardised differences, beyond {UNBALANCED:g} marked !"
    return "\n".join([title, *(f"  {line}" for line in table(header, shown).splitlines()), *more])


def _strength(found: Comparison) -> str:
    strength = found.e_value
    if strength is None:
        return "E-VALUE: none (no risk ratio)"
    words = (
        f"To explain the doubly robust estimate away, something unmeasured would need a risk ratio of "
        f"{strength.value:.2f} with both the choice of operation and the outcome, beyond the covariates "
        f"({strength.interval_end:.2f} to move the interval to no difference; {strength.how})."
    )
    return "\n".join(["E-VALUE", *_wrapped(words)])


def _missing(found: Comparison) -> str:
    if not found.missing.columns:
        return "MISSING: nothing in the outcome and the covariates"
    rows = [
        [column.column, column.role, str(column.n), f"{100 * column.share:.1f} %", column.method]
        for column in found.missing.columns
    ]
    header = ["", "", "missing", "share", "drawn by"]
    title = f"MISSING: {found.missing.incomplete_rows} patients ({100 * found.missing.share:.0f} %) miss something"
    share = found.estimates["aipw"].missing_information
    last = f"  {100 * share:.0f} % of the information about the difference is missing with it"
    return "\n".join([title, *(f"  {line}" for line in table(header, rows).splitlines()), last])


def _caveats(found: Comparison) -> str:
    lines = ["CAVEATS"]
    for caveat in found.caveats:
        lines += textwrap.wrap(caveat, _WIDTH, initial_indent="  ! ", subsequent_indent="    ")
    return "\n".join(lines)


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, initial_indent="  ", subsequent_indent="  ")
