"""Panel of the lateral recesses at every level."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Vertebra
from keyhole.assessment.canal.heights import Boxes
from keyhole.assessment.canal.recess import Recess, Side, bone_of, pedicle_heights, recess, recess_angle, recess_depth
from keyhole.assessment.model import Finding, unknown
from keyhole.assessment.study import Study, boundary_sd, cut, origin_notes
from keyhole.terms import belongs

SIDES_OF: tuple[Side, Side] = ("left", "right")
UNITS = {"lateral recess depth": "mm", "lateral recess angle": "deg"}
NO_PROCESS = "{level}: the articular processes are not labelled; not measured"


def recess_panel(study: Study) -> Iterator[Finding]:
    """Depth and angle of both lateral recesses at every level, beside the pedicles of its lower vertebra."""
    boxes = label_boxes(study.anatomy.labels)
    for level in study.levels:
        pair = study.anatomy.pair(level)
        for side in SIDES_OF:
            found = _found(study, boxes, level, side)
            yield from _measured(study, level, side, found, pair)


def _found(study: Study, boxes: Boxes, level: str, side: Side) -> Recess | str:
    """The recess, or why there is none to measure."""
    labels, pair = study.anatomy.labels, study.anatomy.pair(level)
    if not (pair[0].complete and pair[1].complete):
        return cut(*pair)
    process = f"vertebra/{pair[1].name}/facet/superior/{side}"
    if not any(belongs(key, process) for key in boxes):
        return NO_PROCESS.format(level=level)
    heights = pedicle_heights(labels, boxes, pair[1], side)
    bone = bone_of(labels, boxes, pair)
    if heights is None or bone is None:
        return f"{level}: the {side} pedicle of {pair[1].name} is not labelled; not measured"
    found = recess(bone, pair[1], side, heights, _doubt(study, pair, side))
    return f"{level}: {found}; not measured" if isinstance(found, str) else found


def _measured(
    study: Study, level: str, side: Side, found: Recess | str, pair: tuple[Vertebra, Vertebra]
) -> Iterator[Finding]:
    if isinstance(found, str):
        for name, unit in UNITS.items():
            yield Finding(unknown(name, level, unit, found, side), caveats=study.general)
        return
    notes = (*study.general, *pair[1].caveats, *origin_notes(study.anatomy, *_keys(pair, side)))
    doubt = _doubt(study, pair, side)
    yield Finding(recess_depth(level, side, found, doubt), caveats=notes)
    yield Finding(recess_angle(level, side, found, doubt), caveats=notes)


def _keys(pair: tuple[Vertebra, Vertebra], side: Side) -> tuple[str, str]:
    """Floor and roof of a recess."""
    return f"vertebra/{pair[1].name}/body", f"vertebra/{pair[1].name}/facet/superior/{side}"


def _doubt(study: Study, pair: tuple[Vertebra, Vertebra], side: Side) -> tuple[float, float]:
    """Boundary sd of floor and roof, and side of a voxel on which they were drawn, mm."""
    voxel = float(study.anatomy.labels.drawn_grid.spacing.max())
    return boundary_sd(study.anatomy, *_keys(pair, side)), voxel
