"""The names that were here live in `plan/doubt`."""

from keyhole.plan.doubt import REGISTRATION, TRACKING, ExecutionError, breach_probability, execution_error, total

__all__ = ["REGISTRATION", "TRACKING", "ExecutionError", "breach_probability", "execution_error", "total"]
