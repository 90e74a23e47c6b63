"""The exact sections, volumes and fat shares of a phantom's muscles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom, materials
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.casefile import FindingEntry
from keyhole.geometry import Plane, Points, unit

COARSE, FINE = 2.0, 4  # mm, pixel of the first look; how many parts its sides are cut into at a border
AREA = ((-92.0, 92.0), (-62.0, 84.0))  # mm, left and back of the disc's centre, in which muscles lie
STATIONS = np.polynomial.legendre.leggauss(4)  # planes between two bodies, and their weights, on -1 to 1

MUSCLES = {
    "psoas": ("muscle/psoas/{side}",),
    "paraspinal": ("muscle/paraspinal/{side}/erector_spinae", "muscle/paraspinal/{side}/multifidus"),
    "multifidus": ("muscle/paraspinal/{side}/multifidus",),
}


def muscle_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Area on the disc's mid-plane, volume between the bodies' mid-planes, and share of fat, per muscle and side."""
    numbers = {key: n for n, key in body.structures.items()}
    made = materials(body.parameters, body.size)
    streaked = 100 * (made["muscle"].ct - made["multifidus"].ct) / (made["muscle"].ct - made["fat"].ct)
    for level in plates.levels:
        roof, floor = plates.facing(level)
        disc = Plane((roof.centre + floor.centre) / 2, roof.plane.normal + floor.plane.normal)
        areas = _areas(body, disc)
        volumes = _volumes(body, level, plates)
        for side in ("left", "right"):
            sums = {}
            for name, keys in MUSCLES.items():
                ids = [numbers[key.format(side=side)] for key in keys]
                sums[name] = sum(float(areas[n]) for n in ids)
                yield true(f"{name} area", level, sums[name], "mm2", side)
                yield true(f"{name} volume", level, sum(float(volumes[n]) for n in ids) / 1000.0, "mL", side)
            yield true("psoas fat share", level, 0.0, "%", side)
            yield true("multifidus fat share", level, streaked, "%", side)
            yield true("paraspinal fat share", level, streaked * sums["multifidus"] / sums["paraspinal"], "%", side)


def _flat(plane: Plane) -> tuple[Points, Points]:
    """Left and back in a plane."""
    left = unit(np.array([1.0, 0.0, 0.0]) - plane.normal[0] * plane.normal)
    return left, np.cross(plane.normal, left)


def _areas(body: Phantom, plane: Plane) -> NDArray[np.float64]:
    """mm² of every label on `plane`: coarse pixels, and finer ones where neighbours differ."""
    left, back = _flat(plane)
    x, y = (np.arange(a + COARSE / 2, b, COARSE) for a, b in AREA)
    points = plane.point + x[:, None, None] * left + y[None, :, None] * back
    found = body.labels_at(points.reshape(-1, 3)).reshape(len(x), len(y))
    mixed = np.zeros(found.shape, dtype=np.bool_)
    for axis in (0, 1):
        differ = np.diff(found, axis=axis) != 0
        for shift in (0, 1):
            part = [slice(None), slice(None)]
            part[axis] = slice(shift, found.shape[axis] - 1 + shift)
            mixed[tuple(part)] |= differ
    top = max(body.structures) + 1
    areas = np.bincount(found[~mixed], minlength=top) * COARSE**2
    step = (np.arange(FINE) + 0.5) / FINE - 0.5
    fine = points[mixed][:, None, None] + COARSE * (step[:, None, None] * left + step[None, :, None] * back)
    count = np.bincount(body.labels_at(fine.reshape(-1, 3)), minlength=top)
    return np.asarray(areas + count * (COARSE / FINE) ** 2)


def _middle(plates: Plates, name: str) -> Plane:
    """The middle plane of a body; of S1 the superior endplate."""
    roof = plates.of(name, +1)
    if name == "S1":
        return roof.plane
    floor = plates.of(name, -1)
    return Plane((roof.centre + floor.centre) / 2, roof.plane.normal + floor.plane.normal)


def _volumes(body: Phantom, level: str, plates: Plates) -> NDArray[np.float64]:
    """mm³ of every label between both middle planes: planes turn from one to the other, each as thick as there."""
    upper, lower = (_middle(plates, name) for name in level.split("/"))
    top = max(body.structures) + 1
    total = np.zeros(top)
    for place, weight in zip(*STATIONS, strict=True):
        t = (1 + place) / 2
        gradient = (1 - t) * upper.normal + t * lower.normal
        centre = (1 - t) * upper.point + t * lower.point
        level_at = (1 - t) * upper.height(centre) + t * lower.height(centre)
        plane = Plane(centre - level_at * gradient / (gradient @ gradient), gradient)
        left, back = _flat(plane)
        x, y = (np.arange(a + COARSE / 2, b, COARSE) for a, b in AREA)
        points = (plane.point + x[:, None, None] * left + y[None, :, None] * back).reshape(-1, 3)
        thick = (lower.height(points) - upper.height(points)) / float(np.linalg.norm(gradient))
        found = body.labels_at(points)
        total += weight / 2 * COARSE**2 * np.bincount(found, np.maximum(thick, 0.0), minlength=top)
    return total
