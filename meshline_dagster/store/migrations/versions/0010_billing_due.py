"""Keep which orders are to be invoiced on a later day."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "billing_due",
        sa.Column("destination", sa.String(length=60), nullable=False),
        sa.Column("entity_key", sa.String(length=300), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "entity_key", name=op.f("pk_billing_due")),
    )
    op.create_index(op.f("ix_billing_due_destination_due_on"), "billing_due", ["destination", "due_on"])
