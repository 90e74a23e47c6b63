"""Corridors refined below the grid: clearer, nowhere worse, and the same patient gives the same corridor."""

import numpy as np
import pytest
from plan_anatomy import back
from scipy.spatial.transform import Rotation

from keyhole.plan.approaches import catalogue
from keyhole.plan.candidate import figures
from keyhole.plan.doubt import default_budget
from keyhole.plan.rank import shortlist
from keyhole.plan.refine import angles, is_docked, nook, refined
from keyhole.plan.search import search
from keyhole.plan.setting import setting
from keyhole.plan.site import hard_keys

NAMES = ("transforaminal-endoscopic", "interlaminar-endoscopic")
STEPS = (4.0, 5.0)


def both(anatomy, side, n=3):
    """Exact figures of the first corridors of each approach on the grid, and refined; and the rooms."""
    here = setting(anatomy, "L4/L5", side, "decompress", error=default_budget())
    pairs = []
    for name in NAMES:
        found = search(here.site, catalogue()[name], here.targets, steps=STEPS)
        walls = here.walls.only(hard_keys(here.site, found.approach))
        place = nook(here.site, found, walls)
        for at in shortlist(found, here.error, here.root_sd, n):
            old = figures(here.site, found, at, walls, here.error, here.targets)
            ask = {"walls": walls, "error": here.error, "targets": here.targets, "place": place}
            pairs.append((old, refined(here.site, found, at, old, **ask), place))
    return here, pairs


@pytest.fixture(scope="module")
def still():
    return both(back(), "left")


def test_a_refined_corridor_is_clearer_and_nowhere_worse(still):
    _, pairs = still
    better = [(old, new) for old, new, _ in pairs if new is not old]
    assert len(better) >= 3
    for old, new in better:
        assert new.least > old.least
        assert new.danger <= old.danger + 1e-9
        assert new.total <= old.total + 0.005
        assert new.facet_share <= old.facet_share + 0.05
        assert new.reach >= old.reach - 1e-6
        assert new.tier <= old.tier
    assert max(new.least - old.least for old, new in better) > 0.2


def test_a_refined_corridor_stays_in_its_docking_place_and_envelope(still):
    here, pairs = still
    for _, new, place in pairs:
        way = here.site.frame.axes @ (new.entry - new.dock)
        azimuth, tilt = angles(way / np.linalg.norm(way))
        assert is_docked(place, here.site.frame.local(new.dock)[None])[0]
        assert new.approach.azimuth[0] - 1e-3 <= azimuth <= new.approach.azimuth[1] + 1e-3
        assert new.approach.tilt[0] - 1e-3 <= tilt <= new.approach.tilt[1] + 1e-3
        assert new.approach.entry_lateral[0] <= here.site.frame.local(new.entry)[0] <= new.approach.entry_lateral[1]


def test_refining_moves_turns_and_mirrors_with_the_patient(still):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [25, -40, 130], degrees=True).as_matrix()
    motion[:3, 3] = [31.5, -220.25, 555.125]
    _, turned = both(back(motion=motion, flip=True), "right")
    for (_, one, _), (_, two, _) in zip(still[1], turned, strict=True):
        for name in ("entry", "dock", "target"):
            mirrored = getattr(one, name) * np.array([-1.0, 1, 1])
            np.testing.assert_allclose(motion[:3, :3] @ mirrored + motion[:3, 3], getattr(two, name), atol=0.02)
        assert two.least == pytest.approx(one.least, abs=0.01)


@pytest.mark.slow
def test_refining_on_an_oblique_anisotropic_grid_is_nowhere_worse_either():
    _, pairs = both(back(spacing=(1.2, 1.7, 1.4), turn=(12, -9)), "left", n=2)
    assert all(new.least >= old.least and new.danger <= old.danger + 1e-9 for old, new, _ in pairs)
    assert any(new is not old for old, new, _ in pairs)
