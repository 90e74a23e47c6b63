"""Parametric spines with known truth."""

from keyhole.anatomy.phantom.model import PHANTOM, Phantom, default_pose, phantom
from keyhole.anatomy.phantom.parameters import PATHOLOGIES, PhantomParameters
from keyhole.anatomy.phantom.truth import findings
from keyhole.anatomy.phantom.write import totalsegmentator_labels, write_phantom

__all__ = [
    "PATHOLOGIES",
    "PHANTOM",
    "Phantom",
    "PhantomParameters",
    "default_pose",
    "findings",
    "phantom",
    "totalsegmentator_labels",
    "write_phantom",
]
