"""Plans on a small painted back: what every plan must hold, wherever the patient lies."""

import itertools

import numpy as np
import pytest
from plan_anatomy import back
from scipy.spatial.transform import Rotation

from keyhole.casefile import to_json
from keyhole.errors import InvalidInput, NotInScan
from keyhole.plan import plan
from keyhole.terms import belongs, sides_swapped

QUICK = ["transforaminal-endoscopic-foraminoplasty", "interlaminar-endoscopic", "tubular-paramedian"]


@pytest.fixture(scope="module")
def anatomy():
    return back()


@pytest.fixture(scope="module")
def planned(anatomy):
    return plan(anatomy, "L4/L5", "left", "decompress", approaches=QUICK)


def axis(candidate):
    entry, dock = np.array(candidate.entry), np.array(candidate.dock)
    return entry, dock + candidate.radius * (entry - dock) / np.linalg.norm(entry - dock)


def distances(points, start, stop):
    way = stop - start
    share = np.clip((points - start) @ way / max(way @ way, 1e-12), 0, 1)
    return np.linalg.norm(points - start - share[:, None] * way, axis=1)


def voxels(anatomy, *prefixes):
    labels = anatomy.labels
    chosen = [n for n, k in labels.structures.items() if belongs(k, *prefixes)]
    return labels.grid.centres(np.argwhere(np.isin(labels.array, chosen)))


def test_each_approach_finds_a_corridor_that_a_surgeon_would_know(planned):
    best = {c.approach: c for c in reversed(planned.candidates)}
    assert set(best) == set(QUICK)
    foraminal = best["transforaminal-endoscopic-foraminoplasty"]
    assert 80 <= foraminal.entry[0] <= 150
    assert 10 <= foraminal.dock[0] <= 28
    assert 4 <= best["interlaminar-endoscopic"].entry[0] <= 20
    assert 10 <= best["tubular-paramedian"].entry[0] <= 30


def test_no_reported_corridor_touches_nerve_vessel_organ_or_bone_it_may_not_cut(anatomy, planned):
    for c in planned.candidates:
        for key in ("canal/dural_sac", "root", "vessel", "organ", "vertebra/L4/body", "vertebra/L5/pedicle"):
            cloud = voxels(anatomy, key)
            assert distances(cloud, *axis(c)).min() > c.radius
            assert distances(cloud, np.array(c.dock), np.array(c.target)).min() > c.instrument_radius


def test_clearance_is_a_lower_bound_of_the_gap_to_every_corner_of_every_voxel(anatomy, planned):
    half = anatomy.labels.grid.spacing[0] / 2
    corners = np.array(list(itertools.product((-half, half), repeat=3)))
    for c in planned.candidates[:6]:
        for key, quantity in c.clearance.items():
            cloud = voxels(anatomy, key)
            nearest = cloud[np.argsort(distances(cloud, *axis(c)))[:200]]
            boxes = (nearest[:, None] + corners).reshape(-1, 3)
            true = distances(boxes, *axis(c)).min() - c.radius
            assert quantity.value <= true + 1e-6, key
            assert quantity.value >= true - 1.5, key


def test_burden_is_what_counting_points_finds(anatomy, planned):
    grid, array = anatomy.labels.grid, anatomy.labels.array
    names = anatomy.labels.structures
    kinds = {
        "muscle": ("muscle", "tissue/muscle"),
        "fat": ("tissue/fat", "canal/epidural", "foramen"),
        "bone": ("vertebra",),
    }
    rng = np.random.default_rng(3)
    for c in planned.candidates[::4]:
        start, stop = axis(c)
        low, high = np.minimum(start, stop) - c.radius, np.maximum(start, stop) + c.radius
        points = rng.uniform(low, high, (3_000_000, 3))
        points = points[distances(points, start, stop) <= c.radius]
        index = np.rint(grid.index(points)).astype(int)
        index = index[((index >= 0) & (index < array.shape)).all(axis=1)]
        found = array[tuple(index.T)]
        each = np.prod(high - low) / 3_000_000 / 1000
        total = len(found) * each
        for key, quantity in c.burden.items():
            chosen = [n for n, k in names.items() if belongs(k, *kinds.get(key, (key,)))]
            assert quantity.value == pytest.approx(np.isin(found, chosen).sum() * each, abs=max(0.02 * total, 0.05)), (
                key
            )


@pytest.mark.slow
def test_the_same_question_gives_the_same_bytes(anatomy, planned):
    assert to_json(plan(anatomy, "L4/L5", "left", "decompress", approaches=QUICK)) == to_json(planned)


def same(one, two, map_point, map_key=lambda k: k, within=1e-2):
    assert [c.approach for c in one.candidates] == [c.approach for c in two.candidates]
    for a, b in zip(one.feasibility, two.feasibility, strict=True):
        np.testing.assert_allclose(a.feasible, b.feasible, rtol=1e-3)
    for a, b in zip(one.candidates, two.candidates, strict=True):
        for point in ("entry", "dock", "target"):
            np.testing.assert_allclose(map_point(np.array(getattr(a, point))), getattr(b, point), atol=within)
        for field in ("clearance", "instrument_clearance", "burden", "facet_removed"):
            mine, yours = getattr(a, field), getattr(b, field)
            assert {map_key(k) for k in mine} == set(yours)
            for key, quantity in mine.items():
                assert yours[map_key(key)].value == pytest.approx(quantity.value, rel=0.02, abs=0.02)
                assert yours[map_key(key)].sd == pytest.approx(quantity.sd, rel=0.05, abs=0.02)


@pytest.mark.parametrize(
    "flip", [pytest.param(False, marks=pytest.mark.slow, id="moved"), pytest.param(True, id="mirrored and moved")]
)
def test_the_plan_moves_turns_and_mirrors_with_the_patient(planned, flip):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [25, -40, 130], degrees=True).as_matrix()
    motion[:3, 3] = [31.5, -220.25, 555.125]
    moved = plan(back(motion=motion, flip=flip), "L4/L5", "right" if flip else "left", "decompress", approaches=QUICK)
    sign = np.array([-1.0 if flip else 1.0, 1, 1])
    swap = sides_swapped if flip else (lambda k: k)
    same(planned, moved, lambda p: motion[:3, :3] @ (p * sign) + motion[:3, 3], swap)


@pytest.mark.slow
def test_an_oblique_anisotropic_grid_gives_nearly_the_same_best_corridors(planned):
    tilted = plan(back(spacing=(1.2, 1.7, 1.4), turn=(12, -9)), "L4/L5", "left", "decompress", approaches=QUICK)
    for approach in QUICK:
        a = next(c for c in planned.candidates if c.approach == approach)
        b = next(c for c in tilted.candidates if c.approach == approach)
        assert abs(a.reach.value - b.reach.value) < 25
        assert abs(a.depth.value - b.depth.value) < 30
    assert min(sum(f.feasible) for f in tilted.feasibility) > 0


def test_feasible_corridors_only_get_fewer_as_the_margin_grows(planned):
    for f in planned.feasibility:
        assert list(f.feasible) == sorted(f.feasible, reverse=True)
        assert f.searched >= f.feasible[0] > 0
    assert planned.searched == sum(f.searched for f in planned.feasibility)


def test_modelled_roots_leave_their_caveat_on_corridors_that_pass_them(planned):
    passing = [
        c
        for c in planned.candidates
        for found in (c.clearance, c.instrument_clearance)
        if any(k.startswith("root/") and q.value < 5 for k, q in found.items())
    ]
    assert passing
    assert all(any("is modelled (sd 2.0 mm)" in said for said in c.caveats) for c in passing)


def test_the_open_operation_displaces_several_times_the_muscle_of_any_tube(planned):
    assert planned.open is not None
    assert planned.open.burden_kind["muscle"] == "retracted"
    assert planned.open.burden["muscle"].value > 2 * max(c.burden["muscle"].value for c in planned.candidates)
    assert planned.open.incision.value > max(c.incision.value for c in planned.candidates)


def test_every_quantity_of_every_corridor_and_of_the_open_operation_says_its_sd(planned):
    for c in (*planned.candidates, planned.open):
        areas = [c.decompression.canal_area_before, c.decompression.canal_area_after]
        groups = (c.clearance, c.instrument_clearance, c.burden, c.facet_removed)
        found = [c.incision, c.depth, c.reach, *areas, *(q for group in groups for q in group.values())]
        assert all(q.sd is not None and q.sd >= 0 for q in found)
        assert c.burden["muscle"].sd > 0
        assert c.depth.sd > 0


def test_the_canal_is_not_smaller_after_the_decompression(planned):
    for c in (*planned.candidates, planned.open):
        before, after = c.decompression.canal_area_before.value, c.decompression.canal_area_after.value
        assert 0 < before <= after


def test_a_goal_that_no_approach_serves_is_a_plan_with_reasons(anatomy):
    record = plan(anatomy, "L4/L5", "left", "screws", approaches=QUICK)
    assert record.candidates == ()
    assert {r.approach for r in record.rejected} == set(QUICK)
    assert all("screws" in r.reason for r in record.rejected)


def test_a_level_outside_the_scan_and_unknown_words_are_refused(anatomy):
    with pytest.raises(NotInScan, match="L3 was not found"):
        plan(anatomy, "L3/L4", "left", "decompress")
    with pytest.raises(InvalidInput, match="goal"):
        plan(anatomy, "L4/L5", "left", "cure")
    with pytest.raises(InvalidInput, match="no approach is called"):
        plan(anatomy, "L4/L5", "left", "decompress", approaches=["lateral"])
    with pytest.raises(InvalidInput, match="side"):
        plan(anatomy, "L4/L5", "up", "decompress")
    with pytest.raises(InvalidInput, match="registration error"):
        plan(anatomy, "L4/L5", "left", "decompress", registration_error=float("nan"))


@pytest.mark.slow
def test_a_larger_registration_error_never_lowers_the_breach_probability(anatomy):
    ask = {"approaches": ["interlaminar-endoscopic"]}
    small = plan(anatomy, "L4/L5", "left", "decompress", registration_error=0.5, **ask)
    large = plan(anatomy, "L4/L5", "left", "decompress", registration_error=3.0, **ask)
    assert max(small.candidates[0].breach_probability.values()) < max(large.candidates[0].breach_probability.values())


def test_progress_is_told_in_sentences_and_never_runs_back(anatomy):
    told = []
    plan(anatomy, "L4/L5", "left", "decompress", approaches=[QUICK[1]], progress=lambda s, f: told.append((s, f)))
    assert all(sentence for sentence, _ in told)
    assert [f for _, f in told] == sorted(f for _, f in told)
    assert told[-1][1] == 1.0
