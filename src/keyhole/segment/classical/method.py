"""`ct_classical`: a lumbar spine's labels from a bare CT, or a refusal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes import NamedLabels
from keyhole.casefile import EvidenceEntry, VertebraEntry
from keyhole.geometry import LabelMap, Volume
from keyhole.segment.classical.partition import painted
from keyhole.segment.classical.scene import DiscPlane, Scene
from keyhole.segment.classical.spine import Spine, find
from keyhole.segment.classical.stack import Stack, stacked
from keyhole.terms import Origin

Progress = Callable[[str, float], None]

METHOD = "ct-classical"


def ct_classical(image: Volume, *, progress: Progress | None = None) -> NamedLabels:
    """Vertebrae, discs, sacrum, pelvis and what surrounds them on a CT in Hounsfield units, with names and doubts."""
    scene, evidence = scene_of(image, progress)
    structures = {
        key: Structure(key, Origin.DERIVED, f"{METHOD}: bone, endplates and canal of the image", 1.0)
        for key in scene.names.values()
    }
    labels = LabelMap(scene.labels, scene.grid.patient_from_index, dict(scene.names))
    vertebrae = {name: VertebraEntry(confidence=0.5) for name in scene.whole}
    return NamedLabels(labels, structures, METHOD, "counted from the sacrum", (), vertebrae, evidence)


def scene_of(image: Volume, progress: Progress | None = None) -> tuple[Scene, tuple[EvidenceEntry, ...]]:
    """The spine of `image` as far as bone shows it, and the evidence for its names."""
    tell = progress or (lambda _sentence, _share: None)
    tell("Looking for the spine", 0.0)
    spine = find(image)
    tell("Finding the discs", 0.4)
    stack, evidence = stacked(spine)
    tell("Cutting out the vertebrae", 0.6)
    sheet = painted(spine, stack)
    tell("Vertebrae found", 0.9)
    return _scene(spine, stack, sheet.labels, sheet.names), evidence


def _scene(spine: Spine, stack: Stack, labels: np.ndarray, names: dict[int, str]) -> Scene:
    return Scene(
        hu=Volume(spine.hu, spine.grid.patient_from_index),
        bone=spine.bone,
        body=spine.body,
        canal=spine.canal,
        planes=_planes(stack),
        whole=stack.whole,
        cut=(stack.names[0],),
        labels=labels,
        names=names,
        noise=spine.noise,
        threshold=spine.threshold,
        trabecular={},
        spacing=spine.spacing,
        measures={},
    )


def _planes(stack: Stack) -> tuple[DiscPlane, ...]:
    made = []
    for n, one in enumerate(stack.gaps):
        s = int(stack.stations[n])
        signals = {
            "disc": float(stack.signals.disc[s]),
            "phase": float(stack.signals.phase[s]),
            "edge_above": one.edge[0],
            "edge_below": one.edge[1],
        }
        made.append(
            DiscPlane(
                upper=stack.names[n],
                lower=stack.names[n + 1],
                station=float(s),
                centre=one.centre,
                up=one.axes[2],
                above=float(np.median(one.above)),
                below=-float(np.median(one.below)),
                score=float(np.clip(stack.signals.disc[s], 0.0, 1.0)),
                signals=signals,
            )
        )
    return tuple(made)
