"""How fast and how right corridors are judged, against brute force, VTK, scipy and SimpleITK, in one run on two cores.

Every method judges the same candidates on the same scene: tubes of one radius from docks around a foramen to the skin.
Brute force samples the distance field every 0.25 mm, trilinear. VTK and SimpleITK get the same algorithm (sphere
tracing) and the same exit rule, with `vtkImplicitPolyDataDistance`, or `Image.EvaluateAtContinuousIndex` on the same
field, in place of our kernel; scipy samples every 0.5 mm with `map_coordinates`, its own way. Rates exclude making the
field or the surface; the field's own time stands beside those of scipy and SimpleITK. With `--write`, whole levels,
growth, dragging and the array path follow (`corridor_level.py`), and docs/speed.md is written.

    python benchmarks/corridors.py [--case CASE --level L4/L5 --side left] [--json] [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import numba
import numpy as np
from scipy.ndimage import map_coordinates

from keyhole.geometry import Volume, affine, distance_field
from keyhole.plan.corridor import FINE, gaps, is_clear

RADIUS, MARGIN = 3.5, 1.0
TARGETS = {
    "yes/no, M/s": 5.0,
    "graded, M/s": 1.0,
    "times VTK": 500.0,
    "agreement, %": 99.9,
    "worst false safe, mm": 0.1,
}


def scene(seed: int = 5) -> tuple[np.ndarray, Volume]:
    """A mask of bone, nerve and vessel shapes around a foramen at the origin, 1 mm, and its distance field."""
    rng = np.random.default_rng(seed)
    low, shape = np.array([-30.0, -60.0, -60.0]), (150, 150, 120)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"), -1) + low
    mask = np.zeros(shape, dtype=bool)
    mask |= ((grid[..., 0] + 16) / 22) ** 2 + ((grid[..., 1] + 24) / 18) ** 2 < 1  # bodies
    mask |= (np.abs(grid[..., 0] + 14) < 12) & (np.abs(grid[..., 1] - 6) < 8)  # canal
    for up in (-24, 24):  # pedicles, facets, transverse processes, roots
        near = np.abs(grid[..., 2] - up)
        mask |= (np.abs(grid[..., 0]) < 5) & (np.abs(grid[..., 1]) < 10) & (near < 9)
        mask |= (np.abs(grid[..., 0] - 4) < 5) & (np.abs(grid[..., 1] - 20) < 6) & (near < 15)
        mask |= (grid[..., 0] > 0) & (grid[..., 0] < 34) & (np.abs(grid[..., 1] - 8) < 4) & (near < 4)
        way = np.array([28.0, -26.0, -30.0])
        for t in np.linspace(0, 1, 40):
            mask |= np.linalg.norm(grid - (np.array([-2, 2, up - 12]) + t * way), axis=-1) < 2.5
    for at in rng.uniform([20, -60, -60], [110, -20, 60], (12, 3)):
        mask |= np.linalg.norm(grid - at, axis=-1) < rng.uniform(6, 14)
    transform = np.eye(4)
    transform[:3, 3] = low
    return mask, distance_field(mask, affine(transform), signed=True)


def candidates() -> tuple[np.ndarray, np.ndarray]:
    """Axes of about a million tubes, as the search lists them: every dock of a 2 mm lattice, every direction."""
    axes = [np.arange(0.3, 15, 2), np.arange(-13.8, 13, 2), np.arange(-16.1, 17, 2)]
    docks = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    azimuth, tilt = np.deg2rad(np.meshgrid(np.arange(20, 81, 2.5), np.arange(-20, 21, 2), indexing="ij"))
    a, e = azimuth.ravel(), tilt.ravel()
    out = np.stack([np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)], axis=1)
    dock, out = np.repeat(docks, len(out), axis=0), np.tile(out, (len(docks), 1))
    start = dock + RADIUS * out
    edge = np.where(out >= 0, [118.0, 88.0, 58.0], [-28.0, -58.0, -58.0])
    room = (edge - start) / np.where(np.abs(out) > 1e-9, out, 1e-9)
    return start, start + np.minimum(100.0, room.min(axis=1) - 0.5)[:, None] * out


def from_case(path: Path, level: str, side: str) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Field and candidates of the transforaminal approach on a real case."""
    # ruff: noqa: PLC0415
    from keyhole.anatomy.reading import load
    from keyhole.casefile import Case
    from keyhole.plan.approaches import catalogue
    from keyhole.plan.search import space
    from keyhole.plan.site import site

    room, _ = space(site(load(Case(path), with_image=False), level, side), catalogue()["transforaminal-endoscopic"])
    dock = np.repeat(room.docks, len(room.out), axis=0)
    out = np.tile(room.out, (len(room.docks), 1))
    start, stop = dock + RADIUS * out, dock + 80.0 * out
    inside = room.tube.grid.contains(stop) & room.tube.grid.contains(start)
    mask = np.asarray(room.tube.array == 0)
    return distance_field(mask, room.tube.patient_from_index), start[inside], stop[inside]


def brute(field: Volume, start: np.ndarray, stop: np.ndarray, step: float = 0.25) -> np.ndarray:
    """Least trilinear value on each axis, sampled every `step` mm, minus the radius."""
    least = np.empty(len(start))
    n = int(np.ceil(np.linalg.norm(stop - start, axis=1).max() / step)) + 1
    for at in range(0, len(start), 4000):
        part = slice(at, at + 4000)
        share = np.linspace(0, 1, n)[None, :, None]
        points = start[part, None] * (1 - share) + stop[part, None] * share
        index = field.grid.index(points.reshape(-1, 3)).T
        values = map_coordinates(field.array, index, order=1, mode="nearest").reshape(-1, n)
        least[part] = values.min(axis=1)
    return least - RADIUS


def rate(function, n: int, repeats: int = 5) -> tuple[float, float]:
    """Candidates per second, in millions, and % of the threads' time that was had: the best of `repeats` runs."""
    function()
    best, had = np.inf, 0.0
    for _ in range(repeats):
        begin, cpu = time.perf_counter(), time.process_time()
        function()
        took = time.perf_counter() - begin
        if took < best:
            best, had = took, 100 * (time.process_time() - cpu) / took / numba.get_num_threads()
    return n / best / 1e6, had


def vtk_clear(distance, start: np.ndarray, stop: np.ndarray, need: float) -> tuple[np.ndarray, float]:
    """The same sphere tracing and exit with VTK's implicit distance; answers and seconds."""
    clear = np.zeros(len(start), dtype=bool)
    length = np.linalg.norm(stop - start, axis=1)
    along = (stop - start) / length[:, None]
    begin = time.perf_counter()
    for n, (a, u, end) in enumerate(zip(start.tolist(), along.tolist(), length.tolist(), strict=True)):
        t = 0.0
        while True:
            value = distance(a[0] + t * u[0], a[1] + t * u[1], a[2] + t * u[2])
            if not value >= need:
                break
            if t >= end:
                clear[n] = True
                break
            t = min(end, t + value - need + FINE)
    return clear, time.perf_counter() - begin


def vtk_surface(field: Volume):
    """VTK's implicit distance to the zero surface of the same field."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*field.array.shape)
    image.SetSpacing(*field.grid.spacing)
    image.SetOrigin(*field.grid.centres([0, 0, 0]))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(field.array.ravel(order="F")), deep=True))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0.0)
    contour.Update()
    surface = vtk.vtkImplicitPolyDataDistance()
    surface.SetInput(contour.GetOutput())
    outside = field.grid.centres(np.unravel_index(int(field.array.argmax()), field.array.shape))
    sign = 1.0 if surface.EvaluateFunction(*outside) > 0 else -1.0  # VTK's sign follows the triangles' winding
    return (lambda x, y, z: sign * surface.EvaluateFunction(x, y, z)), contour.GetOutput().GetNumberOfPolys()


def compare_vtk(field: Volume, start: np.ndarray, stop: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Rates of both on the same candidates, and the agreement of VTK's answers with brute force."""
    surface, triangles = vtk_surface(field)
    found, seconds = vtk_clear(surface, start, stop, RADIUS + MARGIN)
    many = max(1, 400_000 // len(start))
    tiled, ends = np.tile(start, (many, 1)), np.tile(stop, (many, 1))
    ours, _ = rate(lambda: is_clear(field, tiled, ends, RADIUS, MARGIN), len(tiled))
    theirs = len(start) / seconds / 1e6
    agree = 100 * float((found == (truth >= MARGIN)).mean())
    return {
        "VTK triangles": triangles,
        "VTK candidates": len(start),
        "VTK, M/s": theirs,
        "ours on the same, M/s": ours,
        "VTK agreement, %": agree,
        "times VTK": ours / theirs,
    }


def sitk_clear(image, field: Volume, start: np.ndarray, stop: np.ndarray, need: float) -> tuple[np.ndarray, float]:
    """The same sphere tracing and exit on the same field with SimpleITK's interpolation; answers and seconds."""
    import SimpleITK

    begin, end = field.grid.index(start), field.grid.index(stop)
    length = np.linalg.norm(stop - start, axis=1)
    along = (end - begin) / length[:, None]
    clear = np.zeros(len(start), dtype=bool)
    linear = SimpleITK.sitkLinear
    clock = time.perf_counter()
    for n, (a, u, far) in enumerate(zip(begin.tolist(), along.tolist(), length.tolist(), strict=True)):
        t = 0.0
        while True:
            value = image.EvaluateAtContinuousIndex((a[0] + t * u[0], a[1] + t * u[1], a[2] + t * u[2]), linear)
            if not value >= need:
                break
            if t >= far:
                clear[n] = True
                break
            t = min(far, t + value - need + FINE)
    return clear, time.perf_counter() - clock


def compare_others(field: Volume, start: np.ndarray, stop: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Rates of scipy and SimpleITK on the same candidates, their agreement with brute force, and the fields' times."""
    import SimpleITK
    from scipy.ndimage import distance_transform_edt

    begin = time.perf_counter()
    sampled = brute(field, start, stop, step=0.5)
    scipy_rate = len(start) / (time.perf_counter() - begin) / 1e6
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(field.array.T))
    traced, seconds = sitk_clear(image, field, start, stop, RADIUS + MARGIN)
    mask = np.asarray(field.array <= 0)
    times = {}
    for name, act in (
        ("ours", lambda: distance_field(mask, field.patient_from_index, signed=False)),
        ("scipy", lambda: distance_transform_edt(~mask)),
        ("SimpleITK", lambda: SimpleITK.SignedMaurerDistanceMap(
            SimpleITK.GetImageFromArray(mask.astype(np.uint8)), squaredDistance=False, useImageSpacing=True)),
    ):  # fmt: skip
        best = np.inf
        for _ in range(3):
            begin = time.perf_counter()
            act()
            best = min(best, time.perf_counter() - begin)
        times[f"distance field {name}, s"] = best
    return {
        "scipy, M/s": scipy_rate,
        "scipy agreement, %": 100 * float(((sampled >= MARGIN) == (truth >= MARGIN)).mean()),
        "SimpleITK, M/s": len(start) / seconds / 1e6,
        "SimpleITK agreement, %": 100 * float((traced == (truth >= MARGIN)).mean()),
        **times,
    }


def measure(checked: int, with_vtk: int, case: tuple[Path, str, str] | None) -> dict[str, float]:
    if case is None:
        _, field = scene()
        start, stop = candidates()
    else:
        field, start, stop = from_case(*case)
    n = len(start)
    result: dict[str, float] = {
        "candidates": n,
        "voxels": field.array.size,
        "threads": numba.get_num_threads(),
    }
    result["yes/no, M/s"], result["yes/no, % of cores had"] = rate(
        lambda: is_clear(field, start, stop, RADIUS, MARGIN), n
    )
    result["graded, M/s"], result["graded, % of cores had"] = rate(
        lambda: gaps(field, start, stop, RADIUS, floor=-3.0, boxes=False), n
    )
    some = np.sort(np.random.default_rng(6).permutation(n)[:checked])
    truth = brute(field, start[some], stop[some])
    answers = is_clear(field, start[some], stop[some], RADIUS, MARGIN)
    result["checked"] = len(truth)
    result["feasible, %"] = 100 * float((truth >= MARGIN).mean())
    result["agreement, %"] = 100 * float((answers == (truth >= MARGIN)).mean())
    result["false safe"] = int((answers & (truth < MARGIN)).sum())
    result["worst false safe, mm"] = float(max(0.0, (MARGIN - truth[answers]).max(initial=0.0)))
    graded = gaps(field, start[some], stop[some], RADIUS, floor=-3.0, boxes=False)
    known = truth > -3.0
    result["graded worst error, mm"] = float(np.abs(graded[known] - truth[known]).max(initial=0.0))
    if with_vtk:
        few = np.sort(np.random.default_rng(7).permutation(len(some))[:with_vtk])
        result |= compare_vtk(field, start[some[few]], stop[some[few]], truth[few])
        result |= compare_others(field, start[some[few]], stop[some[few]], truth[few])
        ours = result["ours on the same, M/s"]
        result |= {f"times {name}": ours / result[f"{name}, M/s"] for name in ("scipy", "SimpleITK")}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checked", type=int, default=60_000, help="candidates that brute force checks")
    parser.add_argument("--vtk", type=int, default=2_000, help="of which the others judge; 0 leaves them out")
    parser.add_argument("--case", type=Path, help="a case folder instead of the scene")
    parser.add_argument("--level", default="L4/L5")
    parser.add_argument("--side", default="left")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="whole levels too, into docs/speed.md and its picture")
    asked = parser.parse_args()
    case = (asked.case, asked.level, asked.side) if asked.case else None
    result = measure(asked.checked, asked.vtk, case)
    if asked.write:
        from corridor_document import write

        write(result)
    if asked.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        wanted = TARGETS.get(name)
        note = "" if wanted is None else f"  target {'<=' if 'worst' in name else '>='} {wanted:g}"
        print(f"{name:<24}{value:>14,.5g}{note}")


if __name__ == "__main__":
    sys.exit(main())
