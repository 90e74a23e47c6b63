"""Keyhole, SimpleITK and dcm2niix on DICOM series that are easily read wrong: worst position error of any voxel.

Every voxel of a trap holds its own place in the patient, so that the error of each reader's result can be read off its
values, resampled or not. `python benchmarks/dicom.py` prints the table; `--write` puts it into docs/dicom.md.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/unit"))
from dicom_traps import LOWEST, SLOPE, Trap, traps, worst, write

from keyhole.errors import KeyholeError
from keyhole.imaging import read_image, survey

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/dicom.md"
MARKS = ("<!-- traps begin -->", "<!-- traps end -->")
LPS_FROM_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))

ALWAYS = ("Siemens CSA", "CSA header", "Unable to append", "Empty protocol")
"""Words of dcm2niix's warnings on every one of these series, also the upright one."""

REPEATED = 10
"""Voxels that hold the same place so often were filled in."""

Image = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Values (i, j, k), nan where nothing was seen, and LPS mm from index."""


class Refused(Exception):
    """A reader gave no image."""


def with_keyhole(folder: Path) -> tuple[list[Image], str]:
    """Every image that Keyhole lists as usable geometry."""
    try:
        rows = [row for row in survey(folder).rows if row.spacing]
        choices: list[str | None] = [row.choice for row in rows] if len(rows) > 1 else [None]
        found = [read_image(folder, choice) for choice in choices]
    except KeyholeError as error:
        raise Refused(str(error).split(": ", 1)[-1].replace(f"{folder} ", "")) from error
    said = "caveat" if any(image.caveats for image in found) else ""
    return [(i.volume.array.astype(np.float64), i.volume.patient_from_index.matrix) for i in found], said


def with_simpleitk(folder: Path) -> tuple[list[Image], str]:
    """Every series that GDCM finds, read as SimpleITK's series reader does."""
    found: list[Image] = []
    with stderr_text() as said:
        try:
            for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
                names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
                image = sitk.ReadImage(names if len(names) > 1 else names[0])
                matrix = np.eye(4)
                matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
                matrix[:3, 3] = image.GetOrigin()
                found.append((sitk.GetArrayFromImage(image).T.astype(np.float64), matrix))
        except (RuntimeError, ValueError) as error:
            raise Refused(str(error).strip().splitlines()[-1]) from error
    if not found:
        raise Refused("no series found")
    return found, "warned" if "WARNING" in said[0] else ""


def with_dcm2niix(folder: Path) -> tuple[list[Image], str]:
    """Every NIfTI file that dcm2niix writes with its default settings."""
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            ["dcm2niix", "-z", "n", "-b", "n", "-f", "%s", "-o", out, str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        found: list[Image] = []
        for file in sorted(Path(out).glob("*.nii")):
            image: Any = nib.load(file)
            values = np.asarray(image.get_fdata(), dtype=np.float64)
            found.append((values.reshape((*values.shape[:3], -1))[..., 0], LPS_FROM_RAS @ image.affine))
    if not found:
        lines = [x for x in (done.stdout + done.stderr).splitlines() if x.startswith(("Error", "Warning"))]
        raise Refused(lines[-1] if lines else "no image written")
    warned = [line for line in done.stdout.splitlines() if "Warning" in line and not any(w in line for w in ALWAYS)]
    return found, "warned" if warned else ""


@contextmanager
def stderr_text() -> Iterator[list[str]]:
    """What a library writes to the terminal's error stream."""
    said = [""]
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            said[0] = kept.read().decode(errors="replace")


def unseen(images: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """The three coordinate images with nan where a reader filled in, and next to it."""
    triples = np.stack([np.nan_to_num(image, nan=1e6).ravel() for image in images], axis=1)
    _, which, counts = np.unique(triples, axis=0, return_inverse=True, return_counts=True)
    known = (counts[which.ravel()] < REPEATED).reshape(images[0].shape)  # no two voxels of a trap hold the same place
    for image in images:
        known &= np.isfinite(image) & (image > LOWEST + 1) & (image < LOWEST + 65535 * SLOPE - 1)
    if not known.all():
        known = binary_erosion(known, np.ones((3, 3, 3)), iterations=1, border_value=1)
    return [np.where(known, image, np.nan) for image in images]


Reader = Callable[[Path], tuple[list[Image], str]]


def outcome(reader: Reader, folders: list[Path]) -> str:
    """The worst error in mm over every image that a reader gives, or why it gives none."""
    try:
        per_axis = [reader(folder) for folder in folders]
    except Refused as error:
        return f"refused: {shortened(str(error))}"
    counts = {len(images) for images, _ in per_axis}
    if len(counts) != 1:
        return "a different number of images each time"
    errors = []
    for along in zip(*(images for images, _ in per_axis), strict=True):
        if len({values.shape for values, _ in along}) == 1:
            errors.append(worst(unseen([values for values, _ in along]), along[0][1]))
    n, said = counts.pop(), per_axis[0][1]
    notes = [f"{n} images"] * (n > 1) + [said] * bool(said)
    each = list(dict.fromkeys(f"{error:.3f}" for error in sorted(errors) if np.isfinite(error)))
    shown = " and ".join(each if len(each) <= 2 else [f"{each[0]} to {each[-1]}"]) or "nothing comparable"
    return shown + (f" ({', '.join(notes)})" if notes else "")


def shortened(text: str) -> str:
    """One line without paths, at most 110 characters."""
    plain = re.sub(r"\S*/\S+", "…", " ".join(text.split())).replace("|", "/")
    return plain if len(plain) <= 110 else plain[:109] + "…"


def rows() -> Iterator[tuple[str, list[str]]]:
    """Each trap and what the three readers make of it."""
    readers = (with_keyhole, with_simpleitk, with_dcm2niix)
    for name, trap in traps().items():
        with tempfile.TemporaryDirectory() as place:
            yield name, [outcome(reader, written(trap, Path(place))) for reader in readers]


def written(trap: Trap, place: Path) -> list[Path]:
    """The three folders of a trap."""
    folders = [place / axis for axis in "xyz"]
    for axis, folder in enumerate(folders):
        if not folder.exists():
            write(trap, folder, axis)
    return folders


def main() -> None:
    """Print the table, or write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/dicom.md")
    arguments = parser.parse_args()
    version = subprocess.run(["dcm2niix", "--version"], capture_output=True, text=True, check=False).stdout.split()[-1]
    lines = [
        f"| trap | Keyhole | SimpleITK {sitk.Version_VersionString()} | dcm2niix {version} |",
        "|---|---|---|---|",
    ]
    for name, cells in rows():
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if arguments.write:
        text = DOCUMENT.read_text()
        before, rest = text.split(MARKS[0])
        table = "\n".join(lines)
        DOCUMENT.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


if __name__ == "__main__":
    main()
