"""Watermarks and schemas of feeds."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from meshline_dagster.core.errors import LeaseLostError
from meshline_dagster.store.tables import feed_schema, feed_state

__all__ = ["FeedState", "advance_watermark", "feed_state_of", "known_schemas", "record_schema"]


@dataclass(frozen=True, slots=True)
class FeedState:
    """How far a feed was read: ``watermark`` is the end of the last stored window, ``generation`` counts polls."""

    feed: str
    watermark: datetime | None
    generation: int


def feed_state_of(connection: Connection, feed: str) -> FeedState:
    """The feed's state; generation 0 before the first poll."""
    row = connection.execute(select(feed_state).where(feed_state.c.feed == feed)).one_or_none()
    return FeedState(feed, None, 0) if row is None else FeedState(feed, row.watermark, row.generation)


def advance_watermark(connection: Connection, before: FeedState, watermark: datetime, *, now: datetime) -> FeedState:
    """Compare-and-set: move the watermark if nobody moved it since ``before`` was read. It never goes back.

    Raises:
        LeaseLostError: another poll advanced it meanwhile.
    """
    target = watermark if before.watermark is None else max(before.watermark, watermark)
    values = {"watermark": target, "generation": before.generation + 1, "updated_at": now}
    if before.generation == 0:
        connection.execute(insert(feed_state).values(feed=before.feed, **values))
        return FeedState(before.feed, target, 1)
    changed = connection.execute(
        update(feed_state)
        .where(feed_state.c.feed == before.feed, feed_state.c.generation == before.generation)
        .values(**values)
    )
    if changed.rowcount != 1:
        raise LeaseLostError("another poll of this feed advanced its watermark: nothing was changed", feed=before.feed)
    return FeedState(before.feed, target, before.generation + 1)


def record_schema(
    connection: Connection, feed: str, schema_hash: str, fields: dict[str, Any], *, now: datetime
) -> dict[str, Any] | None:
    """Remember a schema as seen now. Returns the schema seen before it, when that was another one."""
    latest = connection.execute(
        select(feed_schema).where(feed_schema.c.feed == feed).order_by(feed_schema.c.last_seen.desc()).limit(1)
    ).one_or_none()
    seen = connection.execute(
        update(feed_schema)
        .where(feed_schema.c.feed == feed, feed_schema.c.schema_hash == schema_hash)
        .values(last_seen=now)
    )
    if seen.rowcount == 0:
        connection.execute(
            insert(feed_schema).values(
                feed=feed, schema_hash=schema_hash, fields=json.dumps(fields), first_seen=now, last_seen=now
            )
        )
    if latest is None or latest.schema_hash == schema_hash:
        return None
    previous: dict[str, Any] = json.loads(latest.fields)
    return previous


def known_schemas(connection: Connection, feed: str) -> list[dict[str, Any]]:
    """All schemas of a feed, the latest seen first."""
    rows = connection.execute(
        select(feed_schema.c.fields).where(feed_schema.c.feed == feed).order_by(feed_schema.c.last_seen.desc())
    )
    return [json.loads(row.fields) for row in rows]
