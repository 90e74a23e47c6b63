"""The catalogue of approaches: complete, sourced, refused when wrong."""

import pytest

from keyhole.errors import InvalidInput
from keyhole.evidence import sources
from keyhole.plan import catalogue
from keyhole.plan.approaches import OPEN, chosen, parse


def row(**changes):
    good = {
        "title": "t",
        "goals": ["decompress"],
        "docking": "foramen",
        "bone_soft": ["vertebra/{lower}/facet/superior/{side}"],
        "instrument_radius": {"value": 1.5, "source": "keyhole-choice"},
        "radii": {"value": [3.0, 4.0], "source": "keyhole-choice"},
    }
    return {k: v for k, v in (good | changes).items() if v is not None}


def test_every_number_of_every_approach_has_a_source_that_exists():
    for approach in catalogue().values():
        assert approach.sources
        assert set(approach.sources.values()) <= set(sources())


def test_the_catalogue_holds_three_small_approaches_and_the_open_one():
    names = {"transforaminal-endoscopic", "interlaminar-endoscopic", "tubular-paramedian", OPEN}
    assert set(catalogue()) == names
    assert OPEN not in {a.name for a in chosen()}


def test_soft_bones_are_those_of_the_level_and_side():
    keys = parse("x", row()).soft_bone("L4/L5", "right")
    assert keys == ("vertebra/L5/facet/superior/right",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"radii": {"value": [4.0, 3.0], "source": "keyhole-choice"}}, "ascending"),
        ({"radii": {"value": [3.0], "source": "no-such-paper"}}, "no source"),
        ({"radii": 3.0}, "without a source"),
        ({"tilt": {"value": [10, -10], "source": "keyhole-choice"}}, "two ascending"),
        ({"instrument_radius": {"value": float("nan"), "source": "keyhole-choice"}}, ">= 0"),
        ({"docking": "somewhere"}, "docking"),
        ({"colour": "blue"}, "unknown field"),
    ],
)
def test_a_wrong_entry_is_refused_in_a_sentence(changes, said):
    with pytest.raises(InvalidInput, match=said):
        parse("x", row(**changes))


def test_approaches_are_chosen_by_name_and_unknown_ones_refused():
    assert [a.name for a in chosen(["tubular-paramedian"])] == ["tubular-paramedian"]
    with pytest.raises(InvalidInput, match="no approach is called"):
        chosen(["keyhole"])
    with pytest.raises(InvalidInput, match="list of names"):
        chosen("tubular-paramedian")
