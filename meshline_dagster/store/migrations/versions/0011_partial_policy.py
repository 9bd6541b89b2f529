"""Keep what is to become of a document that is there in part, as the workflow had it when the posting was first sent."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("posting", sa.Column("partial_policy", sa.String(length=10), nullable=True))
