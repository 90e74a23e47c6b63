"""Slip, lordosis, coronal curve and pelvis."""
