"""The words of the field: vertebrae, levels, sides, structures."""

from keyhole.terms.levels import (
    LUMBAR_LEVELS,
    SIDES,
    VERTEBRAE,
    are_neighbours,
    check_side,
    in_key,
    level,
    other,
    rank,
    sides_swapped,
    split,
)
from keyhole.terms.renaming import counted_anew, lineage, lineage_of, renamed_key, renamed_text
from keyhole.terms.structures import Origin, Tissue, belongs, heads, tissue

__all__ = [
    "LUMBAR_LEVELS",
    "SIDES",
    "VERTEBRAE",
    "Origin",
    "Tissue",
    "are_neighbours",
    "belongs",
    "check_side",
    "counted_anew",
    "heads",
    "in_key",
    "level",
    "lineage",
    "lineage_of",
    "other",
    "rank",
    "renamed_key",
    "renamed_text",
    "sides_swapped",
    "split",
    "tissue",
]
