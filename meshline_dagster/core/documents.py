"""What we ask of an ERP and what it answered, in words that fit every ERP.

A *document* is the target state of one master (a customer, one of its addresses, an item) or of one sales order, or what is booked once: an invoice, the
credit note that reverses lines of one, or a payment. It is built from the ledger's payload, so that what is sent is exactly what was fingerprinted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

__all__ = [
    "ACCOUNTING_KINDS",
    "BOOKED_KINDS",
    "MASTER_KINDS",
    "REVERSE",
    "Answer",
    "Document",
    "DocumentKind",
    "ErpDocument",
    "ErpLine",
    "Outcome",
    "standing",
]


class DocumentKind(StrEnum):
    """The kinds of ERP record that we keep in step."""

    CUSTOMER = "customer"
    ADDRESS = "address"
    ITEM = "item"
    SALES_ORDER = "sales_order"
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment"


ACCOUNTING_KINDS = frozenset({DocumentKind.INVOICE, DocumentKind.CREDIT_NOTE})
"""What follows from orders, is created once and never changed: a correction is a credit note, and perhaps another invoice."""

BOOKED_KINDS = ACCOUNTING_KINDS | {DocumentKind.PAYMENT}
"""What is created once and never changed, superseded or coalesced: each stands for itself and is no state of anything. A payment is an
entity of its own, so that one which is refused holds no other.
"""

MASTER_KINDS = frozenset({DocumentKind.CUSTOMER, DocumentKind.ADDRESS, DocumentKind.ITEM})
"""What orders wait for. Made once, where it is missing; from then on it belongs to the ERP's users, and nothing of it is overwritten."""


REVERSE = "reverse"
"""The operation that cancels one document, named by the ERP's own id, of several that carry one external id."""


class Outcome(StrEnum):
    """What became of one request.

    ``UNKNOWN`` means that the ERP may or may not have acted: only a look-up can tell. ``CHANGED`` is no ERP's answer: nothing was sent,
    because somebody has changed the document in the ERP.
    """

    CREATED = "created"
    UPDATED = "updated"
    EXISTS = "exists"
    EXISTS_DIFFERENT = "exists_with_different"
    ABSENT = "absent"
    REJECTED = "rejected"
    RETRY = "retry"
    UNKNOWN = "unknown"
    CHANGED = "changed_in_erp"


@dataclass(frozen=True, slots=True)
class Document:
    """One document to bring about.

    Attributes:
        kind: what it is.
        external_id: our name for it in the ERP; the same for every revision and every amendment.
        key: idempotency key of this request (64 hexadecimal digits).
        event_id: the canonical event that asks for it.
        operation: ``create``, ``amend`` or ``cancel``: what to do, given what the ledger last posted. Or :data:`REVERSE`: cancel the
            document ``erp_id`` and no other, whatever external id it carries; one that is cancelled is done.
        payload: the target state; a member that is left out is not ours to say: an amendment leaves it as the ERP has it. Money and
            quantities are decimal strings, dates ISO strings. For a sales order:
            ``order_number, customer (external id), customer_name, currency, order_date, po_number, payment_terms,
            status (open|cancelled), amount (ex tax), lines [{line, sku, description, quantity, uom, unit_price, amount,
            tax_code, start, end}]``, and where addresses are kept ``bill_to, ship_to (external ids, or null)``; for a customer: ``code, name, country, currency``; for an address: ``code, customer (external id), name, use (bill_to|ship_to),
            street, city, region, postal_code, country``; for an item: ``sku (its external id), name, uom,
            list_price, currency`` (the price and its currency are null where nobody knows them); for an invoice: as for a sales order with
            ``invoice_date (accounting date), original_date (before closed periods), order (external id), order_event_id`` instead of
            ``order_date``; for a credit note: as for an invoice with
            ``invoice`` (external id of what it reverses) and, in each line, ``invoice_line``: its amounts are positive and taken back;
            for a payment: ``customer, currency, amount, payment_date, reference, invoice (external id of what it pays, or null), status (open)``.
        erp_id: the ERP's own id: of the document to reverse; or of one that is known to be there in part, so that a list that does not show it
            lags; else None.
    """

    kind: DocumentKind
    external_id: str
    key: str
    event_id: str
    operation: str
    payload: Mapping[str, Any]
    erp_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The settled or unsettled outcome of one document.

    Attributes:
        outcome: what became of it.
        erp_id: the ERP's own id, when it has one.
        message: the ERP's own words, redacted and cut by the caller; empty on success.
        field: the offending or differing field, where the ERP named one.
        retry_after: seconds the ERP asked us to wait, with ``RETRY``.
        raw: a small excerpt of the answer for the attempt's record.
        absent: with ``REJECTED``, the external id that a look-up did not show, for which reason nothing was sent: the document's own,
            or that of one it refers to. The engine knows whether it should be there.
    """

    outcome: Outcome
    erp_id: str | None = None
    message: str = ""
    field: str | None = None
    retry_after: float | None = None
    raw: Mapping[str, Any] = default(default_factory=dict)
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class ErpLine:
    """One open line as the ERP has it; on a credit note what it takes back, as positive numbers.

    Attributes:
        delivered: of an order's line, how much of the quantity the customer has got and not given back; None: the ERP does not tell.
    """

    sku: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    delivered: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ErpDocument:
    """A document as the ERP has it: the answer to a look-up and the row of a read-back.

    Attributes:
        status: ``open``, ``partial`` (exists, not yet confirmed, or not yet in the books) or ``cancelled``. An accounting document
            that was reversed stays ``open``: its credit note says so.
        event_id: the last event of ours that it carries, where the ERP can keep it; else None.
        amount: ex tax, in ``currency``; zero for masters.
        stamp: when it last changed, UTC.
        reverses: of a credit note, the external id of its invoice, where the ERP keeps it; else None.
        po_number, order_date, bill_to, ship_to: of a sales order, where the ERP shows them and an amendment overwrites them: an empty text for
            no number, and for an address that carries no external id.
        pays: of a payment, the external id of the invoice that it pays, where the ERP keeps it; else None.
        order: of an invoice or credit note, the external id of its order, where the ERP keeps it; else None.
    """

    kind: DocumentKind
    erp_id: str
    external_id: str
    number: str
    status: str
    stamp: datetime
    event_id: str | None = None
    customer: str | None = None
    currency: str | None = None
    amount: Decimal = Decimal(0)
    document_date: date | None = None
    lines: tuple[ErpLine, ...] = ()
    reverses: str | None = None
    order: str | None = None
    pays: str | None = None
    po_number: str | None = None
    order_date: date | None = None
    bill_to: str | None = None
    ship_to: str | None = None
    raw: Mapping[str, Any] = default(default_factory=dict)


def standing(documents: Sequence[ErpDocument]) -> Sequence[ErpDocument]:
    """Of the documents under one external id those that count: the live ones, else one that is cancelled.

    What was cancelled beside a live document, because it was one too many, is out of the way.
    """
    return [one for one in documents if one.status != "cancelled"] or documents[:1]
