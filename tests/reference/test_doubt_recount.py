"""Every number of a plan's doubt, recounted by simulation from its labels and its plan.json alone."""

import json
from itertools import pairwise
from pathlib import Path
from sys import path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keyhole.casefile import to_json
from keyhole.plan import plan

N = 20_000
EDGE = 1.5  # mm, of the voxels
LEVEL = np.eye(3)  # the painted patient stands straight: lateral is left (+x), posterior +y, up +z

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made():
    path.append(str(Path(__file__).parents[1] / "unit"))
    from plan_anatomy import back

    anatomy = back()
    record = plan(anatomy, "L4/L5", "left", "decompress", approaches=["transforaminal-endoscopic"])
    return anatomy, json.loads(to_json(record))


def executions(entry, budget, rms, axes, seed=11):
    """Rotations and shifts about the tip of N executions under the budget of plan.json, registration of `rms` mm."""
    rng = np.random.default_rng(seed)
    registration = budget["registration"]
    scale = rms / registration["rms"]
    turn = rng.normal(0, np.deg2rad(registration["angle"]) * scale, (N, 3))
    shift = rng.normal(0, rms / np.sqrt(3), (N, 3))
    for term in budget["terms"]:
        shift += (rng.standard_normal((N, 3)) * term["sd"]) @ axes
        turn += rng.normal(0, np.deg2rad(term["angle"]), (N, 3))
    return Rotation.from_rotvec(turn), shift


def least(points, start, stop):
    """Least squared distance of any of `points` from each segment, (N,)."""
    way = stop - start
    square = (way**2).sum(axis=1)
    best = np.full(len(start), np.inf)
    for point in points:
        off = point - start
        off -= np.clip(np.einsum("na,na->n", off, way) / square, 0, 1)[:, None] * way
        best = np.minimum(best, np.einsum("na,na->n", off, off))
    return best


def corners(anatomy, key, start, stop, most=400):
    """The corners of the voxels of `key` that lie nearest to the planned axis."""
    labels = anatomy.labels
    number = next(n for n, k in labels.structures.items() if k == key)
    index = np.argwhere(labels.array == number)
    offsets = np.array([[a, b, c] for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (-0.5, 0.5)])
    points = labels.grid.centres(np.unique((index[:, None] + offsets).reshape(-1, 3), axis=0))
    way = stop - start
    off = points - start
    off = off - np.clip(off @ way / (way @ way), 0, 1)[:, None] * way
    return points[np.argsort((off**2).sum(axis=1))[:most]]


def simulated(anatomy, plan_json, entry, rms):
    """Share of executions that touch each structure with a chance worth counting, and least gap to any of them."""
    tip, skin, radius = np.array(entry["dock"]), np.array(entry["entry"]), entry["radius"]
    stop = tip + radius * (skin - tip) / np.linalg.norm(skin - tip)
    turn, shift = executions(entry, plan_json["budget"], rms, LEVEL)
    rng = np.random.default_rng(12)
    shares, gaps = {}, np.full(N, np.inf)
    for key in sorted(entry["breach_probability"]):
        known = anatomy.structures[key].sd
        own = max(plan_json["budget"]["label_scale"] * known, plan_json["budget"]["label_least"] * EDGE)
        away = rng.normal(0, own, (N, 3))
        start = turn.apply(skin - tip) + tip + shift - away
        end = turn.apply(stop - tip) + tip + shift - away
        if entry["clearance"][key]["value"] > 15:
            continue
        found = np.sqrt(least(corners(anatomy, key, skin, stop), start, end)) - radius
        shares[key] = (found < 0).mean()
        gaps = np.minimum(gaps, found)
    return shares, gaps


def test_breach_probabilities_are_those_of_simulated_executions(made):
    anatomy, plan_json = made
    for entry in plan_json["candidates"][:3]:
        shares, _ = simulated(anatomy, plan_json, entry, plan_json["budget"]["registration"]["rms"])
        for key, share in shares.items():
            noise = 3 * np.sqrt(share * (1 - share) / N)
            assert abs(entry["breach_probability"][key] - share) <= max(0.1 * share, 0.002) + noise, key


def test_at_the_needed_accuracy_five_percent_of_simulated_executions_breach(made):
    anatomy, plan_json = made
    for entry in plan_json["candidates"][:2]:
        needed = entry["doubt"]["needed_accuracy"]["value"]
        if needed is None or needed >= 10:
            continue
        shares, _ = simulated(anatomy, plan_json, entry, needed)
        assert sum(shares.values()) == pytest.approx(0.05, abs=0.008)


def test_the_kept_clearance_is_kept_in_at_least_95_percent_and_is_no_idle_bound(made):
    anatomy, plan_json = made
    for entry in plan_json["candidates"][:3]:
        _, gaps = simulated(anatomy, plan_json, entry, plan_json["budget"]["registration"]["rms"])
        kept = entry["doubt"]["kept_clearance"]["value"]
        assert kept - 0.1 <= np.quantile(gaps, 0.05) <= kept + 0.8


def test_the_shares_are_those_of_the_variance_at_the_wall(made):
    anatomy, plan_json = made
    budget = plan_json["budget"]
    for entry in plan_json["candidates"][:3]:
        doubt = entry["doubt"]
        own = max(budget["label_scale"] * anatomy.structures[doubt["worst"]].sd, budget["label_least"] * EDGE)
        shares = {s["term"]: s["share"] for s in doubt["shares"]}
        plain = {t["term"]: t["sd"][0] ** 2 for t in budget["terms"] if t["angle"] == 0} | {"label": own**2}
        for one, two in (("breathing", "image"), ("label", "image")):
            assert shares[one] / shares[two] == pytest.approx(plain[one] / plain[two], rel=0.02)
        assert sum(shares.values()) == pytest.approx(100, abs=0.1)
        assert doubt["dominant"] == max(shares, key=shares.get)


def test_the_robust_order_is_that_of_reach_and_kept_clearance(made):
    _, plan_json = made
    doubts = [
        (c["doubt"]["robust_rank"], c["reach"]["value"], c["doubt"]["kept_clearance"]["value"])
        for c in plan_json["candidates"]
    ]
    assert sorted(d[0] for d in doubts) == list(range(1, len(doubts) + 1))
    ordered = sorted(doubts)
    for (_, reach, kept), (_, later, worse) in pairwise(ordered):
        same = np.floor(reach / 10 + 0.5) == np.floor(later / 10 + 0.5)
        assert np.floor(reach / 10 + 0.5) >= np.floor(later / 10 + 0.5)
        assert not same or round(kept, 1) >= round(worse, 1)
