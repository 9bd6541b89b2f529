"""The posting ledger's tables. The comment above each gives its grain."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.sql.selectable import NamedFromClause

from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.store.metadata import ROW_ID, metadata
from meshline_dagster.store.types import Amount, UtcDateTime

__all__ = [
    "attempt",
    "billing_due",
    "delivered_order",
    "held_order",
    "is_dead",
    "is_duplicate",
    "is_open",
    "is_posted",
    "is_reversal",
    "milestone",
    "posting",
]

_STATES = ", ".join(f"'{state.value}'" for state in PostingState)
_OPEN_LIST = ", ".join(f"'{state.value}'" for state in PostingState if state in OPEN_STATES)
_OPEN = f"state IN ({_OPEN_LIST})"
_DEAD = f"state = '{PostingState.DEAD.value}'"

# One revision of one event for one destination.
posting = Table(
    "posting",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("destination", String(60), nullable=False),
    Column("entity_key", String(300), nullable=False),
    Column("document_kind", String(40), nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("key", String(64), nullable=False, unique=True),
    Column("external_id", String(255), nullable=False),
    Column("operation", String(20), nullable=False),
    Column("event_time", UtcDateTime, nullable=False),
    Column("depends_on", Text),  # a JSON array of entity keys; NULL: none
    Column("selling_entity", String(100)),
    Column("customer_key", String(300)),
    Column("shard", Integer, nullable=False),
    Column("payload", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("currency", String(3)),
    Column("document_date", Date),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("lease_token", BigInteger),
    Column("erp_id", String(200)),
    Column("outcome", String(40)),
    Column("message", Text),
    Column("cause", String(40), nullable=False),
    Column("sent_at", UtcDateTime),
    Column("partial_policy", String(10)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("destination", "event_id", "revision"),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    Index(None, "destination", "entity_key"),
    Index(None, "destination", "state"),
)
# Four partial indexes, and the one that keeps a milestone from being in force twice, stand in migrations only: declared here they would load every PostgreSQL dialect at import.


def is_open(of: NamedFromClause) -> TextClause:
    """The condition of the partial index over open postings, in its very words: databases match it as text."""
    return text(f"{of.name}.{_OPEN}")


def is_dead(of: NamedFromClause) -> TextClause:
    """The condition of the partial index over dead postings."""
    return text(f"{of.name}.{_DEAD}")


def is_reversal(of: NamedFromClause) -> TextClause:
    """The condition of the partial index over planned cancellations."""
    return text(f"{of.name}.operation = 'cancel' AND {of.name}.state = 'planned'")


def is_duplicate(of: NamedFromClause) -> TextClause:
    """The condition of the partial index over reversals of documents that the ERP holds twice."""
    return text(f"{of.name}.operation = 'reverse'")


def is_posted(of: NamedFromClause) -> TextClause:
    """Posted, of rows found by something else: SQLite, which keeps no statistics, would take the index over states, and walk all that
    was ever posted for each row that it looks for. The expression keeps it from that.
    """
    return text(f"{of.name}.state || '' = '{PostingState.POSTED.value}'")


# One request, or one look-up, made for a posting. Rows are inserted before the request and closed once after it.
attempt = Table(
    "attempt",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("posting_id", ROW_ID, ForeignKey("posting.id"), nullable=False),
    Column("request_id", String(36), nullable=False),
    Column("action", String(10), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(40)),
    Column("answer", Text),
    UniqueConstraint("posting_id", "request_id"),
)

# One order that is not to be invoiced before a day, or whose billing is to be looked at again then.
billing_due = Table(
    "billing_due",
    metadata,
    Column("destination", String(60), primary_key=True),
    Column("entity_key", String(300), primary_key=True),
    Column("shard", Integer, nullable=False),
    Column("due_on", Date, nullable=False),
    Index(None, "destination", "due_on"),
)

# One order whose newest state the rules hold, as the last build had it: until that state is posted, no older one is billed.
held_order = Table(
    "held_order",
    metadata,
    Column("entity_key", String(300), primary_key=True),
)

# What the ERP told last of one order's deliveries: JSON, a member for each line of which it tells. `stamp`: when the ERP's document changed.
delivered_order = Table(
    "delivered_order",
    metadata,
    Column("destination", String(60), primary_key=True),
    Column("entity_key", String(300), primary_key=True),
    Column("stamp", UtcDateTime, nullable=False),
    Column("delivered", Text, nullable=False),
    Column("told_at", UtcDateTime, nullable=False),
)

# One milestone of an order as somebody planned it, or recorded it as reached. Numbers are decimal strings. Revoked, never edited.
milestone = Table(
    "milestone",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("entity_key", String(300), nullable=False),
    Column("name", String(100), nullable=False),
    Column("percent", String(40)),
    Column("amount", String(40)),
    Column("reached_on", Date),
    Column("place", BigInteger),
    Column("actor", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_seq", BigInteger),
    Column("revoked_at", UtcDateTime),
    Column("revoked_by", String(100)),
    Index(None, "entity_key"),
)
