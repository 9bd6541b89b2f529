"""What the sandbox ERP books, once and never changed: invoices, credit notes, which take back what an invoice line billed, and payments."""

import json
from collections.abc import Mapping
from typing import Any

from meshline_dagster.core.billing import left_of, over_credited
from meshline_dagster.sandbox.erp.bodies import Refused, check_accounting, check_payment
from meshline_dagster.sandbox.erp.database import Database

__all__ = ["ACCOUNTING", "check_document"]

ACCOUNTING = {"invoices": "invoice", "credit-notes": "credit_note", "payments": "payment"}
"""Path -> kind of what is posted to the books."""

_SAME = ("customer", "currency", "order")


def check_document(database: Database, kind: str, body: Mapping[str, Any], items: frozenset[str] | None) -> None:
    """Refuse what does not add up, what belongs to no order, and what credits more than is left of its invoice.

    Args:
        items: the known skus; None accepts any.
    """
    if kind == "payment":
        check_payment(body)
        _check_payment(database, body)
        return
    check_accounting(body, items)
    _check_order(database, kind, body)
    if kind == "credit_note":
        _check_credit(database, body)


def _check_order(database: Database, kind: str, body: Mapping[str, Any]) -> None:
    orders = database.of("sales_order", [body["order"]])
    if not orders:
        raise Refused(422, "unknown_order", f"unknown sales order {body['order']}", field="order")
    if kind == "invoice" and all(order["status"] == "cancelled" for order in orders):
        raise Refused(422, "order_cancelled", f"{orders[0]['number']} is cancelled", field="order")
    if not database.knows("customer", body["customer"]):
        raise Refused(422, "unknown_customer", f"unknown customer {body['customer']}", field="customer")


def _check_payment(database: Database, body: Mapping[str, Any]) -> None:
    if not database.knows("customer", body["customer"]):
        raise Refused(422, "unknown_customer", f"unknown customer {body['customer']}", field="customer")
    if body.get("invoice") is None:
        return
    invoices = database.of("invoice", [str(body["invoice"])])
    if not invoices:
        raise Refused(422, "unknown_invoice", f"unknown invoice {body['invoice']}", field="invoice")
    for field in ("customer", "currency"):
        if body[field] != invoices[0][field]:
            text = f"{field} is {body[field]}, that of {invoices[0]['number']} is {invoices[0][field]}"
            raise Refused(422, "other_than_invoice", text, field=field)


def _check_credit(database: Database, body: Mapping[str, Any]) -> None:
    name = str(body.get("invoice"))
    invoices = database.of("invoice", [name])
    if not invoices:
        raise Refused(422, "unknown_invoice", f"unknown invoice {name}", field="invoice")
    for field in _SAME:
        if body[field] != invoices[0][field]:
            text = f"{field} is {body[field]}, that of {invoices[0]['number']} is {invoices[0][field]}"
            raise Refused(422, "other_than_invoice", text, field=field)
    found = database.rows(
        "select body from document where kind = 'credit_note' and json_extract(body, '$.invoice') = ?", [name]
    )
    left = left_of([(name, invoices[0])], [json.loads(row["body"]) for row in found])
    place = over_credited(left, body)
    if place is not None:
        text = f"more is credited than is left of {invoices[0]['number']}, or a line that it does not have"
        raise Refused(422, "over_credited", text, field=place)
