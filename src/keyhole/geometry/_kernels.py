"""Typed door to numba, and small compiled helpers that modules share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

prange = numba.prange

_TURN = Lock()


def compiled(*, parallel: bool = False) -> Callable[[F], F]:
    """Numba's njit with the compiled code kept on disk; never fastmath, which would void nan.

    Kernels that use several threads run one at a time: each takes all cores, and where neither TBB nor OpenMP is
    installed numba ends the whole process when two are called at once.
    """

    def decorate(function: F) -> F:
        made: F = numba.njit(cache=True, parallel=parallel, nogil=True)(function)
        return _alone(made) if parallel else made

    return decorate


def _alone(kernel: F) -> F:
    @wraps(kernel)
    def call(*values: Any) -> Any:
        with _TURN:
            return kernel(*values)

    return cast("F", call)


@contextmanager
def serial() -> Iterator[None]:
    """One thread for the kernels called inside: waking the others costs more than a single corridor does."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
