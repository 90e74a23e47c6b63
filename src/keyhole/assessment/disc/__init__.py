"""Discs: heights, volume, signal, and what lies beyond the ring of the endplates."""
