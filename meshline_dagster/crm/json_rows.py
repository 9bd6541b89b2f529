"""Decode JSON records into a feed's Arrow table, fast and exactly.

DuckDB parses with an explicit type for each field: inferred types fail on columns that are null at first, and turn money
into floats. Its decimals are read from the digits of the text. A batch that does not decode as a whole is decoded again
value by value, to treat an absent key as null or to say which record holds what kind of nonsense.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from threading import Lock
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.columns import DECIMAL_DIGITS, DECIMAL_SCALE, convert, table_schema
from meshline_dagster.crm.protocol import FieldSpec, FieldType
from meshline_dagster.landing.rows import in_order

__all__ = ["JsonRows", "RowKeys"]

_DECIMAL = f"DECIMAL({DECIMAL_DIGITS},{DECIMAL_SCALE})"
_JSON_TYPES = {
    FieldType.STRING: "VARCHAR",
    FieldType.BOOLEAN: "BOOLEAN",
    FieldType.INTEGER: _DECIMAL,  # checked for a fraction before it is cast
    FieldType.DECIMAL: _DECIMAL,
    FieldType.DATE: "DATE",
    FieldType.TIMESTAMP: "TIMESTAMPTZ",
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # escaped halves of a character; no text file can hold one


@dataclass(frozen=True, slots=True)
class RowKeys:
    """Which fields of a record are its id, its stamp and, where there is one, its deletion flag."""

    id: str
    stamp: str
    deleted: str | None = None


class JsonRows:
    """A decoder for one object's records. Safe to use from several threads.

    Args:
        fields: the columns, in order; those whose ``source_type`` is ``absent`` become null columns.
        keys: where id, stamp and deletion flag are found; id and stamp must be among the fields.
        name: whose records these are, for error messages.
        loose: names of text columns whose values need not be texts (an address, a field of any type). They are read by Python,
            since DuckDB would write the numbers inside them as floats.
    """

    def __init__(self, fields: Sequence[FieldSpec], keys: RowKeys, name: str, loose: Sequence[str] = ()) -> None:
        self._fields = tuple(fields)
        self._keys = keys
        self._name = name
        self._schema = table_schema(fields)
        self._loose = tuple(loose)
        self._lock = Lock()
        self._source = _Source()
        self._cursor = _engine().cursor()
        self._cursor.register("rows", self._source)
        present = [spec for spec in fields if spec.source_type != "absent" and spec.name not in self._loose]
        self._cursor.execute(f"PREPARE decode AS {_statement(present)}")

    def decode(self, payloads: pa.Array | pa.ChunkedArray) -> pa.Table:
        """One table of all records, in ``(stamp, id)`` order.

        Args:
            payloads: each record's JSON object as text; it is kept as it is in ``_payload``.

        Raises:
            SourceError: a record has no id or stamp, or a value does not fit its field's type.
        """
        try:
            with self._lock:
                self._source.table = pa.table({"payload": payloads})
                decoded = self._cursor.sql("EXECUTE decode").to_arrow_table()
        except (duckdb.Error, UnicodeDecodeError):  # the latter when its message cuts a character of ours in two
            return self._decode_carefully(payloads)
        if decoded[self._keys.id].null_count or decoded[self._keys.stamp].null_count:
            return self._decode_carefully(payloads)
        return in_order(self._assembled(decoded, payloads))

    def _assembled(self, decoded: pa.Table, payloads: pa.Array | pa.ChunkedArray) -> pa.Table:
        """The feed's table: DuckDB gives the columns that were decoded, in the order of the payloads."""
        columns = {name: decoded[name] for name in decoded.column_names}
        columns |= {"_id": columns[self._keys.id], "_stamp": columns[self._keys.stamp], "_payload": payloads}
        gone = columns[self._keys.deleted] if self._keys.deleted else pa.nulls(len(payloads), pa.bool_())
        columns["_deleted"] = pc.fill_null(gone, fill_value=False)
        if self._loose:
            records = [_load(text, self._name) for text in payloads.to_pylist()]
            columns |= {name: pa.array([_text(one.get(name)) for one in records], pa.string()) for name in self._loose}
        return pa.table(
            [
                columns[field.name].cast(field.type) if field.name in columns else pa.nulls(len(payloads), field.type)
                for field in self._schema
            ],
            schema=self._schema,
        )

    def _decode_carefully(self, payloads: pa.Array | pa.ChunkedArray) -> pa.Table:
        try:
            texts = payloads.to_pylist()
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._name}: a record is no UTF-8: {error}") from error
        rows = sorted((self._row(text) for text in texts), key=lambda row: (row["_stamp"], row["_id"]))
        return pa.Table.from_pylist(rows, schema=self._schema)

    def _row(self, text: str) -> dict[str, Any]:
        record = _load(text, self._name)
        row: dict[str, Any] = {}
        for spec in self._fields:
            try:
                row[spec.name] = _value(record.get(spec.name), spec.type)
            except ValueError as error:
                raise SourceError(
                    f"{self._name}: record {record.get(self._keys.id)}, field {spec.name}: {error}; "
                    "correct the record at the source, or the type declared for the field"
                ) from error
        row |= {"_id": row[self._keys.id], "_stamp": row[self._keys.stamp], "_payload": text}
        row["_deleted"] = bool(row[self._keys.deleted]) if self._keys.deleted else False
        if row["_id"] is None or row["_stamp"] is None:
            raise SourceError(f"{self._name}: a record without {self._keys.id} or {self._keys.stamp}: {text[:200]}")
        return row


class _Source:
    """What the prepared statement reads: a table that changes between its executions."""

    def __init__(self) -> None:
        self.table = pa.table({"payload": pa.array([], pa.string())})

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One engine for the process: a new one takes 30 ms. Each use takes a cursor of its own."""
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    return engine


def _load(text: str, name: str) -> dict[str, Any]:
    try:
        record = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise SourceError(f"{name}: a record is no JSON: {text[:200]}") from error
    if not isinstance(record, dict):
        raise SourceError(f"{name}: a record is no JSON object: {text[:200]}")
    return record


def _value(value: Any, kind: FieldType) -> Any:
    if kind is FieldType.STRING:
        return _text(value)
    return convert(_compact(value) if isinstance(value, (dict, list)) else value, kind)


def _text(value: Any) -> str | None:
    """A text as it is, anything else (an address) as compact JSON, with the digits of its numbers."""
    if value is None:
        return None
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    return _compact(value)


def _compact(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_compact(key)}:{_compact(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return (
        str(value)
        if isinstance(value, Decimal)
        else _LONE_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False))
    )


def _statement(present: Sequence[FieldSpec]) -> str:
    """The columns of the fields, in the order of the rows."""
    structure = json.dumps({spec.name: _JSON_TYPES[spec.type] for spec in present}).replace("'", "''")
    return (
        f"SELECT {', '.join(map(_column, present))} "  # noqa: S608 - identifiers are quoted, values are the rows'
        f"FROM (SELECT from_json_strict(payload, '{structure}') AS r FROM rows)"
    )


def _column(spec: FieldSpec) -> str:
    name = _quoted(spec.name)
    if spec.type is FieldType.INTEGER:
        return f"CASE WHEN r.{name} <> trunc(r.{name}) THEN error('fraction') ELSE r.{name}::BIGINT END AS {name}"
    return f"r.{name} AS {name}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
