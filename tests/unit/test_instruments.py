"""Scores of questionnaires and tests, items left out, changes, the clinic's own files."""

import json
import math

import pytest

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import sources
from keyhole.recovery.instruments import (
    band,
    change,
    check,
    instrument,
    instruments,
    load_items,
    score,
    t_scores,
    value_set,
)

# answers, score (None: no score), items left out
ODI = [
    ([0] * 10, 0.0, ()),
    ([5] * 10, 100.0, ()),
    ([2, 2, 2, 2, 2, 2, 2, None, 1, 1], 100 * 16 / 45, (8,)),
    ([2, 2, 2, 2, 2, 2, 2, 0, 1, 1], 32.0, ()),
    ([5, None, None, None, None, None, None, None, None, None], 100.0, tuple(range(2, 11))),
    ([3, 3, 3, 3, 3, None, None, None, None, None], 60.0, (6, 7, 8, 9, 10)),
    ([1, 2, 3, 4, 5, 0, 1, "-", "", 4], 100 * 20 / 40, (8, 9)),
    ([None] * 10, None, tuple(range(1, 11))),
    ({1: 5, 10: 5}, 100.0, tuple(range(2, 10))),
    (["2", "2", "2", "2", "2", "2", "2", "na", "1", "1"], 100 * 16 / 45, (8,)),
    ([float("nan"), 4, 4, 4, 4, 4, 4, 4, 4, 4], 80.0, (1,)),
]


@pytest.mark.parametrize(("answers", "value", "missing"), ODI)
def test_odi_is_the_sum_over_five_times_the_items_answered(answers, value, missing):
    found = score("odi", answers)
    assert found.value == (None if value is None else pytest.approx(value, abs=1e-12))
    assert found.missing == missing
    assert found.answered == 10 - len(missing)
    assert bool(found.caveats) == bool(missing)


def test_odi_of_16_of_45_is_35_6_per_cent():
    assert f"{score('odi', [2, 2, 2, 2, 2, 2, 2, None, 1, 1]).value:.1f}" == "35.6"


def test_odi_with_fewer_than_eight_answers_says_that_few_carry_it():
    assert "fewer than 8" in score("odi", [1, 1, 1, 1, 1, 1, 1, None, None, None]).caveats[0]
    assert "fewer than 8" not in score("odi", [1, 1, 1, 1, 1, 1, 1, 1, None, None]).caveats[0]


@pytest.mark.parametrize(
    ("value", "word"),
    [(0, "minimal"), (20, "minimal"), (20.5, "moderate"), (40, "moderate"), (41, "severe"), (80, "crippling")],
)
def test_odi_bands_are_per_cent_and_not_the_raw_points_of_the_code_system(value, word):
    assert band("odi", value) == word
    assert "raw points" in instrument("odi").loinc_note


@pytest.mark.parametrize(
    ("key", "answers", "said"),
    [
        ("odi", [2, 2, 2, 2, 2, 2, 2, 2, 2, 6], "1 to 6"),
        ("odi", [1, 2], "10 items, got 2"),
        ("odi", [1.5] + [1] * 9, "item 1: 1.5 is not a whole"),
        ("odi", {11: 1}, "items 1 to 10, got item 11"),
        ("odi", ["x"] + [1] * 9, "'x' is not a number"),
        ("nrs-leg", 11, "not between 0 and 10"),
        ("nrs-leg", "inf", "not a number that"),
        ("macnab", "splendid", "not one of 1 excellent"),
        ("eq5d-5l", "11613", "item 3: 6 is not between"),
        ("eq5d-5l", "112", "5 items, got the one answer"),
        ("zcq-symptom", [1, 1, 1, 1, 1, 1, 2], "item 7: this item is scored 1, 3 or 5"),
        ("eq5d-index", "11111", "needs the value set"),
        ("nrs-knee", 3, "no instrument has the key"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_with_its_item(key, answers, said):
    with pytest.raises(InvalidInput, match=said):
        score(key, answers)


def test_roland_counts_ticks_and_an_empty_form_is_no_good_day():
    assert score("rmdq-24", {1: 1, 5: 1, 9: 1, 11: 1}).value == 4
    assert score("rmdq-24", [1] * 24).value == 24
    assert "hide a change to the worse" in score("rmdq-24", [1] * 24).caveats[0]
    assert score("rmdq-24", [0] * 24).value == 0
    assert score("rmdq-24", [None] * 24).value is None
    assert score("rdq-23", [1] * 12 + [None] * 11).value == 12


def test_a_mean_of_the_claudication_scales_needs_every_item():
    assert score("zcq-symptom", [1, 2, 3, 4, 5, 3, 5]).value == pytest.approx(23 / 7)
    assert score("zcq-function", [1, 2, 3, 4, None]).value is None
    assert score("zcq-satisfaction", [2] * 6).value == 2


def test_unable_is_a_result_and_never_a_number():
    found = score("5r-sts", "unable")
    assert found.unable
    assert found.value is None
    assert found.band == ""
    assert score("5r-sts", None).unable is False
    with pytest.raises(InvalidInput):
        score("nrs-leg", "unable")


@pytest.mark.parametrize(
    ("seconds", "word"), [(10.4, "no"), (10.45, "mild"), (15.2, "mild"), (22.0, "moderate"), (22.1, "severe")]
)
def test_five_rises_have_the_published_bands(seconds, word):
    assert score("5r-sts", seconds).band.startswith(word)


def test_a_profile_is_its_digits_and_has_no_difference():
    found = score("eq5d-5l", [1, 1, 2, 1, 3])
    assert (found.profile, found.value) == ("11213", 11213)
    assert score("eq5d-5l", "112-3").value is None
    assert score("eq5d-5l", "112-3").profile == "112?3"
    with pytest.raises(InvalidInput, match="label"):
        change("eq5d-5l", 11111, 11213)


def _additive(folder, **more):
    lines = [f"d{n} = [0, 0.05, 0.1, 0.2, 0.3]" for n in range(1, 6)] + [f"{k} = {v}" for k, v in more.items()]
    path = folder / "set.toml"
    path.write_text('name = "invented"\n' + "\n".join(lines))
    return path


def test_an_index_comes_from_the_clinics_value_set_alone(tmp_path):
    values = value_set(_additive(tmp_path, constant=0.02))
    found = score("eq5d-index", "11213", values=values)
    assert found.value == pytest.approx(1 - 0.02 - 0.05 - 0.1)
    assert "invented" in found.caveats[0]
    assert score("eq5d-index", "11111", values=values).value == 1
    assert score("eq5d-index", "1121-", values=values).value is None
    listed = tmp_path / "set.csv"
    listed.write_text("profile;value\n" + "".join(f"{p};{v}\n" for p, v in values.values.items()))
    assert value_set(listed).values == values.values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profile,value\n11111,1\n", "3124 of 3,125"),
        ("profile,value\n11111,1\n11111,1\n", "stands twice"),
        ("profile,value\n11112,much\n", "not a number"),
        ("state,value\n11111,1\n", "needs the columns profile and value"),
    ],
)
def test_a_value_set_with_gaps_is_refused(tmp_path, text, said):
    path = tmp_path / "set.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=said):
        value_set(path)


def test_a_value_set_that_rewards_a_problem_says_so_and_one_above_full_health_is_refused(tmp_path):
    path = _additive(tmp_path)
    odd = path.read_text().replace("d3 = [0, 0.05, 0.1, 0.2, 0.3]", "d3 = [0, 0.05, 0.1, 0.2, 0.15]")
    path.write_text(odd)
    assert "is worth more than" in value_set(path).caveats[0]
    path.write_text(odd.replace("d3 = [0, 0.05", "d3 = [0, -0.05"))
    with pytest.raises(InvalidInput, match="none is above"):
        value_set(path)


def test_t_scores_come_from_the_clinics_table_and_need_every_item(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("raw,t\n" + "".join(f"{n},{20 + 1.5 * n}\n" for n in range(4, 21)))
    table = t_scores(path)
    assert score("promis-pf", [3, 3, 4, 5], table=table).value == pytest.approx(42.5)
    assert score("promis-pf", [3, None, 4, 5], table=table).value is None
    assert score("promis-pf", 42.5).value == 42.5
    with pytest.raises(InvalidInput, match="sum 2 is not in"):
        score("promis-pf", [1, 1], table=table)
    path.write_text("raw,t\n4,20\n6,23\n")
    with pytest.raises(InvalidInput, match="no row for the sum 5"):
        t_scores(path)


def test_a_change_reaches_some_thresholds_and_not_others():
    moved = change("odi", 50, 36)
    reached = {(t.kind, t.per, t.value): yes for t, yes in moved.reached}
    assert moved.points == -14
    assert moved.improved
    assert reached[("mcid", "points", 10)]
    assert not reached[("mcid", "points", 18)]
    assert not reached[("mcid", "percent", 30)]
    assert reached[("success", "percent", 18)]
    assert not reached[("error", "points", 18)]
    assert not reached[("pass", "value", 22)]
    assert moved.verdict.startswith("better; reaches 1 of 4")
    assert "differ by (18)" in moved.verdict


def test_a_change_that_only_just_reaches_a_threshold_reaches_it():
    assert all(yes for t, yes in change("nrs-leg", 7.3, 4.1).reached if t.value == 3.2)
    assert all(yes for t, yes in change("odi", 30, 21).reached if (t.per, t.value) == ("percent", 30))


@pytest.mark.parametrize("key", [k for k, i in instruments().items() if not i.of_kind("mcid") and i.is_quantity])
def test_where_no_smallest_change_was_read_it_is_not_known(key):
    this = instrument(key)
    ends = (this.high, this.low) if this.better == "lower" else (this.low, this.high)
    assert "not known" in change(key, *ends).verdict
    assert change(key, *ends).caveats


def test_worse_is_said_and_nothing_called_important_without_a_threshold():
    assert change("odi", 20, 30).verdict.startswith("worse; within")
    assert change("odi", 20, 40).verdict.startswith("worse; more than")
    assert "not known" in change("vas-leg", 10, 60).verdict
    assert not any(yes for t, yes in change("odi", 20, 40).reached if t.kind in {"mcid", "success", "failure"})
    assert change("odi", 20, 20).verdict == "unchanged"
    assert change("odi", 0, 20).percent is None


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("odi", 35.6, True),
        ("odi", 100.1, False),
        ("odi", math.nan, False),
        ("rmdq-24", 3.5, False),
        ("eq5d-5l", 11213, True),
        ("eq5d-5l", 11613, False),
        ("eq5d-index", -0.2, True),
        ("macnab", 5, False),
        ("steps", 3500, True),
        ("odi", True, False),
    ],
)
def test_a_value_is_checked_before_it_is_kept(key, value, fits):
    assert (check(key, value) == "") is fits


def test_every_instrument_is_sound_and_every_threshold_has_a_source_and_its_people():
    assert len(instruments()) == 21
    for this in instruments().values():
        assert this.low < this.high
        assert this.source in sources()
        assert this.ships_items == bool(this.question)
        for t in this.thresholds:
            assert t.source in sources()
            assert t.at
            assert t.kind != "band" or t.words
            assert t.per == "percent" or t.kind not in {"pass", "norm", "target"} or this.low <= t.value <= this.high
        bands = [t.value for t in this.of_kind("band")]
        assert bands == sorted(bands)
        assert not bands or bands[-1] == this.high


OWN = [(n, f"Invented question {n}") for n in range(1, 6)]


def _forms(folder):
    toml = folder / "own.toml"
    rows = "".join(
        f'[[items]]\nnumber = {n}\ntext = "{t}"\n'
        'options = [{ value = 1, text = "low" }, { value = 4, text = "high" }]\n'
        for n, t in OWN
    )
    toml.write_text('instrument = "zcq-function"\nlicence = "ours"\n' + rows)
    csv = folder / "own.csv"
    csv.write_text("item,text,value,option\n" + "".join(f"{n},{t},1,low\n{n},{t},4,high\n" for n, t in OWN))
    ordinal = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
    answers = [
        {"valueCoding": {"code": f"a{v}", "display": w, "extension": [{"url": ordinal, "valueDecimal": v}]}}
        for v, w in ((1, "low"), (4, "high"))
    ]
    asked = [{"linkId": f"q-{n}", "type": "choice", "text": t, "answerOption": answers} for n, t in OWN]
    result = {"linkId": "q-score", "type": "decimal", "text": "score"}
    fhir = folder / "own.json"
    fhir.write_text(
        json.dumps(
            {"resourceType": "Questionnaire", "copyright": "ours", "item": [{"linkId": "g", "item": [*asked, result]}]}
        )
    )
    return toml, csv, fhir


def test_the_clinics_own_text_reads_alike_from_three_formats(tmp_path):
    toml, csv, fhir = (load_items(path, "zcq-function") for path in _forms(tmp_path))
    assert [i.text for i in toml.items] == [text for _, text in OWN]
    assert toml.items == csv.items == fhir.items
    assert toml.licence == fhir.licence == "ours"
    assert load_items(_forms(tmp_path)[0]).instrument == "zcq-function"


def test_text_that_does_not_fit_the_instrument_is_refused(tmp_path):
    toml, csv, _ = _forms(tmp_path)
    with pytest.raises(InvalidInput, match="items 1 to 10, found 1, 2, 3, 4, 5"):
        load_items(csv, "odi")
    with pytest.raises(InvalidInput, match="is for zcq-function"):
        load_items(toml, "odi")
    with pytest.raises(InvalidInput, match="does not say which"):
        load_items(csv)
    csv.write_text(csv.read_text().replace("5,Invented question 5,4,high", "5,Invented question 5,6,high"))
    with pytest.raises(InvalidInput, match="item 5: the answer 6 is not between 1 and 4"):
        load_items(csv, "zcq-function")
    (tmp_path / "own.json").write_text("{")
    with pytest.raises(UnreadableFile):
        load_items(tmp_path / "own.json", "odi")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"resourceType": "Questionnaire", "item": true}'),
        ("a.json", '{"resourceType": "Questionnaire", "item": [{"type": "choice", "answerOption": 3}]}'),
        ("a.json", '{"resourceType": "Questionnaire", "item": [{"type": {}, "item": "x"}]}'),
        ("a.toml", "items = 3"),
        ("a.toml", "items = [{ number = 1, options = 2 }]"),
        ("a.csv", "item,text\n1,a,b,c\n"),
        ("a.csv", 'item,text\r1,"a'),
        ("a.txt", "item"),
    ],
)
def test_a_file_of_any_shape_is_refused_in_a_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput):
        load_items(tmp_path / name, "odi")
    for read in (value_set, t_scores):
        with pytest.raises(InvalidInput):
            read(tmp_path / name)
