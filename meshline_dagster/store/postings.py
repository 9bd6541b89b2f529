"""The posting ledger's queries. State changes are checked against the table in ``core/ledger``, audited in the same
transaction, and fenced: a row changes only under the lease token that it was taken with.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import LeaseLostError
from meshline_dagster.core.identity import posting_key, shard_of
from meshline_dagster.core.ledger import OPEN_STATES, PostingState, check_transition
from meshline_dagster.core.postings import KnownPosting, NewPosting
from meshline_dagster.store import audit
from meshline_dagster.store.tables import attempt, posting

__all__ = [
    "Attempt",
    "Change",
    "Posting",
    "change_states",
    "due_postings",
    "insert_postings",
    "known_postings",
    "last_posted",
    "next_due",
    "open_shards",
    "postings_of",
    "record_attempts",
]

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Posting:
    """A ledger row as the engine works with it."""

    id: int
    destination: str
    entity_key: str
    document_kind: DocumentKind
    event_id: str
    revision: int
    key: str
    external_id: str
    operation: str
    event_time: datetime
    depends_on: str | None
    shard: int
    payload: str
    fingerprint: str
    amount: Decimal
    currency: str | None
    document_date: date | None
    state: PostingState
    attempts: int
    due_at: datetime | None
    lease_token: int | None
    erp_id: str | None
    outcome: str | None
    message: str | None
    cause: str
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """One state change: from what the caller saw to what he wants, and what to keep beside it."""

    posting: Posting
    after: PostingState
    token: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request or look-up: opened before it, closed after it."""

    posting_id: int
    request_id: str
    action: str
    fingerprint: str
    lease_token: int
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    answer: str | None = None


_COLUMNS = [posting.c[name] for name in Posting.__dataclass_fields__]


def _from_row(row: Any) -> Posting:
    values = row._asdict()
    values["document_kind"] = DocumentKind(values["document_kind"])
    values["state"] = PostingState(values["state"])
    return Posting(**values)


def insert_postings(
    connection: Connection, destination: str, plans: Sequence[NewPosting], *, shards: int, actor: str, now: datetime
) -> None:
    """Write planned rows with their payload, and an audit entry for each."""
    if not plans:
        return
    rows, entries = [], []
    for plan in plans:
        row = plan.row
        key = posting_key(destination, row.event_id, plan.revision)
        rows.append(
            {
                "destination": destination,
                "entity_key": row.entity_key,
                "document_kind": row.document_kind.value,
                "event_id": row.event_id,
                "revision": plan.revision,
                "key": key,
                "external_id": row.external_id,
                "operation": row.operation,
                "event_time": row.event_time,
                "depends_on": row.depends_on,
                "shard": shard_of(row.entity_key, shards),
                "payload": json.dumps(row.payload, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
                "fingerprint": plan.fingerprint,
                "amount": row.amount,
                "currency": row.currency,
                "document_date": row.document_date,
                "state": plan.state.value,
                "attempts": 0,
                "cause": plan.cause,
                "created_at": now,
                "updated_at": now,
            }
        )
        detail = {"entity": row.entity_key, "fingerprint": plan.fingerprint, "cause": plan.cause}
        entries.append(audit.Entry(actor, f"posting.{plan.state.value}", f"posting:{key}", detail))
    connection.execute(insert(posting), rows)
    audit.append(connection, entries, at=now)


def change_states(connection: Connection, changes: Sequence[Change], *, actor: str, now: datetime) -> None:
    """Move rows through the state machine.

    Raises:
        IllegalTransitionError: the table does not allow one of the steps; nothing is written.
        LeaseLostError: a row is no longer as the caller saw it; the transaction must roll back.
    """
    if not changes:
        return
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    entries = []
    for change in changes:
        check_transition(change.posting.state, change.after)
        values = {"state": change.after.value, "updated_at": now, "lease_token": change.token, **change.values}
        parameters = {"p_id": change.posting.id, "p_state": change.posting.state.value, "p_token": change.token}
        groups.setdefault(tuple(sorted(values)), []).append({**parameters, **values})
        detail = {"from": change.posting.state.value}
        detail |= {name: str(value) for name, value in change.values.items() if name in {"outcome", "erp_id", "cause"}}
        entries.append(audit.Entry(actor, f"posting.{change.after.value}", f"posting:{change.posting.key}", detail))
    for names, rows in groups.items():
        statement = (
            update(posting)
            .where(
                posting.c.id == bindparam("p_id"),
                posting.c.state == bindparam("p_state"),
                or_(posting.c.lease_token.is_(None), posting.c.lease_token <= bindparam("p_token")),
            )
            .values({name: bindparam(name) for name in names})
        )
        changed = connection.execute(statement, rows)
        if changed.rowcount != len(rows):
            raise LeaseLostError(
                "a posting changed under our hands: nothing was written", rows=len(rows), matched=changed.rowcount
            )
    audit.append(connection, entries, at=now)


def record_attempts(connection: Connection, opened: Sequence[Attempt], closed: Sequence[Attempt]) -> None:
    """Insert the attempts that begin and close those that ended; a closed one is never written again."""
    names = Attempt.__dataclass_fields__
    if opened:
        connection.execute(insert(attempt), [{name: getattr(row, name) for name in names} for row in opened])
    if closed:
        statement = (
            update(attempt)
            .where(
                attempt.c.posting_id == bindparam("p_id"),
                attempt.c.request_id == bindparam("p_request"),
                attempt.c.ended_at.is_(None),
            )
            .values(ended_at=bindparam("p_ended"), outcome=bindparam("p_outcome"), answer=bindparam("p_answer"))
        )
        rows = [
            {
                "p_id": row.posting_id,
                "p_request": row.request_id,
                "p_ended": row.ended_at,
                "p_outcome": row.outcome,
                "p_answer": row.answer,
            }
            for row in closed
        ]
        connection.execute(statement, rows)


def known_postings(
    connection: Connection, destination: str, entity_keys: Sequence[str]
) -> dict[str, list[KnownPosting]]:
    """The latest revision of every event of these entities."""
    found: dict[tuple[str, str], KnownPosting] = {}
    columns = [
        posting.c[name] for name in ("entity_key", "id", "event_id", "revision", "event_time", "fingerprint", "state")
    ]
    for start in range(0, len(entity_keys), _CHUNK):
        part = entity_keys[start : start + _CHUNK]
        query = (
            select(*columns)
            .where(posting.c.destination == destination, posting.c.entity_key.in_(part))
            .order_by(posting.c.revision)
        )
        for entity, posting_id, event_id, revision, time, digest, state in connection.execute(query):
            known = KnownPosting(posting_id, event_id, revision, time, digest, PostingState(state))
            found[entity, event_id] = known
    grouped: dict[str, list[KnownPosting]] = {}
    for (entity, _), known in found.items():
        grouped.setdefault(entity, []).append(known)
    return grouped


def postings_of(connection: Connection, ids: Sequence[int]) -> list[Posting]:
    """Ledger rows by id."""
    rows: list[Posting] = []
    for start in range(0, len(ids), _CHUNK):
        query = select(*_COLUMNS).where(posting.c.id.in_(ids[start : start + _CHUNK]))
        rows += [_from_row(row) for row in connection.execute(query)]
    return rows


def due_postings(
    connection: Connection, destination: str, shards: Sequence[int], *, now: datetime, limit: int
) -> list[Posting]:
    """The oldest open row of each entity in these shards, if it is due now and nothing holds it back.

    Held back are: rows whose customer is not posted yet, and entities with a dead posting.
    """
    head = (
        select(posting.c.entity_key, func.min(posting.c.event_time).label("event_time"))
        .where(
            posting.c.destination == destination,
            posting.c.shard.in_(shards),
            posting.c.state.in_([state.value for state in OPEN_STATES]),
        )
        .group_by(posting.c.entity_key)
        .subquery()
    )
    master, dead = posting.alias("master"), posting.alias("dead")
    master_posted = (
        select(master.c.id)
        .where(
            master.c.destination == destination,
            master.c.entity_key == posting.c.depends_on,
            master.c.state == PostingState.POSTED.value,
        )
        .exists()
    )
    entity_dead = (
        select(dead.c.id)
        .where(
            dead.c.destination == destination,
            dead.c.entity_key == posting.c.entity_key,
            dead.c.state == PostingState.DEAD.value,
        )
        .exists()
    )
    query = (
        select(*_COLUMNS)
        .join(head, and_(head.c.entity_key == posting.c.entity_key, head.c.event_time == posting.c.event_time))
        .where(
            posting.c.destination == destination,
            posting.c.state.in_([state.value for state in OPEN_STATES]),
            or_(posting.c.due_at.is_(None), posting.c.due_at <= now),
            or_(posting.c.depends_on.is_(None), master_posted),
            ~entity_dead,
        )
        .order_by(posting.c.document_kind, posting.c.event_time, posting.c.id)
        .limit(limit)
    )
    first: dict[str, Posting] = {}
    for row in connection.execute(query):
        found = _from_row(row)
        first.setdefault(found.entity_key, found)
    return list(first.values())


def last_posted(connection: Connection, destination: str, entity_keys: Sequence[str]) -> dict[str, Posting]:
    """The newest posted row of each entity: the state that the ERP should show."""
    found: dict[str, Posting] = {}
    for start in range(0, len(entity_keys), _CHUNK):
        query = (
            select(*_COLUMNS)
            .where(
                posting.c.destination == destination,
                posting.c.entity_key.in_(entity_keys[start : start + _CHUNK]),
                posting.c.state == PostingState.POSTED.value,
            )
            .order_by(posting.c.event_time, posting.c.id)
        )
        for row in connection.execute(query):
            found[row.entity_key] = _from_row(row)
    return found


def open_shards(connection: Connection, destination: str) -> set[int]:
    """The shards in which a posting has work to do."""
    query = (
        select(posting.c.shard)
        .where(posting.c.destination == destination, posting.c.state.in_([state.value for state in OPEN_STATES]))
        .distinct()
    )
    return set(connection.execute(query).scalars())


def next_due(connection: Connection, destination: str, shards: Sequence[int]) -> datetime | None:
    """When the next posting that waits for its time is due; None when none waits."""
    query = select(func.min(posting.c.due_at, type_=posting.c.due_at.type)).where(
        posting.c.destination == destination,
        posting.c.shard.in_(shards),
        posting.c.state.in_([state.value for state in OPEN_STATES]),
    )
    return connection.execute(query).scalar_one_or_none()
