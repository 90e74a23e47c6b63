"""Fusion: cages and their table, the rules of size, what a plan says, and an independent recount of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plan_anatomy import back

from keyhole.casefile.realign import FusionRecord
from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import sources
from keyhole.plan.realign import Wish, cages, fusion
from keyhole.plan.realign.cages import height_for, lordosis_for, parse
from keyhole.plan.realign.passage import LOOK

ROW = """[mine]
title = "x"
kind = "lateral"
wedge = "width"
heights = { value = [8, 10], source = "keyhole-choice" }
lordoses = { value = [0, 10], source = "keyhole-choice" }
lengths = { value = [40], source = "keyhole-choice" }
widths = { value = [18], source = "keyhole-choice" }
"""


class Corridor:
    """What a fusion reads of a candidate."""

    def __init__(self, approach, dock, target, radius=9.0):
        self.approach, self.side, self.dock, self.target, self.radius = approach, "left", dock, target, radius


@pytest.fixture(scope="module")
def anatomy():
    return back(herniation=None)


@pytest.fixture(scope="module")
def fused(anatomy):
    corridor = Corridor("mis-tlif", (22.0, 30.0, 1.0), (6.0, 12.0, 0.0))
    return fusion(anatomy, "L4/L5", "left", [corridor], wish=Wish(height=12.0, lordosis=8.0))


def value(entry, name, side=None):
    found = next(one for one in entry.changes if (one.name, one.side) == (name, side))
    return found.before.value, found.after.value


def test_every_size_of_every_cage_has_a_source_and_the_table_is_that_of_the_package():
    for line in cages().values():
        assert {key for _, key in line.sources} <= set(sources())
        assert line.cage(line.heights[-1], line.lordoses[-1], line.lengths[-1], line.widths[-1]).lowest > 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[8, 10]", "[10, 8]", "ascending"),
        ("[8, 10]", "[8, 99]", "4 to 25"),
        ("[8, 10]", '["high"]', "ascending"),
        ('"lateral"', '"front"', "kind is one of"),
        ('"keyhole-choice"', '"nobody"', "nobody"),
        ("title", "name", "is missing or not a field"),
        ("[mine]", "mine", "not a table"),
    ],
)
def test_a_wrong_table_of_cages_is_refused_in_a_sentence(tmp_path, old, new, told):
    (tmp_path / "cages.toml").write_text(ROW.replace(old, new, 1))
    with pytest.raises((InvalidInput, LookupError), match=told):
        cages(tmp_path / "cages.toml")


def test_a_clinics_cages_add_to_keyholes(tmp_path):
    (tmp_path / "own.toml").write_text(ROW)
    assert set(cages(tmp_path / "own.toml")) == {*cages(), "mine"}
    with pytest.raises(UnreadableFile):
        cages(Path(tmp_path / "none.toml"))


def test_a_cage_with_no_height_left_is_refused():
    with pytest.raises(InvalidInput, match="no height left"):
        parse(ROW, "x")["mine"].cage(4.0, 40.0, 40.0, 18.0)


@pytest.mark.parametrize(
    ("now", "beside", "taken"),
    [(7.0, 9.6, 10.0), (7.0, 20.0, 11.0), (7.0, None, 7.0), (11.2, 9.0, 12.0), (30.0, 9.0, 14.0)],
)
def test_the_height_by_rule_is_the_neighbours_never_lower_than_the_disc_and_at_most_four_mm_more(now, beside, taken):
    chosen, rule = height_for(cages()["bullet"], now, beside)
    assert chosen == taken
    assert "Keyhole's rule" in rule


def test_the_lordosis_by_rule_closes_what_the_incidence_lacks():
    line = cages()["bullet"]
    assert lordosis_for(line, 4.0, None)[0] == 4.0
    assert lordosis_for(line, 4.0, -3.0)[0] == 4.0
    assert lordosis_for(line, 4.0, 8.0)[0] == 12.0
    assert lordosis_for(line, 4.0, None, share=0.5)[0] == 8.0


def facet_distances(anatomy, entry, side):
    """Brute force, by the matrices of the record alone."""
    labels = anatomy.labels
    upper, lower = (
        labels.grid.centres(np.argwhere(labels.mask(f"vertebra/{key}/{side}")))
        for key in ("L4/facet/inferior", "L5/facet/superior")
    )
    before = np.linalg.norm(upper[:, None] - lower[None], axis=2).min(axis=1)
    matrix = np.array(next(one.matrix for one in entry.motions if one.vertebra == "L4"))
    moved = upper[before <= 4.0] @ matrix[:3, :3].T + matrix[:3, 3]
    after = np.linalg.norm(moved[:, None] - lower[None], axis=2).min(axis=1)
    return before[before <= 4.0].mean(), after.mean()


def test_a_fusion_raises_the_disc_to_the_cage_and_says_what_it_changes(anatomy, fused):
    entry = fused.entries[0]
    assert entry.approach == "mis-tlif"
    assert value(entry, "disc height")[0] == pytest.approx(10.0, abs=0.1)
    assert value(entry, "disc wedge angle")[1] == pytest.approx(8.0 * np.cos(np.radians(41.6)), abs=0.2)
    for side in ("left", "right"):
        assert value(entry, "facet distance", side) == pytest.approx(facet_distances(anatomy, entry, side), abs=1e-3)
    canal = next(one for one in entry.changes if one.name == "canal area")
    assert canal.after.value is None
    assert {one.source for one in canal.published} == {"formica2020", "olif-position"}


@pytest.mark.slow
def test_the_record_survives_its_file_and_is_the_same_twice(anatomy, fused):
    text = fused.model_dump_json(by_alias=True)
    assert FusionRecord.model_validate_json(text) == fused
    corridor = Corridor("mis-tlif", (22.0, 30.0, 1.0), (6.0, 12.0, 0.0))
    again = fusion(anatomy, "L4/L5", "left", [corridor], wish=Wish(height=12.0, lordosis=8.0))
    assert again.model_dump_json(by_alias=True) == text


def test_clearance_and_bone_on_the_cages_way_are_what_brute_force_finds(anatomy, fused):
    """By the record alone: the way's heading from the corridor, the box from the cage's sizes, voxel by voxel."""
    labels, cage = anatomy.labels, fused.entries[0].cage
    into = np.array([6.0 - 22.0, 12.0 - 30.0, 0.0])
    into /= np.linalg.norm(into)
    seat = np.array(fused.entries[0].cage.centre)
    seat = np.array([seat[0], seat[1], 0.0])
    across = np.cross([0.0, 0.0, 1.0], into)
    tall = cage.height + cage.length * np.tan(np.radians(cage.angle) / 2)
    out = max(10.0, (seat - np.array([6.0, 12.0, 0.0])) @ into - cage.length / 2)
    passed = fused.entries[0].passage
    for number, key in labels.structures.items():
        points = labels.grid.centres(np.argwhere(labels.array == number)) - seat
        if not len(points):
            continue
        u, v, w = points @ into, np.abs(points @ across), np.abs(points[:, 2])
        away = np.stack([np.maximum(u - cage.length / 2, -cage.length / 2 - out - u), v - cage.width / 2, w - tall / 2])
        gap = np.linalg.norm(np.maximum(away, 0.0), axis=0)
        if key.startswith("vertebra"):
            found = np.count_nonzero(gap == 0) * labels.grid.voxel_volume / 1000
            assert passed.bone[key].value if key in passed.bone else pytest.approx(found, abs=0.1) == 0.0
        elif key.startswith(("root", "canal/dural_sac", "vessel", "organ")) and gap.min() < LOOK - 2:
            assert passed.clearance[key].value <= gap.min()
            assert passed.clearance[key].value == pytest.approx(gap.min() - labels.grid.half_diagonal, abs=0.8)


@pytest.mark.slow
def test_without_a_corridor_both_kinds_of_cage_are_set_and_say_so(anatomy):
    found = fusion(anatomy, "L4/L5", "left", wish=Wish(line="lateral"))
    assert [one.cage.kind for one in found.entries] == ["lateral"]
    assert "no corridor" in found.entries[0].caveats[0]
    assert found.entries[0].passage is None


def test_density_without_a_ct_is_a_caveat_not_a_number(fused):
    risk = next(one for one in fused.entries[0].risks if one.name == "density beside the cage")
    assert risk.value.value is None
    assert risk.value.caveats
    assert {one.source for one in risk.published} == {"xi-llif-hu", "mi-tlif-hu"}


@pytest.mark.parametrize("wrong", [0.0, -3.0, 80.0, float("nan")])
def test_a_height_that_no_cage_has_is_refused(anatomy, wrong):
    with pytest.raises(InvalidInput, match="heights must be"):
        fusion(anatomy, "L4/L5", "left", wish=Wish(height=wrong))


def test_an_unknown_cage_is_refused(anatomy):
    with pytest.raises(InvalidInput, match="no cage is called"):
        fusion(anatomy, "L4/L5", "left", wish=Wish(line="banana"))


def test_a_level_whose_endplates_are_cut_has_a_caveat_instead_of_a_cage(anatomy):
    from keyhole.plan.realign.told import with_fusion

    class Made:
        goal, level, side, candidates = "fuse", "L4/L5", "left", ()

        def model_copy(self, update):
            return update["fusion"]

    cut = {name: replace(one, complete=False) for name, one in anatomy.vertebrae.items()}
    told = with_fusion(Made(), replace(anatomy, vertebrae=cut))
    assert told.entries == ()
    assert "cannot be realigned" in told.caveats[0]
    other = Made()
    other.goal = "decompress"
    with pytest.raises(InvalidInput, match="goes with the goal fuse"):
        with_fusion(other, anatomy, Wish(height=11.0))
    assert with_fusion(other, anatomy) is other
