"""docs/speed.md and its picture from the figures of `corridors.py` and `corridor_level.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT, PICTURE = ROOT / "docs/speed.md", ROOT / "docs/images/speed.svg"
MARKS = ("<!-- speed begin -->", "<!-- speed end -->")
PARTS = ("level", "drag", "growth", "arrays")

HEAD = """# Speed

Made by `make bench`, or `python benchmarks/corridors.py --write`: every figure below comes from one run. *s* is time
on the clock, *CPU s* that of all threads together; on a busy machine only the second means something. Compiling is left
out (a first run after installing takes about a minute longer), painting the phantom too; distance fields are counted.

Like for like: VTK and SimpleITK get our algorithm (sphere tracing), candidates and exit rule, called from Python as a
planner would call them; scipy samples all of each axis at once every 0.5 mm. A loop that does more work than it needs
would make the factors larger and is not compared with.

{begin}
{end}

What grows how: distance fields and masks go with the voxels around the level; the sweep goes with docks x directions x
radii; the search lays all hard structures into one field, so their number costs it nothing, and only the exact figures
of a corridor (a score) look at each structure's surface.

**GPU.** `search(..., backend="cupy")` runs the sweep and the instruments' lines on an array library, ray for ray
with the same arithmetic; `backend="numpy"` is the same code on numpy and gives the same corridors to the last bit (a
test holds it to that). Reach, tissue and distance fields stay on the processor. Compiled kernels are the default, and
the faster way without a GPU.
"""


def parts() -> dict[str, Any]:
    """Every part of `corridor_level.py`, each in a process of its own."""
    found = {}
    with tempfile.TemporaryDirectory() as kept:
        folder = os.environ.get("KEYHOLE_BENCH_FOLDER", kept)
        for name in PARTS:
            command = [sys.executable, str(ROOT / "benchmarks/corridor_level.py"), name, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name] = json.loads(done.stdout)
            print(f"{name} done", file=sys.stderr)
    return found


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


BUSY = os.getloadavg()[0] > 1.5
"""Whether others were at work when the run began: then a target that is missed is not judged."""


def _verdict(is_kept: bool) -> str:
    return "kept" if is_kept else "not judged, the machine was busy" if BUSY else "**missed**"


def _whole(level: dict[str, Any]) -> str:
    million = level["candidates"] / 1e6
    rows = [(r["approach"], r["side"], f"{r['candidates']:,}", f"{r['clear']:,}") for r in level["rooms"]]
    ok = level["wall"] < 20 and level["peak"] < 3 and million >= 5
    return "\n".join([
        "### One level, two sides, every approach to a decompression",
        "",
        f"{level['voxels'] / 1e6:.1f} M voxels of 1 mm: **{million:.1f} M candidates in {level['wall']:.1f} s** "
        f"({level['cpu']:.1f} CPU s), peak memory {level['peak']:.2f} GiB ({level['before']:.2f} before). Target 5 M "
        f"in 20 s and 3 GiB: {_verdict(ok)}. The front of all of them ({level['front']} corridors) takes "
        f"{level['front_wall']:.2f} s more.",
        "",
        table(("approach", "side", "candidates", "clear and reaching"), rows),
    ])  # fmt: skip


def _judged(found: dict[str, float]) -> str:
    rows = [
        ("yes/no", f"{found['yes/no, M/s']:.1f}", f"{found['agreement, %']:.3f}",
         f"target 5: {_verdict(found['yes/no, M/s'] >= 5)}; {found['yes/no, % of cores had']:.0f} % of two cores had"),
        ("graded", f"{found['graded, M/s']:.2f}", f"worst error {found['graded worst error, mm']:.3f} mm",
         f"target 1: {_verdict(found['graded, M/s'] >= 1)}; {found['graded, % of cores had']:.0f} % of two cores had"),
    ]  # fmt: skip
    for name in ("VTK", "SimpleITK", "scipy"):
        if f"{name}, M/s" in found:
            rows.append((
                name, f"{found[f'{name}, M/s']:.5f}", f"{found[f'{name} agreement, %']:.2f}",
                f"ours on the same candidates {found['ours on the same, M/s']:.1f}, {found[f'times {name}']:.0f} times",
            ))  # fmt: skip
    said = (
        f"{found['candidates']:,.0f} candidates on a field of {found['voxels'] / 1e6:.1f} M voxels; worst false safe "
        f"{found['worst false safe, mm']:.3f} mm."
    )
    fields = ", ".join(f"{k[15:-3]} {v:.2f} s" for k, v in found.items() if k.startswith("distance field"))
    return "\n".join([
        "### Judging corridors", "", said, "",
        table(("method", "million/s", "agreement with brute force, %", "note"), rows), "",
        f"Distance field of the same mask: {fields}.",
    ])  # fmt: skip


def _dragged(drag: dict[str, Any]) -> str:
    verdicts = ", ".join(f"{n} {name}" for name, n in drag["verdicts"].items())
    return "\n".join([
        "### By hand", "",
        f"A dragged corridor at 1 mm, exact figures of every structure: median **{drag['median']:.1f} ms**, 95 % "
        f"within {drag['p95']:.1f} ms (CPU {drag['cpu']:.1f} ms), {drag['scored']} scores ({verdicts}); target 20 ms: "
        f"{_verdict(drag['p95'] < 20)}. A new order of the front of {drag['front']} corridors: {drag['rank']:.2f} ms.",
    ])  # fmt: skip


def _grown(growth: dict[str, Any]) -> str:
    blocks = ["### Growth: one approach, one side", "", "![growth](images/speed.svg)"]
    for name in ("volume", "candidates", "structures"):
        rows = [
            (f"{r['voxels'] / 1e6:.1f}", r["structures"], f"{r['candidates']:,}", f"{r['wall']:.2f}",
             f"{r['cpu']:.2f}", f"{r['score_ms']:.1f}" if "score_ms" in r else "")
            for r in growth[name]
        ]  # fmt: skip
        head = ("M voxels", "structures", "candidates", "search, s", "search, CPU s", "score, ms")
        blocks += ["", f"With {name}:", "", table(head, rows)]
    return "\n".join(blocks)


def _libraries(arrays: dict[str, Any]) -> str:
    rows, note = [], ""
    for name, row in arrays.items():
        if "absent" in row:
            rows.append((name, "", "", "", "not measured"))
            note = f"No device for {name} was at hand."
        else:
            same = "the same corridors" if row["same"] else "**other corridors**"
            rows.append((name, f"{row['candidates']:,}", f"{row['wall']:.2f}", f"{row['cpu']:.2f}", same))
    return "\n".join([
        "### Backends: one approach, one side, fields included", "",
        table(("backend", "candidates", "s", "CPU s", "answers"), rows), "", note,
    ])  # fmt: skip


def write(found: dict[str, float]) -> None:
    """Measure what is left and write both files."""
    more = parts()
    body = "\n\n".join([
        _whole(more["level"]), _judged(found), _dragged(more["drag"]), _grown(more["growth"]),
        _libraries(more["arrays"]),
    ])  # fmt: skip
    load = f"Load of the machine: {os.getloadavg()[0]:.1f} at the end of the run, on {os.cpu_count()} cores."
    load += " It was busy with other work before: only CPU seconds count." * BUSY
    text = HEAD.format(begin=MARKS[0], end=f"{load}\n\n{body}\n{MARKS[1]}")
    DOCUMENT.write_text(text, encoding="utf-8")
    PICTURE.write_text(picture(more["growth"]), encoding="utf-8")


PANELS = (
    ("volume", "voxels", "million voxels", 1e6, "wall", "search, s"),
    ("candidates", "candidates", "million candidates", 1e6, "wall", "search, s"),
    ("structures", "structures", "structures", 1.0, "score_ms", "score, ms"),
)
WIDE, HIGH, EDGE = 300, 230, 46


def picture(growth: dict[str, Any]) -> str:
    """Three panels, each with logarithmic axes; the dashed line has slope 1."""
    panels = []
    for n, (name, across, label, scale, up, unit) in enumerate(PANELS):
        x = np.array([row[across] / scale for row in growth[name]])
        panels.append(_panel(n, x, np.array([row[up] for row in growth[name]]), label, unit))
    size = f'viewBox="0 0 {3 * WIDE} {HIGH}" font-family="sans-serif" font-size="12"'
    back = f'<rect width="{3 * WIDE}" height="{HIGH}" fill="white"/>'
    title = "<title>Seconds of the search with volume and candidates, milliseconds of a score with structures</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{title}{back}{"".join(panels)}</svg>\n'


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _panel(n: int, x: np.ndarray, y: np.ndarray, label: str, unit: str) -> str:
    low = np.log10([x.min() / 1.2, min(y.min(), y.max() / 4) / 1.3])
    high = np.log10([x.max() * 1.2, y.max() * 1.3])

    def at(value: np.ndarray) -> np.ndarray:
        share = (np.log10(value) - low) / (high - low)
        plot = np.array([WIDE - EDGE - 14, HIGH - 2 * EDGE])
        return np.array([n * WIDE + EDGE, HIGH - EDGE]) + share * plot * [1, -1]

    points = at(np.stack([x, y], axis=1))
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="#1f5fa8"/>' for a, b in points)
    top, left = at(10 ** np.array([low[0], high[1]])), at(10 ** np.array([high[0], low[1]]))
    frame = (
        f'<path d="M{top[0]:.1f},{top[1]:.1f} V{left[1]:.1f} H{left[0]:.1f}" fill="none" stroke="#555"/>'
        f'<text x="{(top[0] + left[0]) / 2:.0f}" y="{HIGH - 8}" text-anchor="middle">{label}</text>'
        f'<text x="{top[0]:.0f}" y="{top[1] - 12:.0f}">{unit}</text>'
    )
    ticks = "".join(
        f'<text x="{at(np.array([v, y.max()]))[0]:.0f}" y="{HIGH - EDGE + 16}" text-anchor="middle">{_short(v)}</text>'
        for v in (x.min(), x.max())
    ) + "".join(
        f'<text x="{top[0] - 6:.0f}" y="{at(np.array([x.max(), v]))[1] + 4:.0f}" text-anchor="end">{_short(v)}</text>'
        for v in (y.min(), y.max())
    )
    end = min(x.max(), x.min() * 10 ** high[1] / y.min())
    ends = at(np.array([[x.min(), y.min()], [end, y.min() * end / x.min()]]))
    slope = (
        f'<line x1="{ends[0][0]:.1f}" y1="{ends[0][1]:.1f}" x2="{ends[1][0]:.1f}" y2="{ends[1][1]:.1f}" '
        'stroke="#999" stroke-dasharray="4 4"/>'
    )
    return frame + ticks + slope + f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="2"/>' + dots
