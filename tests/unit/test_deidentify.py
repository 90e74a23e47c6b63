"""What of a DICOM header goes into a case, and what is left behind."""

import json

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from dicom_traps import Trap, stack, write

from keyhole.anatomy.intake import import_case
from keyhole.casefile import CaseRecord, Patient
from keyhole.cli.main import main
from keyhole.imaging import read_image
from keyhole.imaging.deidentify import age_of, pseudonym, scrubbed

WHO = {
    "PatientName": "Roe^Jane Mary",
    "PatientID": "ID77341",
    "PatientBirthDate": "19310512",
    "PatientSex": "F",
    "StudyDate": "20240601",
    "AccessionNumber": "ACC9981",
    "ReferringPhysicianName": "House^Gregory",
    "InstitutionName": "General",
    "SeriesDescription": "L-Spine 0.7 Roe ID77341",
}
SECRETS = ("roe", "jane", "id77341", "19310512", "1931", "acc9981", "house", "gregory", "general", "20240601")


def _series(folder, **tags):
    slices = stack()
    write(Trap(slices), folder, 2)
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        for tag, value in (WHO | tags).items():
            setattr(data, tag, value)
        data.add_new((0x0029, 0x0010), "LO", "PRIVATE Jane")
        data.save_as(file)
    return folder


def _everything(folder):
    return " ".join(p.read_text() for p in folder.rglob("*.json")).lower()


def test_a_case_holds_nothing_that_names_the_patient(tmp_path):
    series = _series(tmp_path / "Roe_Jane_1931")
    original = pydicom.dcmread(next(series.iterdir()))
    case = import_case(tmp_path / "case", [series], series=original.SeriesInstanceUID)
    text = _everything(case.path)
    assert not [secret for secret in SECRETS if secret in text]
    assert not [uid for uid in (original.StudyInstanceUID, original.FrameOfReferenceUID) if uid in text]
    assert original.SeriesInstanceUID not in text
    image = json.loads((case.path / "images" / "ct.json").read_text())
    assert image["identifiers"]["SeriesDescription"] == "L-Spine 0.7 [removed] [removed]"
    assert image["identifiers"]["FrameOfReferenceUID"] == pseudonym(original.FrameOfReferenceUID)
    assert {"PatientName", "PatientID", "InstitutionName", "(0029,0010)", "SOPInstanceUID"} <= set(image["dropped"])
    assert image["identity"] == {}
    assert case.read(CaseRecord).images[0].source_file == "dicom"


def test_identity_is_kept_on_request_and_apart(tmp_path):
    series = _series(tmp_path / "Roe_Jane")
    case = import_case(tmp_path / "case", [series], keep_identity=True)
    image = json.loads((case.path / "images" / "ct.json").read_text())
    assert image["identity"]["PatientName"] == "Roe^Jane Mary"
    assert image["identity"]["StudyDate"] == "20240601"
    original = pydicom.dcmread(next(series.iterdir()))
    assert image["identifiers"]["StudyInstanceUID"] == original.StudyInstanceUID
    assert "PatientName" not in image["dropped"]


def test_age_and_sex_come_from_the_header_where_the_user_does_not_say(tmp_path):
    series = _series(tmp_path / "d")
    patient = import_case(tmp_path / "a", [series]).read(CaseRecord).patient
    assert (patient.age, patient.sex) == (90, "F")
    assert any("older than 89" in caveat for caveat in import_case(tmp_path / "b", [series]).read(CaseRecord).caveats)
    said = import_case(tmp_path / "c", [series], patient=Patient(age=61)).read(CaseRecord).patient
    assert (said.age, said.sex) == (61, "F")
    later = import_case(tmp_path / "c", [_series(tmp_path / "e", PatientBirthDate="19800101")]).read(CaseRecord)
    assert later.patient.age == 61


@pytest.mark.parametrize(
    ("tags", "years"),
    [
        ({"PatientAge": "054Y"}, 54),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "900Y"}, None),
        ({"PatientBirthDate": "19600602", "StudyDate": "20200601"}, 59),
        ({"PatientBirthDate": "19600601", "StudyDate": "20200601"}, 60),
        ({"PatientBirthDate": "", "StudyDate": "20200601"}, None),
        ({}, None),
    ],
)
def test_age_is_that_at_the_examination(tags, years):
    data = pydicom.Dataset()
    for tag, value in tags.items():
        setattr(data, tag, value)
    assert age_of(data) == years


def test_a_replaced_uid_is_valid_stable_and_changes_with_the_salt(monkeypatch):
    monkeypatch.delenv("KEYHOLE_UID_SALT", raising=False)
    plain = pseudonym("1.2.3")
    assert pydicom.uid.UID(plain).is_valid
    assert plain == pseudonym("1.2.3 ") != pseudonym("1.2.4")
    monkeypatch.setenv("KEYHOLE_UID_SALT", "own")
    assert pseudonym("1.2.3") != plain
    assert pseudonym("") == ""


def test_a_burned_in_flag_is_a_caveat(tmp_path):
    found = read_image(_series(tmp_path / "d", BurnedInAnnotation="YES"))
    assert any("burned-in" in caveat for caveat in found.caveats)


def test_a_nifti_name_that_its_sidecar_gives_away_is_not_kept(tmp_path):
    from import_files import scan

    image, _ = scan(tmp_path / "n")
    named = image.rename(image.with_name("Roe_Jane_T2.nii.gz"))
    named.with_name("Roe_Jane_T2.json").write_text(json.dumps({"PatientName": "Roe^Jane", "Modality": "CT"}))
    found = read_image(named)
    assert (found.source_file, found.name, found.modality) == ("image.nii.gz", "image", "CT")


def test_short_words_do_not_empty_a_description():
    data = pydicom.Dataset()
    data.PatientName, data.PatientID = "Li^A", "7"
    assert scrubbed("Limbs 7 mm A", data) == "Limbs 7 mm A"


def test_inspect_prints_a_table_and_the_same_as_json_and_no_name(tmp_path):
    _series(tmp_path / "d")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "d")])
    assert done.exit_code == 0
    for part in ("3 CT", "14 1.4 x 1.1 x 3", "axial", "49 x 34 x 39", "nothing", "39 mm from head to foot"):
        assert part in " ".join(done.output.split())
    assert not [secret for secret in SECRETS if secret in done.output.lower()]
    told = json.loads(CliRunner().invoke(main, ["inspect", str(tmp_path / "d"), "--json"]).output)
    assert told["rows"][0]["choice"] == "3"
    assert told["rows"][0]["use"] == "nothing"
    np.testing.assert_allclose(told["rows"][0]["spacing"], (1.4, 1.1, 3))


def test_inspect_of_nothing_is_one_sentence_and_of_what_is_set_aside_a_list(tmp_path):
    (tmp_path / "e").mkdir()
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "e")])
    assert (done.exit_code, "holds no image" in done.output) == (1, True)
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "none")])
    assert (done.exit_code, "no such file or folder" in done.output) == (1, True)
    (tmp_path / "notes.txt").write_text("no image")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "notes.txt")])
    assert (done.exit_code, "neither DICOM nor NIfTI" in done.output) == (1, True)
