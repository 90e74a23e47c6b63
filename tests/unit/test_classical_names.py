"""What may name the levels of a bare CT."""

import pytest

from keyhole.errors import NotInScan
from keyhole.segment.classical.numbering import ALONE, WING_SHARE, Wings, lumbosacral, named


def row(share, columns=0.9):
    """Five discs, the last with wings of that share of bone, met by that share of columns, below it."""
    return [Wings(0.0, 0.0, 0.0, 150.0)] * 4 + [Wings(share, share + 0.1, columns, 60.0)]


def test_dense_wings_name_the_levels_alone():
    names, _ = named(row(WING_SHARE + 0.01, 0.7), True, None)
    assert names == ("L1", "L2", "L3", "L4", "L5", "S1")


def test_the_shell_of_worn_wings_names_the_levels_alone():
    worn = row(0.0, ALONE + 0.01)
    assert lumbosacral(worn, is_poor=True) == 4
    names, evidence = named(worn, True, None)
    assert names == ("L1", "L2", "L3", "L4", "L5", "S1")
    assert f"{ALONE + 0.01:.2f} of the columns" in evidence[0].finding


def test_faint_wings_alone_name_nothing():
    with pytest.raises(NotInScan, match="too little without the last ribs"):
        named(row(0.0, ALONE - 0.01), True, None)


def test_a_worn_shell_is_no_sacrum_in_healthy_bone():
    assert lumbosacral(row(0.0, 0.9), is_poor=False) is None
