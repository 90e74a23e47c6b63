"""The comparison against Stata's published results, statsmodels, and published E-values."""

from pathlib import Path

import numpy as np
import pytest

from keyhole.comparison import estimators
from keyhole.comparison.compare import estimate
from keyhole.comparison.evalue import e_value, of_difference, of_ratio
from keyhole.comparison.model import Settings
from keyhole.comparison.table import read_table, with_columns
from keyhole.errors import InvalidInput

statsmodels = pytest.importorskip("statsmodels")

# Stata's teffects on cattaneo2 as shipped with statsmodels 0.15.0: effect, standard error
STATA = {"regression": (-239.6392, 23.824), "ipw": (-230.6886, 25.8152), "aipw": (-230.9892, 26.2106)}
NAIVE = -275.2519


@pytest.fixture(scope="module")
def cattaneo():
    folder = Path(statsmodels.__file__).parent / "treatment" / "tests" / "results"
    found = read_table(folder / "cataneo2.csv")
    return with_columns(found, {"mage2": found["mage"] ** 2})


@pytest.fixture(scope="module")
def smoking(cattaneo):
    settings = Settings(
        trim=None,
        link="probit",
        propensity=("mmarried_", "mage", "mage2", "fbaby_", "medu"),
        outcome=("prenatal1_", "mmarried_", "mage", "fbaby_"),
    )
    return estimate(cattaneo, "bweight", "mbsmoke_", settings=settings)


@pytest.mark.parametrize("method", STATA)
def test_effect_and_standard_error_equal_statas_to_four_digits(smoking, method):
    value, se = STATA[method]
    assert smoking.estimates[method].value == pytest.approx(value, abs=5e-5)
    assert smoking.estimates[method].se == pytest.approx(se, abs=5e-5)


def test_the_naive_difference_is_that_of_the_anchor(smoking):
    assert smoking.estimates["naive"].value == pytest.approx(NAIVE, abs=5e-5)
    assert smoking.n_used == 4642


def _random(seed, n=400):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    treated = rng.random(n) < 1 / (1 + np.exp(-X @ [0.2, 0.6, -0.5, 0.3]))
    return (
        X,
        treated,
        X @ [1, 2, -1, 0.5] + 1.5 * treated * (1 + X[:, 1]) + rng.normal(size=n) * (1 + 0.5 * X[:, 2] ** 2),
    )


@pytest.mark.parametrize("seed", [2])
def test_random_data_give_what_statsmodels_gives(seed):
    from statsmodels.discrete.discrete_model import Logit
    from statsmodels.regression.linear_model import OLS
    from statsmodels.treatment.treatment_effects import TreatmentEffect

    X, treated, y = _random(seed)
    outcome = OLS(y, X[:, :3])
    theirs = TreatmentEffect(outcome, treated.astype(int), results_select=Logit(treated.astype(int), X).fit(disp=False))
    ours = estimators.models(X, X[:, :3], treated, y, is_binary=False)
    for name, method in (("ra", "regression"), ("ipw", "ipw"), ("aipw", "aipw")):
        expected = getattr(theirs, name)(return_results=True)
        means = getattr(estimators, method)(ours)
        covariance = estimators.covariance(means.influence)
        difference = np.array([-1.0, 1.0])
        assert difference @ means.means == pytest.approx(float(np.ravel(expected.effect)[0]), abs=2e-4)
        se = float(np.sqrt(difference @ covariance @ difference))
        assert se == pytest.approx(float(np.ravel(expected.results_gmm.bse)[0]), rel=2e-3)


def test_sandwich_clusters_of_one_are_the_sandwich_and_copies_in_a_cluster_add_nothing():
    X, treated, y = _random(5)
    means = estimators.aipw(estimators.models(X, X, treated, y, is_binary=False))
    plain, n = estimators.covariance(means.influence), len(y)
    alone = estimators.covariance(means.influence, np.arange(n))
    np.testing.assert_allclose(alone, plain * n / (n - 1), rtol=1e-12)
    twice = estimators.aipw(
        estimators.models(np.tile(X, (2, 1)), np.tile(X, (2, 1)), np.tile(treated, 2), np.tile(y, 2), is_binary=False)
    )
    together = estimators.covariance(twice.influence, np.tile(np.arange(n), 2))
    np.testing.assert_allclose(together, alone, rtol=1e-8)
    np.testing.assert_allclose(estimators.covariance(twice.influence), plain / 2, rtol=1e-8)


@pytest.mark.parametrize(
    ("ratio", "interval", "value", "end"),
    [
        (10.73, (8.02, 14.36), 20.94777, 15.52336),  # smoking and lung cancer, vignette of the authors' package
        (3.9, (1.8, 8.7), 7.263034, 3.0),  # infant feeding, the paper's first example
        (0.80, (0.71, 0.91), 1.809017, 1.43),  # leukaemia, the paper's preventive example
        (1 / 3.9, (1 / 8.7, 1 / 1.8), 7.263034, 3.0),
    ],
)
def test_e_values_are_the_published_ones(ratio, interval, value, end):
    found = of_ratio(ratio, interval)
    assert found.value == pytest.approx(value, abs=1e-5)
    assert found.interval_end == pytest.approx(end, abs=0.005)


def test_e_values_of_measures_use_the_published_approximation():
    found = of_difference(-10, 1.5, 12)  # of the authors' own tests, without their shift of the null
    ratio = np.exp(0.91 * 10 / 12)
    end = np.exp(0.91 * 10 / 12 - 1.78 * 1.5 / 12)
    assert found.value == pytest.approx(ratio + np.sqrt(ratio * (ratio - 1)))
    assert found.interval_end == pytest.approx(end + np.sqrt(end * (end - 1)))
    assert of_difference(-0.5, 0.4, 1).interval_end == 1
    assert e_value(1) == 1


@pytest.mark.parametrize("ratio", [0, -1, np.nan, np.inf])
def test_an_impossible_ratio_has_no_e_value(ratio):
    with pytest.raises(InvalidInput, match="risk ratio"):
        e_value(ratio)
