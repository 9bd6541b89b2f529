"""The orders whose newest state the rules hold: it waits for something that arrives by itself, so nobody is asked, and there is no exception."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from meshline_dagster.store.bulk import among, insert_rows
from meshline_dagster.store.tables import held_order

__all__ = ["keep_held"]


def keep_held(connection: Connection, entity_keys: Iterable[str]) -> None:
    """Make the orders that are held equal to these, those of the newest build."""
    wanted = set(entity_keys)
    known = set(connection.execute(select(held_order.c.entity_key)).scalars())
    gone, fresh = sorted(known - wanted), sorted(wanted - known)
    if gone:
        connection.execute(delete(held_order).where(among(connection, held_order.c.entity_key, gone)))
    if fresh:
        insert_rows(connection, held_order, ("entity_key",), [(key,) for key in fresh])
