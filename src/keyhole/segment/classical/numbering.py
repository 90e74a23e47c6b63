"""Names for the vertebrae: from the sacrum's wings, checked by the ribs; refused where nothing or both speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.casefile import EvidenceEntry
from keyhole.errors import ImplausibleAnatomy, NotInScan
from keyhole.geometry import Points
from keyhole.segment.classical._kernels import sampled
from keyhole.segment.classical.frame import FRONT, HALF
from keyhole.segment.classical.planes import COLUMN, Signals

UPWARD = ("S1", "L5", "L4", "L3", "L2", "L1", *(f"T{n}" for n in range(12, 0, -1)))
"""Names from the sacrum up, in a spine of the usual count."""

WING = (29.0, 38.0)
"""Distance from the midline, mm, at which the sacrum's wing and no transverse process lies [bare-ct-prototype]."""

WING_SHARE = 0.25
"""Least share of bone there on either side just below L5/S1; elsewhere at most .21 [bare-ct-prototype]."""

RIB, PROCESS = 74.0, 64.0
"""Reach of bone, mm from the midline: a rib from the first on, a transverse process up to the second
[bare-ct-prototype: 78 to 111 and 30 to 58]."""


@dataclass(frozen=True, slots=True)
class Wings:
    """Share of bone beside the body just below a plane, left and right; nan where the scan holds nothing there."""

    left: float
    right: float

    @property
    def least(self) -> float:
        """The smaller of both; nan if either is unseen."""
        return float(np.minimum(self.left, self.right))


def wings(straight: NDArray[np.float32], found: Signals, station: int, threshold: float) -> Wings:
    """Bone where the sacrum's wings would be, 3 to 13 mm below the plane at `station`."""
    depth, across = np.arange(3.0, 14.0), np.arange(WING[0], WING[1])
    back = np.arange(-28.0, -8.0)
    h, x, y = np.meshgrid(depth, across, back, indexing="ij")
    middle = (COLUMN[0] + COLUMN[1]) / 2
    tilt, lean = np.tan(np.radians(found.tilt[station])), np.tan(np.radians(found.lean[station]))
    shares = []
    for side in (1.0, -1.0):
        rise = (y - middle) * tilt - side * x * lean
        points = np.stack([station + h + rise, side * x + HALF, y + FRONT], axis=-1)
        values = sampled(straight, points.reshape(-1, 3), np.nan)
        seen = np.isfinite(values)
        shares.append(float((values[seen] > threshold).mean()) if seen.mean() > 0.5 else np.nan)
    return Wings(shares[0], shares[1])


def lumbosacral(shares: Sequence[Wings]) -> int | None:
    """Which of the planes, cranial to caudal, is L5/S1: the first with the sacrum's wings on both sides below it."""
    for n, one in enumerate(shares):
        if one.least >= WING_SHARE:
            return n
    return None


@dataclass(frozen=True, slots=True)
class Names:
    """The name of the vertebra above each plane and below the last, with the reasons."""

    above: tuple[str, ...]  # vertebra above plane n
    below_last: str
    evidence: tuple[EvidenceEntry, ...]


def by_sacrum(n_planes: int, lowest: int) -> list[str]:
    """Names of the vertebrae above plane 0, between planes, and so on down to the one below the last plane kept."""
    return [UPWARD[lowest + 1 - n] for n in range(min(n_planes, lowest + 1) + 1)]


def last_rib(reach: Mapping[int, tuple[float, float]]) -> int | None:
    """Which vertebra, counted from the top, bears the last ribs; None where the scan does not tell.

    It needs ribs on both sides there and none on the next one below.
    """
    for n in sorted(reach):
        if n + 1 in reach and min(reach[n]) >= RIB and max(reach[n + 1]) <= PROCESS:
            return n
    return None


def checked(lowest: int | None, rib: int | None, shares: Sequence[Wings]) -> tuple[int, tuple[EvidenceEntry, ...]]:
    """Place, from the top, of the plane L5/S1, and the evidence for it.

    Raises
    ------
    NotInScan where neither the sacrum nor the last ribs show: no name would be more than a guess.
    ImplausibleAnatomy where both show and disagree.
    """
    if lowest is None and rib is None:
        raise NotInScan(
            "the vertebrae cannot be named: the scan shows neither the sacrum's wings on both sides nor the last "
            "ribs with a ribless vertebra below them; label the levels by hand or scan more of the spine"
        )
    found: list[EvidenceEntry] = []
    if lowest is not None:
        one = shares[lowest]
        text = (
            f"sacral wings on both sides below the lowest disc (bone share {one.left:.2f} left, {one.right:.2f} right)"
        )
        found.append(EvidenceEntry(kind="sacrum", finding=text, supports=True))
    else:
        found.append(EvidenceEntry(kind="sacrum", finding="the sacrum's wings are not in view", supports=None))
    if rib is None:
        found.append(EvidenceEntry(kind="ribs", finding="the last ribs are not in view or not clear", supports=None))
        return (lowest if lowest is not None else 0), tuple(found)
    by_ribs = rib + 5  # T12 above plane rib: L5/S1 five planes on
    if lowest is not None and by_ribs != lowest:
        count = lowest - rib
        raise ImplausibleAnatomy(
            f"the vertebrae cannot be named: between the last ribs and the sacrum lie {count} vertebrae, 5 were "
            "expected; T13, L6 or a transitional vertebra are possible; label the levels by hand"
        )
    text = "the last ribs sit on the vertebra that the names call T12"
    found.append(EvidenceEntry(kind="ribs", finding=text, supports=True))
    return (by_ribs if lowest is None else lowest), tuple(found)


def unseen(points: Points) -> bool:
    """Whether any of `points` is nan."""
    return not bool(np.isfinite(points).all())
