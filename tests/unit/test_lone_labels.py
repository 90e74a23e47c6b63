"""Label maps of bodies alone, of discs alone, and how an MR image says that it is T2-weighted."""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "property"))
from analytic_spine import moved, stack, voxelise

from keyhole.anatomy import lone
from keyhole.anatomy.derive import complete
from keyhole.anatomy.intake import import_case
from keyhole.anatomy.model import Structure
from keyhole.anatomy.reading import images_of, load
from keyhole.assessment import assess_case
from keyhole.casefile import CaseRecord, LabelsRecord
from keyhole.errors import ImplausibleAnatomy, NotInScan
from keyhole.geometry import LabelMap, Volume
from keyhole.imaging import write_dicom_series, write_nifti
from keyhole.imaging.scan import named_weighting
from keyhole.plan.planner import plan_case
from keyhole.terms import Origin

VERSE = {"L3": 22, "L4": 23, "L5": 24, "S1": 26}


@cache
def labels():
    return voxelise(moved(stack(), 2, 10.0))


def bodies():
    """Bodies alone, with VerSe's integers."""
    array = np.zeros_like(labels().array)
    for name, label in VERSE.items():
        array[labels().mask(f"vertebra/{name}/body")] = label
    return LabelMap(array, labels().patient_from_index, {})


def discs(names=("L3-L4", "L4-L5", "L5-S1"), step=33.0):
    """Flat boxes one above the other."""
    array = np.zeros((50, 40, 120), dtype=np.uint8)
    for n, _ in enumerate(names):
        top = 110 - int(n * step)
        array[5:45, 5:35, top - 9 : top] = n + 1
    return LabelMap(array, labels().patient_from_index, {n + 1: f"disc/{name}" for n, name in enumerate(names)})


@cache
def imported(folder):
    write_nifti(bodies(), Path(folder) / "bodies.nii.gz")
    return import_case(Path(folder) / "case", [], labels=Path(folder) / "bodies.nii.gz", scheme="verse")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return imported(str(tmp_path_factory.mktemp("lone")))


def test_bodies_are_told_from_whole_vertebrae_by_their_shape():
    named = replace(bodies(), structures={label: f"vertebra/{name}" for name, label in VERSE.items()})
    assert lone.are_bodies(named)
    assert not lone.are_bodies(labels())


def test_bodies_under_verse_are_imported_as_bodies_with_the_discs_between_them(case):
    known = case.read(LabelsRecord)
    origins = {one.key: one.origin for one in known.structures.values()}
    assert {f"vertebra/{name}/body" for name in VERSE} <= set(origins)
    assert origins["vertebra/L4/body"] == "labelled"
    assert origins["disc/L4-L5"] == "derived"
    assert not any(key.startswith(("canal", "root", "foramen")) or "pedicle" in key for key in origins)
    assert lone.S1 in next(one for one in known.structures.values() if one.key == "vertebra/S1/body").caveats
    told = case.read(CaseRecord).caveats
    assert lone.BODIES in told
    assert lone.EITHER_SIDE in told


def test_bodies_alone_give_what_lies_between_bodies(case):
    found = {(f.name, f.level): f for f in assess_case(case).findings}
    assert found["disc height", "L4/L5"].value == pytest.approx(10.0, abs=0.4)
    assert found["disc wedge angle", "L4/L5"].value == pytest.approx(12.0, abs=1.0)
    assert abs(found["slip", "L5/S1"].value) < 3
    assert found["herniation depth", "L4/L5"].value is None
    assert "not labelled" in found["herniation depth", "L4/L5"].caveats[0]
    unseen = ("canal", "dural sac", "pedicle", "facet", "foramen", "recess", "Kambin", "signal")
    assert all(f.value is None for (name, _), f in found.items() if any(word in name for word in unseen))


def test_bodies_alone_cannot_be_planned_on(case):
    with pytest.raises(NotInScan, match="only bodies or discs are labelled"):
        plan_case(case, "L4/L5", "left", "decompress")


def test_front_and_back_of_bodies_are_those_of_the_whole_vertebrae(case):
    whole = load(case).vertebrae["L4"]
    spine = moved(stack(), 2, 10.0)
    assert whole.posterior @ spine.turned(spine.bodies[1].rows[1]) > 0.99


def test_discs_alone_keep_their_volume_and_say_what_is_missing(tmp_path):
    array = np.array(discs().array)
    for n, label in enumerate((94, 95, 100), 1):
        array[array == n] = label
    write_nifti(LabelMap(array, discs().patient_from_index, {}), tmp_path / "discs.nii.gz")
    case = import_case(tmp_path / "case", [], labels=tmp_path / "discs.nii.gz", scheme="totalspineseg")
    assert lone.DISCS in case.read(CaseRecord).caveats
    found = {(f.name, f.level): f for f in assess_case(case).findings}
    assert {level for name, level in found if name == "disc volume"} == {"L3/L4", "L4/L5", "L5/S1"}
    assert found["disc volume", "L4/L5"].value == pytest.approx(40 * 30 * 9 / 1000)
    assert found["disc height", "L4/L5"].value is None
    assert "no vertebra is labelled" in found["disc height", "L4/L5"].caveats[0]


@pytest.mark.parametrize(("names", "step"), [(("L3-L4", "L5-S1", "L4-L5"), 33.0), (("L4-L5", "L5-S1"), 12.0)])
def test_discs_out_of_order_or_too_close_are_refused(names, step):
    structures = {f"disc/{name}": Structure(f"disc/{name}", Origin.LABELLED, "file", 0.5) for name in names}
    with pytest.raises(ImplausibleAnatomy, match="disc"):
        complete(discs(names, step), structures, None, "")


@pytest.mark.parametrize(
    ("name", "weighting"),
    [
        ("sub-01_T2w.nii.gz", "T2"),
        ("t2.nii.gz", "T2"),
        ("spine T1-FFE.nii", "T1"),
        ("t2_tse_sag.nii.gz", "T2"),
        ("t2map.nii.gz", ""),
        ("T2_map.nii.gz", ""),
        ("T1_and_T2.nii.gz", ""),
        ("t25.nii.gz", ""),
        ("L1_spine.nii.gz", ""),
    ],
)
def test_a_file_name_says_its_weighting_as_a_word(name, weighting):
    assert named_weighting(name) == weighting


def picture():
    return Volume(np.random.default_rng(0).integers(0, 900, (20, 22, 24)).astype(np.int16), discs().patient_from_index)


@pytest.mark.parametrize(("name", "told", "kind"), [("t2", None, "T2"), ("scan", "T1", "T1"), ("t2", "T1", "T1")])
def test_the_weighting_of_an_image_is_kept_in_the_case(tmp_path, name, told, kind):
    write_nifti(picture(), tmp_path / f"{name}.nii.gz")
    case = import_case(tmp_path / "case", [tmp_path / f"{name}.nii.gz"], weighting=told)
    record = case.read(CaseRecord)
    assert record.images[0].weighting == kind
    assert set(images_of(case, record)) == {"MR", kind}
    said = any("weighted by the name of its file" in caveat for caveat in record.caveats)
    assert said == (told is None)


def test_an_image_that_does_not_say_its_weighting_is_no_t2(tmp_path):
    write_nifti(picture(), tmp_path / "scan.nii.gz")
    case = import_case(tmp_path / "case", [tmp_path / "scan.nii.gz"])
    assert case.read(CaseRecord).images[0].weighting is None
    again = import_case(tmp_path / "case", [tmp_path / "scan.nii.gz"], weighting="T2")
    images = again.read(CaseRecord).images
    assert [one.weighting for one in images] == ["T2"]


def test_a_dicom_header_says_the_weighting(tmp_path):
    write_dicom_series(picture(), tmp_path / "d", "MR", "P", "Phantom T2", 1)
    case = import_case(tmp_path / "case", [tmp_path / "d"])
    assert case.read(CaseRecord).images[0].weighting == "T2"
