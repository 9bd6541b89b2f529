"""Remember which exception was told to which alert channel."""

import sqlalchemy as sa
from alembic import op

from meshline_dagster.store.types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_sent",
        sa.Column("exception_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.String(length=60), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["exception_id"], ["exception_item.id"], name=op.f("fk_alert_sent_exception_id")),
        sa.PrimaryKeyConstraint("exception_id", "channel", name=op.f("pk_alert_sent")),
    )
