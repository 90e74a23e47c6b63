"""What single tools mean by their integers beyond a plain table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes.model import Layer
from keyhole.anatomy.schemes.tables import table, title, vertebra_of
from keyhole.casefile import EvidenceEntry
from keyhole.errors import ImplausibleAnatomy, UnknownScheme

SPIDER = "spider"
SPINEPS = "spineps_vert_instance"

SPIDER_DISC = 200
SPIDER_PARTIAL = 100
SPIDER_DISCS = range(201, 226)

EXTRA_DISC = 96
"""TotalSpineSeg's networks map it to a disc that its table does not name: the one above an L6, by inference."""

NEEDS = {"spider": SPIDER_DISCS, "mrspineseg": range(11, 20), "totalspineseg": (1, 2, *range(63, 101))}
"""Labels of which a file of the scheme always holds some: discs, or the canal."""

_COLLAPSED = ("/partial", "/border", "/endplate")

COUNTER = (
    "SPINEPS' vertebra numbers are names only where its labelling model ran, otherwise they count from the top; the "
    "file does not say which"
)
LOWEST = (
    "SPIDER counts vertebrae from the bottom and labels no sacrum: that the lowest one is L5, with five lumbar "
    "vertebrae, is an assumption"
)


def check_scheme(scheme: str, present: list[int], where: str) -> None:
    """Refuse tables of points, and schemes whose typical labels are all missing."""
    if table(scheme).kind == "points":
        raise UnknownScheme(
            f"{where}: {title(scheme)} marks single points, not structures; give the tool's segmentation instead"
        )
    wanted = NEEDS.get(scheme)
    if wanted is not None and not any(n in wanted for n in present):
        raise UnknownScheme(
            f"{where}: a file of {title(scheme)} holds discs or canal (labels {wanted[0]} to {wanted[-1]}), this one "
            f"holds none of them; its integers belong to another scheme"
        )


def settled(layer: Layer) -> Layer:
    """`layer` with what its tool means: parts of a body united, SPIDER's direction, SPINEPS' sacrum."""
    if layer.scheme == SPIDER:
        layer = _spider(layer)
    if layer.scheme == SPINEPS:
        layer = _spineps(layer)
    layer = _with_extra(layer)
    return replace(layer, structures={n: _collapsed(s) for n, s in layer.structures.items()})


def _with_extra(layer: Layer) -> Layer:
    """`layer` with the discs at T13 and L6 named after them: the tables name each disc as if neither were there."""
    names = {vertebra_of(one.key) for one in layer.structures.values()}
    renamed = {}
    if "L6" in names:
        renamed["disc/L5-S1"] = "disc/L5-L6" if layer.scheme == SPINEPS else "disc/L6-S1"
    if "T13" in names and layer.scheme == SPINEPS:
        renamed["disc/T12-L1"] = "disc/T12-T13"
    structures = {n: replace(one, key=renamed.get(one.key, one.key)) for n, one in layer.structures.items()}
    return replace(layer, structures=structures)


def _collapsed(one: Structure) -> Structure:
    for end in _COLLAPSED:
        if one.key.startswith("vertebra/") and one.key.endswith(end):
            return replace(one, key=one.key.removesuffix(end))
    return one


def _spineps(layer: Layer) -> Layer:
    """26 is the whole sacrum unless the other sacral vertebrae have labels of their own."""
    structures = dict(layer.structures)
    if 26 in structures and not any(n in structures for n in range(29, 34)):
        structures[26] = replace(structures[26], key="sacrum")
    lumbar = any(vertebra_of(s.key)[:1] == "L" for s in structures.values())
    if not lumbar and min(structures) == 1:
        raise UnknownScheme(f"{layer.file}: no vertebra from {_shown(structures)} is lumbar; {COUNTER}")
    evidence = EvidenceEntry(kind="file", finding=COUNTER, supports=None)
    return replace(layer, structures=structures, caveats=(*layer.caveats, COUNTER), evidence=(evidence,))


def _shown(structures: Mapping[int, Structure]) -> str:
    names = [name for s in structures.values() if (name := vertebra_of(s.key))]
    return f"{names[0]} to {names[-1]}" if names else "them"


# --- SPIDER


def _spider(layer: Layer) -> Layer:
    """Names by the direction in which the numbers grow, which the discs below the vertebrae show."""
    middles = _middles(layer)
    upward = _grows_upward(middles, layer.file)
    evidence = EvidenceEntry(kind="count", finding=LOWEST, supports=None)
    if upward:
        return replace(layer, caveats=(*layer.caveats, LOWEST), evidence=(evidence,))
    renamed = {}
    rows = table(SPIDER).rows
    for n, one in layer.structures.items():
        if n == SPIDER_PARTIAL:
            renamed[n] = one
            continue
        base, number = n - n % SPIDER_PARTIAL, n % SPIDER_PARTIAL
        other = rows.get(base + 25 - number)
        if other is None:
            raise UnknownScheme(f"{layer.file}: label {n} has no place in SPIDER's numbering from the top")
        renamed[n] = replace(one, key=other.key, caveats=(other.caveat,) if other.caveat else ())
    turned = "the file numbers vertebrae from the top (24 is L5), against SPIDER's description"
    return replace(layer, structures=renamed, caveats=(*layer.caveats, LOWEST, turned), evidence=(evidence,))


def _grows_upward(middles: Mapping[int, NDArray[np.float64]], where: str) -> bool:
    """Whether vertebra numbers grow towards the head: disc 200 + n lies below vertebra n in either convention."""
    votes = []
    for n, middle in middles.items():
        number = n % SPIDER_PARTIAL
        disc = middles.get(SPIDER_DISC + number)
        after = _vertebra(middles, number + 1)
        before = _vertebra(middles, number - 1)
        if n >= SPIDER_DISC or n == SPIDER_PARTIAL or disc is None:
            continue
        if after is not None:
            votes.append(float((after - middle) @ (disc - middle)) < 0)
        elif before is not None:
            votes.append(float((before - middle) @ (disc - middle)) > 0)
    if not votes or 0 < sum(votes) < len(votes):
        raise ImplausibleAnatomy(
            f"{where}: SPIDER's discs (201 and up) do not lie on one side of the vertebrae with their numbers, so the "
            "direction of the count is unknown; the integers may belong to another scheme"
        )
    return votes[0]


def _vertebra(middles: Mapping[int, NDArray[np.float64]], number: int) -> NDArray[np.float64] | None:
    return middles.get(number, middles.get(SPIDER_PARTIAL + number) if number > 0 else None)


def _middles(layer: Layer) -> dict[int, NDArray[np.float64]]:
    """Centroid of every label, LPS mm."""
    index = np.argwhere(layer.array)
    values: NDArray[Any] = layer.array[tuple(index.T)].astype(np.int64)
    count = np.bincount(values)
    sums = np.stack([np.bincount(values, index[:, a]) for a in range(3)], axis=1)
    return {int(n): layer.grid.centres(sums[n] / count[n]) for n in np.flatnonzero(count)}
