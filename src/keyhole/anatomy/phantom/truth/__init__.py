"""The exact values of the measures of docs/measures.md, from the phantom's continuous surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.parameters import LEVELS
from keyhole.anatomy.phantom.truth.bodies import body_truth
from keyhole.anatomy.phantom.truth.canal import canal_truth
from keyhole.anatomy.phantom.truth.disc import disc_truth
from keyhole.anatomy.phantom.truth.facet import facet_truth
from keyhole.anatomy.phantom.truth.foramen import foramen_truth
from keyhole.anatomy.phantom.truth.kambin import kambin_truth
from keyhole.anatomy.phantom.truth.model import Plates
from keyhole.anatomy.phantom.truth.muscles import muscle_truth
from keyhole.anatomy.phantom.truth.recess import recess_truth
from keyhole.anatomy.phantom.truth.vertebrae import vertebra_truth
from keyhole.casefile import FindingEntry
from keyhole.terms import SIDES

Truth = Callable[[Phantom, Plates], Iterable[FindingEntry]]

TRUTHS: tuple[Truth, ...] = (
    body_truth,
    disc_truth,
    canal_truth,
    recess_truth,
    vertebra_truth,
    foramen_truth,
    facet_truth,
    kambin_truth,
    muscle_truth,
)
"""One for each panel of `keyhole assess`."""


def findings(
    body: Phantom, levels: Sequence[str] = LEVELS[1:], truths: Sequence[Truth] = TRUTHS
) -> tuple[FindingEntry, ...]:
    """Every measure at each of `levels` and their vertebrae; spans such as lumbar lordosis where their ends are there.

    Sides are the patient's: exchanged where the phantom is mirrored.

    Parameters
    ----------
    truths : which of `TRUTHS` are wanted.
    """
    plates = Plates(body, levels)
    found = [one for truth in truths for one in truth(body, plates)]
    if not body.parameters.is_mirrored:
        return tuple(found)
    return tuple(one.model_copy(update={"side": _other(one.side)}) for one in found)


def _other(side: str | None) -> str | None:
    return None if side is None else SIDES[1 - SIDES.index(side)]
