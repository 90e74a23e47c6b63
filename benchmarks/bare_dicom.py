"""A 700-slice CT as DICOM to labels, plan and report: time and peak memory, each command in a process of its own.

The series is generated: the phantom's CT, or with --ct any NIfTI CT, sampled on 512 x 512 x 700 voxels, with noise.

    python benchmarks/bare_dicom.py [--ct FILE] [--slices 700] [--level L4/L5] [--side left]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keyhole.anatomy.phantom import PhantomParameters, phantom
from keyhole.geometry import Grid, Transform, Volume
from keyhole.geometry.resample import reoriented, resample
from keyhole.imaging import read_nifti, write_dicom_series

NOISE = 12.0  # HU, in blocks of two voxels as a kernel would leave it
TO_LABELS, TO_REPORT, MEMORY = 25.0, 60.0, 3.0  # s, s, GiB


def main() -> None:
    """Generate, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--slices", type=int, default=700)
    parser.add_argument("--level", default="L4/L5")
    parser.add_argument("--side", default="left")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        start = time.perf_counter()
        n = generate(room / "dicom", chosen.ct, chosen.slices)
        print(f"generated {n} slices of 512 x 512 in {time.perf_counter() - start:.0f} s")
        case = room / "case"
        words = {
            "import": ["import", case, "--image", room / "dicom"],
            "segment": ["segment", case],
            "run": ["run", case, "--level", chosen.level, "--side", chosen.side, "--goal", "decompress"],
        }
        spent = {name: timed(command) for name, command in words.items()}
    to_labels = spent["import"][0] + spent["segment"][0]
    whole = to_labels + spent["run"][0]
    print(f"{'step':24} {'s':>7} {'GiB':>6}")
    for name, (seconds, memory) in spent.items():
        print(f"{name:24} {seconds:7.1f} {memory:6.2f}")
    print(f"{'DICOM to labels':24} {to_labels:7.1f}        limit {TO_LABELS:.0f} s, {MEMORY:.0f} GiB")
    print(f"{'DICOM to report':24} {whole:7.1f}        limit {TO_REPORT:.0f} s")


def generate(folder: Path, ct: Path | None, slices: int) -> int:
    """Write the series; how many slices it has."""
    source = painted() if ct is None else reoriented(read_nifti(ct).volume)
    size = np.array(source.grid.shape) * source.grid.spacing
    shape = (512, 512, slices)
    step = np.array([max(size[:2]) / 512, max(size[:2]) / 512, size[2] / slices])
    at = source.patient_from_index
    matrix = at.matrix.copy()
    matrix[:3, :3] = matrix[:3, :3] / source.grid.spacing * step
    volume = resample(source, Grid(shape, Transform(at.target, at.source, matrix)), fill=-1000.0)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, NOISE, (256, 256, (slices + 1) // 2)).astype(np.float32)
    array = np.empty(shape, dtype=np.int16)
    for k in range(slices):
        array[:, :, k] = np.asarray(volume.array)[:, :, k] + noise[:, :, k // 2].repeat(2, 0).repeat(2, 1)
    write_dicom_series(Volume(array, volume.patient_from_index), folder, "CT", "BENCH", "bare", 0)
    return slices


def painted() -> Volume:
    """The phantom's CT on 1 mm."""
    body = phantom(PhantomParameters(seed=1, pathologies=("herniation",), level="L4/L5", side="left"))
    return body.ct_on(body.grid())


def timed(words: list[object]) -> tuple[float, float]:
    """Seconds and peak GiB of one `keyhole` command on two cores."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [Path(sys.executable).with_name("keyhole"), *map(str, words)], env=os.environ | {"NUMBA_NUM_THREADS": "2"}
    )
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"keyhole {words[0]} failed")
    return time.perf_counter() - start, used.ru_maxrss / 2**20


if __name__ == "__main__":
    main()
