"""Two programs at once, and one that is killed: nothing is lost and nothing is left half done."""

import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from keyhole.registry.audit import working
from keyhole.registry.database import open_registry
from keyhole.registry.record import record
from registry_databases import empty_url

pytestmark = pytest.mark.slow
EPISODES = 12


@pytest.fixture
def filled(registry_url):
    with open_registry(registry_url) as registry, working(registry, "setup", datetime(2026, 6, 1, tzinfo=UTC)) as work:
        record(work, "patient", {"pseudonym": "P"}, today=date(2026, 6, 1))
        for n in range(EPISODES):
            given = {"code": f"E{n}", "patient": "P", "surgery_date": "2026-01-10"}
            record(work, "episode", given, today=date(2026, 6, 1))
    return registry_url


def _writer(url, name, end):
    command = [sys.executable, str(Path(__file__).with_name("registry_writer.py")), url, name, str(EPISODES), end]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout.readline() == "ready\n"
    return started


def _counts(url):
    with open_registry(url) as registry, registry.reading() as session:
        tables = ("responses", "audit")
        return [session.execute(text(f"SELECT count(*) FROM {table}")).scalar() for table in tables]


def test_two_programs_that_record_at_once_lose_nothing(filled):
    before = _counts(filled)
    both = [_writer(filled, name, "keep") for name in ("ann", "bob")]
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in both:
        assert one.wait(120) == 0
        one.stdin.close()
        one.stdout.close()
    assert _counts(filled) == [before[0] + 2 * EPISODES, before[1] + 2 * EPISODES]
    with open_registry(filled) as registry, registry.reading() as session:
        who = session.execute(text("SELECT actor, count(*) FROM audit GROUP BY actor ORDER BY actor")).all()
    assert [tuple(row) for row in who] == [("ann", EPISODES), ("bob", EPISODES), ("setup", EPISODES + 1)]


def test_a_program_killed_within_a_transaction_leaves_the_registry_as_it_was(filled):
    before = _counts(filled)
    one = _writer(filled, "ann", "hang")
    one.stdin.write("go\n")
    one.stdin.flush()
    assert one.stdout.readline() == "within\n"
    one.send_signal(signal.SIGKILL)
    one.wait()
    one.stdin.close()
    one.stdout.close()
    assert _counts(filled) == before
    began = time.monotonic()
    with open_registry(filled) as registry, working(registry, "bob", datetime.now(UTC)) as work:
        given = {"episode": "E0", "instrument": "nrs-back", "date": "2026-02-20", "value": 3}
        record(work, "response", given, today=date(2026, 6, 1))
    assert time.monotonic() - began < 30
    assert _counts(filled) == [before[0] + 1, before[1] + 1]


def test_two_programs_that_make_one_registry_at_once_make_one(tmp_path):
    for kind in ("sqlite", "postgresql"):
        url = empty_url(kind, tmp_path)
        code = "from keyhole.cli.main import main; import sys; sys.argv[0] = 'keyhole'; main()"
        command = [sys.executable, "-c", code, "registry", "init", url]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        told = [one.communicate(timeout=120)[1] for one in both]
        assert sorted(one.returncode for one in both) == [0, 1]
        assert "is a registry already; nothing was changed" in "".join(told)
        open_registry(url).close()
