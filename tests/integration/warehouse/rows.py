"""Rows of the landing zone, as feeds land them: versions of deals, lines, customers, products and ERP documents."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

__all__ = ["EPOCH", "Row", "account", "deal", "deal_deleted", "erp_order", "instant", "line", "observed", "product"]

EPOCH = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When the examples start."""

_DAY = date(2026, 3, 2)

Row = tuple[str, dict[str, Any]]
"""A landing view's name and one row of it."""


def instant(minutes: float = 0, *, days: float = 0) -> datetime:
    """A moment after :data:`EPOCH`."""
    return EPOCH + timedelta(minutes=minutes, days=days)


def _row(view: str, one: str, at: datetime, values: Mapping[str, Any], *, deleted: bool = False) -> Row:
    content = json.dumps([one, str(at), deleted, {name: str(value) for name, value in values.items()}], sort_keys=True)
    own = {
        "_id": one,
        "_stamp": at,
        "_hash": hashlib.sha256(content.encode()).hexdigest(),
        "_deleted": deleted,
        "_payload": "{}",
        "_observed_at": at + timedelta(seconds=30),
    }
    return view, own | dict(values)


def observed(view: str, one: str, at: datetime, values: Mapping[str, Any]) -> Row:
    """A row of any view; one of what was archived is deleted."""
    return _row(view, one, at, values, deleted=view.endswith("_archived"))


def deal(one: str, at: datetime, *, amount: Any = 300, won: bool = True, deleted: bool = False, **values: Any) -> Row:
    """A version of an opportunity: won, of account A1, in USD, booked on the first day, unless told otherwise."""
    base = {
        "Name": one,
        "AccountId": "A1",
        "Amount": None if amount is None else Decimal(amount),
        "CurrencyIsoCode": "USD",
        "StageName": "Closed Won" if won else "Engaging",
        "IsWon": won,
        "IsClosed": won,
        "CloseDate": _DAY,
        "Type": "New Business",
        "IsDeleted": deleted,
    }
    return _row("salesforce__opportunity", one, at, base | values, deleted=deleted)


def deal_deleted(one: str, at: datetime) -> Row:
    """A row of the deletes feed."""
    return _row("salesforce__opportunity_deletes", one, at, {}, deleted=True)


def line(
    one: str, deal_id: str, at: datetime, *, quantity: Any = 3, price: Any = 100, deleted: bool = False, **values: Any
) -> Row:
    """A version of a line item: three of product P1 at 100, unless told otherwise."""
    quantity, price = Decimal(quantity), None if price is None else Decimal(price)
    base = {
        "OpportunityId": deal_id,
        "Product2Id": "P1",
        "ProductCode": "SKU-1",
        "Quantity": quantity,
        "UnitPrice": price,
        "TotalPrice": None if price is None else quantity * price,
        "IsDeleted": deleted,
    }
    return _row("salesforce__opportunity_line_item", one, at, base | values, deleted=deleted)


def account(one: str, at: datetime = EPOCH, **values: Any) -> Row:
    """A version of an account."""
    base = {"Name": f"Company {one}", "BillingCountry": "US", "CurrencyIsoCode": "USD", "IsDeleted": False}
    return _row("salesforce__account", one, at, base | values)


def product(one: str, code: str | None, at: datetime = EPOCH, *, active: bool = True, **values: Any) -> Row:
    """A version of a product."""
    base = {"ProductCode": code, "Name": f"Product {one}", "IsActive": active, "IsDeleted": False}
    return _row("salesforce__product2", one, at, base | values)


def erp_order(one: str, at: datetime, **values: Any) -> Row:
    """A version of a sales order that was read back."""
    return _row("erp__sales_order", one, at, {"number": f"SO-{one}", "status": "open", "currency": "USD"} | values)
