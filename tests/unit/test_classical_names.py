"""What may name the levels of a bare CT."""

import pytest

from keyhole.errors import NotInScan
from keyhole.segment.classical.numbering import ALONE, Wings, named


def row(share):
    """Five discs, the last with wings of that share of bone below it."""
    return [Wings(0.0, 0.0, 0.0, 150.0)] * 4 + [Wings(share, share + 0.1, 0.9, 60.0)]


def test_dense_wings_name_the_levels_alone():
    names, _ = named(row(ALONE + 0.01), True, None)
    assert names == ("L1", "L2", "L3", "L4", "L5", "S1")


def test_faint_wings_alone_name_nothing():
    with pytest.raises(NotInScan, match="too little without the last ribs"):
        named(row(ALONE - 0.01), True, None)
