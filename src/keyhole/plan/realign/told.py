"""The fusion of a level added to its plan."""

from __future__ import annotations

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import PlanRecord
from keyhole.casefile.realign import FusionRecord
from keyhole.errors import InvalidInput, NotInScan
from keyhole.plan.realign.fusion import Wish, fusion


def with_fusion(made: PlanRecord, anatomy: Anatomy, wish: Wish | None = None) -> PlanRecord:
    """The plan `made` with a cage through the best corridor of each approach, where its goal is to fuse.

    A level whose endplates are not in view has no entry but a caveat that says so.
    """
    if made.goal != "fuse":
        if wish is not None and wish != Wish():
            raise InvalidInput(f"a cage goes with the goal fuse, got {made.goal}")
        return made
    image = anatomy.image if anatomy.modality == "CT" else None
    try:
        found = fusion(anatomy, made.level, made.side, made.candidates, wish=wish, image=image)
    except NotInScan as error:
        found = FusionRecord(level=made.level, entries=(), caveats=(str(error),))
    return made.model_copy(update={"fusion": found})
