"""What the ledger has about documents that the ERP holds twice: their reversals, and which document it knows."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, TextClause, bindparam, select, text
from sqlalchemy.sql.selectable import NamedFromClause

from meshline_dagster.core.documents import REVERSE
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.store.bulk import among
from meshline_dagster.store.postings import Posting, postings_of
from meshline_dagster.store.tables import is_dead, is_duplicate, posting

__all__ = ["any_reversal_open", "asked_for", "dead_of", "entities_of_reversals", "reversal_postings", "reversed_soon"]

_OPEN = ", ".join(f"'{state.value}'" for state in PostingState if state in OPEN_STATES)


def reversal_postings(connection: Connection, destination: str) -> list[Posting]:
    """Every reversal of a document too many that was ever planned, in order; there are few."""
    query = select(posting.c.id).where(posting.c.destination == destination, is_duplicate(posting))
    return sorted(postings_of(connection, list(connection.execute(query).scalars())), key=lambda row: row.id)


def _is_unsettled(of: NamedFromClause) -> TextClause:
    """Open, of the few rows that are reversals: as an expression, so that SQLite does not walk all that is open instead."""
    return text(f"{of.name}.state || '' IN ({_OPEN})")


def any_reversal_open(connection: Connection, destination: str) -> bool:
    """Whether :func:`reversed_soon` can hold anything of a destination at all."""
    return connection.execute(_ANY_OPEN, {"to": destination}).first() is not None


_ANY_OPEN = (
    select(posting.c.id)
    .where(posting.c.destination == bindparam("to"), is_duplicate(posting), _is_unsettled(posting))
    .limit(1)
)


def reversed_soon() -> ColumnElement[bool]:
    """The condition over ``posting`` that its document stands twice and a reversal is prepared: it waits until one document is left."""
    other = posting.alias("other")
    prepared = (
        select(other.c.id)
        .where(
            other.c.destination == posting.c.destination,
            is_duplicate(other),
            _is_unsettled(other),
            other.c.external_id == posting.c.external_id,
        )
        .correlate(posting)
        .exists()
    )
    return (posting.c.operation != REVERSE) & prepared


def asked_for(connection: Connection, destination: str, entity_keys: Sequence[str]) -> dict[str, list[Posting]]:
    """Entity -> its rows for which a request was made, the newest first."""
    query = select(posting.c.id).where(
        posting.c.destination == destination,
        among(connection, posting.c.entity_key, entity_keys),
        posting.c.sent_at.is_not(None),
    )
    found: dict[str, list[Posting]] = {}
    rows = postings_of(connection, list(connection.execute(query).scalars()))
    for row in sorted(rows, key=lambda row: (row.event_time, row.id), reverse=True):
        found.setdefault(row.entity_key, []).append(row)
    return found


def dead_of(connection: Connection, destination: str, entity_keys: Sequence[str], outcome: str) -> list[Posting]:
    """The dead rows of some entities that ended with this outcome."""
    query = select(posting.c.id).where(
        posting.c.destination == destination,
        is_dead(posting),
        among(connection, posting.c.entity_key, entity_keys),
        posting.c.outcome == outcome,
    )
    return postings_of(connection, list(connection.execute(query).scalars()))


def entities_of_reversals(connection: Connection, entity_keys: Sequence[str]) -> list[str]:
    """The entities of the reversals of these orders' documents."""
    order = posting.alias("of_order")
    query = select(posting.c.entity_key).where(
        is_duplicate(posting),
        posting.c.external_id.in_(
            select(order.c.external_id).where(among(connection, order.c.entity_key, entity_keys))
        ),
    )
    return list(connection.execute(query.distinct()).scalars())
