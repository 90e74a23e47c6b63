"""The page of a comparison: what it says, in its order."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from keyhole import __version__
from keyhole.casefile.store import RESEARCH_USE
from keyhole.comparison.further import Further
from keyhole.comparison.model import METHODS, Comparison
from keyhole.comparison.table import Table
from keyhole.evidence import source
from keyhole.report.comparison import compared, followed
from keyhole.report.comparison.patients import flow, is_simulated, setting
from keyhole.report.comparison.plan import further_plan
from keyhole.report.comparison.told import centre_words, clocks, surgeons
from keyhole.report.comparison.words import (
    agreement,
    between,
    effect_words,
    named,
    plainly,
    scaled,
    signed,
    strength,
    titled,
)
from keyhole.report.page import environment

SYNTHETIC = "Synthetic: no patient, surgeon or centre of this table exists."
SOURCES = (
    "strobe2007", "shook-sa2025", "crump2009", "white2011", "vanderweele2017", "ambrogi2022", "bates2015",
    "steiner2000", "spiegelhalter2005",
)  # fmt: skip


def comparison_page(table: Table, found: Comparison, more: Further) -> bytes:
    """The page as one HTML file that needs nothing else."""
    text = files("keyhole.report").joinpath("templates")
    html = (
        environment()
        .get_template("comparison.html")
        .render(**_said(table, found, more), style=text.joinpath("style.css").read_text(encoding="utf-8"))
    )
    return html.lstrip().encode()


def _said(table: Table, found: Comparison, more: Further) -> dict[str, Any]:
    scale, unit = scaled(found)
    arms = (titled(found.arms[0]), titled(found.arms[1]))
    return {
        "title": f"{titled(named(found.outcome))}: {found.arms[1]} and {found.arms[0]} compared",
        "table": table.name,
        "version": __version__,
        "research_use": RESEARCH_USE,
        "warnings": _warnings(table, found),
        "arms": arms,
        "unit": unit,
        "found": found,
        "verdict": plainly(found.verdict, found.outcome),
        "plan": [*_plan(found), *further_plan(found)],
        "setting": setting(table),
        "flow": flow(table, found),
        "estimates": compared.estimates(found),
        "rows": _rows(found, scale),
        "together": agreement([found.estimates[name] for name in METHODS if name != "naive"]),
        "strength": strength(found.e_value),
        "overlap": compared.overlap(found),
        "love": compared.love(found),
        "balance": [_balance(row) for row in found.balance],
        "columns": [
            (titled(named(c.column)), f"{c.n:,}", f"{100 * c.share:.1f} %", c.role, c.method)
            for c in found.missing.columns
        ],
        "left_out": [(named(left.name), left.reason) for left in (*found.left_out, *found.dropped)],
        "subgroups": None if more.subgroups is None else compared.subgroup_forest(found, more.subgroups),
        "subgroup_words": None if more.subgroups is None else more.subgroups,
        "centres": None if more.centres is None else followed.centre_forest(found, more.centres),
        "centre_words": [] if more.centres is None else centre_words(more.centres, found),
        "clocks": clocks(more, found),
        "surgeons": [surgeons(one) for one in more.learning],
        "funnels": [(followed.funnel_plot(one), one.caveats) for one in more.funnels],
        "not_done": more.not_done,
        "strobe": strobe(),
        "references": [(source(key).text, source(key).address) for key in SOURCES],
    }


def _plan(found: Comparison) -> list[tuple[str, str]]:
    """The plan as stated, with the columns that are left out brought together by reason."""
    reasons: dict[str, list[str]] = {}
    for left in found.left_out:
        reasons.setdefault(left.reason, []).append(left.name)
    together = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
    return [(heading, f"{together}." if heading == "Left out" and together else text) for heading, text in found.plan]


def _warnings(table: Table, found: Comparison) -> list[str]:
    said = [SYNTHETIC] if is_simulated(table) else []
    if found.overlap.is_poor:
        said.append(next(words for words in found.caveats if words.startswith("OVERLAP")))
    return said


def _rows(found: Comparison, scale: float) -> list[dict[str, str]]:
    rows = []
    for name, effect in [*found.estimates.items(), *found.further.items()]:
        means = [f"{scale * mean:.1f}" + (" %" if found.is_binary else "") for mean in effect.means]
        ratio = "" if effect.ratio is None else f"{effect.ratio.value:.2f} {between(effect.ratio.interval, 0.05)}"
        said = METHODS.get(name, name.replace("aipw", "doubly robust,").replace("naive", "plain difference"))
        rows.append(
            {
                "method": titled(said),
                "one": means[1],
                "zero": means[0],
                "difference": effect_words(effect, scale),
                "ratio": ratio,
                "n": f"{effect.n:,}",
                "lost": f"{100 * effect.missing_information:.0f} %",
            }
        )
    return rows


def _balance(row: Any) -> tuple[str, ...]:
    return (
        titled(named(row.covariate)),
        f"{row.means[1]:.2f}",
        f"{row.means[0]:.2f}",
        signed(row.smd_before, 0.05),
        signed(row.smd_after, 0.05),
    )


@cache
def strobe() -> tuple[dict[str, Any], ...]:
    """The checklist: what this page answers and where, and what the clinic must write."""
    text = files("keyhole.report").joinpath("comparison", "strobe.toml").read_text(encoding="utf-8")
    items: list[dict[str, Any]] = tomllib.loads(text)["item"]
    for item in items:
        item["status"] = "clinic" if not item["where"] else "partly" if item["clinic"] else "here"
    return tuple(items)
