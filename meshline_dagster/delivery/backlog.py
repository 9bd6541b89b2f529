"""A backlog above the limits waits for release, at the writer: an exception for finance says how many postings and how much money."""

from datetime import datetime

from sqlalchemy import Connection

from meshline_dagster.core.backlog import Backlog, exceeds
from meshline_dagster.core.money import to_text
from meshline_dagster.delivery.options import DeliveryOptions
from meshline_dagster.store.backlogs import backlog_key, backlog_of
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import Finding, raise_exceptions, resolve

__all__ = ["announce_backlog", "waiting_backlog"]


def waiting_backlog(connection: Connection, options: DeliveryOptions) -> Backlog | None:
    """The backlog that waits for release; None when what is open may be sent. Without limits it costs nothing."""
    limits = options.backlog
    if not limits.is_set:
        return None
    found = backlog_of(connection, options.destination, amounts=bool(limits.amounts))
    if not exceeds(found, limits):
        return None
    return found if found.amounts else backlog_of(connection, options.destination)


def announce_backlog(store: Store, options: DeliveryOptions, waiting: Backlog | None, *, now: datetime) -> None:
    """Open the exception of a backlog, keep its figures current, or close it when the backlog is below the limits by itself."""
    with store.write() as connection:
        if waiting is None:
            resolve(connection, [backlog_key(options.destination)], resolution="below the limits again", now=now)
        else:
            raise_exceptions(connection, [_finding(options.destination, waiting)], now=now)


def _finding(destination: str, waiting: Backlog) -> Finding:
    money = ", ".join(f"{to_text(amount)} {currency}" for currency, amount in sorted(waiting.amounts.items()))
    single = next(iter(waiting.amounts.items())) if len(waiting.amounts) == 1 else None
    return Finding(
        trace_key=backlog_key(destination),
        origin="delivery",
        code="backlog_waits",
        title=f"a backlog for {destination} waits for release",
        detail=f"{waiting.count} postings worth {money or 'nothing'} are open",
        fix=f"Look why so much came at once; if it is right, let it go: `meshline release {destination} --reason ...`.",
        owner="finance",
        priority="P2",
        amount=single[1] if single else None,
        currency=single[0] if single else None,
    )
