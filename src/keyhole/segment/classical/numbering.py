"""Names for the vertebrae: from the sacrum's wings, checked by the ribs; refused where nothing or both speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.casefile import EvidenceEntry
from keyhole.errors import ImplausibleAnatomy, NotInScan
from keyhole.segment.classical._kernels import sampled
from keyhole.segment.classical.frame import FRONT, HALF
from keyhole.segment.classical.planes import COLUMN, Signals

UPWARD = ("S1", "L5", "L4", "L3", "L2", "L1", *(f"T{n}" for n in range(12, 0, -1)))
"""Names from the sacrum up, in a spine of the usual count."""

WING = (29.0, 38.0)
"""Distance from the midline, mm, at which the sacrum's wing and no transverse process lies [bare-ct-prototype]."""

WING_SHARE = 0.25
"""Least share of bone there on either side just below L5/S1; elsewhere at most .21 [bare-ct-prototype]."""

NEAR, DEPTH = 3, 14
"""Depths below the plane, mm, from which marrow counts and down to which wings are looked for [bare-ct-prototype]."""

WING_COLUMNS = 0.65
"""Least share of columns that meet bone there: wings 0.94 to 1.0, transverse processes up to 0.56 on one turned CT
[keyhole-choice]."""

FAINT = 85.0
"""HU, smoothed, above any muscle's [keyhole-choice]."""

SHELL, LAST_SHELL = 0.6, 0.35
"""Least share of columns that meet the shell of osteoporotic wings: anywhere, and below the last disc. It was 0.66 to
1.0 on nine painted worn sacra, at most 0.11 above, 0.26 to 0.42 between sacral bodies [keyhole-choice]."""

BEYOND = 45.0
"""mm of spine in view below the last disc at which a further one would have shown [keyhole-choice]."""

LUMBAR = 5
"""Lumbar vertebrae of a spine of the usual count."""

RIB, PROCESS = 74.0, 64.0
"""Reach of bone, mm from the midline: a rib from the first on, a transverse process up to the second
[bare-ct-prototype: 78 to 111 and 30 to 58]."""


@dataclass(frozen=True, slots=True)
class Wings:
    """What lies beside the body below a plane, left and right; nan where the scan holds nothing there.

    `left`, `right`: share of bone just below the plane. `columns`: least share, of both sides, of columns that meet
    something denser than muscle there. `below`: mm of spine in view below the plane.
    """

    left: float
    right: float
    columns: float
    below: float

    @property
    def least(self) -> float:
        """The smaller share of bone; nan if either is unseen."""
        return float(np.minimum(self.left, self.right))


def wings(straight: NDArray[np.float32], found: Signals, station: int, threshold: float) -> Wings:
    """Bone where the sacrum's wings would be below the plane at `station` of the smoothed straight copy."""
    sides = [_beside(straight, found, station, side) for side in (1.0, -1.0)]
    shares = [_share(part[NEAR:] > threshold, np.isfinite(part[NEAR:])) for part in sides]
    columns = [
        _share(np.asarray((part > FAINT).any(axis=0)), np.asarray(np.isfinite(part).mean(axis=0) > 0.5))
        for part in sides
    ]
    return Wings(shares[0], shares[1], float(np.min(columns)), float(len(straight) - station))


def _beside(straight: NDArray[np.float32], found: Signals, station: int, side: float) -> NDArray[np.float32]:
    """Values (depth below the plane, lateral, posterior) beside the body on one side, 1 mm apart."""
    depth, across = np.arange(0.0, DEPTH), np.arange(WING[0], WING[1])
    h, x, y = np.meshgrid(depth, across, np.arange(-28.0, -8.0), indexing="ij")
    middle = (COLUMN[0] + COLUMN[1]) / 2
    tilt, lean = np.tan(np.radians(found.tilt[station])), np.tan(np.radians(found.lean[station]))
    rise = (y - middle) * tilt - side * x * lean
    points = np.stack([station + h + rise, side * x + HALF, y + FRONT], axis=-1)
    return np.asarray(sampled(straight, points.reshape(-1, 3), np.nan)).reshape(h.shape)


def _share(true: NDArray[np.bool_], seen: NDArray[np.bool_]) -> float:
    """Share of `true` where `seen`; nan where less than half is."""
    return float((true & seen).sum() / seen.sum()) if seen.mean() > 0.5 else float("nan")


ALONE = SHELL
"""Least share of columns that meet the wings of an osteoporotic sacrum that names the levels without ribs in view
[keyhole-choice]."""


def lumbosacral(shares: Sequence[Wings], *, is_poor: bool) -> int | None:
    """Which of the planes, cranial to caudal, is L5/S1: the first with the sacrum's wings on both sides below it.

    Where bone is osteoporotic (`is_poor`) the wings' marrow is no denser than muscle; then their shell counts: nearly
    everywhere, or below the last disc of all with enough spine in view under it that another would have shown.
    """
    for n, one in enumerate(shares):
        if one.least >= WING_SHARE and one.columns >= WING_COLUMNS:
            return n
    for n, one in enumerate(shares):
        is_last = n == len(shares) - 1 and one.below >= BEYOND
        if is_poor and (one.columns >= SHELL or (is_last and one.columns >= LAST_SHELL)):
            return n
    return None


def last_rib(reach: Mapping[int, tuple[float, float]]) -> int | None:
    """Which vertebra, counted from the top, bears the last ribs; None where the scan does not tell.

    It needs ribs on both sides there and none on the next one below.
    """
    for n in sorted(reach):
        if n + 1 in reach and min(reach[n]) >= RIB and max(reach[n + 1]) <= PROCESS:
            return n
    return None


def named(
    shares: Sequence[Wings], is_sacral: bool, rib: int | None
) -> tuple[tuple[str, ...], tuple[EvidenceEntry, ...]]:
    """Names from the top: of the vertebra above each of the discs and of the one below the last; and the evidence.

    Parameters
    ----------
    shares : what lies beside the body below each disc, cranial to caudal.
    is_sacral : whether the last disc is L5/S1 by the sacrum's wings.
    rib : place from the top of the vertebra with the last ribs; None where that does not show.

    Raises
    ------
    NotInScan where neither the sacrum nor the last ribs show: no name would be more than a guess.
    ImplausibleAnatomy where both show and disagree.
    """
    n = len(shares)
    if not is_sacral and rib is None:
        raise NotInScan(
            "the vertebrae cannot be named: the scan shows neither the sacrum's wings on both sides nor the last "
            "ribs with a ribless vertebra below them; label the levels by hand or scan more of the spine"
        )
    if is_sacral and rib is None and not (shares[-1].least >= WING_SHARE or shares[-1].columns >= ALONE):
        share = 100 * shares[-1].columns
        raise NotInScan(
            f"the vertebrae cannot be named: only {share:.0f} % of what may be the sacrum's wings is denser than "
            "muscle, too little without the last ribs in view; label the levels by hand or scan more of the spine"
        )
    if is_sacral and rib is not None and n - 1 - rib != LUMBAR:
        raise ImplausibleAnatomy(
            f"the vertebrae cannot be named: between the last ribs and the sacrum lie {n - 1 - rib} vertebrae, "
            f"{LUMBAR} were expected; T13, L6 or a transitional vertebra are possible; label the levels by hand"
        )
    if not is_sacral and rib is not None and n - rib > LUMBAR:
        raise ImplausibleAnatomy(
            f"the vertebrae cannot be named: {n - rib} vertebrae lie below the last ribs without a sacrum, at most "
            f"{LUMBAR} were expected; label the levels by hand"
        )
    lowest = 0 if is_sacral or rib is None else LUMBAR + 1 - (n - rib)
    names = tuple(UPWARD[lowest + n - k] for k in range(n + 1))
    return names, (_by_sacrum(shares[-1], is_sacral), _by_ribs(rib))


def _by_sacrum(last: Wings, is_sacral: bool) -> EvidenceEntry:
    if not is_sacral:
        return EvidenceEntry(kind="sacrum", finding="the sacrum's wings are not in view", supports=None)
    text = (
        f"the sacrum's wings lie on both sides below the last disc: bone share {last.left:.2f} and {last.right:.2f}, "
        f"their shell in {last.columns:.2f} of the columns"
    )
    return EvidenceEntry(kind="sacrum", finding=text, supports=True)


def _by_ribs(rib: int | None) -> EvidenceEntry:
    if rib is None:
        return EvidenceEntry(kind="ribs", finding="the last ribs are not in view, or not clear", supports=None)
    text = "the last ribs sit on T12, and the next vertebra has none"
    return EvidenceEntry(kind="ribs", finding=text, supports=True)
