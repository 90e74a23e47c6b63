"""A comparison as plain values for JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from keyhole.casefile.store import RESEARCH_USE
from keyhole.comparison.model import METHODS, Comparison, Effect

SCHEMA = "keyhole.comparison/1"


def plain(found: Comparison) -> dict[str, Any]:
    """Everything a comparison holds; what is not a finite number becomes null."""
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "notice": RESEARCH_USE,
        "table": found.source,
        "outcome": found.outcome,
        "treatment": found.treatment,
        "arms": {"0": found.arms[0], "1": found.arms[1]},
        "plan": [{"heading": heading, "text": text} for heading, text in found.plan],
        "n": found.n,
        "n_used": found.n_used,
        "n_arms": {"0": found.n_arms[0], "1": found.n_arms[1]},
        "is_binary": found.is_binary,
        "estimates": {name: _effect(found.estimates[name]) for name in METHODS},
        "sensitivity": {name: _effect(effect) for name, effect in found.further.items()},
        "verdict": found.verdict,
        "overlap": asdict(found.overlap),
        "balance": [asdict(row) for row in found.balance],
        "trimmed": asdict(found.trimmed),
        "e_value": None if found.e_value is None else asdict(found.e_value),
        "missing": asdict(found.missing),
        "covariates": list(found.covariates),
        "left_out": [asdict(left) for left in found.left_out],
        "dropped": [asdict(left) for left in found.dropped],
        "settings": asdict(found.settings),
        "cluster": found.cluster,
        "caveats": list(found.caveats),
    }
    return {key: _finite(value) for key, value in told.items()}


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "value": effect.value,
        "se": effect.se,
        "interval": list(effect.interval),
        "means": {"0": effect.means[0], "1": effect.means[1]},
        "n": effect.n,
        "df": effect.df,
        "missing_information": effect.missing_information,
        "ratio": None
        if effect.ratio is None
        else {"value": effect.ratio.value, "se_log": effect.ratio.se_log, "interval": list(effect.ratio.interval)},
    }


def _finite(value: Any) -> Any:
    """The same with None for what is not finite, and lists for tuples."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
