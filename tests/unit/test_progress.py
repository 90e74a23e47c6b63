"""Progress after the operation: what is advised, and why."""

import json
from datetime import date, timedelta
from importlib.resources import files

import pytest
from expected_case import record as forecast_record
from progress_case import START, followed, ready, rehab, seen, today

from keyhole.errors import InvalidInput
from keyhole.evidence import sources
from keyhole.recovery.instruments import instrument
from keyhole.recovery.progress import Observation, follow, parse_rules, plain_progress, shipped_rules
from keyhole.recovery.progress.course import band
from keyhole.recovery.progress.measured import norm_of


def rules_of(found):
    return [one.rule for one in found.advice.reasons]


# the advice


def test_all_criteria_met_by_fresh_values_advances_and_says_so():
    found = followed(ready())
    assert found.advice.word == "advance"
    assert rules_of(found) == ["ready"]
    assert {one.state for one in found.criteria} == {"met"}


def test_nothing_observed_never_advances_and_says_what_is_missing():
    for day in (0, 1, 27, 28, 60, 200, 800):
        found = followed([], day)
        assert found.advice.word != "advance"
        assert "criterion-unknown" in rules_of(found)
        assert "warning-signs-unknown" in rules_of(found)


@pytest.mark.parametrize("left_out", ["nrs-leg", "criterion/wound", "red-flags"])
def test_one_thing_missing_holds(left_out):
    found = followed([one for one in ready() if one.instrument != left_out])
    assert found.advice.word == "hold"


def test_what_was_good_long_ago_does_not_advance():
    found = followed(ready(30), 60)
    assert found.advice.word == "hold"
    assert any("days old" in one.why for one in found.criteria)


def test_before_the_next_phase_begins_nobody_advances():
    found = followed(ready(27), 27)
    assert rules_of(found) == ["too-early"]
    assert followed(ready(28), 28).advice.word == "advance"


def test_a_programme_that_nobody_signed_does_not_advance():
    assert rules_of(followed(ready(), rehab=rehab(signed=False))) == ["programme-not-signed"]


@pytest.mark.parametrize("flag", ["red-flag/saddle", "red-flag/fever", "red-flag/of-the-clinic"])
def test_a_warning_sign_always_calls(flag):
    for day in (0, 1, 15, 29, 30):
        found = followed([*ready(), seen(flag, day, 1)])
        assert found.advice.word == "call"
        assert found.advice.reasons[0].rule == "red-flag"


def test_a_warning_sign_dated_in_the_future_calls_too():
    assert followed([*ready(), seen("red-flag/fever", 45, 1)]).advice.word == "call"


def test_a_later_no_does_not_undo_a_warning_sign_but_the_clinic_does():
    rows = [*ready(), seen("red-flag/fever", 20, 1), seen("red-flag/fever", 25, 0)]
    assert followed(rows).advice.word == "call"
    assert followed([*rows, seen("seen/fever", 21, 1)]).advice.word == "advance"
    assert followed([*rows, seen("seen", 20, 1)]).advice.word == "advance"
    assert followed([*rows, seen("seen", 19, 1)]).advice.word == "call"
    assert followed([*rows, seen("seen/saddle", 21, 1)]).advice.word == "call"


def test_how_many_warning_signs_is_enough_to_call():
    assert followed([*ready(), seen("red-flags", 30, 2)]).advice.word == "call"


def test_contradicting_values_of_one_day_hold():
    found = followed([*ready(), seen("criterion/wound", 27, 0)])
    assert found.advice.word == "hold"
    assert "conflict" in rules_of(found)
    assert next(one for one in found.criteria if one.key == "wound").conflict


def test_pain_in_the_morning_and_at_night_is_no_contradiction():
    assert followed([*ready(), seen("nrs-leg", 29, 3)]).advice.word == "advance"


def test_leg_pain_that_comes_back_calls():
    found = followed([*ready(), seen("nrs-leg", 30, 7)])
    assert found.advice.word == "call"
    assert "leg-pain-back" in rules_of(found)


def test_pain_that_falls_is_not_called_growing():
    rows = [seen("nrs-leg", day, value) for day, value in enumerate((6, 6, 6, 1, 1, 1), start=24)]
    assert not {"pain-growing", "leg-pain-back", "leg-pain-back-for-days"} & set(rules_of(followed([*ready(), *rows])))


def test_a_bad_value_does_not_age():
    rows = [seen("nrs-leg", 5, 8), seen("nrs-leg", 6, 9)]
    assert followed(rows, 120).advice.word == "call"


def test_disability_that_grows_again_calls_beyond_the_error_and_holds_before():
    rows = [seen("phase", 85, 3), seen("odi", -10, 48), seen("odi", 42, 20)]
    assert "disability-growing" in rules_of(followed([*rows, seen("odi", 91, 30)], 92))
    assert followed([*rows, seen("odi", 91, 30)], 92).advice.word == "hold"
    assert followed([*rows, seen("odi", 91, 38)], 92).advice.word == "call"


def test_a_year_without_the_gain_that_patients_call_success_holds():
    rows = [seen("odi", -10, 48), seen("odi", 365, 36)]
    assert "little-gain-at-a-year" in rules_of(followed(rows, 365))
    assert "little-gain-at-a-year" not in rules_of(followed([*rows[:1], seen("odi", 365, 35)], 365))
    low = [seen("odi", -10, 8), seen("odi", 365, 4)]
    assert "little-gain-at-a-year" not in rules_of(followed(low, 365))


def test_values_dated_after_today_hold_and_are_not_used():
    found = followed([*ready(), seen("odi", 40, 10)])
    assert rules_of(found) == ["dated-after-today"]
    assert all(one.day < 40 for course in found.courses for one in course.points)


def test_before_the_operation_nobody_advances():
    assert "before-operation" in rules_of(followed([], -3))


def test_a_recorded_phase_counts_and_the_last_has_nothing_to_advance_to():
    assert followed(ready()).phase.number == 1
    assert followed([seen("phase", 30, 2)], 40).phase.number == 2
    found = followed([seen("phase", 30, 2), seen("phase", 90, 3)], 100)
    assert "last-phase" in rules_of(found)
    with pytest.raises(InvalidInput, match="3 phases"):
        followed([seen("phase", 30, 4)], 40)


def test_two_phases_of_one_day_are_the_lower_and_a_conflict():
    found = followed([seen("phase", 30, 2), seen("phase", 30, 1)], 40)
    assert found.phase.number == 1
    assert "conflict" in rules_of(found)


def test_a_phase_that_is_long_over_calls():
    found = followed([seen("phase", 30, 2)], 83 + 28)
    assert "phase-overdue" in rules_of(found)
    assert "phase-overdue" not in rules_of(followed([seen("phase", 30, 2)], 83 + 27))


def test_the_most_urgent_reason_comes_first_and_none_is_dropped():
    found = followed([seen("red-flag/fever", 20, 1)])
    words = [one.advice for one in found.advice.reasons]
    assert words == sorted(words, key=("call", "hold", "advance").index)
    assert {"criterion-unknown", "warning-signs-unknown"} <= set(rules_of(found))


# steps, tests, diary


def steps(day_of, value):
    return [seen("steps", day, value) for day in day_of]


def test_steps_stand_beside_the_own_baseline_and_the_published_course():
    found = followed([*steps(range(-10, -3), 6000), *steps(range(5, 12), 1800)], 11).steps
    assert found.baseline == 6000
    assert found.share == pytest.approx(0.3)
    assert found.published_share == pytest.approx(0.63)
    assert "steps-behind" in rules_of(followed([*steps(range(-10, -3), 6000), *steps(range(5, 12), 1800)], 11))


def test_too_few_days_of_steps_are_no_mean():
    found = followed([*steps(range(-10, -3), 6000), *steps((10, 11), 1800)], 11).steps
    assert found.recent is None
    assert found.share is None
    assert "2 of the last 7 days" in found.why


def test_steps_that_fall_by_half_hold():
    rows = [*steps(range(10, 20), 5000), *steps(range(26, 30), 2000)]
    assert "steps-fallen" in rules_of(followed([*ready(), *rows]))


def test_a_test_stands_beside_its_norm():
    assert norm_of(instrument("5r-sts"), 9)[0].startswith("no impairment")
    assert norm_of(instrument("5r-sts"), 16)[0].startswith("moderate")
    assert norm_of(instrument("6wt"), 400)[1] == ""
    found = followed([seen("tug", -5, 14), seen("tug", 28, 10)]).tests[0]
    assert found.change == 4
    assert found.fresh


def test_a_diary_of_fewer_than_three_days_has_no_mean():
    found = followed([seen("nrs-back", day, 4) for day in (27, 29)]).diaries[0]
    assert (found.days, found.mean, found.worst) == (2, None, 4)
    found = followed([seen("nrs-back", day, 10 - day / 3) for day in range(15, 30)]).diaries[0]
    assert found.trend == "improving"


# the course beside the forecast


def test_the_course_is_inside_better_or_worse_than_the_range_of_single_patients():
    rows = [seen("odi", 0, 48), seen("odi", 30, 60), seen("odi", 91, 30), seen("odi", 365, 60)]
    found = followed(rows, 400, forecast=forecast_record())
    assert [one.standing for one in found.courses[0].points] == ["inside", "worse", "inside", "worse"]
    assert found.courses[0].mark == 38
    assert "worse-than-forecast" in rules_of(found)


def test_two_in_a_row_beyond_the_range_call():
    rows = [seen("odi", 30, 60), seen("odi", 91, 58)]
    found = followed(rows, 92, forecast=forecast_record())
    assert "twice-worse-than-forecast" in rules_of(found)


def test_the_range_is_drawn_only_between_times_that_are_published():
    odi = next(one for one in forecast_record().outcomes if one.key == "odi")
    assert band(odi, 0.3).low is None
    assert band(odi, 0.8).high == pytest.approx(51.8126)
    assert band(odi, 2.0).high == pytest.approx((51.8126 + 39.1932) / 2)
    assert band(odi, 12.0).arm == "planned"
    assert band(odi, 3.0).arm == "open"
    assert band(odi, 40.0).low is None
    assert "nobody published" in band(odi, 40.0).why
    assert band(None, 3.0).why == "there is no forecast"


def test_without_a_forecast_the_course_is_shown_and_the_gap_is_said():
    found = followed(ready())
    assert all(one.standing == "unknown" for course in found.courses for one in course.points)
    assert any("no forecast" in one for one in found.caveats)


def test_millimetres_stand_in_the_range_of_points():
    rows = [seen("vas-leg", 30, 50), seen("vas-leg", 91, 90)]
    found = followed(rows, 92, forecast=forecast_record())
    assert [one.standing for one in found.courses[0].points] == ["inside", "worse"]


# what goes in and out


def test_the_day_of_the_operation_must_be_known_and_agree():
    with pytest.raises(InvalidInput, match="day of the operation"):
        follow(rehab(start=None), None, [], today(10))
    with pytest.raises(InvalidInput, match="2026-01-05"):
        follow(rehab(), None, [], today(10), start=START + timedelta(days=1))
    assert follow(rehab(start=None), None, [], today(10), start=START).day == 10


def test_what_nothing_looks_at_is_said():
    found = followed([seen("eq-vas", 20, 70), seen("criterion/other", 20, 1)])
    assert [one for one in found.caveats if one.startswith("not used")] == [
        "not used: criterion/other, which the programme does not have",
        "not used: eq-vas, which no rule or criterion looks at",
    ]


def test_a_value_that_is_no_number_is_no_observation():
    with pytest.raises(InvalidInput, match="must be a number"):
        Observation("odi", date(2026, 1, 1), float("nan"))


def test_progress_is_plain_json_with_its_inputs():
    plain = plain_progress(followed(ready(), forecast=forecast_record()), {"rehab.json": "0"})
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["advice"]["word"] == "advance"
    assert plain["provenance"]["inputs"] == {"rehab.json": "0"}
    assert "Not a medical device" in plain["research_use"]


def test_every_shipped_threshold_has_a_source():
    rules = shipped_rules()
    assert all(one.source in sources() for one in rules.rules)
    assert len({one.name for one in rules.rules}) == len(rules.rules)


def test_one_lucky_day_of_steps_meets_no_criterion():
    base = [seen("phase", 30, 2), seen("5r-sts", 88, 9), seen("nrs-leg", 88, 1), seen("red-flags", 88, 0)]
    assert followed([*base, seen("steps", 88, 9000)], 89).criteria[1].state == "unknown"
    assert followed([*base, *steps((86, 87, 88), 3600)], 89).criteria[1].state == "met"
    assert followed([*base, *steps((86, 87, 88), 3600)], 89).advice.word == "advance"
    assert followed([*base, *steps((86, 87, 88), 9000), seen("steps", 87, 3000)], 89).criteria[1].state == "not met"


def test_an_answer_from_an_earlier_phase_does_not_open_this_one():
    found = followed([seen("criterion/wound", 10, 1), seen("phase", 12, 1)], 14)
    assert found.criteria[1].state == "unknown"
    assert "since the phase was recorded" in found.criteria[1].why


# limits belong to the better or the worse side as they are written


def test_the_worst_value_of_a_day_counts():
    assert "moderate-pain" in rules_of(followed([*ready(), seen("nrs-back", 30, 4), seen("nrs-back", 30, 6)]))
    assert "moderate-pain" not in rules_of(followed([*ready(), seen("nrs-back", 30, 4)]))


def test_two_values_in_a_row_must_both_be_severe():
    assert "severe-back-pain" not in rules_of(followed([*ready(), seen("nrs-back", 29, 6), seen("nrs-back", 30, 9)]))
    assert "severe-back-pain" in rules_of(followed([*ready(), seen("nrs-back", 29, 7), seen("nrs-back", 30, 9)]))


def test_a_value_as_old_as_the_limit_is_still_fresh():
    rows = [one for one in ready() if one.instrument != "criterion/wound"]
    assert followed([*rows, seen("criterion/wound", 16, 1)]).advice.word == "advance"
    assert followed([*rows, seen("criterion/wound", 15, 1)]).advice.word == "hold"


def test_an_answer_of_the_day_the_phase_began_counts():
    assert followed([seen("criterion/wound", 12, 1), seen("phase", 12, 1)], 14).criteria[1].state == "met"


def test_the_range_between_two_times_is_nearer_to_the_nearer():
    odi = next(one for one in forecast_record().outcomes if one.key == "odi")
    assert band(odi, 1.5).high == pytest.approx(51.8126 + 0.25 * (39.1932 - 51.8126))


def test_a_gain_of_just_what_matters_is_noticed_and_a_trend():
    points = followed([seen("odi", -10, 48), seen("odi", 20, 38)]).courses[0].points
    assert points[-1].matters
    assert not followed([seen("odi", -10, 48), seen("odi", 20, 39)]).courses[0].points[-1].matters
    for last, trend in ((28, "improving"), (29, "steady"), (47, "steady"), (48, "worsening")):
        assert followed([seen("odi", 10, 38), seen("odi", 20, last)]).courses[0].trend == trend


def test_steps_of_the_day_of_the_operation_are_no_baseline():
    assert followed([*steps(range(-5, 0), 6000), seen("steps", 0, 10)], 5).steps.baseline == 6000


def test_a_band_holds_its_limit():
    assert norm_of(instrument("5r-sts"), 10.4)[0].startswith("no impairment")


def test_a_programme_phase_that_has_no_criterion_is_never_ready():
    bare = rehab().model_copy(update={"phases": (rehab().phases[2], *rehab().phases[1:])})
    assert "criterion-unknown" in rules_of(followed(ready(90), 90, rehab=bare))


def test_a_readmission_holds_for_two_weeks_and_a_reoperation_for_good():
    assert "back-in-hospital" in rules_of(followed([*ready(), seen("event/readmission", 16, 1)]))
    assert followed([*ready(), seen("event/readmission", 15, 1)]).advice.word == "advance"
    assert rules_of(followed([*ready(), seen("event/reoperation", 2, 1)])) == ["operated-again"]


def test_a_rule_by_share_holds_for_scales_that_should_fall_too():
    own = files("keyhole.recovery.progress").joinpath("rules.toml").read_text(encoding="utf-8")
    own = own.replace('instruments = ["odi"]\nby = 10', 'instruments = ["odi"]\nshare = 0.5')
    rules = parse_rules(own.encode(), "own.toml")
    for earlier, last, fires in ((20, 30, False), (20, 32, True), (0, 2, True), (20, 10, False)):
        found = followed([seen("odi", 10, earlier), seen("odi", 20, last)], rules=rules)
        assert ("disability-growing" in rules_of(found)) == fires
