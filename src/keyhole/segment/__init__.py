"""Anatomy from a bare image: our own method for CT, and other tools in their own environments."""

from keyhole.segment.stage import CLASSICAL, METHODS, can_segment, segment_case
from keyhole.segment.tools import TOOLS, Segmented, run_tool

__all__ = ["CLASSICAL", "METHODS", "TOOLS", "Segmented", "can_segment", "run_tool", "segment_case"]
