"""Find the few reversals of documents that the ERP holds twice without reading the ledger."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_posting_duplicate ON posting (destination, operation, external_id) WHERE operation = 'reverse'"
    )
