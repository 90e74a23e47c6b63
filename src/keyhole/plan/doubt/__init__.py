"""How sure the execution is: error budget, target registration error, breach probability, what navigation must do."""

from keyhole.plan.doubt.breach import Wall, breach, breach_probability, total, wall
from keyhole.plan.doubt.budget import Budget, Registration, Term, default_budget, execution_error, read_budget
from keyhole.plan.doubt.cloud import Cloud, cloud
from keyhole.plan.doubt.error import REGISTRATION, TRACKING, ExecutionError, isotropic
from keyhole.plan.doubt.judge import (
    SAFE,
    Execution,
    Exposure,
    Needed,
    Share,
    breaches,
    chances,
    execution,
    exposures,
    kept_clearance,
    needed_accuracy,
    sensitivity,
)
from keyhole.plan.doubt.told import budget_record, doubt_entry, needed_entries, robustly_ranked, with_doubt
from keyhole.plan.doubt.tre import fiducial_error, frame_error, target_rms

__all__ = [
    "REGISTRATION",
    "SAFE",
    "TRACKING",
    "Budget",
    "Cloud",
    "Execution",
    "ExecutionError",
    "Exposure",
    "Needed",
    "Registration",
    "Share",
    "Term",
    "Wall",
    "breach",
    "breach_probability",
    "breaches",
    "budget_record",
    "chances",
    "cloud",
    "default_budget",
    "doubt_entry",
    "execution",
    "execution_error",
    "exposures",
    "fiducial_error",
    "frame_error",
    "isotropic",
    "kept_clearance",
    "needed_accuracy",
    "needed_entries",
    "read_budget",
    "robustly_ranked",
    "sensitivity",
    "target_rms",
    "total",
    "wall",
    "with_doubt",
]
