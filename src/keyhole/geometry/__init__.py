"""Frames, volumes, shapes and distances. Patient space is LPS, mm, right-handed."""

from keyhole.geometry.distance import distance_field
from keyhole.geometry.shapes import Plane, Points, Tube, fit_plane, unit
from keyhole.geometry.transform import INDEX, PATIENT, Frame, Transform
from keyhole.geometry.volume import Box, Grid, LabelMap, Volume, affine, bounding_box

__all__ = [
    "INDEX",
    "PATIENT",
    "Box",
    "Frame",
    "Grid",
    "LabelMap",
    "Plane",
    "Points",
    "Transform",
    "Tube",
    "Volume",
    "affine",
    "bounding_box",
    "distance_field",
    "fit_plane",
    "unit",
]
