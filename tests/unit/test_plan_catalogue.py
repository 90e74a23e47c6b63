"""Plans with every kind of approach: two portals, both sides, several targets, a clinic's file, and what would help."""

from dataclasses import replace

import numpy as np
import pytest
from plan_anatomy import back
from scipy.spatial.transform import Rotation
from test_plan_missing import renamed

from keyhole.casefile import PlanRecord
from keyhole.errors import InvalidInput
from keyhole.plan import plan
from keyhole.plan.approaches import catalogue
from keyhole.plan.attempt import SHORT, attempt
from keyhole.plan.biportal import between
from keyhole.plan.doubt import isotropic
from keyhole.plan.search import search
from keyhole.plan.setting import setting
from keyhole.plan.site import bounds, hard_keys, site
from keyhole.plan.targets import aimed_at, target

PAIR, TUBE, WINDOW = "biportal-endoscopic", "tubular-paramedian", "interlaminar-endoscopic"


COARSE = (2.0, 2.0, 2.0)


def tried(anatomy, name, *, aim=None, goal="decompress", side="left"):
    """What becomes of one approach, searched on a coarse grid; without the record of a plan."""
    approach = replace(catalogue()[name].at("L4/L5"), steps=(3.0, 4.0))
    here = setting(anatomy, "L4/L5", side, goal, error=isotropic(2.0), aim=aim, approaches=(approach,))
    return attempt(here, approach)


def wide(radius, side="left", **patient):
    """A foraminal tube of `radius` mm with no bound on bone or facet, what it is tried in, and what becomes of it."""
    approach = replace(catalogue()["transforaminal-endoscopic"], radii=(radius,), max_bone=1e3, max_facet=1e3)
    here = setting(back(**patient), "L4/L5", side, "decompress", error=isotropic(2.0), approaches=(approach,))
    return approach, here, attempt(here, approach)


def test_a_tube_that_only_the_fields_refuse_is_kept_after_an_exact_recount():
    approach, here, made = wide(6.64)
    assert len(search(here.site, approach, here.targets, steps=approach.steps)) == 0
    assert made.rejected is None
    assert SHORT in made.caveats
    labels = here.site.labels
    centres = labels.grid.centres(np.argwhere(labels.mask(*hard_keys(here.site, approach))))
    for one in made.figures:
        assert one.least >= 0
        start, stop = axis(one)
        near = centres[np.linalg.norm(centres - (start + stop) / 2, axis=1) < np.linalg.norm(stop - start) / 2 + 9]
        for point in np.linspace(start, stop, 600):  # voxels are boxes along the axes of this scan
            off = np.maximum(np.abs(near - point) - labels.grid.spacing / 2, 0)
            assert np.linalg.norm(off, axis=1).min() >= one.radius - 0.01


@pytest.mark.slow
def test_what_only_an_exact_recount_clears_moves_turns_and_mirrors_with_the_patient():
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [25, -40, 130], degrees=True).as_matrix()
    motion[:3, 3] = [31.5, -220.25, 555.125]
    ones = wide(6.64)[2].figures
    others = wide(6.64, "right", motion=motion, flip=True)[2].figures
    assert len(ones) == len(others) > 0
    for one, other in zip(ones, others, strict=True):
        assert other.least == pytest.approx(one.least, abs=1e-3)
        for point in ("entry", "dock", "target"):
            there = motion[:3, :3] @ (getattr(one, point) * [-1, 1, 1]) + motion[:3, 3]
            assert getattr(other, point) == pytest.approx(there, abs=0.01)


@pytest.mark.slow
def test_a_tube_that_is_too_thick_voxel_by_voxel_stays_refused_with_what_it_lacks():
    made = wide(8.0)[2]
    assert made.rejected.missing.value > 0
    assert made.rejected.tried is not None
    assert f"lacks {made.rejected.missing.value:.1f} mm" in made.rejected.reason


@pytest.fixture(scope="module")
def paired():
    return plan(back(spacing=COARSE), "L4/L5", "left", "decompress", approaches=[PAIR])


def axis(tube):
    entry, dock = np.array(tube.entry), np.array(tube.dock)
    return entry, dock + tube.radius * (entry - dock) / np.linalg.norm(entry - dock)


def test_two_portals_keep_their_distances_and_do_not_meet():
    need, found = catalogue()[PAIR], tried(back(spacing=COARSE), PAIR).figures
    assert found
    for one in found:
        (seen,) = one.portals
        ways = [f.entry - f.dock for f in (one, seen)]
        angle = np.rad2deg(np.arccos(np.dot(*ways) / np.prod([np.linalg.norm(w) for w in ways])))
        assert need.portal_distance[0] <= np.linalg.norm(one.entry - seen.entry) <= need.portal_distance[1]
        assert need.portal_angle[0] - 1e-6 <= angle <= need.portal_angle[1] + 1e-6
        assert need.tip_distance[0] <= np.linalg.norm(one.dock - seen.dock) <= need.tip_distance[1]
        a, b = (np.linspace(*axis(tube), 400) for tube in (one, seen))
        assert np.linalg.norm(a[:, None] - b, axis=2).min() >= one.radius + seen.radius - 1e-3
        assert all(gap >= 0 for tube in (one, seen) for gap, _ in tube.gaps.values())
        assert one.danger >= seen.danger
        assert one.total > seen.total > 0


@pytest.mark.slow
def test_both_tubes_of_a_pair_are_clear_and_both_are_counted(paired):
    for c in paired.candidates:
        (portal,) = c.portals
        assert all(q.value >= 0 for q in portal.clearance.values())
        for key, quantity in portal.clearance.items():
            assert c.clearance[key].value <= quantity.value
        for key, chance in portal.breach_probability.items():
            assert c.breach_probability[key] >= chance
        for key, quantity in portal.burden.items():
            assert c.burden[key].value > quantity.value > 0 or quantity.value < 5e-4 or key not in ("muscle", "fat")
        assert c.incision.value == pytest.approx(2 * c.radius + 2 * portal.radius)


def test_segments_are_as_far_apart_as_their_points():
    rng = np.random.default_rng(5)
    one, others = rng.normal(size=(2, 3)) * 20, rng.normal(size=(40, 2, 3)) * 20
    share = np.linspace(0, 1, 201)[:, None]
    mine = one[0] + share * (one[1] - one[0])
    theirs = others[:, None, 0] + share * (others[:, None, 1] - others[:, None, 0])
    least = np.linalg.norm(mine[None, :, None] - theirs[:, None], axis=-1).min(axis=(1, 2))
    found = between(one[0], one[1], others[:, 0], others[:, 1])
    assert (found <= least + 1e-9).all()
    assert (found >= least - 0.3).all()
    crossing = between(np.array([-1.0, 0, 0]), np.array([1.0, 0, 0]), np.array([[0, -1.0, 2]]), np.array([[0, 1.0, 2]]))
    assert crossing == pytest.approx([2.0])


@pytest.mark.slow
def test_both_sides_are_ranked_together_and_say_which_they_are():
    anatomy = back(spacing=COARSE, herniation=None)
    both = plan(anatomy, "L4/L5", "both", "decompress", approaches=[WINDOW])
    alone = {"right": plan(anatomy, "L4/L5", "right", "decompress", approaches=[WINDOW])}
    assert both.sides == ("left", "right")
    assert [c.rank for c in both.candidates] == list(range(1, len(both.candidates) + 1))
    assert both.side == both.candidates[0].side
    for side, one in alone.items():
        mine = [c.entry for c in both.candidates if c.side == side]
        assert sorted(mine) == sorted(c.entry for c in one.candidates)
        front = next(f for f in both.fronts if f.side == side)
        assert set(front.ranks) <= {c.rank for c in both.candidates if c.side == side}
    assert both.searched == sum(f.searched for f in both.feasibility) > alone["right"].searched
    assert PlanRecord.model_validate_json(both.model_dump_json(by_alias=True)) == both


@pytest.mark.slow
def test_every_target_at_the_level_is_named_and_reach_is_told_for_each(paired):
    names = {t.name for t in paired.targets}
    assert names == {"fragment", "recess", "canal", "foramen", "disc"}
    assert [t.name for t in paired.targets if t.is_aim] == ["fragment"]
    for c in paired.candidates:
        assert set(c.reaches) == names
        assert all(0 <= q.value <= 100 for q in c.reaches.values())
        assert c.reaches["fragment"].value == pytest.approx(c.reach.value, abs=1e-3)


def test_a_target_can_be_chosen_and_an_approach_that_is_not_meant_for_it_says_so():
    anatomy = back(spacing=COARSE)
    found = tried(anatomy, "transforaminal-endoscopic", aim="canal")
    assert found.setting.targets.name == "canal"
    assert "not meant for the canal" in found.rejected.reason
    with pytest.raises(InvalidInput, match="a target is one of"):
        plan(anatomy, "L4/L5", "left", "decompress", target="hip")


def test_targets_lie_where_their_names_say():
    place = site(back(), "L4/L5", "left").core
    local = {name: place.frame.local(target(place, name).points) for name in ("canal", "foramen", "disc", "pedicle")}
    assert local["canal"][:, 0].min() < -5 < 5 < local["canal"][:, 0].max()
    assert local["foramen"][:, 0].min() > 5
    assert np.abs(local["disc"]).max(axis=0)[0] <= 9
    assert np.abs(local["disc"][:, 2]).max() <= 6
    assert local["pedicle"][:, 0].min() > 8
    assert [aimed_at(place, goal) for goal in ("decompress", "fuse", "screws")] == ["fragment", "disc", "pedicle"]


def test_what_would_open_a_rejected_approach_is_searched_and_told_with_its_figures():
    rejected = tried(renamed(back(spacing=COARSE), "muscle/paraspinal/left", "organ/colon"), TUBE).rejected
    told = {c.change: c for c in rejected.changes}
    assert rejected.structure == "organ/colon"
    assert rejected.missing.value > 0
    assert set(told) == {"thinner tube", "cut bone", "root position", "other side"}
    assert told["other side"].opens  # the colon lies on the left only
    assert "from the right a corridor" in told["other side"].finding
    assert all(c.searched > 0 for c in rejected.changes)


@pytest.mark.slow
def test_a_modelled_root_in_the_way_is_found_to_be_what_the_verdict_hangs_on():
    anatomy = back(spacing=COARSE)
    labels = anatomy.labels
    root = next(n for n, k in labels.structures.items() if k == "root/L5/left")
    place = site(anatomy, "L4/L5", "left")
    doors = place.labels.grid.centres(np.argwhere(place.mask("canal/flavum/L4-L5")))
    index = np.rint(labels.grid.index(doors + 8.0 * place.frame.posterior)).astype(int)
    array = labels.array.copy()
    array[tuple(index.T)] = root  # the modelled root lies across the window
    told = {c.change: c for c in tried(replace(anatomy, labels=replace(labels, array=array)), WINDOW).rejected.changes}
    assert told["root position"].opens
    assert "root/L5/left" in told["root position"].finding


@pytest.mark.slow
def test_a_scan_that_ends_too_soon_is_not_opened_by_any_change():
    anatomy = back(spacing=COARSE)
    stop = int(anatomy.labels.grid.index([60.0, 0, 0])[0])
    box = (slice(0, stop), slice(0, anatomy.labels.array.shape[1]), slice(0, anatomy.labels.array.shape[2]))
    rejected = tried(replace(anatomy, labels=anatomy.labels.crop(box)), "transforaminal-endoscopic").rejected
    assert "unseen" in rejected.reason
    assert rejected.changes == ()


@pytest.mark.slow
def test_a_clinics_approach_is_planned_like_any_other_and_its_file_is_in_the_provenance(tmp_path):
    file = tmp_path / "ours.toml"
    file.write_text('[our-tube]\nlike = "tubular-paramedian"\ntitle = "Ours"\nradii = [6.5]\nsteps = [3, 3]\n')
    record = plan(back(spacing=COARSE), "L4/L5", "left", "decompress", approaches=["our-tube"], catalogue_file=file)
    assert {c.radius for c in record.candidates} == {6.5}
    assert "ours.toml" in record.provenance.inputs
    (entry,) = record.approaches
    assert (entry.origin, entry.title) == ("file", "Ours")


def test_the_crop_reaches_to_the_flank_and_the_front_only_where_an_approach_comes_from_there():
    known = catalogue()
    assert bounds([known[TUBE]]) == bounds([])
    lateral, front, _ = bounds([known["oblique-antepsoas"]])
    assert lateral[1] > 200
    assert front[0] < -150


@pytest.mark.slow
@pytest.mark.parametrize("approach", ["lateral-transpsoas", "oblique-antepsoas", "mis-tlif", PAIR])
def test_every_kind_of_approach_moves_turns_and_mirrors_with_the_patient(approach):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [20, -35, 110], degrees=True).as_matrix()
    motion[:3, 3] = [31.5, -220.25, 555.125]
    goal = "decompress" if approach == PAIR else "fuse"
    one = tried(back(spacing=COARSE), approach, goal=goal)
    two = tried(back(spacing=COARSE, motion=motion, flip=True), approach, goal=goal, side="right")
    assert one.feasibility.searched == pytest.approx(two.feasibility.searched, rel=0.01)
    assert (one.rejected is None) == (two.rejected is None)
    for a, b in zip(one.figures, two.figures, strict=True):
        for mine, yours in zip((a, *a.portals), (b, *b.portals), strict=True):
            moved = motion[:3, :3] @ (mine.entry * [-1, 1, 1]) + motion[:3, 3]
            np.testing.assert_allclose(moved, yours.entry, atol=0.2)


@pytest.mark.slow
def test_an_oblique_anisotropic_grid_gives_nearly_the_same_way_into_the_disc():
    one = tried(back(spacing=COARSE), "mis-tlif", goal="fuse")
    two = tried(back(spacing=(1.6, 2.3, 1.9), turn=(12, -9)), "mis-tlif", goal="fuse")
    assert one.figures
    assert two.figures
    assert abs(one.figures[0].reach - two.figures[0].reach) < 0.25


@pytest.mark.slow
def test_a_window_narrower_than_the_search_is_found_on_a_second_lattice_and_says_so():
    here = setting(back(), "L4/L5", "left", "fuse", error=isotropic(2.0), approaches=(catalogue()["mis-tlif"],))
    found = attempt(here, catalogue()["mis-tlif"])
    assert found.rejected is None
    assert any("second lattice" in said for said in found.caveats)
    assert all(f.least >= 0 for f in found.figures)
    assert found.feasibility.searched == found.found.searched
