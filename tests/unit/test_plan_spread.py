"""The sd of burden and facet: what a boundary that is off by so much changes, from any side, on any grid."""

import numpy as np
import pytest
from plan_anatomy import back
from scipy.spatial.transform import Rotation

from keyhole.geometry import LabelMap, Tube, affine
from keyhole.plan.harm.inside import burden, volumes
from keyhole.plan.harm.recount import along_and_across, boundary_sd, mask_recounts, recounts, shifted, spread
from keyhole.plan.site import Site, body_code, site

RADIUS, LENGTH = 8.0, 60.0


def halves(height, turn=(0.0, 0.0, 0.0), spacing=(1.0, 1.0, 1.0)):
    """A site whose labels are muscle below `height` mm of the level's posterior axis and fat above it."""
    base = site(back(), "L4/L5", "left")
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * spacing
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    shape = np.ceil(110 / np.array(spacing)).astype(int)
    matrix[:3, 3] = -axes @ ((shape - 1) / 2)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    y = (index @ matrix[:3, :3].T + matrix[:3, 3])[..., 1]
    labels = LabelMap(np.where(y < height, 1, 2).astype(np.uint16), affine(matrix), {1: "muscle/x", 2: "tissue/fat"})
    return Site(base.frame, labels, base.structures, body_code(labels)[0], {}, ())


def sds(place, tube, sd):
    found = recounts(along_and_across(place, tube), sd, lambda way: volumes(place.labels, shifted(tube, way)))
    return spread(found, burden)


def tube_along(way):
    way = np.array(way, float) / np.linalg.norm(way)
    return Tube(LENGTH / 2 * way, -LENGTH / 2 * way, RADIUS)


@pytest.mark.parametrize(("turn", "spacing"), [((0, 0, 0), (1, 1, 1)), ((20, -35, 50), (0.8, 1.3, 1.1))])
@pytest.mark.parametrize("way", [(0.01, 1, 0), (1, 1, 0.3)])
def test_a_flat_boundary_off_by_its_sd_changes_the_volume_by_the_section_times_sd(turn, spacing, way):
    tube = tube_along(way)
    slope = abs(tube.start[1] - tube.stop[1]) / LENGTH
    section = np.pi * RADIUS**2 / slope  # the plane cuts the tube in an ellipse
    found = sds(halves(0.3, turn, spacing), tube, 0.7)
    assert found["muscle"] == pytest.approx(section * 0.7 / 1000, rel=0.04)
    assert found["fat"] == pytest.approx(found["muscle"], rel=1e-3)


def test_what_lies_wholly_in_one_tissue_has_no_doubt():
    assert sds(halves(50.0), tube_along((1, 0.01, 0)), 0.7)["muscle"] == pytest.approx(0.0, abs=0.02)


def test_a_mask_moved_less_than_a_voxel_shares_its_voxels_as_boxes_overlap():
    place = halves(0.3, (20, -35, 50), (0.8, 1.3, 1.1))
    local = place.frame.local(place.labels.grid.centres(np.argwhere(place.labels.array > 0)))
    mask = ((np.abs(local) < [10, 40, 10]).all(axis=1)).reshape(place.labels.array.shape)
    origin = place.frame.origin[1]
    found = spread(mask_recounts(place, mask, 0.4), burden)
    assert abs(origin) < 1
    assert found["muscle"] == pytest.approx(20 * 20 * 0.4 / 1000, rel=0.08)


def test_a_sum_over_sides_that_move_apart_is_not_surer_than_its_parts():
    base = {"muscle/x/left": 5.0, "muscle/x/right": 5.0}
    moved = {"muscle/x/left": 6.0, "muscle/x/right": 4.0}, {"muscle/x/left": 4.0, "muscle/x/right": 6.0}
    found = spread((base, *moved), burden)
    assert found["muscle/x/left"] == pytest.approx(1.0)
    assert found["muscle"] == pytest.approx(np.sqrt(2))


def test_no_boundary_is_surer_than_rounding_to_voxels():
    place = site(back(), "L4/L5", "left")
    assert boundary_sd(place, "muscle") == 0.5
    assert boundary_sd(place, "root") == 2.0
    assert boundary_sd(place, "nothing") == pytest.approx(0.3 * 1.5)


def test_what_only_a_moved_tube_touches_has_an_sd_too():
    base, moved = {"muscle/x/left": 5.0}, {"muscle/x/left": 5.0, "foramen/L5-S1/left": 0.2}
    found = spread((base, moved, base), burden)
    assert found["foramen/L5-S1"] == pytest.approx(0.2 / np.sqrt(2))
