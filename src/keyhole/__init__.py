"""Keyhole: plan minimally invasive spine surgery on a patient's own images. Research use only."""

__version__ = "0.1.0"
