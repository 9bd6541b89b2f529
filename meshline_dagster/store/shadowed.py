"""What was planned while a workflow ran in shadow, and may be posted when it is live."""

from datetime import date

from sqlalchemy import ColumnElement, Connection, FromClause, String, literal_column, or_, select, text

from meshline_dagster.core.documents import MASTER_KINDS
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.store.bulk import each_of
from meshline_dagster.store.tables import posting

__all__ = ["is_any_releasable", "releasable"]

_MASTERS = [kind.value for kind in MASTER_KINDS]
_WAITING = [PostingState.SHADOWED.value, *(state.value for state in OPEN_STATES)]


def releasable(connection: Connection, destination: str, *, effective_from: date | None) -> dict[str, set[int]]:
    """Entity -> ids of its shadowed rows that the cut-over date allows; masters where such an order names them. Costs one look into
    an index where nothing is shadowed.

    Args:
        effective_from: the cut-over date; None: there is none.
    """
    query = select(posting.c.entity_key, posting.c.id).where(
        _is_releasable(connection.dialect.name, destination, effective_from)
    )
    found: dict[str, set[int]] = {}
    for entity, posting_id in connection.execute(query):
        found.setdefault(entity, set()).add(posting_id)
    return found


def is_any_releasable(connection: Connection, destination: str, *, effective_from: date | None) -> bool:
    """Whether :func:`releasable` would find something."""
    query = select(posting.c.id).where(_is_releasable(connection.dialect.name, destination, effective_from))
    return connection.execute(query.limit(1)).first() is not None


def _is_releasable(dialect: str, destination: str, effective_from: date | None) -> ColumnElement[bool]:
    shadowed = (posting.c.destination == destination) & (posting.c.state == PostingState.SHADOWED.value)
    if effective_from is None:
        return shadowed
    orders = posting.alias("orders")
    named = (
        select(literal_column("each_one.value", String()))
        .select_from(orders, text(each_of(dialect, f"{orders.name}.depends_on")))
        .where(
            orders.c.destination == destination,
            orders.c.state.in_(_WAITING),
            orders.c.document_kind.not_in(_MASTERS),
            _is_booked(orders, effective_from),
        )
    )
    is_master = posting.c.document_kind.in_(_MASTERS)
    return shadowed & or_(~is_master & _is_booked(posting, effective_from), is_master & posting.c.entity_key.in_(named))


def _is_booked(of: FromClause, effective_from: date) -> ColumnElement[bool]:
    """Not before the cut-over; a document without a date is not."""
    return or_(of.c.document_date.is_(None), of.c.document_date >= effective_from)
