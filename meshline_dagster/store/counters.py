"""Numbers that count up in commit order.

A database sequence hands numbers out before the commit, so a reader that remembers "I have seen everything up to 7" can
miss a 6 that commits later. Here the counter's row stays locked until the transaction ends.
"""

from sqlalchemy import Connection, bindparam, select, text

from meshline_dagster.store.tables import counter

__all__ = ["current_value", "next_values"]

_RAISE = text(
    "INSERT INTO counter (name, value) VALUES (:name, :count) "
    "ON CONFLICT (name) DO UPDATE SET value = counter.value + :count RETURNING value"
)
_VALUE = select(counter.c.value).where(counter.c.name == bindparam("counted"))
_HELD = _VALUE.with_for_update(read=True)


def next_values(connection: Connection, name: str, count: int = 1) -> range:
    """Take ``count`` numbers; they are ours once the transaction commits."""
    last = connection.execute(_RAISE, {"name": name, "count": count}).scalar_one()
    return range(last - count + 1, last + 1)


def current_value(connection: Connection, name: str, *, hold: bool = False) -> int:
    """The last number handed out, 0 before the first.

    Args:
        hold: nobody takes the next one before the caller's transaction ends.
    """
    return connection.execute(_HELD if hold else _VALUE, {"counted": name}).scalar_one_or_none() or 0
