"""A whole folder in place, or the one that was there before."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from keyhole.errors import KeyholeError, StorageFailure

_AT_FDCWD = -100
_EXCHANGE = 2


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder beside `path` to fill; when the block ends it takes `path`'s place in one step.

    After an error, a full disk or a kill, `path` is as it was. What a killed process left beside it begins with
    ``.keyhole-``; `remove_stale` clears it.
    """
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{_prefix(path)}{os.getpid()}-", dir=path.parent))
        try:
            fresh.chmod(0o755)
            yield fresh
            _swap(fresh, path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        if isinstance(error, KeyholeError) and not isinstance(error, StorageFailure):
            raise
        cause = error.__cause__ if isinstance(error, StorageFailure) and isinstance(error.__cause__, OSError) else error
        reason = cause.strerror or str(cause)
        raise StorageFailure(f"{path} could not be written: {reason}; everything there is as it was") from error


def remove_stale(path: Path) -> None:
    """Remove what killed processes left beside `path`; put back a folder caught between two renames."""
    path = path.resolve()
    if not path.parent.is_dir():
        return
    pattern = re.compile(re.escape(_prefix(path)) + r"(\d+)-")
    for left in sorted(path.parent.iterdir()):
        found = pattern.match(left.name)
        if not found or _is_running(int(found[1])):
            continue
        if left.name.endswith("-old") and not path.exists():
            left.rename(path)
        else:
            shutil.rmtree(left, ignore_errors=True)


def carry(old: Path, new: Path, leave: Collection[str] = ()) -> None:
    """Bring every file of the folder `old` into `new` (by hard link where the disk allows), but those in `leave`."""
    for root, folders, files in os.walk(old):
        here = Path(root)
        inside = new / here.relative_to(old)
        folders[:] = [f for f in folders if str((here / f).relative_to(old)) not in leave]
        inside.mkdir(exist_ok=True)
        for name in files:
            file = here / name
            if str(file.relative_to(old)) in leave or name.startswith(".keyhole-"):
                continue
            try:
                os.link(file, inside / name)
            except OSError:
                shutil.copy2(file, inside / name)


RESULTS = (
    "findings.json",
    "drawings.json",
    "plan.json",
    "forecast.json",
    "rehab.json",
    "report",
    "meshes",
    "levels.png",
)
"""What later stages made from the labels; it moves to earlier/ when the labels change."""


def put_aside(folder: Path, shelf: str) -> None:
    """Move the results in `folder` to earlier/`shelf`, or to a numbered one beside it where that is taken."""
    stale = [folder / name for name in RESULTS if (folder / name).exists()]
    if not stale:
        return
    place, n = folder / "earlier" / shelf, 1
    while place.exists():
        n += 1
        place = folder / "earlier" / f"{shelf}-{n}"
    place.mkdir(parents=True)
    for file in stale:
        file.rename(place / file.name)


def _prefix(path: Path) -> str:
    return f".keyhole-{path.name}-"


def _swap(fresh: Path, path: Path) -> None:
    """Put `fresh` at `path`; what was there is then at `fresh`."""
    if not path.exists():
        fresh.rename(path)
        return
    if _exchanged(fresh, path):
        return
    aside = path.with_name(f"{_prefix(path)}{os.getpid()}-old")
    path.rename(aside)
    try:
        fresh.rename(path)
    except OSError:
        aside.rename(path)
        raise
    aside.rename(fresh)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step where the system can."""
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done: int = exchange(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE)
    return done == 0


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
