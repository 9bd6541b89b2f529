"""Let a pause be about a selling entity or a customer; let the ledger know both.

What was planned earlier has no selling entity in the ledger; a pause of any selling entity holds it. Its customer is known from what it
waits for, except for cancellations, which any pause of a customer holds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("posting", sa.Column("selling_entity", sa.String(length=100), nullable=True))
    op.add_column("posting", sa.Column("customer_key", sa.String(length=300), nullable=True))
    op.execute(
        "UPDATE posting SET customer_key = CASE document_kind WHEN 'customer' THEN entity_key ELSE depends_on END"
    )
    with op.batch_alter_table("pause") as batch:
        batch.alter_column("scope", new_column_name="destination", existing_type=sa.String(length=60), nullable=True)
        batch.add_column(sa.Column("selling_entity", sa.String(length=100), nullable=True))
        batch.add_column(sa.Column("customer", sa.String(length=300), nullable=True))
    op.execute("UPDATE pause SET destination = NULL WHERE destination = 'all'")
