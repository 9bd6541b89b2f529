"""A world whose order lines have terms, with what of each is due on which day: reckoned for the oracle, apart from the planning."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.invoice_schedule import BilledIn, BillingSchedule
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.testing.oracle.truth import Derivation
from meshline_dagster.testing.simulator.world import World

__all__ = ["with_periods"]

_DAYS = (27, 30, 44, 58, 89, 180, 364, 400)
"""How long terms are, less a day; one in nine lines that start has no end."""

_CENT = Decimal("0.01")
_Part = tuple[date, str, Decimal]


def with_periods(world: World, schedule: BillingSchedule) -> World:
    """The same world, its lines ending some time after they start, and billed by periods."""
    publications = tuple(replace(one, rows=tuple(map(_with_ends, one.rows))) for one in world.publications)
    published: dict[str, list[OutboxRow]] = {}
    for one in publications:
        for row in one.rows:
            published.setdefault(row.external_id, []).append(row)
    last = publications[-1].rows
    entities = {
        name: replace(
            entity,
            published=_due(entity.published, published.get(name, []), schedule),
            final=_due(entity.final, [row for row in last if row.external_id == name], schedule),
        )
        for name, entity in world.entities.items()
    }
    return replace(world, publications=publications, entities=entities)


def _with_ends(row: OutboxRow) -> OutboxRow:
    if row.document_kind is not DocumentKind.SALES_ORDER:
        return row
    return replace(row, payload={**row.payload, "lines": [_with_end(line) for line in row.payload["lines"]]})


def _with_end(line: Mapping[str, Any]) -> Mapping[str, Any]:
    drawn = int(Decimal(line["unit_price"]) * 100) % (len(_DAYS) + 1)
    if line["start"] is None or drawn == len(_DAYS):
        return line
    return {**line, "end": (date.fromisoformat(line["start"]) + timedelta(days=_DAYS[drawn])).isoformat()}


def _due(derived: Iterable[Derivation], rows: Iterable[OutboxRow], schedule: BillingSchedule) -> tuple[Derivation, ...]:
    """Derivations and the rows that they were made of, in one order."""
    return tuple(
        replace(one, parts=tuple(part for line in row.payload.get("lines", ()) for part in _parts(line, schedule)))
        for one, row in zip(derived, rows, strict=True)
    )


def _parts(line: Mapping[str, Any], schedule: BillingSchedule) -> Iterator[_Part]:
    """Period by period, up to the end of the term: amounts are differences of what is due in all."""
    sku, amount = line["sku"], Decimal(line["amount"])
    if line["start"] is None or line["end"] is None:
        yield date.min, sku, amount  # the orders of the simulator were booked long ago
        return
    start, end = date.fromisoformat(line["start"]), date.fromisoformat(line["end"])
    days: list[tuple[date, Fraction]] = []
    first, number = start, 0
    while first <= end:
        number += 1
        following = _later(start, number * schedule.every.months)
        last = min(following - timedelta(days=1), end)
        weight = Fraction((last - first).days + 1, (following - first).days)
        days.append((first if schedule.billed_in is BilledIn.ADVANCE else last + timedelta(days=1), weight))
        first = following
    whole, passed, due = sum(weight for _, weight in days), Fraction(0), Decimal(0)
    for day, weight in days:
        passed += weight
        share = amount * (passed / whole).numerator / (passed / whole).denominator
        so_far = share.quantize(_CENT, rounding=ROUND_HALF_EVEN)
        yield day, sku, so_far - due
        due = so_far


def _later(day: date, months: int) -> date:
    """The same day so many months later, or the last one before it that there is: terms start on the 31st, too."""
    count = day.year * 12 + day.month - 1 + months
    first = date(count // 12, count % 12 + 1, 1)
    following = date((count + 1) // 12, (count + 1) % 12 + 1, 1)
    return min(first + timedelta(days=day.day - 1), following - timedelta(days=1))
