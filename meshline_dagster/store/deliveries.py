"""What the ERP tells of each order's deliveries: the newest word, kept until there is a newer one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import Connection, case, delete, insert, select

from meshline_dagster.core.documents import REVERSE, DocumentKind
from meshline_dagster.core.invoice_delivery import Delivered
from meshline_dagster.store.bulk import among
from meshline_dagster.store.tables import delivered_order, is_posted, posting

__all__ = ["ToldDelivery", "deliveries_of", "keep_deliveries"]


class ToldDelivery(NamedTuple):
    """What one document of the ERP's tells of an order: by its external id, as of the document's last change (UTC)."""

    external_id: str
    erp_id: str
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
    the ERP tells of a delivery; nor what a second document under its external id tells.
    """
    newest = _of_ours(connection, destination, told)
    known = _known(connection, destination, list(newest))
    changed = []
    for entity_key, one in newest.items():
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


def _of_ours(connection: Connection, destination: str, told: Sequence[ToldDelivery]) -> dict[str, ToldDelivery]:
    """The newest word by entity key: of the document that the ledger knows; where it knows none, of the only one that there is."""
    words: dict[str, list[ToldDelivery]] = {}
    for one in sorted(told, key=lambda one: one.stamp):
        words.setdefault(one.external_id, []).append(one)
    found = {}
    for external_id, (entity_key, erp_id) in _known_as(connection, destination, list(words)).items():
        ours = [one for one in words[external_id] if erp_id in {None, one.erp_id}]
        if len({one.erp_id for one in ours}) == 1:
            found[entity_key] = ours[-1]
    return found


def _known_as(
    connection: Connection, destination: str, external_ids: Sequence[str]
) -> dict[str, tuple[str, str | None]]:
    """By external id the entity key, and the ERP's id of the document that was posted last."""
    erp_id = case((is_posted(posting) & (posting.c.operation != REVERSE), posting.c.erp_id))
    query = (
        select(posting.c.external_id, posting.c.entity_key, erp_id)
        .where(
            posting.c.destination == destination,
            among(connection, posting.c.external_id, external_ids),
            posting.c.document_kind == DocumentKind.SALES_ORDER.value,
        )
        .order_by(posting.c.event_time, posting.c.id)
    )
    found: dict[str, tuple[str, str | None]] = {}
    for external_id, entity_key, document in connection.execute(query):
        _, before = found.get(external_id, (entity_key, None))
        found[external_id] = (entity_key, document or before)
    return found


def _known(
    connection: Connection, destination: str, entity_keys: Sequence[str]
) -> Mapping[str, tuple[str | None, datetime | None]]:
    table = delivered_order.c
    query = select(table.entity_key, table.delivered, table.stamp).where(
        table.destination == destination, among(connection, table.entity_key, entity_keys)
    )
    return {key: (text, stamp) for key, text, stamp in connection.execute(query)}
