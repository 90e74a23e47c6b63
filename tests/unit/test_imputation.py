"""Missing values: drawn from what is known, the same for the same seed, and right where complete cases are wrong."""

import numpy as np
import pytest
from two_arms import EFFECT, world

from keyhole.comparison.compare import estimate
from keyhole.comparison.design import variables
from keyhole.comparison.impute import completed, imputations_for, impute
from keyhole.comparison.model import Settings
from keyhole.comparison.rubin import interval, pooled
from keyhole.comparison.table import Table, with_columns

COLUMNS = ("operation", "age", "smoker", "odi_0", "odi_3m", "odi_12m")


def _drawn(table, m=3, seed=0):
    chosen, values = variables(table, COLUMNS)
    return chosen, values, impute(chosen, values, table["miss"] == 1, m, seed=seed)


def test_draws_fill_every_gap_within_what_has_been_seen_and_change_nothing_known():
    table = world(800, seed=1, missing=0.2)
    _, values, found = _drawn(table)
    assert found.by_arm
    assert set(found.rows) == {"operation", "smoker", "odi_0", "odi_12m"}
    for k in range(3):
        full = completed(values, found, k)
        for name in COLUMNS:
            known = ~np.isnan(values[name])
            assert not np.isnan(full[name]).any()
            np.testing.assert_array_equal(full[name][known], values[name][known])
            assert values[name][known].min() <= full[name].min()
            assert full[name].max() <= values[name][known].max()
        for name in ("operation", "smoker"):
            assert set(full[name]) <= set(values[name][~np.isnan(values[name])])


def test_the_same_seed_draws_the_same_and_another_seed_others():
    table = world(400, seed=1, missing=0.2)
    first, again, other = (_drawn(table, seed=seed)[2].draws["odi_12m"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def _half_seen(scale):
    rng = np.random.default_rng(0)
    n = 4000
    x = rng.normal(size=n)
    y = np.round((2 * x + rng.normal(size=n)) * scale) / scale
    gone = rng.random(n) < 1 / (1 + np.exp(-x))
    table = Table({"x": x, "y": np.where(gone, np.nan, y)})
    chosen, values = variables(table, ("x", "y"))
    return x[gone], y[gone], impute(chosen, values, np.arange(n) % 2 == 0, 5).draws["y"]


def test_measures_are_drawn_along_the_regression_with_its_spread():
    x, _, drawn = _half_seen(1e6)
    assert np.polyfit(x, drawn.mean(axis=0), 1) == pytest.approx([2, 0], abs=0.1)
    assert (drawn[0] - 2 * x).std() == pytest.approx(1, abs=0.06)


def test_measures_of_few_values_are_drawn_as_values_seen():
    x, y, drawn = _half_seen(1.0)
    assert set(np.unique(drawn)) <= set(np.arange(-10.0, 11.0))
    assert np.polyfit(x, drawn.mean(axis=0), 1)[0] == pytest.approx(2, abs=0.2)
    assert drawn.mean() == pytest.approx(y.mean(), abs=0.1)


def test_claims_and_categories_are_drawn_with_their_probabilities():
    rng = np.random.default_rng(0)
    n = 6000
    x = rng.normal(size=n)
    claim = np.where(rng.random(n) < 1 / (1 + np.exp(-x)), 1.0, 0.0)
    noise = rng.gumbel(size=(3, n))
    kind = np.array(["a", "b", "c"], dtype=object)[np.argmax(np.stack([x, 0 * x, -x]) + noise, axis=0)]
    gone = rng.random(n) < 0.3
    table = Table({"x": x, "claim": np.where(gone, np.nan, claim), "kind": np.where(gone, "", kind).astype(object)})
    chosen, values = variables(table, ("x", "claim", "kind"))
    found = impute(chosen, values, np.arange(n) % 2 == 0, 5)
    high = x[gone] > 0.5
    assert found.draws["claim"][:, high].mean() == pytest.approx(claim[gone][high].mean(), abs=0.04)
    code = chosen[2].levels.index("a")
    assert (found.draws["kind"][:, high] == code).mean() == pytest.approx((kind[gone][high] == "a").mean(), abs=0.04)


def test_small_arms_share_their_models_with_the_arm_in_them():
    table = world(70, seed=2, missing=0.2)
    _, _, found = _drawn(table)
    assert not found.by_arm
    small = estimate(table, "odi_12m", "miss", ["age", "odi_0"])
    assert "both arms together" in small.missing.how


def test_nothing_missing_draws_nothing():
    chosen, values = variables(world(60), COLUMNS)
    found = impute(chosen, values, world(60)["miss"] == 1, 5)
    assert (found.imputations, found.rows) == (1, {})
    assert imputations_for(20_001) < imputations_for(20_000)


def test_what_was_missing_is_told_and_much_of_it_warned_of():
    found = estimate(world(500, seed=3, missing=0.35), "odi_12m", "miss", settings=Settings(imputations=4))
    told = {column.column: column for column in found.missing.columns}
    assert told["odi_12m"].role == "outcome"
    assert told["odi_12m"].share == pytest.approx(0.35, abs=0.08)
    assert told["smoker"].method == "Bayesian logistic draws"
    assert (found.missing.imputations, found.missing.seed) == (4, 0)
    assert found.missing.complete_cases + found.missing.incomplete_rows == 500
    assert found.estimates["aipw"].missing_information > 0.02
    assert np.isfinite(found.estimates["aipw"].df)
    assert any("the outcome is missing in" in caveat for caveat in found.caveats)
    assert "aipw complete cases" in found.further


def test_a_covariate_mostly_missing_is_warned_of():
    table = world(400, seed=3)
    rare = np.where(np.arange(400) % 5 == 0, table["age"], np.nan)
    found = estimate(with_columns(table, {"age": rare}), "odi_12m", "miss", settings=Settings(imputations=3))
    assert any("age is missing in 80 %" in caveat for caveat in found.caveats)


def test_visits_that_were_kept_correct_what_complete_cases_get_wrong():
    """Who does badly early stays away later, in one arm more: the early visit brings the effect back."""
    gone, errors, complete = 0, [], []
    for seed in range(8):
        table = world(700, seed=100 + seed)
        rng = np.random.default_rng(seed)
        stay_away = 1 / (1 + np.exp(-(-0.4 + 0.12 * (table["odi_3m"] - 25) * np.where(table["miss"] > 0, 1, -1))))
        y = np.where(rng.random(700) < stay_away, np.nan, table["odi_12m"])
        found = estimate(with_columns(table, {"odi_12m": y}), "odi_12m", "miss", settings=Settings(imputations=4))
        gone += int(np.isnan(y).sum())
        errors.append(found.estimates["aipw"].value - EFFECT)
        complete.append(found.further["aipw complete cases"].value - EFFECT)
    assert gone > 8 * 200
    assert np.mean(complete) < -1.5
    assert abs(np.mean(errors)) < 0.6


def test_rubins_rules_give_the_textbook_numbers():
    found = pooled([1.0, 2.0, 3.0], [4.0, 4.0, 4.0])
    assert found.value == 2
    assert found.se**2 == pytest.approx(4 + (1 + 1 / 3) * 1)
    share = (4 / 3) / (4 + 4 / 3)
    assert found.df == pytest.approx(2 / share**2)
    small = pooled([1.0, 2.0, 3.0], [4.0, 4.0, 4.0], complete_df=20)
    observed = 21 / 23 * 20 * (1 - share)
    assert small.df == pytest.approx(1 / (share**2 / 2 + 1 / observed))
    assert pooled([5.0], [4.0]).df == np.inf
    assert interval(0, 1, np.inf)[1] == pytest.approx(1.959964, abs=1e-6)
    assert interval(0, 1, 10)[1] == pytest.approx(2.228139, abs=1e-6)
