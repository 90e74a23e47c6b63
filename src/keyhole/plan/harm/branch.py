"""The medial branches of the dorsal rami, modelled: no segmenter gives them and no CT shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.geometry import Points, Tube, unit
from keyhole.plan.harm.midline import Extent
from keyhole.plan.harm.recount import boundary_sd
from keyhole.plan.site import Mask, Site, around
from keyhole.plan.targets import TIE
from keyhole.terms import SIDES, VERTEBRAE, split

GROOVE = 3.0
"""Bone of the articular process this much farther from the other process than its nearest bone is the groove's
[keyhole-choice]."""

APART = 8.0
"""Processes farther apart than this, mm, do not meet in the labels: the groove is not known [keyhole-choice]."""

SD = 2.5
"""Positional sd of the modelled course, mm [keyhole-choice]; specimens differ by 1.0 to 1.2 at one point of it
[medial-branch-entrance]."""

STEP, RISE, ROOM = 0.25, 8.0, 30.0
"""Sampling of the course, how far back bone is left behind to reach the groove's surface, and bone looked at, mm."""

BEYOND = "its course beyond the mamillo-accessory notch, where it divides in the multifidus, is not modelled"


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A medial branch where it crosses bone: points (n, 3) LPS mm, and their sd; None where it cannot be placed."""

    name: str
    side: str
    path: Points | None
    sd: float
    caveats: tuple[str, ...]


def branches(site: Site) -> tuple[Branch, ...]:
    """The medial branches at both vertebrae of the level, both sides.

    The branch of a nerve lies dorsally in the groove where the transverse process meets the superior articular process
    of the vertebra below its foramen, from the groove's upper end to the mamillo-accessory notch at its lower back; on
    S1 in the groove between the ala and the articular process. The groove is found in the labels; the nerve is not.

    References
    ----------
    medial-branch-course; medial-branch-entrance
    """
    return tuple(_branch(site, vertebra, side) for vertebra in split(site.frame.level) for side in SIDES)


def _branch(site: Site, vertebra: str, side: str) -> Branch:
    nerve = _nerve(site, vertebra)
    name = f"medial branch of {nerve} {side}"
    process, partner = _processes(site, vertebra, side)
    groove = _groove(site, process, partner)
    if groove is None:
        why = f"{name}: not placed, no articular process that meets a transverse process is labelled at {vertebra}"
        return Branch(name, side, None, SD, (why,))
    sd = float(np.hypot(SD, boundary_sd(site, f"vertebra/{vertebra}")))
    ends = _ends(site, groove)
    bone = _bone_near(site, vertebra, (ends[0] + ends[1]) / 2)
    upper, notch = (_surfaced(site, point, bone) for point in ends)
    steps = max(2, int(np.ceil(np.linalg.norm(upper - notch) / STEP)) + 1)
    path = upper + np.linspace(0.0, 1.0, steps)[:, None] * (notch - upper)
    return Branch(name, side, path, sd, (f"{name} is modelled (sd {sd:.1f} mm); {BEYOND}",))


def _nerve(site: Site, vertebra: str) -> str:
    """The nerve whose medial branch crosses `vertebra`: that of the vertebra above."""
    upper, lower = split(site.frame.level)
    if vertebra == lower:
        return upper
    names = VERTEBRAE[: VERTEBRAE.index(vertebra)][::-1]
    return next((n for n in names if n not in ("T13", "L6") or site.labels.labels_of(f"vertebra/{n}")), vertebra)


def _processes(site: Site, vertebra: str, side: str) -> tuple[Mask, Mask]:
    """The superior articular process, and what it meets laterally: the transverse process, on S1 the ala."""
    process = site.mask(f"vertebra/{vertebra}/facet/superior/{side}")
    if vertebra != "S1":
        return process, site.mask(f"vertebra/{vertebra}/transverse/{side}")
    bone = site.mask("sacrum", "vertebra/S1") & ~process
    if not process.any():
        return process, bone & False
    middle = site.local(np.argwhere(process)).mean(axis=0)
    out = 1.0 if middle[0] > 0 else -1.0
    index = np.argwhere(bone)
    local = site.local(index)
    kept = index[(out * local[:, 0] > out * middle[0]) & (local[:, 1] < middle[1] + 5.0)]
    ala = np.zeros(bone.shape, dtype=np.bool_)
    ala[tuple(kept.T)] = True
    return process, ala


def _groove(site: Site, process: Mask, partner: Mask) -> Points | None:
    """Voxel centres (n, 3) LPS mm of the two processes where they meet."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    if not process.any() or not partner.any():
        return None
    here, there = (site.labels.grid.centres(np.argwhere(mask)) for mask in (process, partner))
    gaps = cKDTree(there).query(here)[0], cKDTree(here).query(there)[0]
    nearest = float(gaps[0].min())
    if not nearest <= APART:
        return None
    reach = nearest + GROOVE + TIE
    return np.concatenate([here[gaps[0] <= reach], there[gaps[1] <= reach]])


def _ends(site: Site, groove: Points) -> tuple[Points, Points]:
    """Upper end of the groove, and the notch at its lower back end."""
    local = site.frame.local(groove)
    lateral, posterior, _ = np.median(local, axis=0)
    up = np.percentile(local[:, 2], [90, 10])
    back = np.percentile(local[:, 1], 90)
    return site.frame.patient([lateral, posterior, up[0]]), site.frame.patient([lateral, back, up[1]])


def _bone_near(site: Site, vertebra: str, middle: Points) -> Points:
    """Voxel centres (n, 3) LPS mm of bone that the way out of the groove about `middle` can meet."""
    box = around(site.labels, middle + np.array([-ROOM, ROOM])[:, None] * np.ones(3))
    index = np.argwhere(site.labels.mask(f"vertebra/{vertebra}", "sacrum", box=box)) + [side.start for side in box]
    return site.labels.grid.centres(index)


def _surfaced(site: Site, point: Points, bone: Points) -> Points:
    """`point` moved back and outward until it has left the voxels of `bone` (n, 3), `RISE` mm at most."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    out = np.sign(site.frame.local(point)[0]) * site.frame.lateral
    way = point + np.arange(0.0, RISE + STEP / 2, STEP)[:, None] * unit(site.frame.posterior + out)
    apart = cKDTree(bone).query(way)[0]
    inside = np.flatnonzero(apart <= np.sqrt(3) / 2 * float(site.labels.grid.spacing.mean()))
    return np.asarray(way[min(int(inside[-1]) + 1, len(way) - 1)] if len(inside) else point)


def gap(branch: Branch, tubes: Sequence[Tube], extent: Extent | None, site: Site) -> float | None:
    """Least distance of the course from the walls of `tubes` and of the opened `extent`, mm, negative inside."""
    if branch.path is None:
        return None
    gaps = [float(tube.gap(branch.path).min()) for tube in tubes]
    if extent is not None:
        gaps.append(float(extent.gap(site.frame.local(branch.path)).min()))
    return min(gaps, default=None)
