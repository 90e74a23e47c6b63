"""One side of a level of a phantom: its axes, what lies where, and where its pedicles are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom import _field
from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.model import Plates
from keyhole.geometry import Plane, Points, unit
from keyhole.terms import belongs, in_key

ISTHMUS = 3.0  # mm behind the body's posterior corners, where a pedicle is cut across
WIDEST = 17.8  # mm, beyond which a pedicle is the sacrum's ala

NOTHING, DISC, UPPER_BODY, LOWER_BODY, UPPER, LOWER, SAC = range(7)
FRONT = (DISC, UPPER_BODY, LOWER_BODY)
ARCH = (UPPER, LOWER)


class Probe:
    """What lies at a point: disc, body or arch of one level, or `NOTHING` of these.

    With `with_sac`, `SAC` is the dural sac and the roots of the lower vertebra.
    """

    def __init__(self, body: Phantom, level: str, *, with_sac: bool = False) -> None:
        upper, lower = level.split("/")
        of = {f"disc/{in_key(level)}": DISC}
        of |= {f"vertebra/{upper}/body": UPPER_BODY, f"vertebra/{lower}/body": LOWER_BODY}
        of |= {f"vertebra/{upper}": UPPER, f"vertebra/{lower}": LOWER} | ({"sacrum": LOWER} if lower == "S1" else {})
        of |= {"canal/dural_sac": SAC, f"root/{lower}": SAC, f"root/{upper}": NOTHING} if with_sac else {}
        rows, spans, boxes = [], [], []
        kinds: list[int] = []
        start = 0
        for solid in body.solids:
            if not any(belongs(part.key, *of) for part in solid.every):
                continue
            own = solid.rows(len(kinds))
            rows.append(own)
            spans.append((start, start + len(own)))
            boxes.append(solid.box)
            start += len(own)
            for part in solid.every:
                kinds.append(next((n for head, n in of.items() if belongs(part.key, head)), NOTHING))
        self._what = np.concatenate(rows), np.array(spans), np.array(boxes), np.array(kinds), body.field

    def at(self, points: Points) -> NDArray[np.int64]:
        """The kind at each of `points` (..., 3), phantom frame."""
        flat = np.ascontiguousarray(points.reshape(-1, 3))
        return np.asarray(_field.labels_at(flat, *self._what)).reshape(points.shape[:-1])


@dataclass(frozen=True, slots=True)
class Span:
    """Inner and outer border and middle height of a pedicle cut across, in a flank's axes, mm."""

    inner: float
    outer: float
    middle: float


@dataclass(frozen=True, eq=False)
class Flank:
    """One side of `level` in the phantom's frame: lateral, back and up from the disc's centre."""

    plates: Plates
    level: str
    side: Literal["left", "right"]
    probe: Probe

    @property
    def sign(self) -> float:
        """+1 on the left."""
        return 1.0 if self.side == "left" else -1.0

    @cached_property
    def up(self) -> Points:
        """Mean of the facing endplates' normals."""
        return unit(np.sum([plate.plane.normal for plate in self.plates.facing(self.level)], axis=0))

    @cached_property
    def axes(self) -> Points:
        """(3, 3) lateral, back, up as rows."""
        lateral = np.array([self.sign, 0.0, 0.0])
        back = np.cross(self.up, lateral) * self.sign
        return np.stack([lateral, back, self.up])

    @cached_property
    def origin(self) -> Points:
        """The disc's centre."""
        return np.asarray(np.mean([plate.centre for plate in self.plates.facing(self.level)], axis=0))

    def points(self, local: Points) -> Points:
        """`local` (..., 3) in the phantom's frame."""
        return np.asarray(self.origin + local @ self.axes)

    def local(self, points: Points) -> Points:
        """`points` (..., 3) of the phantom's frame as lateral, back, up."""
        return np.asarray((points - self.origin) @ self.axes.T)

    def kind(self, local: Points) -> NDArray[np.int64]:
        """What lies at each of `local` (..., 3)."""
        return self.probe.at(self.points(local))

    @cached_property
    def wall(self) -> float:
        """Where the bodies' posterior corners lie along back, mm."""
        corners = np.stack([plate.posterior for plate in self.plates.facing(self.level)])
        return float(self.local(corners)[:, 1].mean())

    def height(self, plane: Plane, lateral: float, back: float) -> float:
        """Where `plane` lies along up over (lateral, back), mm."""
        at = self.points(np.array([lateral, back, 0.0]))
        return float(-plane.height(at) / (plane.normal @ self.up))

    def span(self, name: str) -> Span:
        """The pedicle of the vertebra `name` on this side."""
        senses = (1,) if name == "S1" else (1, -1)
        faces = [self.plates.of(name, sense) for sense in senses]
        up = unit(np.sum([face.plane.normal for face in faces], axis=0))
        back = np.array([0.0, up[2], -up[1]])
        centre = self.plates.body.spine.places[name].at(0, 0, 0)
        deep = float(np.mean([(face.posterior - centre) @ back for face in faces])) + ISTHMUS
        x, z = np.arange(4.0, 36.0, 1.0), np.arange(-18.0, 20.0, 1.0)
        base = centre + deep * back + x[:, None, None] * self.sign * np.array([1.0, 0.0, 0.0])
        own = (UPPER_BODY, UPPER) if name == self.level.split("/")[0] else (LOWER_BODY, LOWER)
        bone = np.isin(self.probe.at(base + z[:, None] * up), own)
        held = np.array([n for n, column in enumerate(bone) if column.any()])
        runs = np.array([longest(bone[n]) for n in held])
        low, high = (
            bisected(z[runs[:, end]], z[runs[:, end]] + way, lambda h: self._is(base[held, 0] + h[:, None] * up, own))
            for end, way in ((0, -1), (1, 1))
        )
        tall = np.zeros(len(x))
        tall[held] = high - low
        inner, outer = half_tall(x, tall)
        inside = (x[held] >= inner) & (x[held] <= outer)
        middle = base[held, 0][inside] + ((low + high) / 2)[inside, None] * up
        return Span(inner, outer, float(np.median(self.local(middle)[:, 2])))

    def _is(self, points: Points, kinds: tuple[int, ...]) -> NDArray[np.bool_]:
        return np.isin(self.probe.at(points), kinds)


def bisected(inside: Points, outside: Points, holds: Callable[[Points], NDArray[np.bool_]]) -> Points:
    """Where, between `inside` and `outside` (n,), what `holds` ends: to a 64th of their distance."""
    for _ in range(6):
        middle = (inside + outside) / 2
        within = holds(middle)
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return np.asarray((inside + outside) / 2)


def longest(inside: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last place of the longest run of True; there must be one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    n = int((stops - starts).argmax())
    return int(starts[n]), int(stops[n]) - 1


def half_tall(x: Points, tall: Points) -> tuple[float, float]:
    """Where `tall` rises above half of its top, and falls below it again."""
    half = float(np.percentile(tall, 95)) / 2
    first = int(np.flatnonzero(tall >= half)[0])
    last = first + int(np.argmin(np.append(tall[first:] >= half, False))) - 1
    inner = x[0] if first == 0 else x[first] - (tall[first] - half) / (tall[first] - tall[first - 1])
    outer = x[-1] if last + 1 == len(x) else x[last] + (tall[last] - half) / (tall[last] - tall[last + 1])
    return float(inner), float(min(outer, inner + WIDEST))
