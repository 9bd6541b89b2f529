"""Tryton's invoices as our invoices and credit notes, and the other way round."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import Document, DocumentKind, ErpDocument, ErpLine
from meshline_dagster.erp.tryton_values import Refusal, WantedSale

__all__ = ["INVOICE_FIELDS", "accounting_date", "dates_of", "document_from_invoice", "invoice_values", "kind_of"]

INVOICE_FIELDS = [
    *("external_id", "event_id", "order_external_id", "reverses_external_id", "number", "state", "party.code"),
    *("currency.code", "untaxed_amount", "invoice_date", "write_date", "create_date"),
    *(f"lines.{name}" for name in ("type", "product.code", "quantity", "unit_price", "amount", "sequence")),
]
"""What a look-up asks of ``account.invoice``, in one read."""

_IN_THE_BOOKS = frozenset({"posted", "paid"})


def kind_of(row: Mapping[str, Any]) -> DocumentKind:
    """Ours say what they reverse; of the others the sign tells."""
    is_credit = row["reverses_external_id"] or (row["untaxed_amount"] or 0) < 0
    return DocumentKind.CREDIT_NOTE if is_credit else DocumentKind.INVOICE


def document_from_invoice(row: Mapping[str, Any]) -> ErpDocument:
    """An invoice as a document; what a credit note takes back is negative in Tryton, and positive here."""
    kind = kind_of(row)
    sign = -1 if kind is DocumentKind.CREDIT_NOTE else 1
    stamp: datetime = row["write_date"] or row["create_date"]
    return ErpDocument(
        kind=kind,
        erp_id=str(row["id"]),
        external_id=row["external_id"] or "",
        number=row["number"] or "",
        status=_status(row["state"]),
        stamp=stamp.replace(tzinfo=UTC),
        event_id=row["event_id"] or None,
        customer=(row["party."] or {}).get("code"),
        currency=(row["currency."] or {}).get("code"),
        amount=sign * Decimal(row["untaxed_amount"] or 0),
        document_date=row["invoice_date"],
        lines=tuple(_line(line, sign) for line in row["lines."] or [] if line["type"] == "line" and line["quantity"]),
        reverses=row["reverses_external_id"] or None,
        order=row["order_external_id"] or None,
        raw={"state": row["state"]},
    )


def accounting_date(document: Document) -> date:
    """The day on which it is to be in the books."""
    return date.fromisoformat(document.payload["invoice_date"])


def dates_of(document: Document) -> dict[str, Any]:
    """For ``account.invoice``."""
    day = accounting_date(document)
    return {"invoice_date": day, "accounting_date": day}


def invoice_values(
    document: Document, wanted: WantedSale, sale: Mapping[str, Any], reversed_lines: Mapping[int, int]
) -> dict[str, Any]:
    """For ``account.invoice``; the module ``extref`` fills in accounts and journal.

    Args:
        sale: what it invoices, or what its invoice did: its customer's address there is the invoice's, unless somebody else is to get its
            invoices.
        reversed_lines: of a credit note, the invoice's lines by their number there.

    Raises:
        Refusal: the invoice has no such line.
    """
    payload = document.payload
    names = ("party", "invoice_address", "currency", "payment_term")
    sign = -1 if document.kind is DocumentKind.CREDIT_NOTE else 1
    lines = []
    for place, (line, told) in enumerate(zip(wanted.lines, payload["lines"], strict=True)):
        values = line.values(int(told["line"])) | {"quantity": sign * float(line.quantity)}
        if document.kind is DocumentKind.CREDIT_NOTE:
            values["reverses"] = reversed_lines.get(int(told["invoice_line"]))
            if values["reverses"] is None:
                raise Refusal(f"the invoice has no line {told['invoice_line']}", f"lines[{place}].invoice_line")
        lines.append(values)
    party = wanted.header["party"]
    is_of_customer = (sale["party."] or {}).get("id") == party and sale["invoice_party"] in {None, party}
    address = {"invoice_address": sale["invoice_address"]} if is_of_customer and sale["invoice_address"] else {}
    return {
        **{name: wanted.header[name] for name in names if name in wanted.header},
        **address,
        "type": "out",
        **dates_of(document),
        "reference": wanted.header.get("reference"),
        "description": wanted.header["description"],
        "external_id": document.external_id,
        "event_id": document.event_id,
        "order_external_id": payload["order"],
        "reverses_external_id": payload.get("invoice"),
        "lines": [["create", lines]],
    }


def _status(state: str) -> str:
    if state == "cancelled":
        return state
    return "open" if state in _IN_THE_BOOKS else "partial"


def _line(line: Mapping[str, Any], sign: int) -> ErpLine:
    return ErpLine(
        sku=(line["product."] or {}).get("code") or "",
        quantity=sign * Decimal(line["quantity"]),
        unit_price=Decimal(line["unit_price"]),
        amount=sign * Decimal(line["amount"]),
    )
