"""The dashboard as one offline page, and as JSON beside it."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from keyhole import __version__
from keyhole.casefile.store import RESEARCH_USE, write_bytes
from keyhole.report.dashboard.chart import outcome_chart
from keyhole.report.dashboard.counts import Share
from keyhole.report.dashboard.summary import ENOUGH, Dashboard, to_json

_KINDS = {
    "mcid": "smallest change that matters",
    "success": "much better or recovered",
    "pass": "a state people accept",
}


@cache
def _environment() -> Environment:
    """Templates of their own, without what the report of a case loads."""
    return Environment(
        loader=PackageLoader("keyhole.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def dashboard_page(found: Dashboard) -> bytes:
    """One HTML file that needs nothing else; without scripts."""
    template = _environment().get_template("dashboard.html")
    style = files("keyhole.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    html = template.render(
        d=found,
        style=style,
        research_use=RESEARCH_USE,
        version=__version__,
        enough=ENOUGH,
        charts={outcome.key: outcome_chart(outcome) for outcome in found.outcomes},
        part=_part,
        percent=_percent,
        number=_number,
        mean=_mean,
        middle=_middle,
        rate=_rate,
        kinds=_KINDS,
    )
    return html.encode()


def write_dashboard(found: Dashboard, out: Path) -> Path:
    """index.html and dashboard.json in the folder `out`; the path of the page."""
    plain = json.dumps(to_json(found), ensure_ascii=False, indent=1, allow_nan=False)
    write_bytes(out / "dashboard.json", f"{plain}\n".encode())
    write_bytes(out / "index.html", dashboard_page(found))
    return out / "index.html"


def _part(count: int, of: int) -> str:
    """A width in CSS."""
    return f"{100 * count / of:.2f}%" if of else "0%"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _digits(outcome: Any) -> int:
    return 2 if outcome.top - outcome.bottom <= 3 else 0 if outcome.top > 1000 else 1


def _mean(point: Any, outcome: Any) -> str:
    """Mean and its interval."""
    if point.mean is None:
        return "–"
    digits = _digits(outcome)
    if point.interval is None:
        return f"{_number(point.mean, digits)}"
    return f"{_number(point.mean, digits)} [{', '.join(_number(end, digits) for end in point.interval)}]"


def _middle(point: Any, outcome: Any) -> str:
    """Median and quartiles."""
    if point.median is None or point.quartiles is None:
        return "–"
    digits = _digits(outcome)
    return f"{_number(point.median, digits)} ({' to '.join(_number(end, digits) for end in point.quartiles)})"


def _rate(one: Share) -> str:
    """Per cent with the interval."""
    if one.value is None or one.interval is None:
        return "–"
    ends = " to ".join(f"{100 * end:.1f}" for end in one.interval)
    return f"{100 * one.value:.1f} % ({ends})"
