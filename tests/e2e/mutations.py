"""Inputs spoiled in every way that files are in the wild, and what the command line makes of them."""

import contextlib
import resource
import shutil
import signal
import sys
import time
import traceback
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from click.testing import CliRunner

from keyhole.casefile.folder import remove_stale
from keyhole.cli.main import main
from keyhole.geometry import LabelMap
from keyhole.imaging import write_dicom_series, write_nifti

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from import_files import KEYS, blocks, body, placed, scan

SECONDS = 10.0
MEMORY = 4 * 2**30
KINDS = ("flip", "truncate", "tag", "lie", "swap", "zero")
SOURCES = ("dicom", "zip", "image", "labels", "total", "packed", "stored")

_TAGS = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID",
    "RescaleSlope", "RescaleIntercept", "Modality", "SamplesPerPixel", "PhotometricInterpretation", "InstanceNumber",
    "FrameOfReferenceUID", "PixelData", "ImageType", "SliceThickness", "NumberOfFrames", "HighBit",
)  # fmt: skip
_VALUES = ("", "0", "-1", "1e30", "nan", "abc", "1\\2", "0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "65535", "9" * 40)
_NIFTI_FIELDS = ((40, "<i2"), (42, "<i2"), (44, "<i2"), (46, "<i2"), (70, "<i2"), (72, "<i2"), (76, "<f4"), (80, "<f4"),
                 (108, "<f4"), (112, "<f4"), (116, "<f4"), (252, "<i2"), (254, "<i2"), (280, "<f4"), (300, "<f4"),
                 (344, "<i4"), (348, "<i4"), (352, "<i4"), (356, "<i4"), (0, "<i4"))  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How one spoiled input ended: `wrong` is empty where all is as it must be."""

    seed: int
    source: str
    kind: str
    exit_code: int
    said: str
    seconds: float
    wrong: str


def originals(folder: Path) -> None:
    """Write the sound inputs that are spoiled later, once."""
    at, array = placed(), blocks()
    write_dicom_series(body(array, at), folder / "dicom", "CT", "P1", "axial", 1)
    with zipfile.ZipFile(folder / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((folder / "dicom").iterdir()):
            archive.write(file, f"DICOM/{file.name}")
    image, _ = scan(folder / "gz")
    shutil.copy(image, folder / "ct.nii.gz")
    write_nifti(body(array, at), folder / "ct.nii")
    write_nifti(LabelMap(array, at, KEYS), folder / "seg.nii")
    scan(folder / "total", names="totalsegmentator")


def spoiled(seed: int, store: Path, folder: Path) -> tuple[str, str, list[str]]:
    """One spoiled input in `folder`: its source, what was done to it, and the arguments of the command."""
    rng = np.random.default_rng([seed, 77])
    source, kind = SOURCES[seed % len(SOURCES)], KINDS[int(rng.integers(len(KINDS)))]
    case = str(folder / "case")
    if source in ("dicom", "stored"):
        copy = folder / "series"
        shutil.copytree(store / "dicom", copy)
        files = sorted(copy.iterdir())
        for file in rng.choice(np.array(files, dtype=object), int(rng.choice([1, 1, 3, len(files)])), replace=False):
            _spoil(file, kind, np.random.default_rng([seed, 78]))
        if source == "stored":
            return source, kind, ["inspect", str(copy)]
        return source, kind, ["import", case, "--image", str(copy)]
    name = {"zip": "scan.zip", "image": "ct.nii", "labels": "seg.nii", "packed": "ct.nii.gz"}.get(source)
    file = store / name if name else store / "total/seg.nii.gz"
    copy = folder / file.name
    shutil.copy(file, copy)
    _spoil(copy, kind, rng)
    if source in ("labels", "total"):
        return source, kind, ["import", case, "--image", str(store / "ct.nii"), "--labels", str(copy)]
    return source, kind, ["import", case, "--image", str(copy)]


def _spoil(file: Path, kind: str, rng: np.random.Generator) -> None:
    if kind in ("tag", "lie") and file.suffix == ".dcm":
        _tag(file, rng)
        return
    raw = bytearray(file.read_bytes())
    head = min(len(raw), 1200)
    if kind == "truncate":
        raw = raw[: int(rng.integers(0, len(raw)))]
    elif kind in ("tag", "lie") and file.suffix == ".nii":
        at, form = _NIFTI_FIELDS[int(rng.integers(len(_NIFTI_FIELDS)))]
        value = rng.choice([0, -1, 3, 32767, -32768, 1000000])
        raw[at : at + np.dtype(form).itemsize] = np.array(value).astype(form).tobytes()
    elif kind == "swap":
        a, b, n = (int(rng.integers(0, head)) for _ in range(3))
        raw[a : a + n], raw[b : b + n] = raw[b : b + n], raw[a : a + n]
    elif kind == "zero":
        a = int(rng.integers(0, head))
        raw[a : a + int(rng.integers(1, 400))] = bytes(int(rng.integers(0, 400)))
    else:
        for _ in range(int(rng.integers(1, 40))):
            raw[int(rng.integers(0, head if rng.random() < 0.7 else len(raw)))] ^= 1 << int(rng.integers(8))
    file.write_bytes(bytes(raw))


def _tag(file: Path, rng: np.random.Generator) -> None:
    """Remove a tag, or give it a value that contradicts the others, byte for byte past pydicom's own checks."""
    data = pydicom.dcmread(file)
    name = _TAGS[int(rng.integers(len(_TAGS)))]
    if name not in data or rng.random() < 0.4:
        if name in data:
            del data[name]
    else:
        with contextlib.suppress(Exception):
            element = data[name]
            text = str(rng.choice(np.array(_VALUES)))
            value = int(rng.choice([0, 1, 7, 65535])) if element.VR in ("US", "SS") else text
            element._value = bytes(int(rng.integers(0, 90))) if element.VR in ("OW", "OB") else value
    with contextlib.suppress(Exception):
        data.save_as(file)


class _Late(Exception):
    """The command took too long."""


def _alarm(_number: int, _frame: object) -> None:
    raise _Late


def tried(seed: int, store: Path, room: Path) -> Outcome:
    """Spoil, run the command, and look at what it said and left behind."""
    folder = room / f"{seed:05d}"
    folder.mkdir()
    source, kind, words = spoiled(seed, store, folder)
    before = {p.name for p in folder.iterdir()}
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(int(SECONDS))
    start = time.perf_counter()
    try:
        result = CliRunner().invoke(main, words)
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - start
    wrong = _faults(result, folder, before)
    lines = [line for line in result.output.strip().splitlines() if line.strip()]
    if not wrong:
        shutil.rmtree(folder)
    said = lines[-1] if lines else ""
    return Outcome(seed, source, kind, int(result.exit_code), said, seconds, wrong)


def _faults(result: object, folder: Path, before: set[str]) -> str:
    """What is wrong with how a command ended, in words; "" where nothing is."""
    error = result.exception  # type: ignore[attr-defined]
    if error is not None and not isinstance(error, SystemExit):
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} at {Path(last.filename).name}:{last.lineno}"
    code, output = result.exit_code, result.output  # type: ignore[attr-defined]
    if code not in (0, 1):
        return f"exit status {code}: {output[-300:]}"
    if "Traceback" in output or (code == 1 and output.count("Error:") != 1):
        return f"not one clear sentence: {output[-400:]}"
    left = {p.name for p in folder.iterdir()} - before
    case = folder / "case"
    if code == 1 and left:
        return f"left behind: {sorted(left)}"
    if code == 0 and case.exists() and not (case / "case.json").is_file():
        return "a case without case.json"
    remove_stale(case)
    return ""


def limit_memory() -> None:
    """Let this process grow by `MEMORY` and no further."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def batch(seeds: range, store: Path, room: Path) -> list[Outcome]:
    """`tried` on each of `seeds`, in a process that may grow by `MEMORY` only."""
    warm = room / "warm"
    warm.mkdir(exist_ok=True)
    CliRunner().invoke(main, ["import", str(warm / f"case-{seeds.start}"), "--image", str(store / "ct.nii"),
                              "--labels", str(store / "seg.nii")])  # fmt: skip
    limit_memory()
    return [tried(seed, store, room) for seed in seeds]
