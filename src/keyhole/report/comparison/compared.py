"""Drawings of the main comparison: the estimates, who could have had either operation, and the balance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keyhole.comparison.balance import UNBALANCED
from keyhole.comparison.model import METHODS, Balance, Comparison, Effect
from keyhole.comparison.subgroups import Subgroups
from keyhole.report import svg
from keyhole.report.comparison.plot import (
    FAINT,
    FONT,
    INK,
    MISS,
    OPEN,
    RULE,
    SOFT,
    WIDTH,
    Drawing,
    Frame,
    Row,
    axes,
    forest,
    key,
    line,
    marks_of,
)
from keyhole.report.comparison.words import between, effect_words, named, part, scaled, signed, titled

_SAID = {
    "naive": "Not adjusted",
    "regression": "Outcome model",
    "ipw": "Weighted by propensity",
    "aipw": "Doubly robust (main result)",
}
_FURTHER = {
    "aipw untrimmed": "Doubly robust, nobody set aside",
    "aipw complete cases": "Doubly robust, complete rows only",
    "naive after trimming": "Not adjusted, after trimming",
}


def sides(found: Comparison) -> tuple[str, str]:
    """Words at the two ends of an axis of differences."""
    return f"← lower with {found.arms[1]}", f"higher with {found.arms[1]} →"


def estimates(found: Comparison) -> Drawing:
    """The four estimates and the sensitivity analyses with their intervals."""
    scale, unit = scaled(found)
    rows = [_row(_SAID[name], found.estimates[name], scale, is_main=name == "aipw") for name in METHODS]
    extra = [_row(_FURTHER.get(name, name), effect, scale) for name, effect in found.further.items()]
    if extra:
        rows += [Row("Sensitivity", is_heading=True), *extra]
    title = f"Difference in {named(found.outcome)}, {unit}"
    picture = forest(rows, f"{titled(found.arms[1])} minus {found.arms[0]}, {unit}", sides(found))
    level = f"{100 * found.settings.level:g} %"
    return Drawing("estimates", title, "", picture, f"Squares: estimates; lines: {level} intervals.")


def _row(label: str, effect: Effect, scale: float, *, is_main: bool = False) -> Row:
    value, low, high = effect.value * scale, effect.interval[0] * scale, effect.interval[1] * scale
    return Row(label, value, low, high, effect_words(effect, scale), is_main=is_main)


def overlap(found: Comparison) -> Drawing:
    """Propensities of both arms back to back, with what the trimming rule sets aside in grey."""
    seen = found.overlap
    most = max(max(counts) for counts in seen.counts) or 1.0
    frame = Frame((0, 1), (-most * 1.05, most * 1.05), bottom=270)
    drawn = [_trimmed(found, frame)]
    for arm, colour, way in ((1, MISS, 1), (0, OPEN, -1)):
        for low, high, count in zip(seen.edges, seen.edges[1:], seen.counts[arm], strict=False):
            top, zero = frame.down(way * count), frame.down(0)
            drawn.append(
                svg.element(
                    "rect",
                    x=frame.across(low) + 0.5,
                    y=min(top, zero),
                    width=max(frame.across(high) - frame.across(low) - 1, 0.5),
                    height=abs(top - zero),
                    fill=colour,
                )
            )
    upward = {way * at: f"{at:g}" for at in _counts(most) for way in (1, -1)}
    across = {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}
    ground = axes(frame, across, upward, (f"Chance of {found.arms[1]}, from the covariates", "Patients"))
    legend = key([(titled(found.arms[1]), MISS), (titled(found.arms[0]), OPEN)], frame.left, 334)
    words = (
        f"{titled(found.arms[1])}: propensities {_reach(seen.reach[1])}; {found.arms[0]}: {_reach(seen.reach[0])}. "
        f"{100 * seen.outside_support:.1f} % lie where the other arm has nobody, {100 * seen.extreme:.1f} % below 0.05 "
        f"or above 0.95. Effective numbers behind the weights: {seen.effective[1]:.0f} of {seen.n[1]} and "
        f"{seen.effective[0]:.0f} of {seen.n[0]}."
    )
    picture = svg.drawing(WIDTH, 346, "".join(drawn[:1]) + ground + "".join(drawn[1:]) + legend, words, FONT)
    return Drawing("overlap", "Who could have had either operation", words, picture, words)


def _reach(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def _counts(most: float) -> list[float]:
    return [at for at in marks_of(0, most) if 0 <= at <= most * 1.05]


def _trimmed(found: Comparison, frame: Frame) -> str:
    trim = found.trimmed
    if trim.low is None or trim.high is None:
        return ""
    drawn = ""
    for low, high in ((0.0, trim.low), (trim.high, 1.0)):
        left, right = frame.across(low), frame.across(high)
        drawn += svg.element(
            "rect", x=left, y=frame.top, width=right - left, height=frame.bottom - frame.top, fill=SOFT
        )
    return drawn


def love(found: Comparison) -> Drawing:
    """Standardised differences of every covariate before and after weighting."""
    rows = sorted(found.balance, key=lambda row: -abs(row.smd_before))
    most = max([abs(v) for row in rows for v in (row.smd_before, row.smd_after) if math.isfinite(v)] + [0.2])
    left, top, step = 178.0, 26.0, 23.0
    frame = Frame(
        (-most * 1.08, most * 1.08), (0, 1), left=left, right=WIDTH - 14, top=top, bottom=top + step * len(rows)
    )
    drawn = [_band(frame)]
    for at, words in marks_of(-most, most).items():
        if abs(at) <= most * 1.08:
            x = frame.across(at)
            drawn.append(line(x, frame.bottom, x, frame.bottom + 5, FAINT))
            drawn.append(svg.text(words, x, frame.bottom + 19, 13, text_anchor="middle", fill=FAINT))
    drawn.append(line(frame.across(0), frame.top, frame.across(0), frame.bottom, INK, 1))
    for n, row in enumerate(rows):
        drawn.append(_balance(row, frame, top + step * (n + 0.5)))
    drawn.append(svg.text("Standardised difference", (left + WIDTH) / 2, frame.bottom + 38, 13, text_anchor="middle"))
    drawn.append(_legend(left))
    worst = max((abs(row.smd_after) for row in rows), default=0.0)
    words = (
        f"Largest difference before {max((abs(r.smd_before) for r in rows), default=0.0):.2f}, after weighting "
        f"{worst:.2f} standard deviations; within the grey band ({UNBALANCED:g}) differences are small."
    )
    return Drawing("balance", "Are the arms alike?", words, _drawn(drawn, frame.bottom + 48, words), words)


def _drawn(parts: Sequence[str], height: float, alt: str) -> str:
    return svg.drawing(WIDTH, height, "".join(parts), alt, FONT)


def _band(frame: Frame) -> str:
    low, high = frame.across(-UNBALANCED), frame.across(UNBALANCED)
    return svg.element("rect", x=low, y=frame.top, width=high - low, height=frame.bottom - frame.top, fill=SOFT)


def _balance(row: Balance, frame: Frame, y: float) -> str:
    before, after = frame.across(row.smd_before), frame.across(row.smd_after)
    name = titled(named(row.covariate)).replace(" before the operation", " before")
    drawn = svg.text(name if len(name) <= 23 else name[:22] + "…", frame.left - 10, y + 4, 13, text_anchor="end")
    drawn += line(before, y, after, y, RULE, 1.5)
    drawn += svg.element("circle", cx=before, cy=y, r=4.5, fill="#ffffff", stroke=INK, stroke_width=1.5)
    return drawn + svg.element("circle", cx=after, cy=y, r=4.5, fill=MISS)


def _legend(left: float) -> str:
    drawn = svg.element("circle", cx=left + 6, cy=12, r=4.5, fill="#ffffff", stroke=INK, stroke_width=1.5)
    drawn += svg.text("before", left + 16, 16, 13, fill=INK)
    drawn += svg.element("circle", cx=left + 86, cy=12, r=4.5, fill=MISS)
    return drawn + svg.text("after weighting", left + 96, 16, 13, fill=INK)


def subgroup_forest(found: Comparison, held: Subgroups) -> Drawing:
    """The difference in every planned subgroup, with patients of both arms, and the test of each split."""
    scale, unit = scaled(found)
    rows = []
    for split in held.splits:
        tested = "not tested" if math.isnan(split.p) else f"p {split.p:.2g}, corrected {split.p_corrected:.2g}"
        rows.append(Row(f"{titled(named(split.column))} ({tested})", is_heading=True))
        for one in split.parts:
            label = f"{part(one.label, split.column).removeprefix(titled(named(split.column))).strip(': ')}"
            counts = f"{label} ({one.n_arms[1]} / {one.n_arms[0]})"
            if one.value is None or one.se is None or one.interval is None:
                rows.append(Row(counts, words="too few"))
                continue
            ends = (one.interval[0] * scale, one.interval[1] * scale)
            figures = f"{signed(one.value * scale, one.se * scale)} {between(ends, one.se * scale)}"
            rows.append(Row(counts, one.value * scale, ends[0], ends[1], figures))
    picture = forest(rows, f"{titled(found.arms[1])} minus {found.arms[0]}, {unit}", sides(found))
    foot = f"In brackets patients with {found.arms[1]} / {found.arms[0]}. 95 % intervals, each for its own subgroup."
    return Drawing("subgroups", f"Difference in {named(found.outcome)} by subgroup", "", picture, foot)
