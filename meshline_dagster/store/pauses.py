"""Pauses in the ops store, and their condition over ledger rows: the same rule as ``Scope.holds``, for the database."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, false, func, insert, or_, select, update

from meshline_dagster.core.documents import MASTER_KINDS
from meshline_dagster.core.pauses import Pause, Scope
from meshline_dagster.store import audit
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.tables import pause as pauses
from meshline_dagster.store.tables import posting

__all__ = ["held", "pause", "pauses_in_force", "resume"]


def pause(connection: Connection, scope: Scope, *, actor: str, reason: str, now: datetime) -> None:
    """Pause a scope. Pausing twice keeps the first."""
    if connection.execute(select(pauses.c.id).where(_is(scope)).limit(1)).first():
        return
    (number,) = next_values(connection, "pause")
    values = {**asdict(scope), "actor": actor, "reason": reason, "created_at": now, "resumed_at": None}
    connection.execute(insert(pauses).values(id=number, **values))
    audit.append(connection, [audit.Entry(actor, "posting.paused", f"pause:{scope}", {"reason": reason})], at=now)


def resume(connection: Connection, scope: Scope, *, actor: str, now: datetime) -> bool:
    """End the pause of exactly this scope. False when none was in force."""
    ended = connection.execute(update(pauses).where(_is(scope)).values(resumed_at=now))
    if ended.rowcount:
        audit.append(connection, [audit.Entry(actor, "posting.resumed", f"pause:{scope}", {})], at=now)
    return bool(ended.rowcount)


def pauses_in_force(connection: Connection, destination: str | None = None) -> list[Pause]:
    """Every pause that is in force, oldest first; of one destination, where one is given."""
    if destination is None:
        found = connection.execute(_IN_FORCE)
    else:
        found = connection.execute(_IN_FORCE_FOR, {"to": destination})
    return [Pause(Scope(*row[:3]), *row[3:]) for row in found]


_MASTERS = [kind.value for kind in MASTER_KINDS]
_NAMES = ("destination", "selling_entity", "customer", "actor", "reason", "created_at")
_IN_FORCE = select(*[pauses.c[name] for name in _NAMES]).where(pauses.c.resumed_at.is_(None)).order_by(pauses.c.id)
_IN_FORCE_FOR = _IN_FORCE.where(or_(pauses.c.destination.is_(None), pauses.c.destination == bindparam("to")))


def held(scopes: Iterable[Scope]) -> ColumnElement[bool]:
    """The condition over ``posting`` that one of these scopes holds a row. It is never NULL."""
    return or_(false(), *[_holds(scope) for scope in scopes])


def _holds(scope: Scope) -> ColumnElement[bool]:
    master = posting.c.document_kind.in_(_MASTERS)
    parts: list[ColumnElement[bool]] = []
    if scope.destination is not None:
        parts.append(posting.c.destination == scope.destination)
    if scope.selling_entity is not None:
        parts.append(~master & (func.coalesce(posting.c.selling_entity, scope.selling_entity) == scope.selling_entity))
    if scope.customer is not None:
        key, tail = func.coalesce(posting.c.customer_key, ""), f"/{scope.customer}"
        ends = func.substr(key, func.length(key) - len(tail) + 1) == tail  # LIKE would overlook case on SQLite
        parts.append(or_(key == scope.customer, ends, and_(posting.c.customer_key.is_(None), ~master)))
    return and_(*parts) if parts else posting.c.id.is_not(None)


def _is(scope: Scope) -> ColumnElement[bool]:
    same = [pauses.c[name].is_not_distinct_from(value) for name, value in asdict(scope).items()]
    return and_(*same, pauses.c.resumed_at.is_(None))
