"""The decision aid: what it says, that a child of twelve can read it, that nobody is shut out, whose numbers it has."""

import re

import pytest
from expected_case import case_record, known, outcome, record, with_outcomes
from page_reader import Page, barriers, contrast, grade, sentences_of, syllables
from report_case import plan

from keyhole.errors import InvalidInput, WrongCase
from keyhole.report import write as writing
from keyhole.report.decision import aid_page, aid_paper
from keyhole.report.icons import icon_array
from keyhole.report.opening import Opening
from keyhole.report.patient import aid, candidate_of, described
from keyhole.report.plain import count, rounded
from keyhole.report.sentences import sentences
from keyhole.report.svg import drawing

WORDS = sentences()


def made(found=None, *, is_confirmed=True):
    drawn = tuple(
        Opening(drawing(9, 9, "", f"slice {n}"), drawing(9, 9, "", f"skin {n}"), ("sac", "disc")) for n in (0, 1)
    )
    shown = (plan({}).candidates[0], plan({}).open)
    found = found or record()
    alts = described(found, shown, WORDS)
    return aid(case_record(), found, drawn, WORDS, is_confirmed=is_confirmed, alts=alts)


@pytest.fixture(scope="module")
def text():
    return aid_page(made(), WORDS).decode()


def card(found, kind):
    return next(one for one in found.glance if one.kind == kind).names


def risk(found, title):
    return next(one for one in found.risks if one.title == title)


def test_the_page_is_well_formed_loads_nothing_and_runs_nothing(text):
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    loaded = [v for _, a in page.tags for k, v in a.items() if k in ("src", "srcset", "data", "xlink:href")]
    assert all(v.startswith("data:") for v in loaded)
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\((?!#|data:)", text)
    assert "object at 0x" not in text
    assert "{" not in page.text()


def test_no_barrier_for_a_screen_reader_or_a_keyboard(text):
    assert barriers(Page(text)) == []


def test_the_barriers_are_found_where_they_are():
    bad = Page("<html><h1>a</h1><h3>b</h3><svg></svg><input id='x'><a href='#no'>c</a><p id='x'></p></html>")
    assert len(barriers(bad)) == 7


def test_colours_of_the_page_have_contrast(text):
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", text))
    for name in ("ink", "soft", "link", "good", "bad", "same", "open"):
        assert contrast(colours[name], "#ffffff") >= 7, name
    assert contrast(colours["ink"], colours["wash"]) >= 7
    assert contrast(colours["soft"], colours["wash"]) >= 7
    assert contrast("#8c2d04", "#eceff1") >= 4.5  # a dark person beside a pale one


def test_a_child_of_twelve_can_read_it(text):
    said = Page(text).text("sources")
    assert grade(said) <= 6.0
    assert max(len(one) for one in sentences_of(said)) <= 22


def test_every_sentence_for_itself_is_easy():
    table = {k: v for k, v in WORDS.table.items() if k not in ("lang", "sources")}

    def strings(value):
        if isinstance(value, str):
            yield value
        else:
            for one in value.values() if isinstance(value, dict) else value:
                yield from strings(one)

    assert grade("\n".join(strings(table))) <= 6.0


def test_the_formula_of_reading_knows_hard_from_easy():
    assert [syllables(w) for w in ("cat", "nerve", "little", "operation", "studies", "needed")] == [1, 1, 2, 4, 2, 2]
    assert grade("The cat sat on the mat. The dog ran to the door.") < 1
    hard = "Heterogeneity between comparative investigations considerably diminishes the certainty of conclusions."
    assert grade(hard) > 15


def test_worse_and_unknown_stand_as_openly_as_better():
    found = made()
    assert "The same problem comes back" in card(found, "worse")
    assert "Trouble in daily life" in card(found, "same")
    assert "Days in hospital" in card(found, "better")
    assert "X-rays during the operation (first signs: worse)" in card(found, "unknown")
    assert sum(len(one.names) for one in found.glance) == len(record().outcomes)


def test_a_change_of_word_in_the_file_changes_the_card_and_the_sentence():
    changed = outcome("stay").model_copy(update={"word": "worse"})
    found = made(with_outcomes(changed))
    assert "Days in hospital" in card(found, "worse")
    assert "Days in hospital" not in card(found, "better")
    assert next(one for one in found.amounts if one.title == "Days in hospital").word.startswith("Worse")


def test_what_nobody_knows_gets_no_number_and_no_people():
    found = risk(made(), "Harm to a nerve")
    assert found.arms == ()
    assert found.word.startswith("Not known")
    half = outcome("infection").model_copy(update={"planned": known(None)})
    shown = risk(made(with_outcomes(half)), "Infection of the wound")
    assert shown.arms == ()
    assert shown.note.startswith("Only one of the two ways has a number")
    assert found.note.startswith("Nobody has counted this")
    work = next(one for one in made().amounts if one.title == "Time until you can work")
    assert work.planned == ("not known", "")


def test_studies_of_several_operations_are_called_that():
    assert risk(made(), "Infection of the wound").note == "These studies put many kinds of back operations together."
    assert risk(made(), "The same problem comes back").note == ""


def test_a_risk_is_counted_in_people_with_its_doubt_in_words():
    changed = outcome("infection").model_copy(
        update={"planned": known(0.012, (0.002, 0.5)), "open": known(0.004, (0.001, 0.004))}
    )
    small, large = risk(made(with_outcomes(changed)), "Infection of the wound").arms
    assert small.count == "About 1 of 100 people"
    assert "between 0 and 50 of 100" in small.range
    assert "very wide" in small.range
    assert large.count == "Fewer than 1 of 100 people"
    assert "very wide" not in large.range
    assert "between 0 and 1 of 100" in large.range


@pytest.mark.parametrize(("sure", "maybe"), [(0, 0), (7, 12), (100, 0), (40, 60)])
def test_a_hundred_people_always(sure, maybe):
    drawn = icon_array(sure, maybe, "words", "x")
    assert drawn.count("<circle") == 100
    assert len(re.findall(r'<circle[^>]*fill="#8c2d04"', drawn)) == sure
    assert len(re.findall(r'<circle[^>]*fill="url\(#stripes-x\)"', drawn)) == maybe


def test_both_ways_have_their_picture_and_it_is_told_in_words(text):
    page = Page(text)
    people = [a["aria-label"] for t, a in page.tags if t == "svg" and "of 100 people" in (a.get("aria-label") or "")]
    assert len(people) == 2 * sum(1 for one in made().risks if one.arms)
    assert sum(one.startswith("Small opening") for one in people) == len(people) / 2
    assert text.count("slice 0") == 1
    assert text.count("skin 1") == 1


def test_levels_that_nobody_confirmed_are_said_in_plain_words():
    assert any("Nobody has yet checked" in one for one in made(is_confirmed=False).warnings)
    assert made(is_confirmed=True).warnings == ()


def test_the_research_notice_stands_at_both_ends(text):
    assert text.count("For research only. This is not a medical device.") == 2


def numbers_behind(found):
    """Every way in which the page may write a number of forecast.json."""
    allowed = {"0", "5", "9", "10", "100"}  # ends of the scales, "9 of 10", 100 people, a spoon of 5 mL

    def walk(value):
        if isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif isinstance(value, list | tuple):
            for one in value:
                walk(one)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            allowed.update({rounded(value), str(count(value)) if 0 <= value <= 1 else "", f"{value:g}"})

    walk(found.model_dump())
    for one in found.geometry:
        for q in (one.planned, one.open):
            if q.value is not None and q.sd:
                allowed.update(rounded(max(end, 0.0)) for end in (q.value - 2 * q.sd, q.value + 2 * q.sd))
    return allowed


def test_every_number_of_the_page_comes_from_the_file(text):
    said = Page(text).text("sources").replace("L4/L5", "").replace("Keyhole 0.1.0", "")
    shown = set(re.findall(r"\d+(?:\.\d+)?", said))
    assert shown - numbers_behind(record()) == set()
    assert len(shown) > 20


def test_numbers_have_few_digits_and_no_false_zero():
    assert [rounded(x) for x in (0.0, 0.04, 0.83, 1.0, 1.44, 12.6, 156.4, 2449.0)] == [
        "0", "less than 0.1", "0.8", "1", "1.4", "13", "160", "2400"]  # fmt: skip
    assert [count(x) for x in (0.0, 0.004, 0.005, 0.12, 1.0)] == [0, 0, 1, 12, 100]


def test_gaps_of_a_course_stay_gaps():
    one = next(c for c in made().courses if c.key == "leg-pain")
    assert ("1 month after", "not known", "2.8") in one.rows
    assert one.svg.count("<circle") == 1 + 3  # the legend's; before, 12 and 24 months
    line = re.search(r'<path d="([^"]*)" fill="none" stroke="#004488"', one.svg)
    assert line is not None
    assert line[1].count("M") == 1  # from 12 to 24 months alone


def test_the_paper_is_tagged_in_its_language_and_the_same_twice():
    first = aid_paper(made(), WORDS)
    assert first.startswith(b"%PDF-")
    assert first == aid_paper(made(), WORDS)
    assert b"/StructTreeRoot" in first
    assert b"/Lang" in first


def test_a_language_without_words_is_refused():
    with pytest.raises(InvalidInput, match="no words in language 'xx'"):
        sentences("xx")


def test_an_operation_without_words_is_not_given_others():
    odd = record().procedure.model_copy(update={"key": "fusion-by-a-clinic", "approach": "novel"})
    found = made(record().model_copy(update={"procedure": odd}))
    assert "Ask your surgeon what this operation does." in found.about
    assert found.ways[0].text == "The surgeon works through a small cut."


def test_a_forecast_of_a_corridor_that_the_plan_lacks_is_refused():
    odd = record().procedure.model_copy(update={"approach": "novel"})
    with pytest.raises(WrongCase, match="run `keyhole forecast` again"):
        candidate_of(record().model_copy(update={"procedure": odd}), plan({}).candidates)


def test_a_page_of_an_earlier_forecast_does_not_outlive_it(tmp_path):
    old = tmp_path / "report"
    old.mkdir()
    for name in ("patient.html", "patient.pdf", "forecast.html", "forecast.pdf", "rehab.html"):
        (old / name).write_text("old")
    with writing._folder(old):
        pass
    assert [one.name for one in old.iterdir()] == ["rehab.html"]


def test_no_wording_of_a_licensed_questionnaire():
    for words in ("personal care", "pain intensity", "sex life", "usual activities", "anxiety", "travelling"):
        assert words not in str(WORDS.table).lower()


def test_a_score_without_a_course_says_so():
    bare = outcome("leg-pain").model_copy(update={"curve": ()})
    page = aid_page(made(with_outcomes(bare)), WORDS).decode()
    assert page.count(WORDS.say("course", "none")) == 1
    assert WORDS.say("course", "none") not in aid_page(made(), WORDS).decode()


def test_the_page_says_recurrence_is_worse_disability_no_different_and_radiation_points_to_worse():
    found = made()
    assert WORDS.outcome("recurrence", "name") in card(found, "worse")
    assert WORDS.outcome("odi", "name") in card(found, "same")
    rays = WORDS.outcome("radiation", "name")
    assert WORDS.say("glance", "points_worse", name=rays) in card(found, "unknown")
    assert next(one for one in found.amounts if one.title == rays).word == WORDS.say("word", "points_worse")


def test_the_open_operation_of_the_plan_is_described_and_another_than_that_of_the_studies_is_said():
    same = record().procedure.model_copy(update={"open_approach": "open-microdiscectomy"})
    found = made(record().model_copy(update={"procedure": same}))
    assert "on one side" in found.ways[1].text
    assert WORDS.say("opening", "other_open") not in found.sizes_notes
    assert WORDS.say("opening", "other_open") in made().sizes_notes  # an open midline exposure beside microdiscectomies
    strange = record().procedure.model_copy(update={"open_approach": "open-by-a-clinic"})
    assert made(record().model_copy(update={"procedure": strange})).ways[1].text == WORDS.say("approach", "open")


@pytest.mark.parametrize("key", sorted(WORDS.table["approach"]))
def test_every_way_is_told_in_words_of_twelve_year_olds(key):
    assert grade(WORDS.table["approach"][key]) <= 6
