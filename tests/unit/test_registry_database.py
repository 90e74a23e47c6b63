"""Making, migrating and opening a registry, on SQLite and on PostgreSQL."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, text

from keyhole.errors import InvalidInput, KeyholeError, StorageFailure, WrongRegistry
from keyhole.registry import database
from keyhole.registry.database import REVISIONS, create, migrate, open_registry, run_revisions
from keyhole.registry.faults import told
from keyhole.registry.models import VERSION_TABLE, Base

BATCH = "INSERT INTO batches (file, sha256, started, actor, rows, skipped) VALUES ('a', 'b', '2026-01-01', 'c', 1, 0)"
AUDIT = "INSERT INTO audit (at, actor, action, entity) VALUES ('2026-01-01', 'x', 'insert', 'patients')"


def _writing(registry):
    return registry.engine.execution_options(keyhole_writes=True).begin()


def _schema(registry):
    with registry.engine.connect() as connection:
        seen = inspect(connection)
        return {
            table: (
                sorted((c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(table)),
                sorted(str(i["name"]) for i in seen.get_indexes(table)),
                sorted(str(k["name"]) for k in seen.get_foreign_keys(table)),
                sorted(str(k["name"]) for k in seen.get_check_constraints(table)),
            )
            for table in seen.get_table_names()
            if table != VERSION_TABLE
        }


def _fail(_):
    raise KeyError("stop")


@pytest.mark.parametrize("identities", ["none", "encrypted"])
def test_the_migrated_tables_are_those_of_the_models(empty_database, identities):
    with create(empty_database, identities=identities) as registry:
        with registry.engine.connect() as connection:
            options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
            found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
        migrated = _schema(registry)
        with _writing(registry) as connection:
            run_revisions(connection, "base")
            Base.metadata.create_all(connection)
        modelled = _schema(registry)
    missing = [diff[1].name for diff in found if isinstance(diff, tuple)]
    assert missing == ([] if identities == "encrypted" else ["identities"])
    assert len(found) == len(missing)
    if identities == "none":
        del modelled["identities"]
    assert migrated == modelled


def test_versions_go_up_and_down_whole_and_keep_the_rows(empty_database):
    with create(empty_database) as registry, _writing(registry) as connection:
        connection.execute(text(BATCH))
        connection.execute(text(AUDIT))
    assert migrate(empty_database, "0001") == ("0002", "0001")
    with pytest.raises(WrongRegistry, match=r"version 0001, expected 0002: run `keyhole registry migrate` first"):
        open_registry(empty_database)
    assert migrate(empty_database) == ("0001", "0002")
    with open_registry(empty_database) as registry:
        with registry.reading() as session:
            assert session.execute(text("SELECT count(*) FROM batches")).scalar() == 1
        with pytest.raises(InvalidInput), registry.writing() as session:
            session.execute(text("DELETE FROM audit"))
        with _writing(registry) as connection:
            run_revisions(connection, "base")
            assert inspect(connection).get_table_names() == [VERSION_TABLE]
            run_revisions(connection, "head")
    with open_registry(empty_database) as registry:
        assert registry.settings == {}


def test_without_its_triggers_a_registry_of_the_first_version_would_forget(empty_database):
    with create(empty_database) as registry, _writing(registry) as connection:
        connection.execute(text(AUDIT))
    migrate(empty_database, "0001")
    engine = database._engine(database._address(empty_database))
    with engine.execution_options(keyhole_writes=True).begin() as connection:
        assert connection.execute(text("DELETE FROM audit")).rowcount == 1
    engine.dispose()


def test_a_failing_revision_leaves_the_version_as_it_was(registry_url):
    with open_registry(registry_url) as registry, _writing(registry) as connection:
        trigger = "keyhole_measures_update" if registry.is_file else "keyhole_keep ON measures"
        connection.execute(text(f"DROP TRIGGER {trigger}"))  # which the way down expects
        connection.execute(text("INSERT INTO patients (pseudonym) VALUES ('P1')"))
    with pytest.raises(KeyholeError):
        migrate(registry_url, "0001")
    with open_registry(registry_url) as registry, pytest.raises(InvalidInput), registry.writing() as session:
        session.execute(text("DELETE FROM patients"))


def test_the_known_versions_are_those_of_the_package():
    script = ScriptDirectory.from_config(database._configuration())
    assert tuple(reversed([one.revision for one in script.walk_revisions()])) == REVISIONS


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'another'",
        "DELETE FROM audit",
        "DELETE FROM patients",
        "DELETE FROM episodes",
        "DELETE FROM responses",
        "UPDATE patients SET sex = 'M'",
        "UPDATE episodes SET version = 3",
        "UPDATE responses SET value = 1",
        "UPDATE responses SET value = 1, voided_at = '2026-01-02'",
    ],
)
def test_the_database_itself_keeps_what_was_recorded(one_of_each, statement):
    with pytest.raises(InvalidInput, match="rows of (audit|patients|episodes|responses) "), one_of_each.writing() as s:
        s.execute(text(statement))


def test_the_databases_own_ways_around_the_trail_are_closed_too(one_of_each):
    if one_of_each.is_file:
        around = [
            "INSERT OR REPLACE INTO audit (id, at, actor, action, entity) VALUES (1, '2026-01-01', 'y', 'insert', 'z')",
            "INSERT OR REPLACE INTO responses (id, episode_id, instrument, visit, date, value) "
            "VALUES (9, 1, 'odi', '6w', '2026-02-20', 0)",
        ]
    else:
        around = ["TRUNCATE audit", "TRUNCATE responses CASCADE", "TRUNCATE patients CASCADE"]
    for statement in around:
        with pytest.raises(InvalidInput, match="kept|never changed"), one_of_each.writing() as session:
            session.execute(text(statement))


def test_a_row_is_taken_back_once_and_stays_so(one_of_each):
    with one_of_each.writing() as session:
        session.execute(text("UPDATE responses SET voided_at = '2026-03-01 00:00:00'"))
    for again in ("'2026-04-01 00:00:00'", "NULL"):
        with pytest.raises(InvalidInput, match="responses"), one_of_each.writing() as session:
            session.execute(text(f"UPDATE responses SET voided_at = {again}"))


@pytest.fixture
def one_of_each(registry_url):
    with open_registry(registry_url) as registry:
        with registry.writing() as session:
            for statement in (
                AUDIT,
                "INSERT INTO patients (pseudonym) VALUES ('P1')",
                "INSERT INTO episodes (code, patient_id) VALUES ('E1', 1)",
                "INSERT INTO responses (episode_id, instrument, visit, date, value) "
                "VALUES (1, 'odi', '6w', '2026-02-20', 30)",
            ):
                session.execute(text(statement))
        yield registry


def test_a_row_that_points_nowhere_is_refused(registry_url):
    with open_registry(registry_url) as registry, pytest.raises(KeyholeError), registry.writing() as session:
        session.execute(text("INSERT INTO episodes (code, patient_id) VALUES ('E1', 7)"))


def test_what_fails_within_a_transaction_leaves_nothing_of_it(registry_url):
    with open_registry(registry_url) as registry:
        with pytest.raises(KeyError), registry.writing() as session:
            _fail(session.execute(text(BATCH)))
        with registry.reading() as session:
            assert session.execute(text("SELECT count(*) FROM batches")).scalar() == 0


def test_a_reader_sees_one_moment_while_another_writes(registry_url):
    with open_registry(registry_url) as registry, registry.reading() as reader:
        assert reader.execute(text("SELECT count(*) FROM batches")).scalar() == 0
        with registry.writing() as writer:
            writer.execute(text(BATCH))
        assert reader.execute(text("SELECT count(*) FROM batches")).scalar() == 0


def test_a_second_registry_is_not_made_over_the_first(registry_url):
    with pytest.raises(WrongRegistry, match="is a registry already; nothing was changed"):
        create(registry_url)
    open_registry(registry_url).close()


def test_a_newer_registry_is_refused_in_one_sentence(registry_url):
    with open_registry(registry_url) as registry, _writing(registry) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0099'"))
    for use in (open_registry, migrate):
        with pytest.raises(WrongRegistry, match="0099, this Keyhole knows up to 0002: use the newer Keyhole"):
            use(registry_url)


def test_where_there_is_no_registry_the_sentence_says_how_to_make_one(empty_database):
    with pytest.raises(WrongRegistry, match="is not a registry: (there is no such file|it has no Keyhole tables)"):
        open_registry(empty_database)


def test_files_that_are_no_registry_are_refused_and_left_alone(tmp_path):
    text_file, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text_file.write_text("no database " * 100)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = text_file.read_bytes(), other.read_bytes()
    with pytest.raises(WrongRegistry, match="no SQLite database"):
        open_registry(text_file)
    with pytest.raises(WrongRegistry, match="no Keyhole tables"):
        open_registry(other)
    with pytest.raises(WrongRegistry, match="no SQLite database"):
        create(text_file)
    with pytest.raises(WrongRegistry, match="holds other tables"):
        create(other)
    assert text_file.read_bytes() == before[0]
    with sqlite3.connect(other) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    connection.close()


def test_a_registry_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(WrongRegistry, match="there is no folder"):
        create(tmp_path / "missing" / "registry.db")
    with pytest.raises(WrongRegistry, match="it is a folder"):
        create(tmp_path)
    monkeypatch.setattr(database, "run_revisions", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        create(tmp_path / "registry.db")
    assert list(tmp_path.iterdir()) == []


MANY = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    SELECT 'a', 'b', '2026-01-01', 'c', 1, 0 FROM n"""


@pytest.mark.parametrize(
    ("pragma", "sentence"),
    [("max_page_count = 20", "the disk is full; nothing was written"), ("query_only = ON", "it is read-only; nothing")],
)
def test_a_full_disk_and_a_read_only_one_are_told_in_one_sentence(tmp_path, pragma, sentence):
    with create(tmp_path / "registry.db") as registry:
        event.listen(registry.engine, "connect", lambda c, _: c.execute(f"PRAGMA {pragma}"))
        registry.engine.dispose()
        with pytest.raises(StorageFailure, match=sentence), registry.writing() as session:
            session.execute(text(f"{BATCH[: BATCH.index('VALUES')]} {MANY}"))
        with registry.reading() as session:
            assert session.execute(text("SELECT count(*) FROM batches")).scalar() == 0


@pytest.mark.parametrize(
    ("said", "kind", "sentence"),
    [
        ("database or disk is full", StorageFailure, "the disk is full; nothing was written"),
        ("could not extend file: No space left on device\nHINT: x", StorageFailure, "the disk is full"),
        ("permission denied for table audit", StorageFailure, "may not be written by this user"),
        ("database disk image is malformed", WrongRegistry, "is damaged: SQLite cannot read all of it"),
        ("attempt to write a readonly database", StorageFailure, "it is read-only"),
        ("deadlock detected\nDETAIL: y", StorageFailure, "could not be read or written: deadlock detected; nothing"),
    ],
)
def test_what_a_driver_says_becomes_one_sentence(said, kind, sentence):
    with pytest.raises(kind, match=sentence) as told_of, told("r.db"):
        raise sqlite3.OperationalError(said)
    assert str(told_of.value).startswith("r.db ")
    assert "\n" not in str(told_of.value)


def test_another_program_that_holds_the_file_is_waited_for_and_then_told(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    refused = pytest.raises(StorageFailure, match="held by another program")
    with create(tmp_path / "registry.db") as registry, registry.writing(), refused, registry.writing():
        pass


def test_urls_are_read_and_shown_without_their_password():
    assert database.open_name("postgres://me:secret@host/db") == "postgresql://me:***@host/db"
    assert database.open_name("sqlite:///a/b.db") == "a/b.db"
    for wrong in ("mysql://x/y", "://", "sqlite://", "sqlite:///:memory:", ""):
        with pytest.raises(InvalidInput):
            database.open_name(wrong)


def test_a_server_that_does_not_answer_is_told_without_the_password():
    with pytest.raises(WrongRegistry, match="could not be reached") as told:
        open_registry("postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_identities_are_none_or_encrypted(tmp_path):
    with pytest.raises(InvalidInput, match="must be none or encrypted"):
        create(tmp_path / "registry.db", identities="clear")
