"""Keep the circuit breaker of each destination where all runs see it; remember which recovery was told to whom."""

import sqlalchemy as sa
from alembic import op

from meshline_dagster.store.types import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert_sent", sa.Column("recovered_at", UtcDateTime(), nullable=True))
    op.create_table(
        "breaker",
        sa.Column("destination", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", UtcDateTime(), nullable=True),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("retry_at", UtcDateTime(), nullable=True),
        sa.Column("probe", sa.String(length=100), nullable=True),
        sa.Column("probe_until", UtcDateTime(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("ck_breaker_state")),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_breaker")),
    )
