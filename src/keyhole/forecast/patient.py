"""Published risk scores of the patient as entries of forecast.json, recalibrated where own patients allow it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from keyhole.casefile import CalibrationBin, CalibrationEntry, CalibrationPoint, Patient, Quantity, RiskEntry
from keyhole.errors import InvalidInput
from keyhole.evidence import RiskModel, risk_models, source
from keyhole.forecast.calibrate import Calibration, Drift, calibration, drift
from keyhole.forecast.cohort import Cohort, column_of
from keyhole.forecast.effects import Array
from keyhole.forecast.entries import ends, rounded
from keyhole.forecast.pool import Figure
from keyhole.forecast.risk import LABEL, Risk, Score, Value, risk, scores

OUTCOME = {"dural-tear": "dural-tear"}
"""The cohort's outcome that a model with a probability is about."""

DRIFTED = 0.05
OWN_FIGURES = "figures of recalibration are on the patients that it was made from: on others they are worse"


def fields_of(patient: Patient, more: Mapping[str, Value] | None) -> dict[str, Value]:
    """What the scores may use: the case's patient, and `more` fields; what is not known is left out."""
    own: dict[str, Value] = {
        "age": patient.age,
        "sex": patient.sex,
        "height_cm": patient.height_cm,
        "weight_kg": patient.weight_kg,
    }
    return {key: value for key, value in {**own, **(more or {})}.items() if value is not None}


def risks(patient: Mapping[str, Value], cohort: Cohort | None) -> tuple[RiskEntry, ...]:
    """Every published score for `patient`; a probability is recalibrated where `cohort` holds what it needs."""
    return tuple(_entry(one, None if cohort is None else _calibrated(one.model.key, cohort)) for one in scores(patient))


def _entry(found: Score | Risk, fitted: tuple[Calibration, Drift | None, str] | None) -> RiskEntry:
    model = found.model
    said = source(model.source)
    common: dict[str, Any] = {
        "model": model.key,
        "title": model.title,
        "outcome": model.outcome,
        "unknown": found.unknown,
        "performance": model.performance,
        "validation": model.validation,
        "citation": said.text,
        "address": said.address,
        "caveats": found.caveats,
    }
    if isinstance(found, Score):
        high = None if math.isinf(found.high) else found.high
        return RiskEntry(
            form="points", low=found.low, high=high, interval=None, band=found.word, present=found.present,
            label=LABEL, **common,
        )  # fmt: skip
    low, high, interval, label, entry = found.low, found.high, found.interval, LABEL, None
    if fitted is not None:
        fit, moved, name = fitted
        low, high, *rest = (float(fit.applied(value)) for value in (low, high, *interval))
        interval = (min(rest), max(rest))
        label = f"recalibrated on {fit.patients} own patients ({name})"
        entry = calibration_entry(fit, moved)
    return RiskEntry(
        form="probability", low=rounded(min(low, high)), high=rounded(max(low, high)), interval=ends(interval), band="",
        present=(), label=label, calibration=entry, **common,
    )  # fmt: skip


@lru_cache(maxsize=32)
def _calibrated(key: str, cohort: Cohort) -> tuple[Calibration, Drift | None, str] | None:
    """How the model `key` fits the cohort; None where it gives no probability or the cohort cannot tell."""
    model = risk_models()[key]
    column = column_of(OUTCOME.get(key, ""))
    if model.form != "odds" or column not in cohort.columns:
        return None
    predicted, happened = predictions(model, cohort), cohort.columns[column]
    try:
        fit = calibration(predicted, happened)
    except InvalidInput:
        return None
    return (
        fit,
        drift(np.where(np.isfinite(predicted), fit.applied(predicted), np.nan), happened, cohort.day),
        cohort.name,
    )


def predictions(model: RiskModel, cohort: Cohort) -> Array:
    """The probability of `model` for every patient of `cohort`; nan where one of its fields is not known."""
    columns = {item.field: cohort.columns.get(item.field, np.full(cohort.n, np.nan)) for item in model.items}
    table = np.column_stack(list(columns.values()))
    rows, inverse = np.unique(np.where(np.isfinite(table), table, -1.0), axis=0, return_inverse=True)
    found = np.full(len(rows), np.nan)
    for n, row in enumerate(rows):
        if (row >= 0).all():
            found[n] = risk(model, {field: bool(v) for field, v in zip(columns, row, strict=True)}).low
    picked: Array = found[np.ravel(inverse)]
    return picked


def calibration_entry(fit: Calibration, moved: Drift | None) -> CalibrationEntry:
    """A calibration as forecast.json holds it."""
    return CalibrationEntry(
        patients=fit.patients,
        events=fit.events,
        in_the_large=_figure(fit.in_the_large),
        slope=_figure(fit.slope),
        brier=_figure(fit.brier),
        intercept_after=rounded(fit.intercept_after),
        slope_after=rounded(fit.slope_after),
        brier_after=_figure(fit.brier_after),
        bins=tuple(
            CalibrationBin(
                predicted=rounded(one.predicted),
                observed=rounded(one.observed),
                interval=ends(one.interval),
                patients=one.patients,
            )
            for one in fit.bins
        ),
        curve=tuple(
            CalibrationPoint(
                predicted=rounded(one.predicted),
                expected=rounded(one.expected.value),
                interval=ends(one.expected.interval),
            )
            for one in fit.curve
        ),
        drift_p=None if moved is None else rounded(moved.p),
        drift=_drift(moved),
        caveats=(OWN_FIGURES, *fit.caveats),
    )


def _figure(found: Figure) -> Quantity:
    return Quantity(value=rounded(found.value), interval=ends(found.interval), unit="1", source="keyhole")


def _drift(moved: Drift | None) -> str:
    if moved is None:
        return "not known: days of operation are missing"
    if moved.p < DRIFTED:
        return f"observed and expected part in time (p = {moved.p:.2g}): recalibrate on recent patients"
    return f"none seen (p = {moved.p:.2g})"
