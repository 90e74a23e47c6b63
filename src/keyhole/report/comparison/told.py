"""What is said beside the drawings of centres, times and surgeons."""

from __future__ import annotations

import math
from typing import Any

from keyhole.comparison.centres import CentreEffects
from keyhole.comparison.further import Further
from keyhole.comparison.learning import EARLY, Learning
from keyhole.comparison.model import Comparison
from keyhole.comparison.survival import Restricted, Survival
from keyhole.report.comparison import followed
from keyhole.report.comparison.words import between, effect_words, named, p_value, scaled, signed, titled

MOST_CHARTS = 8
"""Charts of surgeons that are all shown at once; where there are more, those without an alarm can be opened."""


def centre_words(held: CentreEffects, found: Comparison) -> list[str]:
    """The mixed model in sentences."""
    scale, unit = scaled(found)
    centre, effect, surgeon, residual = (sd * scale for sd in held.sds)
    low, high = held.between[1]
    said = [
        f"Within centres the difference is {signed(held.value * scale, held.se * scale)} "
        f"{between((held.interval[0] * scale, held.interval[1] * scale), held.se * scale)} {unit}.",
        f"Spread (sd): between centres {centre:.2g}, between surgeons {surgeon:.2g}, of the difference between centres "
        f"{effect:.2g}, left between patients {residual:.3g} {unit}. {100 * held.icc[0]:.1f} % of the variance belongs "
        f"to centres and {100 * held.icc[1]:.1f} % to surgeons.",
        f"That the difference is alike in all centres: p {p_value(held.p_effect_varies)}.",
    ]
    if not effect:
        said.append("No spread of the difference between centres was found, so that every centre is given the mean.")
    if math.isfinite(low) and (low > 0 or high < 0):
        said.append(
            "Centres that use small openings more have other outcomes in all their patients: a comparison between "
            "centres would mix this with the operation."
        )
    return [*said, *(titled(words) + "." for words in held.caveats)]


def clocks(more: Further, found: Comparison) -> list[dict[str, Any]]:
    """Curves of reoperation and recovery with what is said beside them; clocks that the table lacks are left out."""
    told = []
    for name, held, times, restricted in (
        ("reoperation", more.reoperation, more.reoperation_times, more.reoperation_risk),
        ("recovery", more.recovery, more.recovery_times, more.recovery_mean),
    ):
        if held is None or times is None:
            continue
        words = [_log_rank(held)]
        if restricted is not None:
            words += _restricted(restricted, found)
        if name == "reoperation" and more.hazard is not None:
            hazard = more.hazard
            adjusted = "adjusted" if hazard.covariates else "not adjusted"
            words.append(
                f"Hazard ratio of {hazard.clock}, {adjusted}: {hazard.ratio:.2f} {between(hazard.interval, 0.05)} "
                f"({hazard.events} events in {hazard.n:,} patients)."
            )
        caveats = [
            *held.caveats,
            *(restricted.caveats if restricted else ()),
            *(more.hazard.caveats if more.hazard and name == "reoperation" else ()),
        ]
        told.append(
            {
                "name": name,
                "drawing": followed.curves(held, times, found.arms),
                "words": words,
                "caveats": [titled(c) + "." for c in dict.fromkeys(caveats)],
            }
        )
    return told


def _log_rank(held: Survival) -> str:
    return f"The two curves as they are: log-rank p {p_value(held.log_rank_p)}; nothing in them is adjusted."


def _restricted(held: Restricted, found: Comparison) -> list[str]:
    scale, unit = (100.0, "percentage points") if held.what == "risk" else (1.0, "days")
    what = "Chance of it" if held.what == "risk" else "Mean days to it (who has not had it counts the whole time)"
    ends = (held.interval[0] * scale, held.interval[1] * scale)
    said = [
        f"{what} within {held.horizon:g} days, not adjusted: {scale * held.means[1]:.1f} with {found.arms[1]}, "
        f"{scale * held.means[0]:.1f} with {found.arms[0]}; difference "
        f"{signed(scale * held.difference, scale * held.se)} {between(ends, scale * held.se)} {unit}."
    ]
    if held.adjusted is not None:
        effect = held.adjusted.estimates["aipw"]
        means = [f"{scale * mean:.1f}" for mean in effect.means]
        said.append(
            f"Adjusted (doubly robust, on pseudo-values): {means[1]} and {means[0]}; difference "
            f"{effect_words(effect, scale)} {unit}. {_clear(effect.interval)}"
        )
    return said


def _clear(interval: tuple[float, float]) -> str:
    return "No clear difference." if interval[0] <= 0 <= interval[1] else "An association, as above."


def surgeons(held: Learning) -> dict[str, Any]:
    """Charts of one outcome, those with an alarm first where there are many, and what is said of them."""
    drawings = followed.charts(held)
    alarmed = [d for d, chart in zip(drawings, held.charts, strict=True) if chart.alarms]
    quiet = [d for d, chart in zip(drawings, held.charts, strict=True) if not chart.alarms]
    shown, folded = (drawings, []) if len(drawings) <= MOST_CHARTS else (alarmed, quiet)
    return {
        "title": titled(named(held.outcome)),
        "what": held.what,
        "charts": shown,
        "others": folded,
        "words": _surgeon_words(held),
        "caveats": [titled(c) + "." for c in held.caveats],
    }


def _surgeon_words(held: Learning) -> list[str]:
    crossed = sum(bool(chart.alarms) for chart in held.charts)
    found = [chart.found for chart in held.charts]
    said = [
        f"{crossed} of {len(held.charts)} charts crossed their limit. If all these surgeons were average, the "
        f"chance that at least one does so is {100 * held.some_false:.0f} %.",
    ]
    if found:
        said.append(
            f"A surgeon as bad as looked for from the first operation on would be found with a chance of "
            f"{100 * min(found):.0f} to {100 * max(found):.0f} %, by number of operations."
        )
    value, low, high = held.early
    if math.isfinite(value):
        per, digits = (
            (100.0, " percentage points" if held.is_event else " %") if held.is_event or held.is_relative else (1.0, "")
        )
        ends = between((low * per, high * per), (high - low) * per / 4)
        said.append(
            f"The first {EARLY} of each surgeon in this table against the later ones, adjusted: "
            f"{signed(value * per, (high - low) * per / 4)} {ends}{digits}."
        )
    return said
