"""Many rows at once: one round trip on PostgreSQL, where they travel as one JSON parameter that the server unpacks; one prepared
statement on SQLite, which has no way to go and would only parse what we packed.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Date,
    Integer,
    String,
    Table,
    TextClause,
    column,
    text,
)
from sqlalchemy.types import TypeEngine

from meshline_dagster.store.types import Amount, UtcDateTime

__all__ = ["Update", "among", "among_given", "each_of", "insert_rows", "instant_text", "listed", "update_rows"]

Columns = Mapping[str, TypeEngine[Any]]


class Update(NamedTuple):
    """A change of one row for each row of values.

    Attributes:
        setting, where: SQL over the table's columns, and over the row's values as ``given.NAME``.
        columns: the names and types of a row's values, in their order.
    """

    table: Table
    setting: str
    where: str
    columns: Columns


_GIVEN = re.compile(r"\bgiven\.(\w+)")


def insert_rows(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, in order; columns that are not named get their default."""
    columns = {name: table.c[name].type for name in names}
    values, listing = _plain(columns, rows), ", ".join(names)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.name} ({listing}) VALUES ({marks})"  # noqa: S608 - names are our columns
        connection.exec_driver_sql(statement, [tuple(row) for row in values])
    else:
        statement = f"INSERT INTO {table.name} ({listing}) SELECT {listing} FROM {_listed(columns)} AS fresh"  # noqa: S608 - as above
        connection.execute(text(statement), {"rows": orjson.dumps(values).decode()})


def update_rows(connection: Connection, update: Update, rows: Iterable[Sequence[Any]]) -> int:
    """Carry out ``update`` for each of ``rows``. Returns how many rows it changed."""
    table, values = update.table.name, _plain(update.columns, rows)
    if connection.dialect.name == "sqlite":
        one = f"UPDATE {table} SET {update.setting} WHERE {update.where}"  # noqa: S608 - as above
        statement, order = _positional(one, tuple(update.columns))
        return connection.exec_driver_sql(statement, [order(row) for row in values]).rowcount
    statement = f"UPDATE {table} SET {update.setting} FROM {_listed(update.columns)} AS given WHERE {update.where}"  # noqa: S608 - as above
    return connection.execute(text(statement), {"rows": orjson.dumps(values).decode()}).rowcount


def among(connection: Connection, one: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """``one IN (values)`` for any number of values, bound as one parameter."""
    return one.in_(_unpacked(connection.dialect.name, one).bindparams(among=listed(values)).columns(column("value")))


def among_given(dialect: str, one: ColumnElement[Any]) -> ColumnElement[bool]:
    """The same for a statement that is built once: :func:`listed` values are its parameter ``among``."""
    return one.in_(_unpacked(dialect, one).columns(column("value")))


def each_of(dialect: str, name: str) -> str:
    """SQL for a FROM clause: the texts of a column that holds a JSON array, as rows ``each_one(value)``; no row where it is NULL.

    Args:
        name: the column, with its table.
    """
    if dialect == "sqlite":
        return f"json_each({name}) AS each_one"
    return f"jsonb_array_elements_text(CAST({name} AS jsonb)) AS each_one(value)"


def listed(values: Iterable[Any]) -> str:
    """Values as one parameter."""
    return orjson.dumps(list(values)).decode()


def _unpacked(dialect: str, one: ColumnElement[Any]) -> TextClause:
    if dialect == "sqlite":
        return text("SELECT value FROM json_each(:among)")
    given = "jsonb_array_elements_text(CAST(:among AS jsonb)) AS given(value)"
    return text(f"SELECT CAST(value AS {_postgres(one.type)}) FROM {given}")  # noqa: S608 - a type's fixed name


@lru_cache(maxsize=256)
def instant_text(value: datetime) -> str:
    """A UTC instant as the databases store and compare it.

    Raises:
        ValueError: it has no time zone.
    """
    if value.tzinfo is None:
        raise ValueError("a naive datetime cannot enter the ops store: give it a time zone")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _plain(columns: Columns, rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """The rows in what both JSON and SQLite know: texts and numbers."""
    converters = [(place, _converter(kind)) for place, kind in enumerate(columns.values())]
    needed = [(place, convert) for place, convert in converters if convert is not None]
    plain = []
    for row in rows:
        values = list(row)
        for place, convert in needed:
            if values[place] is not None:
                values[place] = convert(values[place])
        plain.append(values)
    return plain


@lru_cache(maxsize=64)
def _positional(statement: str, names: tuple[str, ...]) -> tuple[str, Callable[[Sequence[Any]], Any]]:
    """The statement with ``?`` for each ``given.NAME``, and what puts a row's values in the order of those marks."""
    order = itemgetter(*(names.index(name) for name in _GIVEN.findall(statement)))
    return _GIVEN.sub("?", statement), order


def _listed(columns: Columns) -> str:
    """A sub-select with one typed column for each name, over the JSON array of arrays bound as ``:rows``, in its order."""
    fields = ", ".join(
        f"CAST(value ->> {place} AS {_postgres(kind)}) AS {name}" for place, (name, kind) in enumerate(columns.items())
    )
    return f"(SELECT {fields} FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS list(value))"  # noqa: S608 - as above


def _amount(value: Decimal) -> int | None:
    return Amount().process_bind_param(value, _NO_DIALECT)


_NO_DIALECT: Any = None


def _converter(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, UtcDateTime):
        return instant_text
    if isinstance(kind, Amount):
        return _amount
    if isinstance(kind, Date):
        return date.isoformat
    return None


def _postgres(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, UtcDateTime):
        return "timestamp"
    if isinstance(kind, Date):
        return "date"
    if isinstance(kind, Boolean):
        return "boolean"
    if isinstance(kind, String):
        return "text"
    if isinstance(kind, (Amount, BigInteger, Integer)):
        return "bigint"
    raise TypeError(f"no way to send a {kind!r} as JSON: add it to store/bulk.py")
