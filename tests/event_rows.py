"""Events in JSON notation as rows of a table of events."""

import json
from collections.abc import Mapping
from typing import Any

import duckdb

from meshline_dagster.core.events.schema import Schema, types_of

__all__ = ["insert_event"]


def insert_event(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, str],
    event: Mapping[str, Any],
    schema: Schema,
) -> None:
    """Insert one event; what it does not have is null.

    Args:
        columns: name -> type, all of the table's.
        schema: of an event of that type: which members the records of a list have.
    """
    row = {name: event.get(name) for name in columns}
    for name, field in schema["properties"].items():
        if types_of(field) == ("array",) and row[name] is not None:
            members = field["items"]["properties"]
            row[name] = json.dumps([dict.fromkeys(members) | one for one in row[name]])
    casts = [f"CAST({'CAST(? AS JSON)' if kind.endswith('[]') else '?'} AS {kind})" for kind in columns.values()]
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(f"INSERT INTO {table} ({names}) SELECT {', '.join(casts)}", list(row.values()))
