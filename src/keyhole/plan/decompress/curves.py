"""Published effects of taking away facet, to stand beside the share that a removal takes."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from keyhole.casefile import FacetCurve
from keyhole.evidence import source


@cache
def facet_curves() -> tuple[FacetCurve, ...]:
    """Every row of curves.toml, its source checked: thresholds disagree, so all are shown and none is applied."""
    text = files("keyhole.plan.decompress").joinpath("curves.toml").read_text(encoding="utf-8")
    rows = tuple(FacetCurve(**row) for row in tomllib.loads(text)["curve"])
    for row in rows:
        source(row.source)
    return rows
