"""What the search says of its corridors, recounted by other code; and that code can say no."""

import json
from pathlib import Path
from sys import path

import pytest
from recount import Scene
from recount_search import check_search

from keyhole.casefile import to_json
from keyhole.plan import plan


@pytest.fixture(scope="module")
def counted():
    path.append(str(Path(__file__).parents[1] / "unit"))
    from plan_anatomy import back

    anatomy = back()
    made = plan(anatomy, "L4/L5", "left", "decompress", approaches=["interlaminar-endoscopic"])
    labels = anatomy.labels
    return Scene(labels.array, labels.patient_from_index.matrix, dict(labels.structures)), json.loads(to_json(made))


def test_skin_depth_incision_facets_reach_and_front_are_what_other_code_counts(counted):
    where, made = counted
    assert len(made["candidates"]) >= 3
    assert check_search(where, made) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"depth": 0.1}, "depth"),
        ({"incision": -0.5}, "incision"),
        ({"facet_removed": 3.0}, "facet"),
        ({"reach": 40.0}, "reach"),
        ({"entry": 9.0}, "entry"),
    ],
)
def test_the_recount_notices_a_number_that_is_wrong(counted, change, said):
    where, made = counted
    changed = json.loads(json.dumps(made))
    first = changed["candidates"][0]
    for name, more in change.items():
        if name == "entry":
            first["entry"][1] += more
        else:
            quantity = first[name]["L4/L5/left"] if name == "facet_removed" else first[name]
            quantity["value"] += more
    assert any(said in word for word in check_search(where, changed))
