"""Open, make and migrate a registry: a SQLite file by its path, or PostgreSQL by its URL.

Reading sees one moment of the database from its first query to its last. Writing is one transaction: everything
in it happens or nothing does; SQLite lets one writer in at a time and has the next one wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from keyhole.errors import InvalidInput, MissingPart, StorageFailure, WrongRegistry
from keyhole.registry.faults import told
from keyhole.registry.models import VERSION_TABLE, Base, Setting

REVISIONS = ("0001", "0002")
"""Every version of the tables, oldest first."""

BUSY_SECONDS = 60
"""How long a writer waits for another one."""

_LOCK = 20250719  # of PostgreSQL's advisory locks: one program makes or migrates at a time


@dataclass(frozen=True, slots=True)
class Registry:
    """An open registry. `name` is its path or URL as it may be shown: without password."""

    engine: Engine = field(repr=False)
    name: str
    settings: Mapping[str, str]

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one moment of the database and writes nothing."""
        option = {} if self.is_file else {"isolation_level": "REPEATABLE READ"}
        with told(self.name), Session(self.engine.execution_options(**option)) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose work is kept whole when the block ends, and not at all when it fails."""
        writer = self.engine.execution_options(keyhole_writes=True)
        with told(self.name), Session(writer) as session, session.begin():
            session.connection()  # takes the writer's place now, not at the first query
            yield session

    @property
    def is_file(self) -> bool:
        """Whether it is a SQLite file."""
        return self.engine.dialect.name == "sqlite"

    @property
    def has_identities(self) -> bool:
        """Whether who the patients are may be kept, encrypted."""
        return self.settings.get("identities") == "encrypted"

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_registry(url: str | Path) -> Registry:
    """The registry at `url`, a path or ``postgresql://...``; refused if it is none or of another version."""
    address = _address(url)
    name = shown(address)
    _check_there(address, name)
    engine = _engine(address)
    try:
        with told(name), engine.connect() as connection:
            _check_version(_version(connection, name), name)
            rows = connection.execute(select(Setting.key, Setting.value)).all()
    except BaseException:
        engine.dispose()
        raise
    return Registry(engine, name, {row.key: row.value for row in rows})


def create(url: str | Path, *, identities: str = "none", settings: Mapping[str, str] | None = None) -> Registry:
    """A new registry at `url`, whole or not at all; an existing one is refused.

    `identities`: "none" (the table is not made) or "encrypted". `settings` go into the table of that name.
    """
    if identities not in ("none", "encrypted"):
        raise InvalidInput(f"identities: must be none or encrypted, got {identities!r}")
    address = _address(url)
    name = shown(address)
    claimed = _claim(address, name)
    engine = _engine(address)
    try:
        kept = {"schema": "keyhole.registry/1", "identities": identities} | dict(settings or {})
        with told(name):
            _fill(engine, name, kept)
    except BaseException:
        engine.dispose()
        if claimed is not None:
            for end in ("", "-wal", "-shm"):
                Path(f"{claimed}{end}").unlink(missing_ok=True)
        raise
    return Registry(engine, name, kept)


def migrate(url: str | Path, target: str = "head") -> tuple[str, str]:
    """Bring the registry at `url` to version `target`, up or down, in one transaction; returns before and after.

    "base" and whatever else would drop the tables is refused here; see `revert` of alembic for that.
    """
    address = _address(url)
    name = shown(address)
    _check_there(address, name)
    goal = REVISIONS[-1] if target == "head" else target
    if goal not in REVISIONS:
        raise InvalidInput(f"version: must be one of {', '.join(REVISIONS)} or head, got {target!r}")
    engine = _engine(address)
    try:
        with told(name), engine.execution_options(keyhole_writes=True).begin() as connection:
            _alone(connection)
            before = _version(connection, name)
            if before not in REVISIONS:
                _check_version(before, name)
            run_revisions(connection, goal)
    finally:
        engine.dispose()
    return before, goal


def run_revisions(connection: Connection, target: str, *, identities: str = "none") -> None:
    """Run alembic's revisions to `target` (a version, "head" or "base") on `connection`, in its transaction."""
    from alembic import command  # noqa: PLC0415 - slow to import, and only needed here
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    config = _configuration()
    config.attributes.update(connection=connection, identities=identities)
    heads = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    now = REVISIONS.index(heads[0]) if heads else -1
    wanted = {"head": len(REVISIONS) - 1, "base": -1}.get(target)
    if (REVISIONS.index(target) if wanted is None else wanted) >= now:
        command.upgrade(config, target)
    else:
        command.downgrade(config, target)


def _configuration() -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def open_name(url: str | Path) -> str:
    """The name of the registry at `url` as it may be shown: without password."""
    return shown(_address(url))


def shown(address: URL) -> str:
    """`address` without password; a SQLite file by its path."""
    if address.drivername == "sqlite":
        return str(address.database)
    return address.set(drivername="postgresql").render_as_string(hide_password=True)


def _address(url: str | Path) -> URL:
    """`url` as SQLAlchemy has it; a bare path is a SQLite file."""
    if not str(url).strip():
        raise InvalidInput("the registry needs a name: a file, or postgresql://user@host/name")
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidInput("the registry's URL cannot be read: expected postgresql://user@host/name") from error
    kind = address.drivername.partition("+")[0]
    if kind == "sqlite" and address.database and address.database != ":memory:":
        return URL.create("sqlite", database=address.database)
    if kind in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    raise InvalidInput(f"a registry is a SQLite file or postgresql://..., got {kind}://")


def _engine(address: URL) -> Engine:
    if address.drivername != "sqlite":
        try:
            return create_engine(address, connect_args={"connect_timeout": 10})
        except ModuleNotFoundError as error:
            raise MissingPart(
                "a registry on PostgreSQL needs psycopg, which is not installed; "
                'it comes with pip install "keyhole-spine[registry]"'
            ) from error
    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)
    return engine


def _connected(connection: Any, _: ConnectionPoolEntry) -> None:
    """Settings that hold for one connection only; the driver begins no transactions by itself."""
    connection.isolation_level = None
    for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begun(connection: Connection) -> None:
    """A writer takes its place at once, so that what it read cannot change before it writes."""
    writes = connection.get_execution_options().get("keyhole_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _claim(address: URL, name: str) -> Path | None:
    """Make the empty file of a new SQLite registry; None where it is there already, or for PostgreSQL."""
    if address.drivername != "sqlite":
        return None
    path = Path(name)
    if not path.parent.is_dir():
        raise WrongRegistry(f"{name} could not be made: there is no folder {path.parent}")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise WrongRegistry(f"{name} could not be made: it is a folder") from None
        return None
    except OSError as error:
        raise StorageFailure(f"{name} could not be made: {error.strerror}") from error
    return path


def _check_there(address: URL, name: str) -> None:
    if address.drivername == "sqlite" and not Path(name).is_file():
        raise WrongRegistry(f"{name} is not a registry: there is no such file; make one with `keyhole registry init`")


def _fill(engine: Engine, name: str, settings: Mapping[str, str]) -> None:
    """Every table and the settings in one transaction."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.connection.driver_connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[union-attr]
    with engine.execution_options(keyhole_writes=True).begin() as connection:
        _alone(connection)
        tables = set(inspect(connection).get_table_names())
        if VERSION_TABLE in tables:
            raise WrongRegistry(f"{name} is a registry already; nothing was changed")
        taken = sorted(tables & set(Base.metadata.tables))
        if taken or (tables and engine.dialect.name == "sqlite"):
            raise WrongRegistry(f"{name} holds other tables ({(taken or sorted(tables))[0]}); nothing was changed")
        run_revisions(connection, "head", identities=settings["identities"])
        connection.execute(insert(Setting), [{"key": k, "value": v} for k, v in sorted(settings.items())])


def _alone(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _version(connection: Connection, name: str) -> str:
    """The version that the tables have; "" where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        raise WrongRegistry(
            f"{name} is not a registry: it has no Keyhole tables; make one with `keyhole registry init`"
        )
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() or ""


def _check_version(version: str, name: str) -> None:
    if version == REVISIONS[-1]:
        return
    if version in REVISIONS:
        raise WrongRegistry(
            f"{name} has tables of version {version}, expected {REVISIONS[-1]}: run `keyhole registry migrate` first"
        )
    raise WrongRegistry(
        f"{name} has tables of version {version or 'none'}, this Keyhole knows up to {REVISIONS[-1]}: "
        "use the newer Keyhole that made them"
    )
