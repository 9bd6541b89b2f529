"""Orders whose lines are billed by periods: whether what is billed is what was due by then. Reckoned by item, as each period has its own price."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal

from meshline_dagster.testing.oracle.records import Effect
from meshline_dagster.testing.oracle.truth import Billing, EntityTruth

__all__ = ["beyond", "by_item", "is_billed_by_periods", "is_due_at_most"]

_Items = dict[str, Decimal]


def by_item(sums: Mapping[tuple[str, Decimal], tuple[Decimal, Decimal]]) -> _Items:
    """Money by item, without what is nothing."""
    return _added((sku, amount) for (sku, _), (_, amount) in sums.items())


def is_billed_by_periods(billed: _Items, state: Effect, entity: EntityTruth, billing: Billing, at: float) -> bool:
    """Whether this is what was due of a state: on the day of a virtual second, or on the next, when it may have been looked at again."""
    first = billing.day(at)
    days = (first, first + timedelta(days=1))
    return any(billed == due for day in days for due in _due(state, entity, day))


def is_due_at_most(
    billed: _Items, states: Iterable[Effect], entity: EntityTruth, billing: Billing, at: float
) -> Iterator[str]:
    """What is billed of an item beyond what any of the states wanted by then."""
    yield from beyond(billed, (due for state in states for due in _due(state, entity, billing.day(at))))


def beyond(billed: _Items, dues: Iterable[_Items]) -> Iterator[str]:
    """What is billed of an item beyond what ever was due of it."""
    most: _Items = {}
    for due in dues:
        most |= {sku: max(amount, most.get(sku, Decimal(0))) for sku, amount in due.items()}
    for sku, amount in billed.items():
        if amount > most.get(sku, Decimal(0)):
            yield f"{amount} for {sku}, of which never more than {most.get(sku, 0)} was due"


def _due(state: Effect, entity: EntityTruth, day: date) -> Iterator[_Items]:
    """What is due of a state by the end of a day: for each way in which it was derived with what the ERP shows."""
    if state.content.status != "open":
        yield {}
        return
    for one in entity.published:
        if one.event_id == state.event_id and one.content == state.content:
            yield _added((sku, amount) for due_on, sku, amount in one.parts if due_on <= day)


def _added(amounts: Iterable[tuple[str, Decimal]]) -> _Items:
    found: _Items = {}
    for sku, amount in amounts:
        found[sku] = found.get(sku, Decimal(0)) + amount
    return {sku: amount for sku, amount in found.items() if amount}
