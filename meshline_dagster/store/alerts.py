"""Which open exceptions have been told to which alert channel, so that each channel hears of each of them once; likewise recoveries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select, update

from meshline_dagster.store.exceptions import CLOSED, ExceptionItem
from meshline_dagster.store.tables import alert_sent, exception_item

__all__ = ["record_alert", "record_recovery", "untold", "untold_recoveries"]

_COLUMNS = [exception_item.c[name] for name in ExceptionItem.__dataclass_fields__]


def untold(connection: Connection, origin: str, channel: str, *, code: str | None = None) -> Sequence[ExceptionItem]:
    """The open exceptions of one origin, or of one code of it, that a channel has not heard of since they were opened, oldest first."""
    told = (
        select(alert_sent.c.exception_id)
        .where(
            alert_sent.c.exception_id == exception_item.c.id,
            alert_sent.c.channel == channel,
            alert_sent.c.sent_at >= exception_item.c.opened_at,
        )
        .exists()
    )
    query = select(*_COLUMNS).where(
        exception_item.c.origin == origin, exception_item.c.status.not_in([CLOSED, "muted"]), ~told
    )
    if code is not None:
        query = query.where(exception_item.c.code == code)
    return [ExceptionItem(*row) for row in connection.execute(query.order_by(exception_item.c.id))]


def untold_recoveries(connection: Connection, origin: str, channel: str, *, code: str) -> Sequence[ExceptionItem]:
    """The resolved exceptions of a code that a channel was told of, without having heard since that they are over."""
    told = alert_sent.c
    query = (
        select(*_COLUMNS)
        .join(alert_sent, told.exception_id == exception_item.c.id)
        .where(
            exception_item.c.origin == origin,
            exception_item.c.code == code,
            exception_item.c.status == CLOSED,
            told.channel == channel,
            told.sent_at >= exception_item.c.opened_at,
            or_(told.recovered_at.is_(None), told.recovered_at < told.sent_at),
        )
    )
    return [ExceptionItem(*row) for row in connection.execute(query.order_by(exception_item.c.id))]


def record_recovery(connection: Connection, exception_id: int, channel: str, *, now: datetime) -> None:
    """Remember that a channel took the notice that it is over."""
    told = (alert_sent.c.exception_id == exception_id) & (alert_sent.c.channel == channel)
    connection.execute(update(alert_sent).where(told).values(recovered_at=now))


def record_alert(connection: Connection, exception_id: int, channel: str, *, now: datetime) -> None:
    """Remember that a channel took the alert of an exception."""
    connection.execute(
        delete(alert_sent).where(alert_sent.c.exception_id == exception_id, alert_sent.c.channel == channel)
    )
    connection.execute(insert(alert_sent).values(exception_id=exception_id, channel=channel, sent_at=now))
