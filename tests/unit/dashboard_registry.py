"""Registries for the dashboard: one told fact by fact, one drawn by lot."""

import random
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import insert

from keyhole.registry.database import open_registry
from keyhole.registry.models import Complication, Episode, Patient, Procedure, Readmission, Reoperation, Response
from keyhole.registry.schedule import VISITS

TODAY = date(2026, 6, 1)
GONE = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO, RECENT = date(2022, 3, 1), date(2026, 4, 20)

_SMALL, _OPEN = "tubular-paramedian", "open-microdiscectomy"


def episode(n, surgery, small=True, *, centre="North", surgeon="S1", voided=None, patient=None):
    """The rows of one episode: patient, episode, procedure."""
    return (
        {"id": n, "pseudonym": f"P{n}", "sex": "F", "birth_year": 1970, "voided_at": voided},
        {
            "id": n,
            "code": f"E{n}",
            "patient_id": patient or n,
            "centre": centre,
            "surgeon": surgeon,
            "surgery_date": surgery,
            "voided_at": voided,
        },
        {
            "episode_id": n,
            "operation": "discectomy",
            "approach": _SMALL if small else _OPEN,
            "is_miss": small,
            "levels": "L4/L5",
            "side": "left",
            "voided_at": voided,
        },
    )


def answer(n, visit, value, when, key="odi", voided=None):
    """One response."""
    return {"episode_id": n, "instrument": key, "visit": visit, "date": when, "value": value, "voided_at": voided}


def fill(url, episodes, responses=(), complications=(), readmissions=(), reoperations=()):
    """Put rows into the registry at `url`."""
    tables = [
        (Patient, [rows[0] for rows in episodes]),
        (Episode, [rows[1] for rows in episodes]),
        (Procedure, [rows[2] for rows in episodes if rows[1]["surgery_date"]]),
        (Response, responses),
        (Complication, complications),
        (Readmission, readmissions),
        (Reoperation, reoperations),
    ]
    with open_registry(url) as registry, registry.writing() as session:
        for table, rows in tables:
            keys = dict.fromkeys(key for row in rows for key in row)
            if rows:
                session.execute(insert(table), [keys | row for row in rows])


def told(url):
    """Six operated episodes, one planned, one taken back; every number of the page can be counted by hand."""
    day = timedelta(365)
    answers = [answer(n, "baseline", value, LONG_AGO) for n, value in ((1, 50), (2, 40), (3, 60), (4, 44))]
    answers += [
        answer(1, "12m", 30, LONG_AGO + day),
        answer(1, "12m", 20, LONG_AGO + day + timedelta(9)),  # the later answer counts
        answer(2, "12m", 24, LONG_AGO + day),
        answer(2, "12m", 99, LONG_AGO + day + timedelta(1), voided=GONE),
        answer(4, "12m", None, LONG_AGO + day),  # answered, but too little to score
        answer(2, "12m", 3, LONG_AGO + day, key="nrs-leg"),
    ]
    fill(
        url,
        [
            episode(1, LONG_AGO),
            episode(2, LONG_AGO, centre="South", surgeon="S2"),
            episode(3, LONG_AGO, small=False),
            episode(4, LONG_AGO, small=False),
            episode(5, LONG_AGO, small=False),  # died before a year
            episode(6, RECENT, centre=None),
            episode(7, None),
            episode(8, LONG_AGO, voided=GONE),
        ],
        answers,
        complications=[
            {"episode_id": 3, "code": "dural-tear", "date": LONG_AGO},
            {"episode_id": 3, "code": "dvt", "date": LONG_AGO},
            {"episode_id": 5, "code": "death", "date": LONG_AGO + timedelta(100)},
            {"episode_id": 1, "code": "dvt", "date": LONG_AGO, "voided_at": GONE},
        ],
        readmissions=[
            {"episode_id": 1, "date": LONG_AGO + timedelta(30), "reason": "pain"},
            {"episode_id": 2, "date": LONG_AGO + timedelta(31), "reason": "pain"},
        ],
        reoperations=[{"episode_id": 1, "date": LONG_AGO + timedelta(200), "reason": "recurrence", "level": "L4/L5"}],
    )


def drawn(url, n=150, seed=7):
    """`n` episodes by lot: some planned, some dead, some answers at every visit."""
    lot = random.Random(seed)
    episodes, responses, complications = [], [], []
    for k in range(1, n + 1):
        surgery = None if lot.random() < 0.1 else TODAY - timedelta(lot.randrange(0, 1300))
        episodes.append(
            episode(k, surgery, lot.random() < 0.5, centre=lot.choice(["A", "B"]), patient=max(1, k - k % 3))
        )
        if surgery and lot.random() < 0.15:
            last = (TODAY - surgery).days
            complications.append(
                {"episode_id": k, "code": "death", "date": surgery + timedelta(lot.randrange(last + 1))}
            )
        for visit in VISITS:
            when = (surgery or TODAY) + timedelta(visit.first)
            for key in ("odi", "nrs-leg", "vas-back", "nrs-back", "eq5d-5l"):
                if lot.random() < 0.6 and when <= TODAY:
                    responses.append(answer(k, visit.key, 11111 if key == "eq5d-5l" else 5, when, key=key))
    fill(url, episodes, responses, complications)
