"""A desk to work at: a dragged corridor scored, the front ranked by one's own weights."""

import time
from dataclasses import replace

import numpy as np
import pytest
from plan_anatomy import back

from keyhole.errors import InvalidInput, WrongCase
from keyhole.plan import desk, front, ranked, score
from keyhole.plan.interactive import AIMS
from keyhole.plan.rank import undominated

NAMES = ["interlaminar-endoscopic", "tubular-paramedian"]
STEPS = (4.0, 5.0)


@pytest.fixture(scope="module")
def table():
    return desk(back(), "L4/L5", "left", approaches=NAMES, steps=STEPS)


@pytest.fixture(scope="module")
def choice(table):
    return front(table)


def test_a_corridor_of_the_front_scores_clear_with_the_figures_of_the_search(table, choice):
    for n in range(0, len(choice), max(1, len(choice) // 6)):
        corridor = choice.corridor(n)
        got = score(table, corridor)
        assert got.verdict == "clear", got.broken
        assert got.broken == ()
        np.testing.assert_allclose(got.figures.entry, corridor.entry, atol=0.11)
        values = dict(zip(AIMS, choice.values[n], strict=True))
        assert got.figures.reach == pytest.approx(1 - values["reach"] / 100, abs=1e-5)
        assert got.figures.total == pytest.approx(values["burden"], rel=0.1, abs=0.1)


def test_a_dragged_corridor_says_what_it_runs_into_and_what_it_breaks(table, choice):
    corridor = choice.corridor(0)
    frame = table.rooms[corridor.approach, "left"].setting.site.frame
    deep = score(table, replace(corridor, dock=corridor.dock - 14 * frame.posterior))
    assert deep.verdict == "blocked"
    assert any("runs" in said and "mm into" in said for said in deep.broken)
    aside = score(table, replace(corridor, entry=corridor.entry + 60 * frame.lateral))
    assert aside.verdict in ("outside", "blocked")
    assert any("mm from the midline, not" in said for said in aside.broken)


def test_a_corridor_dragged_out_of_the_scan_is_unseen_and_has_no_figures(table, choice):
    corridor = choice.corridor(0)
    frame = table.rooms[corridor.approach, "left"].setting.site.frame
    got = score(table, replace(corridor, entry=corridor.dock + 50 * frame.up))
    assert (got.verdict, got.figures) == ("unseen", None)


def test_scoring_is_quick(table, choice):
    """20 ms are promised on a grid of 1 mm; this small one leaves room for a busy machine."""
    corridor = choice.corridor(0)
    score(table, corridor)
    took = []
    for shift in np.linspace(-1, 1, 15):
        begin = time.process_time()
        score(table, replace(corridor, dock=corridor.dock + shift * np.array([0.3, 0.2, 0.1])))
        took.append(time.process_time() - begin)
    assert np.median(took) < 0.020


def test_no_corridor_of_any_room_beats_one_of_the_front(table, choice):
    for n in range(len(choice)):
        mine = choice.values[n, :4]
        for room in table.rooms.values():
            found = room.found
            clearly = (found.volume < mine[1] - 0.06) & (100 * (1 - found.reach) < mine[2] - 1.1)
            clearly &= (found.facet < mine[3] - 0.6) & (found.tier <= choice.tier[n]) & (found.danger > 15)
            assert not clearly.any()


def test_new_weights_give_a_new_order_at_once(choice):
    begin = time.process_time()
    by_burden, by_reach = ranked(choice, {"burden": 1}), ranked(choice, {"reach": 1})
    assert time.process_time() - begin < 0.02
    best = choice.tier == choice.tier.min()
    assert choice.values[by_burden[0], 1] == choice.values[best, 1].min()
    assert choice.values[by_reach[0], 2] == choice.values[best, 2].min()
    assert sorted(by_burden) == sorted(by_reach) == list(range(len(choice)))


def test_a_larger_weight_never_worsens_its_own_aim(choice):
    for n, name in enumerate(AIMS):
        values = [choice.values[ranked(choice, {"burden": 1, "reach": 1, name: w})[0], n] for w in (1, 2, 5, 50)]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("weights", [{}, {"burden": -1}, {"burden": float("nan")}, {"beauty": 1}, {"reach": 0}])
def test_weights_that_say_nothing_are_refused(choice, weights):
    with pytest.raises(InvalidInput, match="weights are numbers"):
        ranked(choice, weights)


def test_a_corridor_that_is_no_corridor_and_a_room_that_is_not_there_are_refused(table, choice):
    corridor = choice.corridor(0)
    with pytest.raises(InvalidInput, match="two distinct finite points"):
        score(table, replace(corridor, entry=corridor.dock))
    with pytest.raises(InvalidInput, match="two distinct finite points"):
        score(table, replace(corridor, dock=np.array([np.nan, 0, 0])))
    with pytest.raises(InvalidInput, match="not on the desk"):
        score(table, replace(corridor, side="right"))


def test_undominated_rows_are_those_that_no_other_beats():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 7, (300, 4)).astype(float)
    kept = set(undominated(values).tolist())
    for n, row in enumerate(values):
        beaten = ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()
        first = n == int(np.flatnonzero((values == row).all(axis=1))[0])
        assert (n in kept) == (first and not beaten)


def test_a_desk_opens_from_the_folder_of_a_case_or_says_that_there_is_none(tmp_path):
    with pytest.raises(WrongCase, match="not a case folder"):
        desk(tmp_path / "nothing", "L4/L5")
