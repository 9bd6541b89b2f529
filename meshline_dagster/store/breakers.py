"""The circuit breakers in the ops store: one state for all runs of a destination."""

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from meshline_dagster.core.breaker import CLOSED_BREAKER, Breaker, BreakerState
from meshline_dagster.store.tables import breaker as breakers

__all__ = ["breaker_of", "held_breaker", "save_breaker"]

_NAMES = tuple(one.name for one in fields(Breaker))
_STATE = _NAMES.index("state")
_BREAKER = select(*[breakers.c[name] for name in _NAMES]).where(breakers.c.destination == bindparam("to"))
_HELD = _BREAKER.with_for_update()


def breaker_of(connection: Connection, destination: str) -> Breaker:
    """As it stands; closed for a destination that has never failed."""
    return _from_row(connection.execute(_BREAKER, {"to": destination}).first())


def held_breaker(connection: Connection, destination: str) -> Breaker:
    """The same, and nobody else changes it before this transaction ends."""
    return _from_row(connection.execute(_HELD, {"to": destination}).first())


def save_breaker(connection: Connection, destination: str, breaker: Breaker) -> None:
    """Write it. The caller holds it: two runs that both meet a destination's very first failure may count it once."""
    values = {name: getattr(breaker, name) for name in _NAMES} | {"state": breaker.state.value}
    changed = connection.execute(update(breakers).where(breakers.c.destination == destination).values(**values))
    if not changed.rowcount:
        connection.execute(insert(breakers).values(destination=destination, **values))


def _from_row(row: Any) -> Breaker:
    if row is None:
        return CLOSED_BREAKER
    values = list(row)
    values[_STATE] = BreakerState(values[_STATE])
    return Breaker(*values)
