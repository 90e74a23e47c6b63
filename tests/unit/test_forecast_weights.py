"""Own and published results weighed together."""

import math

import numpy as np
import pytest

from keyhole.forecast.shrink import (
    LEAST_PATIENTS,
    Count,
    Guess,
    Prior,
    Sample,
    Share,
    at_least,
    shrunk_means,
    shrunk_risks,
)

PRIOR = Prior(Guess(5.0, 0.1), Guess(-2.0, 0.2), None, 1.7)


def test_without_own_patients_the_literature_stands():
    found = shrunk_means(PRIOR)
    assert (found.open.value, found.difference.value, found.planned.value) == (5.0, -2.0, 3.0)
    assert found.planned.variance == pytest.approx(0.3)
    assert (found.weights.planned, found.weights.open, found.weights.difference) == (0, 0, 0)


def test_without_literature_own_patients_stand():
    found = shrunk_means(Prior(), Sample(50, 4.0, 1.0), Sample(60, 3.0, 1.0))
    assert found.difference.value == pytest.approx(-1.0)
    assert found.planned.value == pytest.approx(3.0)
    assert found.weights.planned == pytest.approx(1.0)


def test_one_arm_of_own_patients_never_teaches_a_difference():
    found = shrunk_means(PRIOR, None, Sample(2000, 0.5, 0.8))
    assert found.difference == PRIOR.difference
    assert found.weights.difference == 0
    assert found.planned.value < 1.5  # both arms move together
    assert found.open.value - found.planned.value == pytest.approx(2.0)


def test_weights_are_how_far_a_figure_follows_own_patients():
    first = shrunk_means(PRIOR, Sample(15, 4.0, 1.7), Sample(15, 3.0, 1.7))
    moved = shrunk_means(PRIOR, Sample(15, 5.0, 1.7), Sample(15, 4.0, 1.7))
    assert moved.planned.value - first.planned.value == pytest.approx(first.weights.planned)
    assert moved.open.value - first.open.value == pytest.approx(first.weights.open)
    apart = shrunk_means(PRIOR, Sample(15, 4.0, 1.7), Sample(15, 4.0, 1.7))
    assert apart.difference.value - first.difference.value == pytest.approx(first.weights.difference)


def test_the_variance_of_a_mean_is_that_of_simulated_cohorts():
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(4000):
        b0, d0 = rng.normal(5, 0.1**0.5), rng.normal(-2, 0.2**0.5)
        open_, planned = rng.normal(5, 1.7 / 15**0.5), rng.normal(3, 1.7 / 15**0.5)
        prior = Prior(Guess(b0, 0.1), Guess(d0, 0.2), None, 1.7)
        found = shrunk_means(prior, Sample(15, open_, 1.7), Sample(15, planned, 1.7))
        draws.append((found.planned.value, found.open.value, found.difference.value))
    told = [found.planned.variance, found.open.variance, found.difference.variance]
    assert np.var(draws, axis=0) == pytest.approx(told, rel=0.08)


def test_the_literature_is_never_worth_less_than_its_least():
    assert at_least(100.0, 2.0, 1) == pytest.approx(4.0 / LEAST_PATIENTS)
    assert at_least(0.001, 2.0, 1) == 0.001
    assert at_least(100.0, None, 1) == 100.0


def test_what_differs_beyond_chance_is_called_a_conflict():
    assert not shrunk_means(PRIOR, Sample(30, 5.2, 1.7), Sample(30, 3.1, 1.7)).weights.conflict
    assert shrunk_means(PRIOR, Sample(400, 9.0, 1.7), Sample(400, 7.0, 1.7)).weights.conflict


def test_a_share_without_own_patients_is_the_published_one_times_the_ratio():
    found = shrunk_risks(Share(0.04, 200), Guess(math.log(0.5), 0.1), None, None)
    assert found.open.value == pytest.approx(0.04)
    assert found.planned.value == pytest.approx(0.02)
    assert found.ratio.value == math.log(0.5)


def test_a_share_after_own_patients_is_beta_binomial():
    found = shrunk_risks(Share(0.10, 30), None, Count(2, 30), None)
    assert found.open.value == pytest.approx((3 + 2) / 60)
    assert found.weights.open == pytest.approx(0.5)


def test_no_events_in_few_own_patients_never_make_a_risk_of_none():
    found = shrunk_risks(Share(0.04, 200), Guess(0.0, 0.1), Count(0, 10), Count(0, 10))
    assert 0.02 < found.planned.value < 0.04
    assert found.open.interval[0] > 0


def test_an_odds_ratio_is_no_risk_ratio():
    odds = shrunk_risks(Share(0.5, 100), Guess(math.log(3.0), 0.1), None, None, is_odds=True)
    assert odds.planned.value == pytest.approx(0.75)


def test_own_patients_of_the_planned_arm_alone_keep_the_ratio():
    found = shrunk_risks(Share(0.10, 30), Guess(math.log(0.5), 0.1), None, Count(100, 500))
    assert found.planned.value / found.open.value == pytest.approx(0.5, rel=0.02)
    assert found.planned.value == pytest.approx(0.2, abs=0.02)
    assert found.weights.difference == 0


def test_a_share_never_leaves_nought_and_one():
    found = shrunk_risks(Share(0.6, 30), Guess(math.log(5.0), 1.0), None, Count(10, 10))
    ends = (*found.planned.interval, *found.open.interval)
    assert all(0 <= end <= 1 for end in ends)


@pytest.mark.parametrize(("open_", "planned"), [(10, 10), (0, 20), (20, 0), (3, 17)])
def test_twenty_own_patients_weigh_less_than_the_literature(open_, planned):
    own = [None if n == 0 else Sample(n, 1.0, 1.7) for n in (open_, planned)]
    found = shrunk_means(PRIOR, *own)
    assert max(found.weights.planned, found.weights.open, found.weights.difference) < 0.5
    counts = [None if n == 0 else Count(n // 2, n) for n in (open_, planned)]
    risks = shrunk_risks(Share(0.05, LEAST_PATIENTS), Guess(math.log(0.6), 0.3), *counts)
    assert max(risks.weights.planned, risks.weights.open) < 0.5


@pytest.mark.parametrize(("open_", "planned"), [(1000, 1000), (0, 2000), (2000, 0), (100, 1900)])
def test_two_thousand_own_patients_outweigh_the_literature(open_, planned):
    own = [None if n == 0 else Sample(n, value, 1.7) for n, value in ((open_, 2.0), (planned, 1.0))]
    found = shrunk_means(PRIOR, *own)
    if planned:
        assert found.planned.value == pytest.approx(1.0, abs=0.12)
    if open_ in {1000, 2000}:
        assert found.open.value == pytest.approx(2.0, abs=0.12)
    assert max(found.weights.planned, found.weights.open) > 0.95


def test_few_own_open_patients_do_not_turn_hospitals_into_operations():
    found = shrunk_means(PRIOR, Sample(3, 1.1, 1.7), Sample(2000, 1.0, 1.7))
    assert found.planned.value == pytest.approx(1.0, abs=0.05)
    assert -2.0 <= found.difference.value < -1.5  # three patients teach little
    assert found.planned.value - found.open.value == pytest.approx(found.difference.value)


def test_a_ratio_is_learned_from_both_arms_only():
    prior, ratio = Share(0.10, 30), Guess(math.log(0.5), 0.1)
    assert shrunk_risks(prior, ratio, None, Count(900, 3000)).ratio == ratio
    both = shrunk_risks(prior, ratio, Count(300, 3000), Count(300, 3000))
    assert math.exp(both.ratio.value) == pytest.approx(1.0, abs=0.06)
    assert both.planned.value == pytest.approx(0.10, abs=0.01)


def test_intervals_after_own_patients_hold_the_truth():
    rng = np.random.default_rng(0)
    held, runs = np.zeros(5), 700
    for _ in range(runs):
        level, gap = rng.normal(5, 0.3), rng.normal(-2, 0.45)
        n0, n = rng.integers(2, 80, 2)
        arms = (rng.normal(level, 1.7, n0), rng.normal(level + gap, 1.7, n))
        own = [Sample(len(y), y.mean(), max(y.std(ddof=1), 0.3)) for y in arms]
        found = shrunk_means(Prior(Guess(5, 0.09), Guess(-2, 0.2025), None, 1.7), *own)
        share, ratio = rng.beta(3, 47), math.exp(rng.normal(-0.5, 0.3))
        m0, m = (int(k) for k in rng.integers(5, 400, 2))
        counts = (Count(rng.binomial(m0, share), m0), Count(rng.binomial(m, min(share * ratio, 0.95)), m))
        risks = shrunk_risks(Share(0.06, 50), Guess(-0.5, 0.09), *counts)
        told = (found.planned, found.open, found.difference, risks.planned, risks.open)
        truth = (level + gap, level, gap, min(share * ratio, 0.95), share)
        held += [one.interval[0] <= true <= one.interval[1] for one, true in zip(told, truth, strict=True)]
    assert (held / runs >= 0.92).all()
    assert (held / runs <= 0.98).all()
