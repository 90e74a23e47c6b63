"""Triggers: the audit only grows, records are only added, voided or corrected with a higher version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ANCHORS = ("patients", "episodes")
LEAVES = ("procedures", "snapshots", "responses", "complications", "readmissions", "reoperations", "measures")


def upgrade() -> None:
    """Set the triggers."""
    if op.get_bind().dialect.name == "postgresql":
        _postgresql()
    else:
        _sqlite()


def downgrade() -> None:
    """Take the triggers away; no row changes."""
    if op.get_bind().dialect.name == "postgresql":
        for table in ("audit", *LEAVES, *ANCHORS):
            op.execute(f"DROP TRIGGER keyhole_keep ON {table}")
            op.execute(f"DROP TRIGGER keyhole_keep_all ON {table}")
        for function in ("keyhole_never", "keyhole_leaf", "keyhole_anchor"):
            op.execute(f"DROP FUNCTION {function}()")
        return
    op.execute("DROP TRIGGER keyhole_audit_replace")
    for table in ("audit", *LEAVES, *ANCHORS):
        op.execute(f"DROP TRIGGER keyhole_{table}_delete")
        op.execute(f"DROP TRIGGER keyhole_{table}_update")


def _postgresql() -> None:
    op.execute("""
        CREATE FUNCTION keyhole_never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'keyhole: rows of % are never changed or deleted', TG_TABLE_NAME;
        END $$""")
    op.execute("""
        CREATE FUNCTION keyhole_leaf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
                    AND to_jsonb(NEW) - 'voided_at' = to_jsonb(OLD) - 'voided_at' THEN RETURN NEW; END IF;
            END IF;
            RAISE EXCEPTION 'keyhole: rows of % are voided and replaced, never changed or deleted', TG_TABLE_NAME;
        END $$""")
    op.execute("""
        CREATE FUNCTION keyhole_anchor() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF OLD.voided_at IS NULL AND NEW.id = OLD.id AND NEW.version = OLD.version + 1 THEN
                    RETURN NEW; END IF;
            END IF;
            RAISE EXCEPTION 'keyhole: rows of % change only with the next version and are never deleted',
                TG_TABLE_NAME;
        END $$""")
    guards = (
        {"audit": "keyhole_never"} | dict.fromkeys(LEAVES, "keyhole_leaf") | dict.fromkeys(ANCHORS, "keyhole_anchor")
    )
    for table, function in guards.items():
        op.execute(
            f"CREATE TRIGGER keyhole_keep BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
        )
        op.execute(
            f"CREATE TRIGGER keyhole_keep_all BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION keyhole_never()"
        )


def _sqlite() -> None:
    for table in ("audit", *LEAVES, *ANCHORS):
        _forbid(table, "delete", "BEFORE DELETE", "1")
    _forbid("audit", "update", "BEFORE UPDATE", "1")
    # INSERT OR REPLACE deletes without the trigger of deletion, unless recursive_triggers is on
    _forbid("audit", "replace", "BEFORE INSERT", "EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)")
    for table in LEAVES:
        names = [c["name"] for c in sa.inspect(op.get_bind()).get_columns(table) if c["name"] != "voided_at"]
        changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in names)
        rule = f"OLD.voided_at IS NOT NULL OR NEW.voided_at IS NULL OR {changed}"
        _forbid(table, "update", "BEFORE UPDATE", rule)
    for table in ANCHORS:
        rule = "OLD.voided_at IS NOT NULL OR NEW.id IS NOT OLD.id OR NEW.version IS NOT OLD.version + 1"
        _forbid(table, "update", "BEFORE UPDATE", rule)


def _forbid(table: str, name: str, when: str, rule: str) -> None:
    op.execute(
        f"CREATE TRIGGER keyhole_{table}_{name} {when} ON {table} WHEN {rule} BEGIN "
        f"SELECT RAISE(ABORT, 'keyhole: rows of {table} are kept: corrected by a new version, never deleted'); END"
    )
