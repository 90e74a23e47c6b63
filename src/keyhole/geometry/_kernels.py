"""Typed door to numba, and small compiled helpers that modules share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

prange = numba.prange


def compiled(*, parallel: bool = False) -> Callable[[F], F]:
    """Numba's njit with the compiled code kept on disk; never fastmath, which would void nan."""

    def decorate(function: F) -> F:
        made: F = numba.njit(cache=True, parallel=parallel, nogil=True)(function)
        return made

    return decorate


@contextmanager
def serial() -> Iterator[None]:
    """One thread for the kernels called inside: waking the others costs more than a single corridor does."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
