"""Laws of the comparison: what must not change its answer, and how it must change."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from two_arms import world

from keyhole.comparison import estimators
from keyhole.comparison.compare import estimate
from keyhole.comparison.evalue import e_value
from keyhole.comparison.fit import logistic
from keyhole.comparison.model import METHODS, Settings
from keyhole.comparison.rubin import pooled
from keyhole.comparison.table import taken, with_columns

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("outcome", ["odi_12m", "reoperated"])
@given(seed=SEEDS)
@settings(max_examples=4)
def test_arms_with_their_labels_exchanged_give_the_difference_the_other_sign(outcome, seed):
    table = world(300, seed=seed)
    here = estimate(table, outcome, "miss")
    there = estimate(with_columns(table, {"miss": 1 - table["miss"]}), outcome, "miss")
    for name in METHODS:
        assert there.estimates[name].value == pytest.approx(-here.estimates[name].value, abs=1e-7)
        assert there.estimates[name].se == pytest.approx(here.estimates[name].se, rel=1e-6)
    assert there.overlap.outside_support == pytest.approx(here.overlap.outside_support)


@given(seed=SEEDS, shift=st.floats(-100, 100), scale=st.floats(0.01, 50))
@settings(max_examples=4)
def test_an_outcome_in_other_units_gives_the_effect_in_those_units(seed, shift, scale):
    table = world(300, seed=seed)
    here = estimate(table, "odi_12m", "miss")
    there = estimate(with_columns(table, {"odi_12m": shift + scale * table["odi_12m"]}), "odi_12m", "miss")
    for name in METHODS:
        assert there.estimates[name].value == pytest.approx(scale * here.estimates[name].value, rel=1e-6, abs=1e-9)
        assert there.estimates[name].se == pytest.approx(scale * here.estimates[name].se, rel=1e-6)
    assert there.e_value.value == pytest.approx(here.e_value.value, rel=1e-6)


@given(seed=SEEDS, shift=st.floats(-100, 100), scale=st.floats(0.01, 50))
@settings(max_examples=4)
def test_a_covariate_in_other_units_changes_nothing(seed, shift, scale):
    table = world(300, seed=seed)
    here = estimate(table, "odi_12m", "miss")
    there = estimate(with_columns(table, {"age": shift + scale * table["age"]}), "odi_12m", "miss")
    for name in METHODS:
        assert there.estimates[name].value == pytest.approx(here.estimates[name].value, rel=1e-6)
        assert there.estimates[name].se == pytest.approx(here.estimates[name].se, rel=1e-6)


@given(seed=SEEDS)
@settings(max_examples=4)
def test_the_order_of_rows_and_columns_changes_nothing(seed):
    table = world(300, seed=seed)
    shuffled = taken(table, np.random.default_rng(seed).permutation(300))
    turned = type(shuffled)(dict(reversed(shuffled.columns.items())))
    here, there = estimate(table, "odi_12m", "miss"), estimate(turned, "odi_12m", "miss")
    for name in METHODS:
        assert there.estimates[name].value == pytest.approx(here.estimates[name].value, rel=1e-7)
        assert there.estimates[name].se == pytest.approx(here.estimates[name].se, rel=1e-7)


@given(seed=SEEDS)
@settings(max_examples=4)
def test_rows_twice_change_no_estimate_and_clustered_no_interval(seed):
    table = world(300, seed=seed)
    twice = taken(table, np.tile(np.arange(300), 2))
    alone = estimate(table, "odi_12m", "miss", settings=Settings(cluster="episode"))
    double = estimate(twice, "odi_12m", "miss", settings=Settings(cluster=None))
    told = estimate(twice, "odi_12m", "miss", settings=Settings(cluster="episode"))
    for name in METHODS:
        assert double.estimates[name].value == pytest.approx(alone.estimates[name].value, rel=1e-7)
        assert told.estimates[name].se == pytest.approx(alone.estimates[name].se, rel=1e-6)
        assert double.estimates[name].se < 0.75 * told.estimates[name].se


@given(seed=SEEDS)
@settings(max_examples=8)
def test_logistic_scores_vanish_and_influences_have_mean_nought(seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(200), rng.normal(size=(200, 3))])
    treated = rng.random(200) < 1 / (1 + np.exp(-X @ rng.normal(0, 0.7, 4)))
    y = X @ rng.normal(size=4) + rng.normal(size=200)
    fit = logistic(X, treated.astype(float))
    if not fit.separated:
        np.testing.assert_allclose(X.T @ fit.score, 0, atol=1e-4)
    found = estimators.models(X, X, treated, y, is_binary=False)
    for method in (estimators.regression, estimators.ipw, estimators.aipw):
        means = method(found)
        np.testing.assert_allclose(means.influence.mean(axis=0), 0, atol=1e-5 * max(1, np.abs(means.influence).max()))


@given(seed=SEEDS)
@settings(max_examples=6)
def test_a_saturated_outcome_model_makes_regression_ipw_and_aipw_one(seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, 300)
    X = np.column_stack([np.ones(300), group == 1, group == 2]).astype(float)
    treated = rng.random(300) < np.array([0.3, 0.5, 0.7])[group]
    y = group + treated * (1 + group) + rng.normal(size=300)
    found = estimators.models(X, X, treated, y, is_binary=False)
    strata = np.mean([y[treated & (group == g)].mean() - y[~treated & (group == g)].mean() for g in group])
    for method in (estimators.regression, estimators.ipw, estimators.aipw):
        means = method(found).means
        assert means[1] - means[0] == pytest.approx(strata, abs=1e-6)


@given(st.floats(0.05, 20))
def test_e_values_do_not_ask_which_arm_came_first(ratio):
    assert e_value(ratio) == pytest.approx(e_value(1 / ratio))
    assert e_value(ratio) >= max(ratio, 1 / ratio)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=8), st.floats(0.1, 20))
def test_pooling_never_narrows_below_the_mean_within(values, variance):
    found = pooled(values, [variance] * len(values))
    assert found.se**2 >= variance * (1 - 1e-12)
    assert min(values) - 1e-9 <= found.value <= max(values) + 1e-9
    assert 0 <= found.missing_information <= 1
