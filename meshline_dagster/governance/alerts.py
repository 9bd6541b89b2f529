"""Alerts about exceptions: each channel is told of each open exception once, and asked again until it has taken it.

What was told is remembered after it was taken, so a crash in between tells it once more rather than never.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from meshline_dagster.governance.notify import Channel
from meshline_dagster.store.alerts import record_alert, record_recovery, untold, untold_recoveries
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import ExceptionItem

__all__ = ["AlertReport", "send_alerts"]

_LOG = logging.getLogger("meshline.alerts")


@dataclass(frozen=True, slots=True)
class AlertReport:
    """How many alerts were taken, and which channels take none: channel -> exceptions that it has not heard of."""

    sent: int
    waiting: dict[str, int]


_Record = Callable[..., None]


def send_alerts(
    store: Store, origin: str, channels: Sequence[Channel], *, now: datetime, code: str | None = None
) -> AlertReport:
    """Tell every channel what it has not heard of. One that takes nothing is left alone until the next call, so that it delays nobody.

    Args:
        origin: whose exceptions are told, e.g. ``check``.
        code: only exceptions of this code; and when they are over, who was told of them is told that, once.
    """
    sent, waiting = 0, {}
    for channel in channels:
        with store.read() as connection:
            news: list[tuple[ExceptionItem, str, str, _Record]] = [
                (item, item.title, _body(item), record_alert)
                for item in untold(connection, origin, channel.name, code=code)
            ]
            if code is not None:
                over = untold_recoveries(connection, origin, channel.name, code=code)
                news += [(item, f"Over: {item.title}", item.resolution or "", record_recovery) for item in over]
        for place, (item, title, body, record) in enumerate(news):
            if not channel.send(title, body):
                waiting[channel.name] = len(news) - place
                _LOG.error("the alert channel %s took no alert about %s", channel.name, item.trace_key)
                break
            with store.write() as connection:
                record(connection, item.id, channel.name, now=now)
            sent += 1
    return AlertReport(sent, waiting)


def _body(item: ExceptionItem) -> str:
    due = "" if item.due_at is None else f", due {item.due_at:%Y-%m-%d %H:%M} UTC"
    return f"{item.detail}\n{item.fix}\nException {item.id}, {item.priority}, owner {item.owner}{due}"
