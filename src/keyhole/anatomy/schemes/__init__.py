"""Label files of other tools, and Keyhole's own, as structures with names."""

from keyhole.anatomy.schemes.encode import written_as
from keyhole.anatomy.schemes.model import SD_PER_MM, NamedLabels, boundary_sd
from keyhole.anatomy.schemes.read import read_labels
from keyhole.anatomy.schemes.tables import (
    KEYHOLE,
    SCHEMES,
    TOTALSEGMENTATOR,
    Row,
    Table,
    table,
    tables,
    totalsegmentator,
)

__all__ = [
    "KEYHOLE",
    "SCHEMES",
    "SD_PER_MM",
    "TOTALSEGMENTATOR",
    "NamedLabels",
    "Row",
    "Table",
    "boundary_sd",
    "read_labels",
    "table",
    "tables",
    "totalsegmentator",
    "written_as",
]
