"""Measuring beside planning: two stages that need nothing of each other, on two cores."""

from __future__ import annotations

import os
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyhole.casefile import Case


@contextmanager
def measuring(case: Case) -> Iterator[None]:
    """`assess` of `case` in a process of its own while the block runs; findings.json is there after it.

    A failure to measure is told before a failure of the block. Where the process cannot be had, or is ended from
    outside, the case is measured here afterwards.
    """
    with ExitStack() as stack:
        measured = _begun(stack, case)
        try:
            yield
        except Exception:
            _wait(measured, case)
            raise
        _wait(measured, case)


def _begun(stack: ExitStack, case: Case) -> Future[None] | None:
    """The measuring, in a process that ends with `stack`; None where the system has no semaphores or no room for it."""
    try:
        pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        return pool.submit(_measure, case)
    except (ImportError, OSError, RuntimeError):
        return None


def _wait(measured: Future[None] | None, case: Case) -> None:
    if measured is None:
        _measure(case)
        return
    try:
        measured.result()
    except BrokenProcessPool:
        _measure(case)


def has_two_cores() -> bool:
    """Whether there is a second core to use; `NUMBA_NUM_THREADS=1` says no."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1 and os.environ.get("NUMBA_NUM_THREADS", "2") != "1"


def _measure(case: Case) -> None:
    from keyhole.assessment import assess_case

    assess_case(case)
