"""How numbers and names read on paper."""

import pytest

from keyhole.casefile import Quantity
from keyhole.report.palette import GROUPS, approach_colours, group_of
from keyhole.report.structures import gathered
from keyhole.report.wording import NOT_KNOWN, Notes, in_words, number, probability, quantity, structure


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "mL", "0"),
        (0.004, "mL", "<0.01"),
        (0.97, "mL", "0.97"),
        (91.42, "mL", "91.4"),
        (-2.04, "mm", "−2.0"),
        (-0.01, "mm", ">−0.1"),
        (227.4, "mm2", "227"),
        (7.04, "%", "7.0"),
        (34.6, "%", "35"),
    ],
)
def test_a_number_has_the_decimals_of_its_unit_and_no_false_zero(value, unit, text):
    assert number(value, unit) == text


def test_a_missing_value_is_words_and_its_caveat_a_note():
    notes = Notes()
    missing = Quantity(value=None, unit="mm", source="keyhole", caveats=("outside the scan",))
    shown = quantity(missing, notes, "aorta")
    assert (shown.text, shown.known, shown.notes) == (NOT_KNOWN, False, (1,))
    assert notes.listed() == ((1, "outside the scan", ("aorta",)),)


def test_the_same_caveat_has_one_number_and_all_its_places():
    notes = Notes()
    assert notes.add(("a", "b"), "x") == (1, 2)
    assert notes.add(("b", "c"), "y") == (2, 3)
    assert notes.listed()[1] == (2, "b", ("x", "y"))


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "<0.01 %"), (0.00004, "<0.01 %"), (0.0042, "0.42 %"), (0.031, "3.1 %"), (0.86, "86 %")]
)
def test_a_probability_is_never_printed_as_zero(value, text):
    assert probability(value) == text


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("root/L4/left", "L4 root, left"),
        ("vertebra/L4/facet/superior/left", "L4 superior facet, left"),
        ("disc/L4-L5", "disc L4/L5"),
        ("disc/L4-L5/herniation", "herniation L4/L5"),
        ("canal/dural_sac", "dural sac"),
        ("canal/flavum/L4-L5", "ligamentum flavum L4/L5"),
        ("vessel/iliac_artery/left", "iliac artery, left"),
        ("muscle/paraspinal/left/multifidus", "multifidus, left"),
        ("vessel/ivc", "inferior vena cava"),
        ("tissue/fat", "unlabelled fat"),
        ("sacrum", "sacrum"),
        ("muscle", "muscle"),
    ],
)
def test_a_structure_key_reads_as_words(key, words):
    assert structure(key) == words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("root/L5/left is held aside", "left L5 root is held aside"),
        ("0.02 mL behind vertebra/L4/spinous, which may not be cut", "0.02 mL behind L4 spinous, which may not be cut"),
        ("canal/dural_sac: the label follows the cord", "dural sac: the label follows the cord"),
        ("with organ/colon, organ/kidney/left moved aside", "with colon, left kidney moved aside"),
        ("L4/L5 left, and/or on the disc/L4-L5.", "L4/L5 left, and/or on the disc L4/L5."),
        ("labels.nii.gz is of another scan", "labels.nii.gz is of another scan"),
    ],
)
def test_structure_keys_in_a_sentence_read_as_words(said, words):
    assert in_words(said) == words


def test_structures_known_alike_share_their_words():
    keys = [f"vertebra/{name}/{part}" for name in ("L4", "L5") for part in ("body", "lamina/left", "lamina/right")]
    assert gathered(keys) == "L4, L5: body and lamina"


def test_parts_are_drawn_with_their_own_group():
    assert group_of("vertebra/L4/facet/superior/left").name == "facet"
    assert group_of("disc/L4-L5/herniation").name == "herniation"
    assert group_of("vessel/aorta").name == "artery"
    assert group_of("vessel/ivc").name == "vein"
    assert group_of("tissue/fat") is None


def test_an_approach_has_one_colour_in_every_report_and_no_two_share_it():
    both = approach_colours(("tubular-paramedian", "transforaminal-endoscopic", "open-midline"))
    assert approach_colours(("tubular-paramedian",))["tubular-paramedian"] == both["tubular-paramedian"]
    assert len(set(both.values())) == 3
    assert len({group.colour for group in GROUPS if group.shown}) >= len([g for g in GROUPS if g.shown]) - 1
