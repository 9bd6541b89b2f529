"""Leases with fencing tokens.

A lease's token grows each time somebody takes it, and whoever writes under a lease proves in the same transaction that the token
is still his. A process that was paused for an hour and wakes up can therefore write nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import Connection, bindparam, select, text, update

from meshline_dagster.core.errors import LeaseLostError
from meshline_dagster.store.tables import lease

__all__ = ["Lease", "acquire", "check", "release", "renew"]

_ENSURE = text(
    "INSERT INTO lease (name, holder, token, expires_at) VALUES (:name, NULL, 0, '1970-01-01 00:00:00.000000') "
    "ON CONFLICT DO NOTHING"
)
_NOW_HELD_SQLITE = text("SELECT name, token, holder FROM lease WHERE name IN (SELECT value FROM json_each(:names))")
_NOW_HELD = text(
    "SELECT name, token, holder FROM lease "
    "WHERE name IN (SELECT value FROM jsonb_array_elements_text(CAST(:names AS jsonb)) AS given(value)) FOR SHARE"
)
_NAMED = lease.c.name == bindparam("of")
_OURS = _NAMED & (lease.c.token == bindparam("under")) & (lease.c.holder == bindparam("by"))
_HELD = select(lease).where(_NAMED).with_for_update()
_TAKE = (
    update(lease)
    .where(_NAMED)
    .values(holder=bindparam("holder"), token=bindparam("token"), expires_at=bindparam("expires_at"))
)
_RENEW = update(lease).where(_OURS).values(expires_at=bindparam("until"))
_RELEASE = update(lease).where(_OURS).values(holder=None, expires_at=bindparam("until"))


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease: ``token`` fences writes, ``expires_at`` (UTC) bounds what may be started under it."""

    name: str
    holder: str
    token: int
    expires_at: datetime


def acquire(connection: Connection, name: str, holder: str, *, now: datetime, ttl: timedelta) -> Lease | None:
    """Take the lease if it is free or has run out; None while somebody else holds it."""
    connection.execute(_ENSURE, {"name": name})
    row = connection.execute(_HELD, {"of": name}).one()
    until = now + ttl
    if row.holder is not None and row.expires_at > now:
        return None
    token = row.token + 1
    connection.execute(_TAKE, {"of": name, "holder": holder, "token": token, "expires_at": until})
    return Lease(name, holder, token, until)


def renew(connection: Connection, held: Lease, *, now: datetime, ttl: timedelta) -> Lease:
    """Prolong a lease that is still ours.

    Raises:
        LeaseLostError: somebody took it over.
    """
    until = now + ttl
    changed = connection.execute(_RENEW, {**_still(held), "until": until})
    if changed.rowcount != 1:
        raise LeaseLostError(lease=held.name, token=held.token)
    return Lease(held.name, held.holder, held.token, until)


def check(connection: Connection, held: Sequence[Lease]) -> None:
    """Prove inside the caller's transaction that none of these leases has been taken over.

    Raises:
        LeaseLostError: somebody took one over; the transaction must roll back.
    """
    if not held:
        return
    names = {"names": orjson.dumps([one.name for one in held]).decode()}
    query = _NOW_HELD_SQLITE if connection.dialect.name == "sqlite" else _NOW_HELD
    now_held = set(connection.execute(query, names).tuples())
    for one in held:
        if (one.name, one.token, one.holder) not in now_held:
            raise LeaseLostError(lease=one.name, token=one.token)


def release(connection: Connection, held: Lease, *, now: datetime) -> None:
    """Give the lease back early; a lease that was lost already stays with its new holder."""
    connection.execute(_RELEASE, {**_still(held), "until": now})


def _still(held: Lease) -> dict[str, object]:
    return {"of": held.name, "under": held.token, "by": held.holder}
