"""The measures: right in any pose, mirrored, oblique; their sd is what simulation gives."""

from functools import cache

import numpy as np
import pytest
from analytic_spine import anatomy, moved, stack, truth, voxelise
from scipy import ndimage, special
from scipy.spatial.transform import Rotation

from keyhole.assessment import assess
from keyhole.geometry import LabelMap
from keyhole.geometry.resample import keyhole_grid, labels_on_grid

NAMES = ("L4", "L5", "S1")
LIMITS = {
    "disc height": 0.3,
    "slip": 0.6,
    "slip ratio": 2.0,
    "segmental lordosis": 0.8,
    "canal area": 0.03 * np.pi * 80,
    "canal AP diameter": 0.5,
}


@cache
def spine(kind):
    return stack(
        names=NAMES,
        disc=(6.0, 10.0, 13.0)[kind],
        angles=((8.0, 12.0), (14.0, 6.0), (4.0, 18.0))[kind],
        wedge=(0.0, 3.0, 6.0)[kind],
        slips=((3.0, -2.0), (0.0, 4.0), (1.0, 0.0))[kind],
    )


@cache
def measured(seed, *, mirror=False):
    known = spine(seed % 3)
    return truth(known), assess(anatomy(voxelise(moved(known, seed), mirror=mirror)))


def by_name(findings):
    return {(f.name, f.level): f.value for f in findings if f.value is not None}


@pytest.mark.parametrize("seed", range(4))
def test_measures_are_right_in_any_pose(seed):
    known, findings = measured(seed)
    found = by_name(findings)
    for key, value in known.items():
        assert abs(found[key] - value) < LIMITS[key[0]], key


def test_measures_are_unbiased_over_poses():
    off = {}
    for seed in range(4):
        known, findings = measured(seed)
        found = by_name(findings)
        for key, value in known.items():
            off.setdefault(key[0], []).append(found[key] - value)
    for name, values in off.items():
        assert abs(np.mean(values)) < LIMITS[name] / 4, (name, np.mean(values))


SIGNED = ("lateral slip", "herniation offset", "coronal disc wedge")
"""To the left is positive."""

OTHER = {"left": "right", "right": "left", None: None}


def test_a_mirrored_patient_has_the_same_measures_with_sides_exchanged():
    known, other = (
        {(f.name, f.level, f.side): f.value for f in found if f.value is not None}
        for found in (measured(1)[1], measured(1, mirror=True)[1])
    )
    assert {(name, level, OTHER[side]) for name, level, side in known} == other.keys()
    for (name, level, side), value in known.items():
        got = other[name, level, OTHER[side]] * (-1 if name in SIGNED else 1)
        assert got == pytest.approx(value, abs=0.3 if name.endswith("area") else 0.03), (name, level, side)


@pytest.mark.parametrize("seed", [1])
def test_thick_oblique_labels_brought_to_keyholes_grid_give_the_same_measures(seed):
    known = spine(seed)
    axes = Rotation.from_rotvec([0.2, 0.3, -0.1]).as_matrix()
    coarse = voxelise(moved(known, seed, 10.0), (0.8, 0.8, 2.5), axes=axes)
    found = by_name(assess(anatomy(labels_on_grid(coarse, keyhole_grid(coarse.grid)))))
    wide = {"disc height": 1.0, "slip": 1.0, "slip ratio": 3.0, "segmental lordosis": 2.0}
    for key, value in truth(known).items():
        limit = wide.get(key[0], 0.08 * value)
        assert abs(found[key] - value) < limit, (key, found[key], value)


def noisy(labels, sd, rng):
    """`labels` with the boundary of each structure moved by a smooth random field of `sd` mm, 10 mm correlation.

    The distance from a boundary comes from the smoothed mask: below the voxel, good to 0.1 mm within 2 mm.
    """
    array = np.zeros_like(labels.array)
    for keys in (["canal/dural_sac", "canal/epidural"], *([k] for k in labels.keys if k.endswith("/body"))):
        share = ndimage.gaussian_filter(labels.mask(*keys).astype(np.float32), 1.0)
        outward = -special.ndtri(np.clip(share, 1e-4, 1 - 1e-4))
        white = rng.normal(size=share.shape).astype(np.float32)
        shift = ndimage.gaussian_filter(white, 10 / np.sqrt(2), mode="wrap")  # as wide at the edges as inside
        array[outward < shift * (sd / shift.std())] = labels.labels_of(*keys)[-1]
    return LabelMap(array, labels.patient_from_index, labels.structures)


@cache
def simulated(sd=0.5, n=16):
    rng = np.random.default_rng(7)
    labels = voxelise(moved(spine(1), 5))
    runs = [assess(anatomy(noisy(labels, sd, rng), sd)) for _ in range(n)]
    return [[f for f in run if f.value is not None and f.name in LIMITS] for run in runs]


@pytest.mark.slow
def test_sd_is_what_simulated_label_errors_give():
    said, seen = {}, {}
    for found in zip(*simulated(), strict=True):
        said.setdefault(found[0].name, []).append(np.mean([f.sd**2 for f in found]))
        seen.setdefault(found[0].name, []).append(np.var([f.value for f in found], ddof=1))
    assert set(said) == set(LIMITS)
    for name, variances in said.items():
        ratio = np.sqrt(np.mean(variances) / np.mean(seen[name]))  # of 2 x 16 runs: known to an eighth
        assert 0.7 < ratio < 1.7, (name, ratio)


@pytest.mark.slow
def test_the_truth_lies_within_three_sd():
    known = truth(spine(1))
    scores = [
        abs(f.value - known[f.name, f.level]) / f.sd for run in simulated() for f in run if (f.name, f.level) in known
    ]
    assert np.mean(np.array(scores) < 3) > 0.97


def test_a_blunter_label_gives_a_wider_sd_and_the_same_value():
    labels = voxelise(moved(spine(0), 2))
    sharp, blunt = assess(anatomy(labels, 0.2)), assess(anatomy(labels, 0.8))
    for a, b in zip(sharp, blunt, strict=True):
        assert a.value == b.value
        assert a.value is None or b.sd > a.sd
