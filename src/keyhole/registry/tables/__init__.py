"""Tables in and out of the registry: imports with a mapping and a row report, exports with a data dictionary."""

from keyhole.registry.tables.analysis import analysis_table
from keyhole.registry.tables.export import Exported, export
from keyhole.registry.tables.fields import Field, fields, fields_of
from keyhole.registry.tables.load import Asked, Imported, import_file, import_files, own_tables
from keyhole.registry.tables.mapping import Plan, analysis_plan, check_text, parse_plan, read_plan, table_plan
from keyhole.registry.tables.rows import Problem, Text

__all__ = [
    "Asked",
    "Exported",
    "Field",
    "Imported",
    "Plan",
    "Problem",
    "Text",
    "analysis_plan",
    "analysis_table",
    "check_text",
    "export",
    "fields",
    "fields_of",
    "import_file",
    "import_files",
    "own_tables",
    "parse_plan",
    "read_plan",
    "table_plan",
]
