"""Laws of the advice: worse news is never milder advice, none never advances, the rows' order does not matter."""

import random
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from progress_case import START, followed, ready, seen

from keyhole.recovery.progress.model import ORDER
from keyhole.recovery.progress.series import better, worse_by

SCALES = {
    "odi": tuple(2.0 * n for n in range(51)),
    "nrs-leg": tuple(map(float, range(11))),
    "nrs-back": tuple(map(float, range(11))),
    "steps": tuple(100.0 * n for n in range(91)),
    "5r-sts": tuple(map(float, range(5, 41))),
    "criterion/wound": (0.0, 1.0),
    "red-flag/fever": (0.0, 0.0, 0.0, 1.0),
    "red-flags": (0.0, 0.0, 0.0, 1.0),
}
TODAY = 40
SEEDS = st.integers(0, 2**32 - 1).map(random.Random)


def one(chance, first=-20, last=TODAY):
    key = chance.choice(sorted(SCALES))
    return seen(key, chance.randint(first, last), chance.choice(SCALES[key]))


def rows_of(chance):
    """Half of the time all that is needed to advance, and some more."""
    base = ready(TODAY) if chance.random() < 0.5 else []
    if chance.random() < 0.3:
        base = [*base, seen("phase", chance.randint(10, TODAY), chance.choice((1.0, 2.0)))]
    return [*base, *(one(chance) for _ in range(chance.randint(0, 10)))]


def urgency(rows, day=TODAY):
    return ORDER.index(followed(rows, day).advice.word)


def day_of(row):
    return (row.date - START).days


def worse_news(chance):
    """Rows, and a value of something known today that is no better than any of its kind; None where there is none."""
    rows = rows_of(chance)
    began = max((day_of(row) for row in rows if row.instrument == "phase"), default=1)
    first = max(began, TODAY - 3)
    fresh = {row.instrument for row in rows if day_of(row) >= first and row.instrument in SCALES}
    if len({row.date for row in rows if row.instrument == "steps" and row.date > START}) < 3:
        fresh -= {"steps"}  # fewer than three values are unknown
    if not fresh:
        return None
    key = chance.choice(sorted(fresh))
    held = [row.value for row in rows if row.instrument == key and row.date > START]
    worst = max(held, key=lambda value: worse_by(key, value, 0.0))
    able = [value for value in SCALES[key] if worse_by(key, value, worst) >= 0]
    return (rows, seen(key, chance.randint(1, TODAY), chance.choice(able))) if able and held else None


def check_worse_news(chance):
    made = worse_news(chance)
    if made is not None:
        rows, more = made
        assert urgency([*rows, more]) <= urgency(rows), (rows, more)


def check_last_made_worse(chance):
    rows = rows_of(chance)
    after = [row for row in rows if row.date > START and row.instrument in SCALES]
    if not after:
        return
    row = chance.choice(after)
    same = [other for other in rows if other.instrument == row.instrument and other.date >= row.date]
    able = [value for value in SCALES[row.instrument] if worse_by(row.instrument, value, row.value) >= 0]
    if len(same) == 1:
        other = [seen(row.instrument, day_of(row), chance.choice(able)) if one is row else one for one in rows]
        assert urgency(other) <= urgency(rows), (rows, other)


@settings(max_examples=60)
@given(SEEDS)
def test_the_order_of_the_rows_does_not_matter(chance):
    rows = rows_of(chance)
    mixed = list(rows)
    chance.shuffle(mixed)
    assert followed(mixed, TODAY) == followed(rows, TODAY)


@settings(max_examples=200)
@given(SEEDS)
def test_a_worse_value_never_makes_the_advice_milder(chance):
    """Of what is known today already: the first value after a silence is news of another kind."""
    check_worse_news(chance)


@settings(max_examples=200)
@given(SEEDS)
def test_the_last_value_made_worse_never_makes_the_advice_milder(chance):
    check_last_made_worse(chance)


@pytest.mark.slow
@settings(max_examples=1500)
@given(SEEDS)
def test_worse_news_is_never_milder_advice_in_thousands_of_histories(chance):
    check_worse_news(chance)
    check_last_made_worse(chance)


@settings(max_examples=60)
@given(SEEDS, st.integers(-10, 900))
def test_nothing_observed_after_the_operation_never_advances(chance, day):
    rows = [row for row in rows_of(chance) if row.date <= START and row.instrument != "phase"]
    assert followed(rows, day).advice.word != "advance"


@settings(max_examples=60)
@given(SEEDS)
def test_a_needed_value_taken_away_never_advances(chance):
    key = chance.choice(("nrs-leg", "criterion/wound", "red-flag"))
    left = [row for row in rows_of(chance) if not row.instrument.startswith(key) and row.instrument != "phase"]
    assert followed(left, TODAY).advice.word != "advance"


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 400))
def test_time_alone_never_brings_an_advance(chance, days):
    rows = rows_of(chance)
    if followed(rows, TODAY).advice.word != "advance":
        assert followed(rows, TODAY + days).advice.word != "advance"


@settings(max_examples=60)
@given(SEEDS, st.integers(0, TODAY), st.sampled_from(("red-flag/saddle", "red-flag/fever", "red-flags")))
def test_a_warning_sign_calls_whatever_else_is_known(chance, day, key):
    assert followed([*rows_of(chance), seen(key, day, 1)], TODAY).advice.word == "call"


@settings(max_examples=60)
@given(SEEDS)
def test_every_advice_has_a_reason_and_is_the_most_urgent_of_them(chance):
    found = followed(rows_of(chance), TODAY).advice
    assert found.reasons
    assert found.word == min((reason.advice for reason in found.reasons), key=ORDER.index)
    assert all(reason.rule and reason.says and reason.evidence and reason.source for reason in found.reasons)


def test_the_laws_are_tried_on_histories_of_every_advice():
    words = [followed(rows_of(random.Random(seed)), TODAY).advice.word for seed in range(200)]
    assert min(words.count(word) for word in ORDER) >= 5
    assert sum(worse_news(random.Random(seed)) is not None for seed in range(200)) >= 100
    assert {better(key) for key in SCALES} == {"lower", "higher"}
    assert START + timedelta(days=TODAY) == followed([], TODAY).today
