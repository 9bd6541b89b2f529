"""Numbers that count up in commit order.

A database sequence hands numbers out before the commit, so a reader that remembers "I have seen everything up to 7" can
miss a 6 that commits later. Here the counter's row stays locked until the transaction ends.
"""

from sqlalchemy import Connection, insert, select, update

from meshline_dagster.store.tables import counter

__all__ = ["current_value", "next_values"]


def next_values(connection: Connection, name: str, count: int = 1) -> range:
    """Take ``count`` numbers; they are ours once the transaction commits."""
    raised = connection.execute(update(counter).where(counter.c.name == name).values(value=counter.c.value + count))
    if raised.rowcount == 0:
        connection.execute(insert(counter).values(name=name, value=count))
        return range(1, count + 1)
    last = connection.execute(select(counter.c.value).where(counter.c.name == name)).scalar_one()
    return range(last - count + 1, last + 1)


def current_value(connection: Connection, name: str) -> int:
    """The last number handed out, 0 before the first."""
    return connection.execute(select(counter.c.value).where(counter.c.name == name)).scalar_one_or_none() or 0
