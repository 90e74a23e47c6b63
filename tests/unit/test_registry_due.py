"""The schedule of questionnaires, and who is to be asked today."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from keyhole.recovery.instruments import instruments
from keyhole.registry.audit import working
from keyhole.registry.database import open_registry
from keyhole.registry.due import due, instruments_asked
from keyhole.registry.record import record, void
from keyhole.registry.schedule import VISITS, asked, visit_of

AT = datetime(2026, 6, 1, tzinfo=UTC)
SURGERY = date(2024, 1, 10)
LONG_AFTER = date(2030, 1, 1)


@pytest.fixture
def registry(registry_url):
    with open_registry(registry_url) as opened:
        put(opened, "patient", pseudonym="P1")
        put(opened, "episode", code="E1", patient="P1", surgery_date=SURGERY.isoformat(), centre="north")
        yield opened


def put(registry, entity, **given):
    with working(registry, "ann", AT) as work:
        return record(work, entity, given, today=LONG_AFTER)


def listed(registry, days, groups=(("odi",), ("nrs-leg", "vas-leg"))):
    with registry.reading() as session:
        return due(session, SURGERY + timedelta(days=days), groups=groups)


def test_the_windows_follow_each_other_without_touching_and_hold_the_day_meant():
    assert [visit.key for visit in VISITS] == ["baseline", "6w", "3m", "6m", "12m", "24m"]
    for before, after in pairwise(VISITS):
        assert before.last < after.first
    assert all(visit.first <= visit.target <= visit.last for visit in VISITS)
    assert [visit_of(d) for d in (-1, 0, 1, 27, 28, 70, 71, 136, 137, 1095, 1096)] == [
        "baseline", "baseline", None, None, "6w", "6w", "3m", "3m", "6m", "24m", None,
    ]  # fmt: skip
    assert {key for group in asked() for key in group} <= set(instruments())


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (-200, []),
        (-30, [("baseline", "due", 30, True)]),
        (0, [("baseline", "due", 0, True)]),
        (1, []),
        (27, []),
        (28, [("6w", "due", 14, True)]),
        (42, [("6w", "due", 0, True)]),
        (43, [("6w", "overdue", 1, True)]),
        (70, [("6w", "overdue", 28, True)]),
        (71, [("3m", "due", 20, True), ("6w", "overdue", 29, False)]),
    ],
)
def test_a_visit_is_due_from_the_first_day_of_its_window_and_overdue_after_the_day_meant(registry, days, expected):
    assert [(one.visit, one.status, one.days, one.is_open) for one in listed(registry, days)] == expected


def test_a_visit_says_what_is_missing_and_until_when_it_counts(registry):
    (one,) = listed(registry, 50)
    assert (one.episode, one.patient, one.centre) == ("E1", "P1", "north")
    assert one.missing == ("odi", "nrs-leg")
    assert one.closes == SURGERY + timedelta(days=70)
    put(registry, "response", episode="E1", instrument="vas-leg", date="2024-02-25", value=3)
    assert listed(registry, 50)[0].missing == ("odi",)
    put(registry, "response", episode="E1", instrument="odi", date="2024-02-25", value=30)
    assert listed(registry, 50) == ()


def test_an_answer_taken_back_is_asked_for_again(registry):
    for instrument, value in (("odi", 30), ("nrs-leg", 3)):
        put(registry, "response", episode="E1", instrument=instrument, date="2024-02-25", value=value)
    assert listed(registry, 50) == ()
    with working(registry, "ann", AT) as work:
        void(work, "response", "1", reason="wrong patient")
    assert listed(registry, 50)[0].missing == ("odi",)


def test_nobody_is_asked_after_death_or_once_taken_back(registry):
    put(registry, "complication", episode="E1", code="death", date="2024-02-20")
    assert listed(registry, 35) != ()
    assert listed(registry, 50) == ()
    put(registry, "patient", pseudonym="P2")
    put(registry, "episode", code="E2", patient="P2", surgery_date=SURGERY.isoformat())
    assert [one.episode for one in listed(registry, 50)] == ["E2"]
    with working(registry, "ann", AT) as work:
        void(work, "patient", "P2", reason="withdrew")
    assert listed(registry, 50) == ()


def test_before_the_day_is_known_only_the_baseline_is_due(registry):
    put(registry, "episode", code="E0", patient="P1")
    assert [(one.visit, one.status) for one in listed(registry, 5)] == [("baseline", "due")]


def test_those_that_still_count_come_first_and_the_longest_overdue_of_them(registry):
    for code, days in (("A", 5), ("B", 20)):
        put(registry, "episode", code=code, patient="P1", surgery_date=(SURGERY + timedelta(days=days)).isoformat())
    found = [(one.episode, one.visit, one.is_open) for one in listed(registry, 71)]
    assert found == [
        ("A", "6w", True),
        ("B", "6w", True),
        ("E1", "3m", True),
        ("E1", "6w", False),
    ]


def test_an_episode_leaves_the_list_when_nothing_of_it_can_be_asked_any_more(registry):
    assert {one.visit for one in listed(registry, 1095)} == {"6w", "3m", "6m", "12m", "24m"}
    assert listed(registry, 1096) == ()


def test_a_registry_may_ask_for_its_own_instruments():
    assert instruments_asked({}) == asked()
    assert instruments_asked({"instruments": '[["odi"], ["nrs-leg", "vas-leg"]]'}) == (("odi",), ("nrs-leg", "vas-leg"))
