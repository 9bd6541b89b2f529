"""What waits behind a dead posting: the later states of its order, or the orders that name a master."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import orjson
from sqlalchemy import Connection, String, func, literal_column, or_, select, text, update

from meshline_dagster.store.bulk import among, each_of
from meshline_dagster.store.exceptions import CLOSED
from meshline_dagster.store.tables import exception_item, is_dead, is_open, posting

__all__ = ["Behind", "details_of", "set_detail", "waiting_behind"]


@dataclass(frozen=True, slots=True)
class Behind:
    """How many open postings wait, and per currency what their orders are worth in their newest open state."""

    events: int
    amounts: Mapping[str, Decimal]


def waiting_behind(connection: Connection, destination: str) -> dict[str, Behind]:
    """By the entity of each dead posting; one behind which nothing waits is there with zero."""
    dead = select(posting.c.entity_key).where(posting.c.destination == destination, is_dead(posting)).distinct()
    found = connection.execute(dead).scalars().all()
    if not found:
        return {}
    newest = func.row_number().over(
        partition_by=posting.c.entity_key, order_by=(posting.c.event_time.desc(), posting.c.id.desc())
    )
    masters = text(each_of(connection.dialect.name, "posting.depends_on"))
    one = literal_column("each_one.value", String())
    names = select(literal_column("1")).select_from(masters).where(among(connection, one, found)).exists()
    waits = or_(among(connection, posting.c.entity_key, found), names)
    query = select(posting.c.entity_key, posting.c.depends_on, posting.c.currency, posting.c.amount, newest).where(
        posting.c.destination == destination, is_open(posting), waits
    )
    events: dict[str, int] = dict.fromkeys(found, 0)
    amounts: dict[str, dict[str, Decimal]] = {entity: {} for entity in found}
    for entity, depends_on, currency, amount, place in connection.execute(query):
        for behind in {entity, *orjson.loads(depends_on or "[]")} & events.keys():
            events[behind] += 1
            if place == 1 and amount:
                sums = amounts[behind]
                sums[currency or "XXX"] = sums.get(currency or "XXX", Decimal(0)) + amount
    return {entity: Behind(count, amounts[entity]) for entity, count in events.items()}


def details_of(connection: Connection, trace_keys: list[str]) -> dict[str, str]:
    """The details of those of these exceptions that are open."""
    query = select(exception_item.c.trace_key, exception_item.c.detail).where(
        among(connection, exception_item.c.trace_key, trace_keys), exception_item.c.status != CLOSED
    )
    return {row.trace_key: row.detail for row in connection.execute(query)}


def set_detail(connection: Connection, trace_key: str, detail: str) -> None:
    """Say something else about an exception; its clock goes on."""
    connection.execute(update(exception_item).where(exception_item.c.trace_key == trace_key).values(detail=detail))
