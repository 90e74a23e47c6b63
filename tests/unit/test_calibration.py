"""Probabilities against what happened, and ranges of a next patient."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logit

from keyhole.errors import InvalidInput
from keyhole.forecast import calibration, drift, split_conformal
from keyhole.forecast.calibrate import bins, fit, wilson
from keyhole.forecast.conformal import least_patients, next_patient


def simulated(n, seed, shift=0.0, slope=1.0):
    """Predictions whose true log odds are shift + slope times theirs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(-1.4, 1.2, n)
    return expit(x), (rng.random(n) < expit(shift + slope * x)).astype(float)


def test_recalibration_restores_the_mean_and_the_slope_on_new_patients():
    shifts, slopes = [], []
    for seed in range(8):
        predicted, happened = simulated(2000, seed, shift=0.9, slope=0.55)
        found = calibration(predicted, happened)
        new, true = simulated(40000, 100 + seed, shift=0.9, slope=0.55)
        after = found.applied(new)
        shifts.append(after.mean() - true.mean())
        slopes.append(fit(logit(after)[None], true[None], with_slope=True)[1][0])
    assert abs(found.in_the_large.value) > 0.1  # there was something to restore
    assert found.slope.value < 0.7
    assert abs(np.mean(shifts)) < 0.005
    assert np.median(np.abs(shifts)) < 0.01
    assert abs(np.mean(slopes) - 1) < 0.05
    assert np.median(np.abs(np.array(slopes) - 1)) < 0.1


def test_on_the_patients_it_was_made_from_recalibration_is_exact():
    predicted, happened = simulated(2000, 5, shift=-0.7, slope=0.6)
    found = calibration(predicted, happened)
    after = found.applied(predicted)
    assert after.mean() == pytest.approx(happened.mean(), abs=1e-6)
    assert fit(logit(after)[None], happened[None], with_slope=True)[1][0] == pytest.approx(1, abs=1e-5)
    assert found.brier_after.value < found.brier.value


def test_bootstrap_intervals_hold_the_truth():
    held = 0
    for seed in range(20):
        predicted, happened = simulated(600, seed, shift=0.3, slope=0.7)
        low, high = calibration(predicted, happened).slope.interval
        held += low <= 0.7 <= high
    assert held >= 17


def test_with_few_events_the_slope_is_kept():
    predicted = np.full(400, 0.05)
    happened = np.zeros(400)
    happened[:4] = 1
    found = calibration(predicted, happened)
    assert found.slope_after == 1
    assert found.applied(0.05) == pytest.approx(0.01, rel=1e-3)
    assert "slope is kept" in found.caveats[0]


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(InvalidInput, match="0 events in 50"):
        calibration(np.full(50, 0.1), np.zeros(50))
    with pytest.raises(InvalidInput, match="outcome of 0 or 1"):
        calibration(np.full(50, 0.1), np.full(50, 2.0))


def test_patients_of_one_prediction_are_one_group_whatever_became_of_them():
    predicted = np.repeat([0.05, 0.1, 0.3], [300, 200, 100])
    happened = np.zeros(600)
    happened[[*range(30), *range(300, 340), *range(500, 540)]] = 1
    found = bins(predicted, happened)
    assert [one.patients for one in found] == [300, 200, 100]
    assert [one.observed for one in found] == pytest.approx([0.1, 0.2, 0.4])
    mixed = np.random.default_rng(0).permutation(600)
    assert bins(predicted[mixed], happened[mixed]) == pytest.approx(found)


def test_groups_hold_every_patient_once_and_ascend():
    predicted, happened = simulated(1003, 2)
    found = bins(predicted, happened)
    assert sum(one.patients for one in found) == 1003
    assert len(found) == 10
    assert all(a.predicted < b.predicted for a, b in itertools.pairwise(found))


def test_the_calibration_curve_is_what_is_applied_and_its_band_holds_the_truth():
    predicted, happened = simulated(2000, 9, shift=0.5, slope=0.6)
    found = calibration(predicted, happened)
    at = np.array([one.predicted for one in found.curve])
    assert at.min() == pytest.approx(predicted.min())
    assert at.max() == pytest.approx(predicted.max())
    expected = np.array([one.expected.value for one in found.curve])
    assert expected == pytest.approx(found.applied(at))
    low, high = np.array([one.expected.interval for one in found.curve]).T
    assert ((low <= expected) & (expected <= high)).all()
    true = expit(0.5 + 0.6 * logit(at))
    assert np.mean((low <= true) & (true <= high)) > 0.8


def test_one_prediction_for_everybody_is_one_point():
    assert len(calibration(np.full(400, 0.05), np.r_[np.ones(12), np.zeros(388)]).curve) == 1


def test_a_missing_prediction_leaves_its_patient_out():
    predicted, happened = simulated(300, 1)
    predicted[::3] = np.nan
    assert calibration(predicted, happened).patients == 200


def test_separated_data_end_with_numbers():
    x = np.linspace(-3, 3, 60)
    found = calibration(expit(x), (x > 0).astype(float))
    assert np.isfinite([found.slope.value, found.intercept_after]).all()


def test_drift_in_time_is_seen_and_none_is_not():
    rng = np.random.default_rng(2)
    day = np.arange(2000.0)
    p = np.full(2000, 0.2)
    steady = [drift(p, (rng.random(2000) < 0.2).astype(float), day).p for _ in range(200)]
    assert 0.01 <= np.mean(np.array(steady) < 0.05) <= 0.10
    rising = (rng.random(2000) < np.linspace(0.1, 0.3, 2000)).astype(float)
    assert drift(p, rising, day).p < 0.001


def test_drift_needs_days():
    assert drift(np.full(9, 0.2), np.ones(9), np.full(9, np.nan)) is None


def test_the_order_of_patients_within_a_day_says_nothing():
    rng = np.random.default_rng(4)
    p, y, day = np.full(300, 0.3), (rng.random(300) < 0.3).astype(float), np.repeat(np.arange(30.0), 10)
    mixed = rng.permutation(300)
    assert drift(p, y, day) == drift(p[mixed], y[mixed], day[mixed])


def test_within_a_day_nothing_drifts():
    y = np.r_[np.ones(50), np.zeros(50), np.ones(50), np.zeros(50)]
    found = drift(np.full(200, 0.5), y, np.repeat([0.0, 1.0], 100))
    assert found.distance == pytest.approx(0, abs=1e-9)


def test_wilson_has_the_published_value():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, 81 of 263


def coverage(draw, runs, n=400, share=0.9):
    held = []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        x, y = draw(rng, n)
        new_x, new_y = draw(rng, 500)
        low, high = split_conformal(x, y, share, seed=seed).interval(new_x).T
        held.append(np.mean((low <= new_y) & (new_y <= high)))
    return float(np.mean(held))


def lopsided(rng, n):
    x = rng.normal(size=(n, 2))
    return x, 2 + x @ [1.0, -0.5] + rng.exponential(1 + 0.3 * abs(x[:, 0]))


def curved(rng, n):
    x = rng.uniform(-2, 2, size=(n, 1))
    return x, np.sin(2 * x[:, 0]) + rng.standard_t(3, n)


@pytest.mark.parametrize("draw", [lopsided, curved])
def test_a_conformal_range_holds_its_share_whatever_the_distribution(draw):
    assert 0.88 <= coverage(draw, 60) <= 0.92


def test_a_range_from_few_patients_is_not_made():
    assert least_patients(0.9) == 38
    assert next_patient(np.arange(37.0), 0.9, (0.0, 100.0)) is None
    low, high = next_patient(np.arange(38.0), 0.9, (0.0, 100.0))
    assert low <= 5
    assert high > 32
    with pytest.raises(InvalidInput, match="too few"):
        split_conformal(np.empty((20, 0)), np.arange(20.0))


def test_a_range_stays_within_what_can_be():
    assert next_patient(np.r_[np.zeros(100), 1.0], 0.9, (0.0, 10.0))[0] == 0.0
