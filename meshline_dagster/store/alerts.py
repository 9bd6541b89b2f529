"""Which open exceptions have been told to which alert channel, so that each channel hears of each of them once; likewise recoveries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select, update

from meshline_dagster.store.bulk import among
from meshline_dagster.store.exceptions import CLOSED, ExceptionItem
from meshline_dagster.store.tables import alert_sent, exception_item

__all__ = ["record_alerts", "record_recovery", "untold", "untold_recoveries"]

_COLUMNS = [exception_item.c[name] for name in ExceptionItem.__dataclass_fields__]


def untold(connection: Connection, channel: str, *, origin: str, priority: str) -> Sequence[ExceptionItem]:
    """The open exceptions of one origin or of one priority that a channel has not heard of since they were opened, oldest first."""
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
        or_(exception_item.c.origin == origin, exception_item.c.priority == priority),
        exception_item.c.status.not_in([CLOSED, "muted"]),
        ~told,
    )
    return [ExceptionItem(*row) for row in connection.execute(query.order_by(exception_item.c.id))]


def untold_recoveries(connection: Connection, channel: str, *, code: str) -> Sequence[ExceptionItem]:
    """The resolved exceptions of a code that a channel was told of, without having heard since that they are over."""
    told = alert_sent.c
    query = (
        select(*_COLUMNS)
        .join(alert_sent, told.exception_id == exception_item.c.id)
        .where(
            exception_item.c.code == code,
            exception_item.c.status == CLOSED,
            told.channel == channel,
            told.sent_at >= exception_item.c.opened_at,
            or_(told.recovered_at.is_(None), told.recovered_at < told.sent_at),
        )
    )
    return [ExceptionItem(*row) for row in connection.execute(query.order_by(exception_item.c.id))]


def record_recovery(connection: Connection, exception_ids: Sequence[int], channel: str, *, now: datetime) -> None:
    """Remember that a channel took the notice that these are over."""
    told = among(connection, alert_sent.c.exception_id, exception_ids) & (alert_sent.c.channel == channel)
    connection.execute(update(alert_sent).where(told).values(recovered_at=now))


def record_alerts(connection: Connection, exception_ids: Sequence[int], channel: str, *, now: datetime) -> None:
    """Remember that a channel took the alert of these exceptions."""
    told = among(connection, alert_sent.c.exception_id, exception_ids) & (alert_sent.c.channel == channel)
    connection.execute(delete(alert_sent).where(told))
    rows = [{"exception_id": one, "channel": channel, "sent_at": now} for one in exception_ids]
    connection.execute(insert(alert_sent), rows)
