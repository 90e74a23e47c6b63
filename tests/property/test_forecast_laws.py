"""Laws of the forecast with whatever own patients."""

import math
import warnings

from hypothesis import given, settings
from hypothesis import strategies as st

from keyhole.evidence import procedures
from keyhole.forecast import parse_cohort
from keyhole.forecast.case import _outcomes
from keyhole.forecast.shrink import Count, Guess, Prior, Sample, Share, shrunk_means, shrunk_risks

OPERATIONS = [(key, t.approach) for key, one in procedures().items() for t in one.techniques]
COLUMNS = {
    "stay": st.sampled_from(["", "0", "1", "2.5", "40"]),
    "blood_loss": st.sampled_from(["", "0", "100", "2000"]),
    "infection": st.sampled_from(["", "0", "1"]),
    "recurrence": st.sampled_from(["", "0", "1"]),
    "return_to_work": st.sampled_from(["", "20", "90"]),
    "odi_0": st.sampled_from(["", "0", "50", "100"]),
    "odi_12": st.sampled_from(["", "0", "20", "100"]),
    "leg_pain_7": st.sampled_from(["", "0", "10"]),
}


@st.composite
def cohorts(draw):
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4, unique=True))
    rows = draw(
        st.lists(st.tuples(st.sampled_from(["miss", "open"]), *(COLUMNS[n] for n in names)), min_size=1, max_size=60)
    )
    lines = [",".join(["patient", "arm", *names])]
    lines += [",".join([f"p{k}", *row]) for k, row in enumerate(rows)]
    return parse_cohort("\n".join(lines), "own.csv")


@settings(max_examples=40, deadline=None)
@given(own=cohorts(), which=st.sampled_from(OPERATIONS))
def test_no_own_patients_make_an_impossible_forecast(own, which):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _outcomes(*which, own)
    for one in found:
        top = {"risk": 1.0, "curve": 100.0}.get(one.kind, 1e5)
        for side in (one.planned, one.open, *(p for point in one.curve for p in (point.planned, point.open))):
            if side.value is not None:
                low, high = side.interval or (side.value, side.value)
                assert 0 <= low <= side.value <= high <= top
        if one.weighing is not None:
            assert all(0 <= w <= 1 for w in (one.weighing.planned, one.weighing.open, one.weighing.difference))


guesses = st.builds(Guess, st.floats(-50, 50), st.floats(0.01, 100))
samples = st.builds(Sample, st.integers(2, 5000), st.floats(-50, 50), st.floats(0.1, 50))
maybe = st.one_of(st.none(), guesses)


@given(
    b=maybe, d=maybe, open_=st.one_of(st.none(), samples), planned=st.one_of(st.none(), samples), c=st.floats(-20, 20)
)
def test_moving_everything_moves_both_arms_and_not_the_difference(b, d, open_, planned, c):
    def moved(one):
        return (
            None
            if one is None
            else type(one)(
                *((one.value + c, one.variance) if isinstance(one, Guess) else (one.n, one.mean + c, one.sd))
            )
        )

    first = shrunk_means(Prior(b, d, None, 5.0), open_, planned)
    after = shrunk_means(Prior(moved(b), d, None, 5.0), moved(open_), moved(planned))
    for one, other in ((first.planned, after.planned), (first.open, after.open)):
        assert (one is None) == (other is None)
        if one is not None:
            assert math.isclose(other.value, one.value + c, abs_tol=1e-6)
    if first.difference is not None:
        assert math.isclose(after.difference.value, first.difference.value, abs_tol=1e-6)


@given(b=guesses, d=guesses, open_=samples, planned=samples)
def test_exchanging_the_arms_turns_the_difference(b, d, open_, planned):
    one = shrunk_means(Prior(b, d, None, 5.0), open_, planned).difference
    other = shrunk_means(Prior(b, Guess(-d.value, d.variance), None, 5.0), planned, open_).difference
    assert math.isclose(one.value, -other.value, abs_tol=1e-9)
    assert math.isclose(one.variance, other.variance)


@given(
    share=st.floats(0.001, 0.6),
    worth=st.floats(30, 2000),
    ratio=st.one_of(st.none(), st.builds(Guess, st.floats(-3, 3), st.floats(0.001, 4))),
    open_=st.one_of(st.none(), st.integers(1, 400)),
    planned=st.one_of(st.none(), st.integers(1, 400)),
    events=st.floats(0, 1),
    is_odds=st.booleans(),
)
def test_more_events_never_make_a_risk_smaller(share, worth, ratio, open_, planned, events, is_odds):
    def made(part):
        counts = [None if n is None else Count(round(part * n), n) for n in (open_, planned)]
        return shrunk_risks(Share(share, worth), ratio, *counts, is_odds=is_odds)

    low, high = made(events / 2), made(events)
    for one, other in ((low.open, high.open),):
        assert other.value >= one.value - 1e-9
    for one in (low.planned, low.open, high.planned, high.open):
        if one is not None:
            assert 0 <= one.interval[0] <= one.value <= one.interval[1] <= 1
