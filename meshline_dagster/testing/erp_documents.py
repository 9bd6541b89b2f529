"""Documents for trying an ERP writer out: small, valid, and each with names of its own."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import Document, DocumentKind
from meshline_dagster.core.identity import external_id, posting_key, sha256_hex
from meshline_dagster.core.money import to_text

__all__ = ["Line", "Sample"]

_HEADER = ("order_number", "customer", "customer_name", "currency", "po_number", "payment_terms")

Line = tuple[str, str, str]
"""``(sku, quantity, unit price)``; the amount is their exact product."""


class Sample:
    """One customer with an address, and one item, with as many orders, invoices, credit notes and payments as asked for, under external ids that no other sample has.

    Args:
        currency: of customer and orders.
    """

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self._run = uuid.uuid4().hex

    def customer(self, name: str = "Acme", *, version: int = 1) -> Document:
        """The document that creates the customer; ``version`` 2 and up amends it."""
        code = self._external_id(DocumentKind.CUSTOMER, "customer")
        payload = {"code": code, "name": name, "country": None, "currency": self.currency}
        operation = "create" if version == 1 else "amend"
        return self._document(DocumentKind.CUSTOMER, "customer", operation, version, payload)

    def address(self) -> Document:
        """The document that creates an address of the customer."""
        payload = {
            "code": self._external_id(DocumentKind.ADDRESS, "address"),
            "customer": self._external_id(DocumentKind.CUSTOMER, "customer"),
            "name": "Acme",
            "use": "ship_to",
            "street": "Rådhuspladsen 1\n2. sal",
            "city": "København",
            "region": None,
            "postal_code": "1550",
            "country": "DK",
        }
        return self._document(DocumentKind.ADDRESS, "address", "create", 1, payload)

    def item(self) -> Document:
        """The document that creates an item under a sku that nobody else has."""
        sku = f"Ö-{self._run[:12]}"
        payload = {"sku": sku, "name": "Probe 字", "uom": "unit", "list_price": "9.50", "currency": self.currency}
        return replace(self._document(DocumentKind.ITEM, "item", "create", 1, payload), external_id=sku)

    def order(
        self,
        number: int,
        lines: Sequence[Line],
        *,
        version: int = 1,
        operation: str | None = None,
        **changes: Any,
    ) -> Document:
        """A document about order ``number``.

        Args:
            version: 1 creates, later ones amend; each is an event of its own.
            operation: instead of the one that follows from the version; ``cancel`` also sets the status.
            changes: payload members to set.
        """
        operation = operation or ("create" if version == 1 else "amend")
        rows = [self._line(place, line) for place, line in enumerate(lines, start=1)]
        payload = {
            "order_number": f"T-{number}",
            "customer": self._external_id(DocumentKind.CUSTOMER, "customer"),
            "customer_name": "Acme",
            "currency": self.currency,
            "order_date": "2017-04-01",
            "po_number": None,
            "payment_terms": None,
            "status": "cancelled" if operation == "cancel" else "open",
            "amount": to_text(sum((Decimal(row["amount"]) for row in rows), Decimal(0))),
            "lines": rows,
            **changes,
        }
        return self._document(DocumentKind.SALES_ORDER, f"order/{number}", operation, version, payload)

    def invoice(self, number: int, lines: Sequence[Line], *, version: int = 1) -> Document:
        """An invoice of order ``number``; each ``version`` is another invoice."""
        rows = [self._line(place, line) for place, line in enumerate(lines, start=1)]
        return self._accounting(DocumentKind.INVOICE, number, version, rows, {})

    def credit_note(
        self, number: int, lines: Sequence[tuple[int, Line]], *, of: Document, version: int = 1
    ) -> Document:
        """A credit note against the invoice ``of``; each ``version`` is another one.

        Args:
            lines: ``(number of the invoice's line from 1, what is taken back of it)``.
        """
        rows = [
            {**self._line(place, line), "invoice_line": str(against)}
            for place, (against, line) in enumerate(lines, start=1)
        ]
        return self._accounting(DocumentKind.CREDIT_NOTE, number, version, rows, {"invoice": of.external_id})

    def payment(self, number: int, *, of: Document | None = None) -> Document:
        """Payment ``number`` of the customer: for the invoice ``of``, or on account."""
        payload = {
            "customer": self._external_id(DocumentKind.CUSTOMER, "customer"),
            "currency": self.currency,
            "amount": "21.07",
            "payment_date": "2017-04-05",
            "reference": f"Bank 字 {number}",
            "invoice": None if of is None else of.external_id,
            "status": "open",
        }
        return self._document(DocumentKind.PAYMENT, f"payment/{number}", "create", 1, payload)

    def _accounting(
        self, kind: DocumentKind, number: int, version: int, rows: list[dict[str, Any]], more: dict[str, Any]
    ) -> Document:
        order = self.order(number, [])
        payload = {name: order.payload[name] for name in _HEADER} | {
            **more,
            "order": order.external_id,
            "order_event_id": order.event_id,
            "invoice_date": "2017-04-03",
            "original_date": "2017-04-03",
            "status": "open",
            "amount": to_text(sum((Decimal(row["amount"]) for row in rows), Decimal(0))),
            "lines": rows,
        }
        return self._document(kind, f"order/{number}/{version}", "create", version, payload)

    def _line(self, place: int, line: Line) -> dict[str, Any]:
        sku, quantity, price = line
        return {
            "line": str(place),
            "sku": sku,
            "description": None,
            "quantity": quantity,
            "uom": "unit",
            "unit_price": price,
            "amount": to_text(Decimal(quantity) * Decimal(price)),
            "tax_code": "standard",
            "start": None,
            "end": None,
        }

    def _external_id(self, kind: DocumentKind, entity: str) -> str:
        return external_id(kind.value, f"conformance/{self._run}/{entity}")

    def _document(
        self, kind: DocumentKind, entity: str, operation: str, version: int, payload: dict[str, Any]
    ) -> Document:
        event_id = sha256_hex(f"{self._run}/{kind.value}/{entity}/{version}/{operation}".encode())
        return Document(
            kind=kind,
            external_id=self._external_id(kind, entity),
            key=posting_key("conformance", event_id, 1),
            event_id=event_id,
            operation=operation,
            payload=payload,
        )
