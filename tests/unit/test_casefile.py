"""The case folder: records refuse what they do not know, files are whole or not there."""

import errno
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from keyhole.casefile import (
    Case,
    CaseRecord,
    FindingsRecord,
    Quantity,
    provenance,
    read_record,
    to_json,
    write_bytes,
    write_whole,
)
from keyhole.errors import InvalidInput, StorageFailure, UnreadableFile, WrongCase


def record() -> CaseRecord:
    return CaseRecord(id="one", numbering="by hand", provenance=provenance({}))


def test_what_was_written_reads_back_equal(tmp_path: Path):
    write_bytes(tmp_path / "case.json", to_json(record()))
    assert read_record(tmp_path / "case.json", CaseRecord) == record()
    assert json.loads((tmp_path / "case.json").read_text())["schema"] == "keyhole.case/1"


def test_an_unknown_field_is_an_error_that_names_the_field(tmp_path: Path):
    plain = json.loads(to_json(record())) | {"colour": "red"}
    (tmp_path / "case.json").write_text(json.dumps(plain))
    with pytest.raises(InvalidInput, match=r"case\.json.*colour"):
        read_record(tmp_path / "case.json", CaseRecord)


def test_a_truncated_or_missing_file_is_one_sentence(tmp_path: Path):
    (tmp_path / "case.json").write_bytes(to_json(record())[:40])
    with pytest.raises(InvalidInput, match="not a valid case.json"):
        read_record(tmp_path / "case.json", CaseRecord)
    with pytest.raises(UnreadableFile, match="could not be read"):
        read_record(tmp_path / "nothing.json", CaseRecord)


def test_nan_and_a_missing_value_without_reason_are_refused():
    with pytest.raises(ValidationError):
        Quantity(value=float("nan"), unit="mm", source="keyhole")
    with pytest.raises(ValidationError, match="caveat"):
        Quantity(value=None, unit="mm", source="keyhole")
    assert Quantity(value=None, unit="mm", source="keyhole", caveats=("cut by the field of view",)).value is None


def test_a_folder_that_is_no_case_is_refused(tmp_path: Path):
    with pytest.raises(WrongCase, match=r"no case\.json"):
        Case(tmp_path)
    with pytest.raises(WrongCase, match="no such folder"):
        Case(tmp_path / "absent")


def test_a_stage_that_has_not_run_is_named(tmp_path: Path):
    write_bytes(tmp_path / "case.json", to_json(record()))
    with pytest.raises(WrongCase, match="run `keyhole assess` first"):
        Case(tmp_path).read(FindingsRecord)


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path):
    target = tmp_path / "plan.json"
    target.write_text("old")

    def write(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFailure, match="No space left on device"):
        write_whole(target, write)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
