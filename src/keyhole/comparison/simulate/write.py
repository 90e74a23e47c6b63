"""A simulated registry as files: registry.csv and truth.json, the pair or neither."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole import __version__
from keyhole.casefile.store import write_bytes
from keyhole.comparison.simulate.registry import Simulated
from keyhole.errors import InvalidInput, StorageFailure

TABLE, TRUTH = "registry.csv", "truth.json"


def write_simulated(found: Simulated, folder: Path) -> tuple[Path, Path]:
    """Write the table and its truth into `folder`; returns both paths.

    A new folder appears in one step. In a folder that holds an earlier simulation the old truth goes first and the
    new one comes last and names the table's SHA-256, so that no truth ever stands beside a table that is not its own.
    A table without a simulation's truth beside it is somebody's data and is never replaced.
    """
    content = csv_of(found)
    truth = dict(found.truth) | {"table": {"file": TABLE, "sha256": hashlib.sha256(content).hexdigest()}}
    said = (json.dumps(truth | {"keyhole": __version__}, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    if folder.exists():
        _check_own(folder)
        (folder / TRUTH).unlink(missing_ok=True)
        write_bytes(folder / TABLE, content)
        write_bytes(folder / TRUTH, said)
    else:
        _new_folder(folder, {TABLE: content, TRUTH: said})
    return folder / TABLE, folder / TRUTH


def csv_of(found: Simulated) -> bytes:
    """The table as CSV: numbers without needless zeros, empty where missing."""
    columns = found.table.columns
    cells = [values.tolist() if values.dtype == object else _cells(values) for values in columns.values()]
    lines = map(",".join, zip(*cells, strict=True))
    return ("\n".join([",".join(columns), *lines]) + "\n").encode()


def _cells(values: NDArray[np.float64]) -> list[str]:
    """Numbers as text; every distinct number is written once."""
    distinct, place = np.unique(values, return_inverse=True)
    words = np.array(["" if np.isnan(v) else repr(float(v)).removesuffix(".0") for v in distinct], dtype=object)
    cells: list[str] = words[place].tolist()
    return cells


def _check_own(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; expected a folder to write {TABLE} and {TRUTH} into")
    if (folder / TABLE).exists() and not _is_simulated(folder / TRUTH):
        raise InvalidInput(f"{folder} holds a {TABLE} that is no simulation (no {TRUTH} says so); give another folder")


def _is_simulated(path: Path) -> bool:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("schema") == "keyhole.simulated/1"


def _new_folder(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".keyhole-", dir=folder.parent))
        try:
            for name, content in files.items():
                write_bytes(beside / name, content)
            beside.chmod(0o755)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        if isinstance(error, StorageFailure):
            raise
        raise StorageFailure(f"{folder} could not be written: {error.strerror or error}; nothing was left") from error
