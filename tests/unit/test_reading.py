"""A case folder becomes an anatomy, or one sentence says why not."""

import json

import numpy as np
import pytest

from keyhole.anatomy.reading import load
from keyhole.assessment import assess_case
from keyhole.casefile import Case, CaseRecord, FindingsRecord, LabelsRecord, provenance, sha256, to_json
from keyhole.errors import InvalidInput, UnreadableFile, WrongCase
from keyhole.geometry import LabelMap, Volume, affine
from keyhole.imaging.nifti import write_nifti

KEYS = {1: "vertebra/L4/body", 2: "vertebra/L5/body", 3: "canal/dural_sac", 4: "vertebra/L3/body"}
SIZE = (60, 70, 100)


def blocks():
    """Two bodies, a canal behind them, and a remnant of a third body."""
    array = np.zeros(SIZE, np.uint8)
    array[8:52, 5:38, 55:82] = 1
    array[8:52, 5:38, 18:46] = 2
    array[20:40, 42:56, 4:96] = 3
    array[20:36, 10:26, 94:] = 4
    return array


def entries(**changed):
    return {
        n: {"key": key, "origin": "labelled", "source": "test", "sd": 0.5, "caveats": []} | changed
        for n, key in KEYS.items()
    }


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "case"
    at = affine(np.diag([1.0, 1.0, 1.0, 1.0]))
    write_nifti(LabelMap(blocks(), at, KEYS), folder / "labels.nii.gz")
    images = []
    for name, modality in (("t2", "MR"), ("ct", "CT")):
        file = folder / "images" / f"{name}.nii.gz"
        array = np.arange(64, dtype=np.int16).reshape(4, 4, 4)
        write_nifti(Volume(array, affine(np.diag([15.0, 18.0, 25.0, 1.0]))), file)
        images.append(
            {"name": name, "file": f"images/{name}.nii.gz", "modality": modality, "source_file": name}
            | {"sha256": sha256(file)}
        )
    record = {"schema": "keyhole.case/1", "id": "case", "images": images, "numbering": "told", "provenance": {}}
    record["provenance"] = provenance({}).model_dump()
    (folder / "case.json").write_bytes(to_json(CaseRecord.model_validate(record)))
    put_labels(folder, entries())
    return Case(folder)


def put_labels(folder, structures, **parameters):
    made = provenance({}, **parameters)
    record = {"schema": "keyhole.labels/1", "structures": structures, "provenance": made.model_dump()}
    (folder / "labels.json").write_bytes(to_json(LabelsRecord.model_validate(record)))


def test_a_case_is_read_with_frames_structures_and_the_ct(case):
    anatomy = load(case)
    assert list(anatomy.vertebrae) == ["L4", "L5"]
    assert anatomy.levels == ("L4/L5",)
    assert anatomy.structures["vertebra/L4/body"].sd == 0.5
    assert anatomy.modality == "CT"
    assert anatomy.image.array.shape == (4, 4, 4)
    assert len(anatomy.canal_line) > 60
    assert not anatomy.levels_confirmed
    assert any("L3" in caveat for caveat in anatomy.caveats)
    assert load(case, with_image=False).image is None


def test_missing_labels_name_the_command(case):
    (case.path / "labels.nii.gz").unlink()
    with pytest.raises(WrongCase, match="keyhole import"):
        load(case)


def test_labels_without_names_are_refused(case):
    put_labels(case.path, {n: row for n, row in entries().items() if n != 2})
    with pytest.raises(InvalidInput, match="label 2"):
        load(case)


def test_labels_of_another_import_are_refused(case):
    put_labels(case.path, entries(), labels_sha256="0" * 64)
    with pytest.raises(InvalidInput, match="SHA-256"):
        load(case)
    put_labels(case.path, entries(), labels_sha256=sha256(case.path / "labels.nii.gz"))
    assert load(case).levels == ("L4/L5",)


def test_a_changed_or_missing_image_is_refused(case):
    image = case.path / "images" / "ct.nii.gz"
    image.write_bytes((case.path / "images" / "t2.nii.gz").read_bytes() + b"x")
    with pytest.raises(InvalidInput, match="SHA-256"):
        load(case)
    image.unlink()
    with pytest.raises(UnreadableFile, match="no such file"):
        load(case)


def test_truncated_labels_are_refused(case):
    file = case.path / "labels.nii.gz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InvalidInput):
        load(case)


def test_assess_writes_findings_that_can_be_read_back(case):
    steps = []
    record = assess_case(case, lambda sentence, share: steps.append((sentence, share)))
    assert case.read(FindingsRecord) == record
    assert set(record.provenance.inputs) == {"case.json", "labels.json", "labels.nii.gz"}
    assert steps[0][1] == 0.0
    assert steps[-1][1] == 1.0
    height = next(f for f in record.findings if f.name == "disc height")
    assert height.value == pytest.approx(9.0, abs=0.3)
    assert any("levels not confirmed" in caveat for caveat in height.caveats)
    lordosis = next(f for f in record.findings if f.name == "lumbar lordosis")
    assert lordosis.value is None
    assert "L1 and S1" in lordosis.caveats[0]


def test_assess_gives_the_same_bytes_again(case):
    assess_case(case)
    before = (case.path / "findings.json").read_bytes()
    assess_case(case)
    assert (case.path / "findings.json").read_bytes() == before
    assert json.loads(before)["schema"] == "keyhole.findings/1"


def test_a_case_that_cannot_be_read_keeps_its_findings(case):
    assess_case(case)
    before = (case.path / "findings.json").read_bytes()
    (case.path / "labels.nii.gz").write_bytes(b"")
    with pytest.raises(UnreadableFile):
        assess_case(case)
    assert (case.path / "findings.json").read_bytes() == before


def test_the_canal_says_what_it_rests_on(case):
    rows = {f.name: f for f in assess_case(case).findings if f.level == "L4/L5"}
    assert any("epidural space is not labelled" in caveat for caveat in rows["canal area"].caveats)
    assert rows["dural sac area"].value == pytest.approx(20 * 14, rel=0.05)
    put_labels(case.path, entries(caveats=["follows the cord"]))
    rows = {f.name: f for f in assess_case(case).findings if f.level == "L4/L5"}
    assert "dural sac area" not in rows


def test_an_anatomy_read_before_is_used_again(case):
    held = load(case, with_image=False)
    assert load(case, with_image=False, held=held) is held
    assert held.files == case.digest("case.json", "labels.json", "labels.nii.gz")


def test_an_anatomy_read_before_gets_the_image_that_it_lacks(case):
    held = load(case, with_image=False)
    whole = load(case, held=held)
    assert whole.labels is held.labels
    assert np.array_equal(whole.image.array, load(case).image.array)


def test_an_anatomy_of_files_that_were_changed_since_is_read_anew(case):
    held = load(case, with_image=False)
    put_labels(case.path, entries(sd=0.9))
    assert load(case, with_image=False, held=held).structures[KEYS[1]].sd == 0.9
