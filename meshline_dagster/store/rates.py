"""What all runs of a destination share of its rate limit: the bucket, and until when it asked to be left alone."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text, update

from meshline_dagster.core.bucket import Taken, take
from meshline_dagster.store.tables import rate

__all__ = ["delay_all", "not_before", "take_tokens"]

_ENSURE = text("INSERT INTO rate (destination) VALUES (:destination) ON CONFLICT DO NOTHING")
_NOT_BEFORE = select(rate.c.not_before).where(rate.c.destination == bindparam("to"))


def take_tokens(
    connection: Connection, destination: str, *, wanted: int, per_second: float, burst: int, now: datetime
) -> Taken:
    """Take up to so many tokens for requests that start soon."""
    connection.execute(_ENSURE, {"destination": destination})
    here = rate.c.destination == destination
    paid_at = connection.execute(select(rate.c.paid_at).where(here).with_for_update()).scalar_one()
    taken = take(paid_at, wanted=wanted, rate=per_second, burst=burst, now=now)
    if taken.tokens:
        connection.execute(update(rate).where(here).values(paid_at=taken.paid_at))
    return taken


def delay_all(connection: Connection, destination: str, until: datetime) -> None:
    """Nobody asks the destination for anything before then; an earlier instant than the one known changes nothing."""
    connection.execute(_ENSURE, {"destination": destination})
    later = rate.c.not_before.is_(None) | (rate.c.not_before < until)
    connection.execute(update(rate).where(rate.c.destination == destination, later).values(not_before=until))


def not_before(connection: Connection, destination: str) -> datetime | None:
    """Until when the destination is to be left alone; may be past."""
    return connection.execute(_NOT_BEFORE, {"to": destination}).scalar_one_or_none()
