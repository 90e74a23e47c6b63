"""Decompression, cage and screws of a plan recounted by other code from its files; and that code can say no."""

import json
from dataclasses import replace
from pathlib import Path
from sys import path

import numpy as np
import pytest
from recount import Scene
from recount_decompress import check_decompression
from recount_frames import check_frames, check_screw_angles
from recount_fusion import check_fusion
from recount_geometry import (
    check_alignment,
    check_operations,
    check_passage,
    check_portals,
    check_rims,
    check_rods,
    check_standing,
)
from recount_measures import check_after_motion, check_bone
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


def on_files(*checks):
    """The checks that look at labels too, as one that takes labels and plan."""
    return lambda where, made: [line for check in checks for line in check(where, made)]


BONES = on_files(check_bone)
SCREWS = on_files(check_frames, check_screw_angles)
WHOLE = on_files(check_operations, lambda _, made: [*check_standing(made), *check_rods(made), *check_portals(made)])
CAGES = on_files(check_after_motion, check_passage, check_rims, lambda _, made: check_alignment(made))


@pytest.mark.parametrize("check", [BONES, SCREWS, WHOLE, CAGES], ids=["bones", "screws", "whole", "cages"])
def test_bones_angles_alignment_the_way_in_rods_and_whole_operations_are_what_other_code_counts(counted, check):
    where, made, *_ = counted
    assert made["frames"]
    assert made["operations"]
    assert check(where, made) == []


def named(made, way, name):
    """The way to the first entry called `name`, of either side, in the list at `way` whose value is known."""
    held = made
    for step in way:
        held = held[step]
    known = [n for n, m in enumerate(held) if m["name"] == name and m.get("after", m.get("value"))["value"] is not None]
    return *way, known[0]


@pytest.mark.parametrize(
    ("check", "way", "name", "last", "more", "said"),
    [
        (BONES, (*FIRST, "measures"), "foramen area", ("after", "value"), 30.0, "foramen area"),
        (BONES, (*FIRST, "measures"), "pars width", ("before", "value"), -3.0, "pars width"),
        (SCREWS, SCREW, None, ("medial", "value"), 0.1, "medial angle"),
        (SCREWS, SCREW, None, ("cranial", "value"), -0.1, "cranial angle"),
        (SCREWS, SCREW, None, ("walls", "medial", "value"), 4.0, "medial wall"),
        (SCREWS, ("frames", 0), None, ("up", 0), 0.1, "frame of"),
        (SCREWS, ("frames", 0), None, ("centre", 2), 4.0, "centre"),
        (CAGES, (*CAGE, "changes"), "segmental lordosis", ("after", "value"), 0.1, "segmental lordosis"),
        (CAGES, (*CAGE, "changes"), "posterior disc height", ("before", "value"), 0.1, "posterior disc height"),
        (CAGES, (*CAGE, "changes"), "foramen height", ("after", "value"), 3.0, "foramen height"),
        (CAGES, (*CAGE, "changes"), "facet distance", ("after", "value"), 0.1, "facet distance"),
        (CAGES, (*CAGE, "changes"), "disc height", ("measured", "value"), 1.0, "measured again"),
        (CAGES, (*CAGE, "risks"), "disc raised by", ("value", "value"), 0.2, "disc raised by"),
        (CAGES, CAGE, None, ("passage", "tilt", "value"), 0.5, "tilt"),
        (CAGES, CAGE, None, ("contact", 0, "rim", "value"), 40.0, "rim"),
        (CAGES, CAGE, None, ("contact", 1, "gap", "value"), 1.0, "gap"),
        (WHOLE, ("operations", 0), None, ("apart", "value"), 0.5, "parts of"),
        (WHOLE, ("operations", 0), None, ("incision", "value"), 1.0, "cuts of"),
        (WHOLE, ("operations", 0), None, ("harm", "tissues", 0, "volume", "value"), 4.0, "harm"),
        (WHOLE, ("screws", "rods", 0), None, ("lean", "L4", "value"), 2.0, "swings"),
    ],
)
def test_the_recount_notices_any_other_number_that_is_wrong(counted, check, way, name, last, more, said):
    where, made, *_ = counted
    one = made | {"candidates": made["candidates"][:1], "open": None, "comparators": []}
    if way[0] == "fusion":
        one |= {"candidates": made["candidates"]}
    at = way if name is None else named(made, way, name)
    assert any(said in line for line in check(where, wrong(one, *at, *last, more=more)))


@pytest.fixture(scope="module")
def iliac():
    path.append(str(Path(__file__).parents[1] / "unit"))
    from pelvis_world import hip

    from keyhole.plan.doubt import default_budget
    from keyhole.plan.doubt.told import budget_record
    from keyhole.plan.screws import plan_screws
    from keyhole.plan.screws.record import record

    anatomy = hip(spacing=(1.4, 1.5, 1.6), turn=(8, -6, 12))
    made = record(anatomy, plan_screws(anatomy, ["S2AI"], sides=["left"]), "pedicle")
    budget = json.loads(budget_record(default_budget(), "budget.toml", np.eye(3)).model_dump_json())
    plan = {"level": "L5/S1", "budget": budget, "screws": json.loads(made.model_dump_json())}
    labels = anatomy.labels
    where = Scene(labels.array, labels.patient_from_index.matrix, dict(labels.structures))
    return where, plan, {key: one.sd for key, one in anatomy.structures.items()}


def test_a_screw_through_sacrum_and_ilium_is_what_other_code_counts(iliac):
    where, made, sds = iliac
    assert made["screws"]["screws"][0]["crossed"]["joint"]["value"] > 1
    assert check_screws(where, made, sds, n=400) == []


@pytest.mark.parametrize(
    ("way", "more", "said"),
    [(("clearance", "value"), 0.4, "clearance"), (("crossed", "joint", "value"), 1.0, "in joint")],
)
def test_the_recount_notices_a_screw_into_the_ilium_that_is_wrong(iliac, way, more, said):
    where, made, sds = iliac
    changed = wrong(made, "screws", "screws", 0, *way, more=more)
    assert any(said in line for line in check_screws(where, changed, sds, n=0))
