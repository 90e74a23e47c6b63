"""The registry's tables.

Every row that is no longer true stays and says when it ceased (`voided_at`); read those where it is None. Patients and
episodes, which other rows point at, are corrected in place with a higher `version`; every other row is voided and a
new one points back at it (`replaces_id`). Triggers in the database allow nothing else, and the audit keeps before and
after. Text that is not known is "" where it is part of what makes a row unique, else None.
"""

from __future__ import annotations

from datetime import UTC, datetime
from datetime import date as day
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

VERSION_TABLE = "keyhole_version"  # not alembic's own name: another program may share the database
LIVE = text("voided_at IS NULL")


class Moment(TypeDecorator[datetime]):
    """A point in time, UTC: with its zone in PostgreSQL, without in SQLite, always with it in Python."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; the zone is dropped for SQLite, which keeps text."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        at = value.astimezone(UTC)
        return at.replace(tzinfo=None) if dialect.name == "sqlite" else at

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In UTC, whatever the database's own zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy as it stands
        datetime: Moment(),
        float: Double(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class Kept:
    """What every record has: when it was taken back, and the import that brought it."""

    voided_at: Mapped[datetime | None] = mapped_column(sort_order=90)
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id"), sort_order=91)


class Anchored(Kept):
    """A record that others point at: corrected in place, `version` counts."""

    version: Mapped[int] = mapped_column(default=1, server_default="1", sort_order=92)


class Setting(Base):
    """What was chosen when the registry was made: `schema`, `id`, `identities`, `instruments`, ..."""

    __tablename__ = "settings"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Batch(Base):
    """One import of one file."""

    __tablename__ = "batches"
    id: Mapped[int] = mapped_column(primary_key=True)
    file: Mapped[str]  # base name; never a path of the importing machine
    sha256: Mapped[str]
    started: Mapped[datetime]
    actor: Mapped[str]
    rows: Mapped[int]
    skipped: Mapped[int]


class Patient(Anchored, Base):
    """A patient by a pseudonym; who that is stands in `identities`, encrypted, or not at all."""

    __tablename__ = "patients"
    __table_args__ = (
        Index("uq_patients_pseudonym", "pseudonym", unique=True, sqlite_where=LIVE, postgresql_where=LIVE),
        CheckConstraint("sex IN ('F', 'M', 'X')", name="sex"),
        CheckConstraint("birth_year BETWEEN 1880 AND 2200", name="birth_year"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    pseudonym: Mapped[str]
    sex: Mapped[str | None]
    birth_year: Mapped[int | None]


class Identity(Base):
    """Who a patient is: bytes that only the clinic's key opens. The table is there only if it was asked for."""

    __tablename__ = "identities"
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class Episode(Anchored, Base):
    """One stay for one operation; `surgery_date` None: not yet operated on. Age in years at the operation."""

    __tablename__ = "episodes"
    __table_args__ = (
        Index("uq_episodes_code", "code", unique=True, sqlite_where=LIVE, postgresql_where=LIVE),
        Index("ix_episodes_patient_id", "patient_id"),
        Index("ix_episodes_surgery_date", "surgery_date"),
        CheckConstraint("asa BETWEEN 1 AND 5", name="asa"),
        CheckConstraint("age BETWEEN 0 AND 120", name="age"),
        CheckConstraint("bmi BETWEEN 8 AND 100", name="bmi"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    centre: Mapped[str | None]
    surgeon: Mapped[str | None]
    indication: Mapped[str | None]
    surgery_date: Mapped[day | None]
    age: Mapped[float | None]
    bmi: Mapped[float | None]
    asa: Mapped[int | None]
    smoker: Mapped[bool | None]
    diabetes: Mapped[bool | None]
    prior_surgery: Mapped[bool | None]
    case_id: Mapped[str | None]


class Procedure(Kept, Base):
    """What was done; `levels` like "L4/L5;L5/S1", times minutes, blood mL, stay days."""

    __tablename__ = "procedures"
    __table_args__ = (
        Index(
            "uq_procedures_episode_id",
            "episode_id",
            "operation",
            "approach",
            "levels",
            "side",
            unique=True,
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
        CheckConstraint("minutes >= 0 AND blood_loss_ml >= 0 AND stay_days >= 0", name="amounts"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id"))
    operation: Mapped[str]
    approach: Mapped[str]
    is_miss: Mapped[bool]
    levels: Mapped[str]
    side: Mapped[str] = mapped_column(default="")
    minutes: Mapped[float | None]
    blood_loss_ml: Mapped[float | None]
    stay_days: Mapped[float | None]
    converted: Mapped[bool | None]
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("procedures.id"))


class Snapshot(Kept, Base):
    """A stage's file as it was when the operation was recorded; `sha256` is the file's."""

    __tablename__ = "snapshots"
    __table_args__ = (
        Index(
            "uq_snapshots_episode_id",
            "episode_id",
            "kind",
            "sha256",
            unique=True,
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
        CheckConstraint("kind IN ('plan', 'forecast', 'findings', 'rehab')", name="kind"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id"))
    kind: Mapped[str]
    sha256: Mapped[str]
    content: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id"))


class Response(Kept, Base):
    """One answered instrument; `value` None: answered, but too little to score."""

    __tablename__ = "responses"
    __table_args__ = (
        Index(
            "uq_responses_episode_id",
            "episode_id",
            "instrument",
            "visit",
            "date",
            unique=True,
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
        CheckConstraint("visit IN ('baseline', '6w', '3m', '6m', '12m', '24m')", name="visit"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id"))
    instrument: Mapped[str]
    visit: Mapped[str]
    date: Mapped[day]
    value: Mapped[float | None]
    items: Mapped[list[Any] | None]
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("responses.id"))


class Complication(Kept, Base):
    """Something that went wrong, by its code."""

    __tablename__ = "complications"
    __table_args__ = (
        Index(
            "uq_complications_episode_id",
            "episode_id",
            "code",
            "date",
            unique=True,
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id"))
    code: Mapped[str]
    date: Mapped[day]
    grade: Mapped[str | None]
    note: Mapped[str | None]
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("complications.id"))


class Readmission(Kept, Base):
    """Back in hospital; `days` there."""

    __tablename__ = "readmissions"
    __table_args__ = (
        Index(
            "uq_readmissions_episode_id", "episode_id", "date", unique=True, sqlite_where=LIVE, postgresql_where=LIVE
        ),
        CheckConstraint("days >= 0", name="days"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id"))
    date: Mapped[day]
    reason: Mapped[str]
    days: Mapped[float | None]
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("readmissions.id"))


class Reoperation(Kept, Base):
    """Operated on again, at `level` ("" where it is not known)."""

    __tablename__ = "reoperations"
    __table_args__ = (
        Index(
            "uq_reoperations_episode_id",
            "episode_id",
            "date",
            "level",
            unique=True,
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id"))
    date: Mapped[day]
    reason: Mapped[str]
    level: Mapped[str] = mapped_column(default="")
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("reoperations.id"))


class Measure(Kept, Base):
    """A measure of an image; `unit` UCUM, `sd` of the measure."""

    __tablename__ = "measures"
    __table_args__ = (
        Index(
            "uq_measures_episode_id",
            "episode_id",
            "name",
            "level",
            "side",
            "date",
            unique=True,
            sqlite_where=LIVE,
            postgresql_where=LIVE,
        ),
        CheckConstraint("sd >= 0", name="sd"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id"))
    name: Mapped[str]
    level: Mapped[str] = mapped_column(default="")
    side: Mapped[str] = mapped_column(default="")
    value: Mapped[float]
    sd: Mapped[float | None]
    unit: Mapped[str]
    date: Mapped[day]
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("measures.id"))


class Audit(Base):
    """Who changed what, when, from what to what, and why. Rows are only ever added; triggers see to it."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_entity", "entity", "entity_id"),
        CheckConstraint("action IN ('insert', 'update', 'void', 'read')", name="action"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    entity: Mapped[str]  # the table's name
    entity_id: Mapped[int | None]  # None: many rows of one batch
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id"))
    reason: Mapped[str | None]


ENTITIES: dict[str, type[Base]] = {
    "patient": Patient,
    "episode": Episode,
    "procedure": Procedure,
    "snapshot": Snapshot,
    "response": Response,
    "complication": Complication,
    "readmission": Readmission,
    "reoperation": Reoperation,
    "measure": Measure,
}
"""What is recorded, by the word for one of it."""
