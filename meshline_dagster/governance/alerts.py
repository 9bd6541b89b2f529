"""Alerts about exceptions: each channel is told of each of them once, and asked again until it has taken it.

Told are failed checks, and everything of priority P1, whoever found it; the rest waits in the queue. What many exceptions of one code
have to say comes as one message. What was told is remembered after it was taken, so a crash in between tells it once more rather than
never.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from meshline_dagster.core.money import to_text
from meshline_dagster.governance.notify import Channel
from meshline_dagster.store.alerts import record_alerts, record_recovery, untold, untold_recoveries
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import ExceptionItem

__all__ = ["AlertReport", "send_alerts"]

_LOG = logging.getLogger("meshline.alerts")
_FEW = 3  # exceptions of one code that are worth a message each


@dataclass(frozen=True, slots=True)
class AlertReport:
    """How many alerts were taken, and which channels take none: channel -> exceptions that it has not heard of."""

    sent: int
    waiting: dict[str, int]


_Record = Callable[..., None]


@dataclass(frozen=True, slots=True)
class _Message:
    """What one channel is told at once, and how it is remembered that it was."""

    about: Sequence[ExceptionItem]
    title: str
    body: str
    record: _Record = record_alerts


def send_alerts(
    store: Store, channels: Sequence[Channel], *, origin: str, ends: str, now: datetime, priority: str = "P1"
) -> AlertReport:
    """Tell every channel what it has not heard of. One that takes nothing is left alone until the next call, so that it delays nobody.

    Args:
        origin: whose exceptions are told whatever their priority: ``check``.
        priority: what is told whoever found it.
        ends: the code whose end is told too, once, to who was told of its beginning.
    """
    sent, waiting = 0, {}
    for channel in channels:
        with store.read() as connection:
            news = list(_alerts(untold(connection, channel.name, origin=origin, priority=priority)))
            over = untold_recoveries(connection, channel.name, code=ends)
        news += [_Message([one], f"Over: {one.title}", one.resolution or "", record_recovery) for one in over]
        for place, message in enumerate(news):
            if not channel.send(message.title, message.body):
                waiting[channel.name] = sum(len(one.about) for one in news[place:])
                _LOG.error("the alert channel %s took no alert about %s", channel.name, message.about[0].trace_key)
                break
            with store.write() as connection:
                message.record(connection, [one.id for one in message.about], channel.name, now=now)
            sent += 1
    return AlertReport(sent, waiting)


def _alerts(items: Sequence[ExceptionItem]) -> Iterator[_Message]:
    """A message for each exception, or one for all of a code where they are more than a few. The codes in order of their first."""
    codes: dict[str, list[ExceptionItem]] = {}
    for item in items:
        codes.setdefault(item.code, []).append(item)
    for code, found in codes.items():
        if len(found) > _FEW:
            yield _Message(found, f"{len(found):,} exceptions: {code.replace('_', ' ')}", _summary(found))
        else:
            yield from (_Message([item], item.title, _body(item)) for item in found)


def _summary(items: Sequence[ExceptionItem]) -> str:
    money = ", ".join(f"{to_text(amount)} {currency}" for currency, amount in sorted(_amounts(items).items()))
    more = f"... and {len(items) - _FEW:,} more: `meshline exceptions list --limit 0`"
    worth = [f"Worth {money}."] if money else []
    return "\n".join([*worth, *(f"{item.title}\n{_body(item)}" for item in items[:_FEW]), more])


def _amounts(items: Sequence[ExceptionItem]) -> dict[str, Decimal]:
    """Money per currency, ``XXX`` (ISO 4217) where it has none; each entity counts once."""
    once = {
        (item.entity_key or item.trace_key, item.currency): item.amount for item in items if item.amount is not None
    }
    sums: dict[str, Decimal] = {}
    for (_, currency), amount in once.items():
        sums[currency or "XXX"] = sums.get(currency or "XXX", Decimal(0)) + amount
    return sums


def _body(item: ExceptionItem) -> str:
    due = "" if item.due_at is None else f", due {item.due_at:%Y-%m-%d %H:%M} UTC"
    return f"{item.detail}\n{item.fix}\nException {item.id}, {item.priority}, owner {item.owner}{due}"
