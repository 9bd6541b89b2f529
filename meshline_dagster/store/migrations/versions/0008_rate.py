"""Share a destination's rate limit among all runs."""

import sqlalchemy as sa
from alembic import op

from meshline_dagster.store.types import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate",
        sa.Column("destination", sa.String(length=60), nullable=False),
        sa.Column("paid_at", UtcDateTime(), nullable=True),
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_rate")),
    )
