"""What the sandbox ERP accepts: the bodies of customers, addresses, items, sales orders, invoices, credit notes and payments, checked before anything is written."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from meshline_dagster.core.money import is_currency

__all__ = [
    "Refused",
    "check_accounting",
    "check_address",
    "check_customer",
    "check_item",
    "check_order",
    "check_payment",
]

_ID_CHARACTERS = 64
_NAME_CHARACTERS = 500
_SKU_CHARACTERS = 255
_USES = ("bill_to", "ship_to")
_STATUSES = frozenset({"open", "cancelled"})


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The ERP says no; nothing was written.

    Args:
        status: the HTTP status.
        code: a word for programs. message: words for people. field: the part of the body that is wrong.
        more: further members of the answer, beside ``error``.
    """

    def __init__(
        self, status: int, code: str, message: str, *, field: str | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "field": field}, **(more or {})}


def _invalid(field: str, message: str, code: str = "invalid") -> Refused:
    return Refused(422, code, message, field=field)


def check_customer(body: Mapping[str, Any]) -> None:
    """Refuse a customer without external id or name, or with a currency that is none."""
    _check_ids(body)
    _check_text(body, "name", _NAME_CHARACTERS)
    if body.get("currency") is not None:
        _check_currency(body)


def check_address(body: Mapping[str, Any]) -> None:
    """Refuse an address without external id, customer or use, or one that says of no place where it is."""
    _check_ids(body)
    _check_text(body, "customer", _ID_CHARACTERS)
    if body.get("use") not in _USES:
        raise _invalid("use", f"use is bill_to or ship_to, not {body.get('use')!r}")
    if not any(body.get(name) for name in ("street", "city", "postal_code")):
        raise _invalid("street", "an address has a street, a city or a postal code")


def check_item(body: Mapping[str, Any]) -> None:
    """Refuse an item that goes by another name than its sku, has no name or unit, or a price without a currency."""
    _check_text(body, "external_id", _SKU_CHARACTERS)
    if body.get("sku") != body["external_id"]:
        raise _invalid("sku", f"an item's external id is its sku, not {body.get('sku')!r}")
    _check_text(body, "name", _NAME_CHARACTERS)
    _check_text(body, "uom", _ID_CHARACTERS)
    if body.get("list_price") is not None:
        _money(body["list_price"], "list_price")
        _check_currency(body)


def check_order(body: Mapping[str, Any], items: frozenset[str] | None) -> None:
    """Refuse an order that does not add up, or names items that the ERP does not know.

    Args:
        items: the known skus; None accepts any.
    """
    _check_ids(body)
    _check_text(body, "customer", _ID_CHARACTERS)
    _check_currency(body)
    if body.get("status", "open") not in _STATUSES:
        raise _invalid("status", f"status is open or cancelled, not {body['status']!r}")
    _check_sum(body, items)


def check_accounting(body: Mapping[str, Any], items: frozenset[str] | None) -> None:
    """Refuse an invoice or credit note without a day, of a negative amount, or that does not add up.

    Args:
        items: the known skus; None accepts any.
    """
    _check_ids(body)
    _check_text(body, "customer", _ID_CHARACTERS)
    _check_text(body, "order", _ID_CHARACTERS)
    _check_currency(body)
    _check_day(body, "invoice_date")
    _check_sum(body, items)
    if Decimal(body["amount"]) < 0:
        raise _invalid("amount", "an invoice or credit note has no negative amount")


def check_payment(body: Mapping[str, Any]) -> None:
    """Refuse a payment without a day, or of nothing."""
    _check_ids(body)
    _check_text(body, "customer", _ID_CHARACTERS)
    _check_currency(body)
    _check_day(body, "payment_date")
    if _money(body.get("amount"), "amount") <= 0:
        raise _invalid("amount", "a payment is of more than nothing")


def _check_day(body: Mapping[str, Any], field: str) -> None:
    try:
        date.fromisoformat(str(body.get(field)))
    except ValueError as error:
        raise _invalid(field, f"{field} is a day, as in 2026-01-31") from error


def _check_sum(body: Mapping[str, Any], items: frozenset[str] | None) -> None:
    amount = _money(body.get("amount"), "amount")
    lines = body.get("lines")
    if not isinstance(lines, list) or not lines:
        raise _invalid("lines", "a document has one line or more")
    total = Decimal(0)
    for place, line in enumerate(lines):
        total += _check_line(line, f"lines[{place}]", items)
    if total != amount:
        raise _invalid("amount", f"the lines add up to {total}, the amount is {amount}", "amount_mismatch")


def _check_line(line: Any, where: str, items: frozenset[str] | None) -> Decimal:
    if not isinstance(line, Mapping):
        raise _invalid(where, "a line is an object")
    sku = line.get("sku")
    if not isinstance(sku, str) or not sku:
        raise _invalid(f"{where}.sku", "a line names its item by sku")
    if items is not None and sku not in items:
        raise _invalid(f"{where}.sku", f"unknown item {sku}", "unknown_item")
    _money(line.get("quantity"), f"{where}.quantity")
    _money(line.get("unit_price"), f"{where}.unit_price")
    return _money(line.get("amount"), f"{where}.amount")


def _check_ids(body: Mapping[str, Any]) -> None:
    _check_text(body, "external_id", _ID_CHARACTERS)
    if body.get("event_id") is not None:
        _check_text(body, "event_id", _ID_CHARACTERS)


def _check_text(body: Mapping[str, Any], field: str, characters: int) -> None:
    value = body.get(field)
    if not isinstance(value, str) or not value.strip():
        raise _invalid(field, f"{field} is missing")
    if len(value) > characters:
        raise _invalid(field, f"{field} has more than {characters} characters")


def _check_currency(body: Mapping[str, Any]) -> None:
    currency = body.get("currency")
    if not isinstance(currency, str) or not is_currency(currency):
        raise _invalid("currency", f"currency is three capital letters, not {currency!r}")


def _money(value: Any, field: str) -> Decimal:
    """Decimal texts only: a JSON number has been a float on its way here."""
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise _invalid(field, f"{field} is a decimal number written as text, not {value!r}")
    return number
