"""Corridors against distance fields: lower bounds, exits, and the traps that a prototype fell into."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from keyhole.errors import InvalidInput
from keyhole.geometry import Volume, affine, distance_field
from keyhole.plan.corridor import BLOCKED, FINE, OUTSIDE, UNSEEN, gaps, is_clear, sweep

ALONG = np.array([[0.0, 1.0, 0.0]])


def oblique(spacing=(0.9, 1.3, 1.1)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [20, -15, 40], degrees=True).as_matrix() * spacing
    matrix[:3, 3] = [5, -300, 40]
    return affine(matrix)


@pytest.fixture(scope="module")
def blobs():
    """A random mask on an oblique anisotropic grid, its field, and segments through it, some leaving the field."""
    rng = np.random.default_rng(1)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (60, 50, 55)], indexing="ij"), -1)
    mask = np.zeros(index.shape[:3], dtype=bool)
    for centre in rng.uniform(5, 50, (14, 3)):
        mask |= np.linalg.norm(index - centre, axis=-1) < rng.uniform(2, 6)
    field = distance_field(mask, oblique())
    ends = field.grid.centres(rng.uniform(-3, [62, 52, 57], (2, 4000, 3)))
    return mask, field, ends[0], ends[1]


def sampled(field, start, stop, radius, step=0.05):
    found = np.empty(len(start))
    for n, (a, b) in enumerate(zip(start, stop, strict=True)):
        points = a + np.linspace(0, 1, int(np.linalg.norm(b - a) / step) + 2)[:, None] * (b - a)
        index = field.grid.index(points)
        outside = ((index < -0.5) | (index > np.array(field.array.shape) - 0.5)).any()
        found[n] = np.nan if outside else map_coordinates(field.array, index.T, order=1, mode="nearest").min() - radius
    return found


def test_graded_gaps_are_what_dense_sampling_finds(blobs):
    _, field, start, stop = blobs
    true = sampled(field, start[:800], stop[:800], 2.0)
    found = gaps(field, start[:800], stop[:800], 2.0, floor=-30.0, boxes=False)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(true))
    seen = ~np.isnan(true)
    assert 100 < seen.sum() < 700
    near = seen & (true < 6.0)  # farther ones need not be known finely
    assert np.abs(found - true)[near].max() <= FINE / 2 + 0.05
    assert (found[seen & ~near] >= 5.9).all()


def test_yes_and_no_agree_with_sampling_and_no_corridor_is_falsely_safe_by_more_than_a_tenth(blobs):
    _, field, start, stop = blobs
    true = sampled(field, start[:1500], stop[:1500], 2.0)
    answer = is_clear(field, start[:1500], stop[:1500], 2.0, 0.5)
    assert not answer[np.isnan(true)].any()
    seen = ~np.isnan(true)
    assert (answer == (true >= 0.5))[seen].mean() > 0.99
    assert (0.5 - true[seen & answer]).max() <= FINE / 2


def test_a_gap_to_boxes_never_exceeds_the_distance_to_the_corners_of_voxels(blobs):
    mask, field, start, stop = blobs
    found = gaps(field, start[:400], stop[:400], 1.0, floor=-30.0)
    grid = field.grid
    corners = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3, indexing="ij"), -1).reshape(-1, 3)
    cloud = grid.centres((np.argwhere(mask)[:, None] + corners).reshape(-1, 3))
    for n in np.flatnonzero(found > 0.5)[:25]:
        way = stop[n] - start[n]
        share = np.clip((cloud - start[n]) @ way / (way @ way), 0, 1)
        true = np.linalg.norm(cloud - start[n] - share[:, None] * way, axis=1).min() - 1.0
        assert found[n] <= true + 0.3  # the field's own interpolation; reported clearances are exact


def test_nothing_is_clear_at_nan_or_outside_the_field(blobs):
    _, field, start, stop = blobs
    blind = Volume(np.full(field.array.shape, np.nan, np.float32), field.patient_from_index)
    assert not is_clear(blind, start, stop, 1.0, 0.0).any()
    away = start + 1000.0
    assert not is_clear(field, away, stop + 1000.0, 1.0, 0.0).any()
    assert np.isnan(gaps(field, away, stop + 1000.0, 1.0)).all()


def test_corridors_without_finite_ends_or_radius_are_refused(blobs):
    _, field, start, stop = blobs
    with pytest.raises(InvalidInput, match="finite ends"):
        gaps(field, start * np.nan, stop, 1.0)
    with pytest.raises(InvalidInput, match="radius"):
        is_clear(field, start, stop, 0.0, 1.0)


def ball(radius, size=81, skin=2.0, hole=None, shift=0.0):
    """Body code of a ball in the middle of a 1 mm grid with a skin of `skin` mm, and an empty field."""
    index = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), -1) - (size // 2)
    far = np.linalg.norm(index - [0, shift, 0], axis=-1)
    body = (far <= radius).astype(np.uint8)
    body[(far <= radius) & (far > radius - skin)] = 2
    if hole is not None:
        body[np.linalg.norm(index - hole, axis=-1) < 4] = 0
    matrix = np.eye(4)
    matrix[:3, 3] = -(size // 2)
    return body, Volume(np.full((size,) * 3, 1e4, np.float32), affine(matrix))


def swept(body, field, directions=ALONG, radii=(2.0, 3.0), entry=(-90.0, 90.0), docks=None):
    docks = np.zeros((1, 3)) if docks is None else docks
    zero = np.zeros(len(docks))
    return sweep(
        field, body, docks, directions, radii, lateral=(zero, directions[:, 0].copy()), entry=entry, longest=150
    )


def test_the_entry_lies_on_the_skin_and_no_jump_overshoots_it():
    body, field = ball(33.0)
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(300, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    found, lengths, verdicts = swept(body, field, directions)
    assert (verdicts == 0).all()
    assert np.isfinite(found).all()
    assert np.abs(lengths - 33.0).max() < 1.2


def test_leaving_the_scan_before_the_skin_is_unseen_and_never_clear():
    body, field = ball(60.0)
    found, _, verdicts = swept(body, field)
    assert verdicts[0, 0] == UNSEEN
    assert (found == -np.inf).all()


def test_a_hole_inside_the_body_is_unseen_and_not_taken_for_its_outside():
    body, field = ball(33.0, hole=[0, 18, 0])
    assert swept(body, field)[2][0, 0] == UNSEEN


def test_an_entry_beyond_the_envelope_is_not_allowed():
    body, field = ball(33.0)
    sideways = np.array([[1.0, 0.0, 0.0]])
    assert swept(body, field, sideways, entry=(-20, 20))[2][0, 0] == OUTSIDE
    assert swept(body, field, sideways, entry=(20, 40))[2][0, 0] == 0


def test_a_wall_blocks_the_wider_tube_first():
    body, _ = ball(33.0)
    mask = np.zeros(body.shape, bool)
    mask[44:, :, :] = True  # its first voxels are centred 4 mm aside
    matrix = np.eye(4)
    matrix[:3, 3] = -40
    field = distance_field(mask, affine(matrix), signed=False)
    found, _, verdicts = swept(body, field, radii=(2.0, 3.0, 4.0))
    assert verdicts[0, 0] == 0
    np.testing.assert_allclose(found[0, 0, :2], [1.5, 0.5], atol=1e-3)
    assert found[0, 0, 2] == -np.inf
    assert swept(body, field, radii=(5.0,))[2][0, 0] == BLOCKED
