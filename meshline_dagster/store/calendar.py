"""The close calendar as the writer last saw it in the settings, so that everybody can see it and the audit log knows its changes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from meshline_dagster.core.pauses import Freeze
from meshline_dagster.store import audit
from meshline_dagster.store.bulk import instant_text
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.engine import Store
from meshline_dagster.store.tables import freeze

__all__ = ["calendars", "freezes", "remember_calendar"]


def calendars(connection: Connection) -> dict[str, list[Freeze]]:
    """The calendar of each destination that has one."""
    names = connection.execute(select(freeze.c.destination).distinct().order_by(freeze.c.destination)).scalars().all()
    return {name: freezes(connection, name) for name in names}


def freezes(connection: Connection, destination: str) -> list[Freeze]:
    """The calendar of a destination, by start."""
    names = ("starts_at", "ends_at", "selling_entity", "reason")
    query = (
        select(*[freeze.c[name] for name in names])
        .where(freeze.c.destination == destination)
        .order_by(freeze.c.starts_at, freeze.c.id)
    )
    return [Freeze(*row) for row in connection.execute(query)]


def remember_calendar(store: Store, destination: str, calendar: Sequence[Freeze], *, actor: str, now: datetime) -> None:
    """Replace what is remembered by what the settings say now. An unchanged calendar costs one read."""
    wanted = sorted(calendar, key=lambda one: one.start)
    with store.read() as connection:
        if freezes(connection, destination) == wanted:
            return
    with store.write() as connection:
        numbers = next_values(connection, "freeze", max(len(wanted), 1))
        if freezes(connection, destination) == wanted:  # another run was faster
            return
        connection.execute(delete(freeze).where(freeze.c.destination == destination))
        rows = [
            {
                "id": number,
                "destination": destination,
                "starts_at": one.start,
                "ends_at": one.end,
                "selling_entity": one.selling_entity,
                "reason": one.reason,
            }
            for number, one in zip(numbers, wanted, strict=False)
        ]
        if rows:
            connection.execute(insert(freeze), rows)
        words = "; ".join(
            f"{instant_text(one.start)} to {instant_text(one.end)} {one.selling_entity or 'all'} {one.reason}"
            for one in wanted
        )
        entry = audit.Entry(actor, "posting.calendar", f"destination:{destination}", {"freezes": words or "none"})
        audit.append(connection, [entry], at=now)
