"""Screws in label maps of a real spine and a real pelvis, recounted by points of their shafts."""

from pathlib import Path

import numpy as np
import pytest

from keyhole.anatomy.landmarks import vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.anatomy.placement import on_keyhole_grid
from keyhole.anatomy.schemes import read_labels
from keyhole.plan.screws import plan_screws
from keyhole.terms import Origin

MAP = Path(__file__).resolve().parents[3] / "shared" / "data" / "labelmaps_verse" / "sub-verse010_seg-vert_msk.nii.gz"
PELVIS = MAP.parents[1] / "ct_abdomen_3mm" / "labels_totalsegmentator_total.nii.gz"


@pytest.fixture(scope="module")
def spine():
    if not MAP.is_file():
        pytest.skip(f"the label map {MAP.name} is not here")
    labels, _ = on_keyhole_grid(read_labels(MAP, "verse").labels, MAP)
    known = {key: Structure(key, Origin.LABELLED, "verse", 0.5) for key in labels.keys}
    return Anatomy(labels, known, vertebrae(labels), np.empty((0, 3)), None, "CT", "the file", True)


def outside(spine, screw):
    """Points of the shaft, 0.5 mm apart, in voxels that are not its vertebra's and not within r + 3 mm of the entry."""
    way = (screw.tip - screw.entry) / np.linalg.norm(screw.tip - screw.entry)
    one = np.linalg.svd(way[None])[2][1]
    steps = np.arange(-screw.radius, screw.radius + 1e-9, 0.5)
    u, v, t = (a.ravel() for a in np.meshgrid(steps, steps, np.arange(0, screw.length, 0.5), indexing="ij"))
    past = np.maximum(0, t - (screw.length - screw.radius))
    inside = u**2 + v**2 + past**2 <= screw.radius**2
    points = (screw.entry + t[:, None] * way + u[:, None] * one + v[:, None] * np.cross(way, one))[inside]
    index = np.rint(spine.labels.grid.index(points)).astype(int)
    keys = (f"vertebra/{screw.vertebra}",)
    if screw.vertebra == "S2AI":
        keys = ("vertebra/S1", "sacrum", f"pelvis/{screw.side}")
    label = spine.labels.labels_of(*keys)
    bony = np.isin(spine.labels.array[tuple(index.T)], label)
    beside = np.linalg.norm(spine.labels.grid.centres(index) - screw.entry, axis=1) <= screw.radius + 3
    return int((~bony & ~beside).sum())


@pytest.mark.slow
def test_every_screw_of_a_real_spine_is_grade_a_on_its_own_labels_or_refused_with_millimetres(spine):
    found = plan_screws(spine, ["L3", "L4", "L5"])
    assert sum(p.screw is not None for p in found) >= 4
    for plan in found:
        if plan.screw is None:
            assert " mm" in plan.reason
        else:
            assert outside(spine, plan.screw) == 0, plan.screw.name
            assert plan.clearance >= 0


@pytest.mark.slow
def test_s2_alar_iliac_screws_of_a_real_pelvis_run_in_both_bones_above_the_hip():
    if not PELVIS.is_file():
        pytest.skip(f"the label map {PELVIS.name} is not here")
    raw = read_labels(PELVIS, "totalsegmentator_total").labels
    labels, _ = on_keyhole_grid(raw.crop((slice(0, 122), slice(0, 90), slice(0, 72))), PELVIS)
    known = {key: Structure(key, Origin.LABELLED, "an automatic tool", 0.5) for key in labels.keys}
    frames = vertebrae(labels)
    seen = Anatomy(labels, known, frames, np.empty((0, 3)), None, "CT", "the file", True)
    for plan in plan_screws(seen, ["S2AI"]):
        screw = plan.screw
        volume = np.pi * screw.radius**2 * screw.length / 0.5**3  # points; what of them is in no bone is in the joint
        assert outside(seen, screw) <= 0.001 * volume + 40 * plan.crossed["joint"], screw.name
        assert 18 < plan.crossed["sacrum"] < 50  # 35 and 26 mm [chang2009, zhu2013]
        assert plan.crossed["ilium"] > 40
        assert plan.corridor > 6  # 6 to 18 mm at the narrowest [chang2009]
        assert plan.near.get(f"femur/{screw.side}", 20.0) > 5
        assert abs(screw.way[2]) > 0.3 > screw.way[1]  # downward and forward
