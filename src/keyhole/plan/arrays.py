"""The search's kernels on a library of arrays: numpy, or cupy for those who have a GPU.

Every ray is one element of an array and all take their steps together; the arithmetic is that of `corridor`, step by
step, so the answers are the same. Compiled kernels are the faster way without a GPU. Fields and bodies are copied to
the device once per call, answers come back as numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import Points, Volume
from keyhole.plan import corridor
from keyhole.plan.corridor import BLOCKED, FINE, OUTSIDE, UNSEEN, Bytes, Floats

BACKENDS = ("cpu", "numpy", "cupy")
"""Compiled kernels, and the libraries of arrays that can stand for them."""

CHUNK = {"numpy": 1 << 15, "cupy": 1 << 21}
"""Rays that take their steps together."""

Array = Any
"""An array of the library in use."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What judges corridors: `sweep` and `gaps`, with the signatures of `corridor`."""

    name: str
    sweep: Callable[..., tuple[Floats, Floats, Bytes]]
    gaps: Callable[..., Points]


def engine(backend: str = "cpu") -> Engine:
    """The kernels called `backend`; refused where the library, or a device for it, is not there."""
    if backend == "cpu":
        return Engine(backend, corridor.sweep, corridor.gaps)
    if backend not in BACKENDS:
        raise InvalidInput(f"a backend is one of {', '.join(BACKENDS)}, got {backend!r}")
    try:
        xp = import_module(backend)
        xp.zeros(1)
    except Exception as broken:  # cupy raises classes of its own where there is no driver or no device
        raise InvalidInput(f"the backend {backend} needs that package and a device it can use: {broken}") from broken
    return Engine(backend, _Arrays(xp, CHUNK[backend]).sweep, _Arrays(xp, CHUNK[backend]).gaps)


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """A field on the device: `values` at fractional indices (n, 3), nan more than half a voxel outside."""

    xp: Any
    field: Array

    def _corner(self, base: Array, shift: tuple[int, int, int]) -> Array:
        """Values at whole indices `base` + `shift`, held inside the array."""
        at = [self.xp.minimum(base[:, a] + shift[a], self.field.shape[a] - 1) for a in range(3)]
        return self.field[at[0], at[1], at[2]]

    def values(self, at: Array) -> Array:
        xp, top = self.xp, self.xp.asarray([n - 1.0 for n in self.field.shape])
        seen = ((at >= -0.5) & (at <= top + 0.5)).all(axis=1)
        held = xp.minimum(xp.maximum(xp.where(seen[:, None], at, 0.0), 0.0), top)
        base = held.astype(xp.int64)
        among = (seen[:, None] & (at >= 0.0) & (at < top)).all(axis=1)
        found = xp.where(among, self._inner(held, base), self._edge(held, base))
        return xp.where(seen, found, xp.nan)

    def _inner(self, at: Array, base: Array) -> Array:
        u, v, w = (at[:, n] - base[:, n] for n in range(3))
        low: list[Array] = []
        high: list[Array] = []
        for i, side in ((0, low), (1, high)):
            for j in (0, 1):
                one, two = self._corner(base, (i, j, 0)), self._corner(base, (i, j, 1))
                side.append(one + (two - one) * w)
        a, e = low[0] + (low[1] - low[0]) * v, high[0] + (high[1] - high[0]) * v
        return a + (e - a) * u

    def _edge(self, at: Array, base: Array) -> Array:
        total = self.xp.zeros(len(at))
        part = at - base
        for i in (0, 1):
            for j in (0, 1):
                for k in (0, 1):
                    weight = abs(1 - i - part[:, 0]) * abs(1 - j - part[:, 1]) * abs(1 - k - part[:, 2])
                    total = total + weight * self._corner(base, (i, j, k))
        return total

    def support(self, spacing: Points, at: Array) -> Array:
        """As `corridor._support`, for indices (n, 3)."""
        xp = self.xp
        total, weighted = xp.zeros(len(at)), xp.zeros(len(at))
        for axis in range(3):
            step = xp.asarray([1.0 if a == axis else 0.0 for a in range(3)])
            slope = (self.values(at + step) - self.values(at - step)) / float(spacing[axis])
            known = xp.isfinite(slope)
            total = total + xp.where(known, slope * slope, 0.0)
            weighted = weighted + xp.where(known, abs(slope) * float(spacing[axis]), 0.0)
        flat = float(0.5 * np.sqrt((spacing**2).sum()))
        return xp.where(total > 0, 0.5 * weighted / xp.sqrt(xp.where(total > 0, total, 1.0)), flat)

    def least(self, start: Array, along: Array, length: Array, floor: float, cap: float) -> tuple[Array, Array]:
        """As `corridor._least`, for rays (n, 3) with lengths (n,)."""
        xp = self.xp
        n = len(start)
        low, at, t = xp.full(n, xp.inf), xp.zeros(n), xp.zeros(n)
        live = xp.arange(n)
        while len(live):
            now, end = t[live], length[live]
            value = self.values(start[live] + now[:, None] * along[live])
            under = ~(value >= floor)
            lower = under | (value < low[live] - 1e-4)
            low[live] = xp.where(lower, value, low[live])
            at[live] = xp.where(lower, now, at[live])
            going = ~under & (now < end)
            step = xp.minimum(end, now + value - xp.minimum(low[live], cap) + FINE)
            t[live] = step
            live = live[going]
        return low, at


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """The body's codes on the device; see `corridor.sweep`."""

    xp: Any
    body: Array

    def code(self, at: Array) -> Array:
        xp = self.xp
        index = xp.rint(at).astype(xp.int64)
        top = xp.asarray(self.body.shape)
        inside = ((index >= 0) & (index < top)).all(axis=1)
        held = xp.where(inside[:, None], index, 0)
        return xp.where(inside, self.body[held[:, 0], held[:, 1], held[:, 2]].astype(xp.int64), 3)

    def to_skin(self, start: Array, along: Array, inside: Array, outside: Array) -> tuple[Array, Array]:
        """As `corridor._to_skin`, for many rays."""
        xp = self.xp
        last = inside.copy()
        live = xp.arange(len(last))
        while len(live):
            ahead = last[live] + 0.1
            code = self.code(start[live] + ahead[:, None] * along[live])
            going = (ahead < outside[live]) & (code >= 1) & (code <= 2)
            live = live[going]
            last[live] = ahead[going]
        code = self.code(start + xp.minimum(last + 0.1, outside)[:, None] * along)
        skin = xp.zeros(len(last), dtype=bool)
        back, live = last.copy(), xp.arange(len(last))
        while len(live):
            live = live[back[live] > xp.maximum(last[live] - 4.0, 0.0)]
            met = self.code(start[live] + back[live][:, None] * along[live]) == 2
            skin[live] = met
            live = live[~met]
            back[live] = back[live] - 0.5
        said = xp.where(code == 0, xp.where(skin, 0, UNSEEN), xp.where(code == 3, UNSEEN, OUTSIDE))
        return last, said.astype(xp.uint8)


@dataclass(frozen=True, slots=True)
class _Arrays:
    """`sweep` and `gaps` on the library `xp`, `chunk` rays at a time."""

    xp: Any
    chunk: int

    def _host(self, array: Array) -> NDArray[Any]:
        return np.asarray(array.get() if hasattr(array, "get") else array)

    def gaps(
        self, distance: Volume, start: Points, stop: Points, radius: float, *, floor: float = -3.0, boxes: bool = True
    ) -> Points:
        """As `corridor.gaps`."""
        xp = self.xp
        ends = corridor.checked(start, stop, radius)
        field = _Field(xp, xp.asarray(distance.array))
        begin, along, length = corridor.rays(distance, *ends)
        found = np.empty(len(begin))
        for at in range(0, len(begin), self.chunk):
            part = slice(at, at + self.chunk)
            ray, way = xp.asarray(begin[part]), xp.asarray(along[part])
            low, t = field.least(ray, way, xp.asarray(length[part]), radius + floor, radius + 6.0)
            gap = low - radius
            if boxes:
                support = field.support(distance.grid.spacing, ray + t[:, None] * way)
                gap = xp.where(low >= radius + floor, gap - support, gap)
            found[part] = self._host(gap)
        return found

    def sweep(
        self,
        distance: Volume,
        body: Bytes,
        docks: Points,
        directions: Points,
        radii: tuple[float, ...],
        *,
        lateral: tuple[Points, Points],
        entry: tuple[float, float],
        longest: float,
        floor: float | None = None,
    ) -> tuple[Floats, Floats, Bytes]:
        """As `corridor.sweep`."""
        xp, grid = self.xp, distance.grid
        least = 0.5 * float(grid.spacing.min()) if floor is None else floor
        field, flesh = _Field(xp, xp.asarray(distance.array)), _Body(xp, xp.asarray(body))
        start, along = grid.index(docks), grid.patient_from_index.inverse.turn(directions)
        n, m = len(start), len(along)
        lengths, verdicts = np.zeros(n * m, np.float32), np.zeros(n * m, np.uint8)
        gaps = np.full((n * m, len(radii)), -np.inf, np.float32)
        for at in range(0, n * m, self.chunk):
            i, j = np.divmod(np.arange(at, min(at + self.chunk, n * m)), m)
            ray, way = xp.asarray(start[i]), xp.asarray(along[j])
            aside = (xp.asarray(lateral[0][i]), xp.asarray(lateral[1][j]))
            length, verdict = self._shafts(field, flesh, ray, way, (radii[0], radii[0] + least, longest))
            side = aside[0] + length * aside[1]
            verdict[(verdict == 0) & ~((entry[0] <= side) & (side <= entry[1]))] = OUTSIDE
            part = slice(at, at + len(i))
            lengths[part], verdicts[part] = self._host(length), self._host(verdict)
            gaps[part] = self._host(self._widths(field, grid.spacing, (ray, way, length), verdict == 0, radii, least))
        return gaps.reshape(n, m, len(radii)), lengths.reshape(n, m), verdicts.reshape(n, m)

    def _shafts(
        self, field: _Field, body: _Body, start: Array, along: Array, bounds: tuple[float, float, float]
    ) -> tuple[Array, Array]:
        """As `corridor._shaft`, for many rays; `bounds` are radius, floor and longest."""
        xp = self.xp
        radius, floor, longest = bounds
        n, cap = len(start), radius + 6.0
        t, inside, low = xp.full(n, radius), xp.zeros(n), xp.full(n, xp.inf)
        length, verdict = xp.zeros(n), xp.zeros(n, dtype=xp.uint8)
        live = xp.arange(n)
        while len(live):
            now = t[live]
            at = start[live] + now[:, None] * along[live]
            code, value = body.code(at), field.values(at)
            left, under = (code == 0) | (code >= 3), ~(value >= floor)
            said = xp.where(now > longest, OUTSIDE, 0)
            said = xp.where(under, xp.where(value < floor, BLOCKED, UNSEEN), said)
            said = xp.where(left, 0, said)
            length[live], verdict[live] = now, said.astype(xp.uint8)
            out = live[left]
            if len(out):
                length[out], verdict[out] = body.to_skin(start[out], along[out], inside[out], t[out])
            going = ~left & (said == 0)
            live, now, value = live[going], now[going], value[going]
            low[live] = xp.minimum(low[live], value)
            inside[live] = now
            t[live] = now + xp.minimum(value - xp.minimum(low[live], cap) + FINE, 8.0)
        return length, verdict

    def _widths(
        self,
        field: _Field,
        spacing: Points,
        rays: tuple[Array, Array, Array],
        clear: Array,
        radii: tuple[float, ...],
        floor: float,
    ) -> Array:
        """Gap of each radius, -inf from the first that is not clear."""
        xp = self.xp
        start, along, length = rays
        gaps = xp.full((len(start), len(radii)), -xp.inf, dtype=xp.float32)
        live = xp.nonzero(clear)[0]
        for k, radius in enumerate(radii):
            way = along[live]
            tip = start[live] + radius * way
            low, at = field.least(tip, way, length[live] - radius, radius + floor, radius + 6.0)
            wide = low >= radius + floor
            live, low, narrowest = live[wide], low[wide], (tip + at[:, None] * way)[wide]
            gaps[live, k] = (low - field.support(spacing, narrowest) - radius).astype(xp.float32)
        return gaps
