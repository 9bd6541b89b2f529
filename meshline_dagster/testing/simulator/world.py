"""The CRM's side of a schedule: customers and orders, their states, and the outboxes in which these reach delivery.

States arrive late, out of order, twice, with another content than before, or are taken back: what a CRM, a poll and a changed rule do.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from meshline_dagster.core.approvals import CANCEL
from meshline_dagster.core.documents import MASTER_KINDS, DocumentKind
from meshline_dagster.core.identity import canonical_json, external_id, sha256_hex
from meshline_dagster.core.money import to_text
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.testing.oracle.records import Content
from meshline_dagster.testing.oracle.truth import Derivation, EntityTruth
from meshline_dagster.testing.simulator.masters import Masters
from meshline_dagster.testing.simulator.payments import draw_payments
from meshline_dagster.testing.simulator.server import KNOWN_SKUS

__all__ = ["NEW_YEAR", "SELLERS", "STARTS", "Publication", "World", "draw_world"]

NEW_YEAR = date(2026, 1, 1)
"""The first day on which some order lines start; others have started before, start later, or do not say."""

STARTS = (
    *(None, None, date(2025, 12, 1), NEW_YEAR, NEW_YEAR),
    *(NEW_YEAR + timedelta(days=days) for days in (1, 2, 30)),
)
"""The days on which lines start."""

SELLERS = ("north", "south", None)
"""Our companies that sell; the last orders do not say which."""

_NOBODYS = "-2"
"""Orders whose postings do not say whose they are, as such planned by an older version."""

_FIRST_DAY = datetime(2017, 4, 1, tzinfo=UTC)
_SKUS = sorted(KNOWN_SKUS)
_UNKNOWN_SKU = "Z"


@dataclass(frozen=True, slots=True)
class Publication:
    """One build's outbox: every postable event of the entities that it touched, planned at a virtual second."""

    at: float
    touched: tuple[str, ...]
    rows: tuple[OutboxRow, ...]


@dataclass(frozen=True, slots=True)
class World:
    """All outboxes of a schedule, and what they amount to.

    Attributes:
        entities: by external id.
    """

    publications: tuple[Publication, ...]
    entities: Mapping[str, EntityTruth]

    @property
    def orders(self) -> list[EntityTruth]:
        """Those of the entities that are orders."""
        rows = self.publications[-1].rows
        known = {row.external_id for row in rows if row.document_kind is DocumentKind.SALES_ORDER}
        return [entity for name, entity in self.entities.items() if name in known]

    @property
    def customers(self) -> list[str]:
        """Their external ids."""
        rows = self.publications[-1].rows
        return list(dict.fromkeys(row.external_id for row in rows if row.document_kind is DocumentKind.CUSTOMER))


@dataclass(frozen=True, slots=True)
class _Event:
    """One state of one entity: its derivation from one outbox on; None when it is taken back."""

    row: OutboxRow
    derivations: tuple[tuple[int, OutboxRow | None], ...]

    def at(self, publication: int) -> OutboxRow | None:
        """What the event is in an outbox."""
        known = [row for since, row in self.derivations if since <= publication]
        return known[-1] if known else None


def draw_world(
    rng: random.Random, until: float, payments: random.Random, kept: tuple[Masters, random.Random] | None = None
) -> World:
    """A few customers with a few orders and payments each, published in a few outboxes; the last one, after the faults, holds everything.

    Args:
        payments: draws these: apart, so that orders are what they are without them.
        kept: the masters beside customers, and what draws when they come.
    """
    times = sorted(rng.uniform(0, until * 0.8) for _ in range(rng.randint(1, 6)))
    events: dict[str, list[_Event]] = {}
    for customer in range(rng.randint(1, 3)):
        key = f"crm/account/{customer}"
        events[key] = _customer(rng, key, len(times))
        for order in range(rng.randint(1, 4)):
            order_key = f"crm/opportunity/{customer}-{order}"
            events[order_key] = _order(rng, order_key, key, len(times))
        for payment_key, payment, derivations in draw_payments(payments, key, len(times)):
            events[payment_key] = [_Event(payment, derivations)]
    if kept is not None:
        events = _with_masters(events, *kept, len(times))
    publications = [_publication(rng, events, number, at) for number, at in enumerate(times)]
    everything = [row for found in events.values() for event in found if (row := event.at(len(times))) is not None]
    publications.append(Publication(until, tuple(events), tuple(everything)))
    known = KNOWN_SKUS if kept is None or not kept[0].items else KNOWN_SKUS | {_UNKNOWN_SKU}
    entities = [_truth(key, found, publications, known) for key, found in events.items()]
    return World(tuple(publications), {entity.external_id: entity for entity in entities})


def _with_masters(
    events: Mapping[str, list[_Event]], masters: Masters, rng: random.Random, publications: int
) -> dict[str, list[_Event]]:
    """Orders name their masters, and these come with some outbox; some are refused by the ERP at first."""
    found: dict[str, list[_Event]] = {}
    orders: list[OutboxRow] = []
    for key, of_key in events.items():
        if of_key[0].row.document_kind is not DocumentKind.SALES_ORDER:
            found[key] = of_key
            continue
        found[key] = [
            _Event(
                masters.naming(one.row),
                tuple((since, None if row is None else masters.naming(row)) for since, row in one.derivations),
            )
            for one in of_key
        ]
        orders += [row for one in of_key for _, row in one.derivations if row is not None]
    customers = [key for key, of_key in events.items() if of_key[0].row.document_kind is DocumentKind.CUSTOMER]
    for master in masters.rows(orders, customers):
        since = rng.choice((0, 0, 0, rng.randint(0, publications)))
        derivations: list[tuple[int, OutboxRow | None]] = [(since, master)]
        if rng.random() < 0.06 and master.external_id not in masters.there:  # noqa: PLR2004 - seldom
            derivations = [(since, replace(master, payload={**master.payload, "name": ""}))]
            if rng.random() < 0.7:  # noqa: PLR2004 - mostly somebody corrects it
                derivations.append((rng.randint(since, publications), master))
        found[master.entity_key] = [_Event(master, tuple(derivations))]
    return found


def _publication(rng: random.Random, events: Mapping[str, list[_Event]], number: int, at: float) -> Publication:
    """What changed since the outbox before, and a few entities that did not: a replay of the same."""
    changed = {
        key for key, found in events.items() if any(since == number for e in found for since, _ in e.derivations)
    }
    touched = [key for key in events if key in changed or rng.random() < 0.2]  # noqa: PLR2004 - one in five
    rows = [row for key in touched for event in events[key] if (row := event.at(number)) is not None]
    return Publication(at, tuple(touched), tuple(rows))


def _customer(rng: random.Random, key: str, publications: int) -> list[_Event]:
    code = external_id("customer", key)
    named = {"code": code, "name": f"Customer {key[-1]}", "country": None, "currency": "USD"}
    first = _row(key, 1, DocumentKind.CUSTOMER, named, None)
    derivations: list[tuple[int, OutboxRow | None]] = [(0, first)]
    if rng.random() < 0.06:  # noqa: PLR2004 - seldom, because all of its orders wait
        derivations[0] = (0, replace(first, payload={**named, "name": ""}))
        if rng.random() < 0.7:  # noqa: PLR2004 - mostly somebody corrects it
            derivations.append((rng.randint(1, publications), first))
    events = [_Event(first, tuple(derivations))]
    if rng.random() < 0.3:  # noqa: PLR2004 - a second version, which is never posted once the first is under way
        second = _row(key, 2, DocumentKind.CUSTOMER, {**named, "name": "Renamed"}, None)
        events.append(_Event(second, ((rng.randint(1, publications), second),)))
    return events


def _order(rng: random.Random, key: str, customer: str, publications: int) -> list[_Event]:
    count = rng.choice((1, 1, 2, 2, 3, 4))
    since = sorted(rng.randrange(publications) for _ in range(count))
    if count > 1 and rng.random() < 0.25:  # noqa: PLR2004 - an older state comes after a newer one
        place = rng.randrange(count - 1)
        since[place], since[place + 1] = since[place + 1], since[place]
    cancelled = rng.random() < 0.15  # noqa: PLR2004 - the last state
    events: list[_Event] = []
    for version in range(1, count + 1):
        payload = _order_payload(rng, key, customer)
        if events and payload["currency"] == events[-1].row.payload["currency"]:
            payload = _changed(events[-1].row.payload, payload)
        if cancelled and version == count:
            payload["status"] = "cancelled"
        row = _row(key, version, DocumentKind.SALES_ORDER, payload, customer)
        events.append(_Event(row, _derivations(rng, row, since[version - 1], publications)))
    return events


def _derivations(
    rng: random.Random, row: OutboxRow, since: int, publications: int
) -> tuple[tuple[int, OutboxRow | None], ...]:
    """Usually one for good; now and then refused by the ERP at first, derived otherwise later, or taken back."""
    later = rng.randint(since + 1, publications)
    chance = rng.random()
    if chance < 0.08:  # noqa: PLR2004 - an item that the ERP does not know
        lines = [{**line, "sku": _UNKNOWN_SKU} for line in row.payload["lines"]]
        refused = replace(row, payload={**row.payload, "lines": lines})
        corrected = rng.random() < 0.6  # noqa: PLR2004 - mostly
        return ((since, refused), (later, row)) if corrected else ((since, refused),)
    if chance < 0.16:  # noqa: PLR2004 - rules, mappings or code have changed
        payload = _order_payload(rng, row.entity_key, row.depends_on[0])
        return (since, row), (later, replace(row, payload={**payload, "status": row.payload["status"]}))
    if chance < 0.22:  # noqa: PLR2004 - a won deal was reopened, and often closed again
        back = rng.randint(later, publications)
        return ((since, row), (later, None), (back, row)) if back > later else ((since, row), (later, None))
    return ((since, row),)


def _changed(before: Mapping[str, Any], drawn: dict[str, Any]) -> dict[str, Any]:
    """As often as not an amendment changes quantities of the lines that were there, and adds or drops some, as people do."""
    rng = random.Random(sha256_hex(canonical_json(drawn)))  # noqa: S311 - repeatable, not secret
    if rng.random() < 0.5:  # noqa: PLR2004 - as often as not
        return drawn
    kept = [line for line in before["lines"] if rng.random() < 0.8] or before["lines"]  # noqa: PLR2004 - mostly
    lines = [_resized(line, rng.randint(1, 9)) if rng.random() < 0.6 else line for line in kept]  # noqa: PLR2004 - mostly
    if rng.random() < 0.3:  # noqa: PLR2004 - three in ten
        lines.append(drawn["lines"][0])
    lines = [{**line, "line": str(place)} for place, line in enumerate(lines, start=1)]
    return {**drawn, "lines": lines, "amount": _sum(lines)}


def _resized(line: Mapping[str, Any], quantity: int) -> dict[str, Any]:
    return {**line, "quantity": str(quantity), "amount": to_text(Decimal(line["unit_price"]) * quantity)}


def _sum(lines: Sequence[Mapping[str, Any]]) -> str:
    return to_text(sum((Decimal(line["amount"]) for line in lines), Decimal(0)))


def _order_payload(rng: random.Random, key: str, customer: str) -> dict[str, Any]:
    lines = [_line(rng, place) for place in range(1, rng.randint(1, 3) + 1)]
    return {
        "order_number": key.rsplit("/", 1)[1],
        "customer": external_id("customer", customer),
        "customer_name": "Customer",
        "currency": rng.choice(("USD", "EUR")),
        "order_date": "2017-04-01",
        "po_number": None,
        "payment_terms": None,
        "status": "open",
        "amount": _sum(lines),
        "lines": lines,
    }


def _line(rng: random.Random, place: int) -> dict[str, Any]:
    quantity, cents = rng.randint(1, 9), rng.randint(1, 99_999)
    return {
        "line": str(place),
        "sku": rng.choice(_SKUS),
        "description": None,
        "quantity": str(quantity),
        "uom": "unit",
        "unit_price": to_text(Decimal(cents) / 100),
        "amount": to_text(Decimal(cents * quantity) / 100),
        "tax_code": "standard",
        "start": _start(quantity * cents),
        "end": None,
    }


def _start(number: int) -> str | None:
    day = STARTS[number % len(STARTS)]
    return None if day is None else day.isoformat()


def _row(key: str, version: int, kind: DocumentKind, payload: dict[str, Any], customer: str | None) -> OutboxRow:
    return OutboxRow(
        event_id=sha256_hex(f"{key}/{version}".encode()),
        entity_key=key,
        document_kind=kind,
        external_id=external_id(kind.value, key),
        event_time=_FIRST_DAY + timedelta(days=version),
        operation=CANCEL if payload.get("status") == "cancelled" else "create",
        depends_on=() if customer is None else (customer,),
        amount=Decimal(payload.get("amount", "0")),
        currency=payload["currency"] if customer else None,
        document_date=date(2017, 4, 1) if customer else None,
        payload=payload,
        selling_entity=None if customer is None else SELLERS[int(key[-1]) % len(SELLERS)],
        customer_key=None if customer is not None and key.endswith(_NOBODYS) else customer or key,
    )


def _truth(key: str, events: list[_Event], publications: list[Publication], known: frozenset[str]) -> EntityTruth:
    published = [row for one in publications for row in one.rows if row.entity_key == key]
    final = [row for row in publications[-1].rows if row.entity_key == key]
    row = events[0].row
    return EntityTruth(
        key,
        row.external_id,
        None if row.document_kind in MASTER_KINDS else row.depends_on[0],
        _derived(published, known),
        _derived(final, known),
        masters=tuple(dict.fromkeys(one for row in (*published, *final) for one in row.depends_on)),
        selling_entity=row.selling_entity,
        customer_key=row.customer_key,
    )


def _derived(rows: list[OutboxRow], known: frozenset[str]) -> tuple[Derivation, ...]:
    return tuple(
        Derivation(
            row.event_id,
            row.event_time.toordinal(),
            Content.of(row.document_kind, row.payload),
            _is_accepted(row, known),
            _first_start(row.payload),
        )
        for row in rows
    )


def _first_start(payload: Mapping[str, Any]) -> date | None:
    starts = [date.fromisoformat(line["start"]) for line in payload.get("lines", ()) if line["start"]]
    return min(starts, default=None)


def _is_accepted(row: OutboxRow, known: frozenset[str]) -> bool:
    if row.document_kind in MASTER_KINDS:
        return bool(row.payload["name"])
    if row.document_kind is DocumentKind.PAYMENT:
        return row.payload["invoice"] is None
    return all(line["sku"] in known for line in row.payload["lines"])
