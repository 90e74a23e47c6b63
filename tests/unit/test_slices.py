"""Slices: the right place, the right side, the tube to scale."""

import re

import numpy as np
import pytest
from report_case import STILL, Pose, anatomy, candidate
from scipy.spatial.transform import Rotation

from keyhole.report.slices import pictures
from keyhole.report.views import (
    across,
    along,
    axes_of,
    greys,
    nearest,
    orthogonal,
    outlines,
    section,
    shaft,
    silhouette,
)

TURNED = Pose(Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix(), np.array([40.0, -25, 300]), (3.0, 2.4, 3.6))
FLIPPED = Pose(np.eye(3), np.zeros(3), flipped=True)
POSES = pytest.mark.parametrize("pose", [STILL, TURNED, FLIPPED], ids=["still", "turned", "flipped"])


def corridor(pose=STILL):
    return candidate("transforaminal-endoscopic", 1, (105, 92, 30), (24, 34, 3), (11, 24, 0), 4.0, pose)


def views(pose):
    found = anatomy(pose)
    axes = axes_of(found, "L4/L5")
    centre = pose.turn @ np.array([0.0, 24, 0]) + pose.shift
    return found, axes, orthogonal(centre, axes, 300, 120.0)


@POSES
def test_the_patients_left_is_drawn_at_the_l(pose):
    _, _, (axial, sagittal, coronal) = views(pose)
    for view in (axial, coronal):
        assert (view.edges["left"], view.edges["right"]) == ("R", "L")
        kidney = pose.turn @ np.array([70.0, 5, 60]) + pose.shift
        assert view.place(kidney)[0] > view.width / 2  # the left kidney lies on the side of the L
    assert sagittal.edges == {"left": "A", "right": "P", "top": "S", "bottom": "I"}
    assert (axial.edges["top"], coronal.edges["top"]) == ("A", "S")


def left_only(found):
    """The label map with the left roots alone, so that a side can be told from a picture."""
    labels = found.labels
    keep = labels.labels_of(*(f"root/{name}/left" for name in ("L3", "L4", "L5")))
    array = np.where(np.isin(labels.array, keep), labels.array, 0)
    return type(labels)(array, labels.patient_from_index, labels.structures)


@pytest.mark.parametrize("pose", [STILL, TURNED], ids=["still", "turned"])
def test_roots_of_one_side_lie_on_that_side_of_the_picture(pose):
    found, axes, _ = views(pose)
    centre = pose.turn @ np.array([0.0, 26, 10]) + pose.shift
    coronal = orthogonal(centre, axes, 300, 120.0)[2]
    x = np.concatenate([line[:, 0] for line in outlines(coronal, left_only(found))["root"]])
    assert x.min() > coronal.width / 2


@POSES
def test_planes_along_the_tube_hold_its_axis_and_show_it_whole(pose):
    _, axes, _ = views(pose)
    chosen = corridor(pose)
    middle = pose.turn @ np.zeros(3) + pose.shift
    for view in along(chosen, axes, (640, 470), middle):
        ends = np.array([chosen.entry, chosen.dock])
        assert np.abs((ends - view.centre) @ view.normal).max() < 1e-6
        placed = view.place(np.array([chosen.entry, chosen.dock, chosen.target]))
        assert (placed > 0).all()
        assert (placed < [640, 470]).all()
        assert np.linalg.norm(placed[0] - placed[1]) == pytest.approx(
            np.linalg.norm(ends[0] - ends[1]) * view.scale, rel=1e-6
        )


def test_the_tube_is_drawn_to_scale():
    _, axes, _ = views(STILL)
    chosen = corridor()
    view = across((np.array(chosen.entry) + np.array(chosen.dock)) / 2, chosen, axes, 310)
    (circle,) = section(shaft(chosen), view)
    middle = view.place(np.array(chosen.dock))
    radius = np.linalg.norm(circle - middle, axis=1) / view.scale
    assert radius == pytest.approx(chosen.radius, abs=0.1)
    outline = silhouette(shaft(chosen), along(chosen, axes, (640, 470), np.zeros(3))[0])
    assert len(outline) > 20


def test_down_the_tube_looks_from_the_skin_with_the_head_up():
    _, axes, _ = views(STILL)
    chosen = candidate("interlaminar-endoscopic", 1, (14, 117, 4), (8, 50, 1), (7, 27, 0), 4.0)
    view = across(np.array(chosen.dock), chosen, axes, 310)
    assert view.edges["left"].startswith("L")  # from behind, the patient's left is at the left
    assert view.edges["top"] == "S"
    assert view.normal @ (np.array(chosen.dock) - np.array(chosen.entry)) > 0


def test_the_closest_point_is_on_the_structure_and_nearest_to_the_tube():
    found, _, _ = views(STILL)
    chosen = corridor()
    close = nearest(chosen, "root/L4/left", "tube", found.labels)
    cloud = found.labels.grid.centres(np.argwhere(found.labels.mask("root/L4/left")))
    assert np.linalg.norm(close.point - close.on_axis) - chosen.radius == pytest.approx(shaft(chosen).gap(cloud).min())
    assert nearest(chosen, "vessel/unheard_of", "tube", found.labels) is None


def test_space_outside_the_scan_is_transparent_not_black():
    found, axes, _ = views(STILL)
    far = orthogonal(np.array([0.0, 20, 200]), axes, 60, 120.0)[0]
    assert (greys(far, found)[..., 1] == 0).all()
    near = orthogonal(np.array([0.0, 20, 0]), axes, 60, 120.0)[0]
    assert (greys(near, found)[..., 1] == 255).all()


def test_pictures_look_the_same_when_the_patient_is_moved():
    _, _, (axial, _, _) = views(STILL)
    _, _, (moved, _, _) = views(Pose(TURNED.turn, TURNED.shift))
    still_lines, moved_lines = outlines(axial, views(STILL)[0].labels), outlines(moved, anatomy(TURNED).labels)
    for group in ("disc", "sac"):
        a, b = np.concatenate(still_lines[group]), np.concatenate(moved_lines[group])
        assert a.min(axis=0) == pytest.approx(b.min(axis=0), abs=8)  # px of 0.4 mm; voxels of 3 mm
        assert a.max(axis=0) == pytest.approx(b.max(axis=0), abs=8)


def test_without_an_image_the_labels_are_drawn():
    found = anatomy(with_image=False)
    axes = axes_of(found, "L4/L5")
    axial = orthogonal(np.array([0.0, 20, 0]), axes, 80, 120.0)[0]
    assert len(np.unique(greys(axial, found)[..., 0])) > 3


def test_six_pictures_with_letters_scale_and_descriptions():
    drawn = pictures(anatomy(), corridor(), "L4/L5")
    assert [p.title for p in drawn][2:] == ["Down the tube", "Axial", "Sagittal", "Coronal"]
    for picture in drawn:
        assert re.search(r">\d+ mm<", picture.svg)
        assert "tube of radius 4 mm to scale" in picture.alt
        assert "data:image/png;base64," in picture.svg
    assert "L4 root, left" in drawn[2].caption
