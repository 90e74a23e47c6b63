"""Alignment on real label maps, and norms and grades against published tables of patients."""

import csv

import numpy as np
import pytest
from test_measures_real import anatomy, needed, verse

from keyhole.anatomy.schemes import read_labels
from keyhole.assessment.alignment.panel import body_panel
from keyhole.assessment.alignment.pelvis_panel import pelvis_panel
from keyhole.assessment.model import entry
from keyhole.assessment.norms.indicated import indicated
from keyhole.assessment.norms.norms import outside
from keyhole.assessment.readers.readings import read_readings
from keyhole.assessment.study import Study
from keyhole.casefile import Patient
from keyhole.geometry import LabelMap
from keyhole.geometry.resample import keyhole_grid, labels_on_grid

KEPT = ("vertebra", "sacrum", "canal", "pelvis", "femur")


def rows(name):
    return list(csv.DictReader(needed(f"tables/{name}").read_text().splitlines()))


def bodies(one):
    return {(f.measurement.name, f.measurement.level): entry(f) for f in body_panel(Study(one))}


def test_the_pelvis_of_the_abdominal_ct_is_plausible_and_adds_up():
    labels = read_labels(needed("ct_abdomen_3mm/labels_totalsegmentator_total.nii.gz")).labels
    keys = {n: key for n, key in labels.structures.items() if key.startswith(KEPT)}
    kept = LabelMap(np.where(np.isin(labels.array, list(keys)), labels.array, 0), labels.patient_from_index, keys)
    one = anatomy(labels_on_grid(kept, keyhole_grid(kept.grid)))
    found = {
        f.measurement.name: f.measurement for f in pelvis_panel(Study(one, patient=Patient(age=60), position="HFS"))
    }
    incidence = found["pelvic incidence"]
    assert 55 < incidence.value < 66
    assert incidence.sd < 2
    assert abs(outside("pelvic incidence", incidence.value, incidence.sd).deviation) < 2
    assert 8 < found["pelvic tilt, supine"].value < 16
    added = found["pelvic tilt, supine"].value + found["sacral slope, supine"].value
    assert added == pytest.approx(incidence.value, abs=1e-6)
    lordosis = bodies(one)["lumbar lordosis", "L1/S1"].value
    assert abs(lordosis - found["ideal lumbar lordosis"].value) < 12
    assert bodies(one)["coronal Cobb angle", "L1/L5"].value < 5


def test_the_slipped_l5_is_what_its_scan_points_at():
    one = verse("mr_bodies_verse/VB1_15_labels.nii.gz")
    found = list(bodies(one).values())
    first = indicated(found, Study(one).levels)[0]
    assert (first.level, first.goals) == ("L5/S1", ("fuse",))
    assert "rai2019" in first.reasons[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VB2_02", "VB2_05", "VB2_06", "VB3_01"])
def test_unslipped_spines_have_small_side_slips_and_curves(name):
    found = bodies(verse(f"mr_bodies_verse/{name}_labels.nii.gz"))
    for (measure, level), one in found.items():
        if one.value is not None and measure == "lateral slip":
            assert abs(one.value) < 4, level
        if one.value is not None and measure == "coronal Cobb angle":
            assert one.value < 15


def test_the_norm_of_the_incidence_is_that_of_other_healthy_people():
    healthy = [float(r["pelvic_incidence"]) for r in rows("column_3C_weka.csv") if r["status"] == "Normal"]
    assert len(healthy) == 100
    deviation = [outside("pelvic incidence", value, 1.0).deviation for value in healthy]
    assert abs(np.mean(deviation)) < 0.3
    assert 0.8 < np.std(deviation) < 1.4


def test_the_grades_of_218_patients_are_read(tmp_path):
    table = rows("radiological_gradings.csv")
    lines = ["system,level,side,value,reader"]
    levels = {1: "L5/S1", 2: "L4/L5", 3: "L3/L4", 4: "L2/L3", 5: "L1/L2"}
    some = [r for r in table if int(r["IVD label"]) in levels]
    for r in some:
        if r["Pfirrman grade"] and r["Modic"]:
            place = levels[int(r["IVD label"])]
            lines += [f"pfirrmann,{place},,{r['Pfirrman grade']},{r['Patient']}"]
            lines += [f"modic,{place},,{r['Modic']},{r['Patient']}"]
    path = tmp_path / "grades.csv"
    path.write_text("\n".join(lines))
    found = read_readings(path)
    assert len(found) == len(lines) - 1 > 2000
    assert {one.grade for one in found if one.system == "pfirrmann"} == {"1", "2", "3", "4", "5"}
