"""Two arms compared: what is refused, who is set aside, what is said, and that the known effect is found."""

import json

import numpy as np
import pytest
from two_arms import EFFECT, world

from keyhole.comparison.columns import choose
from keyhole.comparison.compare import estimate
from keyhole.comparison.model import METHODS, NO_LOT, Settings
from keyhole.comparison.overlap import crump, effective, trimming
from keyhole.comparison.record import plain
from keyhole.comparison.table import Table, taken, with_columns
from keyhole.errors import InvalidInput

BASELINE = ("operation", "age", "smoker", "odi_0")


@pytest.fixture(scope="module")
def table():
    return world(1200, seed=4)


@pytest.fixture(scope="module")
def found(table):
    return estimate(table, "odi_12m", "miss", settings=Settings(cluster=None))


def test_the_naive_difference_is_off_and_the_adjusted_ones_find_the_effect(found):
    naive, aipw = found.estimates["naive"], found.estimates["aipw"]
    assert naive.interval[1] < EFFECT - 1
    for name in ("regression", "ipw", "aipw"):
        assert abs(found.estimates[name].value - EFFECT) < 3 * found.estimates[name].se
    assert aipw.interval[0] < EFFECT < aipw.interval[1]
    assert aipw.value == pytest.approx(aipw.means[1] - aipw.means[0])


def test_covariates_are_what_is_known_before_and_every_other_column_has_its_reason(table, found):
    assert found.covariates == BASELINE
    assert {left.name: left.reason for left in found.left_out} == {
        "episode": "identifies, does not describe",
        "surgeon": "identifies, does not describe",
        "miss": "the treatment",
        "odi_3m": "measured after the operation",
        "odi_12m": "the outcome",
        "reoperated": "happens after the operation",
        "stay_days": "measured after the operation",
    }
    assert set(found.covariates) | {left.name for left in found.left_out} == set(table.columns)


def test_dates_constants_empty_columns_and_names_are_left_out():
    n = 60
    extra = {
        "born": np.array(["1960-01-02"] * n, dtype=object),
        "hospital": np.array(["one"] * n, dtype=object),
        "height": np.full(n, np.nan),
        "street": np.array([f"street {k % 40}" for k in range(n)], dtype=object),
        "weight": np.arange(n).astype(float),
    }
    chosen = choose(with_columns(world(n), extra), "odi_12m", "miss", None)
    assert chosen.covariates == (*BASELINE, "weight")
    reasons = {left.name: left.reason for left in chosen.left_out}
    assert reasons["born"] == "it is a date"
    assert reasons["hospital"] == "it is the same in every row"
    assert reasons["height"] == "it is empty"
    assert "40 different words" in reasons["street"]


@pytest.mark.parametrize(
    ("change", "outcome", "treatment", "covariates", "told"),
    [
        ({}, "odi_11m", "miss", None, "no column 'odi_11m'"),
        ({}, "odi_12m", "mis", None, "no column 'mis'"),
        ({}, "odi_12m", "miss", ["weight"], "no column 'weight'"),
        ({}, "odi_12m", "age", None, "must be 0 or 1, found"),
        ({}, "miss", "miss", None, "two columns"),
        ({}, "odi_12m", "operation", None, "must hold numbers, row 1"),
        ({}, "operation", "miss", None, "must hold numbers, row 1"),
        ({"miss": np.ones(60)}, "odi_12m", "miss", None, "no row has miss = 0"),
        ({"odi_12m": np.full(60, 20.0)}, "odi_12m", "miss", None, "is 20 in every row"),
        ({"odi_12m": np.full(60, np.nan)}, "odi_12m", "miss", None, "no row with miss = 0 has the outcome"),
        ({}, "odi_12m", "miss", ["miss"], "is the treatment"),
        ({}, "odi_12m", "miss", ["odi_12m"], "is the outcome"),
        ({"miss": (np.arange(60) < 4).astype(float)}, "odi_12m", "miss", ["age"], "too few rows: arm 1 has 4"),
        (
            {"odi_12m": np.where(np.arange(60) < 15, np.arange(60.0), np.nan)},
            "odi_12m",
            "miss",
            [],
            "rows with odi_12m: too",
        ),
        ({"age": np.array(["54"] * 59 + ["old"], dtype=object)}, "odi_12m", "miss", None, None),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(change, outcome, treatment, covariates, told):
    table = with_columns(world(60), change)
    if told is None:  # two words only: a category
        assert "age" in estimate(table, outcome, treatment, ["age"]).covariates
        return
    with pytest.raises(InvalidInput, match=told) as caught:
        estimate(table, outcome, treatment, covariates)
    assert "\n" not in str(caught.value)


def test_a_word_among_numbers_is_refused_with_its_row(table):
    ages = np.array([f"{age:.0f}" for age in table["age"]], dtype=object)
    ages[7] = "fifty"
    with pytest.raises(InvalidInput, match="'age' must hold numbers, row 8 holds 'fifty'"):
        estimate(with_columns(table, {"age": ages}), "odi_12m", "miss")


@pytest.mark.parametrize(
    "wrong",
    [{"trim": 0.6}, {"trim": "some"}, {"imputations": 0}, {"level": 1.0}, {"link": "cauchit"}, {"cluster": "nobody"}],
)
def test_settings_that_mean_nothing_are_refused(table, wrong):
    with pytest.raises(InvalidInput):
        estimate(table, "odi_12m", "miss", ["age"], settings=Settings(**wrong))


def test_a_covariate_measured_after_the_operation_is_taken_only_when_asked_and_warned_of(table):
    found = estimate(table, "odi_12m", "miss", ["age", "odi_3m"])
    assert any("odi_3m is measured after the operation" in caveat for caveat in found.caveats)


def test_another_name_of_the_treatment_is_no_covariate(table):
    approach = np.array(np.where(table["miss"] > 0, "tube", "open"), dtype=object)
    with_it = with_columns(table, {"approach": approach})
    found = estimate(with_it, "odi_12m", "miss")
    assert "approach" not in found.covariates
    assert any(left.name == "approach" and "another name" in left.reason for left in found.left_out)
    with pytest.raises(InvalidInput, match="'approach' tells miss without doubt"):
        estimate(with_it, "odi_12m", "miss", ["approach"])


def test_a_category_of_one_arm_alone_is_set_aside_and_named(table):
    operation = table["operation"].copy()
    operation[np.flatnonzero(table["miss"] == 0)[:30]] = "corpectomy"
    found = estimate(with_columns(table, {"operation": operation}), "odi_12m", "miss")
    assert found.trimmed.no_counterpart == (("operation=corpectomy", 30),)
    assert found.trimmed.n_before == 1200
    assert found.n_used <= 1170
    assert any("operation=corpectomy (30)" in caveat for caveat in found.caveats)


def test_collinear_and_constant_terms_are_dropped_and_told(table, found):
    same = estimate(with_columns(table, {"months": table["age"] * 12 - 3}), "odi_12m", "miss")
    assert [left.name for left in same.dropped] == ["months"]
    assert any("months is dropped" in caveat for caveat in same.caveats)
    assert same.estimates["aipw"].value == pytest.approx(found.estimates["aipw"].value, abs=1e-9)


def test_poor_overlap_is_warned_of_first_and_good_overlap_is_not(found):
    assert not found.overlap.is_poor
    poor = estimate(world(1200, seed=2, strength=3.5), "odi_12m", "miss")
    assert poor.overlap.is_poor
    assert poor.caveats[0].startswith("OVERLAP IS POOR: ")
    assert poor.trimmed.n_after < 1000


def test_separation_is_told_and_numbers_stay_finite(table):
    shifted = table["age"] + 200.0 * (table["miss"] > 0)
    with pytest.raises(InvalidInput, match="after trimming: too few rows"):
        estimate(with_columns(table, {"age": shifted}), "odi_12m", "miss")
    found = estimate(with_columns(table, {"age": shifted}), "odi_12m", "miss", settings=Settings(trim=None))
    assert any("separation" in caveat for caveat in found.caveats)
    assert found.overlap.is_poor
    assert all(np.isfinite(effect.se) for effect in found.estimates.values())


def test_trimming_is_told_with_who_is_left(table):
    found = estimate(table, "odi_12m", "miss", settings=Settings(trim=0.2))
    told = found.trimmed
    assert (told.low, told.high) == (0.2, 0.8)
    assert told.below + told.above == told.n_before - told.n_after > 0
    assert str(told.n_after) in told.population
    assert found.further["naive after trimming"].n == told.n_after
    assert found.further["aipw untrimmed"].n == 1200
    none = estimate(table, "odi_12m", "miss", settings=Settings(trim=None))
    assert none.n_used == 1200
    assert none.estimates["aipw"].value == pytest.approx(found.further["aipw untrimmed"].value, abs=1e-9)


def test_crumps_rule_finds_the_range_of_least_variance():
    e = np.random.default_rng(3).beta(0.6, 0.6, 4000)
    low = crump(e)
    cost = 1 / (e * (1 - e))

    def variance(at):
        kept = (e >= at) & (e <= 1 - at)
        return cost[kept].mean() / kept.mean()

    best = min(np.linspace(0.001, 0.3, 300), key=variance)
    assert 0.05 < low < 0.15
    assert low == pytest.approx(best, abs=0.01)
    assert crump(np.full(50, 0.5)) == 0
    assert trimming(e, "crump") == (low, 1 - low)
    assert trimming(e, None) is None


def test_effective_numbers_count_patients():
    assert effective(np.ones(10)) == pytest.approx(10)
    assert effective(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective(np.array([])) == 0


def test_weighting_brings_the_arms_together(found):
    rows = {row.covariate: row for row in found.balance}
    assert set(rows) == {
        "operation=discectomy",
        "operation=decompression",
        "operation=fusion",
        "age",
        "smoker",
        "odi_0",
    }
    assert rows["age"].smd_before < -0.3
    assert max(abs(row.smd_after) for row in found.balance) < 0.1
    assert rows["smoker"].variance_ratio_before is None
    assert rows["age"].variance_ratio_before == pytest.approx(1, abs=0.3)


def test_a_binary_outcome_gives_a_risk_difference_and_a_ratio(table):
    found = estimate(table, "reoperated", "miss")
    aipw = found.estimates["aipw"]
    assert found.is_binary
    assert aipw.value == pytest.approx(aipw.means[1] - aipw.means[0])
    assert aipw.ratio.value == pytest.approx(aipw.means[1] / aipw.means[0])
    assert aipw.ratio.interval[0] < aipw.ratio.value < aipw.ratio.interval[1]
    assert found.e_value.risk_ratio == aipw.ratio.value
    assert "percentage points" in found.verdict


def test_an_arm_without_events_has_no_ratio_and_says_so(table):
    rare = np.where((table["miss"] == 0) & (np.arange(1200) % 9 == 0), 1.0, 0.0)
    found = estimate(with_columns(table, {"reoperated": rare}), "reoperated", "miss", ["age"])
    assert found.estimates["naive"].ratio is None
    assert any("no event" in caveat for caveat in found.caveats) or found.estimates["aipw"].ratio is not None


def test_words_claim_an_association_and_no_more(found):
    assert "association" in found.verdict
    assert NO_LOT in found.caveats
    headings = [heading for heading, _ in found.plan]
    assert headings[0] == "Question"
    assert {"Estimand", "Covariates", "Models", "Trimming", "Missing data"} <= set(headings)
    equal = estimate(world(400, seed=9, effect=0.0), "odi_12m", "miss")
    assert equal.verdict.startswith("No clear difference")


def test_clusters_widen_intervals_where_patients_hold_together(table):
    shared = np.random.default_rng(1).normal(0, 12, 25)[np.arange(1200) % 25]
    together = with_columns(table, {"odi_12m": table["odi_12m"] + shared * (table["miss"] - 0.5)})
    alone = estimate(together, "odi_12m", "miss", settings=Settings(cluster=None))
    clustered = estimate(together, "odi_12m", "miss", settings=Settings(cluster="surgeon"))
    assert clustered.estimates["aipw"].value == pytest.approx(alone.estimates["aipw"].value)
    assert clustered.estimates["aipw"].se > 1.5 * alone.estimates["aipw"].se
    assert clustered.estimates["aipw"].df == 24


def test_the_surgeon_is_the_cluster_where_there_are_enough_of_them(table):
    precision = dict(estimate(table, "odi_12m", "miss", ["age"]).plan)["Precision"]
    assert "summed within each surgeon" in precision
    few = with_columns(table, {"surgeon": np.array([f"S{k % 19}" for k in range(1200)], dtype=object)})
    assert "summed" not in dict(estimate(few, "odi_12m", "miss", ["age"]).plan)["Precision"]
    warned = estimate(few, "odi_12m", "miss", ["age"], settings=Settings(cluster="surgeon"))
    assert any("fewer than 20 values of surgeon" in caveat for caveat in warned.caveats)


def test_a_patient_who_comes_twice_is_told(table):
    patients = np.array([f"P{k // 2}" for k in range(1200)], dtype=object)
    found = estimate(with_columns(table, {"patient": patients}), "odi_12m", "miss", settings=Settings(cluster=None))
    assert any("600 rows are of patients who are there already" in caveat for caveat in found.caveats)


def test_rows_of_unknown_treatment_are_left_out_and_told(table, found):
    more = np.concatenate([np.arange(1200), np.arange(40)])
    wider = taken(table, more)
    arm = wider["miss"].copy()
    arm[1200:] = np.nan
    with_gaps = estimate(with_columns(wider, {"miss": arm}), "odi_12m", "miss")
    assert any("40 rows do not say the treatment" in caveat for caveat in with_gaps.caveats)
    assert with_gaps.estimates["aipw"].value == pytest.approx(found.estimates["aipw"].value)


def test_no_covariates_at_all_is_the_plain_difference(table):
    found = estimate(table, "odi_12m", "miss", [])
    naive = found.estimates["naive"]
    for name in METHODS:
        assert found.estimates[name].value == pytest.approx(naive.value)
        assert found.estimates[name].se == pytest.approx(naive.se)


def test_json_is_plain_and_holds_the_contracts_keys(found):
    told = json.loads(json.dumps(plain(found), allow_nan=False))
    assert {"outcome", "treatment", "n", "n_used", "overlap", "trimmed", "e_value", "missing", "caveats"} <= set(told)
    assert set(told["estimates"]) == set(METHODS)
    assert set(told["estimates"]["aipw"]) >= {"value", "se", "interval"}
    assert set(told["balance"][0]) >= {"covariate", "smd_before", "smd_after"}
    assert told["estimates"]["aipw"]["df"] is None  # normal: no finite number


def test_a_table_of_nothing_else_still_compares():
    rng = np.random.default_rng(0)
    bare = Table({"miss": np.repeat([0.0, 1.0], 20), "y": rng.normal(size=40)})
    assert estimate(bare, "y", "miss").covariates == ()


@pytest.mark.parametrize(
    ("propensity", "outcome", "is_right"),
    [
        (BASELINE, BASELINE, True),
        (("smoker",), BASELINE, True),
        (BASELINE, ("smoker",), True),
        (("smoker",), ("smoker",), False),
    ],
)
def test_the_doubly_robust_estimate_is_right_when_either_model_is(propensity, outcome, is_right):
    """A sample of benchmarks/comparison.py, whose full table is in docs/comparison.md."""
    settings = Settings(propensity=propensity, outcome=outcome, cluster=None)
    runs = [estimate(world(500, seed=k), "odi_12m", "miss", BASELINE, settings=settings) for k in range(24)]
    aipw = [run.estimates["aipw"] for run in runs]
    error = np.mean([one.value for one in aipw]) - EFFECT
    covered = np.mean([one.interval[0] <= EFFECT <= one.interval[1] for one in aipw])
    assert np.mean([run.estimates["naive"].value for run in runs]) < EFFECT - 1.5
    assert (abs(error) < 0.45) == is_right
    assert (covered >= 0.87) == is_right
