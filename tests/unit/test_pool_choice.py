"""Which rows become studies, what is left out and why, and the words that a pool allows."""

import math

import pytest
from evidence_rows import counted, rows_of

from keyhole.errors import InvalidInput
from keyhole.evidence import Outcome, outcomes, shipped
from keyhole.forecast import (
    Study,
    answers,
    by_question,
    choose,
    judged,
    pool,
    pool_any,
    regress_on,
    small_studies,
    verdict,
)
from keyhole.forecast.counts import mantel_haenszel, peto
from keyhole.forecast.effects import (
    from_quartiles,
    log_odds_ratio,
    mean_difference,
    mean_difference_of_one_sd,
    standardised_mean_difference,
)
from keyhole.forecast.select import CONVERTED, PUBLISHED, TIMES, UNEVEN

RATIO = {"unit": "OR", "effect": "2", "ci_low": "1", "ci_high": "4", "outcome": "infection"}


def chosen(*rows, measure="md", extra=(), **options):
    return choose(rows_of(*rows, extra=extra), measure, **options)


def reasons(found):
    return [row.reason for row in found.left_out]


def test_arms_come_before_the_published_effect():
    found = chosen(
        {"effect": "-1", "ci_low": "-2", "ci_high": "0"},
        {"mean_miss": "", "sd_miss": "", "effect": "-100", "ci_low": "-120", "ci_high": "-80", "n_miss": "9"},
    )
    assert [study.effect for study in found.studies] == [-190, -100]
    assert found.studies[1].flags == (PUBLISHED,)
    assert math.sqrt(found.studies[1].variance) == pytest.approx(20 / 1.959964, rel=1e-6)


def test_rows_that_must_not_enter_are_left_out_with_the_reason():
    found = chosen(
        {},
        {"status": "unverified"},
        {"design": "meta-analysis"},
        {"design": "Systematic review"},
        {"sd_miss": ""},
        {"mean_open": "", "sd_open": ""},
    )
    assert len(found.studies) == 1
    assert reasons(found) == [
        "unverified rows never enter a pool",
        "is itself a pool of studies, some of which may be here too",
        "is itself a pool of studies, some of which may be here too",
        "gives means without SD",
        "gives neither means with SD in both arms nor an effect with its interval",
    ]


def test_single_arms_and_baselines_never_enter():
    assert reasons(chosen({"comparator": "none"})) == ["has no second arm"]
    assert reasons(chosen({"timepoint": "baseline"})) == ["baseline is before the operation"]


def test_of_the_same_patients_the_latest_enters_once():
    odi = {"outcome": "ODI", "unit": "0-100", "cohort": "registry"}
    found = chosen(odi | {"timepoint": "12 mo"}, odi | {"timepoint": "60 mo", "mean_miss": "20"}, extra=("cohort",))
    assert len(found.studies) == 1
    assert found.studies[0].effect == 20 - 310
    assert reasons(found) == ["same patients as t.csv, row 3, which is later"]


def test_the_same_patients_twice_at_one_time_are_refused():
    rows = rows_of(
        {"cohort": "one"}, {"cohort": "one", "procedure": "MIS fusion", "comparator": "open fusion"}, extra=("cohort",)
    )
    with pytest.raises(InvalidInput, match=r"row 2 and t.csv, row 3 are the same patients \(one\)"):
        choose(rows, "md")


def test_units_are_brought_together_before_pooling():
    stay = {
        "outcome": "length of stay",
        "unit": "days",
        "mean_miss": "2",
        "sd_miss": "1",
        "mean_open": "4",
        "sd_open": "1",
    }
    hours = stay | {"unit": "hours", "mean_miss": "48", "sd_miss": "24", "mean_open": "96", "sd_open": "24"}
    found = chosen(stay, hours, stay | {"unit": "nights"})
    assert [study.effect for study in found.studies] == pytest.approx([-2, -2])
    assert found.studies[0].variance == pytest.approx(found.studies[1].variance)
    assert reasons(found) == ["unit 'nights' cannot be brought to days"]


def test_an_improvement_turns_its_sign_and_a_turned_effect_too():
    odi = {
        "unit": "ODI points",
        "timepoint": "12 mo",
        "mean_miss": "",
        "sd_miss": "",
        "effect": "3",
        "ci_low": "1",
        "ci_high": "5",
    }
    improvement, turned = odi | {"outcome": "ODI improvement"}, odi | {"outcome": "ODI", "turned": "yes"}
    assert [s.effect for s in chosen(improvement, turned, extra=("turned",)).studies] == [-3, -3]
    opened = RATIO | {"unit": "OR (open vs MISS)", "turned": "yes"}
    assert chosen(opened, measure="or", extra=("turned",)).studies[0].effect == pytest.approx(-math.log(2))
    assert reasons(chosen(RATIO | {"unit": "OR (open vs MISS)"}, measure="or"))[0].endswith("fill the column turned")


def test_an_effect_of_another_kind_is_left_out():
    assert reasons(chosen(RATIO, measure="rr")) == ["its effect is not a risk ratio (unit 'OR')"]
    assert reasons(chosen(RATIO | {"unit": "OR/RR"}, measure="or")) == [
        "its effect is not an odds ratio (unit 'OR/RR')"
    ]
    assert reasons(chosen({"outcome": "infection", "unit": "%", "pct_miss": "3"}, measure="or")) == [
        "gives percentages without counts"
    ]


def test_a_lopsided_interval_is_flagged():
    assert (
        UNEVEN
        in chosen({"mean_miss": "", "sd_miss": "", "effect": "-9", "ci_low": "-10", "ci_high": "0"}).studies[0].flags
    )
    assert chosen(RATIO, measure="or").studies[0].flags == (PUBLISHED,)


def test_medians_are_converted_with_a_flag_and_never_without_spread():
    extra = ("median_miss", "q1_miss", "q3_miss", "median_open", "q1_open", "q3_open")
    none = dict.fromkeys(("mean_miss", "sd_miss", "mean_open", "sd_open"), "")
    median = none | dict(zip(extra, ("3", "2", "4", "6", "5", "7"), strict=True))
    found = chosen(median, median | {"q1_miss": "3", "q3_miss": "3"}, extra=extra)
    assert [study.effect for study in found.studies] == [-3]
    assert found.studies[0].flags == (CONVERTED,)
    assert reasons(found) == ["both quartiles are 3: no SD can be estimated"]


def test_studies_without_events_say_nothing_of_a_ratio_and_something_of_a_difference():
    rows = (counted(0, 40, 0, 38), counted(0, 40, 3, 38))
    assert reasons(chosen(*rows, measure="or")) == [
        "no events in either arm say nothing of a ratio (0 of 40 and 0 of 38)"
    ]
    assert len(chosen(*rows, measure="rd").studies) == 2
    full = chosen(counted(40, 40, 38, 38), measure="or")
    assert not full.studies
    assert chosen(counted(0, 40, 3, 38), measure="or").studies[0].flags[0].startswith("empty cells: 0.5")


def test_different_follow_up_is_flagged():
    found = chosen(counted(1, 40, 3, 38), counted(2, 40, 3, 38, timepoint="24 mo"), measure="or")
    assert all(TIMES in study.flags for study in found.studies)


def test_studies_that_could_be_the_same_patients_are_flagged():
    alike, other = chosen({}, {}), chosen({}, {"n_miss": "41"})
    assert "have 40 and 42 patients each" in alike.studies[0].flags[0]
    assert other.studies[0].flags == ()


def test_two_studies_of_one_name_are_told_apart():
    found = chosen({"label": "Li", "cohort": "a"}, {"label": "Li", "cohort": "b"}, extra=("label", "cohort"))
    assert [study.name for study in found.studies] == ["Li (row 2)", "Li (row 3)"]


@pytest.mark.parametrize(
    ("rows", "model", "words"),
    [
        ([(0, 9, 0, 9), (0, 8, 0, 8)], "mh", "no value"),
        ([(0, 9, 2, 9), (0, 8, 1, 8)], "mh", "no value"),
        ([(0, 9, 0, 9)], "peto", "no study has both"),
        ([None], "mh", "needs events and n"),
        ([None], "peto", "needs events and n"),
    ],
)
def test_counts_that_carry_no_answer_are_refused(rows, model, words):
    studies = [Study(f"s{n}", 0.1, 0.2, counts=row) for n, row in enumerate(rows)]
    with pytest.raises(InvalidInput, match=words):
        pool_any(studies, "or", model)


@pytest.mark.parametrize(("measure", "model"), [("md", "mh"), ("rr", "peto"), ("or", "magic")])
def test_models_that_do_not_fit_the_measure_are_refused(measure, model):
    with pytest.raises(InvalidInput):
        pool_any([Study("s", 0.1, 0.2, counts=(1, 9, 2, 9))], measure, model)


@pytest.mark.parametrize("study", [Study("s", math.nan, 1.0), Study("s", 1.0, 0.0), Study("s", 1.0, math.inf)])
def test_impossible_studies_and_no_studies_are_refused(study):
    with pytest.raises(InvalidInput, match="cannot be pooled"):
        pool([study], "md")
    with pytest.raises(InvalidInput, match="nothing to pool"):
        pool([], "md")


def test_peto_and_mantel_haenszel_by_hand():
    # one table of 10/50 against 5/50: O - E = 2.5, V = 15 * 85 * 50 * 50 / (100^2 * 99)
    counts = (10, 50, 5, 50)
    effect, variance = log_odds_ratio([10], [50], [5], [50])
    study = Study("s", float(effect[0]), float(variance[0]), counts=counts)
    assert peto([study], "or").estimate == pytest.approx(2.5 / (15 * 85 * 2500 / (10000 * 99)))
    assert peto([study], "or").se == pytest.approx((15 * 85 * 2500 / (10000 * 99)) ** -0.5)
    assert mantel_haenszel([study], "rd").estimate == pytest.approx(0.1)
    assert mantel_haenszel([study], "rd").se == pytest.approx(math.sqrt(0.2 * 0.8 / 50 + 0.1 * 0.9 / 50))
    assert mantel_haenszel([study], "rr").se == pytest.approx(math.sqrt(1 / 10 - 1 / 50 + 1 / 5 - 1 / 50))


def test_quartiles_give_the_sd_that_r_prints():
    assert from_quartiles(100, 0.02, 0.03, 0.04) == pytest.approx((0.03, 0.0150441), abs=5e-8)


def test_hedges_g_by_hand():
    g, variance = standardised_mean_difference([10], [1.0], [1.0], [10], [0.0], [1.0])
    assert g[0] == pytest.approx(1 - 3 / (4 * 18 - 1), abs=2e-4)  # the usual approximation of the exact factor
    assert variance[0] == pytest.approx(0.2 + g[0] ** 2 / 40)


def test_mean_differences_by_hand_with_two_sds_and_with_one():
    arms = ([10], [5.0], [2.0], [20], [3.0], [4.0])
    assert [v[0] for v in mean_difference(*arms)] == pytest.approx([2.0, 4 / 10 + 16 / 20])
    pooled = (9 * 4 + 19 * 16) / 28
    assert [v[0] for v in mean_difference_of_one_sd(*arms)] == pytest.approx([2.0, pooled * (1 / 10 + 1 / 20)])


def test_a_regression_needs_its_covariate_of_every_study_and_more_studies_than_coefficients():
    with pytest.raises(InvalidInput, match="s1: covariate x_age is empty"):
        regress_on(pool([Study("s0", 1, 1, covariates=(("age", 3.0),)), Study("s1", 2, 1)], "md"), ("age",))
    two = [Study(f"s{n}", n, 1, covariates=(("age", float(n)),)) for n in range(2)]
    with pytest.raises(InvalidInput, match="2 studies cannot carry 2 coefficients"):
        regress_on(pool(two, "md"), ("age",))


def test_small_studies_say_what_they_cannot_tell():
    few = small_studies(pool([Study(f"s{n}", n, 1 + n) for n in range(4)], "md"))
    assert "with 4 studies" in few.words
    assert "neither show nor exclude" in few.words
    many = pool([Study(f"s{n}", 0.1 * n, 0.01 * (1 + n) ** 2) for n in range(12)], "or")
    assert "linked by arithmetic" in small_studies(many).words
    assert small_studies(pool([Study(f"s{n}", n, 1) for n in range(4)], "md")) is None


LESS, MORE = Outcome("a", "A", "mL", "lower"), Outcome("b", "B", "mL", "higher")


@pytest.mark.parametrize(
    ("intervals", "k", "outcome", "word"),
    [
        ([(-5, -1)], 3, LESS, "better"),
        ([(1, 5)], 3, LESS, "worse"),
        ([(1, 5)], 3, MORE, "better"),
        ([(-5, -1), (-7, 1)], 3, LESS, "no clear difference"),
        ([(-5, 0)], 9, LESS, "no clear difference"),
        ([(-5, -1)], 2, LESS, "unknown"),
        ([(-5, -1)], None, LESS, "unknown"),
        ([(-5, -1)], 9, Outcome("c", "C", "mL"), "unknown"),
        ([], 9, LESS, "unknown"),
        ([(-5, -1)], 9, Outcome("d", "D", "points", "lower", matters=4.0), "no clear difference"),
        ([(-9, -1)], 9, Outcome("d", "D", "points", "lower", matters=4.0), "better"),
    ],
)
def test_words(intervals, k, outcome, word):
    assert judged(intervals, k, outcome).word == word


def test_two_studies_never_make_a_difference_however_sure_they_look():
    two = [Study("a", -9.0, 1e-4), Study("b", -9.0, 1e-4)]
    found = verdict(pool(two, "md"), LESS)
    assert found.word == "unknown"
    assert found.points_to == "better"
    third = [*two, Study("c", -9.001, 1e-4)]
    assert verdict(pool(third, "md"), LESS).word == "better"
    assert verdict(None, LESS).word == "unknown"


@pytest.fixture(scope="module")
def said():
    return {answer.question.key: answer for answer in answers(shipped())}


def test_recurrence_and_radiation_are_worse_and_long_term_disability_no_clear_difference(said):
    assert said["discectomy", "recurrence", "any"].verdict.word == "worse"
    assert said["fusion", "radiation", "any"].verdict.word == "worse"
    assert said["fusion", "radiation-shots", "any"].verdict.word == "worse"
    assert said["discectomy", "radiation", "any"].verdict.points_to == "worse"
    for family in ("discectomy", "decompression", "fusion"):
        assert said[family, "odi", "late"].verdict.word == "no clear difference"


def test_blood_loss_is_better_and_operating_time_is_not(said):
    for family in ("discectomy", "decompression", "fusion"):
        assert said[family, "blood-loss", "any"].verdict.word == "better"
        assert said[family, "operating-time", "any"].verdict.word != "better"


def test_pools_of_the_shipped_table_are_the_independent_ones(said):
    blood = said["discectomy", "blood-loss", "any"].pool
    assert blood.k == 3
    assert [blood.estimate, *blood.interval, *blood.hk, blood.i2] == pytest.approx(
        [-50.8, -90.4, -11.3, -138.9, 37.2, 98.7], abs=0.06
    )
    stay = said["fusion", "stay", "any"].pool
    assert [stay.estimate, *stay.interval, *stay.hk, stay.i2] == pytest.approx(
        [-0.92, -2.0, 0.16, -7.9, 6.06, 85.4], abs=0.06
    )
    time = said["discectomy", "operating-time", "any"].pool
    assert [time.estimate, *time.interval, *time.hk] == pytest.approx([7.7, -10.5, 26.0, -32.4, 47.8], abs=0.06)


def test_no_pool_of_fewer_than_three_studies_is_called_a_difference(said):
    for answer in said.values():
        if answer.pool is not None and answer.pool.k < 3:
            assert verdict(answer.pool, answer.question.outcome).word in {"unknown", "no clear difference"}


def test_unverified_rows_enter_nothing(said):
    names = {study.name for answer in said.values() if answer.pool for study in answer.pool.studies}
    assert not names & {"McGirt 2011", "Parker 2011"}
    assert all(s.row.status != "unverified" for answer in said.values() for s in answer.syntheses)


def synthesis(effect, low, high, studies="5", **changes):
    none = dict.fromkeys(("mean_miss", "sd_miss", "mean_open", "sd_open", "n_miss", "n_open"), "")
    numbers = {"effect": effect, "ci_low": low, "ci_high": high, "studies": studies}
    return {**none, "design": "meta-analysis", **numbers, **changes}


def answered(*rows):
    (found,) = answers(rows_of(*rows, extra=("studies", "finding")))
    return found.verdict


def test_syntheses_that_disagree_make_no_difference():
    less, more, none = synthesis("-9", "-12", "-6"), synthesis("9", "6", "12"), synthesis("0", "-3", "3")
    assert answered(less).word == "better"
    assert answered(less, none).word == "no clear difference"
    assert answered(less, less, none).word == "better"
    assert answered(less, less, more).word == "no clear difference"
    assert answered(synthesis("-9", "-12", "-6", studies="2")).word == "unknown"


def test_words_without_an_interval_make_no_difference_alone():
    told = synthesis("", "", "", finding="lower")
    assert answered(told).points_to == "better"
    assert answered(told, synthesis("-9", "-12", "-6")).word == "better"
    assert answered(synthesis("", "", "", finding="no difference")).word == "no clear difference"
    worse = {"mean_miss": "900", "sd_miss": "10"}
    assert answered(worse, synthesis("", "", "", finding="no difference")).points_to == "worse"


def test_questions_gather_rows_of_one_comparison_outcome_and_time():
    rows = rows_of(
        {}, {"procedure": "MIS fusion", "comparator": "open fusion"}, {"outcome": "length of stay", "unit": "days"}
    )
    groups = by_question(rows)
    assert [len(group) for group in groups.values()] == [2, 1]
    assert set(groups) == {("fusion", "blood-loss", "any"), ("fusion", "stay", "any")}
    assert outcomes()["stay"].unit == "days"
