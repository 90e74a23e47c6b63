"""Record an operation: the episode, the procedure, and what was planned and expected, from a case folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import select

from keyhole.casefile import Case, CaseRecord, PlanRecord
from keyhole.errors import Refused, UnreadableFile
from keyhole.forecast import current_forecast
from keyhole.registry.audit import Work, plain
from keyhole.registry.edge import TABLE_OF, values
from keyhole.registry.models import Episode, Patient, Snapshot
from keyhole.registry.record import Recorded, correct, find, record
from keyhole.registry.tables.fields import fields_of

SNAPSHOTS = ("plan", "forecast", "findings", "rehab")


@dataclass(frozen=True, slots=True)
class Planned:
    """What a case folder says of an operation. `snapshots`: kind -> (SHA-256 of the file, its content)."""

    sex: str | None
    episode: Mapping[str, object]
    procedure: Mapping[str, object]
    snapshots: Mapping[str, tuple[str, dict[str, Any]]]
    caveats: tuple[str, ...]


def planned(case: Case, approach: str | None = None) -> Planned:
    """The operation that the plan of `case` holds, by its best corridor (of `approach`), with the stages' files."""
    plan, about = case.read(PlanRecord), case.read(CaseRecord)
    found = sorted((one for one in plan.candidates if one.rank is not None), key=lambda one: one.rank or 0)
    best = next((one for one in found if approach in (None, one.approach)), None)
    expected = current_forecast(case)
    procedure: dict[str, object] = {"levels": plan.level, "side": best.side if best else plan.side}
    if expected is not None:
        procedure["operation"] = expected.procedure.key
    if approach is None and best is not None:
        procedure["approach"] = best.approach
    snapshots, caveats = _snapshots(case)
    if approach is None and best is not None:
        caveats = (f"the approach is the plan's first, {best.approach}: say --approach if another was used", *caveats)
    patient = {"age": about.patient.age, "asa": about.patient.asa, "bmi": _bmi(about), "case_id": about.id}
    known = {name: value for name, value in patient.items() if value is not None}
    return Planned(about.patient.sex, known, procedure, snapshots, caveats)


def record_operation(
    work: Work, given: Mapping[str, object], *, today: date, case: Case | None = None
) -> tuple[tuple[Recorded, ...], tuple[str, ...]]:
    """Record an operation from fields of an episode and of a procedure; what is not given comes from `case`.

    `episode` is the episode's code. One that is not there yet is made, for which `patient` is needed; one that is
    there and has no day of operation gets it. Returns what was recorded, and what must be said with it.
    """
    ours = {name: value for name, value in given.items() if value not in (None, "")}
    if "episode" not in ours:
        raise Refused("episode", "expected the code of the episode, got nothing")
    approach = None if "approach" not in ours else str(ours["approach"])
    plan = None if case is None else planned(case, approach)
    with work.session.begin_nested():  # refused, it leaves nothing, even if the caller goes on
        return _record(work, ours, today, plan)


def record_snapshots(work: Work, code: str, case: Case) -> tuple[tuple[Recorded, ...], tuple[str, ...]]:
    """Keep the files of the stages of `case` with the episode `code`; returns those that were not kept yet."""
    episode = find(work.session, "episode", code)
    snapshots, caveats = _snapshots(case)
    if not snapshots:
        raise Refused("case", f"{case.path} has none of {', '.join(f'{kind}.json' for kind in SNAPSHOTS)}")
    _check_sex(case.read(CaseRecord).patient.sex, work.session.get_one(Patient, episode.patient_id))
    return _keep(work, episode, snapshots), caveats


def _record(
    work: Work, ours: Mapping[str, object], today: date, plan: Planned | None
) -> tuple[tuple[Recorded, ...], tuple[str, ...]]:
    of_episode = _of("episode", {} if plan is None else plan.episode, ours)
    episode = _episode(work, str(ours["episode"]), of_episode, ours, today)
    row = work.session.get_one(Episode, episode.id)
    _check_sex(None if plan is None else plan.sex, work.session.get_one(Patient, row.patient_id))
    of_procedure = _of("procedure", {} if plan is None else plan.procedure, ours)
    if "operation" not in of_procedure:
        raise Refused("operation", "expected what was done, got nothing: name it, or run `keyhole forecast` first")
    done = record(work, "procedure", of_procedure, today=today)
    kept = () if plan is None else _keep(work, row, plan.snapshots)
    caveats = (*episode.caveats, *done.caveats, *(() if plan is None else plan.caveats))
    return (episode, done, *kept), caveats


def _of(entity: str, base: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    names = {field.name for field in fields_of(TABLE_OF[entity])}
    return dict(base) | {name: value for name, value in given.items() if name in names}


def _episode(work: Work, code: str, found: Mapping[str, object], given: Mapping[str, object], today: date) -> Recorded:
    """The episode `code`, made now or completed with what was not known before."""
    there = work.session.scalars(select(Episode).where(Episode.code == code, Episode.voided_at.is_(None))).first()
    if there is None:
        if "patient" not in given:
            raise Refused("patient", f"expected whose operation it is, since there is no episode {code!r} yet")
        if "surgery_date" not in given:
            raise Refused("surgery_date", "expected the day of the operation, got nothing")
        return record(work, "episode", dict(found) | {"code": code}, today=today)
    if there.surgery_date is None and "surgery_date" not in given:
        raise Refused("surgery_date", f"expected the day of the operation, which {code} does not have yet, got nothing")
    patient = work.session.get_one(Patient, there.patient_id).pseudonym
    typed = values("episode", dict(found) | {"code": code, "patient": patient}, today)
    for name in set(found) & set(given) - {"patient"}:
        if getattr(there, name) not in (None, typed[name]):
            raise Refused(name, f"{code} has {plain(there)[name]} already, got {given[name]}: use `correct`")
    if given.get("patient", patient) != patient:
        raise Refused("patient", f"{code} is an episode of {patient}, got {given['patient']}")
    fresh = {name: value for name, value in found.items() if name != "patient" and getattr(there, name) is None}
    if not fresh:
        return Recorded("episode", there.id, plain(there))
    return correct(work, "episode", code, fresh, reason="operation recorded", today=today)


def _check_sex(planned_for: str | None, patient: Patient) -> None:
    """Refuse a case that is plainly another patient's."""
    if planned_for is not None and patient.sex not in (None, "X", planned_for):
        raise Refused("case", f"the case is of a patient of sex {planned_for}, {patient.pseudonym} has {patient.sex}")


def _keep(work: Work, episode: Episode, snapshots: Mapping[str, tuple[str, dict[str, Any]]]) -> tuple[Recorded, ...]:
    """Keep the files of the stages as they are now; one that is kept already stays as it is."""
    made = []
    for kind, (digest, content) in snapshots.items():
        same = select(Snapshot.id).where(
            Snapshot.episode_id == episode.id,
            Snapshot.kind == kind,
            Snapshot.sha256 == digest,
            Snapshot.voided_at.is_(None),
        )
        if work.session.scalars(same).first() is not None:
            continue
        row = Snapshot(
            episode_id=episode.id, kind=kind, sha256=digest, content=content, made_at=work.at, batch_id=work.batch_id
        )
        work.session.add(row)
        work.session.flush()
        after = {name: value for name, value in plain(row).items() if name != "content"}
        work.note("insert", row, None, after)
        made.append(Recorded("snapshot", row.id, after))
    return tuple(made)


def _snapshots(case: Case) -> tuple[dict[str, tuple[str, dict[str, Any]]], tuple[str, ...]]:
    found, caveats = {}, []
    plan = case.digest("plan.json").get("plan.json")
    for kind in SNAPSHOTS:
        path = case.path / f"{kind}.json"
        if not path.is_file():
            continue
        content, digest = _read(path)
        made_from = (content.get("provenance") or {}).get("inputs", {}).get("plan.json", plan)
        if made_from != plan:
            caveats.append(f"{path.name} belongs to an earlier plan and was not kept")
            continue
        found[kind] = (digest, content)
    return found, tuple(caveats)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    raw = path.read_bytes()
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise UnreadableFile(f"{path} is not valid JSON") from error
    if not isinstance(content, dict):
        raise UnreadableFile(f"{path} is not a file of a case: expected a JSON object")
    return content, hashlib.sha256(raw).hexdigest()


def _bmi(about: CaseRecord) -> float | None:
    height, weight = about.patient.height_cm, about.patient.weight_kg
    return None if height is None or weight is None else round(weight / (height / 100) ** 2, 1)
