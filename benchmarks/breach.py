"""Breach probabilities in closed form against simulated executions of 100,000 tubes each.

Run `python benchmarks/breach.py` (about 10 minutes on one core); it prints the table of docs/uncertainty.md. Corridors
of random pose, radius, depth and error beside five kinds of structure, on grids of 0.7 to 1.5 mm that lie askew. A
simulated execution turns and moves the whole tube exactly (no linear step) and shifts the structure by its own error;
it touches where the axis comes nearer than the radius to a whole voxel, a box: no code is shared with the closed form.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from keyhole.geometry import LabelMap, Tube, affine
from keyhole.plan.doubt.breach import breach, flat, nearest_contact, wall
from keyhole.plan.doubt.cloud import cloud
from keyhole.plan.doubt.error import ExecutionError

Floats = NDArray[np.float64]

KINDS = ("nerve across", "nerve along", "sac", "plate", "two sides")


@dataclass(frozen=True)
class Scene:
    """A tube beside a structure, and the errors of both."""

    kind: str
    labels: LabelMap
    tube: Tube
    error: ExecutionError
    sd: float


@numba.njit(cache=True)
def _box_gap(a, b, half):
    """Least distance between the segment a-b and the box |x| <= half: golden section on a convex function."""
    low, high = 0.0, 1.0
    ratio = 0.6180339887498949
    one, two = high - ratio * (high - low), low + ratio * (high - low)
    first = second = -1.0
    for _ in range(26):
        if first < 0:
            first = _point_gap(a, b, one, half)
        if second < 0:
            second = _point_gap(a, b, two, half)
        if first < second:
            high, two, second = two, one, first
            one, first = high - ratio * (high - low), -1.0
        else:
            low, one, first = one, two, second
            two, second = low + ratio * (high - low), -1.0
    return np.sqrt(min(_point_gap(a, b, 0.0, half), _point_gap(a, b, 1.0, half), _point_gap(a, b, low, half)))


@numba.njit(cache=True)
def _point_gap(a, b, t, half):
    total = 0.0
    for k in range(3):
        x = abs(a[k] + t * (b[k] - a[k])) - half[k]
        if x > 0:
            total += x * x
    return total


@numba.njit(cache=True)
def _touches(centres, order_gap, half, starts, stops, moves, radius):
    """How many executions touch any box; `centres` are sorted by their planned gap, `moves` bounds each execution."""
    n = 0
    a, b = np.empty(3), np.empty(3)
    slack = np.sqrt((half**2).sum())
    for s in range(len(starts)):
        for m in range(len(centres)):
            if order_gap[m] > moves[s]:
                break
            for k in range(3):
                a[k], b[k] = starts[s, k] - centres[m, k], stops[s, k] - centres[m, k]
            axis = _point_axis(a, b)
            if axis > radius + slack:
                continue
            if axis < radius or _box_gap(a, b, half) < radius:
                n += 1
                break
    return n


@numba.njit(cache=True)
def _point_axis(a, b):
    square = cross = 0.0
    for k in range(3):
        square += (b[k] - a[k]) ** 2
        cross -= a[k] * (b[k] - a[k])
    t = min(max(cross / square, 0.0), 1.0) if square > 0 else 0.0
    return np.sqrt((a[0] + t * (b[0] - a[0])) ** 2 + (a[1] + t * (b[1] - a[1])) ** 2 + (a[2] + t * (b[2] - a[2])) ** 2)


def simulated(scene: Scene, n: int, seed: int) -> float:
    """Share of `n` executions that touch the structure."""
    rng = np.random.default_rng(seed)
    whole = scene.error.matrix
    both = rng.multivariate_normal(np.zeros(6), whole, n, method="eigh")
    turns = Rotation.from_rotvec(both[:, 3:])
    shift = both[:, :3] - rng.normal(0.0, scene.sd, (n, 3))
    grid = scene.labels.grid
    axes = grid.patient_from_index.matrix[:3, :3] / grid.spacing
    centre = scene.error.centre
    starts = turns.apply(scene.tube.start - centre) + centre + shift
    stops = turns.apply(scene.tube.stop - centre) + centre + shift
    moves = np.maximum(
        np.linalg.norm(starts - scene.tube.start, axis=1), np.linalg.norm(stops - scene.tube.stop, axis=1)
    )
    points = grid.centres(np.argwhere(scene.labels.array == 1))
    gap = scene.tube.axis_distance(points) - scene.tube.radius - np.linalg.norm(grid.spacing) / 2
    order = np.argsort(gap)
    return _touches(
        points[order] @ axes, gap[order], grid.spacing / 2, starts @ axes, stops @ axes, moves, scene.tube.radius
    ) / n  # fmt: skip


def scene(rng: np.random.Generator, kind: str) -> Scene:
    """A random scene of `kind`, the chance of a breach anywhere between about 0.0005 and 0.5."""
    axes = Rotation.random(random_state=rng).as_matrix()  # rows: the patient's own directions
    radius, depth = rng.choice([1.75, 3.0, 4.0, 8.0]), rng.uniform(30, 90)
    tip = rng.uniform(-200, 200, 3)
    along = axes[2]
    tube = Tube(tip + depth * along, tip + radius * along, radius)
    labels = _painted(rng, kind, tip, axes, radius)
    error = _error(rng, tip, axes, depth)
    sd = float(rng.uniform(0.2, 2.0))
    return Scene(kind, labels, tube, error, sd)


def _painted(rng, kind, tip, axes, radius) -> LabelMap:
    """The structure beside the tube, painted on a grid that lies askew."""
    spacing = rng.uniform(0.7, 1.5, 3)
    turn = Rotation.random(random_state=rng).as_matrix()
    half = np.ceil(34 / spacing).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = turn * spacing
    matrix[:3, 3] = tip - matrix[:3, :3] @ half
    index = np.stack(np.meshgrid(*[np.arange(2 * h + 1) for h in half], indexing="ij"), -1)
    local = ((index * 1.0) @ matrix[:3, :3].T + matrix[:3, 3] - tip) @ axes.T
    gap = rng.uniform(0.3, 6.0)
    height = rng.uniform(-3.0, 15.0)  # along the tube from its tip; below 0 it lies ahead
    mask = _shape(rng, kind, local, radius + gap, height)
    return LabelMap(mask.astype(np.uint16), affine(matrix), {1: "root/L4/left"})


def _shape(rng, kind, local, away, height):
    x, y, z = local[..., 0], local[..., 1], local[..., 2] - height
    thick = rng.uniform(1.0, 2.5)
    lean = np.deg2rad(rng.uniform(-40, 40))
    if kind == "nerve across":
        u = np.cos(lean) * z - np.sin(lean) * y
        return np.hypot(x - away - thick, u) <= thick
    if kind == "nerve along":
        u = np.cos(lean) * y - np.sin(lean) * z
        return np.hypot(x - away - thick, u) <= thick
    if kind == "sac":
        wide = rng.uniform(5, 8)
        u = np.cos(lean) * z - np.sin(lean) * y
        return np.hypot(x - away - wide, u) <= wide
    wall = (x * np.cos(lean) + z * np.sin(lean) >= away) & (x <= away + 10)
    if kind == "plate":
        return wall
    return wall | ((y >= away * rng.uniform(0.8, 1.3)) & (y <= away + 12))


def _error(rng, tip, axes, depth) -> ExecutionError:
    """A registration with its rotation about somewhere near, anisotropic, and a tool that leans about its tip."""
    size = rng.uniform(0.4, 2.0, 3)
    turned = Rotation.random(random_state=rng).as_matrix()
    registration = ExecutionError(
        (turned * size**2) @ turned.T,
        np.eye(3) * np.deg2rad(rng.uniform(0.2, 1.5)) ** 2,
        centre=tip + rng.uniform(-60, 60, 3),
    )
    tool = ExecutionError(np.eye(3) * 0.09, np.eye(3) * np.deg2rad(rng.uniform(0.2, 1.0)) ** 2, centre=tip)
    return registration + tool


def judged(found: float, truth: float) -> bool:
    """Within 10 % or 0.002."""
    return abs(found - truth) <= max(0.1 * truth, 0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corridors", type=int, default=200)
    parser.add_argument("--samples", type=int, default=100_000)
    given = parser.parse_args()
    rng = np.random.default_rng(20)
    rows = []
    for n in range(given.corridors):
        made = scene(rng, KINDS[n % len(KINDS)])
        points = cloud(made.labels, ["root/L4/left"]).of("root/L4/left")
        began = time.perf_counter()
        closed = breach(wall(points, made.tube), made.tube, made.error, made.sd)
        took = time.perf_counter() - began
        near = nearest_contact(wall(points, made.tube), made.error, made.sd)
        beside = flat(near.gap, near.spread)
        truth = simulated(made, given.samples, n)
        rows.append((made.kind, closed, beside, truth, took, near.gap))
    for kind in (*KINDS, "all"):
        chosen = [r for r in rows if kind in ("all", r[0])]
        good = sum(judged(r[1], r[3]) for r in chosen)
        beside = sum(judged(r[2], r[3]) for r in chosen)
        worst = max(abs(r[1] - r[3]) for r in chosen)
        ratio = max((r[1] / r[3] for r in chosen if r[3] > 0.02), key=lambda q: abs(np.log(q)))
        print(
            f"| {kind} | {len(chosen)} | {good} | {beside} | {worst:.4f} | {ratio:.3f} | "
            f"{1e3 * np.median([r[4] for r in chosen]):.2f} |"
        )
    for r in rows:
        if not judged(r[1], r[3]):
            print("not met:", r)


if __name__ == "__main__":
    main()
