"""What a plan says of the doubt about one corridor, wherever the patient lies and whatever his grid."""

import numpy as np
import pytest
from plan_anatomy import back
from scipy.spatial.transform import Rotation

from keyhole.geometry import Tube
from keyhole.plan.doubt import default_budget, doubt_entry, execution, needed_entries, read_budget, robustly_ranked
from keyhole.plan.site import DANGER, site
from keyhole.terms import Tissue, sides_swapped

COARSE = (2.0, 2.0, 2.0)

KEYS = ("root/L4/left", "root/L5/left", "canal/dural_sac")


def doubted(anatomy, side="left", *, budget=None, keys=KEYS, near=17.0):
    """The doubt about a tube of 4 mm whose tip is docked at the foramen of L4/L5 on `side`."""
    found = site(anatomy, "L4/L5", side)
    frame = found.frame
    how = execution(
        budget or default_budget(), found.labels, found.structures, found.of_kind(*DANGER, Tissue.GAS),
        axes=frame.axes, middle=frame.origin,
    )  # fmt: skip
    tip, entry = frame.patient([near, 22.0, -4.0]), frame.patient([95.0, 80.0, 6.0])
    out = (entry - tip) / np.linalg.norm(entry - tip)
    instrument = Tube(tip, frame.patient([8.0, 18.0, 0.0]), 1.75)
    return doubt_entry(how, [(Tube(entry, tip + 4.0 * out, 4.0), tip)], instrument, keys)


@pytest.fixture(scope="module")
def plain():
    return doubted(back(spacing=COARSE))


def alike(found, expected, rel=0.02):
    assert found.worst == expected.worst
    assert found.breach_total == pytest.approx(expected.breach_total, rel=rel, abs=2e-4)
    assert found.kept_clearance.value == pytest.approx(expected.kept_clearance.value, abs=0.02)
    assert found.needed_accuracy.value == pytest.approx(expected.needed_accuracy.value, abs=0.06)
    assert [s.term for s in found.shares] == [s.term for s in expected.shares]
    assert [s.share for s in found.shares] == pytest.approx([s.share for s in expected.shares], abs=0.2)
    for key, chance in expected.instrument_breach.items():
        assert found.instrument_breach.get(key, 0.0) == pytest.approx(chance, rel=rel, abs=2e-4)


def test_it_says_what_is_in_most_danger_and_which_term_dominates(plain):
    assert 0.001 < plain.breach_total < 0.3
    assert plain.worst == "root/L5/left"
    assert plain.dominant == plain.shares[0].term
    assert plain.registration_rms == 2.0
    once = ("registration", "image", "label")
    assert plain.systematic_share == pytest.approx(sum(s.share for s in plain.shares if s.term in once), abs=0.02)
    assert plain.needed_accuracy.value is not None
    assert (plain.needed_accuracy.value >= 2.0) is (plain.breach_total <= 0.05)


def test_it_moves_and_turns_with_the_patient(plain):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [70, -40, 160], degrees=True).as_matrix()
    motion[:3, 3] = [400, -700, 90]
    alike(doubted(back(motion=motion, spacing=COARSE)), plain)


def test_a_mirrored_patient_has_the_mirrored_doubt(plain):
    found = doubted(back(flip=True, spacing=COARSE), "right", keys=[sides_swapped(key) for key in KEYS])
    swapped = found.model_copy(
        update={
            "worst": sides_swapped(found.worst),
            "instrument_breach": {sides_swapped(k): p for k, p in found.instrument_breach.items()},
        }
    )
    alike(swapped, plain)


@pytest.mark.slow
def test_on_an_oblique_anisotropic_grid_it_is_much_the_same(plain):
    found = doubted(back(spacing=(1.7, 1.9, 2.4), turn=(25, -15)))
    assert found.worst == plain.worst
    assert found.kept_clearance.value == pytest.approx(plain.kept_clearance.value, abs=1.0)
    assert 0.3 * plain.breach_total < found.breach_total < 3 * plain.breach_total


def test_nearer_to_the_root_navigation_must_be_better(plain):
    near = doubted(back(spacing=COARSE), near=15.0)
    assert near.breach_total != plain.breach_total
    order = sorted((near, plain), key=lambda d: d.breach_total)
    needs = [d.needed_accuracy.value or 0.0 for d in order]
    assert needs[0] >= needs[1]


def test_what_nobody_labelled_is_said_and_never_counts_as_safe():
    found = doubted(back(without=("root", "vessel"), spacing=COARSE))
    assert any("no nerve root is known" in caveat for caveat in found.caveats)
    assert any("no vessel is known" in caveat for caveat in found.caveats)


def test_a_better_budget_lowers_danger_and_a_worse_one_raises_it(tmp_path, plain):
    for sd, sign in ((0.0, -1), (3.0, 1)):
        path = tmp_path / f"{sd}.toml"
        path.write_text(f'[breathing]\nsd = {sd}\nkind = "random"\nsource = "own"\nnote = "test"\n')
        found = doubted(back(spacing=COARSE), budget=read_budget(path))
        assert sign * (found.breach_total - plain.breach_total) > 0


class Entry:
    """A candidate as far as the robust order looks at it."""

    def __init__(self, rank, reach, doubt):
        self.approach, self.side, self.rank, self.doubt = f"way-{rank}", "left", rank, doubt
        self.reach = type("Reach", (), {"value": reach})()

    def model_copy(self, update):
        return Entry(self.rank, self.reach.value, update["doubt"])


def test_the_robust_order_is_reach_and_then_the_clearance_kept_in_95_percent(plain):
    def kept(value):
        return plain.model_copy(update={"kept_clearance": plain.kept_clearance.model_copy(update={"value": value})})

    entries = [
        Entry(1, 50.0, kept(-1.0)),
        Entry(2, 52.0, kept(2.0)),
        Entry(3, 20.0, kept(9.0)),
        Entry(4, 50.0, kept(2.0)),
    ]
    assert [e.doubt.robust_rank for e in robustly_ranked(entries)] == [3, 1, 4, 2]


def test_the_plan_says_in_a_sentence_how_accurate_navigation_must_be(plain):
    def needs(value, *caveats):
        quantity = plain.needed_accuracy.model_copy(update={"value": value, "caveats": caveats})
        return plain.model_copy(update={"needed_accuracy": quantity, "caveats": ()})

    none = "not even a perfect registration brings the summed breach probability to 5%: the rest alone leaves 9.0%"
    blank = plain.model_copy(update={"caveats": ("no vessel is known at this level: its breach is not counted",)})
    doubts = (needs(1.2), needs(2.6), needs(None, none), needs(10.0, "a lower bound"), blank)
    entries = [Entry(n + 1, 50.0, doubt) for n, doubt in enumerate(doubts)]
    said = [n.sentence for n in needed_entries(entries)]
    assert said[0].startswith("way-1 needs a registration error of at most 1.2 mm RMS at the tip to keep the summed")
    assert said[0].endswith("at 5% or less; the 2.0 mm assumed is not within it")
    assert "at most 2.6 mm RMS" in said[1]
    assert said[1].endswith("the 2.0 mm assumed is within it")
    assert "way-3 is not safe by navigation alone" in said[2]
    assert "any registration error up to 10 mm" in said[3]
    assert said[4].endswith("(not counted, because not known: vessel)")
