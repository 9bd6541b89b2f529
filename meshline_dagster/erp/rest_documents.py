"""Documents in the words of the REST ERP: what we send, and what it shows."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from meshline_dagster.core.documents import ACCOUNTING_KINDS, Document, DocumentKind, ErpDocument, ErpLine
from meshline_dagster.core.errors import SourceError

__all__ = ["PATHS", "from_json", "from_page", "request_body"]

PATHS = {
    DocumentKind.CUSTOMER: "/v1/customers",
    DocumentKind.ADDRESS: "/v1/addresses",
    DocumentKind.ITEM: "/v1/items",
    DocumentKind.SALES_ORDER: "/v1/sales-orders",
    DocumentKind.INVOICE: "/v1/invoices",
    DocumentKind.CREDIT_NOTE: "/v1/credit-notes",
    DocumentKind.PAYMENT: "/v1/payments",
}
"""Where each kind lives below the base URL."""

_DAYS = {**dict.fromkeys(ACCOUNTING_KINDS, "invoice_date"), DocumentKind.PAYMENT: "payment_date"}


def request_body(document: Document) -> bytes:
    """The JSON to send: the payload with our two ids. The same document gives the same bytes."""
    body = {**document.payload, "external_id": document.external_id, "event_id": document.event_id}
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def from_json(kind: DocumentKind, shown: Mapping[str, Any]) -> ErpDocument:
    """A document as the ERP shows it.

    Raises:
        KeyError, TypeError, ValueError, ArithmeticError: it does not have the agreed shape.
    """
    is_accounting = kind in ACCOUNTING_KINDS
    day = shown.get(_DAYS.get(kind, "order_date"))
    document_date = None if day is None else date.fromisoformat(day)
    is_order = kind is DocumentKind.SALES_ORDER
    return ErpDocument(
        kind=kind,
        erp_id=str(shown["id"]),
        external_id=shown["external_id"],
        number=shown["number"],
        status=shown["status"],
        stamp=datetime.fromisoformat(shown["updated_at"]),
        event_id=shown.get("event_id"),
        customer=shown.get("customer"),
        currency=shown.get("currency"),
        amount=Decimal(shown.get("amount", "0")),
        document_date=document_date,
        lines=tuple(_line(line) for line in shown.get("lines", ())),
        reverses=shown.get("invoice") if kind is DocumentKind.CREDIT_NOTE else None,
        order=shown.get("order") if is_accounting else None,
        pays=shown.get("invoice") if kind is DocumentKind.PAYMENT else None,
        po_number=shown["po_number"] or "" if is_order and "po_number" in shown else None,
        order_date=document_date if is_order else None,
        bill_to=shown["bill_to"] or "" if is_order and "bill_to" in shown else None,
        ship_to=shown["ship_to"] or "" if is_order and "ship_to" in shown else None,
        raw=shown,
    )


def from_page(kind: DocumentKind, body: Mapping[str, Any]) -> list[ErpDocument]:
    """The documents of an answer to a look-up, or of a page.

    Raises:
        SourceError: they do not have the agreed shape.
    """
    try:
        return [from_json(kind, shown) for shown in body["documents"]]
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise SourceError(f"the ERP shows {kind.value}s in another shape than agreed: {error!r}") from error


def _line(shown: Mapping[str, Any]) -> ErpLine:
    return ErpLine(
        sku=shown["sku"],
        quantity=Decimal(shown["quantity"]),
        unit_price=Decimal(shown["unit_price"]),
        amount=Decimal(shown["amount"]),
        delivered=None if shown.get("delivered") is None else Decimal(shown["delivered"]),
    )
