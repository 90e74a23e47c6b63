"""Several corridors and implants as one operation: counted together, and checked against each other."""

from keyhole.plan.operation.parts import Operation, Part, collisions, open_operation, small_operation
from keyhole.plan.operation.told import operations, with_operations

__all__ = [
    "Operation",
    "Part",
    "collisions",
    "open_operation",
    "operations",
    "small_operation",
    "with_operations",
]
