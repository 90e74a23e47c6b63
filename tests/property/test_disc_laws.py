"""Discs: heights, volume, signal and what lies beyond the endplates, right in any pose, mirrored, and oblique."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from analytic_spine import HALF_DEPTH, HALF_WIDTH, anatomy, moved, stack, voxelise
from scipy.spatial.transform import Rotation

from keyhole.anatomy.model import Structure
from keyhole.assessment.disc.herniation import ZoneBorders, zone
from keyhole.assessment.disc.panel import BEYOND, disc_panel
from keyhole.assessment.model import Measurement, entry
from keyhole.assessment.study import Study
from keyhole.geometry import LabelMap, Volume
from keyhole.geometry.resample import keyhole_grid, labels_on_grid
from keyhole.terms import Origin

LEVEL, KEY = "L4/L5", "disc/L4-L5"
ROD, ASIDE = 4.0, 6.0  # mm: radius of the fragment and its place to the left
SPINE = stack(names=("L4", "L5"), disc=9.0, angles=(8.0,), wedge=3.0, slips=(0.0,))


def with_disc(spine, labels, reach=0.0, bulge=0.0, *, mirror=False):
    """`labels` with the disc L4/L5 painted: an elliptic cylinder wider by `bulge`, a rod behind it by `reach` mm."""
    upper, lower = spine.bodies[:2]
    (above, high), (below, low) = upper.plane(-1), lower.plane(1)
    axis = (high + low) / np.linalg.norm(high + low)
    left = upper.rows[0]
    back = np.cross(axis, left)
    index = np.moveaxis(np.indices(labels.array.shape), 0, -1).reshape(-1, 3)
    points = labels.grid.centres(index)
    if mirror:
        points = points * np.array([-1.0, 1.0, 1.0])
    local = (spine.unposed(points) - (above + below) / 2) @ np.stack([left, back, axis]).T
    x, y, z = local.T
    outline = (x / (HALF_WIDTH + bulge)) ** 2 + (y / (HALF_DEPTH + bulge)) ** 2 <= 1
    between = (spine.unposed(points) - above) @ high < 3.0
    between &= (spine.unposed(points) - below) @ low > -3.0
    rod = ((x - ASIDE) ** 2 + z**2 <= ROD**2) & (y > 0) & (y <= HALF_DEPTH + reach)
    mask = ((outline & between) | (rod if reach else False)).reshape(labels.array.shape)
    array = np.array(labels.array)
    is_bone = labels.mask("vertebra")
    array[mask & ~is_bone] = 90
    return LabelMap(array, labels.patient_from_index, {**labels.structures, 90: KEY})


@cache
def made(seed=3, *, reach=6.0, bulge=0.0, mirror=False):
    spine = moved(SPINE, seed)
    return with_disc(spine, voxelise(spine, mirror=mirror), reach, bulge, mirror=mirror)


def found(labels, sd=0.0, image=None):
    images = {} if image is None else {"T2": lambda: image}
    return {(f.name, f.level): f for f in map(entry, disc_panel(Study(anatomy(labels, sd), images)))}


@cache
def usual():
    """The spine with its fragment, measured once."""
    return found(made())


@cache
def true():
    """Depth and volume of the rod beyond the ellipse, in the plane: the nearest point of the ellipse by search."""
    turn = np.linspace(0, np.pi, 2000)
    wall = np.column_stack([HALF_WIDTH * np.cos(turn), HALF_DEPTH * np.sin(turn)])
    x, y, z = np.meshgrid(
        ASIDE + np.arange(-4, 4, 0.25) + 0.125, np.arange(15, 23, 0.25) + 0.125, np.arange(-4, 4, 0.25) + 0.125
    )
    kept = ((x - ASIDE) ** 2 + z**2 <= ROD**2) & (y <= HALF_DEPTH + 6.0)
    kept &= (x / HALF_WIDTH) ** 2 + (y / HALF_DEPTH) ** 2 > 1
    points = np.column_stack([x[kept], y[kept]])
    flat, back = np.unique(points, axis=0, return_inverse=True)
    far = np.array([np.linalg.norm(wall - p, axis=1).min() for p in flat])[back.ravel()]
    return np.sort(far)[-int(5 / 0.25**3)], np.count_nonzero(far > 2.0) * 0.25**3 / 1000


@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_a_fragment_is_measured_in_any_pose(seed):
    got = usual() if seed == 3 else found(made(seed))
    depth, volume = true()
    assert got["herniation depth", LEVEL].value == pytest.approx(depth, abs=0.5)
    assert got["herniation volume", LEVEL].value == pytest.approx(volume, rel=0.15)
    assert got["herniation offset", LEVEL].value == pytest.approx(ASIDE, abs=0.4)
    assert got["herniation migration", LEVEL].value == pytest.approx(0.0, abs=0.8)
    share = got["herniation circumference", LEVEL]
    assert share.value < 25
    assert share.grade == "focal"


def test_a_mirrored_patient_has_the_fragment_on_the_other_side():
    one, other = usual(), found(made(mirror=True))
    assert one.keys() == other.keys()
    for key, finding in one.items():
        if finding.value is None:
            assert other[key].value is None
            continue
        sign = -1.0 if key[0] == "herniation offset" else 1.0
        assert other[key].value == pytest.approx(sign * finding.value, abs=0.25, rel=0.03), key


@pytest.mark.slow
def test_thick_oblique_labels_give_the_same_within_their_interval():
    axes = Rotation.from_rotvec([0.2, 0.3, -0.1]).as_matrix()
    spine = moved(SPINE, 3)
    coarse = with_disc(spine, voxelise(spine, (0.8, 0.8, 2.0), axes=axes), 6.0)
    got = found(labels_on_grid(coarse, keyhole_grid(coarse.grid)), 0.5)
    fine = found(made(3), 0.5)
    for name, most in {"herniation depth": 1.0, "herniation offset": 1.0, "disc volume": 1.0}.items():
        assert abs(got[name, LEVEL].value - fine[name, LEVEL].value) < most
    for name in ("anterior disc height", "posterior disc height", "disc height index", "herniation depth"):
        one, other = got[name, LEVEL], fine[name, LEVEL]
        assert abs(one.value - other.value) < 2 * np.hypot(one.sd, other.sd), name


def test_heights_and_wedge_are_those_of_the_planes():
    got = usual()
    upper, lower = SPINE.bodies[:2]
    (above, high), (below, low) = upper.plane(-1), lower.plane(1)
    axis = (high + low) / np.linalg.norm(high + low)
    for name, back in (("anterior disc height", -1), ("posterior disc height", 1)):
        at = (upper.corner(-1, back) + lower.corner(1, back)) / 2
        height = (above - at) @ high / (axis @ high) - (below - at) @ low / (axis @ low)
        assert got[name, LEVEL].value == pytest.approx(height, abs=0.3), name
    assert got["disc wedge angle", LEVEL].value == pytest.approx(8.0, abs=0.8)
    assert got["anterior disc height", LEVEL].value > got["posterior disc height", LEVEL].value


def test_a_disc_inside_its_ring_has_no_herniation():
    got = found(made(reach=0.0))
    assert got["herniation depth", LEVEL].value < 1.2
    assert got["herniation volume", LEVEL].value == 0
    assert got["herniation circumference", LEVEL].grade == "none"
    assert got["herniation offset", LEVEL].value is None
    assert "beyond the ring" in got["herniation offset", LEVEL].caveats[0]


def test_a_disc_wider_all_round_is_a_bulge_whose_place_says_little():
    got = found(made(reach=0.0, bulge=4.0))
    assert got["herniation depth", LEVEL].value == pytest.approx(4.0, abs=0.6)
    assert got["herniation circumference", LEVEL].grade == "bulge"
    assert any("says little" in text for text in got["herniation offset", LEVEL].caveats)


def test_every_value_is_drawn_where_it_was_taken():
    findings = [f.measurement for f in disc_panel(Study(anatomy(made()))) if f.measurement.level == LEVEL]
    drawn = {m.name for m in findings if m.value is not None and m.shapes}
    assert drawn >= {"anterior disc height", "disc height index", "herniation depth", "herniation offset"}


def test_a_derived_disc_shows_no_bulge():
    known = anatomy(made())
    structures = {**known.structures, KEY: Structure(KEY, Origin.DERIVED, "gap", 1.0)}
    got = {(f.name, f.level): f for f in map(entry, disc_panel(Study(replace(known, structures=structures))))}
    for name in BEYOND:
        assert got[name, LEVEL].value is None
        assert "cannot show a bulge" in got[name, LEVEL].caveats[0]
    assert got["disc volume", LEVEL].value > 5
    assert any("derived, not labelled" in text for text in got["disc volume", LEVEL].caveats)


def t2(labels, disc=200.0, fluid=800.0):
    """An image with noise: the disc, the sac, and something bright around them."""
    image = np.full(labels.array.shape, 500.0)
    image[labels.mask(KEY)] = disc
    image[labels.mask("canal/dural_sac")] = fluid
    return Volume(image + np.random.default_rng(1).normal(0, 8, image.shape), labels.patient_from_index)


def test_the_signal_ratio_is_that_of_the_inside():
    labels = made(reach=0.0)
    got = found(labels, 0.3, t2(labels))["disc signal ratio", LEVEL]
    assert got.value == pytest.approx(0.25, abs=0.01)
    assert got.sd < 0.03
    assert any("not a Pfirrmann grade" in text for text in got.caveats)
    assert got.grade is None


def test_without_a_t2_image_the_signal_is_unknown():
    row = found(made(reach=0.0))["disc signal ratio", LEVEL]
    assert row.value is None
    assert "T2-weighted" in row.caveats[0]


def test_a_disc_without_an_inside_has_no_signal():
    labels = made(reach=0.0)
    thin = np.array(labels.array)
    index = np.argwhere(thin == 90)
    local = (labels.grid.centres(index) - labels.grid.centres(index).mean(axis=0)) @ anatomy(labels).vertebrae["L4"].up
    thin[tuple(index[np.abs(local) > 1.0].T)] = 0
    bare = LabelMap(thin, labels.patient_from_index, labels.structures)
    row = found(bare, 0.3, t2(bare))["disc signal ratio", LEVEL]
    assert row.value is None
    assert "too thin" in row.caveats[0]


BORDERS = {"left": ZoneBorders((8.0, 12.0, 22.0), 0.5), "right": ZoneBorders((9.0, 13.0, 23.0), 0.5)}


@pytest.mark.parametrize(
    ("offset", "name"),
    [(0.0, "central"), (10.0, "subarticular"), (-16.0, "foraminal"), (30.0, "extraforaminal"), (-11.0, "subarticular")],
)
def test_zones_follow_the_patients_own_borders(offset, name):
    measured = Measurement("herniation offset", LEVEL, offset, 0.5, "mm", "keyhole", "test")
    grade = zone(measured, BORDERS)
    assert grade.likeliest == name
    assert sum(grade.probability.values()) == pytest.approx(1.0, abs=1e-5)


def test_at_a_border_two_zones_are_as_likely():
    measured = Measurement("herniation offset", LEVEL, 8.0, 0.5, "mm", "keyhole", "test")
    chance = zone(measured, BORDERS).probability
    assert chance["central"] == pytest.approx(chance["subarticular"], abs=1e-3)
