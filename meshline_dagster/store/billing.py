"""What billing reads of the ledger, and the days on which it looks at an order again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import orjson
from sqlalchemy import Connection, delete, insert, select

from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind
from meshline_dagster.core.followups import BillingRow
from meshline_dagster.core.identity import sha256_hex
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.postings import REFUSED
from meshline_dagster.store import audit
from meshline_dagster.store.bulk import among
from meshline_dagster.store.exceptions import CLOSED
from meshline_dagster.store.postings import Posting, postings_of
from meshline_dagster.store.tables import billing_due, exception_item, held_order, is_open, posting

__all__ = [
    "billing_rows",
    "credit_notes_planned",
    "is_any_ripe",
    "kept_back",
    "not_approved",
    "put_off",
    "refused_follow_ups",
    "ripe_entities",
]

_STORED = [name for name in BillingRow.__dataclass_fields__ if name != "is_intact"]
_PAYLOAD = _STORED.index("payload")
_BILLING = [kind.value for kind in (DocumentKind.SALES_ORDER, *ACCOUNTING_KINDS)]


def billing_rows(connection: Connection, destination: str, entity_keys: Sequence[str]) -> dict[str, list[BillingRow]]:
    """The ledger rows of these orders and of what followed from them, oldest first."""
    query = (
        select(posting.c.entity_key, posting.c.fingerprint, *(posting.c[name] for name in _STORED))
        .where(
            posting.c.destination == destination,
            among(connection, posting.c.entity_key, entity_keys),
            posting.c.document_kind.in_(_BILLING),
        )
        .order_by(posting.c.event_time, posting.c.id)
    )
    found: dict[str, list[BillingRow]] = {key: [] for key in entity_keys}
    for entity_key, fingerprint, *values in connection.execute(query):
        row, text = BillingRow(*values), values[_PAYLOAD]
        kind, state, payload = DocumentKind(row.document_kind), PostingState(row.state), orjson.loads(text)
        is_intact = sha256_hex(text.encode()) == fingerprint
        found[entity_key].append(replace(row, document_kind=kind, state=state, payload=payload, is_intact=is_intact))
    return found


def kept_back(connection: Connection, entity_keys: Sequence[str]) -> set[str]:
    """Those of these orders whose newest state the rules keep from being posted: until somebody has decided, or something has arrived."""
    held = select(held_order.c.entity_key).where(among(connection, held_order.c.entity_key, entity_keys))
    in_review = select(exception_item.c.entity_key).where(
        among(connection, exception_item.c.entity_key, entity_keys),
        exception_item.c.origin == "disposition",
        exception_item.c.status != CLOSED,
    )
    return {*connection.execute(held).scalars(), *connection.execute(in_review).scalars()}


def ripe_entities(
    connection: Connection, destination: str, shards: Sequence[int], *, today: date, limit: int
) -> list[str]:
    """The keys of orders to look at again today. One with a state on its way is left to that state's outcome."""
    under_way = (
        select(posting.c.id)
        .where(posting.c.destination == destination, posting.c.entity_key == billing_due.c.entity_key, is_open(posting))
        .exists()
    )
    query = (
        select(billing_due.c.entity_key)
        .where(
            billing_due.c.destination == destination,
            billing_due.c.due_on <= today,
            among(connection, billing_due.c.shard, shards),
            ~under_way,
        )
        .order_by(billing_due.c.due_on, billing_due.c.entity_key)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def is_any_ripe(connection: Connection, destination: str, *, today: date) -> bool:
    """Whether the day of an order has come, whatever else it may wait for: a cheap question before :func:`ripe_entities`."""
    query = select(billing_due.c.entity_key).where(
        billing_due.c.destination == destination, billing_due.c.due_on <= today
    )
    return connection.execute(query.limit(1)).first() is not None


def put_off(
    connection: Connection, destination: str, looked_at: Sequence[str], waiting: Sequence[tuple[str, int, date]]
) -> None:
    """Forget the days of the orders that were looked at; keep ``(entity key, shard, day)`` of those that wait, and of which none is kept.

    From here on nobody else changes the day of an order: whoever does has to write to the audit log too, some before and some after it, and
    whoever looks at an order must not lose the day that a decision gives it meanwhile.
    """
    audit.hold(connection)
    forgotten = delete(billing_due).where(
        billing_due.c.destination == destination, among(connection, billing_due.c.entity_key, looked_at)
    )
    if looked_at:
        connection.execute(forgotten)
    if waiting:
        names = ("destination", "entity_key", "shard", "due_on")
        rows = [dict(zip(names, (destination, *one), strict=True)) for one in waiting]
        connection.execute(insert(billing_due), rows)


def not_approved(connection: Connection, destination: str, entity_keys: Sequence[str]) -> list[str]:
    """The orders of which a person has refused an invoice or credit note, and nothing was planned in its place."""
    later = posting.alias("later")
    planned_since = (
        select(later.c.id)
        .where(
            later.c.destination == destination,
            later.c.event_id == posting.c.event_id,
            later.c.revision > posting.c.revision,
        )
        .exists()
    )
    query = (
        select(posting.c.entity_key)
        .where(
            posting.c.destination == destination,
            among(connection, posting.c.entity_key, entity_keys),
            posting.c.document_kind.in_([kind.value for kind in ACCOUNTING_KINDS]),
            posting.c.state == PostingState.SUPERSEDED.value,
            posting.c.cause == REFUSED,
            ~planned_since,
        )
        .distinct()
        .order_by(posting.c.entity_key)
    )
    return list(connection.execute(query).scalars())


def refused_follow_ups(connection: Connection, destination: str, entity_keys: Sequence[str]) -> list[Posting]:
    """Accounting documents of these orders that the ERP refused, with those that wait behind them and were never sent."""
    query = (
        select(posting.c.id, posting.c.entity_key, posting.c.state)
        .where(
            posting.c.destination == destination,
            among(connection, posting.c.entity_key, entity_keys),
            posting.c.document_kind.in_([kind.value for kind in ACCOUNTING_KINDS]),
            (posting.c.state == PostingState.PLANNED.value)
            | ((posting.c.state == PostingState.DEAD.value) & (posting.c.outcome == "rejected")),
        )
        .order_by(posting.c.id)
    )
    rows = connection.execute(query).all()
    refused = {row.entity_key for row in rows if row.state == PostingState.DEAD.value}
    return postings_of(connection, [row.id for row in rows if row.entity_key in refused])


def credit_notes_planned(connection: Connection, invoice: Posting) -> list[Posting]:
    """The credit notes against this invoice that were never sent."""
    query = (
        select(posting.c.id)
        .where(
            posting.c.destination == invoice.destination,
            posting.c.entity_key == invoice.entity_key,
            posting.c.document_kind == DocumentKind.CREDIT_NOTE.value,
            posting.c.state == PostingState.PLANNED.value,
        )
        .order_by(posting.c.id)
    )
    notes = postings_of(connection, list(connection.execute(query).scalars()))
    return [note for note in notes if orjson.loads(note.payload)["invoice"] == invoice.external_id]
