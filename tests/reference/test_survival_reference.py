"""Curves, restricted means and Cox's model against lifelines 0.30.3 on its Rossi data (432 men, 114 arrests).

Coefficients, errors and log likelihood as measured with lifelines; the curve also against its Kaplan-Meier, whose
numbers were computed once and are kept here, so that the test runs without it.
"""

import numpy as np
import pytest

from keyhole.comparison.hazard import cox
from keyhole.comparison.survival import Times, curve, log_rank, pseudo_values, share_at


@pytest.fixture(scope="module")
def rossi():
    lifelines = pytest.importorskip("lifelines.datasets")
    return lifelines.load_rossi()


def _times(rossi):
    n = len(rossi)
    treated = rossi.fin.to_numpy() == 1
    event = rossi.arrest.to_numpy() == 1
    return Times("recovery", rossi.week.to_numpy(float), event, treated, np.ones(n, bool), 0, ())


@pytest.mark.slow
def test_cox_finds_the_coefficients_errors_and_likelihood_of_the_rossi_data(rossi):
    names = ("fin", "age", "race", "wexp", "mar", "paro", "prio")
    columns = {name: rossi[name].to_numpy(float) for name in names}
    fixed, covariance, likelihood, p = cox(rossi.week.to_numpy(float), rossi.arrest.to_numpy() == 1, columns)
    assert fixed == pytest.approx([-0.3794, -0.0574, 0.3139, -0.1498, -0.4337, -0.0849, 0.0915], abs=6e-5)
    errors = [0.1914, 0.022, 0.308, 0.2122, 0.3819, 0.1958, 0.0286]
    assert np.sqrt(np.diag(covariance)) == pytest.approx(errors, abs=6e-5)
    assert likelihood == pytest.approx(-658.7477, abs=1e-4)
    assert p[names.index("age")] < 0.01  # age is known to break proportionality here
    assert p[names.index("mar")] > 0.05


@pytest.mark.slow
def test_the_curve_its_interval_and_the_log_rank_test_are_those_of_lifelines(rossi):
    fitters = pytest.importorskip("lifelines")
    statistics = pytest.importorskip("lifelines.statistics")
    found = _times(rossi)
    sides = [(found.days[arm], found.event[arm]) for arm in (found.treated, ~found.treated)]
    for days, event in sides:
        fitted = fitters.KaplanMeierFitter().fit(days, event)
        own = curve(days, event)
        assert own.share == pytest.approx(fitted.predict(own.days).to_numpy(), abs=1e-12)
        ends = fitted.confidence_interval_.loc[own.days].to_numpy()
        assert np.column_stack([own.low, own.high]) == pytest.approx(ends, abs=1e-12)
        assert own.at_risk == pytest.approx(fitted.event_table.at_risk.loc[own.days].to_numpy())
    test = statistics.logrank_test(sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    assert log_rank(found) == pytest.approx(test.p_value, rel=1e-9)


@pytest.mark.slow
def test_the_share_free_of_arrest_after_a_year_and_the_restricted_mean_are_known(rossi):
    found = _times(rossi)
    whole = curve(found.days, found.event)
    assert share_at(whole, 51) == pytest.approx(1 - 110 / 432)  # nobody is lost before the 52nd week
    assert np.isnan(share_at(whole, 60))
    values = pseudo_values(found, "restricted mean", 40.0)
    for arm in (found.treated, ~found.treated):
        assert values[arm] == pytest.approx(np.minimum(found.days[arm], 40.0), abs=1e-9)


def test_pseudo_values_are_the_jackknife_where_patients_are_lost():
    rng = np.random.default_rng(2)
    n = 400
    days, end = rng.exponential(100, n), rng.exponential(150, n)
    event, seen = days <= end, np.minimum(days, end)
    found = Times("recovery", seen, event, np.arange(n) % 2 == 0, np.ones(n, bool), 0, ())

    def area(d, e):
        own = curve(d, e)
        inside = own.days <= 90
        return float(np.r_[1, own.share[inside]] @ np.diff(np.r_[0, own.days[inside], 90]))

    values = pseudo_values(found, "restricted mean", 90.0)
    arm = np.flatnonzero(found.treated)
    whole = area(seen[arm], event[arm])
    jackknife = [
        len(arm) * whole - (len(arm) - 1) * area(seen[np.delete(arm, k)], event[np.delete(arm, k)]) for k in range(20)
    ]
    assert values[arm].mean() == pytest.approx(whole, abs=1e-9)
    assert values[arm[:20]] == pytest.approx(jackknife, abs=1.0)  # they differ by the order of 1 / n
    assert np.corrcoef(values[arm[:20]], jackknife)[0, 1] > 0.9999


def test_greenwoods_variance_is_that_of_the_pseudo_values():
    rng = np.random.default_rng(4)
    n = 600
    days, end = rng.exponential(100, n), rng.exponential(150, n)
    found = Times("reoperation", np.minimum(days, end), days <= end, np.arange(n) < 300, np.ones(n, bool), 0, ())
    own = curve(found.days[:300], found.event[:300])
    inside = own.days <= 60
    greenwood = np.sum(own.events[inside] / (own.at_risk[inside] * (own.at_risk[inside] - own.events[inside])))
    values = pseudo_values(found, "risk", 60.0)[:300]
    assert values.mean() == pytest.approx(1 - share_at(own, 60.0))
    assert values.var() / 300 == pytest.approx(share_at(own, 60.0) ** 2 * greenwood, rel=0.02)
