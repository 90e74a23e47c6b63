"""A phantom's lumbar part, sampled on a small grid, and what is derived from its whole vertebrae alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from keyhole.anatomy.derive import complete
from keyhole.anatomy.model import Structure
from keyhole.anatomy.phantom.model import phantom
from keyhole.anatomy.phantom.parameters import PhantomParameters
from keyhole.geometry import Grid, LabelMap, affine
from keyhole.terms import Origin


@dataclass(frozen=True, eq=False)
class Case:
    """The truth, the coarse labels a segmenter would give, and what was derived from them."""

    truth: LabelMap
    given: LabelMap
    labels: LabelMap
    structures: dict[str, Structure]
    caveats: tuple[str, ...]


def lumbar_grid(spacing: float = 1.2, turn: np.ndarray | None = None) -> Grid:
    """A grid around L3 to S1; with `turn`, its axes are turned by that rotation about its own middle."""
    body = phantom(PhantomParameters(seed=3))
    ends = body.spine.places["L3"].at(0, 0, 22), body.spine.places["S1"].at(0, 0, -12)
    middle = (np.asarray(ends[0]) + np.asarray(ends[1])) / 2 + [0, 18, 0]
    half = np.array([58.0, 52.0, 12 + abs(ends[0][2] - ends[1][2]) / 2])
    rotation = np.eye(3) if turn is None else turn
    shape = np.ceil(2 * half / spacing).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = body.patient_from_phantom.matrix[:3, :3] @ rotation * spacing
    matrix[:3, 3] = body.patient_from_phantom.apply(middle) - matrix[:3, :3] @ (shape - 1) / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(matrix))


def whole(labels: LabelMap) -> LabelMap:
    """`labels` as a segmenter gives them: whole vertebrae, sac, sacrum, muscles, vessels; nothing else."""
    names = {}
    table = np.zeros(max(labels.structures) + 1, dtype=np.uint16)
    for n, key in labels.structures.items():
        head = key.split("/")
        kept = "/".join(head[:2]) if head[0] == "vertebra" else key
        if head[0] in ("vertebra", "sacrum", "pelvis", "muscle", "vessel", "organ") or key == "canal/dural_sac":
            table[n] = names.setdefault(kept, len(names) + 1)
    return LabelMap(table[labels.array], labels.patient_from_index, {n: k for k, n in names.items()})


def known(labels: LabelMap) -> dict[str, Structure]:
    """Every key of `labels` as labelled."""
    return {key: Structure(key, Origin.LABELLED, "phantom", 0.5) for key in labels.keys}


def derived(truth: LabelMap) -> Case:
    """What follows from the whole vertebrae of `truth`."""
    given = whole(truth)
    labels, structures, caveats = complete(given, known(given), None, "CT")
    return Case(truth, given, labels, structures, caveats)


@cache
def straight() -> Case:
    """The phantom on a grid along its own axes."""
    return derived(phantom(PhantomParameters(seed=3)).labels_on(lumbar_grid()))


def dice(case: Case, *keys: str) -> float:
    """Overlap of truth and derived, 0 to 1."""
    true, found = case.truth.mask(*keys), case.labels.mask(*keys)
    return float(2 * (true & found).sum() / (true.sum() + found.sum()))
