"""Screws in painted vertebrae with round pedicles: where they run, what they keep, what becomes of them."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from screw_world import pair

from keyhole.errors import InvalidInput, NotInScan
from keyhole.geometry import LabelMap, Volume, affine
from keyhole.plan.doubt import ExecutionError
from keyhole.plan.screws import look, plan_screws
from keyhole.plan.screws.bone import bone
from keyhole.plan.screws.grades import displaced, grades
from keyhole.plan.screws.place import ENTRY
from keyhole.plan.screws.sizes import systems, trajectory

NONE = ExecutionError(np.zeros((3, 3)))


@pytest.fixture(scope="module")
def anatomy():
    return pair()


@pytest.fixture(scope="module")
def planned(anatomy):
    return plan_screws(anatomy, ["L4"], sides=["left"])[0]


@pytest.fixture(scope="module")
def seen(anatomy):
    return bone(anatomy, "L4")


def voxels_in(anatomy, screw):
    """Gap of every voxel outside L4 to the shaft by its corners, and its distance from the entry: own simple code."""
    names = [n for n, key in anatomy.labels.structures.items() if key.startswith("vertebra/L4")]
    centres = anatomy.labels.grid.centres(np.argwhere(~np.isin(anatomy.labels.array, names)))
    centres = centres[np.linalg.norm(centres - (screw.entry + screw.tip) / 2, axis=1) < 35]
    half = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    stop = screw.tip - screw.radius * (screw.tip - screw.entry) / np.linalg.norm(screw.tip - screw.entry)
    way = stop - screw.entry
    corners = centres[:, None] + half
    share = np.clip((corners - screw.entry) @ way / (way @ way), 0, 1)
    gap = np.linalg.norm(corners - screw.entry - share[..., None] * way, axis=-1).min(axis=1) - screw.radius
    return gap, np.linalg.norm(centres - screw.entry, axis=1)


def test_a_screw_runs_along_the_middle_of_its_pedicle(planned):
    screw = planned.screw
    at = screw.entry + (20.0 - screw.entry[1]) / screw.way[1] * screw.way
    assert abs(at[0] - (20 - 6 * 18 / 32)) < 0.5
    assert abs(at[2] - 23) < 0.5
    assert 5 < planned.medial < 16


def test_the_entry_artefact_does_not_hide_what_the_pedicle_holds(anatomy, planned):
    gap, from_entry = voxels_in(anatomy, planned.screw)
    assert gap.min() < 0  # through the wall it has to enter: counted, every screw would breach
    wall = gap[from_entry > planned.screw.radius + ENTRY]
    assert planned.clearance <= wall.min() + 1e-6
    assert wall.min() - planned.clearance < 0.4
    assert wall.min() > 0
    narrow = replace(planned.screw, radius=4.6)  # thicker than the pedicle: what is left out does not hide that
    found = look(anatomy, bone(anatomy, "L4"), narrow, error=NONE)
    assert found.clearance < 0


def test_a_planned_screw_is_grade_a_on_its_own_labels(anatomy, planned):
    gap, from_entry = voxels_in(anatomy, planned.screw)
    assert not (gap[from_entry > planned.screw.radius + ENTRY] < 0).any()


def test_a_pedicle_thinner_than_the_smallest_screw_gets_none_and_is_told_why():
    found = plan_screws(pair(width=4.0), ["L4"], sides=["left"])[0]
    assert found.screw is None
    assert "mm" in found.reason


@pytest.mark.slow
def test_a_wider_pedicle_takes_a_thicker_screw(planned):
    assert plan_screws(pair(width=12.0), ["L4"], sides=["left"])[0].screw.radius > planned.screw.radius


@pytest.mark.slow
def test_labels_drawn_on_coarse_voxels_keep_more_back(anatomy, planned):
    labels = anatomy.labels
    drawn = LabelMap(labels.array, labels.patient_from_index, labels.structures, (3.0, 3.0, 3.0))
    found = plan_screws(replace(anatomy, labels=drawn), ["L4"], sides=["left"])[0]
    assert found.screw.radius < planned.screw.radius or any("coarse" in c for c in found.caveats)


def test_a_moved_and_turned_patient_gets_the_same_screw_moved(planned):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    motion[:3, 3] = (120, -40, 300)
    moved = plan_screws(pair(motion=motion), ["L4"], sides=["left"])[0]
    assert moved.screw.radius == planned.screw.radius
    np.testing.assert_allclose(moved.screw.entry, motion[:3, :3] @ planned.screw.entry + motion[:3, 3], atol=1e-6)
    np.testing.assert_allclose(moved.screw.tip, motion[:3, :3] @ planned.screw.tip + motion[:3, 3], atol=1e-6)
    assert moved.grades == pytest.approx(planned.grades, abs=0.002)
    assert moved.walls == pytest.approx(planned.walls, abs=1e-6)


def test_a_mirrored_patient_gets_the_mirrored_screw(planned):
    other = plan_screws(pair(flip=True), ["L4"], sides=["right"])[0]
    np.testing.assert_allclose(other.screw.entry, planned.screw.entry * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(other.screw.tip, planned.screw.tip * [-1, 1, 1], atol=1e-6)
    assert other.walls == pytest.approx(planned.walls, abs=1e-6)
    assert other.grades == pytest.approx(planned.grades, abs=0.002)


def test_an_oblique_anisotropic_grid_gives_the_same_axis(planned):
    found = plan_screws(pair(spacing=(0.9, 1.0, 1.2), turn=(18, -12, 25)), ["L4"], sides=["left"])[0]
    assert np.degrees(np.arccos(found.screw.way @ planned.screw.way)) < 3
    offset = found.screw.entry - planned.screw.entry
    assert np.linalg.norm(offset - (offset @ planned.screw.way) * planned.screw.way) < 1.0


def test_a_screw_that_is_placed_exactly_keeps_its_grade(seen, planned):
    assert grades(replace(seen, sd=0.0), planned.screw, NONE) == {"A": 1.0, "B": 0.0, "C": 0.0, "D": 0.0, "E": 0.0}


def test_more_error_makes_worse_grades_and_grades_add_up(seen, planned):
    shares = [grades(seen, planned.screw, ExecutionError(np.eye(3) * sd**2))["A"] for sd in (0.3, 1.0, 2.0)]
    assert shares == sorted(shares, reverse=True)
    assert sum(planned.grades.values()) == pytest.approx(1)


def test_expected_grades_are_those_of_random_displacements(seen, planned):
    sd, rng = 1.0, np.random.default_rng(4)
    even = displaced(replace(seen, sd=0.0), planned.screw, ExecutionError(np.eye(3) * sd**2))
    screw, hits = planned.screw, 0
    half = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    near = seen.rim[screw.shaft.gap(seen.rim) < 5]
    for shift in rng.normal(0, sd, (250, 3)):
        moved = replace(screw, entry=screw.entry + shift, tip=screw.tip + shift)
        wall = near[np.linalg.norm(near - moved.entry, axis=1) > screw.radius + ENTRY + 1]
        hits += (moved.shaft.gap((wall[:, None] + half).reshape(-1, 3)) < 0).any()
    assert abs(hits / 250 - (even < 0).mean()) < 0.1


def test_density_along_a_screw_is_that_of_the_image(anatomy):
    grid = anatomy.labels.grid
    ramp = grid.centres(np.argwhere(np.ones(grid.shape, bool)))[:, 1].reshape(grid.shape).astype(np.float32)
    found = plan_screws(replace(anatomy, image=Volume(ramp, grid.patient_from_index)), ["L4"], sides=["left"])[0]
    middle = (found.screw.entry + found.screw.tip) / 2
    assert found.hu[0] == pytest.approx(middle[1], abs=0.3)


def test_an_mr_has_no_hounsfield_units(anatomy):
    grid = anatomy.labels.grid
    image = Volume(np.zeros(grid.shape, np.float32), affine(grid.patient_from_index.matrix))
    found = plan_screws(replace(anatomy, image=image, modality="MR"), ["L4"], sides=["left"])[0]
    assert found.hu is None
    assert any("Hounsfield" in c for c in found.caveats)


def test_the_facet_joint_above_is_seen_and_spared(anatomy):
    found = plan_screws(anatomy, ["L5"], sides=["left"])[0]
    assert found.facet in (0, 1)
    seen = bone(anatomy, "L5")
    assert len(seen.joints["left"])
    through = seen.joints["left"].mean(axis=0)
    hit = replace(found.screw, entry=through - 3 * found.screw.way, tip=through + 30 * found.screw.way)
    assert look(anatomy, seen, hit, error=NONE).facet == 2


def test_what_cannot_be_planned_is_refused_or_said(anatomy):
    with pytest.raises(InvalidInput, match="T12"):
        plan_screws(anatomy, ["T12"])
    with pytest.raises(InvalidInput, match="trajectory"):
        plan_screws(anatomy, ["L4"], trajectory="pedicle-sacral")
    with pytest.raises(NotInScan, match="L3"):
        bone(anatomy, "L3")
    assert plan_screws(anatomy, ["L3"])[0].screw is None
    assert "not in the scan" in plan_screws(anatomy, ["S1"])[0].reason


@pytest.mark.slow
def test_a_cortical_screw_runs_outward_and_upward(anatomy):
    found = plan_screws(pair(width=14.0), ["L4"], sides=["left"], trajectory="cortical")[0]
    assert found.screw is not None
    assert found.medial < 0 < found.cranial


def test_every_system_is_generic_or_has_a_makers_source():
    for system in systems().values():
        assert system.is_generic or system.sources["diameters"] not in ("keyhole-choice", "keyhole-prototype")
    assert trajectory("pedicle", "S1") != trajectory("pedicle", "L5")
