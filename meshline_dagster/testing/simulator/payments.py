"""The payments of a schedule: each is an entity of its own, made once, and never a state of anything."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import external_id, sha256_hex
from meshline_dagster.core.money import to_text
from meshline_dagster.core.postings import OutboxRow

__all__ = ["NOBODYS_INVOICE", "Derived", "draw_payments"]

NOBODYS_INVOICE = "MLI-nobody"
"""An invoice that the ERP does not know: it refuses what is said to pay it."""

Derived = tuple[tuple[int, OutboxRow | None], ...]
"""What an event is, from which outbox on; None: it is taken back."""

_FIRST_DAY = datetime(2017, 5, 1, tzinfo=UTC)


def draw_payments(rng: random.Random, customer: str, publications: int) -> Iterator[tuple[str, OutboxRow, Derived]]:
    """A few payments of some customers: entity key, the event, and what is derived for it in which outbox."""
    if rng.random() < 0.6:  # noqa: PLR2004 - most customers pay nothing that we hear of
        return
    for number in range(rng.randint(1, 3)):
        key = f"bank/payment/{customer.rsplit('/', 1)[1]}-{number}"
        row = _row(rng, key, customer, number)
        yield key, row, _derivations(rng, row, publications)


def _derivations(rng: random.Random, row: OutboxRow, publications: int) -> Derived:
    """Usually one for good; now and then refused at first, read otherwise later, or taken back."""
    since = rng.randrange(publications)
    later, chance = rng.randint(since + 1, publications), rng.random()
    if chance < 0.1:  # noqa: PLR2004 - for an invoice that nobody knows
        refused = replace(row, payload={**row.payload, "invoice": NOBODYS_INVOICE})
        return ((since, refused), (later, row)) if rng.random() < 0.6 else ((since, refused),)  # noqa: PLR2004 - mostly
    if chance < 0.2:  # noqa: PLR2004 - the bank's file was read wrongly
        other = row.amount + 1
        return (since, row), (later, replace(row, amount=other, payload={**row.payload, "amount": to_text(other)}))
    return ((since, row), (later, None)) if chance < 0.27 else ((since, row),)  # noqa: PLR2004 - seldom


def _row(rng: random.Random, key: str, customer: str, number: int) -> OutboxRow:
    event_id, amount = sha256_hex(key.encode()), Decimal(rng.randint(1, 999_999)) / 100
    payload = {
        "customer": external_id("customer", customer),
        "currency": rng.choice(("USD", "EUR")),
        "amount": to_text(amount),
        "payment_date": "2017-05-01",
        "reference": str(number),
        "invoice": None,
        "status": "open",
    }
    return OutboxRow(
        event_id=event_id,
        entity_key=key,
        document_kind=DocumentKind.PAYMENT,
        external_id=external_id("payment", key, event_id),
        event_time=_FIRST_DAY + timedelta(days=number),
        operation="create",
        depends_on=(customer,),
        amount=amount,
        currency=payload["currency"],
        document_date=date(2017, 5, 1),
        payload=payload,
        customer_key=customer,
    )
