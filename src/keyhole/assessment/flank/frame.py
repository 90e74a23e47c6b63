"""One side of one level: its axes, the structures around its foramen sampled between the voxels, and its pedicles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.assessment.study import plates
from keyhole.geometry import LabelMap, Plane, Points, unit
from keyhole.terms import belongs, in_key

Side = Literal["left", "right"]
BOTH: tuple[Side, Side] = ("left", "right")

ISTHMUS = 3.0
"""How far behind the body's posterior corners a pedicle is cut across, mm [keyhole-choice]."""

WIDEST = 17.8
"""Width, mm, beyond which a pedicle is its transverse process or the sacrum's ala [pedicle-safe-zone]."""

LEAST_PEDICLE = 4.0
"""mm: less bone along up, 3 mm behind the body, is no pedicle [keyhole-choice]."""

HEIGHTS = (4.0, 36.0)
"""How far above or below the disc's centre a pedicle's middle lies, mm; farther or nearer is a label gone wrong
[keyhole-choice]."""

_ROOM = ((-4.0, 40.0), (-10.0, 52.0), (-38.0, 40.0))  # mm along lateral, back, up that a flank holds


@dataclass(frozen=True, eq=False)
class Flank:
    """One side of a level: origin at the disc's centre; lateral away from the midline, back and up, LPS mm.

    `up` is the mean of the facing endplates' normals, `lateral` the mean of both vertebrae's, made orthogonal to it.
    """

    level: str
    side: Side
    upper: Vertebra
    lower: Vertebra
    roof: Endplate
    floor: Endplate
    labels: LabelMap

    @cached_property
    def up(self) -> Points:
        """Unit, cranial along the disc's axis."""
        return unit(self.roof.plane.normal + self.floor.plane.normal)

    @cached_property
    def origin(self) -> Points:
        """Mean of the facing endplates' centres."""
        return np.asarray((self.roof.centre + self.floor.centre) / 2)

    @cached_property
    def axes(self) -> Points:
        """(3, 3) lateral, back, up as rows."""
        across = self.upper.toward(self.side) + self.lower.toward(self.side)
        lateral = unit(across - (across @ self.up) * self.up)
        back = np.cross(self.up, lateral)
        return np.stack([lateral, back if back @ self.upper.posterior > 0 else -back, self.up])

    def local(self, points: Points) -> Points:
        """`points` (..., 3), LPS mm, as lateral, back, up, mm."""
        return np.asarray((points - self.origin) @ self.axes.T)

    def points(self, local: Points) -> Points:
        """`local` (..., 3) in LPS mm."""
        return np.asarray(self.origin + local @ self.axes)

    @cached_property
    def wall(self) -> float:
        """Where the bodies' posterior corners lie along back, mm."""
        return float(self.local(np.stack([self.roof.posterior, self.floor.posterior]))[:, 1].mean())

    def height(self, plane: Plane, lateral: float, back: float) -> float:
        """Where `plane` lies along up over (lateral, back), mm."""
        at = self.points(np.array([lateral, back, 0.0]))
        return float(-plane.height(at) / (plane.normal @ self.up))

    @cached_property
    def crop(self) -> LabelMap:
        """The labels around the flank."""
        corners = np.array([[a, b, c] for a in _ROOM[0] for b in _ROOM[1] for c in _ROOM[2]])
        index = self.labels.grid.index(self.points(corners))
        low = np.clip(np.floor(index.min(axis=0)), 0, self.labels.array.shape).astype(int)
        high = np.clip(np.ceil(index.max(axis=0)) + 1, low, self.labels.array.shape).astype(int)
        i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return self.labels.crop((i, j, k))

    @cached_property
    def keys(self) -> Mapping[str, frozenset[int]]:
        """The labels of what bounds the foramen.

        "front" are bodies and disc, "upper" and "lower" the arches, "bone" both; "root" the exiting root, "nerves" the
        traversing one and the sac.
        """
        bodies = tuple(f"vertebra/{one.name}/body" for one in (self.upper, self.lower))
        wholes = [f"vertebra/{one.name}" for one in (self.upper, self.lower)]
        sacrum = ("sacrum",) if self.lower.name == "S1" else ()
        of = {
            "front": self._numbers(*bodies, f"disc/{in_key(self.level)}"),
            "upper": self._numbers(wholes[0]) - self._numbers(*bodies),
            "lower": self._numbers(wholes[1], *sacrum) - self._numbers(*bodies),
            "sac": self._numbers("canal/dural_sac"),
            "root": self._numbers(f"root/{self.upper.name}/{self.side}"),
            "nerves": self._numbers(f"root/{self.lower.name}/{self.side}", "canal/dural_sac"),
        }
        return of | {"bone": of["upper"] | of["lower"], "whole": self._numbers(*wholes, *sacrum)}

    def _numbers(self, *prefixes: str) -> frozenset[int]:
        return frozenset(self.labels.labels_of(*prefixes))

    def mask(self, numbers: frozenset[int]) -> NDArray[np.bool_]:
        """Where in `crop` any of the labels `numbers` is."""
        chosen = np.zeros(1 + max([*self.labels.structures, int(self.crop.array.max(initial=0))]), dtype=np.bool_)
        chosen[list(numbers)] = True
        return np.asarray(chosen[self.crop.array])

    def share(self, local: Points, numbers: frozenset[int]) -> NDArray[np.float64]:
        """The share of the labels `numbers` at each of `local` (..., 3), between the voxels' centres."""
        if 0 in self.crop.array.shape:
            return np.zeros(local.shape[:-1])
        index = np.moveaxis(self.crop.grid.index(self.points(local)), -1, 0)
        if numbers not in self._masks:
            self._masks[numbers] = self.mask(numbers).astype(np.float32)
        share = ndimage.map_coordinates(self._masks[numbers], index, order=1, mode="constant", cval=0.0)
        return np.asarray(share, dtype=np.float64)

    @cached_property
    def _masks(self) -> dict[frozenset[int], NDArray[np.float32]]:
        return {}

    def sees(self, local: Points) -> bool:
        """Whether the scan holds every one of `local` (..., 3)."""
        return bool(self.labels.grid.contains(self.points(local)).all())

    @property
    def voxel(self) -> float:
        """Largest side of a voxel, mm."""
        return float(self.labels.drawn_grid.spacing.max())


def flank(anatomy: Anatomy, level: str, side: Side) -> Flank | None:
    """One side of `level`; None where one of its vertebrae is cut."""
    upper, lower = anatomy.pair(level)
    found = plates(upper, lower)
    return None if found is None else Flank(level, side, upper, lower, found[1], found[2], anatomy.labels)


def without_arch(anatomy: Anatomy, level: str) -> str | None:
    """Why there is no arch at `level` to measure; None where both vertebrae have one."""
    for vertebra in anatomy.pair(level):
        head = f"vertebra/{vertebra.name}"
        prefixes = (head, "sacrum") if vertebra.name == "S1" else (head,)
        keys = {key for key in anatomy.labels.structures.values() if belongs(key, *prefixes)}
        if f"{head}/body" not in keys:
            return f"{vertebra.name}: its body is not told from its arch; not measured"
        if keys == {f"{head}/body"}:
            return f"{vertebra.name}: only the body is labelled, not the arch; not measured"
    return None


@dataclass(frozen=True, slots=True)
class Span:
    """Where a pedicle is cut across, in a flank's axes, mm: its inner and outer border, and its middle along up."""

    inner: float
    outer: float
    middle: float


def pedicle_span(at: Flank, vertebra: Vertebra) -> Span | None:
    """The pedicle of `vertebra` on the flank's side; None where none is seen.

    On the coronal plane `ISTHMUS` mm behind the body's posterior corners. The borders are where it is half as tall as
    at its tallest.
    """
    plates_of = [plate for plate in (vertebra.superior, vertebra.inferior) if plate is not None]
    back = float(np.mean([(plate.posterior - vertebra.centre) @ vertebra.posterior for plate in plates_of])) + ISTHMUS
    x, z = np.arange(4.0, 36.0, 0.5), np.arange(-18.0, 20.0, 0.5)
    flat = x[:, None, None] * vertebra.toward(at.side) + z[None, :, None] * vertebra.up
    section = at.local(flat + vertebra.centre + back * vertebra.posterior)
    sacrum = ("sacrum",) if vertebra.name == "S1" else ()
    own = frozenset(at.labels.labels_of(f"vertebra/{vertebra.name}", *sacrum))
    share = at.share(section, own)
    tall, middle = _runs(share, z)
    span = _half_tall(x, tall)
    if span is None:
        return None
    ends = [np.interp(edge, x, section[:, len(z) // 2, 0]) for edge in span]
    inside = (x >= span[0]) & (x <= span[1])
    row = np.interp(middle[inside], z, np.arange(len(z)))
    heights = [section[n, round(r), 2] for n, r in zip(np.flatnonzero(inside), row, strict=True)]
    found = Span(float(ends[0]), float(ends[1]), float(np.median(heights)))
    above = found.middle if vertebra is at.upper else -found.middle
    return found if HEIGHTS[0] <= above <= HEIGHTS[1] else None


def _runs(share: NDArray[np.float64], z: Points) -> tuple[Points, Points]:
    """Length and middle of the longest run of bone in each column, mm."""
    tall, middle = np.zeros(len(share)), np.zeros(len(share))
    for n, column in enumerate(share):
        runs, count = ndimage.label(column >= 0.5)
        if count:
            held = np.flatnonzero(runs == 1 + np.bincount(runs)[1:].argmax())
            near = slice(max(0, held[0] - 1), held[-1] + 2)
            tall[n] = column[near].sum() * (z[1] - z[0])
            middle[n] = z[held].mean()
    return tall, middle


def _half_tall(x: Points, tall: Points) -> tuple[float, float] | None:
    """Where `tall` rises above half of its top and falls below it again."""
    top = float(np.percentile(tall[x <= 4.0 + 2 * WIDEST], 95))
    if not top >= LEAST_PEDICLE:
        return None
    held = np.flatnonzero(tall >= top / 2)
    first = int(held[0])
    last = first
    while last + 1 < len(tall) and tall[last + 1] >= top / 2:
        last += 1
    inner = x[first] if first == 0 else np.interp(top / 2, tall[first - 1 : first + 1], x[first - 1 : first + 1])
    outer = x[last] if last + 1 == len(x) else np.interp(-top / 2, -tall[last : last + 2], x[last : last + 2])
    return float(inner), float(min(outer, inner + WIDEST))
