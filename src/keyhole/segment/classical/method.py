"""`ct_classical`: a lumbar spine's labels from a bare CT, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from keyhole.anatomy.canal import bony_canal, within
from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes import NamedLabels, boundary_sd
from keyhole.casefile import EvidenceEntry, VertebraEntry
from keyhole.errors import ImplausibleAnatomy, NotInScan
from keyhole.geometry import LabelMap, Volume
from keyhole.segment.classical.confidence import confidence, misplaced, restless, retest
from keyhole.segment.classical.numbering import last_rib, named
from keyhole.segment.classical.partition import Sheet, painted, solids
from keyhole.segment.classical.scene import DiscPlane, Scene
from keyhole.segment.classical.soft import UNKNOWN, UNKNOWN_CAVEAT, coarse, soft_tissue
from keyhole.segment.classical.spine import Spine, find
from keyhole.segment.classical.stack import Stack, stacked
from keyhole.segment.classical.vessels import vessels
from keyhole.terms import Origin

Progress = Callable[[str, float], None]

METHOD = "ct-classical"

SAC = "canal/dural_sac"
SAC_SHARE = 0.8
"""Share of the bony canal's radius that is taken for the dural sac, as for labels without one [keyhole-choice]."""

SAC_CAVEAT = "no CT shows the dural sac: it is modelled as 80 % of the bony canal's radius"

LEAST_SD = 1.0
"""Least positional sd, mm, of a boundary that the method found [keyhole-choice]."""


def ct_classical(image: Volume, *, progress: Progress | None = None) -> NamedLabels:
    """Vertebrae, discs, sacrum, pelvis and what surrounds them on a CT in Hounsfield units, with names and doubts.

    Everything follows from bone: a canal is looked for, the spine is straightened along it, discs are found as dark
    gaps between bright endplates in step with the pedicles, and the bone around is given to its vertebra. Names are
    counted from the sacrum and checked by the ribs.

    Parameters
    ----------
    image : on any grid, oblique or anisotropic; nan and a scanner's padding are unseen.

    Raises
    ------
    NotInScan where the scan shows too little of a spine, or nothing to name it by.
    ImplausibleAnatomy where sacrum and ribs disagree.

    References
    ----------
    [bare-ct-prototype].
    """
    tell = progress or (lambda _sentence, _share: None)
    scene, spine, evidence = scene_of(image, tell)
    tell("Finding muscles and vessels", 0.7)
    moved = retest(spine.straight, scene.planes)
    vertebrae = confidence(scene, moved)
    if (doubt := misplaced(scene.planes) or restless(moved)) is not None:
        raise ImplausibleAnatomy(f"the vertebrae cannot be named: {doubt}")
    scene = _with_soft_tissue(scene)
    sd = max(LEAST_SD, boundary_sd(np.array(scene.spacing)))
    structures = {key: _structure(key, sd, vertebrae) for key in scene.names.values()}
    labels = LabelMap(scene.labels, scene.grid.patient_from_index, dict(scene.names))
    tell("Anatomy found", 1.0)
    basis = "counted up from the sacrum" if evidence[0].supports else "counted down from the last ribs"
    return NamedLabels(labels, structures, METHOD, f"{METHOD}: {basis}", _caveats(scene), vertebrae, evidence)


def _caveats(scene: Scene) -> tuple[str, ...]:
    """What everyone must know of these labels."""
    unread = "labels by ct-classical, without a reader: check every outline before it is used"
    return (unread, f"cut by the scan's edge: {', '.join(scene.cut)}") if scene.cut else (unread,)


def _structure(key: str, sd: float, vertebrae: Mapping[str, VertebraEntry]) -> Structure:
    """How the structure `key` came to be known."""
    own = vertebrae.get(key.split("/")[1]) if key.startswith("vertebra/") else None
    if key == SAC:
        return Structure(key, Origin.MODELLED, "80 % of the bony canal's radius", sd, caveats=(SAC_CAVEAT,))
    if key == UNKNOWN:
        return Structure(key, Origin.CLASSED, f"{METHOD}: by Hounsfield units", sd, caveats=(UNKNOWN_CAVEAT,))
    sure, caveats = (own.confidence, own.warnings) if own else (None, ())
    return Structure(key, Origin.DERIVED, f"{METHOD}: from the image by geometry", sd, caveats, confidence=sure)


def scene_of(image: Volume, tell: Progress) -> tuple[Scene, Spine, tuple[EvidenceEntry, ...]]:
    """The spine of `image` as far as bone shows it, and the evidence for its names."""
    tell("Looking for the spine and its discs", 0.0)
    spine, stack = _found(image)
    tell("Cutting out the vertebrae", 0.5)
    found = solids(spine, stack)
    names, evidence = named(stack.shares, stack.is_sacral, last_rib(found.reach()))
    stack = replace(stack, names=names)
    sheet = painted(spine, stack, found)
    spine = _paint_canal(sheet, spine)
    return _scene(spine, stack, sheet), spine, evidence


def _found(image: Volume) -> tuple[Spine, Stack]:
    """Spine and discs; looked for again as in osteoporotic bone where no sacrum shows at first."""
    failure = None
    try:
        spine = find(image)
        stack = stacked(spine)
        if stack.is_sacral:
            return spine, stack
    except NotInScan as error:
        failure = error
    try:
        again = find(image, is_poor=True)
        other = stacked(again)
    except NotInScan:
        if failure is not None:
            raise failure from None
        return spine, stack
    return (again, other) if failure is not None or other.is_sacral else (spine, stack)


def _paint_canal(sheet: Sheet, spine: Spine) -> Spine:
    """The bony canal inside all that was found, the sac modelled in it."""
    table = np.zeros(len(sheet.numbers) + 1, dtype=np.bool_)
    for key, n in sheet.numbers.items():
        table[n] = key.startswith(("vertebra/", "disc/", "sacrum"))
    canal = bony_canal(table[sheet.labels], spine.grid, spine.axis.line, spine.axis.posterior)
    sheet.paint(SAC, *within(canal, spine.grid, SAC_SHARE))
    sheet.paint("canal/epidural", *within(canal, spine.grid))
    return replace(spine, canal=canal)


def _with_soft_tissue(scene: Scene) -> Scene:
    """`scene` with muscles, vessels and what is unknown beside the spine."""
    view = coarse(scene)
    if view is None:
        return scene
    tubes = vessels(scene, view)
    sheet = Sheet(scene.labels.shape, scene.labels, {key: n for n, key in scene.names.items()})
    for found in (tubes, soft_tissue(scene, view, tubes)):
        for key, (box, mask) in found.items():
            sheet.paint(key, box, mask)
    return replace(scene, labels=sheet.labels, names=sheet.names)


def _scene(spine: Spine, stack: Stack, sheet: Sheet) -> Scene:
    return Scene(
        hu=Volume(spine.hu, spine.grid.patient_from_index),
        bone=spine.bone,
        body=spine.body,
        canal=spine.canal,
        planes=_planes(stack),
        whole=stack.whole,
        cut=stack.cut,
        labels=sheet.labels,
        names=sheet.names,
        noise=spine.noise,
        threshold=spine.threshold,
        spacing=spine.spacing,
    )


def _planes(stack: Stack) -> tuple[DiscPlane, ...]:
    """The discs of the stack as others see them."""
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
