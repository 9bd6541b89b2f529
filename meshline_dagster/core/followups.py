"""The accounting documents that follow from an order once a state of it is posted: pure, from the entity's ledger rows.

What is invoiced less what is credited has to equal the last state of the order that the ERP holds, line by line. Whatever is missing to
that is planned: credit notes against the invoices first, then the invoice. Rows that are planned count as done, so that planning the same
ledger again plans nothing: a crash, a replay or a second run cannot bill twice. Where lines are billed by periods, the order counts as far as
it is due by then (``core/invoice_schedule.py``); where it is invoiced as it is delivered, as far as it is (``core/invoice_delivery.py``);
where it is invoiced by milestones, as far as they are reached (``core/invoice_milestones.py``).

While it is open whether the ERP holds a newer state (it is dead, refused, or on its way), nothing is planned: that state may be the
order's cancellation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from typing import Any

from meshline_dagster.core.billing import Bill, BilledLine, adjust, left_of, rebill
from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind
from meshline_dagster.core.identity import external_id, fingerprint, follow_up_id
from meshline_dagster.core.invoice_delivery import Delivered, delivered_lines, is_told_of
from meshline_dagster.core.invoice_milestones import Milestone, due_milestones, is_whole
from meshline_dagster.core.invoice_schedule import BillingSchedule, Due, due_by
from meshline_dagster.core.ledger import CLOSED_IN_ERP, PostingState
from meshline_dagster.core.money import to_text
from meshline_dagster.core.postings import NewPosting, OutboxRow

__all__ = [
    "Amendments",
    "BillingPolicy",
    "BillingRow",
    "FollowUps",
    "InvoiceTrigger",
    "plan_follow_ups",
    "rows_that_count",
]

_ORDER, _INVOICE, _CREDIT_NOTE = DocumentKind.SALES_ORDER, DocumentKind.INVOICE, DocumentKind.CREDIT_NOTE
_HEADER = ("order_number", "customer", "customer_name", "currency", "po_number", "payment_terms")
_BILLED_TO = ("customer", "currency")
_PRINTED = ("customer", "currency", "po_number", "payment_terms")
_S = PostingState
_UNSETTLED = frozenset({_S.SENDING, _S.UNKNOWN, _S.PARTIAL, _S.REJECTED, _S.DEAD})


class Amendments(StrEnum):
    """What an amendment does to what is invoiced: the difference is settled, or all is credited and invoiced anew."""

    AMEND_IN_PLACE = "amend_in_place"
    CREDIT_AND_REBILL = "credit_and_rebill"


class InvoiceTrigger(StrEnum):
    """The day from which an order is invoiced: that of its booking, or the first on which one of its lines starts; or each line by periods, or as it is
    delivered, or by its milestones.
    """

    BOOKING = "booking"
    START = "start"
    SCHEDULE = "schedule"
    DELIVERY = "delivery"
    MILESTONE = "milestone"


@dataclass(frozen=True, slots=True)
class BillingPolicy:
    """How orders are invoiced.

    Attributes:
        since: orders booked before this day are invoiced elsewhere, unless we have invoiced them; None: all are invoiced.
        closed_through: the last day of the periods that are closed; None: none is.
        zone: where the books are kept: its days are the accounting dates.
        schedule: the periods by which lines are billed, with the trigger ``schedule``; else None.
    """

    amendments: Amendments = Amendments.AMEND_IN_PLACE
    trigger: InvoiceTrigger = InvoiceTrigger.BOOKING
    since: date | None = None
    closed_through: date | None = None
    zone: tzinfo = UTC
    schedule: BillingSchedule | None = None

    def day(self, now: datetime) -> date:
        """The day of an instant, where the books are kept."""
        return now.astimezone(self.zone).date()

    def first_open_day(self, day: date) -> date:
        """The day itself, or the first one after the closed periods."""
        return day if self.closed_through is None else max(day, self.closed_through + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class BillingRow:
    """A ledger row, as far as billing goes by it.

    Attributes:
        is_intact: whether the payload has the fingerprint with which the row was planned.
    """

    event_id: str
    document_kind: DocumentKind
    external_id: str
    revision: int
    event_time: datetime
    state: PostingState
    payload: Mapping[str, Any]
    selling_entity: str | None = None
    customer_key: str | None = None
    cause: str = ""
    is_intact: bool = True

    @property
    def stands(self) -> bool:
        """Made, on its way, or made by hand in the ERP, where an operator has closed it."""
        return self.state is not PostingState.SUPERSEDED or self.cause == CLOSED_IN_ERP

    @property
    def is_in_erp(self) -> bool:
        """Posted, or made by hand."""
        return self.state is PostingState.POSTED or (self.stands and self.cause == CLOSED_IN_ERP)


@dataclass(frozen=True, slots=True)
class FollowUps:
    """What to plan.

    Attributes:
        insert: new ledger rows, in the order in which they are to be posted.
        due_on: the day on which to ask again, because the order, or more of it, is not to be invoiced before, a newer state of it is not
            settled, or the ERP has yet to tell what is delivered of it; else None.
        incomplete: the order's milestones are not the whole order: nothing is planned, a person has to plan them.
        negative: the order is worth less than what can be invoiced or credited: nothing is planned, a person has to look.
    """

    insert: tuple[NewPosting, ...] = ()
    due_on: date | None = None
    negative: bool = False
    incomplete: bool = False


def rows_that_count(rows: Sequence[BillingRow]) -> tuple[BillingRow | None, list[BillingRow]]:
    """What billing goes by: the last state of the order that the ERP holds, if there is one, and the accounting documents that stand."""
    states = [row for row in rows if row.document_kind is _ORDER and row.is_in_erp]
    standing = [row for row in rows if row.document_kind in ACCOUNTING_KINDS and row.stands]
    return max(reversed(states), key=lambda row: row.event_time, default=None), standing


def plan_follow_ups(
    entity_key: str,
    rows: Sequence[BillingRow],
    policy: BillingPolicy,
    *,
    today: date,
    delivered: Delivered | None = None,
    milestones: Sequence[Milestone] = (),
) -> FollowUps:
    """Compare what is billed with the last state of the order that the ERP holds.

    Args:
        rows: every ledger row of the entity, oldest first within a kind.
        today: becomes the documents' accounting date, unless its period is closed: then it is kept as the original date.
        delivered: what the ERP told last of the order, where it is invoiced as it is delivered; None: it never told of it.
        milestones: the order's, where it is invoiced by them; in the order in which they became billable.
    """
    order, standing = rows_that_count(rows)
    if order is None:
        return FollowUps()
    if _is_overtaken(order, rows):
        return FollowUps(due_on=today + timedelta(days=1))
    invoices = {row.external_id: row for row in standing if row.document_kind is _INVOICE}
    notes = [row.payload for row in standing if row.document_kind is _CREDIT_NOTE]
    left = left_of([(name, row.payload) for name, row in invoices.items()], notes)
    waits = None if invoices else _waits(order.payload, policy, today)
    if waits is None and _waits_for_word(order.payload, policy, delivered, bool(invoices)):
        waits = FollowUps(due_on=today + timedelta(days=1))
    if waits is not None:
        return waits
    due = _due(order.payload, policy, today, delivered or ())
    if policy.trigger is InvoiceTrigger.MILESTONE and order.payload["status"] == "open":
        if not is_whole(order.payload, milestones):
            return FollowUps(incomplete=True)
        due = due_milestones(order.payload, milestones, today)
    bill = _bill(order, left, due.lines, invoices, policy)
    if bill.is_negative:
        return FollowUps(due_on=due.next_on, negative=True)
    writer = _Writer(entity_key, order, rows, today, policy.first_open_day(today))
    credited = [
        writer.credit_note(invoices[name], list(lines))
        for name, lines in groupby(bill.credits, lambda one: one.invoice)
    ]
    return FollowUps((*credited, *([writer.invoice(bill.lines)] if bill.lines else [])), due.next_on)


def _waits(payload: Mapping[str, Any], policy: BillingPolicy, today: date) -> FollowUps | None:
    """What becomes of an order that was never invoiced, and is not to be, or not yet; None: it is."""
    if _is_invoiced_elsewhere(payload, policy.since):
        return FollowUps()
    day = _trigger_day(payload, policy.trigger)
    is_later = payload["status"] == "open" and day is not None and day > today
    return FollowUps(due_on=day) if is_later else None


def _waits_for_word(
    payload: Mapping[str, Any], policy: BillingPolicy, delivered: Delivered | None, is_invoiced: bool
) -> bool:
    """What is delivered of this state the ERP has yet to tell: until it does, nothing of it is invoiced, and nothing that stands is credited."""
    if policy.trigger is not InvoiceTrigger.DELIVERY or payload["status"] != "open":
        return False
    return is_invoiced if delivered is None else not is_told_of(payload, delivered)


def _due(payload: Mapping[str, Any], policy: BillingPolicy, today: date, delivered: Delivered = ()) -> Due:
    """What the order wants on invoices, from the day on which it is invoiced at all."""
    if payload["status"] != "open":
        return Due()
    if policy.trigger is InvoiceTrigger.DELIVERY:
        return Due(delivered_lines(payload, delivered))
    return Due(tuple(payload["lines"])) if policy.schedule is None else due_by(payload, policy.schedule, today)


def _is_overtaken(order: BillingRow, rows: Sequence[BillingRow]) -> bool:
    """A state that came after it may be in the ERP, or may still get there."""
    states = [row for row in rows if row.document_kind is _ORDER]
    newer = states[states.index(order) + 1 :]
    return any(row.event_time >= order.event_time and row.state in _UNSETTLED for row in newer)


def _bill(
    order: BillingRow,
    left: Sequence[BilledLine],
    wanted: Sequence[Mapping[str, Any]],
    invoices: Mapping[str, BillingRow],
    policy: BillingPolicy,
) -> Bill:
    is_rebilled = policy.amendments is Amendments.CREDIT_AND_REBILL
    names = _PRINTED if is_rebilled else _BILLED_TO
    standing = [invoices[name].payload for name in dict.fromkeys(line.invoice for line in left)]
    if any(invoice.get(name) != order.payload.get(name) for invoice in standing for name in names):
        return rebill(left, wanted)
    bill = adjust(left, wanted, order.payload["currency"])
    return rebill(left, wanted) if is_rebilled and _is_amended(order, left, bill, standing, policy) else bill


def _is_amended(
    order: BillingRow,
    left: Sequence[BilledLine],
    bill: Bill,
    standing: Sequence[Mapping[str, Any]],
    policy: BillingPolicy,
) -> bool:
    """Whether the order has changed in what is invoiced of it: that more of it is due, delivered or reached by now is no amendment."""
    if policy.trigger in {InvoiceTrigger.DELIVERY, InvoiceTrigger.MILESTONE} and standing:
        return bool(bill.credits)
    if policy.schedule is not None and standing:
        billed_on = max(date.fromisoformat(invoice["original_date"]) for invoice in standing)
        bill = adjust(left, _due(order.payload, policy, billed_on).lines, order.payload["currency"])
    return bool(bill.credits or bill.lines)


def _is_invoiced_elsewhere(payload: Mapping[str, Any], since: date | None) -> bool:
    """An order without a date has no day from which anybody could tell."""
    booked = payload.get("order_date")
    return since is not None and booked is not None and date.fromisoformat(booked) < since


def _trigger_day(payload: Mapping[str, Any], trigger: InvoiceTrigger) -> date | None:
    """None when the order does not say, or is due by parts: then nothing keeps it from being invoiced."""
    if trigger not in {InvoiceTrigger.BOOKING, InvoiceTrigger.START}:
        return None
    starts = [line["start"] for line in payload["lines"] if line.get("start")]
    if trigger is InvoiceTrigger.START and starts:
        return min(date.fromisoformat(start) for start in starts)
    booked = payload.get("order_date")
    return date.fromisoformat(booked) if booked else None


@dataclass(frozen=True, slots=True)
class _Writer:
    """Words documents that follow from ``order``."""

    entity_key: str
    order: BillingRow
    rows: Sequence[BillingRow]
    today: date
    dated: date

    def invoice(self, lines: Sequence[Mapping[str, Any]]) -> NewPosting:
        numbered = [{**line, "line": str(place)} for place, line in enumerate(lines, start=1)]
        return self._posting(_INVOICE, None, self.order.payload, numbered, {})

    def credit_note(self, invoice: BillingRow, lines: Sequence[BilledLine]) -> NewPosting:
        """It repeats the invoice's header: it is the invoice's customer who gets the money back."""
        numbered = [line.credit_line(place) for place, line in enumerate(lines, start=1)]
        against = invoice.external_id
        return self._posting(_CREDIT_NOTE, against, invoice.payload, numbered, {"invoice": against})

    def _posting(
        self,
        kind: DocumentKind,
        against: str | None,
        header: Mapping[str, Any],
        lines: Sequence[Mapping[str, Any]],
        more: Mapping[str, Any],
    ) -> NewPosting:
        event_id, revision = self._identity(kind, against)
        name = external_id(kind.value, self.entity_key, event_id)
        amount = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
        payload = {
            **{key: header.get(key) for key in _HEADER},
            **more,
            "order": self.order.external_id,
            "order_event_id": self.order.event_id,
            "invoice_date": self.dated.isoformat(),
            "original_date": self.today.isoformat(),
            "status": "open",
            "amount": to_text(amount),
            "lines": list(lines),
        }
        row = OutboxRow(
            event_id=event_id,
            entity_key=self.entity_key,
            document_kind=kind,
            external_id=name,
            event_time=self.order.event_time,
            operation="create",
            depends_on=(),
            amount=amount,
            currency=payload["currency"],
            document_date=self.dated,
            payload=payload,
            selling_entity=self.order.selling_entity,
            customer_key=self.order.customer_key,
        )
        return NewPosting(row, revision, fingerprint(payload), PostingState.PLANNED, "follows_order")

    def _identity(self, kind: DocumentKind, against: str | None) -> tuple[str, int]:
        """An event id that no standing document has; a superseded one is tried again, as its next revision."""
        number = 0
        while True:
            event_id = follow_up_id(self.order.event_id, kind.value, against, number)
            same = [row for row in self.rows if row.event_id == event_id]
            if not any(row.stands for row in same):
                return event_id, 1 + max((row.revision for row in same), default=0)
            number += 1
