"""The tables as they were first."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LIVE = sa.text("voided_at IS NULL")
KEPT = ("voided_at", "batch_id")
MOMENT = sa.DateTime(timezone=True)
RECORDS = (
    "measures",
    "reoperations",
    "readmissions",
    "complications",
    "responses",
    "snapshots",
    "procedures",
    "episodes",
    "patients",
)


def upgrade() -> None:
    """Make every table; `identities` only where it was asked for."""
    _frame()
    _patients()
    _episodes()
    _operations()
    _answers()
    _events()
    op.create_table(
        "audit",
        _id(),
        _kept("at", MOMENT),
        *(_kept(name, sa.String()) for name in ("actor", "action", "entity")),
        sa.Column("entity_id", sa.Integer()),
        sa.Column("before", sa.JSON()),
        sa.Column("after", sa.JSON()),
        sa.Column("batch_id", sa.Integer()),
        sa.Column("reason", sa.String()),
        _refers("audit", "batch_id", "batches.id"),
        sa.CheckConstraint("action IN ('insert', 'update', 'void', 'read')", name=op.f("ck_audit_action")),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_entity", "audit", ["entity", "entity_id"])


def downgrade() -> None:
    """Drop every table and all that is in them."""
    op.drop_table("audit")
    if sa.inspect(op.get_bind()).has_table("identities"):
        op.drop_table("identities")
    for name in RECORDS:
        op.drop_table(name)
    op.drop_table("batches")
    op.drop_table("settings")


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Integer(), nullable=False)


def _kept(name: str, kind: Any, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}")


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def _record(table: str, *parts: sa.Column[Any] | sa.CheckConstraint) -> None:
    """A table of records that hang on an episode, each corrected by a new one."""
    op.create_table(
        table,
        _id(),
        _kept("episode_id", sa.Integer()),
        *parts,
        sa.Column("replaces_id", sa.Integer()),
        sa.Column("voided_at", MOMENT),
        sa.Column("batch_id", sa.Integer()),
        _refers(table, "episode_id", "episodes.id"),
        _refers(table, "replaces_id", f"{table}.id"),
        _refers(table, "batch_id", "batches.id"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )


def _once(table: str, *columns: str) -> None:
    """At most one live row of the same `columns`."""
    name = f"uq_{table}_{columns[0]}"
    op.create_index(name, table, list(columns), unique=True, sqlite_where=LIVE, postgresql_where=LIVE)


def _frame() -> None:
    op.create_table(
        "settings",
        _kept("key", sa.String()),
        _kept("value", sa.String()),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
    )
    op.create_table(
        "batches",
        _id(),
        _kept("file", sa.String()),
        _kept("sha256", sa.String()),
        _kept("started", MOMENT),
        _kept("actor", sa.String()),
        _kept("rows", sa.Integer()),
        _kept("skipped", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )


def _patients() -> None:
    op.create_table(
        "patients",
        _id(),
        _kept("pseudonym", sa.String()),
        sa.Column("sex", sa.String()),
        sa.Column("birth_year", sa.Integer()),
        sa.Column("voided_at", MOMENT),
        sa.Column("batch_id", sa.Integer()),
        _kept("version", sa.Integer(), "1"),
        _refers("patients", "batch_id", "batches.id"),
        _check("patients", "sex", "sex IN ('F', 'M', 'X')"),
        _check("patients", "birth_year", "birth_year BETWEEN 1880 AND 2200"),
        sa.PrimaryKeyConstraint("id", name="pk_patients"),
    )
    _once("patients", "pseudonym")
    if context.config.attributes.get("identities") == "encrypted":
        op.create_table(
            "identities",
            sa.Column("patient_id", sa.Integer(), nullable=False, autoincrement=False),
            _kept("payload", sa.LargeBinary()),
            _refers("identities", "patient_id", "patients.id"),
            sa.PrimaryKeyConstraint("patient_id", name="pk_identities"),
        )


def _episodes() -> None:
    op.create_table(
        "episodes",
        _id(),
        _kept("code", sa.String()),
        _kept("patient_id", sa.Integer()),
        *(sa.Column(name, sa.String()) for name in ("centre", "surgeon", "indication")),
        sa.Column("surgery_date", sa.Date()),
        sa.Column("age", sa.Double()),
        sa.Column("bmi", sa.Double()),
        sa.Column("asa", sa.Integer()),
        *(sa.Column(name, sa.Boolean()) for name in ("smoker", "diabetes", "prior_surgery")),
        sa.Column("case_id", sa.String()),
        sa.Column("voided_at", MOMENT),
        sa.Column("batch_id", sa.Integer()),
        _kept("version", sa.Integer(), "1"),
        _refers("episodes", "patient_id", "patients.id"),
        _refers("episodes", "batch_id", "batches.id"),
        _check("episodes", "asa", "asa BETWEEN 1 AND 5"),
        _check("episodes", "age", "age BETWEEN 0 AND 120"),
        _check("episodes", "bmi", "bmi BETWEEN 8 AND 100"),
        sa.PrimaryKeyConstraint("id", name="pk_episodes"),
    )
    _once("episodes", "code")
    op.create_index("ix_episodes_patient_id", "episodes", ["patient_id"])
    op.create_index("ix_episodes_surgery_date", "episodes", ["surgery_date"])


def _operations() -> None:
    _record(
        "procedures",
        _kept("operation", sa.String()),
        _kept("approach", sa.String()),
        _kept("is_miss", sa.Boolean()),
        _kept("levels", sa.String()),
        _kept("side", sa.String()),
        *(sa.Column(name, sa.Double()) for name in ("minutes", "blood_loss_ml", "stay_days")),
        sa.Column("converted", sa.Boolean()),
        _check("procedures", "amounts", "minutes >= 0 AND blood_loss_ml >= 0 AND stay_days >= 0"),
    )
    _once("procedures", "episode_id", "operation", "approach", "levels", "side")
    _record(
        "snapshots",
        _kept("kind", sa.String()),
        _kept("sha256", sa.String()),
        _kept("content", sa.JSON()),
        _kept("made_at", MOMENT),
        _check("snapshots", "kind", "kind IN ('plan', 'forecast', 'findings', 'rehab')"),
    )
    _once("snapshots", "episode_id", "kind", "sha256")


def _answers() -> None:
    _record(
        "responses",
        _kept("instrument", sa.String()),
        _kept("visit", sa.String()),
        _kept("date", sa.Date()),
        sa.Column("value", sa.Double()),
        sa.Column("items", sa.JSON()),
        _check("responses", "visit", "visit IN ('baseline', '6w', '3m', '6m', '12m', '24m')"),
    )
    _once("responses", "episode_id", "instrument", "visit", "date")
    _record(
        "measures",
        _kept("name", sa.String()),
        _kept("level", sa.String()),
        _kept("side", sa.String()),
        _kept("value", sa.Double()),
        sa.Column("sd", sa.Double()),
        _kept("unit", sa.String()),
        _kept("date", sa.Date()),
        _check("measures", "sd", "sd >= 0"),
    )
    _once("measures", "episode_id", "name", "level", "side", "date")


def _events() -> None:
    _record(
        "complications",
        _kept("code", sa.String()),
        _kept("date", sa.Date()),
        sa.Column("grade", sa.String()),
        sa.Column("note", sa.String()),
    )
    _once("complications", "episode_id", "code", "date")
    _record(
        "readmissions",
        _kept("date", sa.Date()),
        _kept("reason", sa.String()),
        sa.Column("days", sa.Double()),
        _check("readmissions", "days", "days >= 0"),
    )
    _once("readmissions", "episode_id", "date")
    _record(
        "reoperations",
        _kept("date", sa.Date()),
        _kept("reason", sa.String()),
        _kept("level", sa.String()),
    )
    _once("reoperations", "episode_id", "date", "level")
