"""Decode JSON records into a feed's Arrow table, fast and exactly.

DuckDB parses with an explicit type for each field: inferred types fail on columns that are null at first, and turn money
into floats. Its decimals are read from the digits of the text. A batch that does not decode as a whole is decoded again
value by value, to treat an absent key as null or to say which record holds what kind of nonsense.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.columns import DECIMAL_DIGITS, DECIMAL_SCALE, convert, table_schema
from meshline_dagster.crm.protocol import FieldSpec, FieldType

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
_SQL_TYPES = _JSON_TYPES | {FieldType.INTEGER: "BIGINT"}


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
    """

    def __init__(self, fields: Sequence[FieldSpec], keys: RowKeys, name: str) -> None:
        self._fields = tuple(fields)
        self._keys = keys
        self._name = name
        self._schema = table_schema(fields)
        self._sql = _statement(self._fields, keys)
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")

    def decode(self, payloads: pa.Array | pa.ChunkedArray) -> pa.Table:
        """One table of all records, in ``(stamp, id)`` order.

        Args:
            payloads: each record's JSON object as text; it is kept as it is in ``_payload``.

        Raises:
            SourceError: a record has no id or stamp, or a value does not fit its field's type.
        """
        rows = pa.table({"payload": payloads})
        try:
            with self._connection.cursor() as cursor:
                cursor.register("rows", rows)
                decoded = cursor.sql(self._sql).to_arrow_table()
        except duckdb.Error:
            return self._decode_carefully(payloads.to_pylist())
        if decoded["_id"].null_count or decoded["_stamp"].null_count:
            return self._decode_carefully(payloads.to_pylist())
        return decoded.cast(self._schema)

    def _decode_carefully(self, payloads: list[str]) -> pa.Table:
        rows = sorted((self._row(text) for text in payloads), key=lambda row: (row["_stamp"], row["_id"]))
        return pa.Table.from_pylist(rows, schema=self._schema)

    def _row(self, text: str) -> dict[str, Any]:
        record = _load(text, self._name)
        row: dict[str, Any] = {}
        for spec in self._fields:
            try:
                row[spec.name] = convert(_scalar(record.get(spec.name)), spec.type)
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


def _load(text: str, name: str) -> dict[str, Any]:
    try:
        record = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise SourceError(f"{name}: a record is no JSON: {text[:200]}") from error
    if not isinstance(record, dict):
        raise SourceError(f"{name}: a record is no JSON object: {text[:200]}")
    return record


def _scalar(value: Any) -> Any:
    """Compound values (addresses) are landed as their JSON text."""
    return json.dumps(value, separators=(",", ":"), default=str) if isinstance(value, (dict, list)) else value


def _statement(fields: Sequence[FieldSpec], keys: RowKeys) -> str:
    present = [spec for spec in fields if spec.source_type != "absent"]
    structure = json.dumps({spec.name: _JSON_TYPES[spec.type] for spec in present}).replace("'", "''")
    columns = [
        f"r.{_quoted(keys.id)} AS _id",
        f"r.{_quoted(keys.stamp)} AS _stamp",
        (f"coalesce(r.{_quoted(keys.deleted)}, false)" if keys.deleted else "false") + " AS _deleted",
        "payload AS _payload",
        *(_column(spec) for spec in fields),
    ]
    return (
        f"SELECT {', '.join(columns)} "  # noqa: S608 - identifiers are quoted, values are the rows'
        f"FROM (SELECT payload, from_json_strict(payload, '{structure}') AS r FROM rows) ORDER BY _stamp, _id"
    )


def _column(spec: FieldSpec) -> str:
    name = _quoted(spec.name)
    if spec.source_type == "absent":
        return f"NULL::{_SQL_TYPES[spec.type]} AS {name}"
    if spec.type is FieldType.INTEGER:
        return f"CASE WHEN r.{name} <> trunc(r.{name}) THEN error('fraction') ELSE r.{name}::BIGINT END AS {name}"
    return f"r.{name} AS {name}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
