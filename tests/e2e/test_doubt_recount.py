"""Every number of a plan's doubt, recounted by simulation from its files alone."""

import json
from itertools import pairwise
from pathlib import Path
from sys import path

import numpy as np
import pytest
from recount import Scene
from recount_doubt import Doubted, check_doubt, own

from keyhole.casefile import to_json
from keyhole.plan import plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files():
    path.append(str(Path(__file__).parents[1] / "unit"))
    from plan_anatomy import back

    anatomy = back()
    made = plan(anatomy, "L4/L5", "left", "decompress", approaches=["transforaminal-endoscopic"])
    labels = anatomy.labels
    where = Scene(labels.array, labels.patient_from_index.matrix, dict(labels.structures))
    return Doubted(where, {k: s.sd for k, s in anatomy.structures.items()}, json.loads(to_json(made)))


def test_simulated_executions_agree_with_breach_kept_clearance_and_needed_accuracy(files):
    entries = files.plan["candidates"][:3]
    assert any(p > 0.02 for entry in entries for p in entry["breach_probability"].values())
    assert check_doubt(files, entries) == []


def test_the_recount_notices_a_plan_that_is_too_sure(files):
    entry = json.loads(json.dumps(files.plan["candidates"][2]))
    worst = entry["doubt"]["worst"]
    entry["breach_probability"][worst] *= 0.7
    entry["doubt"]["needed_accuracy"]["value"] += 1.0
    entry["doubt"]["kept_clearance"]["value"] += 1.5
    assert len(check_doubt(files, [entry])) == 3


def test_the_shares_are_those_of_the_variance_at_the_wall(files):
    budget = files.plan["budget"]
    for entry in files.plan["candidates"][:3]:
        doubt = entry["doubt"]
        shares = {s["term"]: s["share"] for s in doubt["shares"]}
        plain = {t["term"]: t["sd"][0] ** 2 for t in budget["terms"]} | {"label": own(files, doubt["worst"]) ** 2}
        for one, two in (("breathing", "image"), ("label", "image")):
            assert shares[one] / shares[two] == pytest.approx(plain[one] / plain[two], rel=0.02)
        assert sum(shares.values()) == pytest.approx(100, abs=0.1)
        assert doubt["dominant"] == max(shares, key=shares.get)
        assert doubt["breach_total"] == pytest.approx(min(1.0, sum(entry["breach_probability"].values())), abs=1e-5)


def test_the_robust_order_is_that_of_reach_and_kept_clearance(files):
    doubts = [
        (c["doubt"]["robust_rank"], np.floor(c["reach"]["value"] / 10 + 0.5), c["doubt"]["kept_clearance"]["value"])
        for c in files.plan["candidates"]
    ]
    assert sorted(d[0] for d in doubts) == list(range(1, len(doubts) + 1))
    for (_, reach, kept), (_, later, worse) in pairwise(sorted(doubts)):
        assert reach >= later
        assert reach > later or round(kept, 1) >= round(worse, 1)
