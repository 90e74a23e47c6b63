"""The catalogue of approaches: complete, sourced, refused when wrong."""

import pytest

from keyhole.errors import InvalidInput
from keyhole.evidence import sources
from keyhole.evidence.procedures import procedures
from keyhole.plan import catalogue
from keyhole.plan.approaches import OPEN, chosen, comparator, parse
from keyhole.plan.instruments import instruments, thinnest


def row(**changes):
    good = {
        "title": "t",
        "goals": ["decompress"],
        "docking": "foramen",
        "bone_soft": ["vertebra/{lower}/facet/superior/{side}"],
        "instrument_radius": {"value": 1.5, "source": "keyhole-choice"},
        "radii": {"value": [3.0, 4.0], "source": "keyhole-choice"},
        "reach": {"value": [0.0, 20.0], "source": "keyhole-choice"},
        "angulation": {"value": 25.0, "source": "keyhole-choice"},
    }
    return {k: v for k, v in (good | changes).items() if v is not None}


def test_every_number_of_every_approach_has_a_source_that_exists():
    for approach in catalogue().values():
        assert approach.sources
        assert set(approach.sources.values()) <= set(sources())


SMALL = {
    "decompress": (
        "transforaminal-endoscopic", "transforaminal-endoscopic-foraminoplasty", "interlaminar-endoscopic",
        "biportal-endoscopic", "tubular-paramedian", "tubular-over-the-top",
    ),
    "fuse": ("mis-tlif", "lateral-transpsoas", "oblique-antepsoas", "percutaneous-screws"),
    "screws": ("percutaneous-screws",),
}  # fmt: skip


def test_the_catalogue_holds_ten_small_approaches_and_the_open_ones():
    small = {name for names in SMALL.values() for name in names}
    assert set(catalogue()) == small | {OPEN, "open-microdiscectomy", "open-laminectomy", "open-tlif"}
    assert {a.name for a in chosen()} == small


@pytest.mark.parametrize("goal", list(SMALL))
def test_a_goal_takes_the_approaches_that_serve_it_and_an_open_one_to_compare(goal):
    assert tuple(a.name for a in chosen(goal=goal)) == SMALL[goal]
    for aim in ("fragment", "canal", "disc"):
        against = catalogue()[comparator(goal, aim)]
        assert against.kind == "open"
        assert goal in against.goals


def test_every_tube_fits_an_instrument_of_its_table_and_every_figure_has_a_source():
    table = instruments()
    for approach in chosen():
        own = [table[name] for name in approach.instruments]
        assert own, approach.name
        assert all(any(abs(one.outer - 2 * r) < 1e-9 for one in own) for r in approach.radii), approach.name
    assert {one.source for one in table.values()} <= set(sources())
    assert all("generic" in one.title for one in table.values() if one.is_generic)
    assert thinnest(("tube-22",), 15.0).name == "tube-14"
    assert thinnest(("tube-22",), 13.9) is None


def test_what_differs_at_a_level_is_taken_there():
    lateral = catalogue()["lateral-transpsoas"]
    assert lateral.at("L2/L3") == lateral
    assert lateral.at("L4/L5").dock_depth == (0.25, 0.5)


def test_the_forecast_knows_every_small_approach():
    known = {t.approach for p in procedures().values() for t in p.techniques}
    assert {a.name for a in chosen()} <= known


def clinic(tmp_path, text):
    file = tmp_path / "ours.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_clinic_edits_one_number_and_adds_an_approach_without_code(tmp_path):
    file = clinic(
        tmp_path,
        """
        [tubular-paramedian]
        radii = [7.0, 8.0]
        [our-tube]
        like = "tubular-paramedian"
        title = "Our tube"
        entry_lateral = { value = [12, 25], source = "orthovellum-tubes" }
        contraindications = ["Not after an earlier operation on the side."]
    """,
    )
    found = catalogue(file)
    shipped = catalogue()["tubular-paramedian"]
    assert found["tubular-paramedian"].radii == (7.0, 8.0)
    assert found["tubular-paramedian"].sources["radii"] == "clinic"
    assert found["tubular-paramedian"].tilt == shipped.tilt
    assert found["our-tube"].entry_lateral == (12.0, 25.0)
    assert found["our-tube"].contraindications[0].source == "clinic"
    assert catalogue()["tubular-paramedian"] == shipped
    assert "our-tube" in {a.name for a in chosen(goal="decompress", catalogue=found)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[x", "not valid TOML"),
        ("x = 3", "must be a table"),
        ('[x]\nlike = "nothing"', "like names no approach"),
        ('[x]\ntitle = "X"', "ours.toml, x: goals is missing"),
        ("[tubular-paramedian]\ncolour = 3", "unknown field 'colour'"),
        ("[tubular-paramedian]\nradii = [8.0, 7.0]", "radii must be ascending"),
        ("[tubular-paramedian]\nradii = [nan]", "radii must be ascending"),
        ("[tubular-paramedian]\nradii = [1.0]", "instrument_radius must lie above 0"),
        ("[tubular-paramedian]\nangulation = true", "angulation must be a number"),
        ("[tubular-paramedian]\nazimuth = [-200, 0]", "azimuth lies within"),
        ("[tubular-paramedian]\nsteps = [0.01, 2]", "steps lie between"),
        ('[tubular-paramedian]\nreach = { value = [0, 9], source = "no-such" }', "no source has the key 'no-such'"),
        ('[tubular-paramedian]\nreach = { value = [0, 9], at = { "L9/L5" = [0, 1] } }', "reach, at: "),
        ('[tubular-paramedian]\ngoals = ["cure"]', "goals must be one of"),
        ('[tubular-paramedian]\nbone_soft = ["vertebra/{where}"]', "bone_soft knows"),
        ('[tubular-paramedian]\nbone_soft = ["spine"]', "structure keys of bone"),
        ('[tubular-paramedian]\ninstruments = ["chisel"]', "instruments must be one of"),
        ('[tubular-paramedian]\nkind = "biportal"', "two portals need"),
        ("[tubular-paramedian]\ntitle = 3", "title must be words"),
        ("[open-tlif]\nexposure = 0.0", "exposure above 0"),
    ],
)
def test_a_clinics_wrong_file_is_refused_in_one_sentence(tmp_path, text, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        catalogue(clinic(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_catalogue_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        catalogue(tmp_path / "no.toml")


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
