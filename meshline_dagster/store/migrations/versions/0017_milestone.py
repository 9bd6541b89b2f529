"""Keep the milestones of orders, and when they are reached."""

import sqlalchemy as sa
from alembic import op

from meshline_dagster.store.types import UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "milestone",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entity_key", sa.String(length=300), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("percent", sa.String(length=40)),
        sa.Column("amount", sa.String(length=40)),
        sa.Column("reached_on", sa.Date()),
        sa.Column("place", sa.BigInteger()),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_seq", sa.BigInteger()),
        sa.Column("revoked_at", UtcDateTime()),
        sa.Column("revoked_by", sa.String(length=100)),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_milestone")),
    )
    op.create_index(op.f("ix_milestone_entity_key"), "milestone", ["entity_key"])
    op.execute("CREATE UNIQUE INDEX uq_milestone_name ON milestone (entity_key, name) WHERE revoked_seq IS NULL")
