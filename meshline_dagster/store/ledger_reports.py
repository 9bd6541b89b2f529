"""What the posting ledger holds, for people and figures: nothing here takes part in a delivery."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, case, func, or_, select

from meshline_dagster.core.documents import REVERSE, DocumentKind
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.store.bulk import among
from meshline_dagster.store.exceptions import CLOSED
from meshline_dagster.store.tables import (
    attempt,
    billing_due,
    delivered_order,
    exception_item,
    is_open,
    milestone,
    posting,
)

__all__ = [
    "attempts_of",
    "destinations",
    "entities_named",
    "ledger_counts",
    "ledger_summary",
    "order_states",
    "orders_posted",
    "postings_in",
    "postings_of_entities",
    "waiting_visibly",
]


def order_states(connection: Connection, destination: str) -> dict[str, str]:
    """Event id -> state of its newest revision, for sales orders."""
    query = (
        select(posting.c.event_id, posting.c.state)
        .where(posting.c.destination == destination, posting.c.document_kind == DocumentKind.SALES_ORDER.value)
        .order_by(posting.c.revision)
    )
    return {row.event_id: str(getattr(row.state, "value", row.state)) for row in connection.execute(query)}


def destinations(connection: Connection) -> list[str]:
    """The names of every destination that the ledger has postings for, in order."""
    return list(connection.execute(select(posting.c.destination).distinct().order_by(posting.c.destination)).scalars())


def orders_posted(connection: Connection, destination: str) -> int:
    """How many orders the ledger has posted at least once."""
    query = select(func.count(posting.c.entity_key.distinct())).where(
        posting.c.destination == destination,
        posting.c.document_kind == DocumentKind.SALES_ORDER.value,
        posting.c.operation != REVERSE,
        posting.c.state == PostingState.POSTED.value,
    )
    return connection.execute(query).scalar_one()


def entities_named(connection: Connection, identifier: str) -> list[str]:
    """The entities whose postings carry this entity key, external id, event id or ERP id."""
    columns = (posting.c.entity_key, posting.c.external_id, posting.c.event_id, posting.c.erp_id)
    query = select(posting.c.entity_key).where(or_(*[column == identifier for column in columns])).distinct()
    return list(connection.execute(query).scalars())


def waiting_visibly(connection: Connection, destination: str, entities: Sequence[str]) -> set[str]:
    """Those of these entities that somebody has an open exception about, or of which something is on its way or held back; and those of which
    the ERP has told of a delivery, or somebody of a milestone, that the next run bills. One that waits longer for the ERP's word is not explained.
    """
    asked = select(exception_item.c.entity_key).where(
        among(connection, exception_item.c.entity_key, entities), exception_item.c.status != CLOSED
    )
    opened = select(posting.c.entity_key).where(
        posting.c.destination == destination, is_open(posting), among(connection, posting.c.entity_key, entities)
    )
    told = (
        select(delivered_order.c.entity_key, billing_due.c.due_on, delivered_order.c.told_at)
        .join(
            billing_due,
            (billing_due.c.destination == delivered_order.c.destination)
            & (billing_due.c.entity_key == delivered_order.c.entity_key),
        )
        .where(delivered_order.c.destination == destination, among(connection, delivered_order.c.entity_key, entities))
    )
    planned = (
        select(milestone.c.entity_key, billing_due.c.due_on, milestone.c.created_at, milestone.c.revoked_at)
        .join(billing_due, billing_due.c.entity_key == milestone.c.entity_key)
        .where(billing_due.c.destination == destination, among(connection, milestone.c.entity_key, entities))
    )
    decided = {
        key
        for key, due_on, *moments in connection.execute(planned)
        if any(moment is not None and due_on < moment.date() for moment in moments)
    }
    woken = {key for key, due_on, at in connection.execute(told) if due_on <= at.date() + timedelta(days=1)}
    return decided | woken | {key for query in (asked, opened) for key in connection.execute(query).scalars()}


def postings_in(
    connection: Connection, states: Sequence[PostingState], *, limit: int | None
) -> tuple[list[dict[str, Any]], dict[PostingState, int]]:
    """Ledger rows in some states, the dead first, then the oldest; and how many there are in each state."""
    names = (
        *(
            "key",
            "state",
            "destination",
            "document_kind",
            "external_id",
            "entity_key",
            "event_id",
            "revision",
            "operation",
        ),
        *("amount", "currency", "attempts", "outcome", "message", "cause", "erp_id", "due_at", "updated_at"),
    )
    chosen = posting.c.state.in_([state.value for state in states])
    dead_first = case((posting.c.state == PostingState.DEAD.value, 0), else_=1)
    query = select(*[posting.c[name] for name in names]).where(chosen).order_by(dead_first, posting.c.id).limit(limit)
    rows = [row._asdict() for row in connection.execute(query)]
    counts = select(posting.c.state, func.count()).where(chosen).group_by(posting.c.state)
    return rows, {PostingState(row[0]): row[1] for row in connection.execute(counts)}


def postings_of_entities(connection: Connection, entities: Sequence[str]) -> list[dict[str, Any]]:
    """The ledger rows of some entities, in sequence."""
    names = (
        *("id", "key", "entity_key", "document_kind", "operation", "event_id", "revision", "state", "outcome"),
        *("external_id", "erp_id"),
        *("amount", "currency", "attempts", "cause", "message"),
    )
    query = (
        select(*[posting.c[name] for name in names])
        .where(posting.c.entity_key.in_(entities))
        .order_by(posting.c.entity_key, posting.c.event_time, posting.c.id)
    )
    return [row._asdict() for row in connection.execute(query)]


def attempts_of(connection: Connection, posting_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Every request and look-up made for some ledger rows, in order."""
    names = ("posting_id", "action", "request_id", "started_at", "ended_at", "outcome", "answer")
    query = (
        select(*[attempt.c[name] for name in names]).where(attempt.c.posting_id.in_(posting_ids)).order_by(attempt.c.id)
    )
    return [row._asdict() for row in connection.execute(query)]


def ledger_counts(connection: Connection, destination: str) -> tuple[int, int]:
    """How many ledger rows are settled, and how many are open."""
    query = select(posting.c.state, func.count()).where(posting.c.destination == destination).group_by(posting.c.state)
    counts = {PostingState(getattr(state, "value", state)): count for state, count in connection.execute(query)}
    left = sum(count for state, count in counts.items() if state in OPEN_STATES)
    return sum(counts.values()) - left, left


def ledger_summary(connection: Connection, destination: str | None = None) -> list[dict[str, Any]]:
    """Rows and money by document kind, state and currency; reversals of documents too many are a kind of their own, ``reversal``."""
    is_reversal = posting.c.operation == REVERSE
    kind = case((is_reversal, "reversal"), else_=posting.c.document_kind).label("document_kind")
    query = select(
        kind,
        posting.c.state,
        posting.c.currency,
        func.count().label("count"),
        func.sum(posting.c.amount, type_=posting.c.amount.type).label("amount"),
    ).group_by(kind, posting.c.state, posting.c.currency)
    if destination is not None:
        query = query.where(posting.c.destination == destination)
    return [row._asdict() for row in connection.execute(query)]
