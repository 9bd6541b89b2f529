"""Items and addresses that a schedule keeps as masters: some are in the ERP, the others are made, and orders name several of them."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import external_id, sha256_hex
from meshline_dagster.core.postings import OutboxRow

__all__ = ["Masters", "draw_masters"]

_BEGINNING = datetime(2017, 1, 1, tzinfo=UTC)
_ITEM, _ADDRESS = DocumentKind.ITEM, DocumentKind.ADDRESS


@dataclass(frozen=True, slots=True)
class Masters:
    """What is kept beside customers.

    Attributes:
        items, addresses: whether orders wait for these.
        there: the items that somebody has made in the ERP before.
    """

    items: bool
    addresses: bool
    there: tuple[str, ...]

    def naming(self, row: OutboxRow) -> OutboxRow:
        """An order that names its masters, and waits for them."""
        waits_for, payload = list(row.depends_on), dict(row.payload)
        if self.items:
            waits_for += [_item_key(sku) for sku in sorted({line["sku"] for line in payload["lines"]})]
        if self.addresses:
            keys = _address_keys(row.depends_on[0])
            waits_for += keys
            payload |= zip(("bill_to", "ship_to"), (external_id(_ADDRESS.value, key) for key in keys), strict=True)
        return replace(row, depends_on=tuple(waits_for), payload=payload)

    def rows(self, orders: Iterable[OutboxRow], customers: Iterable[str]) -> Iterator[OutboxRow]:
        """The masters themselves, each once."""
        skus = {line["sku"] for row in orders for line in row.payload["lines"]} if self.items else set()
        for sku in sorted(skus):
            payload = {"sku": sku, "name": f"Item {sku}", "uom": "unit", "list_price": None, "currency": None}
            yield _row(_item_key(sku), _ITEM, sku, payload, None)
        for customer in customers if self.addresses else ():
            for key, use in zip(_address_keys(customer), ("bill_to", "ship_to"), strict=True):
                code = external_id(_ADDRESS.value, key)
                owner = external_id("customer", customer)
                payload = {"code": code, "customer": owner, "name": f"At {key[-1]}", "use": use, "currency": None}
                yield _row(key, _ADDRESS, code, payload, customer)

    def __str__(self) -> str:
        kept = " and ".join(name for name, is_kept in (("items", self.items), ("addresses", self.addresses)) if is_kept)
        return f"{kept} are masters; in the ERP before: {', '.join(self.there) or 'none'}"


def draw_masters(rng: random.Random, skus: Iterable[str]) -> Masters | None:
    """One schedule in four keeps some."""
    if rng.random() >= 0.25:  # noqa: PLR2004 - one in four
        return None
    items, addresses = rng.choice(((True, False), (False, True), (True, True), (True, True)))
    there = tuple(sku for sku in skus if rng.random() < 0.3) if items else ()  # noqa: PLR2004 - three in ten
    return Masters(items, addresses, there)


def _item_key(sku: str) -> str:
    return f"catalog/item/{sku}"


def _address_keys(customer: str) -> list[str]:
    number = customer.rsplit("/", 1)[1]
    return [f"crm/billing_address/{number}", f"crm/shipping_address/{number}"]


def _row(key: str, kind: DocumentKind, name: str, payload: dict[str, Any], customer: str | None) -> OutboxRow:
    return OutboxRow(
        event_id=sha256_hex(key.encode()),
        entity_key=key,
        document_kind=kind,
        external_id=name,
        event_time=_BEGINNING,
        operation="create",
        depends_on=() if customer is None else (customer,),
        amount=Decimal(0),
        currency=None,
        document_date=None,
        payload=payload,
        customer_key=customer,
    )
