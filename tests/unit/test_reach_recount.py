"""Reach and portals of a plan recounted from labels and plan.json alone, by code of its own."""

import json

import numpy as np
import pytest
from plan_anatomy import back

from keyhole.casefile import to_json
from keyhole.plan import plan

NEVER = ("canal/dural_sac", "root", "vessel", "organ", "tissue/gas")
BONE = ("vertebra", "sacrum", "pelvis", "rib", "femur", "tissue/bone")
LABELS = {"fragment": "disc/L4-L5/herniation", "canal": "canal/flavum/L4-L5", "foramen": "foramen/L4-L5/left"}


def below(key, names):
    return any(key == name or key.startswith(name + "/") for name in names)


def reach(array, keys, affine, candidate, approach, target):
    """% of the voxels of `target` that a straight tool from the dock can touch."""
    hard = [
        n for n, k in keys.items() if below(k, NEVER) or (below(k, BONE) and not below(k, approach["may_cut"]))
    ]  # fmt: skip
    dock, entry = np.array(candidate["dock"]), np.array(candidate["entry"])
    out = (entry - dock) / np.linalg.norm(entry - dock)
    index = np.argwhere(np.isin(array, [n for n, k in keys.items() if k == target]))
    points = index @ affine[:3, :3].T + affine[:3, 3]
    way = points - dock
    far, deep = np.linalg.norm(way, axis=1), -way @ out
    aside = np.sqrt(np.maximum(far**2 - deep**2, 0))
    slack = candidate["radius"] - candidate["instrument_radius"]
    ok = (deep >= 0) & (far <= approach["reach"][1])
    ok &= aside <= slack + deep * np.tan(np.deg2rad(approach["angulation"]))
    inverse = np.linalg.inv(affine)
    for n in np.flatnonzero(ok):
        line = dock + np.linspace(0, 1, int(far[n] / 0.2) + 2)[:, None] * way[n]
        at = np.rint(line @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        ok[n] = not np.isin(array[tuple(at.T)], hard).any()
    return 100 * ok.mean()


@pytest.mark.slow
def test_reach_in_every_labelled_target_is_what_counting_voxels_finds():
    anatomy = back(spacing=(2.0, 2.0, 2.0))
    made = plan(anatomy, "L4/L5", "left", "decompress", approaches=["biportal-endoscopic"])
    record = json.loads(to_json(made))
    labels = anatomy.labels
    needs = {a["name"]: a for a in record["approaches"]}
    assert record["candidates"]
    for candidate in record["candidates"]:
        for target, key in LABELS.items():
            mine = reach(
                labels.array, labels.structures, labels.patient_from_index.matrix, candidate,
                needs[candidate["approach"]], key,
            )  # fmt: skip
            said = candidate["reaches"][target]
            assert abs(mine - said["value"]) <= max(8.0, 3 * said["sd"]), (candidate["approach"], target)
        for portal in candidate["portals"]:
            ends = [(np.array(t["entry"]), np.array(t["dock"])) for t in (candidate, portal)]
            ways = [(a - b) / np.linalg.norm(a - b) for a, b in ends]
            assert portal["skin_distance"]["value"] == pytest.approx(np.linalg.norm(ends[0][0] - ends[1][0]), abs=2e-3)
            assert portal["tip_distance"]["value"] == pytest.approx(np.linalg.norm(ends[0][1] - ends[1][1]), abs=2e-3)
            assert portal["angle"]["value"] == pytest.approx(np.rad2deg(np.arccos(ways[0] @ ways[1])), abs=0.02)
    for target in record["targets"]:
        if target["name"] in ("fragment", "canal", "foramen"):
            voxels = np.isin(
                labels.array, [n for n, k in labels.structures.items() if k == LABELS[target["name"]]]
            ).sum()
            assert target["volume"]["value"] == pytest.approx(voxels * labels.grid.voxel_volume / 1000, abs=2e-3)
