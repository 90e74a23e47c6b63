"""Imports that are killed, and imports at once: run as a program of its own, for it forks and kills.

``python registry_faults.py kill|together URL FILE ...``; prints one JSON object of what was seen.
"""

import json
import os
import random
import signal
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

from keyhole.registry.database import open_registry
from keyhole.registry.tables import Asked, bulk, import_file

AT = datetime(2026, 3, 1, tzinfo=UTC)
TABLES = ("patients", "episodes", "procedures", "responses", "measures", "batches", "audit")


def imported(url, path):
    with open_registry(url) as registry:
        return import_file(registry, Path(path), Asked("fault", AT, again=True))


def counts(url):
    with open_registry(url) as registry, registry.reading() as session:
        found = [session.connection().exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() for table in TABLES]
        if registry.is_file:
            assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        return tuple(found)


def child(work):
    """Run `work` in a process of its own; its id."""
    number = os.fork()
    if number:
        return number
    try:
        work()
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)


def ended(number):
    """How the process ended: 0, 1, or minus the signal."""
    _, status = os.waitpid(number, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def kill_at_insert(nth):
    """From now on the process kills itself in the middle of its `nth` insert."""
    whole, seen = bulk.insert, [0]

    def insert(connection, table, columns, rows):
        seen[0] += 1
        if seen[0] == nth:
            whole(connection, table, columns, rows[: len(rows) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        whole(connection, table, columns, rows)

    bulk.insert = insert


def kill(url, paths, seed, moments):
    """Kill imports of files one after the other, by the insert and by the clock; what each left."""
    rng = random.Random(seed)
    whole = time.monotonic()
    assert ended(child(lambda: imported(url, paths[0]))) == 0
    whole = time.monotonic() - whole
    per_file = counts(url)
    seen = {"killed": 0, "before": 0, "after": 0, "between": 0}
    done = 1
    for turn in range(moments):
        before, path = counts(url), paths[done]
        if turn % 2:
            nth = rng.randint(1, 20)

            def work(nth=nth, path=path):
                kill_at_insert(nth)
                imported(url, path)

            number = child(work)
        else:
            number = child(lambda path=path: imported(url, path))
            time.sleep(rng.uniform(0.05, 1.1) * whole)
            os.kill(number, signal.SIGKILL)
        seen["killed"] += ended(number) == -signal.SIGKILL
        after = settled(url, before)
        if after == before:
            seen["before"] += 1
            continue
        same = (
            all(new - old > 0 for new, old in zip(after, before, strict=True)) and after[1] - before[1] == per_file[1]
        )
        seen["after" if same else "between"] += 1
        done += 1
    assert ended(child(lambda: imported(url, paths[done]))) == 0
    last = counts(url)
    seen["whole_in_the_end"] = last[1] == (done + 1) * per_file[1] and last[2] == last[1]
    return seen


def settled(url, before):
    """The counts once a server has noticed that its client is gone; a commit that was under way may still land."""
    found = counts(url)
    for _ in range(0 if "://" not in url else 3):
        time.sleep(0.02)
        found = counts(url)
    return found


def together(url, paths):
    """Import every file at once, the first one twice, while another process records; what came of it."""
    from keyhole.registry.audit import working
    from keyhole.registry.record import record

    def recording():
        with open_registry(url) as registry:
            for n in range(20):
                with working(registry, "nurse", AT) as work:
                    record(work, "patient", {"pseudonym": f"R{n}", "sex": "X"}, today=date(2026, 3, 1))

    def once(path):
        with open_registry(url) as registry:
            import_file(registry, Path(path), Asked("fault", AT))

    numbers = [child(lambda path=path: once(path)) for path in [*paths, paths[0]]] + [child(recording)]
    return {"ended": [ended(number) for number in numbers], "counts": dict(zip(TABLES, counts(url), strict=True))}


if __name__ == "__main__":
    how, url, *paths = sys.argv[1:]
    found = together(url, paths) if how == "together" else kill(url, paths, seed=7, moments=len(paths) - 2)
    sys.stdout.write(json.dumps(found))
