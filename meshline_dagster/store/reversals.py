"""What would be taken back, and what is open in the ERP, by the ledger's word."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, select

from meshline_dagster.core.approvals import CANCEL
from meshline_dagster.core.documents import ACCOUNTING_KINDS, REVERSE, DocumentKind
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.reversals import Held, Reversal
from meshline_dagster.store.bulk import among
from meshline_dagster.store.tables import (
    delivered_order,
    is_open,
    is_posted,
    is_reversal,
    milestone,
    posting,
    waiting_posting,
)

__all__ = ["follow_ups_behind", "held_by_erp", "invoiced_by_erp", "planned_credits", "planned_reversals"]


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


def planned_credits(connection: Connection, destination: str) -> list[Reversal]:
    """Planned credit notes against what was invoiced before the amendment, the ERP's word of deliveries or the decision about a milestone came, and
    that wait for no approval; oldest first.

    The credit note of a cancellation is left out: the cancellation counts itself. A first load, or going live, credits what it has
    invoiced itself: there the amendment was planned before the invoice was posted.
    """
    state, invoice = posting.alias("state"), posting.alias("invoice")
    follows = and_(
        state.c.destination == destination,
        state.c.entity_key == posting.c.entity_key,
        state.c.document_kind == DocumentKind.SALES_ORDER.value,
        state.c.event_time == posting.c.event_time,
    )
    is_counted_already = (
        select(state.c.id).where(follows, is_posted(state), state.c.operation == CANCEL).correlate(posting).exists()
    )
    was_invoiced = (
        select(state.c.id)
        .join(invoice, (invoice.c.destination == destination) & (invoice.c.entity_key == state.c.entity_key))
        .where(
            follows,
            invoice.c.document_kind == DocumentKind.INVOICE.value,
            is_posted(invoice),
            invoice.c.updated_at < state.c.created_at,
        )
        .correlate(posting)
        .exists()
    )
    query = (
        select(posting.c.id, posting.c.entity_key, posting.c.amount, posting.c.currency)
        .outerjoin(waiting_posting, waiting_posting.c.posting_id == posting.c.id)
        .where(
            posting.c.destination == destination,
            is_open(posting),
            posting.c.state == PostingState.PLANNED.value,
            posting.c.document_kind == DocumentKind.CREDIT_NOTE.value,
            waiting_posting.c.posting_id.is_(None),
            ~is_counted_already,
            was_invoiced | _was_invoiced_before_it_was_told(destination),
        )
        .order_by(posting.c.event_time, posting.c.id)
    )
    return [replace(Reversal(*row), is_credit=True) for row in connection.execute(query)]


def _was_invoiced_before_it_was_told(destination: str) -> ColumnElement[bool]:
    """That an invoice of the order was planned, and posted, and then something else came than a state of it: another word of its deliveries, or of its milestones."""
    invoice = posting.alias("invoice_before")
    told = (
        select(delivered_order.c.entity_key)
        .where(
            delivered_order.c.destination == destination,
            delivered_order.c.entity_key == invoice.c.entity_key,
            delivered_order.c.told_at > invoice.c.created_at,
        )
        .exists()
    )
    decided = (
        select(milestone.c.seq)
        .where(
            milestone.c.entity_key == invoice.c.entity_key,
            (milestone.c.created_at > invoice.c.created_at) | (milestone.c.revoked_at > invoice.c.created_at),
        )
        .exists()
    )
    return (
        select(invoice.c.id)
        .where(
            invoice.c.destination == destination,
            invoice.c.entity_key == posting.c.entity_key,
            invoice.c.document_kind == DocumentKind.INVOICE.value,
            is_posted(invoice),
            told | decided,
        )
        .correlate(posting)
        .exists()
    )


def follow_ups_behind(connection: Connection, destination: str, credit_notes: Sequence[int]) -> list[int]:
    """Ids of the planned invoices and credit notes that come after these credit notes and wait for no approval: they may not go without
    them.
    """
    note = posting.alias("note")
    query = (
        select(posting.c.id)
        .join(note, (note.c.destination == posting.c.destination) & (note.c.entity_key == posting.c.entity_key))
        .outerjoin(waiting_posting, waiting_posting.c.posting_id == posting.c.id)
        .where(
            posting.c.destination == destination,
            among(connection, note.c.id, credit_notes),
            note.c.document_kind == DocumentKind.CREDIT_NOTE.value,
            is_open(posting),
            posting.c.state == PostingState.PLANNED.value,
            posting.c.document_kind.in_([kind.value for kind in ACCOUNTING_KINDS]),
            posting.c.id > note.c.id,
            waiting_posting.c.posting_id.is_(None),
        )
        .distinct()
    )
    return list(connection.execute(query).scalars())


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
    return _held(connection.execute(query).all())


def invoiced_by_erp(connection: Connection, destination: str) -> Held:
    """The orders of which more is invoiced than credited, by what was posted, and how much more. It reads all that was ever posted."""
    amount = posting.c.amount
    signed = case((posting.c.document_kind == DocumentKind.INVOICE.value, amount), else_=-amount)
    left = (
        select(posting.c.currency, func.sum(signed, type_=amount.type).label("amount"))
        .where(
            posting.c.destination == destination,
            posting.c.document_kind.in_([kind.value for kind in ACCOUNTING_KINDS]),
            posting.c.operation != REVERSE,
            posting.c.state == PostingState.POSTED.value,
        )
        .group_by(posting.c.entity_key, posting.c.currency)
        .subquery("left_of_orders")
    )
    query = (
        select(left.c.currency, func.count(), func.sum(left.c.amount, type_=amount.type))
        .where(left.c.amount > 0)
        .group_by(left.c.currency)
    )
    return _held(connection.execute(query).all())


def _held(rows: Sequence[Row[Any]]) -> Held:
    """Of rows of currency, count and money."""
    return Held(sum(count for _, count, _ in rows), {currency or "": amount for currency, _, amount in rows})
