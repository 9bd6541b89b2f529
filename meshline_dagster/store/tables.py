"""The ops store's tables, those of the ledger included. The comment above each gives its grain.

Migrations under ``migrations/`` create them; a test keeps both in step.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from meshline_dagster.store.ledger_tables import (
    attempt,
    billing_due,
    delivered_order,
    held_order,
    is_dead,
    is_duplicate,
    is_open,
    is_posted,
    is_reversal,
    milestone,
    posting,
)
from meshline_dagster.store.metadata import ROW_ID, metadata
from meshline_dagster.store.types import Amount, UtcDateTime

__all__ = [
    "alert_sent",
    "approval",
    "attempt",
    "audit_entry",
    "backlog_release",
    "billing_due",
    "breaker",
    "build",
    "counter",
    "delivered_order",
    "exception_item",
    "feed_schema",
    "feed_state",
    "freeze",
    "held_order",
    "is_dead",
    "is_duplicate",
    "is_open",
    "is_posted",
    "is_reversal",
    "landing_file",
    "lease",
    "mapping",
    "metadata",
    "milestone",
    "pause",
    "posting",
    "rate",
    "replay_request",
    "verdict",
    "waiting_posting",
]

# A number that counts up in commit order: its row is locked until the transaction that raised it ends.
counter = Table(
    "counter",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# One feed: how far it has been read.
feed_state = Table(
    "feed_state",
    metadata,
    Column("feed", String(200), primary_key=True),
    Column("watermark", UtcDateTime),
    Column("generation", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# One schema that a feed has shown.
feed_schema = Table(
    "feed_schema",
    metadata,
    Column("feed", String(200), primary_key=True),
    Column("schema_hash", String(64), primary_key=True),
    Column("fields", Text, nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
)

# One Parquet file of the landing zone; replaced_by names the compacted file that holds its rows now.
landing_file = Table(
    "landing_file",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("feed", String(200), nullable=False),
    Column("day", Date, nullable=False),
    Column("path", String(1000), nullable=False, unique=True),
    Column("kind", String(12), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("min_stamp", UtcDateTime, nullable=False),
    Column("max_stamp", UtcDateTime, nullable=False),
    Column("schema_hash", String(64), nullable=False),
    Column("run_id", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("replaced_by", BigInteger),
    CheckConstraint("kind IN ('data', 'compacted')", name="kind"),
    Index(None, "feed", "day"),
)

# One named lease; the token only ever grows, so an older holder can be told from a newer one.
lease = Table(
    "lease",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("holder", String(100)),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# One item of the operators' queue; the trace key says what it is about.
exception_item = Table(
    "exception_item",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("trace_key", String(400), nullable=False, unique=True),
    Column("origin", String(20), nullable=False),
    Column("code", String(80), nullable=False),
    Column("status", String(12), nullable=False),
    Column("priority", String(2), nullable=False),
    Column("owner", String(40), nullable=False),
    Column("title", String(300), nullable=False),
    Column("detail", Text, nullable=False),
    Column("fix", Text, nullable=False),
    Column("entity_key", String(300)),
    Column("event_id", String(64)),
    Column("amount", Amount),
    Column("currency", String(3)),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("resolution", Text),
    CheckConstraint("status IN ('open', 'triaged', 'in_progress', 'muted', 'reopened', 'resolved')", name="status"),
    Index(None, "status"),
)

# One exception that one alert channel has taken, when it last did, and when it took the notice that it is over.
alert_sent = Table(
    "alert_sent",
    metadata,
    Column("exception_id", ROW_ID, ForeignKey("exception_item.id"), primary_key=True, autoincrement=False),
    Column("channel", String(60), primary_key=True),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("recovered_at", UtcDateTime),
)

# The latest verdict of one table-level check; the writer refuses while one stands failed.
verdict = Table(
    "verdict",
    metadata,
    Column("subject", String(200), primary_key=True),
    Column("check_name", String(200), primary_key=True),
    Column("passed", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Column("build_id", String(60)),
    Column("decided_at", UtcDateTime, nullable=False),
)

# One operator's decision that a source value means a target value. Revoked, never edited.
mapping = Table(
    "mapping",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("source_value", String(300), nullable=False),
    Column("target_value", String(300), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_seq", BigInteger),
    Column("revoked_at", UtcDateTime),
    Column("revoked_by", String(100)),
)

# One set of writes, by its digest, that somebody has to approve before they are sent. Decided once; void when nothing of it is left.
approval = Table(
    "approval",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("destination", String(60), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("role", String(20), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("decision", String(10)),
    Column("decided_by", String(100)),
    Column("decided_at", UtcDateTime),
    Column("reason", Text),
    CheckConstraint("kind IN ('replay', 'reversals', 'restatement', 'redated')", name="kind"),
    CheckConstraint("decision IN ('approved', 'rejected', 'void')", name="decision"),
    Index(None, "destination", "decision"),
)

# One posting that is sent only once its digest is approved.
waiting_posting = Table(
    "waiting_posting",
    metadata,
    Column("posting_id", ROW_ID, ForeignKey("posting.id"), primary_key=True, autoincrement=False),
    Column("digest", String(64), ForeignKey("approval.digest"), nullable=False, index=True),
)

# One range of change days that somebody asked to have derived and delivered again; `entities` limits it (a JSON list, null: all).
replay_request = Table(
    "replay_request",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("run_id", String(100), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("requested_by", String(100)),
    Column("entities", Text),
    UniqueConstraint("run_id", "first_day", "last_day"),
)

# One build of the warehouse: what it covered, and whether delivery has taken its outbox over.
build = Table(
    "build",
    metadata,
    Column("id", String(60), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("after", String(60)),
    Column("mode", String(12), nullable=False),
    Column("status", String(10), nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("landing_from", BigInteger, nullable=False),
    Column("landing_to", BigInteger, nullable=False),
    Column("mapping_from", BigInteger, nullable=False),
    Column("mapping_to", BigInteger, nullable=False),
    Column("request_to", BigInteger, nullable=False),
    Column("replay_from", Date),
    Column("replay_to", Date),
    Column("run_id", String(100), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("planned_at", UtcDateTime),
    CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="status"),
)

# One pause of posting: what fits every part that is not NULL waits until it is resumed.
pause = Table(
    "pause",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("destination", String(60)),
    Column("selling_entity", String(100)),
    Column("customer", String(300)),
    Column("actor", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("resumed_at", UtcDateTime),
)

# One destination's circuit breaker; none for a destination that has never failed.
breaker = Table(
    "breaker",
    metadata,
    Column("destination", String(60), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failed_at", UtcDateTime),
    Column("trips", Integer, nullable=False),
    Column("opened_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    Column("probe", String(100)),
    Column("probe_until", UtcDateTime),
    Column("message", Text, nullable=False),
    CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state"),
)

# One release of a backlog: everything up to through_id may be sent.
backlog_release = Table(
    "backlog_release",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("destination", String(60), nullable=False),
    Column("through_id", BigInteger, nullable=False),
    Column("postings", BigInteger, nullable=False),
    Column("amounts", Text, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# What all runs share of one destination's rate limit: the instant up to which its bucket is paid, and a wait that it asked for.
rate = Table(
    "rate",
    metadata,
    Column("destination", String(60), primary_key=True),
    Column("paid_at", UtcDateTime),
    Column("not_before", UtcDateTime),
)

# One freeze of a destination's close calendar, as the sync's settings had it when they were last seen.
freeze = Table(
    "freeze",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("destination", String(60), nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("selling_entity", String(100)),
    Column("reason", Text, nullable=False),
)

# One thing that was decided or done. Each entry's hash covers the hash before it.
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(400), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
