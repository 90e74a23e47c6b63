"""Time and memory of the dashboard on a made-up registry: python benchmarks/dashboard.py [EPISODES] [URL].

Makes the registry with six answers an episode (or takes the one at URL as it is), then runs the command in a process
of its own, as a user would, and prints one line of the table in docs/dashboard.md.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from keyhole.registry.database import create
from keyhole.registry.models import Complication, Episode, Patient, Procedure, Reoperation, Response
from keyhole.registry.schedule import VISITS

TODAY = date(2026, 6, 1)
BLOCK = 20_000
APPROACHES = (("tubular-paramedian", True), ("interlaminar-endoscopic", True), ("open-microdiscectomy", False))


def main() -> None:
    """Make the registry, run the command, print the figures."""
    episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[2] if len(sys.argv) > 2 else str(Path(folder) / "registry.db")
        answers = fill(url, episodes)
        options = ("--out", str(Path(folder) / "page"), "--today", TODAY.isoformat())
        command = [Path(sys.executable).with_name("keyhole"), "registry", "dashboard", url, *options]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    kind = "PostgreSQL" if "://" in url else "SQLite"
    print(
        f"| {kind} | {episodes:,} | {answers:,} | {seconds:.1f} | {used.ru_utime + used.ru_stime:.1f} "
        f"| {used.ru_maxrss / 2**20:.2f} |"
    )


def fill(url: str, episodes: int) -> int:
    """A new registry at `url`; returns how many answers it holds."""
    lot = np.random.default_rng(5)
    days = lot.integers(1100, 3000, episodes)
    answers = 0
    with create(url) as registry:
        for start in range(0, episodes, BLOCK):
            part = range(start + 1, min(start + BLOCK, episodes) + 1)
            with registry.writing() as session:
                for table, rows in _rows(part, days, lot):
                    session.execute(insert(table), rows)
                    answers += len(rows) if table is Response else 0
    return answers


def _rows(part: range, days: np.ndarray, lot: np.random.Generator) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    on = {n: TODAY - timedelta(int(days[n - 1])) for n in part}
    yield Patient, [{"id": n, "pseudonym": f"P{n}", "sex": "FM"[n % 2], "birth_year": 1950 + n % 40} for n in part]
    yield (
        Episode,
        [
            {"id": n, "code": f"E{n}", "patient_id": n, "centre": f"C{n % 7}", "surgeon": f"S{n % 23}"}
            | {"surgery_date": on[n]}
            for n in part
        ],
    )
    yield (
        Procedure,
        [
            {"episode_id": n, "operation": "discectomy", "approach": APPROACHES[n % 3][0], "levels": "L4/L5"}
            | {"is_miss": APPROACHES[n % 3][1], "side": "left"}
            for n in part
        ],
    )
    scores = np.clip(lot.normal([46, 24, 20, 18, 18, 19], 12, (len(part), len(VISITS))), 0, 100).round(1)
    yield (
        Response,
        [
            {"episode_id": n, "instrument": "odi", "visit": v.key, "date": v.day(on[n]), "value": float(row[k])}
            for n, row in zip(part, scores, strict=True)
            for k, v in enumerate(VISITS)
        ],
    )
    yield Complication, [{"episode_id": n, "code": "dural-tear", "date": on[n]} for n in part if n % 17 == 0]
    yield Reoperation, [{"episode_id": n, "reason": "recurrence", "date": on[n]} for n in part if n % 19 == 0]


if __name__ == "__main__":
    main()
