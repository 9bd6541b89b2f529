"""Many rows in one statement: they travel as one JSON parameter that the database unpacks.

The driver's ``executemany`` gives the interpreter's lock away and waits for it again at each row, which beside a busy event loop costs
far more than the database does. One statement for a whole group pays that once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, ColumnElement, Connection, Date, Integer, String, Table, column, text
from sqlalchemy.types import TypeEngine

from meshline_dagster.store.types import Amount, UtcDateTime

__all__ = ["among", "insert_rows", "instant_text", "listed", "packed"]

Columns = Mapping[str, TypeEngine[Any]]


def listed(connection: Connection, columns: Columns, parameter: str = "rows") -> str:
    """A sub-select with one typed column for each name, over the JSON array of arrays bound as ``:parameter``. Both databases
    unpack it in its order.
    """
    if connection.dialect.name == "sqlite":
        fields = ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns))
        return f"(SELECT {fields} FROM json_each(:{parameter}))"  # noqa: S608 - names are our columns
    fields = ", ".join(
        f"CAST(value ->> {place} AS {_postgres(kind)}) AS {name}" for place, (name, kind) in enumerate(columns.items())
    )
    return f"(SELECT {fields} FROM jsonb_array_elements(CAST(:{parameter} AS jsonb)) AS given(value))"  # noqa: S608 - names are our columns


def packed(columns: Columns, rows: Iterable[Sequence[Any]]) -> str:
    """The parameter for :func:`listed`: one array for each row, values in the order of ``columns``."""
    converters = [(place, _converter(kind)) for place, kind in enumerate(columns.values())]
    needed = [(place, convert) for place, convert in converters if convert is not None]
    arrays = []
    for row in rows:
        values = list(row)
        for place, convert in needed:
            if values[place] is not None:
                values[place] = convert(values[place])
        arrays.append(values)
    return orjson.dumps(arrays).decode()


def insert_rows(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, in order; columns that are not named get their default."""
    columns = {name: table.c[name].type for name in names}
    listing = ", ".join(names)
    statement = f"INSERT INTO {table.name} ({listing}) SELECT {listing} FROM {listed(connection, columns)} AS fresh"  # noqa: S608 - as above
    connection.execute(text(statement), {"rows": packed(columns, rows)})


def among(connection: Connection, one: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """``one IN (values)`` for any number of values, bound as one parameter."""
    bound = orjson.dumps(list(values)).decode()
    if connection.dialect.name == "sqlite":
        source = "SELECT value FROM json_each(:among)"
    else:
        given = "jsonb_array_elements_text(CAST(:among AS jsonb)) AS given(value)"
        source = f"SELECT CAST(value AS {_postgres(one.type)}) FROM {given}"  # noqa: S608 - a type's fixed name
    return one.in_(text(source).bindparams(among=bound).columns(column("value")))


@lru_cache(maxsize=256)
def instant_text(value: datetime) -> str:
    """A UTC instant as the databases store and compare it.

    Raises:
        ValueError: it has no time zone.
    """
    if value.tzinfo is None:
        raise ValueError("a naive datetime cannot enter the ops store: give it a time zone")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


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
