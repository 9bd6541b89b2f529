"""What was planned while a workflow ran in shadow, and may be posted when it is live."""

from datetime import date

from sqlalchemy import ColumnElement, Connection, FromClause, or_, select

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.store.tables import posting

__all__ = ["is_any_releasable", "releasable"]

_WAITING = [PostingState.SHADOWED.value, *(state.value for state in OPEN_STATES)]


def releasable(connection: Connection, destination: str, *, effective_from: date | None) -> dict[str, set[int]]:
    """Entity -> ids of its shadowed rows that the cut-over date allows; customers where such an order names them. Costs one look into
    an index where nothing is shadowed.

    Args:
        effective_from: the cut-over date; None: there is none.
    """
    query = select(posting.c.entity_key, posting.c.id).where(_is_releasable(destination, effective_from))
    found: dict[str, set[int]] = {}
    for entity, posting_id in connection.execute(query):
        found.setdefault(entity, set()).add(posting_id)
    return found


def is_any_releasable(connection: Connection, destination: str, *, effective_from: date | None) -> bool:
    """Whether :func:`releasable` would find something."""
    query = select(posting.c.id).where(_is_releasable(destination, effective_from))
    return connection.execute(query.limit(1)).first() is not None


def _is_releasable(destination: str, effective_from: date | None) -> ColumnElement[bool]:
    shadowed = (posting.c.destination == destination) & (posting.c.state == PostingState.SHADOWED.value)
    if effective_from is None:
        return shadowed
    orders = posting.alias("orders")
    named = select(orders.c.depends_on).where(
        orders.c.destination == destination,
        orders.c.state.in_(_WAITING),
        orders.c.depends_on.is_not(None),
        _is_booked(orders, effective_from),
    )
    is_customer = posting.c.document_kind == DocumentKind.CUSTOMER.value
    return shadowed & or_(
        ~is_customer & _is_booked(posting, effective_from), is_customer & posting.c.entity_key.in_(named)
    )


def _is_booked(of: FromClause, effective_from: date) -> ColumnElement[bool]:
    """Not before the cut-over; a document without a date is not."""
    return or_(of.c.document_date.is_(None), of.c.document_date >= effective_from)
