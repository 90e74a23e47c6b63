"""Rods, incisions, collisions, and several parts counted as one operation."""

import numpy as np
import pytest
from plan_anatomy import back

from keyhole.casefile.realign import CageEntry, FusionEntry
from keyhole.errors import InvalidInput
from keyhole.geometry import Tube
from keyhole.plan.harm import harm, volumes
from keyhole.plan.operation import Operation, Part, collisions, open_operation, small_operation
from keyhole.plan.operation.told import realigned
from keyhole.plan.screws import Screw, system
from keyhole.plan.screws.collide import Block, beside, between
from keyhole.plan.screws.rod import incisions, rod
from keyhole.plan.site import site

LEFT, UP = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])


def screw(at, vertebra="L4", side="left", way=(0, -1.0, 0), length=40.0):
    entry = np.array(at, float)
    return Screw(vertebra, side, "pedicle", entry, entry + length * np.array(way), 3.25, system())


@pytest.fixture(scope="module")
def place():
    return site(back(), "L4/L5", "left")


def test_two_heads_lie_on_a_straight_rod():
    found = rod([screw((20, 38, 20)), screw((24, 40, -18), "L5")], LEFT)
    assert max(found.residual) < 1e-6
    assert found.bend == np.inf
    assert found.fits


def test_three_heads_on_a_shallow_arc_lie_on_a_bent_rod_and_one_aside_does_not():
    z = np.array([40.0, 5.0, -32.0])
    at = [(20, 38 - 0.004 * n**2, n) for n in z]
    on = rod([screw(p, v) for p, v in zip(at, ("L3", "L4", "L5"), strict=True)], LEFT)
    assert max(on.residual) < 0.1
    assert on.bend == pytest.approx(125, rel=0.1)
    z4 = [*zip(at, ("L2", "L3", "L4"), strict=True), ((28, 30, -60), "L5")]
    assert max(rod([screw(p, v) for p, v in z4], LEFT).residual) > 0.5


def test_a_head_that_leans_along_the_rod_does_not_fit():
    lean = np.array([0, -np.cos(0.7), np.sin(0.7)])
    assert not rod([screw((20, 38, 20), way=lean), screw((20, 38, -18), "L5")], LEFT).fits


def test_a_rod_joins_screws_of_one_side():
    with pytest.raises(InvalidInput, match="one side"):
        rod([screw((20, 38, 20)), screw((-20, 38, -18), side="right")], LEFT)


def test_near_incisions_are_shared_and_far_ones_are_not():
    near = incisions([("a", np.array([30.0, 90, 5]), 15.0), ("b", np.array([32.0, 90, -5]), 15.0)], UP)
    far = incisions([("a", np.array([30.0, 90, 20]), 15.0), ("b", np.array([32.0, 90, -20]), 15.0)], UP)
    assert [i.through for i in near] == [("a", "b")]
    assert near[0].length < 30
    assert [i.length for i in far] == [15.0, 15.0]


def test_gaps_between_capsules_and_boxes_are_exact():
    one = Tube(np.array([0.0, 0, 0]), np.array([10.0, 0, 0]), 1.0)
    assert between(one, Tube(np.array([5.0, 4, -5]), np.array([5.0, 4, 5]), 1.0)) == pytest.approx(2)
    assert between(one, Tube(np.array([13.0, 4, 0]), np.array([20.0, 4, 0]), 1.0)) == pytest.approx(3)
    assert between(one, one) == pytest.approx(-2)
    box = Block(np.array([5.0, 6, 0]), np.eye(3), np.array([2.0, 3, 2]))
    assert beside(one, box) == pytest.approx(2, abs=1e-6)


def test_screws_that_cross_collide_and_their_sleeves_meet_only_in_their_own_step():
    crossing = [screw((8, 30, 0)), screw((-8, 30, 0), "L4", "right", way=(0.6, -0.8, 0))]
    found = collisions(small_operation(screws=[(s, None) for s in crossing]))
    assert found[0].is_collision
    apart = small_operation(
        screws=[(screw((20, 30, 20)), np.array([20.0, 80, 20])), (screw((20, 30, -20), "L5"), None)]
    )
    assert not collisions(apart)
    way = (Tube(np.array([20.0, 80, 20]), np.array([20.0, 40, 20]), 9.0),)

    def named(order):
        whole = Operation("both", (*apart.parts, Part("tube", "tube", "tube", "tube", way, order=order)))
        return {frozenset((c.first, c.second)) for c in collisions(whole) if c.is_collision}

    assert named(order=10) == {frozenset(("tube", "screw L4 left"))}  # and not its sleeve: never there at once
    assert not named(order=0)  # the tube is out before the screws come


def test_what_two_parts_share_is_counted_once(place):
    tube = Tube(place.frame.patient([30, 70, 0]), place.frame.patient([20, 32, 0]), 8.0)
    other = Tube(place.frame.patient([34, 70, 4]), place.frame.patient([20, 32, 0]), 8.0)
    parts = [Part(n, "tube", n, n, (t,)) for n, t in (("one", tube), ("two", other))]
    alone = [sum(volumes(place.labels, t).values()) for t in (tube, other)]
    both = sum(t.volume.value for t in harm(place, Operation("both", tuple(parts)).harming).tissues)
    assert max(alone) < both < 0.9 * sum(alone)
    same = Operation("same", (parts[0], Part("again", "tube", "again", "again", (tube,))))
    assert sum(t.volume.value for t in harm(place, same.harming).tissues) == pytest.approx(alone[0], rel=1e-3)


def test_a_cage_in_the_way_of_a_screw_is_a_collision():
    cage = CageEntry(
        name="cage", kind="transforaminal", height=10, angle=5, length=26, width=10, centre=(0, 0, 0),
        heading=(1, 0, 0), across=(0, 1, 0), up=(0, 0, 1), rise=(0, 1, 0), fits=True,
    )  # fmt: skip
    low, high = screw((5, 30, 3)), screw((5, 30, 10), "L5", "right")
    found = {(c.first, c.second): c for c in collisions(small_operation(screws=[(low, None), (high, None)], cage=cage))}
    assert found["screw L4 left", "cage"].is_collision
    assert not found["screw L5 right", "cage"].is_collision
    assert found["screw L5 right", "cage"].gap == pytest.approx(10 - 3.25 - 5 - 5 * np.tan(np.deg2rad(2.5)), abs=0.02)


def test_a_screw_moves_with_its_vertebra():
    rows = ((1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 1.0, 4.0), (0, 0, 0, 1.0))
    fused = FusionEntry.model_construct(motions=(type("M", (), {"vertebra": "L4", "matrix": rows})(),))
    assert realigned(screw((20, 38, 20)), fused).entry == pytest.approx((20, 38, 24))
    assert realigned(screw((20, 38, -20), "L5"), fused).entry == pytest.approx((20, 38, -20))


def test_parts_of_one_name_or_without_room_are_refused():
    one = Part("a", "tube", "a", "a", (Tube(np.zeros(3), np.ones(3), 1.0),))
    with pytest.raises(InvalidInput, match="name of its own"):
        Operation("twice", (one, one))
    with pytest.raises(InvalidInput, match="takes room"):
        Part("b", "tube", "b", "b")


def test_the_open_operation_puts_the_same_screws_through_its_exposure(place):
    from keyhole.plan.approaches import catalogue
    from keyhole.plan.harm.midline import exposure

    opened = exposure(place, catalogue()["open-tlif"])
    alone = sum(t.volume.value for t in harm(place, Operation("open", (), opened).harming).tissues)
    s = Screw(
        "L4", "left", "pedicle", place.frame.patient([14, 26, 24]), place.frame.patient([14, -14, 24]), 3.25, system()
    )  # fmt: skip
    both = sum(t.volume.value for t in harm(place, open_operation("open", opened, screws=[s]).harming).tissues)
    shaft = sum(volumes(place.labels, (s.shaft, s.body)).values())
    assert alone < both <= alone + shaft + 1e-3
