"""What the ERP tells of each order's deliveries: the newest word, kept until there is a newer one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import Connection, delete, insert, select

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.invoice_delivery import Delivered
from meshline_dagster.store.bulk import among
from meshline_dagster.store.tables import delivered_order, posting

__all__ = ["ToldDelivery", "deliveries_of", "keep_deliveries"]


class ToldDelivery(NamedTuple):
    """What the ERP tells of one order: by its external id, as of the document's last change (UTC)."""

    external_id: str
    stamp: datetime
    delivered: Delivered


def deliveries_of(connection: Connection, destination: str, entity_keys: Sequence[str]) -> dict[str, Delivered]:
    """What is delivered of these orders; without those of which the ERP has never told anything."""
    query = select(delivered_order.c.entity_key, delivered_order.c.delivered).where(
        delivered_order.c.destination == destination, among(connection, delivered_order.c.entity_key, entity_keys)
    )
    return {key: orjson.loads(text) for key, text in connection.execute(query)}


def keep_deliveries(
    connection: Connection, destination: str, told: Sequence[ToldDelivery], *, now: datetime
) -> list[str]:
    """Keep what is newer than what is known, of orders that are ours; tells of which of them it is something else than before.

    Other lines are something else, also when the same is delivered: only now can the state that has them be billed. Nothing is kept of an order until
    the ERP tells of a delivery.
    """
    newest = {one.external_id: one for one in sorted(told, key=lambda one: one.stamp)}
    keys = _entity_keys(connection, destination, list(newest))
    known = _known(connection, destination, list(keys.values()))
    changed = []
    for external_id, entity_key in keys.items():
        one = newest[external_id]
        text = orjson.dumps(one.delivered, option=orjson.OPT_SORT_KEYS).decode()
        before, stamp = known.get(entity_key, (None, None))
        is_word = stamp is not None or any(line["delivered"] is not None for line in one.delivered)
        if is_word and text != before and (stamp is None or one.stamp >= stamp):
            changed.append((entity_key, one.stamp, text))
    forgotten = delete(delivered_order).where(
        delivered_order.c.destination == destination,
        among(connection, delivered_order.c.entity_key, [key for key, *_ in changed]),
    )
    if changed:
        connection.execute(forgotten)
        names = ("destination", "entity_key", "stamp", "delivered", "told_at")
        rows = [dict(zip(names, (destination, *one, now), strict=True)) for one in changed]
        connection.execute(insert(delivered_order), rows)
    return [key for key, *_ in changed]


def _entity_keys(connection: Connection, destination: str, external_ids: Sequence[str]) -> dict[str, str]:
    query = (
        select(posting.c.external_id, posting.c.entity_key)
        .where(
            posting.c.destination == destination,
            among(connection, posting.c.external_id, external_ids),
            posting.c.document_kind == DocumentKind.SALES_ORDER.value,
        )
        .distinct()
    )
    return dict(connection.execute(query).tuples().all())


def _known(
    connection: Connection, destination: str, entity_keys: Sequence[str]
) -> Mapping[str, tuple[str | None, datetime | None]]:
    table = delivered_order.c
    query = select(table.entity_key, table.delivered, table.stamp).where(
        table.destination == destination, among(connection, table.entity_key, entity_keys)
    )
    return {key: (text, stamp) for key, text, stamp in connection.execute(query)}
