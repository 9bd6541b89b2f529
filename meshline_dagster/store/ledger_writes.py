"""Writing the posting ledger: new rows, state changes, attempts.

State changes are checked against the table in ``core/ledger`` (and by the database, see migration 0002), audited in the same
transaction, and fenced: a row changes only under a lease token that is not older than the last one that changed it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Self

from sqlalchemy import Connection

from meshline_dagster.core.errors import LeaseLostError
from meshline_dagster.core.identity import canonical_json, canonical_texts, posting_key, shard_of
from meshline_dagster.core.ledger import PostingState, check_transition
from meshline_dagster.core.postings import NewPosting
from meshline_dagster.store import audit
from meshline_dagster.store.bulk import Update, insert_rows, update_rows
from meshline_dagster.store.postings import Posting
from meshline_dagster.store.tables import attempt, posting

__all__ = ["Attempt", "AttemptEnd", "Change", "change_states", "insert_postings", "record_attempts"]


class Change(NamedTuple):
    """One state change: from what the caller saw to what he wants.

    Attributes:
        posting_id, key, shard: which posting.
        before: the state that the row has.
        token: the fencing token under which it is made.
        due_at: when to look at the posting again; None when it is settled or due at once.
        attempts, sent_at, erp_id, outcome, message, cause, partial_policy: None keeps what the row has.
    """

    posting_id: int
    key: str
    shard: int
    before: PostingState
    after: PostingState
    token: int
    due_at: datetime | None = None
    attempts: int | None = None
    sent_at: datetime | None = None
    erp_id: str | None = None
    outcome: str | None = None
    message: str | None = None
    cause: str | None = None
    partial_policy: str | None = None

    @classmethod
    def of(
        cls, row: Posting, after: PostingState, token: int, *, cause: str | None = None, sent_at: datetime | None = None
    ) -> Self:
        """A change from the state that the row was read with."""
        return cls(row.id, row.key, row.shard, row.state, after, token, cause=cause, sent_at=sent_at)


class Attempt(NamedTuple):
    """One request or look-up, as it begins; a look-up is written when it has ended, with its end."""

    posting_id: int
    request_id: str
    action: str
    fingerprint: str
    lease_token: int
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    answer: str | None = None


class AttemptEnd(NamedTuple):
    """How an attempt ended. It closes once and is never written again."""

    posting_id: int
    request_id: str
    ended_at: datetime
    outcome: str
    answer: str


_KEPT = ("attempts", "sent_at", "erp_id", "outcome", "message", "cause", "partial_policy")
_CHANGE = Update(
    posting,
    "state = given.state, lease_token = given.lease_token, due_at = given.due_at, updated_at = given.updated_at, "
    + ", ".join(f"{name} = COALESCE(given.{name}, posting.{name})" for name in _KEPT),
    "posting.id = given.id AND posting.state = given.before_state "
    "AND (posting.lease_token IS NULL OR posting.lease_token <= given.lease_token)",
    {
        **{name: posting.c[name].type for name in ("id", "state", "lease_token", "due_at", "updated_at", *_KEPT)},
        "before_state": posting.c.state.type,
    },
)
_CLOSE = Update(
    attempt,
    "ended_at = given.ended_at, outcome = given.outcome, answer = given.answer",
    "attempt.posting_id = given.posting_id AND attempt.request_id = given.request_id AND attempt.ended_at IS NULL",
    {name: attempt.c[name].type for name in AttemptEnd._fields},
)
_NEW = (
    *("destination", "entity_key", "document_kind", "event_id", "revision", "key", "external_id", "operation"),
    *("event_time", "depends_on", "shard", "payload", "fingerprint", "amount", "currency", "document_date", "state"),
    *("selling_entity", "customer_key", "attempts", "cause", "created_at", "updated_at"),
)


def insert_postings(
    connection: Connection, destination: str, plans: Sequence[NewPosting], *, shards: int, actor: str, now: datetime
) -> None:
    """Write planned rows with their payload, and an audit entry for each. The payload is kept as it was fingerprinted."""
    if not plans:
        return
    rows, entries = [], []
    for plan in plans:
        row = plan.row
        key = posting_key(destination, row.event_id, plan.revision)
        masters = canonical_texts(row.depends_on).decode() if row.depends_on else None
        rows.append(
            (
                *(destination, row.entity_key, row.document_kind.value, row.event_id, plan.revision, key),
                *(row.external_id, row.operation, row.event_time, masters, shard_of(row.entity_key, shards)),
                *(canonical_json(row.payload).decode(), plan.fingerprint, row.amount, row.currency),
                *(row.document_date, plan.state.value, row.selling_entity, row.customer_key, 0, plan.cause, now, now),
            )
        )
        detail = {"entity": row.entity_key, "fingerprint": plan.fingerprint, "cause": plan.cause}
        entries.append(audit.Entry(actor, f"posting.{plan.state.value}", f"posting:{key}", detail))
    insert_rows(connection, posting, _NEW, rows)
    audit.append(connection, entries, at=now)


def change_states(connection: Connection, changes: Sequence[Change], *, actor: str, now: datetime) -> None:
    """Move rows through the state machine.

    Raises:
        IllegalTransitionError: the table does not allow one of the steps; nothing is written.
        LeaseLostError: a row is no longer as the caller saw it; the transaction must roll back.
    """
    if not changes:
        return
    rows, entries = [], []
    for change in changes:
        check_transition(change.before, change.after)
        after = change.after.value
        rows.append(
            (
                *(change.posting_id, after, change.token, change.due_at, now),
                *(change.attempts, change.sent_at, change.erp_id, change.outcome, change.message, change.cause),
                *(change.partial_policy, change.before.value),
            )
        )
        entries.append(audit.Entry(actor, f"posting.{after}", f"posting:{change.key}", _detail(change)))
    matched = update_rows(connection, _CHANGE, rows)
    if matched != len(rows):
        raise LeaseLostError("a posting changed under our hands: nothing was written", rows=len(rows), matched=matched)
    audit.append(connection, entries, at=now)


def record_attempts(connection: Connection, opened: Sequence[Attempt], closed: Sequence[AttemptEnd]) -> None:
    """Insert the attempts that begin and close those that ended."""
    if opened:
        insert_rows(connection, attempt, Attempt._fields, opened)
    if closed:
        update_rows(connection, _CLOSE, closed)


def _detail(change: Change) -> dict[str, str]:
    detail = {"from": change.before.value}
    if change.outcome is not None:
        detail["outcome"] = change.outcome
    if change.erp_id is not None:
        detail["erp_id"] = change.erp_id
    if change.cause is not None:
        detail["cause"] = change.cause
    return detail
