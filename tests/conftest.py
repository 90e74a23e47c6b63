"""What holds for every test."""

from pathlib import Path

import pytest
from hypothesis import settings

import one_thread_each  # noqa: F401  # first: what it sets is read when numpy and numba are imported
from registry_databases import empty_url, ready_url

settings.register_profile("keyhole", deadline=None, derandomize=True)  # a busy machine is no failure; same examples
settings.load_profile("keyhole")


DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))  # a server's seconds: CI runs both


@pytest.fixture(params=DATABASES)
def registry_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registry without records, once as a SQLite file and once in a real PostgreSQL: its path or URL."""
    return ready_url(request.param, tmp_path)


@pytest.fixture(params=DATABASES)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The path or URL of a database without tables, once SQLite (no file yet) and once PostgreSQL."""
    return empty_url(request.param, tmp_path)
