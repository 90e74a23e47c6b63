"""Times, centres, subgroups, charts of surgeons and funnels: what they find, what they refuse, what they say."""

import math
import sys

import numpy as np
import pytest
from scipy import stats

from keyhole.comparison.centres import mixed
from keyhole.comparison.funnel import funnel, limits
from keyhole.comparison.hazard import hazard_ratio
from keyhole.comparison.learning import ODDS, _highest, cusum, scores
from keyhole.comparison.model import Settings
from keyhole.comparison.simulate import Settings as Registry
from keyhole.comparison.simulate import simulate
from keyhole.comparison.subgroups import MISLEAD, subgroups
from keyhole.comparison.survival import DEATHS, curve, kaplan_meier, restricted_mean, risk, share_at, times_of
from keyhole.comparison.table import Table, with_columns
from keyhole.errors import InvalidInput, MissingPart


@pytest.fixture(scope="module")
def table():
    return simulate(Registry(1200, 3, missing="none")).table


def _small(**columns):
    n = 6
    base = {
        "miss": np.array([0, 1] * 3),
        "reoperated": np.array([0, 1, 0, 0, 1, 0]),
        "reoperation_days": np.array([np.nan, 30, np.nan, np.nan, 80, np.nan]),
        "followup_days": np.array([100.0, 100, 100, 50, 100, 100]),
        "age": np.arange(n) + 50.0,
    }
    return Table(base | columns)


def test_the_event_counts_on_its_day_and_everybody_else_to_the_last_day_of_follow_up():
    found = times_of(_small(), "reoperation")
    assert found.days.tolist() == [100, 30, 100, 50, 80, 100]
    assert found.event.tolist() == [False, True, False, False, True, False]
    held = kaplan_meier(_small(), "reoperation")
    assert share_at(held.curves[1], 60) == pytest.approx(2 / 3)
    assert DEATHS in held.caveats


def test_an_event_without_its_day_is_left_out_and_told_and_a_negative_day_is_refused_with_its_row():
    undated = _small(reoperation_days=np.array([np.nan, np.nan, np.nan, np.nan, 80, np.nan]))
    found = times_of(undated, "reoperation")
    assert found.left_out == 1
    assert any("1 happened on a day that was not written down" in words for words in found.caveats)
    with pytest.raises(InvalidInput, match="row 5: reoperation_days must be 0 days or more"):
        times_of(_small(reoperation_days=np.array([np.nan, 30, np.nan, np.nan, -1, np.nan])), "reoperation")
    with pytest.raises(InvalidInput, match="reoperated must be 0 or 1"):
        times_of(_small(reoperated=np.array([0, 2, 0, 0, 1, 0])), "reoperation")


def test_beyond_the_last_follow_up_nothing_is_known_unless_everybody_had_the_event():
    lost = curve(np.array([10.0, 20.0, 30.0]), np.array([True, True, False]))
    assert math.isnan(share_at(lost, 31))
    done = curve(np.array([10.0, 20.0, 30.0]), np.array([True, True, True]))
    assert share_at(done, 300) == 0.0
    short = restricted_mean(_small(recovered=np.ones(6), recovery_days=np.arange(6) + 1.0), horizon=90)
    assert short.horizon == 90
    assert short.means == pytest.approx((3.0, 4.0))


def test_a_horizon_beyond_follow_up_is_brought_down_and_told():
    found = risk(_small(), "reoperation", horizon=1000)
    assert found.horizon == 100
    assert any("one arm was followed to day 100 only" in words for words in found.caveats)


@pytest.mark.slow
def test_the_adjusted_mean_time_comes_nearer_the_truth_than_the_curves_as_they_are():
    made = simulate(Registry(3000, 5))
    found = restricted_mean(made.table, adjust=(None, Settings(imputations=1, cluster=None)))
    true = made.truth["times"]["recovery"]["restricted_mean_365_days_difference"]
    effect = found.adjusted.estimates["aipw"]
    assert effect.interval[0] < true < effect.interval[1]
    assert found.interval[1] < true  # confounding makes small openings look better still


def test_centres_and_surgeons_are_told_apart_and_the_effect_within_centres_is_found(table):
    rng = np.random.default_rng(8)
    centre = rng.integers(0, 12, len(table))
    surgeon = centre * 3 + rng.integers(0, 3, len(table))
    shift = 6.0 * rng.standard_normal(12)
    arm = (rng.random(len(table)) < 0.3 + 0.4 * (shift[centre] > 0)).astype(float)  # worse centres choose it more
    y = 30 + shift[centre] + 3 * rng.standard_normal(36)[surgeon] - 4 * arm + 8 * rng.standard_normal(len(table))
    named = {"centre": np.array([f"c{k:02d}" for k in centre], dtype=object)}
    named["surgeon"] = np.array([f"s{k:02d}" for k in surgeon], dtype=object)
    held = with_columns(table, named | {"miss": arm, "odi_12m": y})
    found = mixed(held, "odi_12m", covariates=("age",))
    naive = y[arm == 1].mean() - y[arm == 0].mean()
    assert naive > -3  # the centres hide the effect
    assert abs(found.value + 4) < 3 * found.se
    assert found.se < 1
    assert 2 < found.sds[2] < 4.5
    assert found.sds[3] == pytest.approx(8, abs=0.5)
    assert found.between[0] > 0
    assert found.p_effect_varies > 0.01
    assert len(found.centres) == 12


def test_a_spread_of_the_effect_between_centres_is_found(table):
    rng = np.random.default_rng(9)
    centre = rng.integers(0, 15, len(table))
    arm = (rng.random(len(table)) < 0.5).astype(float)
    own = -4 + 5 * rng.standard_normal(15)
    y = 30 + own[centre] * arm + 6 * rng.standard_normal(len(table))
    held = with_columns(table, {"centre": np.array([f"c{k:02d}" for k in centre], dtype=object), "miss": arm, "y": y})
    found = mixed(held, "y", covariates=())
    assert found.p_effect_varies < 1e-4
    assert found.sds[1] == pytest.approx(own.std(), rel=0.4)
    assert np.corrcoef([one.value for one in found.centres], own)[0, 1] > 0.9


def test_few_centres_are_refused(table):
    one = with_columns(table, {"centre": np.array(["a"] * len(table), dtype=object)})
    with pytest.raises(InvalidInput, match="1 centres; a spread between centres needs 3 or more"):
        mixed(one, "odi_12m")
    with pytest.raises(InvalidInput, match="1 centres; a funnel needs 3 or more"):
        funnel(one)


def test_a_true_interaction_is_found_and_every_split_is_told_with_the_warning(table):
    rng = np.random.default_rng(4)
    arm = (rng.random(len(table)) < 0.5).astype(float)
    y = 30 - 8 * arm * (table["smoker"] == 1) + 6 * rng.standard_normal(len(table))
    found = subgroups(with_columns(table, {"miss": arm, "odi_12m": y}), "odi_12m", by=("smoker", "age", "nothing"))
    smoker, age = found.splits
    assert smoker.p_corrected < 0.001
    assert smoker.interval[0] < -8 < smoker.interval[1]
    assert age.p_corrected > 1000 * smoker.p_corrected
    assert smoker.parts[1].value == pytest.approx(-8, abs=2)
    assert found.not_done == (("nothing", "the table has no such column"),)
    assert MISLEAD in found.words
    assert "a lead to be tested in other patients" in found.words


def test_a_subgroup_of_a_handful_has_no_figure(table):
    few = np.zeros(len(table))
    few[:12] = 1
    found = subgroups(with_columns(table, {"rare": few}), "odi_12m", by=("rare", "sex"))
    assert found.splits[0].parts[1].value is None
    assert math.isnan(found.splits[0].p)


def test_scores_have_steiners_value_and_the_chart_is_the_running_sum_above_its_lowest_point():
    got = scores(np.array([0.0, 1.0]), np.array([0.1, 0.1]))
    assert got == pytest.approx([-math.log(1.1), math.log(ODDS) - math.log(1.1)])
    weights = np.array([[1.0, -3.0, 2.0, 2.0, -1.0]])
    assert _highest(weights) == pytest.approx([4.0])


def test_limits_keep_the_false_alarms_they_promise_and_a_bad_surgeon_is_found(table):
    rng = np.random.default_rng(5)
    bad = table["surgeon"] == "SIM-S09"
    y = (rng.random(len(table)) < np.where(bad, 0.4, 0.08)).astype(float)
    found = cusum(with_columns(table, {"complication": y}), covariates=("age", "asa"))
    assert all(chart.false_alarms <= 0.05 for chart in found.charts)
    assert found.some_false == pytest.approx(1 - np.prod([1 - chart.false_alarms for chart in found.charts]))
    worst = next(chart for chart in found.charts if chart.surgeon == "SIM-S09")
    assert worst.alarms
    assert worst.observed > worst.expected
    assert sum(bool(chart.alarms) for chart in found.charts) <= 5


def test_operations_without_surgeon_or_date_are_in_no_chart_and_small_series_get_none(table):
    dates = table["surgery_date"].copy()
    dates[:100] = ""
    surgeon = table["surgeon"].copy()
    surgeon[200:203] = "rare"
    found = cusum(with_columns(table, {"surgery_date": dates, "surgeon": surgeon}), covariates=("age",))
    assert any("name no surgeon or no date" in words for words in found.caveats)
    assert "rare" not in {chart.surgeon for chart in found.charts}


def test_limits_of_the_funnel_are_exact_where_counts_allow_and_narrow_with_size():
    for n, p in ((40, 0.1), (200, 0.05)):
        low, high = limits(p, n, 0.95)
        assert stats.binom.ppf(0.975, n, p) / n >= high > (stats.binom.ppf(0.975, n, p) - 1) / n
        assert low >= 0
    widths = [np.diff(limits(0.1, n, 0.998))[0] for n in (30, 100, 1000)]
    assert widths == sorted(widths, reverse=True)
    assert limits(0.1, 50, 0.998)[1] > limits(0.1, 50, 0.95)[1]


def test_a_centre_twice_as_bad_lies_above_and_a_measure_has_no_funnel(table):
    rng = np.random.default_rng(6)
    bad = table["centre"] == "SIM-C5"
    y = (rng.random(len(table)) < np.where(bad, 0.3, 0.1)).astype(float)
    found = funnel(with_columns(table, {"complication": y}), covariates=("age",))
    place = next(place for place in found.places if place.centre == "SIM-C5")
    assert place.side == "above 99.8 %"
    assert any("more than chance explains" in words for words in found.caveats)
    with pytest.raises(InvalidInput, match="a funnel needs an event"):
        funnel(table, "odi_12m")


def test_a_plain_table_without_the_columns_says_so():
    with pytest.raises(InvalidInput, match="no column 'reoperated'"):
        kaplan_meier(Table({"miss": np.array([0.0, 1.0])}), "reoperation")
    with pytest.raises(InvalidInput, match="a clock must be one of"):
        times_of(Table({"miss": np.array([0.0, 1.0])}), "death")


def test_without_dates_there_is_no_chart_and_without_events_no_hazard_ratio(table):
    undated = with_columns(table, {"surgery_date": np.array([""] * len(table), dtype=object)})
    with pytest.raises(InvalidInput, match="no surgeon has 10 dated operations"):
        cusum(undated, covariates=("age",))
    none = with_columns(table, {"reoperated": table["reoperated"] * table["miss"]})
    with pytest.raises(InvalidInput, match="no reoperation with miss = 0: there is no hazard ratio"):
        hazard_ratio(none, covariates=("age",))


def test_rows_without_a_centre_are_left_out_of_the_mixed_model_and_told(table):
    centre = table["centre"].copy()
    centre[:50] = ""
    found = mixed(with_columns(table, {"centre": centre}), "odi_12m", covariates=("age", "odi_0"))
    assert found.n == len(table) - 50
    assert "50 rows name no centre and are left out" in found.caveats


def test_without_the_extra_the_hazard_ratio_names_it_and_the_rest_goes_on(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "lifelines", None)
    with pytest.raises(MissingPart, match="keyhole-spine\\[registry\\]"):
        hazard_ratio(table, covariates=("age",))
    assert kaplan_meier(table, "reoperation").log_rank_p > 0
