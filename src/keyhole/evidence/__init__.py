"""What published numbers rest on: citations, and the table of published results."""

from keyhole.evidence.added import AddedTable, every_row, read_added
from keyhole.evidence.catalogue import HORIZONS, Outcome, Question, families, horizon, outcomes, question
from keyhole.evidence.procedures import CourseRows, Procedure, SharedRisk, Technique, procedure, procedures
from keyhole.evidence.risk_scores import RiskModel, ScoreItem, risk_models
from keyhole.evidence.rows import STATUSES, Arm, Row
from keyhole.evidence.source import Source, source, sources
from keyhole.evidence.table import COLUMNS, OPTIONAL, examined, joined, parse, read_table, shipped, text_of

__all__ = [
    "COLUMNS",
    "HORIZONS",
    "OPTIONAL",
    "STATUSES",
    "AddedTable",
    "Arm",
    "CourseRows",
    "Outcome",
    "Procedure",
    "Question",
    "RiskModel",
    "Row",
    "ScoreItem",
    "SharedRisk",
    "Source",
    "Technique",
    "every_row",
    "examined",
    "families",
    "horizon",
    "joined",
    "outcomes",
    "parse",
    "procedure",
    "procedures",
    "question",
    "read_added",
    "read_table",
    "risk_models",
    "shipped",
    "source",
    "sources",
    "text_of",
]
