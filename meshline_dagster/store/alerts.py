"""Which open exceptions have been told to which alert channel, so that each channel hears of each of them once."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from meshline_dagster.store.exceptions import CLOSED, ExceptionItem
from meshline_dagster.store.tables import alert_sent, exception_item

__all__ = ["record_alert", "untold"]

_COLUMNS = [exception_item.c[name] for name in ExceptionItem.__dataclass_fields__]


def untold(connection: Connection, origin: str, channel: str) -> Sequence[ExceptionItem]:
    """The open exceptions of one origin that a channel has not heard of since they were opened, oldest first."""
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
    return [ExceptionItem(*row) for row in connection.execute(query.order_by(exception_item.c.id))]


def record_alert(connection: Connection, exception_id: int, channel: str, *, now: datetime) -> None:
    """Remember that a channel took the alert of an exception."""
    connection.execute(
        delete(alert_sent).where(alert_sent.c.exception_id == exception_id, alert_sent.c.channel == channel)
    )
    connection.execute(insert(alert_sent).values(exception_id=exception_id, channel=channel, sent_at=now))
