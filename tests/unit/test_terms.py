"""Levels, sides and structure keys."""

import pytest

from keyhole.errors import InvalidInput
from keyhole.terms import Tissue, are_neighbours, belongs, in_key, level, other, sides_swapped, split, tissue


@pytest.mark.parametrize("text", ["L4/L5", "L4-L5"])
def test_a_level_is_read_in_both_spellings(text):
    assert split(text) == ("L4", "L5")
    assert in_key(text) == "L4-L5"


@pytest.mark.parametrize("text", ["L4", "L5/L4", "L3/L5", "L4/L4", "", "L4/X5", "l4/l5", "T12/L2"])
def test_what_is_not_two_neighbours_is_no_level(text):
    with pytest.raises(InvalidInput, match="neighbouring vertebrae"):
        split(text)


@pytest.mark.parametrize(
    ("upper", "lower"), [("T12", "L1"), ("T13", "L1"), ("L5", "S1"), ("L6", "S1"), ("L5", "L6"), ("L4", "S1")]
)
def test_transitional_anatomy_has_levels_too(upper, lower):
    assert are_neighbours(upper, lower)
    assert level(upper, lower) == f"{upper}/{lower}"


def test_the_mirrored_key_of_the_mirrored_key_is_the_key():
    key = "vertebra/L4/facet/inferior/left"
    assert sides_swapped(key) == "vertebra/L4/facet/inferior/right"
    assert sides_swapped(sides_swapped(key)) == key
    assert other("left") == "right"


def test_a_side_is_left_or_right_and_nothing_else():
    with pytest.raises(InvalidInput, match="left or right"):
        other("L")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("vertebra/L4/body", Tissue.BONE),
        ("disc/L4-L5/herniation", Tissue.DISC),
        ("canal/dural_sac", Tissue.NERVE),
        ("canal/epidural", Tissue.FAT),
        ("canal/flavum/L4-L5", Tissue.FLAVUM),
        ("canal", Tissue.NERVE),
        ("root/L4/left", Tissue.NERVE),
        ("vessel/aorta", Tissue.VESSEL),
        ("tissue/fat", Tissue.FAT),
    ],
)
def test_every_key_says_what_tissue_it_is(key, kind):
    assert tissue(key) is kind


def test_a_key_that_is_no_structure_is_refused():
    with pytest.raises(InvalidInput, match="not a structure key"):
        tissue("tissue/wood")


def test_a_key_belongs_to_its_prefixes_by_whole_words():
    assert belongs("vertebra/L4/body", "vertebra/L4")
    assert not belongs("vertebra/L4", "vertebra/L")
