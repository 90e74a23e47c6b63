"""Read and write a case folder: whole files or none."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from keyhole import __version__
from keyhole.casefile.forecast import ForecastRecord
from keyhole.casefile.models import (
    CaseRecord,
    DrawingsRecord,
    FindingsRecord,
    LabelsRecord,
    PlanRecord,
    Provenance,
    ReadingsRecord,
)
from keyhole.casefile.rehab import RehabRecord
from keyhole.errors import InvalidInput, StorageFailure, UnreadableFile, WrongCase

RESEARCH_USE = "Research use only. Not a medical device. Not for clinical decisions."

Record = TypeVar("Record", bound=BaseModel)

FILES: dict[type[BaseModel], str] = {
    CaseRecord: "case.json",
    LabelsRecord: "labels.json",
    FindingsRecord: "findings.json",
    DrawingsRecord: "drawings.json",
    PlanRecord: "plan.json",
    ReadingsRecord: "readings.json",
    ForecastRecord: "forecast.json",
    RehabRecord: "rehab.json",
}
_MADE_BY = {
    "labels.json": "import",
    "findings.json": "assess",
    "drawings.json": "assess",
    "plan.json": "plan",
    "forecast.json": "forecast",
    "rehab.json": "rehab",
}


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    After a failure, a full disk or a kill, `path` is what it was before. The temporary file begins with a dot and
    ends like `path`, so that writers which look at the ending work.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(prefix=".keyhole-", suffix=path.name, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, StorageFailure):
            raise
        reason = error.strerror or str(error)
        raise StorageFailure(
            f"{path.name} could not be written in {path.parent}: {reason}; the file is as it was"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """`content` at `path`, whole or not at all."""
    write_whole(path, lambda temporary: _fill(temporary, content))


def _fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def sha256(path: Path) -> str:
    """SHA-256 of the file at `path`, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def provenance(inputs: dict[str, str], **parameters: str | int | float | bool | list[str] | None) -> Provenance:
    """The block that says what made a file."""
    return Provenance(keyhole=__version__, inputs=dict(sorted(inputs.items())), parameters=parameters)


def to_json(record: BaseModel) -> bytes:
    """`record` as stable, indented UTF-8 JSON."""
    plain = record.model_dump(mode="json", by_alias=True)
    return (json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_record(path: Path, kind: type[Record]) -> Record:
    """The record of `kind` in the JSON file at `path`; a wrong or unreadable file is refused in one sentence."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidInput(f"{path} is not a valid {path.name}: {where}: {first['msg']}") from error


@dataclass(frozen=True, slots=True)
class Case:
    """An existing case folder."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise WrongCase(
                f"{self.path} is not a case folder: there is no such folder; make one with `keyhole import`"
            )
        if not (self.path / "case.json").is_file():
            raise WrongCase(f"{self.path} is not a case folder: it has no case.json; make one with `keyhole import`")

    def has(self, kind: type[BaseModel]) -> bool:
        """Whether the file of records of `kind` exists."""
        return (self.path / FILES[kind]).is_file()

    def read(self, kind: type[Record]) -> Record:
        """The case's record of `kind`; if its stage has not run, the message names the command."""
        file = self.path / FILES[kind]
        if not file.is_file() and file.name in _MADE_BY:
            raise WrongCase(f"{self.path} has no {file.name} yet; run `keyhole {_MADE_BY[file.name]}` first")
        return read_record(file, kind)

    def write(self, record: BaseModel) -> Path:
        """Put `record` in its file, whole or not at all; returns the path."""
        file = self.path / FILES[type(record)]
        write_bytes(file, to_json(record))
        return file

    def digest(self, *names: str) -> dict[str, str]:
        """SHA-256 of the named files of the case, for a provenance block; absent files are left out."""
        return {name: sha256(self.path / name) for name in names if (self.path / name).is_file()}
