"""Tryton's sales and parties as our documents."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import DocumentKind, ErpDocument, ErpLine

__all__ = ["PARTY_FIELDS", "SALE_FIELDS", "customer_from_row", "is_void", "order_from_row", "standing_rows"]

SALE_FIELDS = [
    "external_id",
    "event_id",
    "number",
    "reference",
    "state",
    "party.code",
    "payment_term",
    *("invoice_party", "invoice_address", "shipment_party", "shipment_address"),
    *("invoice_address.external_id", "shipment_address.external_id"),
    "currency.code",
    "untaxed_amount",
    "sale_date",
    "write_date",
    "create_date",
    *(
        f"lines.{name}"
        for name in ("type", "product.code", "quantity", "unit", "unit_price", "amount", "taxes", "sequence")
    ),
    "lines.description",
]
"""What a look-up asks of ``sale.sale``, in one read."""

PARTY_FIELDS = ["code", "name", "write_date", "create_date"]

_IN_PROGRESS = frozenset({"processing", "done"})


def order_from_row(row: Mapping[str, Any]) -> ErpDocument:
    """A sale as a document.

    Draft, quotation and confirmed sales are ``partial``: only processing creates the invoice, and a server that dies right after the
    confirmation leaves it out. A sale that is in progress cannot be cancelled in Tryton; emptied by an amendment it stands for that.
    """
    return ErpDocument(
        kind=DocumentKind.SALES_ORDER,
        erp_id=str(row["id"]),
        external_id=row["external_id"] or "",
        number=row["number"] or "",
        status=_status(row),
        stamp=_stamp(row),
        event_id=row["event_id"] or None,
        customer=(row["party."] or {}).get("code"),
        currency=(row["currency."] or {}).get("code"),
        amount=Decimal(row["untaxed_amount"] or 0),
        document_date=row["sale_date"],
        po_number=row["reference"] or "",  # but no order_date: an amendment cannot change a sale's
        bill_to=_address(row["invoice_address."]),
        ship_to=_address(row["shipment_address."]),
        lines=tuple(_line(line) for line in row["lines."] or [] if line["type"] == "line" and line["quantity"]),
        raw={"state": row["state"]},
    )


def _address(row: Mapping[str, Any] | None) -> str:
    return (row or {}).get("external_id") or ""


def customer_from_row(row: Mapping[str, Any]) -> ErpDocument:
    """A party as a document."""
    return ErpDocument(
        kind=DocumentKind.CUSTOMER,
        erp_id=str(row["id"]),
        external_id=row["code"] or "",
        number=row["code"] or "",
        status="open",
        stamp=_stamp(row),
        raw={"name": row["name"]},
    )


def is_void(row: Mapping[str, Any]) -> bool:
    """In progress, or done, and emptied."""
    quantities = [line["quantity"] for line in row["lines."] or [] if line["type"] == "line"]
    return row["state"] in _IN_PROGRESS and not any(quantities)


def standing_rows(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Of the sales under one external id those that count; see :func:`~meshline_dagster.core.documents.standing`."""
    return [row for row in rows if _status(row) != "cancelled"] or rows[:1]


def _status(row: Mapping[str, Any]) -> str:
    if row["state"] == "cancelled" or is_void(row):
        return "cancelled"
    return "open" if row["state"] in _IN_PROGRESS else "partial"


def _stamp(row: Mapping[str, Any]) -> datetime:
    """When it last changed; never written to since its creation means no write date."""
    stamp: datetime = row["write_date"] or row["create_date"]
    return stamp.replace(tzinfo=UTC)


def _line(line: Mapping[str, Any]) -> ErpLine:
    return ErpLine(
        sku=(line["product."] or {}).get("code") or "",
        quantity=Decimal(line["quantity"]),
        unit_price=Decimal(line["unit_price"]),
        amount=Decimal(line["amount"]),
    )
