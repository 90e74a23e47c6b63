"""The search on a library of arrays: the same answers as the compiled kernels, ray by ray."""

import sys

import numpy as np
import pytest
from plan_anatomy import back
from scipy.spatial.transform import Rotation

from keyhole.errors import InvalidInput
from keyhole.geometry import affine, distance_field
from keyhole.plan.approaches import catalogue
from keyhole.plan.arrays import engine
from keyhole.plan.search import search
from keyhole.plan.site import site
from keyhole.plan.targets import treated


@pytest.fixture(scope="module")
def world():
    """A body on an oblique anisotropic grid with blobs in it, its skin, and rays from a few docks."""
    rng = np.random.default_rng(4)
    shape = (50, 42, 46)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    mask = np.zeros(shape, dtype=bool)
    for centre in rng.uniform(4, 42, (9, 3)):
        mask |= np.linalg.norm(index - centre, axis=-1) < rng.uniform(1, 4)
    far = np.linalg.norm((index - np.array([25, 21, 23])) / np.array([22, 20, 26]), axis=-1)
    body = np.where(far < 0.9, 1, np.where(far < 1.0, 2, 0)).astype(np.uint8)
    body[:, :, -1] = 4
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [20, -15, 40], degrees=True).as_matrix() * (0.9, 1.3, 1.1)
    matrix[:3, 3] = [5, -300, 40]
    field = distance_field(mask, affine(matrix), signed=False)
    docks = field.grid.centres(rng.uniform(12, 32, (40, 3)))
    out = rng.normal(size=(60, 3))
    return field, body, docks, out / np.linalg.norm(out, axis=1)[:, None]


def test_every_gap_length_and_verdict_of_the_sweep_is_the_compiled_one(world):
    field, body, docks, out = world
    ask = {
        "lateral": (np.linspace(-5, 40, len(docks)), out[:, 0].copy()),
        "entry": (-10.0, 45.0),
        "longest": 40.0,
    }
    one = engine("cpu").sweep(field, body, docks, out, (1.0, 2.0, 3.5), **ask)
    two = engine("numpy").sweep(field, body, docks, out, (1.0, 2.0, 3.5), **ask)
    for mine, yours in zip(one, two, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert set(np.unique(one[2])) == {0, 1, 2, 3}


@pytest.mark.parametrize("boxes", [True, False])
def test_every_graded_gap_is_the_compiled_one_also_at_the_edge_and_outside(world, boxes):
    field, *_ = world
    rng = np.random.default_rng(5)
    start, stop = field.grid.centres(rng.uniform(-2, [51, 43, 47], (2, 3000, 3)))
    one = engine("cpu").gaps(field, start, stop, 1.5, floor=-2.0, boxes=boxes)
    np.testing.assert_array_equal(engine("numpy").gaps(field, start, stop, 1.5, floor=-2.0, boxes=boxes), one)
    assert 100 < np.isnan(one).sum() < 2900


def test_a_whole_search_finds_the_same_corridors():
    here = site(back(), "L4/L5", "left")
    asked = (here, catalogue()["interlaminar-endoscopic"], treated(here.core))
    one, two = (search(*asked, steps=(4.0, 6.0), backend=name) for name in ("cpu", "numpy"))
    assert len(one) > 50
    assert one.verdicts == two.verdicts
    for name in ("entry", "dock", "target", "gap", "instrument_gap", "danger", "reach", "volume"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_library_that_is_not_there_is_refused_in_a_sentence(monkeypatch):
    with pytest.raises(InvalidInput, match="cpu, numpy, cupy"):
        engine("opencl")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(InvalidInput, match="the backend cupy needs that package and a device"):
        engine("cupy")
