"""Implants, open operations and second portals on slices: the right place, the right side, to scale."""

import re

import numpy as np
import pytest
from report_case import anatomy, plan, quantity

from keyhole.casefile import PortalEntry
from keyhole.casefile.realign import CageEntry, FusionEntry, FusionRecord, MotionEntry
from keyhole.report.planning.implants import FIELD, FILL, SIZE, cages
from keyhole.report.planning.opened import open_pictures
from keyhole.report.slices import pictures

TORSO = anatomy()


def filled(picture, colour=FILL):
    """Corners (n, 2) px of what is filled in `colour`."""
    path = re.search(rf'<path d="([^"]*)" fill="{colour}"', picture.svg)[1]
    return np.array([[float(x) for x in pair.split()] for pair in re.findall(r"[\d.]+ [\d.]+", path)])


def fused(raised):
    """The torso's plan with a cage of 40 by 18 mm across its level, the upper vertebra raised by so many mm."""
    cage = CageEntry(
        name="lateral", kind="lateral", height=10.0, angle=0.0, length=40.0, width=18.0, centre=(0.0, 0.0, 0.0),
        heading=(1.0, 0.0, 0.0), across=(0.0, 1.0, 0.0), up=(0.0, 0.0, 1.0), rise=(0.0, -1.0, 0.0), fits=True,
    )  # fmt: skip
    lifted = np.eye(4)
    lifted[2, 3] = raised
    rows = tuple(tuple(float(x) for x in row) for row in lifted)
    entry = FusionEntry(
        approach="lateral-transpsoas", level="L4/L5", side="left", cage=cage, rules=(), reduction=0.0, passage=None,
        contact=(), motions=(MotionEntry(vertebra="L4", matrix=rows),), changes=(), risks=(),
    )  # fmt: skip
    return plan({}).model_copy(update={"fusion": FusionRecord(level="L4/L5", entries=(entry,))})


def test_a_cage_is_drawn_to_scale_where_it_stands():
    above, beside = (filled(one) for one in cages(fused(0.0), TORSO))
    scale = SIZE[0] / FIELD
    assert np.ptp(above, axis=0) == pytest.approx([40 * scale, 18 * scale], abs=2)
    assert np.ptp(beside, axis=0) == pytest.approx([18 * scale, 10 * scale], abs=2)


def test_only_a_vertebra_that_moves_is_drawn_where_it_stands_afterwards():
    still, moved = (cages(fused(raised), TORSO)[1].svg for raised in (0.0, 3.0))
    assert 'stroke-dasharray="4 4"' not in still
    assert 'stroke-dasharray="4 4"' in moved


def test_a_one_sided_open_operation_is_laid_open_on_its_side_alone():
    opened = plan({}).open
    one = opened.model_copy(update={"approach": "open-microdiscectomy", "radius": opened.radius / 2})
    right = one.model_copy(update={"side": "right"})
    made = plan({}).model_copy(update={"comparators": (one, right)})
    both, left, other = (filled(p, "#ffd23f")[:, 0] for p in open_pictures(made, TORSO))
    middle = SIZE[0] / 2
    assert left.min() >= middle - 4  # the patient's left is at the right of the picture
    assert other.max() <= middle + 4
    assert both.min() < middle - 20 < middle + 20 < both.max()
    assert left.max() == pytest.approx(both.max(), abs=3)  # the width of one side, not half of it


def test_both_tubes_of_two_portals_are_drawn_and_the_second_is_named():
    first = plan({}).candidates[1]
    length = quantity(20.0, "mm")
    view = PortalEntry(
        role="viewing", entry=(30.0, 112.0, 20.0), dock=(12.0, 50.0, 8.0), radius=3.0, clearance={},
        breach_probability={}, burden={}, skin_distance=length, tip_distance=length, angle=length,
    )  # fmt: skip
    two = pictures(TORSO, first.model_copy(update={"portals": (view,)}), "L4/L5")
    one = pictures(TORSO, first, "L4/L5")
    assert ">viewing</text>" in two[0].svg
    assert all(">viewing</text>" not in picture.svg for picture in one)
    assert two[0].svg.count('stroke-dasharray="5 4"') == one[0].svg.count('stroke-dasharray="5 4"') + 2
