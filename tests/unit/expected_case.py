"""A forecast of the made-up case for the tests of its pages: the literature's, and one with hand-made outcomes."""

from __future__ import annotations

from functools import cache

from report_case import plan

from keyhole.casefile import CaseRecord, ForecastOutcome, ForecastRecord, Patient, Quantity, provenance
from keyhole.forecast import forecast


@cache
def record() -> ForecastRecord:
    """What is published of the made-up plan's first corridor."""
    return forecast(plan({}), {"age": 54.0, "sex": "F"}, operation="discectomy")


def with_outcomes(*changed: ForecastOutcome, **more) -> ForecastRecord:
    """`record` with the outcomes of the same keys replaced."""
    by_key = {one.key: one for one in changed}
    return record().model_copy(
        update={"outcomes": tuple(by_key.get(one.key, one) for one in record().outcomes), **more}
    )


def outcome(key: str) -> ForecastOutcome:
    """One outcome of `record`."""
    return next(one for one in record().outcomes if one.key == key)


def known(value: float | None, interval=None, unit="1") -> Quantity:
    """A hand-made quantity."""
    caveats = ("nobody knows",) if value is None else ()
    return Quantity(value=value, interval=interval, unit=unit, source="made up", caveats=caveats)


def case_record() -> CaseRecord:
    """A case without a confirmation of its levels."""
    return CaseRecord(id="made-up", patient=Patient(age=54, sex="F"), numbering="counted", provenance=provenance({}))
