"""What would be taken back, and what is open in the ERP, by the ledger's word."""

from sqlalchemy import Connection, func, select

from meshline_dagster.core.approvals import CANCEL
from meshline_dagster.core.documents import REVERSE, DocumentKind
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.reversals import Held, Reversal
from meshline_dagster.store.tables import is_posted, is_reversal, posting, waiting_posting

__all__ = ["held_by_erp", "planned_reversals"]


def planned_reversals(connection: Connection, destination: str) -> list[Reversal]:
    """Planned cancellations of what the ERP held when they were planned, and that wait for no approval; oldest first.

    A first load, or going live, is no reversal: there the cancellation was planned before anything was posted. One that was planned while
    an amendment of what stood was on its way is: the state before that was posted by then.
    """
    before, newest, held = posting.alias("before"), posting.alias("newest"), posting.alias("held")
    last_posted = (
        select(newest.c.id)
        .where(
            newest.c.destination == destination,
            newest.c.entity_key == posting.c.entity_key,
            newest.c.document_kind == DocumentKind.SALES_ORDER.value,  # its invoices are no states of it
            is_posted(newest),
        )
        .order_by(newest.c.event_time.desc(), newest.c.id.desc())
        .limit(1)
        .correlate(posting)
        .scalar_subquery()
    )
    was_held = (
        select(held.c.id)
        .where(
            held.c.destination == destination,
            held.c.entity_key == posting.c.entity_key,
            held.c.document_kind == DocumentKind.SALES_ORDER.value,
            is_posted(held),
            held.c.updated_at < posting.c.updated_at,
        )
        .correlate(posting)
        .exists()
    )
    query = (
        select(posting.c.id, posting.c.entity_key, before.c.amount, before.c.currency)
        .select_from(posting)
        .join(before, before.c.id == last_posted)
        .outerjoin(waiting_posting, waiting_posting.c.posting_id == posting.c.id)
        .where(
            posting.c.destination == destination,
            is_reversal(posting),
            waiting_posting.c.posting_id.is_(None),
            before.c.operation != CANCEL,
            was_held,
        )
        .order_by(posting.c.event_time, posting.c.id)
    )
    return [Reversal(*row) for row in connection.execute(query)]


def held_by_erp(connection: Connection, destination: str) -> Held:
    """The orders that are open in the ERP: those whose newest posted state is not a cancellation. It reads all that was ever posted."""
    place = func.row_number().over(
        partition_by=posting.c.entity_key, order_by=(posting.c.event_time.desc(), posting.c.id.desc())
    )
    states = (
        select(posting.c.operation, posting.c.currency, posting.c.amount, place.label("place"))
        .where(
            posting.c.destination == destination,
            posting.c.document_kind == DocumentKind.SALES_ORDER.value,
            posting.c.operation != REVERSE,
            posting.c.state == PostingState.POSTED.value,
        )
        .subquery("states")
    )
    query = (
        select(states.c.currency, func.count(), func.sum(states.c.amount, type_=posting.c.amount.type))
        .where(states.c.place == 1, states.c.operation != CANCEL)
        .group_by(states.c.currency)
    )
    rows = connection.execute(query).all()
    return Held(sum(count for _, count, _ in rows), {currency or "": amount for currency, _, amount in rows})
