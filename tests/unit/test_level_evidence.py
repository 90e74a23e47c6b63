"""What labels say for and against the names of the levels."""

import numpy as np
import pytest
from block_spine import ROW, Spine, ct_of, painted, turned

from keyhole.anatomy.level_evidence import against, evidence, merged
from keyhole.anatomy.ribs import rib_bearers, rib_in_image
from keyhole.anatomy.row import seen_in
from keyhole.casefile import EvidenceEntry
from keyhole.geometry import LabelMap

SHIFTED = ("T10", "T11", "T12", "L1", "L2", "L3", "L4")
SIX = ("T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")


def told(spine, **how):
    return {e.kind: e for e in evidence(painted(spine, **how))}


def verdicts(spine, **how):
    return {kind: e.supports for kind, e in told(spine, **how).items()}


def test_five_vertebrae_between_ribs_and_sacrum_speak_for_the_names():
    found = told(Spine())
    assert {k: e.supports for k, e in found.items()} == {"sacrum": True, "ribs": True, "count": True, "pelvis": None}
    assert found["ribs"].finding == "the lowest labelled rib joins T12"
    assert found["count"].finding.startswith("5 vertebrae without ribs lie between T12")
    assert found["pelvis"].finding.startswith("the iliac crests reach the height of L4")


def test_six_vertebrae_without_ribs_make_l6_a_candidate():
    found = told(Spine(names=SIX, ribs=("T10", "T11")))
    assert found["ribs"].supports is False
    assert found["ribs"].finding == "the lowest labelled rib joins T11, and none joins T12"
    assert found["count"].supports is False
    assert "L6" in found["count"].means
    assert "what is called L4/L5 here would be L5/L6" in found["count"].means


def test_four_vertebrae_without_ribs_make_t13_and_a_sacralised_l5_candidates():
    found = told(Spine(names=ROW, ribs=("T11", "T12", "L1")))
    assert found["ribs"].supports is False
    assert "T13" in found["ribs"].means
    assert found["count"].finding.startswith("4 vertebrae without ribs lie between L1")
    assert "sacralised L5" in found["count"].means
    assert "what is called L4/L5 here would be L3/L4" in found["count"].means


def test_names_off_by_one_are_contradicted_from_above_and_below():
    found = told(Spine(names=SHIFTED, ribs=("T10", "T11")))
    assert [found[k].supports for k in ("sacrum", "ribs", "count")] == [False, False, False]
    assert "what is called L3/L4 here would be L4/L5" in found["sacrum"].means
    assert "what is called L3/L4 here would be L4/L5" in found["ribs"].means
    six = told(Spine(names=("T12", "L1", "L2", "L3", "L4", "L5", "L6"), ribs=("T12",)))
    assert "what is called L5/L6 here would be L4/L5" in six["sacrum"].means


def test_a_named_t13_with_ribs_agrees_with_itself():
    row = ("T12", "T13", "L1", "L2", "L3", "L4", "L5")
    found = told(Spine(names=row, ribs=("T12", "T13")))
    assert [found[k].supports for k in ("sacrum", "ribs", "count")] == [True, True, True]


def test_room_for_a_vertebra_above_the_sacrum_speaks_against_the_names():
    found = told(Spine(gap=30.0))
    assert found["sacrum"].supports is False
    assert found["count"].supports is None
    assert "no label" in found["sacrum"].means


def test_a_missing_vertebra_leaves_the_count_to_the_names():
    labels = painted(Spine())
    kept = {n: k for n, k in labels.structures.items() if not k.startswith("vertebra/L2")}
    array = np.where(np.isin(labels.array, list(kept)), labels.array, 0)
    found = {e.kind: e for e in evidence(type(labels)(array, labels.patient_from_index, kept))}
    assert found["count"].supports is False
    assert "L2" in found["count"].finding


def test_without_sacrum_and_ribs_nothing_is_said_either_way():
    found = told(Spine(sacrum=False, ribs=()))
    assert [found[k].supports for k in ("sacrum", "ribs", "count")] == [None, None, None]
    assert "perhaps not the lowest" in found["sacrum"].finding
    cut = told(Spine(names=ROW[2:], ribs=()))
    assert cut["ribs"].supports is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_transverse_process_on_the_sacrum_is_a_transitional_candidate(side):
    found = told(Spine(touching=(side,)))
    assert found["shape"].supports is False
    assert f"on the {side} (" in found["shape"].finding
    assert "on one side only" in found["shape"].means
    other = "right" if side == "left" else "left"
    assert f"on the {other} (" in told(Spine(touching=(side,), mirrored=True))["shape"].finding
    both = told(Spine(touching=("left", "right")))["shape"]
    assert "left" in both.finding
    assert "right" in both.finding


def test_a_body_that_jumps_in_size_is_named():
    found = told(Spine(sizes=(("L3", 1.25),)))["shape"]
    assert found.supports is False
    assert "body of L3" in found.finding
    assert "larger" in found.finding


@pytest.mark.parametrize(
    "how",
    [
        {"turn": turned((20, -15, 35)), "shift": (40.0, -200.0, 900.0)},
        {"turn": turned((0, 0, 180))},
        {"axes": turned((12, -9, 15)), "spacing": (1.8, 2.4, 3.0)},
        {"axes": np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), "spacing": (2.0, 3.0, 2.5)},
        {"spacing": (1.5, 1.5, 4.0)},
    ],
    ids=["moved and turned", "prone", "oblique and anisotropic", "permuted and flipped", "thick slices"],
)
def test_pose_and_grid_do_not_change_what_is_said(how):
    for spine in (Spine(), Spine(names=SIX, ribs=("T10", "T11")), Spine(touching=("left",))):
        assert verdicts(spine, **how) == verdicts(spine)
    assert "left" in told(Spine(touching=("left",)), **how)["shape"].finding


def test_ribs_are_given_to_the_vertebra_they_join():
    found = rib_bearers(painted(Spine()))
    assert found == {"rib/11/left": "T11", "rib/11/right": "T11", "rib/12/left": "T12", "rib/12/right": "T12"}


def test_each_vertebra_is_seen_where_it_lies():
    seen = seen_in(painted(Spine(), shift=(10.0, 20.0, 30.0)))
    assert [one.name for one in seen] == list(ROW)
    np.testing.assert_allclose(seen[-1].body, (10, 20, 30), atol=1.5)
    np.testing.assert_allclose(seen[-2].canal, (10, 40, 64), atol=2.5)
    assert not any(one.cut for one in seen)


def test_labels_without_a_lumbar_row_say_nothing():
    labels = painted(Spine(names=("T10", "T11", "T12"), ribs=("T12",)))
    assert evidence(labels) == ()
    assert seen_in(labels) == ()


def test_what_a_method_says_takes_the_place_of_what_labels_cannot_say():
    own = EvidenceEntry(kind="ribs", finding="seen in the image", supports=True)
    computed = evidence(painted(Spine(ribs=())))
    both = merged((own,), computed)
    assert [e.finding for e in both if e.kind == "ribs"] == ["seen in the image"]
    assert any(e.kind == "sacrum" for e in both)
    assert against(both) == ()
    assert "have no label" not in against(evidence(painted(Spine(gap=30.0))))[0]


@pytest.mark.parametrize(
    "how", [{}, {"turn": turned((15, -10, 160)), "shift": (9, 8, 7)}, {"axes": turned((8, 9, 10))}]
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_ribs_are_seen_in_the_image_where_no_label_has_them(how, mirrored):
    for ribs, lowest in ((("T11", "T12"), "T12"), (("T11",), "T11"), (("T11", "T12", "L1"), "L1"), ((), None)):
        labels = painted(Spine(ribs=ribs, mirrored=mirrored), **how)
        image = ct_of(labels)
        kept = {n: k for n, k in labels.structures.items() if not k.startswith("rib/")}
        bare = LabelMap(np.where(np.isin(labels.array, list(kept)), labels.array, 0), labels.patient_from_index, kept)
        assert rib_in_image(bare, image) == lowest


def test_ribs_of_the_image_stand_in_for_labels_and_are_weighed_against_the_names():
    bare = painted(Spine(ribs=()))
    found = {e.kind: e for e in evidence(bare, "T12")}
    assert [found[k].supports for k in ("ribs", "count")] == [True, True]
    assert (found["ribs"].method, found["ribs"].vertebra) == ("image", "T12")
    wrong = {e.kind: e for e in evidence(bare, "T11")}
    assert [wrong[k].supports for k in ("ribs", "count")] == [False, False]
    assert "what is called L4/L5 here would be L5/L6" in wrong["ribs"].means
    assert {e.finding for e in evidence(bare, "T5")} == {e.finding for e in evidence(bare)}
