"""The traps that a prototype of the search fell into, each as one test; see docs/decisions/0024-search-in-depth.md."""

from dataclasses import replace

import numpy as np
import pytest
from plan_anatomy import back

from keyhole.plan.approaches import catalogue
from keyhole.plan.corridor import UNSEEN, sweep
from keyhole.plan.interactive import Corridor, desk, score
from keyhole.plan.search import search, space
from keyhole.plan.site import site
from keyhole.plan.targets import footprint, treated

STEPS = (4.0, 5.0)
FORAMINAL, WINDOW, TUBE = "transforaminal-endoscopic", "interlaminar-endoscopic", "tubular-paramedian"


def searched(anatomy, approach, side="left"):
    here = site(anatomy, "L4/L5", side)
    return here, search(here, approach, treated(here.core), steps=STEPS)


def cut(anatomy):
    """A scan in which the flank is not in view."""
    shape = anatomy.labels.array.shape
    return replace(anatomy, labels=anatomy.labels.crop((slice(0, 93), slice(0, shape[1]), slice(0, shape[2]))))


@pytest.fixture(scope="module")
def found():
    return {name: searched(back(), catalogue()[name]) for name in (FORAMINAL, WINDOW, TUBE)}


def codes(here, points):
    index = np.rint(here.labels.grid.index(points)).astype(int)
    inside = ((index >= 0) & (index < here.body.shape)).all(axis=1)
    assert inside.all()
    return here.body[tuple(index.T)]


def test_trap_skin_overshoot_every_entry_lies_on_the_skin(found):
    for here, corridors in found.values():
        assert len(corridors) > 50
        out = corridors.entry - corridors.dock
        out /= np.linalg.norm(out, axis=1)[:, None]
        assert (codes(here, corridors.entry) != 0).all()
        assert (codes(here, corridors.entry + 0.25 * out) == 0).mean() > 0.5  # outside a stride later, but for rounding
        assert (codes(here, corridors.entry + 1.6 * out) == 0).all()
        assert (np.stack([codes(here, corridors.entry - t * out) == 2 for t in (0, 0.5, 1, 1.5)]).any(axis=0)).all()


def test_trap_skin_overshoot_no_ray_that_leaves_through_skin_is_called_unseen():
    here, approach = site(cut(back()), "L4/L5", "left"), catalogue()[FORAMINAL]
    room, _ = space(here, approach, STEPS)
    lateral = (here.frame.local(room.docks)[:, 0], room.local[:, 0].copy())
    _, _, verdicts = sweep(
        room.tube, room.site.body, room.docks, room.out, (1.0,), lateral=lateral, entry=(-1e3, 1e3), longest=220.0
    )
    rays = np.argwhere(verdicts == UNSEEN)
    assert len(rays) > 50
    assert (verdicts == 0).sum() > 50
    steps, body, grid = np.arange(0, 220, 0.25), room.site.body, room.site.labels.grid
    for i, j in rays:
        index = np.rint(grid.index(room.docks[i] + steps[:, None] * room.out[j])).astype(int)
        inside = ((index >= 0) & (index < body.shape)).all(axis=1)
        code = np.where(inside, body[tuple(np.where(inside[:, None], index, 0).T)], 9)
        leaves = int(np.argmax((code == 0) | (code == 9)))
        assert code[leaves] == 9 or not (code[max(0, leaves - 12) : leaves] == 2).any()


def test_trap_unseen_a_tube_that_leaves_the_scan_is_unseen_and_counted_so_and_never_clear():
    part = cut(back())
    _, corridors = searched(part, catalogue()[FORAMINAL])
    _, everything = searched(back(), catalogue()[FORAMINAL])
    beyond = everything.entry[:, 0] > part.labels.grid.centres([92, 0, 0])[0] + 0.76
    assert 0 < beyond.sum() < len(everything)
    assert corridors.verdicts["unseen"] > everything.verdicts["unseen"] + beyond.sum()
    assert len(corridors) <= (~beyond).sum()
    assert corridors.searched == everything.searched


def test_trap_flank_a_free_entry_walks_round_the_flank_and_the_envelope_forbids_it(found):
    bounded = catalogue()[FORAMINAL]
    free = replace(bounded, entry_lateral=(0.0, 400.0), azimuth=(bounded.azimuth[0], 100.0))
    here, corridors = searched(back(), free)
    assert here.frame.local(corridors.entry)[:, 1].min() < 20 < bounded.entry_lateral[0]  # entries on the flank itself
    for here, kept in found.values():
        lateral = here.frame.local(kept.entry)[:, 0]
        low, high = kept.approach.entry_lateral
        assert low - 1e-6 <= lateral.min() <= lateral.max() <= high + 1e-6


def test_trap_dock_no_tube_ends_far_from_its_docking_place_or_from_what_it_is_for(found):
    for here, corridors in found.values():
        mask, _ = footprint(here.core, corridors.approach)
        index = np.rint(here.core.labels.grid.index(corridors.dock)).astype(int)
        assert mask[tuple(index.T)].all()
        way = np.linalg.norm(corridors.target - corridors.dock, axis=1)
        assert way.max() <= corridors.approach.reach[1] + 0.05
    table = desk(back(), "L4/L5", "left", approaches=[TUBE], steps=(8.0, 12.0))
    frame = table.rooms[TUBE, "left"].setting.site.frame
    on_spinous = Corridor(TUBE, "left", frame.patient([6.0, 68.0, 12.0]), frame.patient([12.0, 78.0, 14.0]), 8.0)
    said = score(table, on_spinous)
    assert said.verdict == "outside"
    assert any("does not lie in the docking place" in why for why in said.broken)
    assert any("no instrument through it reaches" in why for why in said.broken)


def test_trap_mirror_the_mirrored_patient_gives_the_mirrored_corridors_in_the_same_order(found):
    for name, (_, one) in found.items():
        _, two = searched(back(flip=True), catalogue()[name], "right")
        assert one.verdicts == two.verdicts
        assert one.feasible == two.feasible
        for field in ("entry", "dock", "target"):
            np.testing.assert_allclose(getattr(two, field), getattr(one, field) * [-1, 1, 1], atol=1e-6)
        for field in ("gap", "instrument_gap", "danger", "reach", "volume", "facet"):
            np.testing.assert_allclose(getattr(two, field), getattr(one, field), atol=1e-4)
