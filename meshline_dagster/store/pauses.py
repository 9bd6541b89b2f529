"""Pauses: while one is in force, the writer posts nothing to its destination."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from meshline_dagster.store import audit
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.tables import pause as pauses

__all__ = ["ALL", "Pause", "pause", "pause_of", "pauses_in_force", "resume"]

ALL = "all"
_IN_FORCE = (
    select(pauses.c.scope, pauses.c.actor, pauses.c.reason, pauses.c.created_at)
    .where(pauses.c.resumed_at.is_(None))
    .order_by(pauses.c.id)
)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause in force."""

    scope: str
    actor: str
    reason: str
    created_at: datetime


def pause(connection: Connection, scope: str, *, actor: str, reason: str, now: datetime) -> None:
    """Pause a destination, or ``all``. Pausing twice keeps the first."""
    if _of(connection, [scope]):
        return
    (number,) = next_values(connection, "pause")
    connection.execute(
        insert(pauses).values(id=number, scope=scope, actor=actor, reason=reason, created_at=now, resumed_at=None)
    )
    audit.append(connection, [audit.Entry(actor, "posting.paused", f"pause:{scope}", {"reason": reason})], at=now)


def resume(connection: Connection, scope: str, *, actor: str, now: datetime) -> bool:
    """End a pause. False when none was in force."""
    ended = connection.execute(
        update(pauses).where(pauses.c.scope == scope, pauses.c.resumed_at.is_(None)).values(resumed_at=now)
    )
    if ended.rowcount:
        audit.append(connection, [audit.Entry(actor, "posting.resumed", f"pause:{scope}", {})], at=now)
    return bool(ended.rowcount)


def pause_of(connection: Connection, destination: str) -> Pause | None:
    """The pause that stops a destination now; None when it may post."""
    found = _of(connection, [destination, ALL])
    return found[0] if found else None


def pauses_in_force(connection: Connection) -> list[Pause]:
    """Every pause that nobody has ended, oldest first."""
    return [Pause(*row) for row in connection.execute(_IN_FORCE)]


def _of(connection: Connection, scopes: list[str]) -> list[Pause]:
    return [one for one in pauses_in_force(connection) if one.scope in scopes]
