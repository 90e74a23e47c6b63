"""What must be reached at a level, and where a tube may dock: masks on the grid, points on the level's lattice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keyhole.errors import InvalidInput
from keyhole.geometry import Points, bounding_box
from keyhole.plan.approaches import Approach
from keyhole.plan.site import EPIDURAL, Mask, Site
from keyhole.terms import in_key, split

BORDER = (2.0, 8.0)
"""Posterior disc border that decompression must reach: distance off the midline, mm [keyhole-prototype]."""

DEPTH = 5.0
"""Thickness of that border, mm [keyhole-choice]."""

FAR = 1e3
"""Beyond every site, mm."""

OFFSET = (0.137, 0.291, 0.419)
"""Shift of the lattice against the frame, steps: no point then lies halfway between voxels of an aligned grid."""

TIE = 1e-4
"""A voxel this near to a bound, mm, lies inside it, so that rounding does not decide."""

COLUMN = 1.5
"""Width of the columns in which the back of the arch is looked for, mm."""

WINDOW = 14.0
"""Half of the widest interlaminar window, mm [sakci2018]."""

CENTRE = (8.0, 0.35, 0.70)
"""Middle of a disc: mm to either side of the midline, and shares of its depth from the front [keyhole-choice]."""

LEAST = 30.0
"""A labelled fragment smaller than this on the side is not a target, mm³ [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Points (n, 3) LPS mm of the tissue to reach, points (m, 3) of the doorway to it, what it is, and caveats."""

    points: Points
    doorway: Points
    what: str
    mask: Mask
    caveats: tuple[str, ...]
    name: str = "recess"


def lattice(site: Site, mask: Mask, step: float) -> Points:
    """Points of a regular lattice in the level's frame, `step` mm apart, whose nearest voxel is in `mask`; LPS mm.

    The lattice hangs on the frame, so it moves and mirrors with the patient. One point falls on the centre of the
    mask where the mask is too thin for the lattice.
    """
    index = np.argwhere(mask)
    if not len(index):
        return np.empty((0, 3))
    local = site.local(index)
    low, high = np.floor(local.min(axis=0) / step - 1), np.ceil(local.max(axis=0) / step + 1)
    axes = [(np.arange(a, b + 1) + c) * step for a, b, c in zip(low, high, OFFSET, strict=True)]
    points = site.frame.patient(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3))
    nearest = np.rint(site.labels.grid.index(points)).astype(np.int64)
    inside: Mask = np.asarray(((nearest >= 0) & (nearest < mask.shape)).all(axis=1))
    inside[inside] = mask[tuple(nearest[inside].T)]
    if inside.any():
        return points[inside]
    centre = local.mean(axis=0)
    return site.frame.patient(local[[np.argmin(((local - centre) ** 2).sum(axis=1))]])


def where(site: Site, mask: Mask, low: tuple[float, ...], high: tuple[float, ...]) -> Mask:
    """`mask` between `low` and `high` (lateral, posterior, up) mm in the level's frame."""
    box = site.box(low, high)
    index = np.argwhere(mask[box]) + [s.start for s in box]
    local = site.local(index)
    kept = index[((local >= np.array(low) - TIE) & (local <= np.array(high) + TIE)).all(axis=1)]
    result = np.zeros(mask.shape, dtype=np.bool_)
    result[tuple(kept.T)] = True
    return result


def behind(site: Site, mask: Mask, bone: Mask, slack: float) -> Mask:
    """`mask` without what lies more than `slack` mm in front of the back of `bone`, by columns of the level's frame.

    Columns run along the posterior axis, 1.5 mm apart; one without bone keeps everything.
    """
    inside, solid = np.argwhere(mask), np.argwhere(bone)
    if not len(inside) or not len(solid):
        return mask
    local, other = site.local(inside), site.local(solid)
    origin = np.minimum(local.min(axis=0), other.min(axis=0))
    column = np.floor((local - origin) / COLUMN + OFFSET).astype(np.int64)[:, [0, 2]]
    at = np.floor((other - origin) / COLUMN + OFFSET).astype(np.int64)[:, [0, 2]]
    back = np.full(np.maximum(column.max(axis=0), at.max(axis=0)) + 1, -np.inf)
    np.maximum.at(back, tuple(at.T), other[:, 1])
    kept = inside[local[:, 1] >= back[tuple(column.T)] - slack - TIE]
    result = np.zeros(mask.shape, dtype=np.bool_)
    result[tuple(kept.T)] = True
    return result


def near(site: Site, mask: Mask, distance: float) -> Mask:
    """Voxels within `distance` mm of `mask`."""
    box = bounding_box(mask, int(np.ceil(distance / site.labels.grid.spacing.min())) + 2)
    result = np.zeros(mask.shape, dtype=np.bool_)
    if box is not None:
        result[box] = np.asarray(site.field(mask[box]).array <= distance + 1e-3)
    return result


def aimed_at(site: Site, goal: str) -> str:
    """The target that `goal` means where none is asked for: the fragment if one is labelled on the side."""
    if goal != "decompress":
        return {"fuse": "disc", "screws": "pedicle"}[goal]
    return "fragment" if _sided(site).sum() * site.labels.grid.voxel_volume >= LEAST else "recess"


def treated(site: Site) -> Targets:
    """What decompression must reach on the side: a labelled fragment, otherwise the recess."""
    return target(site, aimed_at(site, "decompress"))


def target(site: Site, name: str) -> Targets:
    """The target called `name` at the level and side of `site`, with the doorway that a posterior tube must open.

    "fragment": the labelled herniation on the side. "recess": the posterior border of the disc 2 to 8 mm off the
    midline with the flavum of the side (or, where none is labelled, the posterolateral canal). "canal": the flavum of
    both sides. "foramen": that of the side. "disc": its middle. "pedicle": those of both vertebrae on the side.
    """
    made: dict[str, Callable[[Site], Targets]] = {
        "fragment": _fragment, "recess": _recess, "canal": _canal, "foramen": _foraminal, "disc": _disc,
        "pedicle": _pedicles,
    }  # fmt: skip
    if name not in made:
        raise InvalidInput(f"a target is one of {', '.join(made)}, got {name!r}")
    return made[name](site)


def _made(site: Site, name: str, mask: Mask, what: str, *caveats: str, step: float = 2.0, door: bool = True) -> Targets:
    opening = lattice(site, doorway(site), 2.0) if door else np.empty((0, 3))
    return Targets(lattice(site, mask, step), opening, what, mask, caveats, name)


def _sided(site: Site) -> Mask:
    whole = site.mask(f"disc/{in_key(site.frame.level)}/herniation")
    return where(site, whole, (0.0, -FAR, -FAR), (FAR, FAR, FAR))


def _fragment(site: Site) -> Targets:
    whole = site.mask(f"disc/{in_key(site.frame.level)}/herniation")
    mask = where(site, whole, (-3.0, -FAR, -FAR), (FAR, FAR, FAR)) if _sided(site).any() else np.zeros_like(whole)
    caveats = () if mask.any() else (f"no herniation is labelled at {site.frame.level} {site.frame.side}",)
    return _made(site, "fragment", mask, "herniation fragment", *caveats, step=1.5)


def _recess(site: Site) -> Targets:
    frame, key = site.frame, in_key(site.frame.level)
    stray = site.mask(f"disc/{key}/herniation").any()
    if stray and not _sided(site).sum() * site.labels.grid.voxel_volume >= LEAST:
        caveats: tuple[str, ...] = (f"the labelled herniation at {frame.level} does not lie on the {frame.side}",)
    else:
        caveats = ()
    low, high = (BORDER[0], frame.border - DEPTH, -FAR), (BORDER[1], FAR, FAR)
    mask = where(site, site.mask(f"disc/{key}"), low, high) | doorway(site)
    what = "posterior disc border 2-8 mm off the midline and flavum of the side"
    return _made(site, "recess", mask, what, *caveats)


def _canal(site: Site) -> Targets:
    flavum = site.mask(f"canal/flavum/{in_key(site.frame.level)}")
    if flavum.any():
        return _made(site, "canal", flavum, "flavum of both sides of the canal")
    mask = where(site, _dorsal_rim(site, 3.0), (-12.0, -FAR, -10.0), (12.0, FAR, 10.0))
    said = f"no flavum is labelled at {site.frame.level}: the tissue behind the canal stands for it"
    return _made(site, "canal", mask, "tissue behind both sides of the canal", said)


def _foraminal(site: Site) -> Targets:
    key = f"foramen/{in_key(site.frame.level)}/{site.frame.side}"
    mask = site.mask(key)
    caveats = () if mask.any() else (f"no foramen is labelled at {site.frame.level} {site.frame.side}",)
    return _made(site, "foramen", mask, f"foramen of the {site.frame.side}", *caveats)


def depth_of(site: Site, mask: Mask) -> tuple[float, float]:
    """Front and back of `mask` on the posterior axis within 5 mm of the midline, mm; nan where nothing is there."""
    index = np.argwhere(where(site, mask, (-5.0, -FAR, -FAR), (5.0, FAR, FAR)))
    along = site.local(index)[:, 1]
    return (float(along.min()), float(along.max())) if len(along) else (float("nan"), float("nan"))


def _disc(site: Site) -> Targets:
    mask = disc_proper(site)
    front, back = depth_of(site, mask)
    if np.isfinite(front):
        low, high = (front + share * (back - front) for share in CENTRE[1:])
        mask = where(site, mask, (-CENTRE[0], low, -FAR), (CENTRE[0], high, FAR))
    return _made(site, "disc", mask, "middle of the disc", door=False)


def disc_proper(site: Site) -> Mask:
    """The disc of the level without what has left it."""
    key = f"disc/{in_key(site.frame.level)}"
    return site.mask(key) & ~site.mask(f"{key}/herniation")


def _pedicles(site: Site) -> Targets:
    keys = [f"vertebra/{vertebra}/pedicle/{site.frame.side}" for vertebra in split(site.frame.level)]
    return _made(site, "pedicle", site.mask(*keys), f"pedicles of the {site.frame.side}", door=False)


def doorway(site: Site) -> Mask:
    """The flavum of the level on the side; where none is labelled, the dorsal rim of the canal there."""
    flavum = where(site, site.mask(f"canal/flavum/{in_key(site.frame.level)}"), (0.0, -FAR, -FAR), (FAR, FAR, FAR))
    if flavum.any():
        return flavum
    return where(site, _dorsal_rim(site, 3.0), (0.0, -FAR, -10.0), (12.0, FAR, 10.0))


def _dorsal_rim(site: Site, thickness: float) -> Mask:
    """Voxels within `thickness` mm behind the canal that are neither canal nor bone."""
    canal = where(site, site.mask("canal/dural_sac", EPIDURAL), (-FAR, -FAR, -20.0), (FAR, FAR, 20.0))
    if not canal.any():
        return canal
    middle = float(np.median(site.local(np.argwhere(canal))[:, 1]))
    rim = near(site, canal, thickness) & ~site.mask("canal", "vertebra", "sacrum", "disc", "root")
    return where(site, rim, (-FAR, middle, -FAR), (FAR, FAR, FAR))


def footprint(site: Site, approach: Approach) -> tuple[Mask, tuple[str, ...]]:
    """Where the tip of the tube of `approach` may lie, and caveats where the docking structure was not labelled."""
    if approach.docking == "foramen":
        return _foramen(site, approach.dock_tolerance)
    if approach.docking == "interlaminar":
        flavum = site.mask(f"canal/flavum/{in_key(site.frame.level)}").any()
        window = near(site, doorway(site), approach.dock_tolerance)
        caveat = f"no flavum is labelled at {site.frame.level}: the interlaminar window is taken behind the canal"
        return where(site, window, (-2.0, -FAR, -FAR), (WINDOW, FAR, FAR)), () if flavum else (caveat,)
    if approach.docking in ("disc-lateral", "disc-oblique"):
        return _beside_disc(site, approach), ()
    return _lamina_facet(site, approach.dock_tolerance)


def _foramen(site: Site, tolerance: float) -> tuple[Mask, tuple[str, ...]]:
    """Kambin's triangle: around the foramen of the side and the posterolateral border of the disc."""
    frame, key = site.frame, in_key(site.frame.level)
    disc = where(site, site.mask(f"disc/{key}"), (8.0, frame.border - 12.0, -FAR), (FAR, FAR, FAR))
    foramen = site.mask(f"foramen/{key}/{frame.side}")
    caveats: tuple[str, ...] = ()
    if not foramen.any():
        caveats = (f"no foramen is labelled at {frame.level} {frame.side}: its place is taken from the disc's frame",)
        around = near(site, disc, 15.0)
        foramen = where(site, around, (9.0, frame.border - 6.0, -6.0), (22.0, frame.border + 10.0, 12.0))
    return near(site, foramen | disc, tolerance), caveats


def _beside_disc(site: Site, approach: Approach) -> Mask:
    """The side of the disc, between shares of its depth from the front; for an oblique way also its front corner."""
    disc = disc_proper(site)
    front, back = depth_of(site, disc)
    if not np.isfinite(front):
        return np.zeros_like(disc)
    low, high = (front + share * (back - front) for share in approach.dock_depth)
    if approach.docking == "disc-oblique":
        low -= approach.dock_tolerance
    rim = near(site, disc, approach.dock_tolerance) & ~site.mask("disc", "vertebra", "sacrum")
    return where(site, rim, (5.0, low, -approach.dock_tolerance), (FAR, high, approach.dock_tolerance))


def _lamina_facet(site: Site, tolerance: float) -> tuple[Mask, tuple[str, ...]]:
    """Where lamina and facet of the upper vertebra meet, from behind; without parts, the arch 6 to 20 mm lateral."""
    frame = site.frame
    upper, lower = split(frame.level)
    lamina = site.mask(f"vertebra/{upper}/lamina/{frame.side}")
    facet = site.mask(f"vertebra/{upper}/facet/inferior/{frame.side}", f"vertebra/{lower}/facet/superior/{frame.side}")
    arch = where(site, site.mask(f"vertebra/{upper}", f"vertebra/{lower}"), (-5, 0, -40.0), (40.0, FAR, 45.0))
    caveats: tuple[str, ...] = ()
    if lamina.any() and facet.any():
        spot = near(site, lamina, tolerance) & near(site, facet, 1.5 * tolerance)
        spot = where(site, spot, (2.0, frame.border + 8.0, -20.0), (FAR, FAR, 25.0))
    else:
        spot = where(site, near(site, arch, tolerance), (6.0, frame.border + 12.0, -8.0), (20.0, FAR, 22.0))
        caveats = (f"lamina and facet of {upper} are not labelled apart: docking is on the arch 6-20 mm lateral",)
    return behind(site, spot, arch, 1.0), caveats


def directions(approach: Approach, step: float) -> Points:
    """Unit vectors (n, 3) from the dock outwards, (lateral, posterior, up), `step` degrees apart over the envelope."""
    azimuth = np.deg2rad(np.arange(approach.azimuth[0], approach.azimuth[1] + 1e-6, step))
    tilt = np.deg2rad(np.arange(approach.tilt[0], approach.tilt[1] + 1e-6, step))
    pairs = np.array(list(itertools.product(azimuth, tilt)))
    a, e = pairs[:, 0], pairs[:, 1]
    return np.stack([np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)], axis=1)
