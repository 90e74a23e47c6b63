"""A follow-up by commands alone, from a planned case to the comparison: used on a made-up case and on the demo's."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from keyhole.cli.main import main

START = "2026-01-05"
PROMS = {  # by day: ODI, leg pain, back pain; at six months it has come back
    "2026-01-02": (48, 8, 6),
    "2026-02-16": (26, 2, 3),
    "2026-04-07": (14, 1, 2),
    "2026-07-06": (44, 6, 3),
}
TWO_WEEKS = """instrument,date,value,note
nrs-leg,2026-01-18,3,
nrs-back,2026-01-18,3,
criterion/wound,2026-01-19,1,seen at the practice
criterion/home-programme,2026-01-19,1,
criterion/walk-15,2026-01-19,1,
red-flags,2026-01-19,0,
"""
SIX_WEEKS = (
    TWO_WEEKS
    + """phase,2026-01-19,2,as advised
steps,2026-02-13,3900,
steps,2026-02-14,3600,
steps,2026-02-15,4100,
criterion/still-back,2026-02-16,1,seen by the therapist
red-flags,2026-02-16,0,
"""
)
LATER = SIX_WEEKS + "phase,2026-02-16,3,as advised\n"


def run(*words: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def asked(*words: str | Path) -> dict:
    return json.loads(run(*words, "--json"))


@dataclass
class FollowUp:
    """What the commands said along the way."""

    case: Path
    registry: Path
    two_weeks: dict
    visits: dict[str, dict]
    shown: str
    due: dict
    exported: Path
    comparison: dict


def sign(case: Path) -> None:
    run("rehab", case, "--date", START)
    run("rehab", case, "--sign-off-red-flags", "--by", "Dr A", "--today", START)


def operate(case: Path, registry: Path) -> None:
    run("registry", "init", registry)
    told = ("-r", registry, "--by", "nurse", "--today", "2026-01-06")
    run("registry", "record", "patient", "--pseudonym", "P1", "--sex", "F", "--birth-year", "1971", *told)
    run(
        "registry", "record", "operation", "--case", case, "--episode", "E1", "--patient", "P1", "--date", START,
        "--centre", "North", "--surgeon", "S1", "--indication", "herniation", "--minutes", "62", "--stay-days", "1",
        "--age", "54", "--bmi", "26", "--asa", "2", "--smoker", "0", "--diabetes", "0", "--prior-surgery", "0", *told,
    )  # fmt: skip


def answer(registry: Path, day: str) -> None:
    for instrument, value in zip(("odi", "nrs-leg", "nrs-back"), PROMS[day], strict=True):
        run(
            "registry", "record", "response", "--episode", "E1", "--instrument", instrument, "--date", day,
            "--value", str(value), "-r", registry, "--by", "nurse", "--today", day,
        )  # fmt: skip


def with_others(table: Path, folder: Path) -> Path:
    """The exported row among the 400 of a made-up registry, in one table."""
    run("registry", "simulate", "--patients", "400", "--seed", "3", "--out", folder)
    with table.open(newline="") as own, (folder / "registry.csv").open(newline="") as others:
        rows, more = list(csv.DictReader(own)), csv.DictReader(others)
        names = list(more.fieldnames or ())
        rows += list(more)
    together = folder / "together.csv"
    with together.open("w", newline="") as out:
        writer = csv.DictWriter(out, names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return together


def follow_up(case: Path, folder: Path) -> FollowUp:
    """From the plan of `case` to the comparison; every step is a command."""
    registry, diary = folder / "registry.db", folder / "diary.csv"
    sign(case)
    operate(case, registry)
    answer(registry, "2026-01-02")
    diary.write_text(TWO_WEEKS)
    here = ("progress", case, "--registry", registry, "--episode", "E1")
    two_weeks = asked(*here, "--observations", diary, "--today", "2026-01-19")
    visits = {}
    for day in list(PROMS)[1:]:
        answer(registry, day)
        diary.write_text(SIX_WEEKS if day == "2026-02-16" else LATER)
        visits[day] = asked(*here, "--observations", diary, "--today", day)
    shown = run(*here, "--observations", diary, "--today", "2026-07-07")
    due = asked("registry", "due", "-r", registry, "--today", "2026-07-07")
    run("registry", "export", registry, "--out", folder / "export")
    table = with_others(folder / "export" / "analysis.csv", folder / "made-up")
    comparison = asked("registry", "compare", table, "--outcome", "odi_6m", "--imputations", "2")
    return FollowUp(case, registry, two_weeks, visits, shown, due, folder / "export", comparison)
