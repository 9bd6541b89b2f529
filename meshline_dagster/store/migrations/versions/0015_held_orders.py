"""Keep which orders have a newest state that the rules hold: they are not billed by an older one."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_order",
        sa.Column("entity_key", sa.String(length=300), nullable=False),
        sa.PrimaryKeyConstraint("entity_key", name=op.f("pk_held_order")),
    )
