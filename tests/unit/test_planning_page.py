"""The page of a plan in depth: every corridor on the front, every approach, harm in its words, flights that see."""

import json
import re

import numpy as np
import pytest
from plan_anatomy import back
from report_case import anatomy, plan
from report_case import case as folder

from keyhole.casefile import CaseRecord, ChangeEntry, LabelsRecord, Quantity, Rejected, TriedEntry
from keyhole.casefile.decompress import GoalEntry
from keyhole.casefile.screws import (
    IncisionEntry,
    NearEntry,
    NoScrew,
    OperationRecord,
    PartEntry,
    ScrewEntry,
    ScrewsRecord,
)
from keyhole.geometry import Tube
from keyhole.plan.harm import harm
from keyhole.plan.site import site
from keyhole.report.content import Records
from keyhole.report.planning import plan_page
from keyhole.report.planning.flight import AHEAD, FRAMES, flight
from keyhole.report.planning.front import AIMS, front
from keyhole.report.planning.harmed import harm_table
from keyhole.report.planning.refused import deepest, refusal
from keyhole.report.tables import References
from keyhole.report.views import axes_of
from keyhole.report.wording import Notes, number


@pytest.fixture(scope="module")
def made():
    """A plan of the torso whose first corridor and open operation have a harm, counted on the small back."""
    place = site(back(herniation=None), "L4/L5", "left")
    found = harm(place, Tube(place.frame.patient([24, 76, 3]), place.frame.patient([18, 44, 0]), 7.0))
    whole = plan({})
    first, *rest = (c.model_copy(update={"harm": found}) for c in whole.candidates)
    return whole.model_copy(
        update={"candidates": (first, *rest), "open": whole.open.model_copy(update={"harm": found})}
    )


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    """The page of any plan of the torso, as text."""
    case, torso = folder(tmp_path_factory.mktemp("planning") / "case")
    records = Records(case.read(CaseRecord), case.read(LabelsRecord), None, None)
    return lambda plan: plan_page(records, plan, torso).decode()


@pytest.fixture(scope="module")
def html(made, page_of):
    return page_of(made)


def test_every_corridor_is_a_link_on_the_front_and_leads_to_its_approach(made, html):
    links = re.findall(r'<a href="#approach-([a-z-]+)" class="mark"', html)
    assert links == [c.approach for c in made.candidates]
    for name in links:
        assert f'id="approach-{name}"' in html
    assert html.count('aria-label="Rank ') == len(made.candidates)


def test_the_pages_numbers_of_the_front_are_the_plans(made):
    found = front(made)
    for point, candidate in zip(found.data["points"], made.candidates, strict=True):
        for aim in AIMS:
            value = aim.value(candidate)
            assert point["values"][aim.key] == (None if value is None else pytest.approx(value, abs=1e-4))
        assert point["front"] == (made.candidates.index(candidate) in made.pareto)


def test_the_json_in_the_page_can_be_read_and_holds_no_end_of_script(html):
    text = re.search(r'<script type="application/json" id="front-data">(.*?)</script>', html, re.DOTALL)[1]
    assert "<" not in text
    assert set(json.loads(text)) == {"points", "aims", "first", "box"}


def test_rejected_approaches_say_why_and_have_no_flight(made, html):
    for entry in made.rejected:
        section = html.split(f'id="approach-{entry.approach}"')[1].split("</article>")[0]
        assert "no corridor" in section
        assert entry.reason.split("<")[0][:40] in section
        assert "data-film" not in section


def test_muscle_is_displaced_volume_and_what_speaks_against_stands_beside_it(html):
    harm_part = html.split('<section id="harm">')[1].split("</section>")[0]
    assert "displaced volume, not injury" in harm_part
    assert "randomised trial of tubular against conventional" in harm_part
    assert "Modelled, not seen" in harm_part
    assert "times less" not in html


def test_a_plan_without_harm_or_doubt_is_shown_as_it_is(made, page_of):
    bare = made.model_copy(
        update={"candidates": tuple(c.model_copy(update={"harm": None, "doubt": None}) for c in made.candidates)}
    )
    page = page_of(bare)
    assert "Tissue displaced, cut and removed" not in re.search(r'<select id="across">.*?</select>', page)[0]


def test_a_plan_without_corridors_still_has_its_reasons(made, page_of):
    none = made.model_copy(update={"candidates": (), "pareto": (), "open": None, "fronts": ()})
    page = page_of(none)
    assert 'id="front"' not in page.split("<script")[0].replace('href="#front"', "")
    assert "no corridor" in page


def test_the_same_case_gives_the_same_page(made, html, page_of):
    assert page_of(made) == html


def corridor(where, lateral=24.0):
    """A corridor record on the small back, by the level's own mm."""
    place = site(where, "L4/L5", "left")
    entry, dock, target = (
        place.frame.patient(np.array(p, float)) for p in ((lateral, 76, 3), (18, 46, 0), (14, 38, 0))
    )
    first = plan({}).candidates[0]
    return first.model_copy(
        update={"entry": tuple(entry), "dock": tuple(dock), "target": tuple(target), "radius": 7.0, "side": "left"}
    )


def pixels(found):
    """The pictures of a flight, without what is drawn over them."""
    return [re.search(r'href="(data:[^"]+)"', f.svg)[1] for f in found.frames]


def test_a_flight_says_what_it_is_in_and_what_comes_next():
    where = back(herniation=None)
    found = flight(where, corridor(where), axes_of(where, "L4/L5"), "#004488")
    assert len(found.frames) == FRAMES
    assert found.frames[0].depth == "0 mm"
    assert "paraspinal" in found.frames[-1].where
    assert "L4 inferior facet, left" in found.frames[-1].where
    assert "facet" in found.groups
    assert "muscle" not in found.groups
    assert len(set(pixels(found))) == FRAMES


def test_a_flight_looks_the_same_when_the_patient_is_moved():
    motion = np.eye(4)
    motion[:3, 3] = [31.0, -12.0, 55.0]
    moved, still = back(herniation=None, motion=motion), back(herniation=None)
    one, other = (flight(w, corridor(w), axes_of(w, "L4/L5"), "#004488") for w in (still, moved))
    assert pixels(one) == pixels(other)
    assert [f.where for f in one.frames] == [f.where for f in other.frames]


def test_a_flight_sees_no_farther_than_it_says():
    assert AHEAD < 120
    where = back(herniation=None)
    far = corridor(where).model_copy(update={"entry": (400.0, 0.0, 0.0), "dock": (380.0, 0.0, 0.0)})
    found = flight(where, far, axes_of(where, "L4/L5"), "#004488")
    assert found.groups == ()
    assert "air" in found.frames[0].where


def test_a_number_that_is_not_known_is_not_drawn_as_zero(made):
    gone = Quantity(value=None, unit="%", source="keyhole-plan", caveats=("not seen",))
    first = made.candidates[0].model_copy(update={"reach": gone})
    found = front(made.model_copy(update={"candidates": (first, *made.candidates[1:])}))
    assert found.data["points"][0]["values"]["reach"] is None


def a_screw(side):
    """A screw of L5 with nothing wrong with it."""

    def of(value, unit):
        return Quantity(value=value, sd=0.1, unit=unit, source="keyhole-plan")

    return ScrewEntry(
        vertebra="L5", side=side, trajectory="pedicle", system="generic", is_generic=True, entry=(0, 0, 0),
        tip=(0, 40, 0), radius=3.25, diameter=of(6.5, "mm"), length=of(45, "mm"), entry_allowance=3.0,
        clearance=of(1.2, "mm"), walls={}, grades={"A": 0.8, "B": 0.15, "C": 0.05}, thinner={}, medial=of(20, "deg"),
        cranial=of(0, "deg"), density=of(180, "[hnsf'U]"), facet_grade=None, facet_share=of(0, "%"), head=(0, -5, 0),
        head_radius=6.0, skin=None,
    )  # fmt: skip


def test_screws_and_whole_operations_stand_in_tables(made, page_of):
    found = made.candidates[0].harm
    whole = Quantity(value=9.5, sd=0.3, unit="mL", source="keyhole-plan")
    length = Quantity(value=40.0, sd=1.0, unit="mm", source="keyhole-plan")
    opening = IncisionEntry(through=("tubular-paramedian", "screw L5 left"), ends=((0, 0, 0), (0, 0, 4)), length=length)
    touching = NearEntry(
        first="screw L5 left", second="cage", gap=length.model_copy(update={"value": -1.5}), is_collision=True
    )
    operation = OperationRecord(
        name="tubular-paramedian + cage + 2 screws", kind="small", approach="tubular-paramedian",
        parts=(PartEntry(name="tubular-paramedian", kind="tube", volume=whole),), harm=found, together=whole,
        apart=whole.model_copy(update={"value": 11.0}), incisions=(opening,), incision=length, bones="as scanned",
        rods=(), contacts=(touching,),
    )  # fmt: skip
    screws = ScrewsRecord(
        trajectory="pedicle", screws=(a_screw("left"),), rods=(), incisions=(opening,), contacts=(),
        none=(NoScrew(vertebra="L4", side="left", trajectory="pedicle", reason="the pedicle is too narrow"),),
    )  # fmt: skip
    page = page_of(made.model_copy(update={"screws": screws, "operations": (operation,)}))
    for words in ("80 / 15 / 5", "the pedicle is too narrow", "screw L5 left and cage, −1.5 mm", "11.0 ± 0.3"):
        assert words in page
    assert "Tubular paramedian + cage + 2 screws" in page


def test_bone_for_the_goal_beyond_the_tube_counts_as_removed(made):
    def of(value):
        return Quantity(value=value, sd=0.1, unit="mL", source="keyhole-plan")

    first = made.candidates[0]
    way_in = first.harm.totals["removed"].value
    step = first.decompression.model_copy(update={"bone": of(2.0), "in_tube": of(0.3)})
    told = first.model_copy(update={"decompression": step})
    table = harm_table(made.model_copy(update={"candidates": (told, *made.candidates[1:])}), Notes(), References())
    assert table.rows[0].cells[3].text.startswith(number(way_in + 1.7, "mL"))
    assert table.rows[-1].cells[0].text.startswith("Open")


def refused(way, key="organ/kidney/left", blocked="tube", target=None):
    """A refusal of a flank approach of the torso, 7.5 mm short beside `key`."""
    entry, dock = way
    tried = TriedEntry(entry=entry, dock=dock, target=target, radius=9.0, instrument_radius=2.0, blocked=blocked)
    return Rejected(
        approach="lateral-transpsoas", reason=f"{key} is in the way", side="left", structure=key,
        missing=Quantity(value=7.5, unit="mm", source="keyhole-plan"), tried=tried,
    )  # fmt: skip


FLANK = ((145.0, 10.0, 40.0), (24.0, 0.0, 0.0))


def test_a_refused_corridor_is_drawn_dashed_named_and_called_not_feasible(made, page_of):
    page = page_of(made.model_copy(update={"rejected": (refused(FLANK),)}))
    section = page.split('id="approach-lateral-transpsoas"')[1].split("</article>")[0]
    pictures = re.findall(r'<svg .*?aria-label="(.*?)".*?</svg>', section, re.DOTALL)
    assert len(pictures) == 3
    for alt in pictures:
        assert alt.startswith("Not feasible.")
        assert "kidney, left hatched, 7.5 mm missing" in alt
    assert section.count(">NOT FEASIBLE</text>") == 3
    assert section.count(">kidney, left: 7.5 mm missing</text>") >= 1
    assert "Not feasible from the left: left kidney is in the way." in section
    assert "data-film" not in section


def test_what_would_open_it_is_told_in_words(made, page_of):
    change = ChangeEntry(
        change="root position", opens=True, searched=12, steps=(3.0, 3.0),
        finding="the verdict hangs on where the modelled roots lie (root/L4/left, root/L5/left)",
    )  # fmt: skip
    entry = refused(FLANK).model_copy(update={"changes": (change,)})
    page = page_of(made.model_copy(update={"rejected": (entry,)}))
    assert "the verdict hangs on where the modelled roots lie (left L4 root, left L5 root)" in page


@pytest.mark.parametrize(
    ("is_least", "words"),
    [(True, "none takes less"), (False, "least that a search found"), (None, "goal: half more, reached.<")],
)
def test_a_removal_says_whether_it_is_the_least(made, page_of, is_least, words):
    first, *rest = made.candidates
    goal = GoalEntry(kind="share", amount=50.0, length=5.0, words="half more", reached=True)
    found = first.decompression.model_copy(update={"goal": goal, "is_least": is_least})
    page = page_of(made.model_copy(update={"candidates": (first.model_copy(update={"decompression": found}), *rest)}))
    assert words in page


def test_every_line_of_a_refused_tube_is_dashed():
    torso = anatomy()
    for picture in refusal(torso, refused(FLANK), "L4/L5").pictures:
        white = re.findall(r'<path [^>]*stroke="#ffffff"[^>]*>', picture.svg)
        closed = [line for line in white if 'd="M' in line and line.count("L") > 8]
        assert closed
        assert all("stroke-dasharray" in line for line in closed)


def test_the_cross_section_lies_where_the_structure_reaches_deepest():
    torso, way = anatomy(), refused(FLANK).tried
    tube = Tube(np.array(way.entry), np.array(way.dock), way.radius)
    points = torso.labels.grid.centres(np.argwhere(torso.labels.mask("organ/kidney/left")))
    at = deepest(torso, "organ/kidney/left", tube)
    assert tube.gap(at[None])[0] <= tube.gap(points).min() + 1.5
    assert deepest(torso, "vessel/aorta", tube) is None


@pytest.mark.parametrize("gone", ["tried", "structure", "missing"])
def test_a_refusal_for_another_reason_stays_words(gone):
    entry = refused(FLANK).model_copy(update={gone: None})
    assert refusal(anatomy(), entry, "L4/L5") is None


def test_one_refused_side_is_drawn_beside_the_feasible_other(made, page_of):
    entry = refused(FLANK).model_copy(update={"approach": "tubular-paramedian", "side": "right"})
    section = page_of(made.model_copy(update={"rejected": (entry,)}))
    section = section.split('id="approach-tubular-paramedian"')[1].split("</article>")[0]
    assert "data-film" in section
    assert "Where it is blocked, from the right" in section
    assert "Not feasible from the right" in section


def test_a_blocked_instrument_is_drawn_beyond_its_tube():
    entry = refused(((60.0, 110.0, 0.0), (20.0, 60.0, 0.0)), "canal/dural_sac", "instrument", (0.0, 24.0, 0.0))
    found = refusal(anatomy(), entry, "L4/L5")
    assert "with an instrument of 4.0 mm" in found.said
    assert "dural sac reaches 7.5 mm into the instrument" in found.said
