"""The plan of the parts beyond the main comparison: fixed in Keyhole before any table is read."""

from __future__ import annotations

from keyhole.comparison import centres, funnel, learning, subgroups, survival
from keyhole.comparison.model import Comparison
from keyhole.report.comparison.words import named


def further_plan(found: Comparison) -> list[tuple[str, str]]:
    """Headings and texts; nothing here depends on what the table holds, names of outcome and covariates aside."""
    cuts = ", ".join(f"{named(name)} {cut:g}" for name, cut in subgroups.CUTS.items() if name != "levels")
    by = ", ".join(named(name) for name in subgroups.PLANNED)
    days = survival.HORIZON
    return [
        (
            "Subgroups",
            f"{by}; cut at {cuts}, more than one level, others at their median. Doubly robust difference in each part "
            f"of at least {subgroups.SMALLEST} patients an arm; a test that the parts differ, corrected for the number "
            "of splits (Holm). All are shown.",
        ),
        (
            "Centres",
            "Linear mixed model (REML) with intercepts of centre and surgeon and an effect of the operation that may "
            "differ between centres; the centre's share of small openings is in the model, so that the effect is the "
            f"one within centres. From {centres.FEWEST} centres on.",
        ),
        (
            "Times",
            f"Reoperation to {days['reoperation']:g} days and recovery to {days['recovery']:g} days: Kaplan-Meier "
            "curves of both arms as they are; adjusted differences of risk and of restricted mean time by the "
            "doubly robust estimate on pseudo-values; hazard ratio by Cox's model. They assume that who is lost from "
            "view is like who stays, in each arm.",
        ),
        (
            "Surgeons",
            "Risk-adjusted CUSUM of complications and of operating time in each surgeon's small openings, in the order "
            f"of their dates; it looks for odds {learning.ODDS:g} times, or a mean {learning.SHIFT:g} sd above, what "
            f"is expected; limits that {100 * learning.FALSE_ALARMS:g} % of simulated series of an average surgeon "
            f"cross. From {learning.FEWEST} operations on. Surgeons are numbered, not named.",
        ),
        (
            "Funnels",
            f"Complication, readmission and reoperation of centres, adjusted for who their patients are, against exact "
            f"binomial limits ({100 * funnel.LEVELS[0]:g} and {100 * funnel.LEVELS[1]:g} %); whether centres differ "
            "more than by chance is tested.",
        ),
    ]
