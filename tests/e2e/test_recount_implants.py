"""Decompression, cage and screws of a plan recounted by other code from its files; and that code can say no."""

import json
from dataclasses import replace
from pathlib import Path
from sys import path

import numpy as np
import pytest
from recount import Scene
from recount_decompress import check_decompression
from recount_fusion import check_fusion
from recount_screws import check_screws

from keyhole.casefile import to_json
from keyhole.geometry import Volume
from keyhole.plan import plan

pytestmark = pytest.mark.slow

OWN = '[our-tlif]\nlike = "mis-tlif"\ntitle = "Ours"\nradii = [11.0]\nsteps = [4, 4]\n'


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    path.append(str(Path(__file__).parents[1] / "unit"))
    from plan_anatomy import back

    own = tmp_path_factory.mktemp("own") / "ours.toml"
    own.write_text(OWN)
    bare = back(spacing=(1.6, 1.9, 1.75), turn=(12, -9))
    labels = bare.labels
    up = labels.grid.centres(np.argwhere(np.ones(labels.array.shape, bool)))[:, 2].reshape(labels.array.shape)
    values = np.random.default_rng(3).normal(150.0 + 3.0 * up, 20.0).astype(np.float32)
    anatomy = replace(bare, image=Volume(values, labels.patient_from_index))
    made = plan(anatomy, "L4/L5", "left", "fuse", approaches=["our-tlif"], catalogue_file=own)
    where = Scene(labels.array, labels.patient_from_index.matrix, dict(labels.structures))
    sds = {key: one.sd for key, one in anatomy.structures.items()}
    return where, json.loads(to_json(made)), sds, (values, where.affine)


def test_what_is_removed_and_the_canal_after_it_are_what_other_code_counts(counted):
    where, made, *_ = counted
    assert made["candidates"][0]["decompression"]["bone"]["value"] > 0.05
    assert check_decompression(where, made) == []


def test_the_cage_stands_on_the_endplates_as_other_code_finds_them(counted):
    where, made, *_ = counted
    assert made["fusion"]["entries"]
    assert check_fusion(where, made) == []


def test_clearance_grades_density_rods_and_cuts_of_screws_are_what_other_code_counts(counted):
    where, made, sds, image = counted
    assert len(made["screws"]["screws"]) >= 3
    assert all(s["density"]["value"] is not None for s in made["screws"]["screws"])
    assert check_screws(where, made, sds, image, n=500) == []


def wrong(made, *way, more):
    """`made` with `more` added to the number at the end of `way`."""
    changed = json.loads(json.dumps(made))
    held = changed
    for step in way[:-1]:
        held = held[step]
    held[way[-1]] += more
    return changed


FIRST = ("candidates", 0, "decompression")


@pytest.mark.parametrize(
    ("way", "more", "said"),
    [
        ((*FIRST, "bone", "value"), 0.01, "removed bone"),
        ((*FIRST, "facet_removed", "L4/L5/left", "value"), 1.0, "facet left"),
        ((*FIRST, "canal_area_after", "value"), 12.0, "canal area after"),
        ((*FIRST, "in_tube", "value"), 0.1, "in the tube"),
        (("candidates", 0, "radius"), -4.0, "no tool reaches"),
        ((*FIRST, "voxels"), " 0:40", "may not cut"),
    ],
)
def test_the_recount_notices_a_removal_that_is_wrong(counted, way, more, said):
    where, made, *_ = counted
    if way[-1] == "voxels":
        fat = np.flatnonzero(np.isin(where.array, where.labels("canal/dural_sac")).ravel())[:9]
        more = " " + " ".join(f"{n}:1" for n in fat)
    one = made | {"candidates": made["candidates"][:1], "open": None, "comparators": []}
    assert any(said in line for line in check_decompression(where, wrong(one, *way, more=more)))


CAGE = ("fusion", "entries", 0)


@pytest.mark.parametrize(
    ("way", "more", "said"),
    [
        ((*CAGE, "cage", "height"), 1.0, "cage height"),
        ((*CAGE, "cage", "angle"), 4.0, "cage angle"),
        ((*CAGE, "motions", 0, "matrix", 2, 3), 0.5, "changes by"),
        ((*CAGE, "motions", 0, "matrix", 0, 0), 0.01, "not rigid"),
        ((*CAGE, "contact", 0, "touching", "value"), 20.0, "touching"),
        ((*CAGE, "contact", 1, "sunk", "value"), 1.5, "sunk"),
    ],
)
def test_the_recount_notices_a_cage_that_is_wrong(counted, way, more, said):
    where, made, *_ = counted
    assert any(said in line for line in check_fusion(where, wrong(made, *way, more=more)))


SCREW = ("screws", "screws", 0)


@pytest.mark.parametrize(
    ("way", "more", "said"),
    [
        ((*SCREW, "clearance", "value"), 0.2, "clearance"),
        ((*SCREW, "radius"), 0.5, "clearance"),
        ((*SCREW, "density", "value"), 30.0, "density"),
        (("screws", "screws", 2, "facet_share", "value"), 4.0, "of the joint"),
        ((*SCREW, "skin", 0), 2.0, "on its axis"),
        (("screws", "rods", 0, "residual", "L4", "value"), 0.5, "from the head"),
    ],
)
def test_the_recount_notices_a_screw_that_is_wrong(counted, way, more, said):
    where, made, sds, image = counted
    assert any(said in line for line in check_screws(where, wrong(made, *way, more=more), sds, image, n=0))


def test_the_recount_notices_grades_that_are_too_good(counted):
    where, made, sds, image = counted
    changed = wrong(made, *SCREW, "grades", "A", more=0.4)
    assert any("grade A" in line for line in check_screws(where, changed, sds, image, n=300))
