"""The same anatomy, written as each tool would write it, measures the same; what a scheme cannot show is absent."""

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from keyhole.anatomy.intake import import_case
from keyhole.anatomy.phantom.model import phantom
from keyhole.anatomy.phantom.parameters import PhantomParameters
from keyhole.anatomy.phantom.truth import findings
from keyhole.anatomy.phantom.truth.bodies import body_truth
from keyhole.anatomy.phantom.truth.canal import canal_truth
from keyhole.anatomy.schemes import written_as
from keyhole.assessment import assess_case
from keyhole.casefile import LabelsRecord
from keyhole.geometry import Grid, LabelMap, affine
from keyhole.imaging import write_nifti

TS = "totalsegmentator_"
WITH_DISCS = [
    ("totalspineseg",),
    ("spineps_vert_instance",),
    ("spineps_vert_instance", "spineps_subregion"),
    ("mrspineseg",),
    (f"{TS}total", f"{TS}vertebrae_body"),
    (f"{TS}vertebrae_mr", f"{TS}total_mr"),
    (f"{TS}vertebrae_pp", f"{TS}total_mr"),
    ("verse", "vibesegmentator_100"),
]
WITHOUT = [(f"{TS}total",), (f"{TS}total_v1",), (f"{TS}total_v3",), (f"{TS}vertebrae_mr",), ("verse",), ("vista3d",)]
EVERY = [*WITH_DISCS, *WITHOUT]
SOME = [
    ("spineps_vert_instance", "spineps_subregion"),
    (f"{TS}total", f"{TS}vertebrae_body"),
    (f"{TS}total_v1",),
    ("verse",),
]
CHECKED = EVERY if os.environ.get("KEYHOLE_SCHEMES") == "all" else SOME
"""CI takes one of each kind; KEYHOLE_SCHEMES=all takes every one."""

LEVELS = ("L3/L4", "L4/L5", "L5/S1")
BODIES = {"disc height": 0.5, "segmental lordosis": 2.0, "slip": 0.7}
"""Largest difference from the phantom's truth: mm, degrees, mm."""

BONY = {"L3/L4": (16.3, 293.0), "L4/L5": (15.7, 300.0), "L5/S1": (15.9, 361.0)}
"""Bony canal of this phantom without its discs, its roots counted in, measured on whole vertebrae: AP mm, area mm2."""


@cache
def body():
    return phantom(PhantomParameters(seed=3))


@cache
def grid():
    """Voxels of 1 mm around L3 to the sacrum, along the phantom's own axes."""
    ends = [np.asarray(body().spine.places[name].at(0, 0, z)) for name, z in (("L3", 24), ("S1", -62))]
    low = np.minimum(*ends) - [62, 32, 0]
    shape = np.ceil(np.maximum(*ends) + np.array([62, 78, 4]) - low).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = body().patient_from_phantom.matrix[:3, :3]
    matrix[:3, 3] = body().patient_from_phantom.apply(low)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(matrix))


@cache
def truth():
    return body().labels_on(grid())


@cache
def measured(*schemes):
    """(name, level) -> finding, the labels' record, from one file per scheme."""
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{scheme}.nii.gz" for scheme in schemes]
        for scheme, file in zip(schemes, files, strict=True):
            write_nifti(LabelMap(written_as(truth(), scheme)[0], grid().patient_from_index), file)
        case = import_case(Path(folder) / "case", [], labels=files, scheme=list(schemes))
        found = {(one.name, one.level): one for one in assess_case(case).findings}
        return found, case.read(LabelsRecord)


@cache
def true_values():
    return {(one.name, one.level): one.value for one in findings(body(), LEVELS, (body_truth, canal_truth))}


def check(schemes, levels=LEVELS):
    found, labels = measured(*schemes)
    true = true_values()
    for level in levels:
        for name, most in BODIES.items():
            assert abs(found[name, level].value - true[name, level]) < most, (name, level, found[name, level].value)
        diameter, area = found["canal AP diameter", level], found["canal area", level]
        sees_discs = schemes in WITH_DISCS or schemes == ("spider",)
        if sees_discs:
            assert BONY[level][0] - 5.5 < diameter.value < BONY[level][0] + 1.0, (level, diameter.value)
        else:
            assert abs(diameter.value - BONY[level][0]) < 1.0, (level, diameter.value)
            assert abs(area.value / BONY[level][1] - 1) < 0.08, (level, area.value)
        blind = any("herniation into the canal would not be seen" in c for c in area.caveats)
        assert blind != sees_discs
        assert any("bony canal" in c for c in area.caveats)
    assert not [key for key in found if key[0] == "dural sac area"]
    assert {f"vertebra/{name}" for name in ("L3", "L4", "L5")} <= {
        "/".join(entry.key.split("/")[:2]) for entry in labels.structures.values()
    }
    return found


@pytest.mark.slow
@pytest.mark.parametrize("schemes", CHECKED, ids="+".join)
def test_every_scheme_gives_the_same_findings(schemes):
    check(schemes)


@pytest.mark.slow
def test_schemes_that_see_the_disc_agree_on_the_canal():
    for level in LEVELS:
        for name in ("canal AP diameter", "canal area"):
            found = [measured(*schemes)[0][name, level] for schemes in CHECKED if schemes in WITH_DISCS]
            values = [one.value for one in found]
            assert np.ptp(values) < np.hypot(*sorted(one.sd for one in found)[-2:]), (level, name, values)


@pytest.mark.slow
def test_without_a_sacrum_the_lowest_level_is_absent():
    found = check(("spider",), levels=LEVELS[:2])
    assert not [key for key in found if key[1] == "L5/S1"]


@pytest.mark.slow
def test_bodies_alone_give_what_lies_between_bodies():
    found, labels = measured(f"{TS}vertebrae_pp")
    true = true_values()
    assert abs(found["disc height", "L4/L5"].value - true["disc height", "L4/L5"]) < BODIES["disc height"]
    assert found["canal area", "L4/L5"].value is None
    assert any("only vertebral bodies are labelled" in caveat for caveat in labels.caveats)
    array = np.where(np.isin(written_as(truth(), "totalspineseg")[0], (1, 2)), 2, 0)
    with TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("bodies.nii.gz", "canal.nii.gz")]
        bodies = written_as(truth(), f"{TS}vertebrae_pp")[0]
        write_nifti(LabelMap(bodies, grid().patient_from_index), files[0])
        write_nifti(LabelMap(array, grid().patient_from_index), files[1])
        case = import_case(Path(folder) / "case", [], labels=files, scheme=[f"{TS}vertebrae_pp", "totalspineseg"])
        keys = {one.key for one in case.read(LabelsRecord).structures.values()}
        assert "canal/dural_sac" in keys
        assert not any(key.startswith(("root", "foramen")) or "pedicle" in key for key in keys)


@pytest.mark.slow
def test_mr_with_labels_of_an_mr_tool_is_measured(tmp_path):
    small = Grid(grid().shape, grid().patient_from_index)
    _, _, t2 = body().render(small)
    write_nifti(t2, tmp_path / "t2.nii.gz")
    (tmp_path / "t2.json").write_text('{"Modality": "MR"}')
    write_nifti(LabelMap(written_as(truth(), "totalspineseg")[0], grid().patient_from_index), tmp_path / "seg.nii.gz")
    case = import_case(
        tmp_path / "case", [tmp_path / "t2.nii.gz"], labels=tmp_path / "seg.nii.gz", scheme="totalspineseg"
    )
    found = {(one.name, one.level): one for one in assess_case(case).findings}
    alone = measured("totalspineseg")[0]
    for name in (*BODIES, "canal AP diameter", "canal area"):
        assert found[name, "L4/L5"].value == pytest.approx(alone[name, "L4/L5"].value, rel=0.02, abs=0.1)
