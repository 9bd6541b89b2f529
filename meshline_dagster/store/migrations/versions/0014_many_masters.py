"""Let a posting wait for several masters: what it depends on becomes a JSON array. An item goes by its code, which may be longer than our names.

SQLite keeps no length, and would have to copy the table, with its guards, to write another one down.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_FROZEN = (
    *("destination", "entity_key", "document_kind", "event_id", "revision", "key", "external_id", "payload"),
    *("fingerprint", "amount", "currency", "document_date", "event_time"),
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    array = "json_array(depends_on)" if sqlite else "CAST(jsonb_build_array(depends_on) AS text)"
    op.add_column("posting", sa.Column("masters", sa.Text(), nullable=True))
    op.execute(f"UPDATE posting SET masters = {array} WHERE depends_on IS NOT NULL")  # noqa: S608 - fixed text
    op.execute("ALTER TABLE posting DROP COLUMN depends_on")
    op.execute("ALTER TABLE posting RENAME COLUMN masters TO depends_on")
    if not sqlite:
        changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FROZEN)
        op.execute("DROP TRIGGER posting_frozen ON posting")
        op.execute("ALTER TABLE posting ALTER COLUMN external_id TYPE varchar(255)")
        op.execute(
            f"CREATE TRIGGER posting_frozen BEFORE UPDATE OF {', '.join(_FROZEN)} ON posting "
            f"FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION meshline_posting_frozen()"
        )
