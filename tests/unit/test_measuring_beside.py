"""Measuring beside planning: whose failure is told, and what happens without the second process."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from keyhole.cli import beside
from keyhole.errors import NotInScan, WrongCase


@pytest.fixture
def calls(monkeypatch):
    """Cases that were measured; the process is a thread here, and what measuring raises can be set."""
    done = []
    raised = []

    def measure(case):
        done.append(case)
        if raised:
            raise raised.pop()

    monkeypatch.setattr(beside, "ProcessPoolExecutor", lambda n, mp_context: ThreadPoolExecutor(n))
    monkeypatch.setattr(beside, "_measure", measure)
    return done, raised


def test_the_case_is_measured_once_and_before_the_block_is_left(calls):
    with beside.measuring("case"):
        pass
    assert calls[0] == ["case"]


def test_a_failure_to_measure_is_told_before_that_of_the_block(calls):
    calls[1].append(WrongCase("not measured"))
    with pytest.raises(WrongCase, match="not measured"), beside.measuring("case"):
        raise NotInScan("not planned")


def test_a_failure_of_the_block_is_told_where_measuring_went_well(calls):
    with pytest.raises(NotInScan, match="not planned"), beside.measuring("case"):
        raise NotInScan("not planned")
    assert calls[0] == ["case"]


def test_without_the_second_process_the_case_is_measured_in_this_one(calls):
    calls[1].append(BrokenProcessPool("killed"))
    with beside.measuring("case"):
        pass
    assert calls[0] == ["case", "case"]


def test_where_no_process_can_be_started_the_case_is_measured_in_this_one(calls, monkeypatch):
    def none(n, mp_context):
        raise OSError("no semaphores")

    monkeypatch.setattr(beside, "ProcessPoolExecutor", none)
    with beside.measuring("case"):
        assert calls[0] == []
    assert calls[0] == ["case"]


def test_one_thread_means_one_after_the_other(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert not beside.has_two_cores()
