"""Approvals of writes: postings that wait for one, who asked for a replay and what it was limited to.

The database itself refuses to change a decision, to delete one, and to let a posting go from what it waits for.
"""

import sqlalchemy as sa
from alembic import op

from meshline_dagster.store.types import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_GUARDS = (
    ("approval_decided_once", "approval", "UPDATE", "OLD.decision IS NOT NULL", "an approval is decided once"),
    ("approval_kept", "approval", "DELETE", "", "approvals are never deleted"),
    ("waiting_posting_fixed", "waiting_posting", "UPDATE", "", "what a posting waits for is never changed"),
    ("waiting_posting_kept", "waiting_posting", "DELETE", "", "what a posting waits for is never deleted"),
)


def upgrade() -> None:
    op.create_table(
        "approval",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("destination", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("decision", sa.String(length=10), nullable=True),
        sa.Column("decided_by", sa.String(length=100), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('replay', 'reversals', 'restatement')", name=op.f("ck_approval_kind")),
        sa.CheckConstraint("decision IN ('approved', 'rejected', 'void')", name=op.f("ck_approval_decision")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_approval")),
    )
    op.create_index(op.f("ix_approval_destination_decision"), "approval", ["destination", "decision"], unique=False)
    op.create_table(
        "waiting_posting",
        sa.Column("posting_id", _ID, autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["posting_id"], ["posting.id"], name=op.f("fk_waiting_posting_posting_id")),
        sa.ForeignKeyConstraint(["digest"], ["approval.digest"], name=op.f("fk_waiting_posting_digest")),
        sa.PrimaryKeyConstraint("posting_id", name=op.f("pk_waiting_posting")),
    )
    op.create_index(op.f("ix_waiting_posting_digest"), "waiting_posting", ["digest"], unique=False)
    op.add_column("replay_request", sa.Column("requested_by", sa.String(length=100), nullable=True))
    op.add_column("replay_request", sa.Column("entities", sa.Text(), nullable=True))
    op.execute(
        "CREATE INDEX ix_posting_reversal ON posting (destination, entity_key) "
        "WHERE operation = 'cancel' AND state = 'planned'"
    )
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    for name, table, on, condition, message in _GUARDS:
        for statement in (_sqlite if sqlite else _postgres)(name, table, on, condition, message):
            connection.exec_driver_sql(statement)


def _sqlite(name: str, table: str, on: str, condition: str, message: str) -> list[str]:
    when = f"WHEN {condition} " if condition else ""
    return [f"CREATE TRIGGER {name} BEFORE {on} ON {table} {when}BEGIN SELECT RAISE(ABORT, '{message}'); END"]


def _postgres(name: str, table: str, on: str, condition: str, message: str) -> list[str]:
    when = f"WHEN ({condition}) " if condition else ""
    body = f"BEGIN RAISE EXCEPTION '{message}'; END"
    return [
        f"CREATE FUNCTION meshline_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER {name} BEFORE {on} ON {table} FOR EACH ROW {when}EXECUTE FUNCTION meshline_{name}()",
    ]
