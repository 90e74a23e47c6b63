"""What to expect: published and local results pooled, and what follows for a patient."""

from keyhole.forecast.answers import Answer, Synthesis, answers
from keyhole.forecast.calibrate import Bin, Calibration, Drift, calibration, drift
from keyhole.forecast.case import AS_ASKED, current_forecast, forecast, forecast_case, operation_of
from keyhole.forecast.cohort import Cohort, cohort_columns, parse_cohort, read_cohort
from keyhole.forecast.conformal import Conformal, split_conformal
from keyhole.forecast.counts import pool_any
from keyhole.forecast.effects import MEASURES
from keyhole.forecast.expect import TOO_LARGE
from keyhole.forecast.pool import MODELS, PREDICTION, Figure, Pool, Study, pool, prediction
from keyhole.forecast.regression import Regression, SmallStudies, regress_on, small_studies
from keyhole.forecast.risk import Risk, Score, fields, scores
from keyhole.forecast.select import Chosen, LeftOut, by_question, choose
from keyhole.forecast.sensitivity import by_design, leave_one_out
from keyhole.forecast.words import FEWEST, Verdict, judged, verdict

__all__ = [
    "AS_ASKED",
    "FEWEST",
    "MEASURES",
    "MODELS",
    "PREDICTION",
    "TOO_LARGE",
    "Answer",
    "Bin",
    "Calibration",
    "Chosen",
    "Cohort",
    "Conformal",
    "Drift",
    "Figure",
    "LeftOut",
    "Pool",
    "Regression",
    "Risk",
    "Score",
    "SmallStudies",
    "Study",
    "Synthesis",
    "Verdict",
    "answers",
    "by_design",
    "by_question",
    "calibration",
    "choose",
    "cohort_columns",
    "current_forecast",
    "drift",
    "fields",
    "forecast",
    "forecast_case",
    "judged",
    "leave_one_out",
    "operation_of",
    "parse_cohort",
    "pool",
    "pool_any",
    "prediction",
    "read_cohort",
    "regress_on",
    "scores",
    "small_studies",
    "split_conformal",
    "verdict",
]
