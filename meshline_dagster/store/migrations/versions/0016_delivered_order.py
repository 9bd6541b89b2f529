"""Keep what the ERP tells of each order's deliveries."""

import sqlalchemy as sa
from alembic import op

from meshline_dagster.store.types import UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "delivered_order",
        sa.Column("destination", sa.String(length=60), nullable=False),
        sa.Column("entity_key", sa.String(length=300), nullable=False),
        sa.Column("stamp", UtcDateTime(), nullable=False),
        sa.Column("delivered", sa.Text(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "entity_key", name=op.f("pk_delivered_order")),
    )
