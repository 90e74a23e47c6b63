"""The recount of recesses, portals and misses on shapes whose numbers are known, and that it can say no."""

import numpy as np
import pytest
from recount import Scene
from recount_frames import Frame
from recount_geometry import check_portals, check_tried
from recount_measures import Field, check_bone, recess

KEYS = {
    1: "vertebra/L5/body",
    2: "vertebra/L5/pedicle/left",
    3: "vertebra/L5/facet/superior/left",
    4: "vertebra/L4/body",
}
BLOCKS = {
    1: ((-20, 20), (-15, 15), (-12, 12)),
    2: ((10, 18), (15, 24), (0, 10)),
    3: ((2, 18), (21, 24), (0, 16)),
    4: ((-20, 20), (-15, 15), (18, 40)),
}
DEPTH = 20.5 - 15.5


def plate(height):
    corners = {"anterior": (0, -15.5), "posterior": (0, 15.5), "left": (20.5, 0), "right": (-20.5, 0)}
    return {"point": [0, 0, height], "normal": [0, 0, 1]} | {k: [x, y, height] for k, (x, y) in corners.items()}


def frame(name, centre, top, bottom):
    axes = {"left": [1, 0, 0], "posterior": [0, 1, 0], "up": [0, 0, 1]}
    plates = {"superior": plate(top), "inferior": plate(bottom)}
    return {"vertebra": name, "centre": [0, 0, centre]} | axes | plates


L4, L5 = frame("L4", 29.0, 40.5, 17.5), frame("L5", 0.0, 12.5, -12.5)


@pytest.fixture(scope="module")
def blocks():
    array = np.zeros((80, 80, 70), np.uint8)
    for n, sides in BLOCKS.items():
        at = [slice(low + middle, high + middle + 1) for (low, high), middle in zip(sides, (40, 40, 20), strict=True)]
        array[tuple(at)] = np.where(array[tuple(at)] == 0, n, array[tuple(at)])
    affine = np.eye(4)
    affine[:3, 3] = (-40, -40, -20)
    return Scene(array, affine, KEYS)


def test_a_recess_is_as_deep_as_the_blocks_are_apart(blocks):
    assert recess(Field(blocks, np.zeros(3)), "L4", Frame(L5), "left")[0] == pytest.approx(DEPTH, abs=0.05)


@pytest.mark.parametrize(("said", "n"), [(DEPTH, 0), (DEPTH + 0.2, 0), (DEPTH + 1.5, 2), (DEPTH - 1.5, 2)])
def test_the_recount_notices_a_recess_that_is_wrong(blocks, said, n):
    depth = {"value": said}
    told = {
        "voxels": "",
        "measures": [{"name": "lateral recess depth", "side": "left", "before": depth, "after": depth}],
    }
    one = {"approach": "any", "rank": 1, "decompression": told}
    plan = {"level": "L4/L5", "frames": [L4, L5], "candidates": [one], "open": None, "comparators": []}
    assert len(check_bone(blocks, plan)) == n


@pytest.mark.parametrize(("name", "more"), [(None, 0.0), ("skin_distance", 0.1), ("tip_distance", 0.1), ("angle", 0.1)])
def test_the_recount_notices_portals_that_lie_otherwise(name, more):
    told = {"skin_distance": 30.0, "tip_distance": 10.0, "angle": float(np.degrees(np.arctan2(20, 60)))}
    if name is not None:
        told[name] += more
    portal = {"entry": [30, 60, 0], "dock": [10, 0, 0]} | {k: {"value": v} for k, v in told.items()}
    one = {"approach": "two", "rank": 1, "entry": [0, 60, 0], "dock": [0, 0, 0], "portals": [portal]}
    assert len(check_portals({"candidates": [one]})) == (name is not None)


@pytest.mark.parametrize(("missing", "n"), [(2.5, 0), (1.0, 1), (4.0, 1)])
def test_the_recount_notices_a_miss_that_is_not_as_near_as_said(blocks, missing, n):
    # a tube of 4 mm beside the body: its axis runs 2 mm from the nearest centre, so 2 mm and half a voxel are missing
    tried = {"entry": [22, 0, 60], "dock": [22, 0, -4], "target": None, "radius": 4.0, "instrument_radius": 1.0}
    one = {"approach": "any", "structure": "vertebra/L5/body", "tried": tried | {"blocked": "tube"}}
    assert len(check_tried(blocks, {"rejected": [one | {"missing": {"value": missing}}]})) == n
