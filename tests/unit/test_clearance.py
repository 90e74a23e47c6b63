"""Clearance by blocks of surface voxels is what looking at every voxel finds."""

import numpy as np
import pytest
from plan_anatomy import back

from keyhole.geometry import Tube
from keyhole.plan.clearance import NEAR, clearances, surfaces


@pytest.fixture(scope="module")
def labels():
    return back(spacing=(2.0, 2.6, 2.3), turn=(12, -9)).labels


def by_every_voxel(labels, key, tube):
    centres = labels.grid.centres(np.argwhere(labels.mask(key)))
    along, axes = tube.stop - tube.start, labels.patient_from_index.matrix[:3, :3]
    share = np.clip((centres - tube.start) @ along / (along @ along), 0, 1)
    way = centres - tube.start - share[:, None] * along
    distance = np.linalg.norm(way, axis=1)
    return (distance - 0.5 * np.abs(way @ axes).sum(axis=1) / np.maximum(distance, 1e-9)).min() - tube.radius


@pytest.mark.parametrize("chosen", [("root", "vessel", "organ"), ("root/L4/left",), ("vertebra/L5",), ("nothing",)])
def test_the_narrowest_gap_to_each_structure_is_that_to_the_nearest_of_all_its_voxels(labels, chosen):
    wanted = [k for k in labels.keys if any(k == c or k.startswith(c + "/") for c in chosen)]
    known = surfaces(labels, labels.keys).only(wanted)
    assert known.keys == tuple(sorted(wanted))
    rng = np.random.default_rng(0)
    for _ in range(4):
        tube = Tube(rng.uniform([0, 20, -10], [60, 80, 20]), rng.uniform([0, 0, -10], [30, 30, 10]), rng.uniform(2, 6))
        found = clearances(known, tube)
        for key in wanted:
            true = by_every_voxel(labels, key, tube)
            if true >= NEAR:
                assert key not in found
            elif true > 0:
                assert found[key][0] == pytest.approx(true, abs=1e-9)
            else:
                assert found[key][0] <= 0
